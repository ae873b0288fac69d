"""Crop to an aspect ratio: the largest part of the middle that has it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import geometry
from .size import check_sides
from .step import Step


@dataclass(frozen=True)
class CropToRatio(Step):
    """Crops ``[H, W, C]`` at the two sides that are too long for the ratio of ``height`` to ``width``."""

    height: int
    width: int

    def __post_init__(self) -> None:
        check_sides({"height": self.height, "width": self.width})

    def __str__(self) -> str:
        return f"crop to the ratio {self.height}:{self.width}"

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        return geometry.cropped_to_ratio(height, width, self.height, self.width)

    def reference(self, image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """``[H, W, C]`` of any dtype to ``[h, w, C]`` (keras 3.15, src/backend/torch/image.py:252)."""
        height, width = self.output_size(*image.shape[:2])
        top = geometry.crop_offset(image.shape[0], height)
        left = geometry.crop_offset(image.shape[1], width)
        return image[top : top + height, left : left + width]
