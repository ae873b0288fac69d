"""Flip the order of the channels: RGB to BGR."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .step import Step


@dataclass(frozen=True)
class FlipChannels(Step):
    """RGB to BGR (transformers' ``flip_channel_order``, image_transforms.py)."""

    def __str__(self) -> str:
        return "flip channels to BGR"

    @property
    def of_channels(self) -> int:
        return 3

    def reference(self, image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """``[H, W, 3]`` of any dtype."""
        return image[..., ::-1]
