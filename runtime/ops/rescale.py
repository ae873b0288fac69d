"""Rescale: multiply by a factor, and perhaps subtract an offset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .normalize import FLOAT32_MAX
from .step import Step


@dataclass(frozen=True)
class Rescale(Step):
    """``float32(image * factor)``, then minus ``offset`` in float32 (EfficientNet's ``rescale_offset``).

    Attributes:
        factor, offset: finite numbers in float32, also 255 times the factor.
        precision: of the product: ``float64`` in transformers' PIL classes, ``float32`` in its torchvision ones.
    """

    factor: float
    offset: float = 0.0
    precision: str = "float64"

    pointwise: ClassVar[bool] = True

    def __post_init__(self) -> None:
        # False for NaN. Larger ones would make infinity of a pixel.
        if not (abs(self.factor) <= FLOAT32_MAX / 255 and abs(self.offset) <= FLOAT32_MAX):
            raise ValueError(f"expected finite numbers, got factor {self.factor!r}, offset {self.offset!r}")
        if self.precision not in ("float64", "float32"):
            raise ValueError(f"precision: expected float64 or float32, got {self.precision!r}")

    def __str__(self) -> str:
        inverse = round(1 / self.factor) if 1e-9 < abs(self.factor) < 1 else 0
        factor = f"1/{inverse}" if inverse and self.factor == 1 / inverse else str(self.factor)
        return f"rescale by {factor}" + (f", minus {self.offset:g}" if self.offset else "")

    def reference(self, image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Any shape and dtype to float32 (image_transforms.py:92, image_processing_pil_efficientnet.py:70)."""
        result: np.ndarray[Any, Any] = (
            image.astype(self.precision) * np.dtype(self.precision).type(self.factor)
        ).astype(np.float32)
        return result - np.float32(self.offset) if self.offset else result
