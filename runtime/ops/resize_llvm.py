"""Resize, crop and table in integers, compiled by numba: a pass is a few vector instructions an output pixel.

The inner loops are LLVM vectors written by hand, since numba's own loops over three interleaved channels stay scalar.
LLVM maps the vectors to what the processor has: no instruction set is named here.

Sums are int32, as in Pillow's ``Resample.c``: the weights of a window sum to 2**22, and their magnitudes to less than
1.6 times that under every filter, so that the positive ones and 8-bit pixels give less than 2**31.
"""

from __future__ import annotations

import functools
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, register_jitable

from ..resample import PRECISION_BITS

Array = np.ndarray[Any, Any]

BLOCK = 64
"""Bytes of a row that the vertical pass computes at once."""

ROWS = 4
"""Rows of the image that the horizontal pass computes at once, and taps that it adds at once."""

PIXELS = 16
"""Pixels of three planes that are interleaved at once."""

HELD = 48
"""Rows between the passes beyond those of one window: few enough for the cache next to a core."""

_alloca: Any = cgutils.alloca_once_value  # in the entry block, where LLVM makes it a register
_BYTE, _WORD, _LONG = ir.IntType(8), ir.IntType(32), ir.IntType(64)


# --- Vectors


def _splat(value: int, lanes: int) -> ir.Constant:
    return ir.Constant(ir.VectorType(_WORD, lanes), [value] * lanes)


def _shuffle(builder: Any, vector: Any, lanes: list[int], other: Any = None) -> Any:
    """Lanes of ``vector``, counted on into ``other``, which is zero by default."""
    if other is None:
        other = ir.Constant(vector.type, None)
    return builder.shuffle_vector(vector, other, ir.Constant(ir.VectorType(_WORD, len(lanes)), lanes))


def _load(builder: Any, address: Any, kind: Any) -> Any:
    value = builder.load(builder.inttoptr(address, kind.as_pointer()))
    value.align = 1
    return value


def _store(builder: Any, value: Any, address: Any) -> None:
    builder.store(value, builder.inttoptr(address, value.type.as_pointer())).align = 1


def _multiply_add(builder: Any, total: Any, pixels: Any, weights: Any) -> None:
    """Adds the products of bytes and weights to the int32 vector that ``total`` points to."""
    wide = builder.zext(pixels, weights.type)
    builder.store(builder.add(builder.load(total), builder.mul(wide, weights)), total)


def _to_bytes(builder: Any, sums: Any) -> Any:
    """``clip((sum + 2**21) >> 22, 0, 255)``."""
    lanes = sums.type.count
    half, bits = _splat(1 << PRECISION_BITS - 1, lanes), _splat(PRECISION_BITS, lanes)
    value = builder.ashr(builder.add(sums, half), bits)
    for relation, bound in (("<", _splat(0, lanes)), (">", _splat(255, lanes))):
        value = builder.select(builder.icmp_signed(relation, value, bound), bound, value)
    return builder.trunc(value, ir.VectorType(_BYTE, lanes))


