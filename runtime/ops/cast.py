"""Cast: the dtype of the output, rounded to nearest from float32."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .step import Step

DTYPES = ("float32", "float16")


@dataclass(frozen=True)
class Cast(Step):
    """Rounds to ``dtype``, to nearest and to even on ties."""

    dtype: str

    pointwise: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype: expected one of {', '.join(DTYPES)}, got {self.dtype!r}")

    def __str__(self) -> str:
        return f"cast to {self.dtype}"

    @property
    def gives(self) -> str:
        return self.dtype

    def reference(self, image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Any shape and dtype."""
        return image.astype(self.dtype)
