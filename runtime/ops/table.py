"""A run of element-wise steps as one table: a uint8 has 256 values, so the reference itself fills it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .cast import Cast
from .normalize import Normalize
from .rescale import Rescale

Pointwise = Rescale | Normalize | Cast


@dataclass(frozen=True)
class Table:
    """The values of ``steps`` for every uint8 and channel: exact on any backend, whatever it fuses or contracts."""

    steps: tuple[Pointwise, ...]

    def values(self) -> np.ndarray[Any, Any]:
        """``[3, 256]``, of the last step's dtype."""
        image = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
        result = apply(self.steps, image)
        return np.ascontiguousarray(result.T)


def apply(steps: Sequence[Pointwise], image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The references of ``steps``, one after the other, on ``[..., 3]``."""
    for step in steps:
        image = step.reference(image)
    return image
