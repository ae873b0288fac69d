"""Scale and offset: multiply and then add a number, per channel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .normalize import FLOAT32_MAX
from .step import Step


@dataclass(frozen=True)
class ScaleOffset(Step):
    """``image * scale + offset`` in float32, both operations rounded, with one number of each for each channel."""

    scale: tuple[float, ...]
    offset: tuple[float, ...]

    pointwise: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name, values in (("scale", self.scale), ("offset", self.offset)):
            if len(values) not in (1, 3, 4) or not all(abs(v) <= FLOAT32_MAX for v in values):  # false for NaN
                raise ValueError(f"{name}: expected a finite number for each of 1, 3 or 4 channels, got {values!r}")
        if len(self.scale) != len(self.offset):
            raise ValueError(f"expected as many of each, got {len(self.scale)} scales and {len(self.offset)} offsets")

    def __str__(self) -> str:
        scale, offset = (" ".join(f"{v:g}" for v in values) for values in (self.scale, self.offset))
        return f"scale by {scale}, plus {offset}"

    @property
    def of_channels(self) -> int:
        return len(self.scale)

    def reference(self, image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """``[..., channels]`` to float32 (keras_hub 0.32, src/layers/preprocessing/image_converter.py:211)."""
        scale, offset = np.array(self.scale, np.float32), np.array(self.offset, np.float32)
        return image.astype(np.float32) * scale + offset
