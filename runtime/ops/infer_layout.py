"""Infer layout: an image of three rows is taken for one with its channels first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..errors import InputError
from .step import Step


@dataclass(frozen=True)
class InferLayout(Step):
    """What transformers' older classes do to every image, for they do not know which axis holds its channels.

    It runs where images are read; the graph takes what comes out.
    """

    reading: ClassVar[bool] = True

    def __str__(self) -> str:
        return "read images of three rows as channels first"

    @property
    def of_channels(self) -> int:
        return 3

    def reference(self, image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """uint8 ``[H, W, 3]``; three rows become ``[W, 3, 3]`` (image_utils.py:292).

        Raises ``InputError`` for one row, which is read as one channel.
        """
        if image.shape[0] == 1:
            raise InputError(
                f"an image of 1x{image.shape[1]}: transformers reads its row as its only channel; give it more rows"
            )
        return np.moveaxis(image, 0, -1) if image.shape[0] == 3 else image
