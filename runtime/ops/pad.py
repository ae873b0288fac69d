"""Pad to a size, or to one that follows from the image's."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InputError
from ..geometry import pad_offset
from .size import Size

MODES = ("constant", "symmetric", "reflect")
"""What the new pixels are: ``value``, or the image mirrored, with its edge or without."""


@dataclass(frozen=True)
class Pad:
    """Pads ``[H, W, C]``; an image that is larger than ``size`` is an error.

    Attributes:
        size: the rule for the size after.
        value: of the new pixels: one number, or one for each channel.
        centered: whether the image comes into the middle, instead of to the top left corner.
        mode: one of :data:`MODES`.
        mask: the name of an output besides, int64 ``[H, W]``: 1 where the image is, 0 where padding; none by default.
    """

    size: Size
    value: tuple[float, ...] = (0.0,)
    centered: bool = False
    mode: str = "constant"
    mask: str = ""

    def __post_init__(self) -> None:
        if not self.value or not all(math.isfinite(value) for value in self.value):
            raise ValueError(f"value: expected a finite number, or one for each channel, got {self.value!r}")
        if self.mode not in MODES:
            raise ValueError(f"mode: expected one of {', '.join(MODES)}, got {self.mode!r}")
        if self.mask and self.centered:
            raise ValueError("mask: expected none where the image is centered")

    def __str__(self) -> str:
        how = f"with {', '.join(f'{value:g}' for value in self.value)}" if self.mode == "constant" else self.mode
        mask = f", and {self.mask}" if self.mask else ""
        return f"pad to {self.size}{', centered,' * self.centered} {how}{mask}"

    @property
    def fixed_size(self) -> tuple[int, int] | None:
        return self.size.fixed

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Raises ``InputError`` where there is nothing to pad."""
        new_height, new_width = self.size.output_size(height, width)
        if height > new_height or width > new_width:
            raise InputError(f"pad_size {new_height}x{new_width} is smaller than the image, {height}x{width}")
        return new_height, new_width

    def values(self, channels: int) -> tuple[float, ...]:
        """One for each channel. Raises ``ValueError`` where the number of channels is another."""
        if len(self.value) not in (1, channels):
            raise ValueError(f"'{self}' has values for {len(self.value)} channels, and the Plan is for {channels}")
        return self.value * (channels if len(self.value) == 1 else 1)

    def padding(self, height: int, width: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """Rows above and below, columns left and right."""
        new_height, new_width = self.output_size(height, width)
        top, left = pad_offset(height, new_height, self.centered), pad_offset(width, new_width, self.centered)
        return (top, new_height - height - top), (left, new_width - width - left)

    def reference(self, image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """``[H, W, C]`` of any dtype to ``[h, w, C]`` (image_processing_backends.py:507)."""
        rows, columns = self.padding(*image.shape[:2])
        if self.mode != "constant":
            return np.pad(image, (rows, columns, (0, 0)), mode=self.mode)  # type: ignore[call-overload,no-any-return]
        values = self.values(image.shape[2])
        padded = [
            np.pad(channel, (rows, columns), constant_values=value)
            for channel, value in zip(np.moveaxis(image, -1, 0), values, strict=True)
        ]
        return np.stack(padded, -1)

    def mask_of(self, height: int, width: int) -> np.ndarray[Any, Any]:
        """:attr:`mask` for an image of ``height`` x ``width``."""
        return np.pad(np.ones((height, width), np.int64), self.padding(height, width))
