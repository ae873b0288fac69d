"""What all steps of a Plan have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np


@dataclass(frozen=True)
class Step:
    """A step as :mod:`runtime.lowering`, :mod:`runtime.reference` and Plans see it; the defaults suit most.

    A step that changes the image's size has ``output_size``, which gives (height, width) for the image's, and
    ``fixed_size``, the same where it is one for all images, else None.

    Attributes:
        works_on: the dtype that its image has to have, ``uint8`` or ``float32``; empty for any.
        pointwise: whether it is done element by element: on pixels by a table, on floats one by one.
        reading: whether it is done where images are read, before the graph, which has no part of it.
        final: whether nothing may follow it.
        by_pixels: whether the size of the result follows from the pixels.
        bound: how far backends may differ, times the largest absolute value: 0 where all give the same bits.
    """

    works_on: ClassVar[str] = ""
    pointwise: ClassVar[bool] = False
    reading: ClassVar[bool] = False
    final: ClassVar[bool] = False
    by_pixels: ClassVar[bool] = False
    bound: ClassVar[float] = 0.0

    @property
    def of_channels(self) -> int:
        """How many channels its image has to have; 0 for any number."""
        return 0

    def check(self, channels: int, dtype: str) -> None:
        """Raises ``ValueError`` where it does not run on images of so many channels, or of this dtype."""
        if self.of_channels not in (0, channels):
            raise ValueError(f"'{self}' is for {self.of_channels} channels, and the Plan is for {channels}")
        if self.works_on not in ("", dtype):
            raise ValueError(f"'{self}' works on {self.works_on}, but comes on {dtype}")

    @property
    def gives(self) -> str:
        """The dtype of the result; empty where that stays."""
        return "float32" if self.pointwise else ""

    @property
    def beside(self) -> tuple[str, ...]:
        """Names of the outputs that it gives besides the image."""
        return ()

    def outputs(self, image: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
        """Those outputs for an image ``[H, W, C]``, as it comes to this step."""
        return {}

    def reference(self, image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """The image ``[H, W, C]`` after this step, as Pillow and NumPy make it: what every backend has to equal."""
        return image
