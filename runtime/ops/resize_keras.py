"""Resize as Keras does on its torch backend: torch's ``interpolate`` of floats, rounded back to uint8."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import taps
from ..interpolation import TAPS
from .size import Size

Array = np.ndarray[Any, Any]

FILTERS = ("nearest", *TAPS)

SMALL = 128
"""Height plus width of results that another kernel of torch's makes, without antialiasing (``UpSampleKernel.cpp``,
``_use_vectorized_kernel_cond_2d``)."""


@dataclass(frozen=True)
class ResizeKeras:
    """Resizes a uint8 image to ``size``; the result is uint8 (keras 3.15, src/backend/torch/image.py:200).

    torch computes in float32, and its results depend on the order and the rounding of its sums. They are given to the
    last bit, those of a CPU with AVX2 and FMA and of more than one thread, as they decide where a value near a half
    goes. With one thread torch takes bilinear positions otherwise, and without FMA all sums: seen on noise, 1 or up to
    4 values in 100,000 are then 1 level apart from these. Backend ``torch`` runs torch's own kernels, on the CPU.

    Attributes:
        size: a height and a width.
        filter: one of :data:`FILTERS`.
        antialias: whether a reduction reads all samples; not for ``nearest``.
    """

    size: Size
    filter: str
    antialias: bool = False

    def __post_init__(self) -> None:
        if not self.size.is_static:
            raise ValueError(f"size: expected height and width, got {self.size}")
        if self.filter not in FILTERS:
            raise ValueError(f"filter: expected one of {', '.join(FILTERS)}, got {self.filter!r}")
        if not isinstance(self.antialias, bool):
            raise ValueError(f"antialias: expected true or false, got {self.antialias!r}")
        if self.antialias and self.filter == "nearest":
            raise ValueError("antialias: expected false, for filter nearest")

    def __str__(self) -> str:
        antialias = "" if self.filter == "nearest" else ", antialiased" if self.antialias else ", not antialiased"
        return f"resize to {self.size}, {self.filter}{antialias}, as Keras on torch"

    @property
    def fixed_size(self) -> tuple[int, int]:
        return self.size.output_size(1, 1)

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        return self.fixed_size

    def joins(self, channels: int) -> bool:
        """Whether the kernel is the one that adds up all four samples of a bilinear result at once."""
        return self.filter == "bilinear" and not self.antialias and (channels > 3 or sum(self.fixed_size) <= SMALL)

    def reference(self, image: Array) -> Array:
        """uint8 ``[H, W, C]`` to uint8 ``[h, w, C]``."""
        height, width = self.fixed_size
        if self.filter == "nearest":
            rows, columns = taps.nearest(image.shape[0], height), taps.nearest(image.shape[1], width)
            picked: Array = image[rows.astype(int)][:, columns.astype(int)]
            return picked
        result: Array = np.rint(self.interpolated(image.astype(np.float32)).clip(0, 255)).astype(np.uint8)
        return result

    def interpolated(self, image: Array) -> Array:
        """float32 ``[H, W, C]`` to float32 ``[h, w, C]``: torch's result before it is rounded; not for ``nearest``."""
        height, width = self.fixed_size
        if self.antialias:
            turned = _antialiased(image.swapaxes(0, 1), width, self.filter)
            return _antialiased(turned.swapaxes(0, 1), height, self.filter)
        return _joined(image, height, width) if self.joins(image.shape[2]) else self._separable(image)

    def _separable(self, image: Array) -> Array:
        """Each kept row's samples first, then the rows."""
        height, width = self.fixed_size
        fused = self.filter == "bicubic"
        columns = [
            (index.astype(int), weight[None, :, None])
            for index, weight in taps.point_taps(image.shape[1], width, self.filter, fused)
        ]
        rows = []
        for index, weight in taps.point_taps(image.shape[0], height, self.filter, fused):
            lines = image[index.astype(int)]
            rows.append((_sum([(lines[:, i], w) for i, w in columns]), weight[:, None, None]))
        return _sum(rows)


def _joined(image: Array, height: int, width: int) -> Array:
    """The four samples of a bilinear result, each with one weight."""
    samples = []
    columns = taps.point_taps(image.shape[1], width, "bilinear", True)
    for row, down in taps.point_taps(image.shape[0], height, "bilinear", True):
        for column, across in columns:
            weight = (down[:, None, None] * across[None, :, None]).astype(np.float32)
            samples.append((image[row.astype(int)][:, column.astype(int)], weight.astype(np.float64)))
    return _sum(samples)


def _sum(samples: list[tuple[Array, Array]]) -> Array:
    """Of products, in torch's order: the second one is rounded, and the others are added to it without."""
    first, second, *rest = samples
    total = (second[0] * second[1]).astype(np.float32)
    for sample, weight in (first, *rest):
        total = _add_product(total, sample, weight)
    return total


def _add_product(total: Array, sample: Array, weight: Array) -> Array:
    """An FMA: ``total`` and ``sample`` are float32, ``weight`` is float64 of float32 numbers."""
    result: Array = (sample * weight + total).astype(np.float32)
    return result


def _antialiased(image: Array, n_out: int, filter: str) -> Array:
    """float32 ``[n, …]`` to float32 ``[n_out, …]``."""
    low, apart, behind, joined = taps.antialiased_taps(len(image), n_out, filter)
    axes = (-1,) + (1,) * (image.ndim - 1)

    def samples(first: Array, i: int) -> Array:
        lines: Array = image[np.minimum(first[:, 0].astype(int) + i, len(image) - 1)]
        return lines

    total = np.zeros((n_out, *image.shape[1:]), np.float32)
    for i, weight in enumerate(apart.T.astype(np.float32)):
        total += samples(low, i) * weight.reshape(axes)
    for i, weight in enumerate(joined.T):
        total = _add_product(total, samples(behind, i), weight.reshape(axes))
    return total
