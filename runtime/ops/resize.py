"""Resize with Pillow's filters and rounding: the op this project exists for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .. import geometry
from ..resample import PRECISION_BITS, SUPPORT, block_weights
from .alpha import premultiplied, straight
from .box_reduce import box_reduce
from .size import Size
from .step import Step

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


POINT_FILTERS = (("torchvision", "bilinear"), ("torchvision", "bicubic"))


@dataclass(frozen=True)
class Resize(Step):
    """Resizes a uint8 image; the result is uint8.

    Attributes:
        size: the rule for the output size.
        filter: a key of :data:`FILTERS`.
        order: one of :data:`ORDERS`; part of the reference, so that an artifact does not drift with Pillow.
        weights: one of :data:`WEIGHTS`. torchvision's uint8 resize is that with the order ``pillow12.1``: horizontal
            first, always.
        antialias: without it, which only torchvision offers, 2 or 4 samples count, however strong the reduction.
        reducing_gap: above 0, blocks of pixels are averaged first, as far as that leaves this many times the output
            size: Pillow's argument of that name.
    """

    size: Size
    filter: str
    order: str
    weights: str = "pillow"
    antialias: bool = True
    reducing_gap: float = 0.0

    works_on: ClassVar[str] = "uint8"

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

        if not self.antialias and (self.weights, self.filter) not in POINT_FILTERS:
            raise ValueError("antialias: only torchvision's bilinear and bicubic can do without")
        if self.reducing_gap and not 1 <= self.reducing_gap < math.inf:
            raise ValueError(f"reducing_gap: expected 0, or 1 and more, got {self.reducing_gap!r}")
        if self.reducing_gap and (self.weights != "pillow" or self.filter == "nearest"):
            raise ValueError("reducing_gap: only Pillow has it, and not for nearest")

    def __str__(self) -> str:
        how = f"{self.filter}{'' if self.antialias else ' without antialiasing'}"
        return f"resize to {self.size}, {how}{f', reducing gap {self.reducing_gap:g}' if self.reducing_gap else ''}"

    @property
    def premultiplies(self) -> bool:
        """Whether transparency counts: Pillow multiplies the colours of RGBA with it (PIL/Image.py ``resize``)."""
        return self.weights == "pillow" and self.filter != "nearest"

    @property
    def kernel(self) -> str:
        """The filter's key in :data:`runtime.resample.SUPPORT`."""
        return self.filter if self.antialias else f"{self.filter}_point"

    @property
    def support(self) -> float:
        return SUPPORT[self.kernel]

    def factors(self, height: int, width: int, new_height: int, new_width: int) -> tuple[int, int]:
        """Rows and columns of the blocks that are averaged first."""
        if not self.reducing_gap:
            return 1, 1
        gap = self.reducing_gap
        return geometry.reduce_factor(height, new_height, gap), geometry.reduce_factor(width, new_width, gap)

    @property
    def fixed_size(self) -> tuple[int, int] | None:
        return self.size.fixed

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Raises ``InputError`` where the rule leaves no pixel, or asks for too many."""
        return self.size.output_size(height, width)

    def reference(self, image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """uint8 ``[H, W, C]`` to uint8 ``[h, w, C]``, with Pillow or in NumPy's integers; four channels are RGBA."""
        height, width = image.shape[:2]
        new_height, new_width = self.output_size(height, width)
        factors = self.factors(height, width, new_height, new_width)
        if (height, width) == (new_height, new_width):
            return image
        if self.weights == "pillow" and self._installed():
            return self._pillow(image, new_height, new_width, factors)
        if image.shape[2] == 4 and self.premultiplies:
            return straight(self._integers(premultiplied(image), new_height, new_width, factors))
        return self._integers(image, new_height, new_width, factors)

    def _integers(
        self, image: np.ndarray[Any, Any], new_height: int, new_width: int, factors: tuple[int, int]
    ) -> np.ndarray[Any, Any]:
        """Both passes in NumPy, channel by channel."""
        height, width = image.shape[:2]
        sides = ((height, new_height, factors[0]), (width, new_width, factors[1]))
        if factors != (1, 1):
            image = box_reduce(image, *factors)
        if self._vertical_first(image.shape[0], image.shape[1], new_height, new_width):
            return self._rows(self._rows(image, *sides[0]).swapaxes(0, 1), *sides[1]).swapaxes(0, 1)
        return self._rows(self._rows(image.swapaxes(0, 1), *sides[1]).swapaxes(0, 1), *sides[0])

    def _installed(self) -> bool:
        """Whether the installed Pillow has the filter: the MKS ones came with 13."""
        from PIL import Image

        return FILTERS[self.filter] in set(Image.Resampling)

    def _vertical_first(self, height: int, width: int, new_height: int, new_width: int) -> bool:
        return geometry.vertical_first(height, width, new_height, new_width, self.order)

    def _rows(self, image: np.ndarray[Any, Any], n_in: int, n_out: int, factor: int) -> np.ndarray[Any, Any]:
        """The vertical pass in NumPy, for weights that no installed library has; float64 sums of integers are exact."""
        _, width, channels = image.shape
        start, weights = block_weights(n_in, n_out, 0, n_out, self.kernel, self.support, self.weights, factor=factor)
        blocks, block, window = weights.shape
        rows = np.empty((blocks, block, width * channels), np.uint8)
        for i, first in enumerate(start.astype(int)):
            sums = weights[i] @ image[first : first + window].reshape(window, -1).astype(np.float64)
            rows[i] = np.clip(np.floor(sums / 2**PRECISION_BITS + 0.5), 0, 255)
        return rows.reshape(-1, width, channels)[:n_out]

    def _pillow(
        self, image: np.ndarray[Any, Any], new_height: int, new_width: int, factors: tuple[int, int]
    ) -> np.ndarray[Any, Any]:
        """transformers' image_transforms.py:316.

        The passes run one by one, so that the order is the Plan's and not the installed Pillow's. A single pass gives
        the same bits in every Pillow from 11.3 to 13.0.
        """
        from PIL import Image

        result = Image.fromarray(image.squeeze(2) if image.shape[2] == 1 else image)
        transparent = result.mode == "RGBA" and self.premultiplies
        if transparent:
            result = result.convert("RGBa")  # once, for Pillow would do it in each pass
        # What a side of the reduced image stands for: a fraction of its last pixel may count.
        bottom, right = image.shape[0] / factors[0], image.shape[1] / factors[1]
        if factors != (1, 1):
            result = result.reduce((factors[1], factors[0]))
        if self.filter == "nearest":
            passes = [(new_width, new_height, right, bottom)]
        elif self._vertical_first(result.height, result.width, new_height, new_width):
            passes = [(result.width, new_height, result.width, bottom), (new_width, new_height, right, new_height)]
        else:
            passes = [(new_width, result.height, right, result.height), (new_width, new_height, new_width, bottom)]
        for width, height, *box in passes:
            if [width, height] != box or (width, height) != result.size:
                result = result.resize((width, height), Image.Resampling(FILTERS[self.filter]), (0, 0, *box))
        result = result.convert("RGBA") if transparent else result
        return np.asarray(result).reshape(result.height, result.width, -1)
