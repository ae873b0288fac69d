"""Flip the order of the channels: RGB to BGR."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class FlipChannels:
    """RGB to BGR (transformers' ``flip_channel_order``, image_transforms.py)."""

    def __str__(self) -> str:
        return "flip channels to BGR"

    def reference(self, image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """``[H, W, 3]`` of any dtype."""
        return image[..., ::-1]
