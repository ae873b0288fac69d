"""Channels last: the layout of Keras' results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .step import Step


@dataclass(frozen=True)
class ChannelsLast(Step):
    """Gives the output as ``[N, H, W, C]``. It comes last, but for a cast."""

    def __str__(self) -> str:
        return "channels last"

    def reference(self, image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """``[H, W, C]`` to ``[W, C, H]``: the last axis of what the steps give becomes the output's first."""
        return np.moveaxis(image, 0, -1)
