"""The size of the image so far, as an output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .step import Step

DTYPES = ("int64", "float32")


@dataclass(frozen=True)
class ImageSize(Step):
    """Gives (height, width) in pixels as the output ``name``, ``[N, 2]``, and leaves the image alone.

    Attributes:
        dtype: one of :data:`DTYPES`.
    """

    name: str
    dtype: str = "int64"

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype: expected one of {', '.join(DTYPES)}, got {self.dtype!r}")

    def __str__(self) -> str:
        return f"output the size as {self.name}"

    @property
    def beside(self) -> tuple[str, ...]:
        return (self.name,)

    def outputs(self, image: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
        return {self.name: self.size_of(image)}

    def size_of(self, image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """``[2]`` of ``[H, W, C]``."""
        return np.array(image.shape[:2], self.dtype)
