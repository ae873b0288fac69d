"""Resize, crop and table by the kernel of :mod:`.resize_llvm`, of images as they lie in memory.

Importing this, and calling the kernel where it has been compiled before, need no numba.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
import struct
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import machine_code, resample
from ..resample import block_weights
from ..threads import spread

Array = np.ndarray[Any, Any]
Axes = tuple[list[int], list[int], bool]
"""Of the rows and of the columns: samples before and after, offset and count of the crop, and the factor by which
samples were averaged before; and whether the vertical pass runs first."""

AxesOf = Callable[[int, int], Axes]
"""Those of an image's (height, width)."""

BLOCK = 64
"""Bytes of a row that the vertical pass computes at once."""

ROWS = 4
"""Rows of the image that the horizontal pass computes at once, and taps that it adds at once."""

HELD = 48
"""Rows between the passes beyond those of one window: few enough for the cache next to a core."""


class Job(NamedTuple):
    """What the kernel is told of a call: images of one size and layout, and the result.

    Attributes:
        images: address of int64 ``[N]``, the images' addresses.
        size: bytes of an image.
        rows, pitch: its rows, and the bytes from one to the next.
        stride: bytes from one pixel to the next; where that is 1, channels are planes.
        plane: bytes from one channel to the next.
        vertical: whether the vertical pass runs first.
        left, right: the columns that are used.
        x_first, x_taps, x_weights: addresses of the columns' :class:`Windows`.
        x_size: bytes of one of its windows' weights.
        y_first, y_taps, y_weights, y_size: of the rows'.
        table: address of uint32 ``[3, 256]``.
        out: address of the result, ``[N, 3, height, width]`` of ``itemsize`` bytes each.
        held_rows, held_pitch: rows that are kept between the passes, and their bytes.
        line_pitch: bytes of a row before the table.
        reach: bytes of a row as far as vectors read.
    """

    images: int
    size: int
    rows: int
    pitch: int
    stride: int
    plane: int
    vertical: bool
    left: int
    right: int
    x_first: int
    x_taps: int
    x_weights: int
    x_size: int
    y_first: int
    y_taps: int
    y_weights: int
    y_size: int
    table: int
    out: int
    height: int
    width: int
    itemsize: int
    held_rows: int
    held_pitch: int
    line_pitch: int
    reach: int


_pack = struct.Struct(f"{len(Job._fields)}q").pack


@functools.lru_cache(maxsize=1)
def kernel() -> Callable[[bytes, int, int, int], None]:
    """``_band`` of :mod:`.resize_llvm`, which runs without the GIL; from a file where there is one, without numba.

    Raises:
        ImportError: numba is not installed, or cannot be imported where it has to compile.
    """
    sources = [Path(__file__).with_name("resize_llvm.py"), Path(__file__), Path(resample.__file__)]
    code = machine_code.address("export_preprocessor_resize", f"{__package__}.resize_llvm", sources)
    return ctypes.CFUNCTYPE(None, ctypes.c_char_p, *[ctypes.c_int64] * 3)(code)


# --- Windows


class Windows(NamedTuple):
    """Where each output of one axis takes its samples.

    Attributes:
        first, taps: int64 ``[count]``; no taps where all weights are 0, and elsewhere ``first`` never goes down.
        weights: int32 ``[count, n]``, ``n`` a multiple of 4; zeros behind ``taps``.
        begin, end: the samples that are used at all.
        addresses: of ``first``, ``taps`` and ``weights``.
    """

    first: Array
    taps: Array
    weights: Array
    begin: int
    end: int
    addresses: tuple[int, int, int]


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
    addresses = _address(first), _address(taps), _address(kept)
    return Windows(first, taps, kept, begin, int((first + taps).max()), addresses)


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
        _resize(same, xs, ys, vertical, words, batch[done : done + len(same)], threads)
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
    threads: int | None,
) -> None:
    """:func:`resize` of images of one size and layout."""
    band_of = kernel()
    rows, columns, _ = images[0].shape
    pitch, stride, plane = images[0].strides
    height, width = len(ys.first), len(xs.first)
    planes = 3 if stride == 1 else 1
    reach = (xs.end + 3) * (4 if stride == 1 else stride) + 4
    line = _blocks(4 * width)
    held = (ROWS * planes, _blocks(reach + BLOCK)) if vertical else (ys.weights.shape[1] + HELD, line)
    addresses = array("q", [image.__array_interface__["data"][0] for image in images])
    job = Job(
        images=addresses.buffer_info()[0],
        size=(rows - 1) * pitch + (columns - 1) * stride + 2 * plane + 1,
        rows=rows, pitch=pitch, stride=stride, plane=plane, vertical=vertical, left=xs.begin, right=xs.end,
        x_first=xs.addresses[0], x_taps=xs.addresses[1], x_weights=xs.addresses[2], x_size=4 * xs.weights.shape[1],
        y_first=ys.addresses[0], y_taps=ys.addresses[1], y_weights=ys.addresses[2], y_size=4 * ys.weights.shape[1],
        table=_address(table), out=_address(out), height=height, width=width, itemsize=out.itemsize,
        held_rows=held[0], held_pitch=held[1], line_pitch=line, reach=reach,
    )  # fmt: skip
    numbers = _pack(*job)
    scratch = held[0] * held[1] + ROWS * (line + reach)
    # What the kernel reads must live as long as the function: the call may be interrupted where a thread of it is not.
    memory = images, addresses, xs, ys, table, out

    def band(row: int, stop: int, _: object = memory) -> None:
        free = np.empty(scratch, np.uint8)
        band_of(numbers, _address(free), row, stop)

    cost = (ys.end - ys.begin) * (xs.end - xs.begin) + 4 * height * width
    spread(band, len(images) * height, len(images) * cost, threads)


def _blocks(size: int) -> int:
    """Bytes in whole blocks."""
    return -(-size // BLOCK) * BLOCK


def _address(memory: Any) -> int:
    """Of an array, contiguous and not read-only, in a third of the time that its own attributes take."""
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))
