"""Resize on NVIDIA GPUs: one Triton kernel a pass, sums in int32 as Pillow's.

A program resizes a strip of lines to 16 outputs. It reads the part of the lines that these outputs need once, and
multiplies it with their weights on the tensor cores: pixels less 128, and weights as three digits of base 256, are
int8, so no sum is rounded and no precision flag applies. The last pass looks its pixels up in the table as well.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"
# Parameters of a kernel have no types of Python.
from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
import triton  # type: ignore[import-untyped]
import triton.language as tl  # type: ignore[import-untyped]
from torch import Tensor

from .. import geometry
from .. import resample as _resample

OUTPUTS = 16
"""Outputs of a program: the narrowest operand of a tensor core. More would only multiply more zeros."""

LINES, TAPS, WARPS = 64, 64, 8


@triton.jit
def shifted(low, high, bits):
    """The 32 bits that begin ``bits`` into ``low``."""
    return ((high.to(tl.uint64) << 32 | low.to(tl.uint64)) >> bits).to(tl.uint32)


@triton.jit
def four(a, b, c, d, ROWS: tl.constexpr, COLUMNS: tl.constexpr):  # noqa: N803
    """Pixels less 128, from the low bytes of ``[ROWS, COLUMNS / 4]``, side by side: int8 ``[ROWS, COLUMNS]``."""
    a, b, c, d = (a ^ 128).to(tl.int8), (b ^ 128).to(tl.int8), (c ^ 128).to(tl.int8), (d ^ 128).to(tl.int8)
    return tl.reshape(tl.join(tl.join(a, c), tl.join(b, d)), [ROWS, COLUMNS])


@triton.jit
def add_products(pixels, factors, digit, low, middle, high):
    """Adds ``pixels`` int8 ``[LINES, TAPS]`` times each digit of the weights to that digit's sums."""
    low = tl.dot(pixels, tl.load(factors), low, out_dtype=tl.int32)
    middle = tl.dot(pixels, tl.load(factors + digit), middle, out_dtype=tl.int32)
    high = tl.dot(pixels, tl.load(factors + 2 * digit), high, out_dtype=tl.int32)
    return low, middle, high


@triton.jit
def store_pixels(writes, lines, count, result_l, result_k, low, middle, high, added, table, TABLE: tl.constexpr):  # noqa: N803
    """Rounds the sums ``[LINES, OUTPUTS]`` to a uint8, and stores it or what ``table`` ``[256]`` holds for it."""
    line = tl.arange(0, low.shape[0])[:, None]
    output = tl.arange(0, low.shape[1])[None, :]
    wanted = (line < lines) & (output < count)
    writes += line.to(tl.int64) * result_l + output.to(tl.int64) * result_k
    total = low + (middle << 8) + (high << 16) + added[None, :]
    value = tl.minimum(tl.maximum(total >> 22, 0), 255)
    if TABLE:
        tl.store(writes, tl.load(table + value, mask=wanted, other=0), mask=wanted)
    else:
        tl.store(writes, value.to(tl.uint8), mask=wanted)


