"""Resize as OpenCV's ``INTER_LINEAR`` does on uint8, by transformers' copy of it: integers, and so exact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..interpolation import fixed_point_weights
from .size import Size
from .step import Step


@dataclass(frozen=True)
class ResizeOpenCV(Step):
    """Resizes a uint8 image to ``size``, bilinear and without antialiasing, with weights of 11 bits."""

    size: Size

    works_on: ClassVar[str] = "uint8"

    def __str__(self) -> str:
        return f"resize to {self.size}, bilinear as in OpenCV"

    @property
    def fixed_size(self) -> tuple[int, int] | None:
        return self.size.fixed

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        return self.size.output_size(height, width)

    def reference(self, image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """uint8 ``[H, W, C]`` to uint8 ``[h, w, C]`` (image_processing_slanext.py:50)."""
        height, width = self.size.output_size(*image.shape[:2])
        rows = _blend(image.astype(np.int32), height)
        sums = _blend(rows.swapaxes(0, 1), width).swapaxes(0, 1)
        return ((sums + (1 << 21)) >> 22).astype(np.uint8)


def _blend(image: np.ndarray[Any, Any], n_out: int) -> np.ndarray[Any, Any]:
    """int32 ``[n, …]`` to ``[n_out, …]``, times 2048."""
    left, right, weight = (values.astype(np.int32) for values in fixed_point_weights(len(image), n_out))
    weight = weight[:, None, None]
    result: np.ndarray[Any, Any] = image[left] * (2048 - weight) + image[right] * weight
    return result
