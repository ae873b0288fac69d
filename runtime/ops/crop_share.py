"""Center crop to a share of the short side; what is missing is zero."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InputError
from ..geometry import share_box
from .center_crop import CenterCrop, crop
from .size import MOST_PIXELS, check_sides
from .step import Step


@dataclass(frozen=True)
class CropShare(Step):
    """Crops ``[H, W, C]`` to ``height / of_height`` and ``width / of_width`` of its short side, rounded down.

    Attributes:
        rule: as of :class:`~runtime.ops.center_crop.CenterCrop`.
        black: whether an empty crop is a black pixel, instead of an error: Pillow resizes nothing to black.
    """

    height: int
    width: int
    of_height: int
    of_width: int
    rule: str = "pil"
    black: bool = False

    def __post_init__(self) -> None:
        CenterCrop(1, 1, self.rule)
        sides = ("height", "width", "of_height", "of_width")
        check_sides({name: getattr(self, name) for name in sides})

    def __str__(self) -> str:
        return f"center crop {self.height}/{self.of_height} x {self.width}/{self.of_width} of the short side"

    @property
    def settings(self) -> tuple[list[int], list[int], str, bool]:
        """The last arguments of :func:`runtime.geometry.share_box`."""
        return [self.height, self.width], [self.of_height, self.of_width], self.rule, self.black

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Raises ``InputError`` where no pixel is left, or too many come out."""
        _, _, new_height, new_width = share_box(height, width, *self.settings)
        if not 1 <= new_height * new_width <= MOST_PIXELS:
            expected = f"at most {MOST_PIXELS} pixels" if new_height * new_width else "at least 1 pixel a side"
            raise InputError(
                f"an image of {height}x{width} would be cropped to {new_height}x{new_width} by '{self}': expected"
                f" {expected}"
            )
        return new_height, new_width

    def reference(self, image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """``[H, W, C]`` of any dtype to ``[h, w, C]`` (image_processing_pil_perceiver.py:50)."""
        self.output_size(*image.shape[:2])
        return crop(image, *share_box(image.shape[0], image.shape[1], *self.settings))
