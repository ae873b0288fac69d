"""Resize with Pillow's filters and rounding: the op this project exists for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import geometry
from ..errors import InputError
from ..resample import PRECISION_BITS, SUPPORT, block_weights
from .size import MOST_PIXELS, Size

FILTERS = {
    "nearest": 0,
    "lanczos": 1,
    "bilinear": 2,
    "bicubic": 3,
    "box": 4,
    "hamming": 5,
    "mks2013": 6,
    "mks2021": 7,
}
"""Names and Pillow's numbers (``PIL.Image.Resampling``), which configs use as ``resample``."""

ORDERS = ("pillow13", "pillow12.2", "pillow12.1")
"""Which pass runs first, by the Pillow that does so: see :func:`runtime.geometry.vertical_first`."""


WEIGHTS = ("pillow", "torchvision")
"""How weights become integers: see :func:`runtime.resample.block_weights`."""

TORCHVISION_FILTERS = ("bilinear", "bicubic", "lanczos")
"""Those whose uint8 kernels compute in integers."""


@dataclass(frozen=True)
class Resize:
    """Resizes a uint8 image; the result is uint8.

    Attributes:
        size: the rule for the output size.
        filter: a key of :data:`FILTERS`.
        order: one of :data:`ORDERS`; part of the reference, so that an artifact does not drift with Pillow.
        weights: one of :data:`WEIGHTS`. torchvision's uint8 resize is that with the order ``pillow12.1``: horizontal
            first, always.
    """

    size: Size
    filter: str
    order: str
    weights: str = "pillow"

    def __post_init__(self) -> None:
        if self.filter not in FILTERS:
            raise ValueError(f"filter: expected one of {', '.join(FILTERS)}, got {self.filter!r}")
        if self.order not in ORDERS:
            raise ValueError(f"order: expected one of {', '.join(ORDERS)}, got {self.order!r}")
        if self.weights not in WEIGHTS:
            raise ValueError(f"weights: expected one of {', '.join(WEIGHTS)}, got {self.weights!r}")
        if self.weights == "torchvision" and self.filter not in TORCHVISION_FILTERS:
            raise ValueError(
                f"filter: torchvision has no exact {self.filter!r}; expected one of {', '.join(TORCHVISION_FILTERS)}"
            )

    def __str__(self) -> str:
        return f"resize to {self.size}, {self.filter}"

    @property
    def support(self) -> float:
        return SUPPORT[self.filter]

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Raises ``InputError`` where the rule leaves no pixel, or asks for too many."""
        new_height, new_width = geometry.output_size(height, width, *self.size.rule)
        if new_height < 1 or new_width < 1:
            raise InputError(
                f"an image of {height}x{width} would be resized to {new_height}x{new_width} by the rule"
                f" '{self.size}': expected at least 1 pixel a side"
            )
        if new_height * new_width > MOST_PIXELS:
            raise InputError(
                f"an image of {height}x{width} would be resized to {new_height}x{new_width} by the rule"
                f" '{self.size}': expected at most {MOST_PIXELS} pixels"
            )
        return new_height, new_width

    def reference(self, image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """uint8 ``[H, W, 3]`` to uint8 ``[h, w, 3]``, with Pillow or in NumPy's integers."""
        new_height, new_width = self.output_size(*image.shape[:2])
        if self.weights == "pillow" and self._installed():
            return self._pillow(image, new_height, new_width)
        if self._vertical_first(image, new_height, new_width):
            return self._rows(self._rows(image, new_height).swapaxes(0, 1), new_width).swapaxes(0, 1)
        return self._rows(self._rows(image.swapaxes(0, 1), new_width).swapaxes(0, 1), new_height)

    def _installed(self) -> bool:
        """Whether the installed Pillow has the filter: the MKS ones came with 13."""
        from PIL import Image

        return FILTERS[self.filter] in set(Image.Resampling)

    def _vertical_first(self, image: np.ndarray[Any, Any], new_height: int, new_width: int) -> bool:
        height, width = image.shape[:2]
        return geometry.vertical_first(height, width, new_height, new_width, self.order)

    def _rows(self, image: np.ndarray[Any, Any], new_height: int) -> np.ndarray[Any, Any]:
        """The vertical pass in NumPy, for weights that no installed library has; float64 sums of integers are exact."""
        height, width, channels = image.shape
        start, weights = block_weights(height, new_height, 0, new_height, self.filter, self.support, self.weights)
        blocks, block, window = weights.shape
        rows = np.empty((blocks, block, width * channels), np.uint8)
        for i, first in enumerate(start.astype(int)):
            sums = weights[i] @ image[first : first + window].reshape(window, -1).astype(np.float64)
            rows[i] = np.clip(np.floor(sums / 2**PRECISION_BITS + 0.5), 0, 255)
        return rows.reshape(-1, width, channels)[:new_height]

    def _pillow(self, image: np.ndarray[Any, Any], new_height: int, new_width: int) -> np.ndarray[Any, Any]:
        """transformers' image_transforms.py:316.

        The passes run one by one, so that the order is the Plan's and not the installed Pillow's. A single pass gives
        the same bits in every Pillow from 11.3 to 13.0.
        """
        from PIL import Image

        result = Image.fromarray(image)
        vertical, horizontal = (result.width, new_height), (new_width, result.height)
        if self.filter == "nearest":
            passes = [(new_width, new_height)]
        elif self._vertical_first(image, new_height, new_width):
            passes = [vertical, (new_width, new_height)]
        else:
            passes = [horizontal, (new_width, new_height)]
        for size in passes:
            if size != result.size:
                result = result.resize(size, Image.Resampling(FILTERS[self.filter]))
        return np.asarray(result)
