"""Normalize: subtract a mean and divide by a standard deviation, per channel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .step import Step

FLOAT32_MAX = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Normalize(Step):
    """``(image - mean) / std`` in float32, one mean and one std for each channel."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    pointwise: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, 3, 4) or not all(abs(v) <= FLOAT32_MAX for v in values):  # false for NaN
                raise ValueError(f"{name}: expected a finite number for each of 1, 3 or 4 channels, got {values!r}")
        if len(self.mean) != len(self.std):
            raise ValueError(f"mean and std: expected as many of each, got {len(self.mean)} and {len(self.std)}")
        if not all(np.float32(v) for v in self.std):
            raise ValueError(f"std: expected numbers other than 0, got {self.std!r}")

    def __str__(self) -> str:
        return f"normalize, mean {' '.join(f'{v:g}' for v in self.mean)}, std {' '.join(f'{v:g}' for v in self.std)}"

    @property
    def of_channels(self) -> int:
        return len(self.mean)

    def reference(self, image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """``[..., channels]`` to float32 (image_transforms.py:387)."""
        mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
        return (image.astype(np.float32) - mean) / std
