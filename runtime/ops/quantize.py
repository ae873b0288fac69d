"""Quantize: the index of the nearest colour of a palette, in place of each pixel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..colours import FUSED, distances
from .normalize import FLOAT32_MAX
from .step import Step

CHUNK = 1 << 20
"""Distances that are computed at a time, so that a large image does not take gigabytes."""


@dataclass(frozen=True)
class Quantize(Step):
    """Float32 pixels to int64 indices, line after line; of colours equally near, the first. It comes last.

    Attributes:
        palette: red, green and blue of the first colour, those of the second, and so on, on the pixels' scale.
        precision: of the distances: ``float64`` in transformers' PIL class, ``float32`` in its torchvision class, which
            rounds the palette too. As both add products on CPUs with FMA: see :mod:`runtime.colours`.
    """

    palette: tuple[float, ...]
    precision: str = "float64"

    works_on: ClassVar[str] = "float32"
    final: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not self.palette or len(self.palette) % 3 or not all(abs(value) <= FLOAT32_MAX for value in self.palette):
            raise ValueError("palette: expected finite numbers, three for each colour")
        if self.precision not in ("float64", "float32"):
            raise ValueError(f"precision: expected float64 or float32, got {self.precision!r}")

    def __str__(self) -> str:
        return f"index of the nearest of {self.colours} colours"

    @property
    def of_channels(self) -> int:
        return 3

    @property
    def gives(self) -> str:
        return "int64"

    @property
    def colours(self) -> int:
        return len(self.palette) // 3

    @property
    def single(self) -> bool:
        return self.precision == "float32"

    @property
    def fused(self) -> bool:
        """In float64, it makes no difference to colours that float32 holds."""
        if self.single:
            return self.colours >= FUSED
        return any(float(np.float32(value)) != value for value in self.palette)

    def arrays(self) -> np.ndarray[Any, Any]:
        """The palette that :func:`runtime.colours.distances` takes: float64 ``[7, colours]``."""
        colours = np.reshape(np.array(self.palette, self.precision), (-1, 3)).T
        large = colours.astype(np.float32).astype(np.float64)
        squares = (colours[0] ** 2 + colours[1] ** 2) + colours[2] ** 2
        return np.concatenate([large, squares[None], colours - large])

    def reference(self, image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Float32 ``[H, W, 3]`` to int64 ``[H * W]`` (image_processing_pil_imagegpt.py:46)."""
        pixels = image.reshape(-1, 3).astype(np.float64)
        palette, rows = list(self.arrays()), max(1, CHUNK // self.colours)
        nearest = []
        for i in range(0, len(pixels), rows):
            red, green, blue = pixels[i : i + rows].T[:, :, None]
            nearest.append(np.argmin(distances(red, green, blue, palette, self.single, self.fused), axis=1))
        return np.concatenate(nearest)
