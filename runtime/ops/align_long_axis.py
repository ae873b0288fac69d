"""Turn an image whose long side lies across another one's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..geometry import aligned
from .step import Step


@dataclass(frozen=True)
class AlignLongAxis(Step):
    """Turns landscape images to portrait, or the other way, by 90 degrees clockwise; other images stay as they are.

    Attributes:
        portrait: whether the height is to be the long side.
    """

    portrait: bool

    def __post_init__(self) -> None:
        if not isinstance(self.portrait, bool):
            raise ValueError(f"portrait: expected true or false, got {self.portrait!r}")

    def __str__(self) -> str:
        return f"turn {'landscape' if self.portrait else 'portrait'} images by 90 degrees"

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        return aligned(height, width, self.portrait)

    def reference(self, image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """``[H, W, C]`` of any dtype (image_processing_pil_donut.py:79)."""
        height, width = image.shape[:2]
        return image if (height, width) == self.output_size(height, width) else np.rot90(image, 3)