def _across(stride: int) -> Any:
    """The horizontal pass of one output pixel in four rows, of pixels that are ``stride`` bytes apart.

    Four taps are one vector of 16 lanes, red, green, blue and one that is not used; the three channels of the result
    and that one are stored as four bytes.
    """
    channels = [tap * 3 + channel if channel < 3 else 16 for tap in range(4) for channel in range(4)]

    @intrinsic
    def across(
        _: Any, row0: Any, row1: Any, row2: Any, row3: Any, weights: Any, taps: Any, target: Any, pitch: Any
    ) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            rows, (weights, taps, target, pitch) = args[:4], args[4:]
            totals = [_alloca(builder, _splat(0, 16)) for _ in rows]
            steps = builder.lshr(builder.add(taps, _LONG(3)), _LONG(2))
            with cgutils.for_range(builder, steps) as loop:
                at = builder.add(weights, builder.mul(loop.index, _LONG(16)))
                four = _load(builder, at, ir.VectorType(_WORD, 4))
                four = _shuffle(builder, four, [lane // 4 for lane in range(16)])
                offset = builder.mul(loop.index, _LONG(4 * stride))
                for row, total in zip(rows, totals, strict=True):
                    pixels = _load(builder, builder.add(row, offset), ir.VectorType(_BYTE, 16))
                    if stride == 3:
                        pixels = _shuffle(builder, pixels, channels)
                    _multiply_add(builder, total, pixels, four)
            # The four taps of each row are added up while the rows move into one vector.
            sums = [builder.load(total) for total in totals]
            halves = [
                builder.add(
                    _shuffle(builder, a, [*range(8), *range(16, 24)], b),
                    _shuffle(builder, a, [*range(8, 16), *range(24, 32)], b),
                )
                for a, b in (sums[:2], sums[2:])
            ]
            even = [8 * pair + lane for pair in range(4) for lane in range(4)]
            whole = builder.add(
                _shuffle(builder, halves[0], even, halves[1]),
                _shuffle(builder, halves[0], [lane + 4 for lane in even], halves[1]),
            )
            pixels = builder.bitcast(_to_bytes(builder, whole), ir.VectorType(_WORD, 4))
            for i in range(4):
                at = builder.add(target, builder.mul(pitch, _LONG(i)))
                _store(builder, builder.extract_element(pixels, _WORD(i)), at)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 8), generate

    return across


def _down(lanes: int) -> Any:
    """The vertical pass of ``lanes`` neighbouring bytes."""

    @intrinsic
    def down(_: Any, source: Any, pitch: Any, weights: Any, taps: Any, target: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            source, pitch, weights, taps, target = args
            total = _alloca(builder, _splat(0, lanes))
            with cgutils.for_range(builder, taps) as loop:
                at = builder.add(weights, builder.mul(loop.index, _LONG(4)))
                weight = _shuffle(builder, _load(builder, at, ir.VectorType(_WORD, 1)), [0] * lanes)
                at = builder.add(source, builder.mul(loop.index, pitch))
                _multiply_add(builder, total, _load(builder, at, ir.VectorType(_BYTE, lanes)), weight)
            _store(builder, _to_bytes(builder, builder.load(total)), target)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 5), generate

    return down


def _copy(lanes: int) -> Any:
    """Moves ``lanes`` bytes."""

    @intrinsic
    def copy(_: Any, source: Any, target: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            _store(builder, _load(builder, args[0], ir.VectorType(_BYTE, lanes)), args[1])
            return context.get_dummy_value()

        return types.void(types.int64, types.int64), generate

    return copy


def _planes() -> Any:
    """:data:`PIXELS` bytes of three planes as pixels of four bytes; the fourth is 0."""

    @intrinsic
    def planes(_: Any, red: Any, green: Any, blue: Any, target: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            three = [_load(builder, address, ir.VectorType(_BYTE, PIXELS)) for address in args[:3]]
            pairs = [lane + other for lane in range(PIXELS) for other in (0, PIXELS)]
            two, last = _shuffle(builder, three[0], pairs, three[1]), _shuffle(builder, three[2], pairs)
            fours = [lane + other for lane in range(0, 2 * PIXELS, 2) for other in (0, 1, 2 * PIXELS, 2 * PIXELS + 1)]
            _store(builder, _shuffle(builder, two, fours, last), args[3])
            return context.get_dummy_value()

        return types.void(*[types.int64] * 4), generate

    return planes


_across3, _across4 = _across(3), _across(4)
_down_block, _down_byte = _down(BLOCK), _down(1)
_copy_byte, _interleave = _copy(1), _planes()


# --- Kernels, in numba's Python. Addresses are integers; no byte from ``end`` on is read.


@register_jitable
def _pixels(source: int, plane: int, left: int, right: int, target: int) -> None:
    """Pixels ``left … right`` of a row of three planes, ``plane`` bytes apart, as pixels of four bytes."""
    x = left
    while x + PIXELS <= right:
        at = source + x
        _interleave(at, at + plane, at + 2 * plane, target + 4 * x)
        x += PIXELS
    while x < right:
        for channel in range(3):
            _copy_byte(source + channel * plane + x, target + 4 * x + channel)
        x += 1


@register_jitable
def _columns(
    source: int,
    rows: int,
    pitch: int,
    plane: int,
    stride: int,
    end: int,
    left: int,
    right: int,
    first: Array,
    taps: Array,
    weights: Array,
    spare: Array,
    target: Array,
    position: int,
) -> None:
    """The horizontal pass of the four rows at ``source``, the last of ``rows`` repeated, into four of ``target``."""
    row0, row1 = source, source + min(1, rows - 1) * pitch
    row2, row3 = source + min(2, rows - 1) * pitch, source + min(3, rows - 1) * pitch
    reach, to = spare.shape[1], spare.ctypes.data
    apart = 4 if stride == 1 else stride
    if stride == 1 or row3 + reach > end:
        for i, row in enumerate((row0, row1, row2, row3)):
            if stride == 1:
                _pixels(row, plane, left, right, to + i * reach)
            else:  # a vector would read past the image: compute from a copy of its last rows
                for x in range(min(reach, end - row)):
                    _copy_byte(row + x, to + i * reach + x)
        row0, row1, row2, row3 = to, to + reach, to + 2 * reach, to + 3 * reach
    at, size = weights.ctypes.data, weights.shape[1] * 4
    width = target.shape[1] * 4
    to = target.ctypes.data + position * width
    for x in range(len(first)):
        o = first[x] * apart
        if apart == 3:
            _across3(row0 + o, row1 + o, row2 + o, row3 + o, at + x * size, taps[x], to + 4 * x, width)
        else:
            _across4(row0 + o, row1 + o, row2 + o, row3 + o, at + x * size, taps[x], to + 4 * x, width)


@register_jitable
def _rows(source: int, pitch: int, end: int, size: int, weights: int, taps: int, target: int) -> None:
    """The vertical pass of ``size`` bytes of the ``taps`` rows at ``source``; up to a block more is written."""
    last = source + (taps - 1) * pitch
    x = 0
    while x < size:
        if last + x + BLOCK <= end:
            _down_block(source + x, pitch, weights, taps, target + x)
            x += BLOCK
        else:
            _down_byte(source + x, pitch, weights, taps, target + x)
            x += 1


@register_jitable
def _look_up(lines: Array, rows: int, table: Array, out: Array, n: int, y: int) -> None:
    """Rows of pixels of four bytes into the planes of ``out``, from row ``y`` of image ``n`` on."""
    for i in range(rows):
        for x in range(out.shape[3]):
            pixel = lines[i, x]
            out[n, 0, y + i, x] = table[0, pixel & 255]
            out[n, 1, y + i, x] = table[1, (pixel >> 8) & 255]
            out[n, 2, y + i, x] = table[2, (pixel >> 16) & 255]


def _band(
    addresses: Array,
    size: int,
    pitch: int,
    stride: int,
    plane: int,
    height: int,
    vertical: bool,
    left: int,
    right: int,
    x_first: Array,
    x_taps: Array,
    x_weights: Array,
    y_first: Array,
    y_taps: Array,
    y_weights: Array,
    table: Array,
    out: Array,
    itemsize: int,
    held: Array,
    spare: Array,
    lines: Array,
    row: int,
    stop: int,
) -> None:
    """Rows ``row … stop`` of the batch's outputs, the images' rows counted on.

    An image is ``size`` bytes at its address. Its pixels are ``stride`` bytes apart, and where that is 1, its channels
    ``plane`` bytes. ``held`` takes rows between the passes, ``lines`` four rows before the table, and ``spare`` four
    rows of planes or of an image's end, as long as a row's vectors reach.
    """
    between, held_pitch = held.ctypes.data, held.shape[1] * 4
    weights, weights_pitch = y_weights.ctypes.data, y_weights.shape[1] * 4
    line, line_pitch = lines.ctypes.data, lines.shape[1] * 4
    count = out.shape[2]
    parts, part = (3, right - left) if stride == 1 else (1, (right - left - 1) * stride + 3)
    while row < stop:
        n, y = row // count, row % count
        bottom = min(count, y + stop - row)
        row += bottom - y
        source = addresses[n]
        end = source + size
        low = high = 0  # the rows of the image that are in `held`
        while y < bottom:
            rows = min(ROWS, bottom - y)
            if vertical:
                for i in range(rows):
                    start = source + y_first[y + i] * pitch + left * stride
                    for j in range(parts):
                        at, to = weights + (y + i) * weights_pitch, between + (parts * i + j) * held_pitch
                        _rows(start + j * plane, pitch, end, part, at, y_taps[y + i], to)
                at, behind = between - left * stride, between + held.shape[0] * held_pitch
                _columns(
                    at, rows, parts * held_pitch, held_pitch, stride, behind,
                    left, right, x_first, x_taps, x_weights, spare, lines, 0,
                )  # fmt: skip
            else:
                for i in range(rows):
                    top = y_first[y + i]
                    if top > high:
                        low = high = top
                    while high < top + y_taps[y + i]:
                        if high - low + ROWS > held.shape[0]:
                            for j in range(high - top):
                                for x in range(held.shape[1]):
                                    held[j, x] = held[top - low + j, x]
                            low = top
                        _columns(
                            source + high * pitch, height - high, pitch, plane, stride, end,
                            left, right, x_first, x_taps, x_weights, spare, held, high - low,
                        )  # fmt: skip
                        high += ROWS
                    at, to = between + (top - low) * held_pitch, line + i * line_pitch
                    for x in range(0, line_pitch, BLOCK):
                        _down_block(at + x, held_pitch, weights + (y + i) * weights_pitch, y_taps[y + i], to + x)
            if itemsize == 4:
                _look_up(lines, rows, table, out.view(np.uint32), n, y)
            elif itemsize == 2:
                _look_up(lines, rows, table, out.view(np.uint16), n, y)
            else:
                _look_up(lines, rows, table, out, n, y)
            y += rows


@functools.lru_cache(maxsize=1)
def compiled() -> Any:
    """The kernel, from numba's cache on disk where there is one. It runs without the GIL and allocates nothing."""
    number, index = types.int64, types.int64[::1]
    weights, words, pixels = types.int32[:, ::1], types.uint32[:, ::1], types.uint8[:, :, :, ::1]
    signature = types.void(
        index, *[number] * 5, types.boolean, number, number, index, index, weights, index, index, weights,
        words, pixels, number, words, types.uint8[:, ::1], words, number, number,
    )  # fmt: skip
    try:
        return numba.njit(signature, nogil=True, cache=True)(_band)
    # No folder to write to, a full disk, a damaged file: numba lets through whatever `open` and `pickle` raise.
    except Exception:
        return numba.njit(signature, nogil=True)(_band)