@triton.jit
def resample_kernel(
    image,
    result,
    table,
    starts,
    digits,
    bias,
    skipped,
    channels,
    lines,
    samples,
    count,
    blocks,
    taps,
    image_n,
    image_c,
    image_slow,
    result_n,
    result_c,
    result_l,
    result_k,
    TABLE: tl.constexpr,  # noqa: N803
    INTERLEAVED: tl.constexpr,  # noqa: N803
    LINES_FAST: tl.constexpr,  # noqa: N803
    LINES: tl.constexpr,  # noqa: N803
    OUTPUTS: tl.constexpr,  # noqa: N803
    TAPS: tl.constexpr,  # noqa: N803
):
    """One pass: ``image`` uint8 ``[N, C, lines, samples]`` to ``result`` ``[N, C, lines, count]``.

    Along the image's fast axis, samples or with ``LINES_FAST`` lines, lie pixels of 3 bytes (``INTERLEAVED``) or of 1;
    they are read as aligned words, for a thread that reads bytes keeps too few of them in flight. ``starts`` int32
    ``[blocks]``, less ``skipped``, ``digits`` int8 ``[3, blocks, OUTPUTS, taps]`` and ``bias`` int32
    ``[blocks, OUTPUTS]`` are :func:`axis_digits`; ``table`` is ``[C, 256]`` of the result's dtype.
    """
    BYTES: tl.constexpr = 3 if INTERLEAVED else 1  # noqa: N806
    ROWS: tl.constexpr = TAPS if LINES_FAST else LINES  # noqa: N806
    COLUMNS: tl.constexpr = LINES if LINES_FAST else TAPS  # noqa: N806
    block = tl.program_id(0) % blocks
    strips = (lines + LINES - 1) // LINES
    strip = tl.program_id(0) // blocks % strips
    n = (tl.program_id(0) // blocks // strips).to(tl.int64)
    start = tl.load(starts + block) - skipped
    lines -= strip * LINES
    samples -= start
    top, start = (strip * LINES).to(tl.int64), start.to(tl.int64)
    image += n * image_n + (start * image_slow + top * BYTES if LINES_FAST else top * image_slow + start * BYTES)
    result += n * result_n + top * result_l + (block * OUTPUTS).to(tl.int64) * result_k
    group = tl.arange(0, COLUMNS // 4)[None, :] * (4 * BYTES)
    row = tl.arange(0, ROWS)[:, None]
    output = block * OUTPUTS + tl.arange(0, OUTPUTS)
    factors = digits + output[None, :] * taps + tl.arange(0, TAPS)[:, None]
    digit = blocks * OUTPUTS * taps
    added = tl.load(bias + output)
    count -= block * OUTPUTS
    for _ in range(0, channels, BYTES):
        low = tl.full([LINES, OUTPUTS], 0, tl.int32)
        middle, high = low, low
        low_1, middle_1, high_1 = low, low, low
        low_2, middle_2, high_2 = low, low, low
        for k in range(0, taps, TAPS):
            # Where each row begins, and how many bytes it has; -4 lets not even the word before it be read.
            if LINES_FAST:
                reads = image + (k + row).to(tl.int64) * image_slow
                size = tl.where(k + row < samples, lines * BYTES, -4)
            else:
                reads = image + row.to(tl.int64) * image_slow + k * BYTES
                size = tl.where(row < lines, (samples - k) * BYTES, -4)
            odd = (reads.to(tl.int64) & 3).to(tl.int32)
            words = (reads - odd).to(tl.pointer_type(tl.uint32), bitcast=True) + group // 4
            left = size + odd - group
            bits = (odd * 8).to(tl.uint64)
            x = tl.load(words, mask=left > 0, other=0)
            y = tl.load(words + 1, mask=left > 4, other=0)
            if INTERLEAVED:
                z = tl.load(words + 2, mask=left > 8, other=0)
                w = tl.load(words + 3, mask=left > 12, other=0)
                x, y, z = shifted(x, y, bits), shifted(y, z, bits), shifted(z, w, bits)
                pixels = four(x, x >> 24, y >> 16, z >> 8, ROWS, COLUMNS)
                pixels_1 = four(x >> 8, y, y >> 24, z >> 16, ROWS, COLUMNS)
                pixels_2 = four(x >> 16, y >> 8, z, z >> 24, ROWS, COLUMNS)
                if LINES_FAST:
                    pixels, pixels_1, pixels_2 = tl.trans(pixels), tl.trans(pixels_1), tl.trans(pixels_2)
                low_1, middle_1, high_1 = add_products(pixels_1, factors + k, digit, low_1, middle_1, high_1)
                low_2, middle_2, high_2 = add_products(pixels_2, factors + k, digit, low_2, middle_2, high_2)
            else:
                x = shifted(x, y, bits)
                pixels = four(x, x >> 8, x >> 16, x >> 24, ROWS, COLUMNS)
                if LINES_FAST:
                    pixels = tl.trans(pixels)
            low, middle, high = add_products(pixels, factors + k, digit, low, middle, high)
        store_pixels(result, lines, count, result_l, result_k, low, middle, high, added, table, TABLE)
        result += result_c
        table += 256
        if INTERLEAVED:
            store_pixels(result, lines, count, result_l, result_k, low_1, middle_1, high_1, added, table, TABLE)
            result += result_c
            table += 256
            store_pixels(result, lines, count, result_l, result_k, low_2, middle_2, high_2, added, table, TABLE)
        image += image_c


def axis_digits(axis: list[int], filter: str, support: float, kind: str, device: Any) -> Any:
    """What :func:`resample_kernel` wants to know of ``axis``, sizes before and after, offset, count and factor.

    Returns the first and the last sample read, and on ``device`` ``starts``, ``digits`` and ``bias``; None where the
    axis stays as it is.
    """
    n_in, n_out, _, count, factor = axis
    if n_in == n_out == count and factor == 1:
        return None
    small = count * _resample.window_size(geometry.reduced(n_in, factor), n_out, support, OUTPUTS) <= 2**18
    make: Any = _kept_digits if small else _kept_digits.__wrapped__
    return make(tuple(axis), filter, support, kind, device)


@functools.lru_cache(maxsize=64)
def _kept_digits(
    axis: tuple[int, ...], filter: str, support: float, kind: str, device: Any
) -> tuple[int, int, Tensor, Tensor, Tensor]:
    n_in, n_out, offset, count, factor = axis
    start, weights = _resample.block_weights(n_in, n_out, offset, count, filter, support, kind, OUTPUTS, factor)
    window = weights.shape[2]
    numbers = np.zeros((*weights.shape[:2], -(-window // TAPS) * TAPS), np.int64)
    numbers[:, :, :window] = weights
    # 2**21 rounds, and 128 was taken from each pixel.
    bias = 2**21 + 128 * numbers.sum(-1)
    low = (numbers + 128) % 256 - 128
    middle = ((numbers - low) // 256 + 128) % 256 - 128
    high = (numbers - low - 256 * middle) // 65536
    digits = np.stack([low, middle, high]).astype(np.int8)
    tensors = (start.astype(np.int32), digits, bias.astype(np.int32))
    return (
        int(start[0]),
        int(start[-1]) + window,
        *(torch.from_numpy(array).to(device, non_blocking=True) for array in tensors),
    )


def resize(
    image: Tensor,
    rows: list[int],
    columns: list[int],
    filter: str,
    support: float,
    kind: str,
    vertical_first: bool,
    table: Tensor | None,
) -> Tensor | None:
    """uint8 ``[N, C, H, W]`` to uint8 ``[N, C, h, w]``, or through ``table`` ``[C, 256]`` to its dtype, contiguous.

    Axes as in :func:`axis_digits`. None where both stay as they are.
    """
    first, second = (rows, columns) if vertical_first else (columns, rows)
    before, after = (axis_digits(axis, filter, support, kind, image.device) for axis in (first, second))
    if before is None and after is None:
        return None
    dtype = torch.uint8 if table is None else table.dtype
    result = torch.empty([*image.shape[:2], rows[3], columns[3]], dtype=dtype, device=image.device)
    source = image.transpose(2, 3) if vertical_first else image
    skipped = 0
    if after is not None:  # lines that the second pass does not read need no first pass
        skipped = after[0]
        source = source[:, :, skipped : after[1]]
    if before is None:
        middle = source.transpose(2, 3)
    elif after is None:
        run_pass(source, result.transpose(2, 3) if vertical_first else result, before, 0, table)
        return result
    else:
        middle = torch.empty([*image.shape[:2], first[3], source.shape[2]], dtype=torch.uint8, device=image.device)
        run_pass(source, middle.transpose(2, 3), before, 0, None)
    run_pass(middle, result if vertical_first else result.transpose(2, 3), after, skipped, table)
    return result


def run_pass(image: Tensor, result: Tensor, axis: Any, skipped: int, table: Tensor | None) -> None:
    """Launches the kernel for uint8 ``image`` ``[N, C, lines, samples]`` and ``result`` ``[N, C, lines, count]``."""
    _, _, starts, digits, bias = axis
    fast = fast_axis(image)
    if fast is None:
        image = image.contiguous()
        fast = 3
    batch, channels, lines, samples = image.shape
    blocks = len(starts)
    with torch.cuda.device_of(image):  # Triton launches on the current device
        resample_kernel[(blocks * triton.cdiv(lines, LINES) * batch,)](
            image,
            result,
            image if table is None else table,
            starts,
            digits,
            bias,
            skipped,
            channels,
            lines,
            samples,
            result.shape[3],
            blocks,
            digits.shape[3],
            image.stride(0),
            image.stride(1),
            image.stride(5 - fast),
            *result.stride(),
            TABLE=table is not None,
            INTERLEAVED=image.stride(fast) == 3,
            LINES_FAST=fast == 2,
            LINES=LINES,
            OUTPUTS=OUTPUTS,
            TAPS=TAPS,
            num_warps=WARPS,
            num_stages=1,
            enable_fp_fusion=False,
        )


def fast_axis(image: Tensor) -> int | None:
    """The axis, 2 or 3, along which the pixels of ``[N, C, lines, samples]`` touch; None where neither is."""
    for axis in (3, 2):
        stride = image.stride(axis)
        if stride == 1 or (stride == 3 and image.stride(1) == 1 and image.shape[1] == 3):
            return axis
    return None
