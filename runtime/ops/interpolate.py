"""Interpolate floats as torch does: for the families that resize after they rescale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .. import interpolation
from .size import Size
from .step import Step
from .torch_sums import interpolated

FILTERS = tuple(interpolation.TAPS)


@dataclass(frozen=True)
class Interpolate(Step):
    """``torch.nn.functional.interpolate`` of float32; the result is float32.

    Its bits are those of a CPU with AVX2 and FMA and of more than one thread: see :mod:`.torch_sums`. With one thread,
    torch takes bilinear positions otherwise, which is up to 1.2e-4 away at 4,000 pixels; so is a CPU without FMA, by
    7.4e-5. (Measured on noise, values 0 to 1.) Backend ``torch`` runs torch's own kernels, a plane at a time: those
    take the same positions on any number of threads.

    Attributes:
        size: the rule for the output size.
        filter: ``bilinear`` or ``bicubic``.
        antialias: whether a reduction reads all samples, or 2 or 4 a side however strong it is.
        align_corners: whether the first and the last sample's centers stay at the edges, instead of their outer sides.
    """

    size: Size
    filter: str
    antialias: bool
    align_corners: bool = False

    works_on: ClassVar[str] = "float32"

    def __post_init__(self) -> None:
        if self.filter not in FILTERS:
            raise ValueError(f"filter: expected one of {', '.join(FILTERS)}, got {self.filter!r}")
        for name in ("antialias", "align_corners"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name}: expected true or false, got {getattr(self, name)!r}")

    def __str__(self) -> str:
        details = [self.filter, "antialiased" if self.antialias else "not antialiased"]
        details += ["corners aligned"] if self.align_corners else []
        return f"interpolate to {self.size}, {', '.join(details)}, as torch"

    @property
    def fixed_size(self) -> tuple[int, int] | None:
        return self.size.fixed

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        return self.size.output_size(height, width)

    def reference(self, image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """float32 ``[H, W, C]`` to float32 ``[h, w, C]``."""
        return interpolated(image, *self.output_size(*image.shape[:2]), self.filter, self.antialias, self.align_corners)
