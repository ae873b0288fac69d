"""Resize as Keras does on its torch backend: torch's ``interpolate`` of floats, rounded back to uint8."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .. import taps
from ..interpolation import TAPS
from .size import Size
from .step import Step
from .torch_sums import interpolated

Array = np.ndarray[Any, Any]

FILTERS = ("nearest", *TAPS)


@dataclass(frozen=True)
class ResizeKeras(Step):
    """Resizes a uint8 image to ``size``; the result is uint8 (keras 3.15, src/backend/torch/image.py:200).

    torch computes in float32, and its results depend on the order and the rounding of its sums. They are given to the
    last bit, those of a CPU with AVX2 and FMA and of more than one thread, as they decide where a value near a half
    goes. With one thread torch takes bilinear positions otherwise, and without FMA all sums: seen on noise, 1 or up to
    4 values in 100,000 are then 1 level apart from these. Backend ``torch`` runs torch's own kernels, on the CPU.

    Attributes:
        size: a height and a width.
        filter: one of :data:`FILTERS`.
        antialias: whether a reduction reads all samples; not for ``nearest``.
    """

    size: Size
    filter: str
    antialias: bool = False

    works_on: ClassVar[str] = "uint8"

    def __post_init__(self) -> None:
        if not self.size.is_static:
            raise ValueError(f"size: expected height and width, got {self.size}")
        if self.filter not in FILTERS:
            raise ValueError(f"filter: expected one of {', '.join(FILTERS)}, got {self.filter!r}")
        if not isinstance(self.antialias, bool):
            raise ValueError(f"antialias: expected true or false, got {self.antialias!r}")
        if self.antialias and self.filter == "nearest":
            raise ValueError("antialias: expected false, for filter nearest")

    def __str__(self) -> str:
        antialias = "" if self.filter == "nearest" else ", antialiased" if self.antialias else ", not antialiased"
        return f"resize to {self.size}, {self.filter}{antialias}, as Keras on torch"

    @property
    def fixed_size(self) -> tuple[int, int]:
        return self.size.output_size(1, 1)

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        return self.fixed_size

    def reference(self, image: Array) -> Array:
        """uint8 ``[H, W, C]`` to uint8 ``[h, w, C]``."""
        height, width = self.fixed_size
        if self.filter == "nearest":
            rows, columns = taps.nearest(image.shape[0], height), taps.nearest(image.shape[1], width)
            picked: Array = image[rows.astype(int)][:, columns.astype(int)]
            return picked
        floats = interpolated(image.astype(np.float32), height, width, self.filter, self.antialias, channels_last=True)
        result: Array = np.rint(floats.clip(0, 255)).astype(np.uint8)
        return result
