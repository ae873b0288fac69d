"""Resize, crop and table in integers, compiled by numba: a pass is a few vector instructions an output pixel.

The inner loops are LLVM vectors written by hand, since numba's own loops over three interleaved channels stay scalar.
LLVM maps the vectors to what the processor has: no instruction set is named here.

Sums are int32, as in Pillow's ``Resample.c``: the weights of a window sum to 2**22, and their magnitudes to less than
1.6 times that under every filter, so that the positive ones and 8-bit pixels give less than 2**31.
"""

from __future__ import annotations

from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, register_jitable

from ..resample import PRECISION_BITS
from .resize_numba import BLOCK, ROWS, Job

PIXELS = 16
"""Pixels of three planes that are interleaved at once."""

_alloca: Any = cgutils.alloca_once_value  # in the entry block, where LLVM makes it a register
_named: Any = types.NamedUniTuple
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


def _get(bits: int) -> Any:
    """The unsigned number of ``bits`` at the ``index``-th place of an address."""

    @intrinsic
    def get(_: Any, address: Any, index: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            at = builder.add(args[0], builder.mul(args[1], _LONG(bits // 8)))
            value = _load(builder, at, ir.IntType(bits))
            return value if bits == 64 else builder.zext(value, _LONG)

        return types.int64(types.int64, types.int64), generate

    return get


def _put(bits: int) -> Any:
    """Stores ``bits`` of a number at the ``index``-th place of an address."""

    @intrinsic
    def put(_: Any, address: Any, index: Any, value: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            at = builder.add(args[0], builder.mul(args[1], _LONG(bits // 8)))
            _store(builder, builder.trunc(args[2], ir.IntType(bits)), at)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 3), generate

    return put


def _job() -> Any:
    """The numbers at an address by their names, as a :class:`.Job`."""
    kind = _named(types.int64, len(Job._fields), Job)

    @intrinsic
    def job(_: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            numbers = [_load(builder, builder.add(args[0], _LONG(8 * i)), _LONG) for i in range(kind.count)]
            return context.make_tuple(builder, kind, numbers)

        return kind(types.int64), generate

    return job


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
_word, _long, _read_job = _get(32), _get(64), _job()
_copy_byte, _copy_block, _interleave = _copy(1), _copy(BLOCK), _planes()


# --- Kernels, in numba's Python. All numbers are int64, many of them addresses; no byte from ``end`` on is read.


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
    job: Job, source: int, rows: int, pitch: int, plane: int, end: int, spare: int, target: int, width: int
) -> None:
    """The horizontal pass of the four rows at ``source``, the last of ``rows`` repeated, into four at ``target``."""
    row0, row1 = source, source + min(1, rows - 1) * pitch
    row2, row3 = source + min(2, rows - 1) * pitch, source + min(3, rows - 1) * pitch
    apart, reach = 4 if job.stride == 1 else job.stride, job.reach
    if job.stride == 1 or row3 + reach > end:
        for i, row in enumerate((row0, row1, row2, row3)):
            if job.stride == 1:
                _pixels(row, plane, job.left, job.right, spare + i * reach)
            else:  # a vector would read past the image: compute from a copy of its last rows
                for x in range(min(reach, end - row)):
                    _copy_byte(row + x, spare + i * reach + x)
        row0, row1, row2, row3 = spare, spare + reach, spare + 2 * reach, spare + 3 * reach
    for x in range(job.width):
        o, taps = _long(job.x_first, x) * apart, _long(job.x_taps, x)
        at, to = job.x_weights + x * job.x_size, target + 4 * x
        if apart == 3:
            _across3(row0 + o, row1 + o, row2 + o, row3 + o, at, taps, to, width)
        else:
            _across4(row0 + o, row1 + o, row2 + o, row3 + o, at, taps, to, width)


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


def _look_up(bits: int) -> Any:
    """Pixels of four bytes into three planes, ``plane`` values apart, of values of ``bits``."""
    put = _put(bits)

    @register_jitable
    def look_up(pixels: int, count: int, table: int, out: int, plane: int) -> None:
        for x in range(count):
            pixel = _word(pixels, x)
            put(out, x, _word(table, pixel & 255))
            put(out, plane + x, _word(table, 256 + (pixel >> 8 & 255)))
            put(out, 2 * plane + x, _word(table, 512 + (pixel >> 16 & 255)))

    return look_up


_look_up1, _look_up2, _look_up4 = _look_up(8), _look_up(16), _look_up(32)


def _band(numbers: int, scratch: int, row: int, stop: int) -> None:
    """Rows ``row … stop`` of the batch's outputs, the images' rows counted on.

    Args:
        numbers: address of those of a :class:`.Job`.
        scratch: address of ``held_rows`` between the passes, of four rows before the table, and of four rows of planes
            or of an image's end.
    """
    job = _read_job(numbers)
    pitch, stride, plane, count, pace = job.pitch, job.stride, job.plane, job.height, job.held_pitch
    parts, part = (3, job.right - job.left) if stride == 1 else (1, (job.right - job.left - 1) * stride + 3)
    held, lines = scratch, scratch + job.held_rows * pace
    spare = lines + ROWS * job.line_pitch
    while row < stop:
        n, y = row // count, row % count
        bottom = min(count, y + stop - row)
        row += bottom - y
        source = _long(job.images, n)
        end = source + job.size
        low = high = 0  # the rows of the image that are in `held`
        while y < bottom:
            rows = min(ROWS, bottom - y)
            if job.vertical:
                for i in range(rows):
                    start = source + _long(job.y_first, y + i) * pitch + job.left * stride
                    at, taps = job.y_weights + (y + i) * job.y_size, _long(job.y_taps, y + i)
                    for j in range(parts):
                        _rows(start + j * plane, pitch, end, part, at, taps, held + (parts * i + j) * pace)
                _columns(job, held - job.left * stride, rows, parts * pace, pace, lines, spare, lines, job.line_pitch)
            else:
                for i in range(rows):
                    top, taps = _long(job.y_first, y + i), _long(job.y_taps, y + i)
                    if top > high:
                        low = high = top
                    while high < top + taps:
                        if high - low + ROWS > job.held_rows:
                            for x in range(0, (high - top) * pace, BLOCK):
                                _copy_block(held + (top - low) * pace + x, held + x)
                            low = top
                        at, to = source + high * pitch, held + (high - low) * pace
                        _columns(job, at, job.rows - high, pitch, plane, end, spare, to, pace)
                        high += ROWS
                    at, to = held + (top - low) * pace, lines + i * job.line_pitch
                    for x in range(0, job.line_pitch, BLOCK):
                        _down_block(at + x, pace, job.y_weights + (y + i) * job.y_size, taps, to + x)
            for i in range(rows):
                at, to = lines + i * job.line_pitch, job.out + (3 * n * count + y + i) * job.width * job.itemsize
                if job.itemsize == 4:
                    _look_up4(at, job.width, job.table, to, count * job.width)
                elif job.itemsize == 2:
                    _look_up2(at, job.width, job.table, to, count * job.width)
                else:
                    _look_up1(at, job.width, job.table, to, count * job.width)
            y += rows


def compiled(cache: bool) -> Any:
    """The kernel as numba's ``CFunc`` of four int64. It allocates nothing and raises nothing.

    Args:
        cache: whether numba is to keep it on disk.
    """
    signature = types.void(*[types.int64] * 4)
    try:
        return numba.cfunc(signature, cache=cache, error_model="numpy")(_band)
    # No folder to write to, a full disk, a damaged file: numba lets through whatever `open` and `pickle` raise.
    except Exception:
        if not cache:
            raise
        return compiled(False)
