"""Resize floats with a Gaussian blur before linear interpolation, as scikit-image does: OWLv2's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .. import interpolation
from .size import Size
from .step import Step

BLOCK = 16
"""Outputs that share a window of the input, in NumPy."""

LIBRARIES = ("scipy", "torchvision")
"""Whose blur and interpolation: see :func:`runtime.interpolation.smoothed_weights`."""


@dataclass(frozen=True)
class ResizeSmoothed(Step):
    """Blurs float32 by what the reduction asks for and interpolates it linearly; the result is float32.

    Both libraries sum in an order of their own, so backends differ: by at most :attr:`bound` times the largest
    absolute value of the image. Seen at 128 sizes of up to 600 pixels a side, values 0 to 1: 1.2e-7 (scipy) and 9e-7
    (torchvision, whose blur is one sum in float32 over both axes). scikit-image's last step is left out: it clamps to
    the image's own range, which a mean of pixels leaves by rounding only. torchvision's positions are those of torch on
    more than one thread; on one it takes them otherwise (see :class:`.Interpolate`).

    Attributes:
        size: height and width after, of at least 4 pixels: to fewer, the blur would be wider than the image, and
            transformers would read three rows as channels.
        library: one of :data:`LIBRARIES`. torchvision takes the square that its caller pads to, and blurs only where
            both sides shrink.
        blur: whether there is a blur at all.
    """

    size: Size
    library: str
    blur: bool = True

    works_on: ClassVar[str] = "float32"
    bound: ClassVar[float] = 2e-6

    def __post_init__(self) -> None:
        if self.library not in LIBRARIES:
            raise ValueError(f"library: expected one of {', '.join(LIBRARIES)}, got {self.library!r}")
        if min(self.size.fixed or (0,)) < 4:
            raise ValueError(f"size: expected height and width of at least 4 pixels, got {self.size}")

    def __str__(self) -> str:
        blur = "blurred before" if self.blur else "no blur"
        return f"resize to {self.size}, linear, {blur}, within {self.bound:g} of {self.library}"

    @property
    def fixed_size(self) -> tuple[int, int]:
        return self.size.output_size(1, 1)

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        return self.fixed_size

    def reference(self, image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """float32 ``[H, W, C]`` to float32 ``[h, w, C]``; sums are float64, rounded after each of the two passes."""
        height, width = self.fixed_size
        rows, columns = interpolation.smoothed_axes(
            image.shape[0], image.shape[1], height, width, self.library, self.blur, BLOCK
        )
        image = _weighted_rows(image, *rows, height).swapaxes(0, 1)
        return _weighted_rows(image, *columns, width).swapaxes(0, 1)


def _weighted_rows(
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
