"""Resize, crop and table by the kernel of :mod:`.resize_llvm`, of images as they lie in memory."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..resample import block_weights
from ..threads import spread
from .resize_llvm import BLOCK, HELD, ROWS, compiled

Array = np.ndarray[Any, Any]
Axes = tuple[list[int], list[int], bool]
"""Of the rows and of the columns: samples before and after, offset and count of the crop, and the factor by which
samples were averaged before; and whether the vertical pass runs first."""

AxesOf = Callable[[int, int], Axes]
"""Those of an image's (height, width)."""

# --- Windows


class Windows(NamedTuple):
    """Where each output of one axis takes its samples.

    Attributes:
        first, taps: int64 ``[count]``; no taps where all weights are 0, and elsewhere ``first`` never goes down.
        weights: int32 ``[count, n]``, ``n`` a multiple of 4; zeros behind ``taps``.
        begin, end: the samples that are used at all.
    """

    first: Array
    taps: Array
    weights: Array
    begin: int
    end: int


def windows(n_in: int, n_out: int, offset: int, count: int, filter: str, support: float, weights: str) -> Windows:
    """:func:`runtime.resample.block_weights` output by output; sizes that repeat cost nothing."""
    # Long axes are not kept, so that no series of images fills the memory.
    build = _kept_windows if n_in + count <= 2**15 else _windows
    return build(n_in, n_out, offset, count, filter, support, weights)


def _windows(n_in: int, n_out: int, offset: int, count: int, filter: str, support: float, weights: str) -> Windows:
    starts, blocks = block_weights(n_in, n_out, offset, count, filter, support, weights)
    _, block, window = blocks.shape
    start = np.repeat(starts.astype(np.int64), block)[:count]
    values = blocks.reshape(-1, window)[:count].astype(np.int32)
    used = values != 0
    some = used.any(axis=1)
    first = np.where(some, start + used.argmax(axis=1), n_in)
    # A filter is 0 inside its support too, so a window may begin behind the next one's: it begins there instead.
    first = np.where(some, np.minimum.accumulate(first[::-1])[::-1], 0)
    taps = np.where(some, start + window - used[:, ::-1].argmax(axis=1) - first, 0)
    at = np.arange(-(-max(taps.max(), 1) // 4) * 4)
    source = np.clip((first - start)[:, None] + at, 0, window - 1)
    kept = np.where(at < taps[:, None], np.take_along_axis(values, source, axis=1), 0).astype(np.int32)
    begin = int(first[some].min()) if some.any() else 0
    return Windows(first, taps, kept, begin, int((first + taps).max()))


_kept_windows = functools.lru_cache(maxsize=128)(_windows)


# --- The call


def resize(
    images: Sequence[Array],
    axes: AxesOf,
    filter: str,
    support: float,
    weights: str,
    table: Array,
    threads: int | None = None,
    out: Array | None = None,
) -> Array:
    """Images as one batch ``[N, 3, h, w]`` of the table's dtype; neighbours of one size and layout run in one go.

    Args:
        images: uint8 ``[H, W, 3]``, of any sizes that ``axes`` gives one size of result. Pixels may be 4 bytes apart,
            as in a view of Pillow's memory, and channels may be planes; other layouts are copied first.
        axes: of an image's (height, width); with factors of 1.
        filter, support, weights: as in :func:`runtime.resample.block_weights`.
        table: ``[3, 256]`` of 1, 2 or 4 bytes: what each channel's pixel becomes.
        threads: at most; as many as there are CPUs by default.
        out: contiguous memory for the batch, used if it has its shape and dtype.
    """
    words = np.ascontiguousarray(table.view(f"u{table.itemsize}").astype(np.uint32))
    batch: Array | None = None
    done = 0
    for (shape, _), group in itertools.groupby(map(_readable, images), key=lambda image: (image.shape, image.strides)):
        same = list(group)
        rows, columns, vertical_first = axes(*shape[:2])
        # Nearest copies pixels, so the order is free, and this one skips the rows that nothing is copied from.
        vertical = vertical_first or filter == "nearest"
        xs, ys = (
            windows(n_in, n_out, offset, count, filter, support, weights)
            for n_in, n_out, offset, count, _ in (columns, rows)
        )
        if batch is None:
            shape = len(images), 3, rows[3], columns[3]
            # NumPy asks for huge pages, where torch's small ones cost more than the arithmetic.
            other = out is None or (out.shape, out.dtype) != (shape, table.dtype)
            batch = np.empty(shape, table.dtype) if out is None or other else out
        part = batch[done : done + len(same)].view(np.uint8)
        _resize(same, xs, ys, vertical, words, part, table.itemsize, threads)
        done += len(same)
    assert batch is not None
    return batch


def _readable(image: Array) -> Array:
    """``[H, W, 3]`` as the kernel reads it: pixels 3 or 4 bytes apart, or planes."""
    _, pixel, channel = image.strides
    if min(image.strides) >= 0 and (pixel == 1 or (channel == 1 and pixel in (3, 4))):
        return image
    return np.moveaxis(np.moveaxis(image, -1, 0).copy(), 0, -1)  # planes: the copy with the longest lines


def _resize(
    images: list[Array],
    xs: Windows,
    ys: Windows,
    vertical: bool,
    table: Array,
    out: Array,
    itemsize: int,
    threads: int | None,
) -> None:
    """:func:`resize` of images of one size and layout, ``out`` in bytes."""
    kernel = compiled()
    height, width, _ = images[0].shape
    pitch, stride, plane = images[0].strides
    size = (height - 1) * pitch + (width - 1) * stride + 2 * plane + 1
    planes = 3 if stride == 1 else 1
    reach = (xs.end + 3) * (4 if stride == 1 else stride) + 4
    kept_height, kept_width = len(ys.first), len(xs.first)
    padded = -(-4 * kept_width // BLOCK) * BLOCK // 4
    shape = (ROWS * planes, (reach + BLOCK) // 4 + 1) if vertical else (ys.weights.shape[1] + HELD, padded)

    def band(row: int, stop: int) -> None:
        # From the arrays in here, which keeps their memory alive if the call is interrupted and this is not.
        addresses = np.array([image.__array_interface__["data"][0] for image in images], np.int64)
        kernel(
            addresses, size, pitch, stride, plane, height, vertical, xs.begin, xs.end,
            *xs[:3], *ys[:3], table, out, itemsize,
            np.empty(shape, np.uint32), np.empty((ROWS, reach), np.uint8), np.empty((ROWS, padded), np.uint32),
            row, stop,
        )  # fmt: skip

    cost = (ys.end - ys.begin) * (xs.end - xs.begin) + 4 * kept_height * kept_width
    spread(band, len(images) * kept_height, len(images) * cost, threads)
