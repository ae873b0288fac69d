"""Clamp: no value below the one number or above the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .normalize import FLOAT32_MAX
from .step import Step


@dataclass(frozen=True)
class Clamp(Step):
    """Clamps to ``low`` … ``high`` in float32."""

    low: float
    high: float

    pointwise: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not -FLOAT32_MAX <= self.low <= self.high <= FLOAT32_MAX:  # false for NaN
            raise ValueError(f"expected finite numbers, low <= high, got low {self.low!r}, high {self.high!r}")

    def __str__(self) -> str:
        return f"clamp to {self.low:g} … {self.high:g}"

    def reference(self, image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Any shape and dtype to float32."""
        result: np.ndarray[Any, Any] = np.clip(image.astype(np.float32), np.float32(self.low), np.float32(self.high))
        return result
