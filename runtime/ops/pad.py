"""Pad to a size, or to one that follows from the image's."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InputError
from ..geometry import excess, pad_offset
from .size import Size
from .step import Step

MODES = ("constant", "symmetric", "reflect", "replicate")
"""What the new pixels are: ``value``, the image mirrored, with its edge or without, or its edge alone."""

RULES = ("height", "min_height", "ratio_height", "square", "sqrt_margin", "past_multiple", "ceil_to")
"""First keys of the sizes that leave some pixel of every image: a graph could not tell an empty one from its own."""


@dataclass(frozen=True)
class Pad(Step):
    """Pads ``[H, W, C]``; an image that is larger than ``size`` is an error.

    Attributes:
        size: the rule for the size after.
        value: of the new pixels: one number, or one for each channel.
        centered: whether the image comes into the middle, instead of to the top left corner.
        mode: one of :data:`MODES`.
        once: whether a border that would mirror the mirror image is an error, as in torch.
        mask: the name of an output besides, int64 ``[H, W]``: 1 where the image is, 0 where padding; none by default.
    """

    size: Size
    value: tuple[float, ...] = (0.0,)
    centered: bool = False
    mode: str = "constant"
    once: bool = False
    mask: str = ""

    def __post_init__(self) -> None:
        if self.size.numbers[0][0] not in RULES or self.size.get("floor_to"):
            raise ValueError(f"size: expected one to pad to, got {self.size}")
        if not self.value or not all(math.isfinite(value) for value in self.value):
            raise ValueError(f"value: expected a finite number, or one for each channel, got {self.value!r}")
        if self.mode not in MODES:
            raise ValueError(f"mode: expected one of {', '.join(MODES)}, got {self.mode!r}")
        if self.once and self.mode in ("constant", "replicate"):
            raise ValueError("once: expected false where nothing is mirrored")
        if self.mask and (self.centered or self.mode != "constant"):
            raise ValueError("mask: expected none where the image is centered, or its border is not constant")

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
        if self.once and (self._excess(height, new_height) > 0 or self._excess(width, new_width) > 0):
            raise InputError(f"an image of {height}x{width} is too small to be mirrored to {new_height}x{new_width}")
        return new_height, new_width

    def _excess(self, size: int, padded: int) -> int:
        """How many samples a side lacks to be mirrored."""
        return excess(size, padded, self.centered, self.mode == "symmetric")

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
            mode = "edge" if self.mode == "replicate" else self.mode
            return np.pad(image, (rows, columns, (0, 0)), mode=mode)  # type: ignore[call-overload,no-any-return]
        values = self.values(image.shape[2])
        padded = [
            np.pad(channel, (rows, columns), constant_values=value)
            for channel, value in zip(np.moveaxis(image, -1, 0), values, strict=True)
        ]
        return np.stack(padded, -1)

    def check(self, channels: int, dtype: str) -> None:
        """Raises ``ValueError`` for another number of values, and for one that no pixel of uint8 has."""
        values = self.values(channels)
        if dtype == "uint8" and not all(0 <= value <= 255 for value in values):
            raise ValueError(f"value: expected 0 to 255, for '{self}' works on uint8, got {self.value}")

    @property
    def beside(self) -> tuple[str, ...]:
        return (self.mask,) if self.mask else ()

    def outputs(self, image: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
        return {name: self.mask_of(*image.shape[:2]) for name in self.beside}

    def mask_of(self, height: int, width: int) -> np.ndarray[Any, Any]:
        """:attr:`mask` for an image of ``height`` x ``width``."""
        return np.pad(np.ones((height, width), np.int64), self.padding(height, width))
