"""A run of element-wise steps as one table: a uint8 has 256 values, so the reference itself fills it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .step import Step


@dataclass(frozen=True)
class Table(Step):
    """The values of pointwise ``steps`` for every uint8 and channel: exact whatever a backend fuses or contracts."""

    steps: tuple[Step, ...]
    channels: int = 3

    @property
    def gives(self) -> str:
        return self.steps[-1].gives if self.steps else ""

    def values(self) -> np.ndarray[Any, Any]:
        """``[channels, 256]``, of the last step's dtype."""
        image = np.repeat(np.arange(256, dtype=np.uint8)[:, None], self.channels, axis=1)
        result = apply(self.steps, image)
        return np.ascontiguousarray(result.T)


def apply(steps: Sequence[Step], image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The references of ``steps``, one after the other, on ``[..., channels]``."""
    for step in steps:
        image = step.reference(image)
    return image
