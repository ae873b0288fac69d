"""Crop the margin: keep the box around the dark pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..resample import luma
from .grayscale import weighted
from .step import Step

THRESHOLD = 200
"""Of levels that are stretched to 0 … 255: darker pixels are no margin."""


@dataclass(frozen=True)
class CropMargin(Step):
    """Crops an image to the smallest box that holds its dark pixels; an image of one level stays as it is.

    So the size of the result follows from the pixels, and each image of a batch has its own: a graph with this step
    takes one image at a time.

    Attributes:
        pillow: whether gray is Pillow's ``L`` and levels are stretched in float64
            (image_processing_pil_nougat.py:93), or gray is torchvision's and they are stretched in float32
            (image_processing_nougat.py:104).
    """

    pillow: bool

    works_on: ClassVar[str] = "uint8"
    by_pixels: ClassVar[bool] = True

    @property
    def of_channels(self) -> int:
        return 3

    def __str__(self) -> str:
        return "crop the margin around the dark pixels"

    def levels(self, image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Gray of uint8 ``[H, W, 3]``: ``[H, W]``, whole numbers 0 to 255, in the dtype that stretches them."""
        gray: np.ndarray[Any, Any]
        if self.pillow:
            gray = luma(*np.moveaxis(image.astype(np.float64), -1, 0))
        else:
            gray = np.floor(weighted(image, fused=True))
        return gray

    def reference(self, image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """uint8 ``[H, W, 3]`` to uint8 ``[h, w, 3]``."""
        levels = self.levels(image)
        low, high = levels.min(), levels.max()
        if low == high:
            return image
        dark = (levels - low) / (high - low) * levels.dtype.type(255) < THRESHOLD
        rows, columns = np.flatnonzero(dark.any(axis=1)), np.flatnonzero(dark.any(axis=0))
        return image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
