"""torch's ``interpolate`` of floats, to the last bit: its sums in their order. For the steps that hold such a result.

They are those of a CPU with AVX2 and FMA and of more than one thread: on one, torch takes bilinear positions otherwise,
and without FMA it rounds all sums otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import taps

Array = np.ndarray[Any, Any]

ORDER = (1, 0, 2, 3)
"""In which the 2 or 4 samples of a result without antialiasing are added up."""

ROWS = 8
"""Of an interpolated image whose largest channels are looked for; 1 to 16 take the same time."""

LANES_ORDER = (2, 3, 1, 0)
"""As :data:`ORDER`, for channels that are added up in groups of :data:`.taps.LANES`."""


def interpolated(
    image: Array,
    height: int,
    width: int,
    filter: str,
    antialias: bool,
    align_corners: bool = False,
    channels_last: bool = False,
) -> Array:
    """``torch.nn.functional.interpolate`` of one image.

    Args:
        image: float32 ``[H, W, C]``.
        height, width: of the result.
        filter: ``bilinear`` or ``bicubic``.
        antialias, align_corners: as in torch.
        channels_last: whether torch has the image in that memory format, instead of contiguous ``[N, C, H, W]``: it
            picks the kernel by that.

    Returns:
        float32 ``[height, width, C]``.
    """
    if antialias:
        turned = _antialiased(image.swapaxes(0, 1), width, filter, align_corners)
        return _antialiased(turned.swapaxes(0, 1), height, filter, align_corners, 2 if channels_last else width)
    if not taps.joins(image.shape[2], height, width, filter, channels_last):
        return _separable(image, height, width, filter, align_corners)
    lanes = image.shape[2] // taps.LANES * taps.LANES
    parts = (image[..., :lanes], LANES_ORDER), (image[..., lanes:], ORDER)
    return np.concatenate([_joined(part, height, width, align_corners, order) for part, order in parts], axis=2)


def largest_channel(image: Array, height: int, width: int) -> Array:
    """Which channel is the largest of each pixel, once ``image`` is interpolated: bilinear, not antialiased.

    Only :data:`ROWS` rows of the interpolated image are in memory at a time.

    Args:
        image: float32 ``[H, W, C]``.
        height, width: of the result.

    Returns:
        int64 ``[height, width]``; of equal channels, the first one.
    """
    if taps.joins(image.shape[2], height, width, "bilinear", False):
        return np.asarray(interpolated(image, height, width, "bilinear", False).argmax(2), np.int64)
    lines, rows = _lines(image, height, width, "bilinear", False)
    largest = np.empty((height, width), np.int64)
    for first in range(0, height, ROWS):
        some = [(place[first : first + ROWS], weight[first : first + ROWS]) for place, weight in rows]
        largest[first : first + ROWS] = _upright(lines, some).argmax(2)
    return largest


def _separable(image: Array, height: int, width: int, filter: str, align_corners: bool) -> Array:
    return _upright(*_lines(image, height, width, filter, align_corners))


def _lines(
    image: Array, height: int, width: int, filter: str, align_corners: bool
) -> tuple[Array, list[tuple[Array, Array]]]:
    """The rows that are read, interpolated; and where each sample of a result's row is among them, and its weight."""
    fused = filter == "bicubic"
    columns = [
        (index.astype(int), weight[None, :, None])
        for index, weight in taps.point_taps(image.shape[1], width, filter, align_corners, fused)
    ]
    rows = taps.point_taps(image.shape[0], height, filter, align_corners, fused)
    read, place = np.unique([index for index, _ in rows], return_inverse=True)
    read = read.astype(int)[:, None]
    lines = _sum([(image[read, columns[i][0]], columns[i][1]) for i in ORDER[: len(columns)]])
    places = place.reshape(len(rows), height)
    return lines, [(places[i], rows[i][1]) for i in ORDER[: len(rows)]]


def _upright(lines: Array, rows: Sequence[tuple[Array, Array]]) -> Array:
    """Rows of the result from the interpolated ones."""
    return _sum([(lines[place], weight[:, None, None]) for place, weight in rows])


def _joined(image: Array, height: int, width: int, align_corners: bool, order: Sequence[int]) -> Array:
    """The four samples of a bilinear result, each with one weight."""
    samples = []
    columns = taps.point_taps(image.shape[1], width, "bilinear", align_corners, True)
    for row, down in taps.point_taps(image.shape[0], height, "bilinear", align_corners, True):
        for column, across in columns:
            weight = (down[:, None, None] * across[None, :, None]).astype(np.float32)
            samples.append((image[row.astype(int)[:, None], column.astype(int)], weight.astype(np.float64)))
    return _sum([samples[i] for i in order])


def _sum(samples: Sequence[tuple[Array, Array]]) -> Array:
    """Of products: the first one is rounded, and the others are added to it without."""
    first, *rest = samples
    total = (first[0] * first[1]).astype(np.float32)
    for sample, weight in rest:
        total = _add_product(total, sample, weight)
    return total


def _add_product(total: Array, sample: Array, weight: Array) -> Array:
    """An FMA: ``total`` and ``sample`` are float32, ``weight`` is float64 of float32 numbers.

    Where float64 cannot hold the sum it is rounded twice, as in ONNX. That differs from an FMA where the first rounding
    ends right between two float32 numbers: in none of 410 million sums of noise.
    """
    result: Array = (sample * weight + total).astype(np.float32)
    return result


def _antialiased(image: Array, n_out: int, filter: str, align_corners: bool, columns: int = 2) -> Array:
    """float32 ``[n, …]`` to float32 ``[n_out, …]``; ``columns`` as of :func:`.taps.antialiased_taps`."""
    low, apart, behind, joined = taps.antialiased_taps(len(image), n_out, filter, align_corners, columns)
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
