"""Grayscale in three channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .step import Step

WEIGHTS = (0.2989, 0.587, 0.114)
"""Of red, green and blue; they multiply as float32."""


@dataclass(frozen=True)
class Grayscale(Step):
    """A weighted sum in place of each channel; the dtype stays, uint8 rounded down. A gray image stays as it is.

    Attributes:
        fused: whether the products of green and blue are added before they are rounded, as torch does it on CPUs with
            FMA (torchvision, transforms/v2/functional/_color.py, ``_rgb_to_grayscale_image``). NumPy rounds each
            (image_processing_pil_superpoint.py, ``convert_to_grayscale``).
    """

    fused: bool

    def __str__(self) -> str:
        return "convert to gray"

    @property
    def of_channels(self) -> int:
        return 3

    def reference(self, image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """``[H, W, 3]``, uint8 or float32."""
        red, green, blue = np.moveaxis(image, -1, 0)
        if np.all(red == green) and np.all(green == blue):
            return image
        return np.stack([weighted(image, self.fused).astype(image.dtype)] * 3, -1)


def weighted(image: np.ndarray[Any, Any], fused: bool) -> np.ndarray[Any, Any]:
    """The weighted sum, float32 ``[H, W]``, of ``[H, W, 3]``; see :attr:`Grayscale.fused`."""
    weights = [np.float32(weight) for weight in WEIGHTS]
    gray = image[..., 0].astype(np.float32) * weights[0]
    for i in (1, 2):
        if fused:  # float64 holds the product
            gray = (image[..., i].astype(np.float64) * np.float64(weights[i]) + gray).astype(np.float32)
        else:
            gray = gray + image[..., i].astype(np.float32) * weights[i]
    return gray
