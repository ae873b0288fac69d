"""Pad to the largest image of a batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .step import Step


@dataclass(frozen=True)
class PadToLargest(Step):
    """Images of a batch whose sizes differ get zeros at the bottom and the right, up to the largest of them.

    A graph sees images of one size, which stay as they are; :class:`runtime.Preprocessor` pads what it gives. So this
    is the last step (image_processing_backends.py:196).

    Attributes:
        mask: the name of an output besides, int64 ``[N, H, W]``: 1 where an image is, 0 where padding; none by default.
    """

    mask: str = ""

    final: ClassVar[bool] = True

    def __str__(self) -> str:
        return "pad to the largest image of the batch" + (f", and {self.mask}" if self.mask else "")

    @property
    def beside(self) -> tuple[str, ...]:
        return (self.mask,) if self.mask else ()

    def outputs(self, image: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
        return {name: self.mask_of(*image.shape[:2]) for name in self.beside}

    def mask_of(self, height: int, width: int) -> np.ndarray[Any, Any]:
        """:attr:`mask` for an image that is not padded."""
        return np.ones((height, width), np.int64)
