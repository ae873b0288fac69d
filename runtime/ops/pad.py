"""Pad at the bottom and the right to a fixed size."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InputError
from .size import Size


@dataclass(frozen=True)
class Pad:
    """Pads ``[H, W, 3]`` to ``height`` x ``width`` pixels with ``value``; a larger image is an error."""

    height: int
    width: int
    value: float = 0.0

    def __post_init__(self) -> None:
        Size(height=self.height, width=self.width)
        if not math.isfinite(self.value):
            raise ValueError(f"value: expected a finite number, got {self.value!r}")

    def __str__(self) -> str:
        return f"pad to {self.height}x{self.width} with {self.value:g}"

    def check(self, height: int, width: int) -> None:
        """Raises ``InputError`` where there is nothing to pad."""
        if height > self.height or width > self.width:
            raise InputError(f"pad_size {self.height}x{self.width} is smaller than the image, {height}x{width}")

    def reference(self, image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """``[H, W, C]`` of any dtype to ``[height, width, C]`` (image_processing_backends.py:507)."""
        height, width = image.shape[:2]
        self.check(height, width)
        padding = ((0, self.height - height), (0, self.width - width), (0, 0))
        return np.pad(image, padding, constant_values=self.value)
