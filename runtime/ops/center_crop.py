"""Center crop; an image that is too small is padded with zeros."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..geometry import crop_offset
from .size import Size
from .step import Step

RULES = ("pil", "torchvision", "half_even", "half_up")


@dataclass(frozen=True)
class CenterCrop(Step):
    """Crops uint8 ``[H, W, 3]`` to ``height`` x ``width`` pixels around the center.

    Attributes:
        height, width: in pixels.
        rule: where an odd row goes: one of :data:`RULES`, see :func:`runtime.geometry.crop_offset`.
    """

    height: int
    width: int
    rule: str = "pil"

    def __post_init__(self) -> None:
        Size(height=self.height, width=self.width)
        if self.rule not in RULES:
            raise ValueError(f"rule: expected one of {', '.join(RULES)}, got {self.rule!r}")

    def __str__(self) -> str:
        return f"center crop {self.height}x{self.width}"

    @property
    def fixed_size(self) -> tuple[int, int]:
        return self.height, self.width

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        return self.height, self.width

    def reference(self, image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """``[H, W, C]`` of any dtype to ``[height, width, C]`` (image_transforms.py:448, backends: 371)."""
        top = crop_offset(image.shape[0], self.height, self.rule)
        left = crop_offset(image.shape[1], self.width, self.rule)
        return crop(image, top, left, self.height, self.width)


def crop(image: np.ndarray[Any, Any], top: int, left: int, height: int, width: int) -> np.ndarray[Any, Any]:
    """``[H, W, C]`` to ``[height, width, C]``, with zeros for what lies outside."""
    result = np.zeros((height, width, image.shape[2]), image.dtype)
    kept = image[max(top, 0) : top + height, max(left, 0) : left + width]
    y, x = max(-top, 0), max(-left, 0)
    result[y : y + kept.shape[0], x : x + kept.shape[1]] = kept
    return result
