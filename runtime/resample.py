"""Filters, windows and integer weights of Pillow's 8-bit resampler, and of torchvision's.

The formulas are written once, as plain Python over an array namespace ``xp``. Here ``xp`` is NumPy; the torch,
TorchScript and ONNX backends run *the same source* over their own arrays (see :mod:`.arrays`), so no backend can
drift from another.

Source of the rules: Pillow's ``src/libImaging/Resample.c`` (``precompute_coeffs``, ``normalize_coeffs_8bpc``,
``bicubic_filter`` and its siblings) and, for nearest, ``Geometry.c`` (``ImagingScaleAffine``).

Weights come as *blocks*: neighbouring outputs share one window of the input, so that a pass is a few small matrix
products instead of a gather per tap. A weight is an integer of 22 fractional bits, and a pass gives
``clip((sum(weight * pixel) + 2**21) >> 22, 0, 255)``, rounded to uint8 between the passes.
"""

from __future__ import annotations

import math
from typing import Tuple

from . import geometry
from .arrays import numpy as xp

PRECISION_BITS = 22
"""Fractional bits of a weight: Resample.c, ``PRECISION_BITS = 32 - 8 - 2``."""

SUPPORT = {
    "nearest": 0.5,
    "box": 0.5,
    "bilinear": 1.0,
    "hamming": 1.0,
    "bicubic": 2.0,
    "lanczos": 3.0,
    "mks2013": 2.5,
    "mks2021": 4.5,
    "bilinear_point": 1.0,
    "bicubic_point": 2.0,
}
"""Half width of each filter in output pixels. The last two are torchvision's without antialiasing: in input pixels."""


def window_size(n_in: int, n_out: int, support: float, block: int) -> int:
    """Input samples that cover every window of ``block`` neighbouring outputs."""
    # In integers: a float of a size would become a symbol that torch.compile cannot always bound.
    covered = ((block - 1) * n_in + int(2.0 * support) * max(n_in, n_out)) // n_out
    return min(n_in, covered + 2)


def block_weights(
    n_in: int,
    n_out: int,
    offset: int,
    count: int,
    filter: str,
    support: float,
    weights: str = "pillow",
    block: int = 16,
    factor: int = 1,
) -> Tuple[xp.Array, xp.Array]:
    """Weights of outputs ``offset … offset + count`` of a resize from ``n_in`` to ``n_out`` samples.

    Outputs before 0 or from ``n_out`` on get weights of zero: a crop that is larger than the image pads with 0.

    Args:
        n_in, n_out, offset, count: in samples.
        filter: a key of :data:`SUPPORT`, and ``support`` its value.
        weights: ``pillow``: 22 fractional bits; ``torchvision``: as many as leave the axis's largest weight in an
            int16 (ATen's ``UpSampleKernel.cpp``), shifted to 22.
        block: outputs that share a window. It changes no value: more make fewer products, fewer make smaller ones.
        factor: by which ``n_in`` samples were averaged before (:func:`runtime.geometry.reduced`): the weights are for
            those that are left.

    Returns:
        ``start``, float64 ``[blocks]``: the first input sample of each block's window, and the weights, float64
        ``[blocks, block, window]`` holding integers. The last block may hold outputs past ``count``.
    """
    start, integers, one = fixed_point(n_in, n_out, offset, count, filter, support, weights, block, factor)
    return start, integers * (4194304.0 / one)


def fixed_point(
    n_in: int,
    n_out: int,
    offset: int,
    count: int,
    filter: str,
    support: float,
    weights: str,
    block: int,
    factor: int,
) -> Tuple[xp.Array, xp.Array, xp.Number]:
    """:func:`block_weights` with as many fractional bits as the reference has, and the number that stands for 1."""
    start, values = block_values(n_in, n_out, offset, count, filter, support, block, factor)
    if weights == "torchvision":
        # The largest weight of *all* outputs, those that a crop leaves out too.
        _, every = block_values(n_in, n_out, 0, n_out, filter, support, block, factor)
        largest = xp.largest(every)
        if filter == "bilinear_point" or filter == "bicubic_point":
            # ATen looks at the last sample's weight before it adds what lies outside, which may be negative.
            end = xp.scalar(n_in)
            center = (xp.arange(n_out) + 0.5) * (end / xp.scalar(n_out))
            largest = xp.maximum(largest, xp.largest(point_values(xp.reshape(end - 1.0, [1]), center, end, filter)))
        ones = xp.exp2(xp.arange(22) + 1.0)
        fits = xp.trunc(largest * ones + 0.5) < 32768.0
        one = xp.largest(xp.where(fits, ones, 1.0))
    else:
        one = xp.scalar(4194304)
    return start, round_half_away(values * one), one


def round_half_away(x: xp.Array) -> xp.Array:
    """To the nearest integer, as C's ``(int)(x + 0.5)`` for x >= 0 and ``(int)(x - 0.5)`` below."""
    return xp.trunc(xp.where(x < 0.0, x - 0.5, x + 0.5))


def block_values(
    n_in: int, n_out: int, offset: int, count: int, filter: str, support: float, block: int, factor: int
) -> Tuple[xp.Array, xp.Array]:
    """:func:`block_weights` before they are made integers: the weights of an output sum to 1."""
    samples = geometry.reduced(n_in, factor)
    window = window_size(samples, n_out, support, block)
    blocks = (count + block - 1) // block
    zero, end = xp.scalar(0), xp.scalar(samples)
    extent = xp.quotient32(n_in, factor)
    scale = extent / xp.scalar(n_out)
    stretch = xp.maximum(scale, xp.scalar(1))
    wanted = xp.reshape(xp.arange(blocks * block), [blocks, block, 1]) + xp.scalar(offset)
    output = xp.clip(wanted, zero, xp.scalar(n_out - 1))
    center = (output + 0.5) * scale
    if filter == "nearest":
        low = xp.reshape(nearest_index(n_in, n_out, xp.reshape(output, [-1])), [blocks, block, 1])
        high = low + 1.0
    elif filter == "bilinear_point" or filter == "bicubic_point":
        low = point_index(center, end, filter) - (support - 1.0)
        high = low + 2.0 * support
    else:
        low = xp.floor(xp.clip(center - stretch * support + 0.5, zero, end))
        high = xp.floor(xp.clip(center + stretch * support + 0.5, zero, end))
    start = xp.clip(xp.first(low), zero, xp.scalar(samples - window))
    source = start + xp.reshape(xp.arange(window), [1, 1, window])
    inside = (source >= low) & (source < high) & (wanted == output)
    if filter == "bilinear_point" or filter == "bicubic_point":
        values = edge_values(point_values(source, center, end, filter), source, center, end, filter)
        return xp.reshape(start, [-1]), xp.where(inside, values, 0.0)
    # Resample.c multiplies by the reciprocal; a division would round differently.
    values = xp.where(inside, filter_value((source - center + 0.5) * xp.reciprocal(stretch), filter), 0.0)
    if filter == "mks2013" or filter == "mks2021":
        # These do not interpolate: only by leaving out a pass that changes no size does Pillow keep the pixels.
        values = xp.where((extent == xp.scalar(n_out)) & inside, xp.where(source == output, 1.0, source * 0.0), values)
    total = xp.running_total(values)
    return xp.reshape(start, [-1]), values / xp.where(total == 0.0, 1.0, total)


def point_index(center: xp.Array, end: xp.Number, filter: str) -> xp.Array:
    """Input sample at or before each output's position, without antialiasing: ATen's ``guard_index_and_lambda``."""
    return xp.clip(xp.floor(point_position(center, filter)), xp.scalar(-1), end - 1.0)


def point_position(center: xp.Array, filter: str) -> xp.Array:
    """``area_pixel_compute_source_index``: not before the first sample, except for bicubic."""
    return xp.maximum(center - 0.5, xp.scalar(0 if filter == "bilinear_point" else -1))


def point_values(source: xp.Array, center: xp.Array, end: xp.Number, filter: str) -> xp.Array:
    """Weights without antialiasing: 2 or 4 samples however strong the reduction, those before the first added to it.

    ATen's ``UpSampleKernel.cpp``, ``_compute_indices_min_size_weights``; it adds up the moved ones in their order.
    """
    index = point_index(center, end, filter)
    part = xp.clip(point_position(center, filter) - index, xp.scalar(0), xp.scalar(1))
    before = filter_value(-2.0 - index - part, filter) + filter_value(-1.0 - index - part, filter)
    values = filter_value(source - index - part, filter)
    return xp.where(source == 0.0, before + values, values)


def edge_values(values: xp.Array, source: xp.Array, center: xp.Array, end: xp.Number, filter: str) -> xp.Array:
    """``values`` with those of samples behind the last one added to it."""
    index = point_index(center, end, filter)
    part = xp.clip(point_position(center, filter) - index, xp.scalar(0), xp.scalar(1))
    last = source == end - 1.0
    values = xp.where(last, values + filter_value(source + 1.0 - index - part, filter), values)
    return xp.where(last, values + filter_value(source + 2.0 - index - part, filter), values)


def nearest_index(n_in: int, n_out: int, output: xp.Array) -> xp.Array:
    """Input sample of each ``output`` under Pillow's NEAREST, which *adds up* the step instead of multiplying."""
    outputs = xp.arange(n_out)
    steps = outputs * 0.0 + xp.scalar(n_in) / xp.scalar(n_out)
    position = xp.cumsum(xp.where(outputs == 0.0, steps * 0.5, steps))
    return xp.take(xp.floor(position), output)


def filter_value(x: xp.Array, filter: str) -> xp.Array:
    """The filter at distance ``x`` (float64, any shape)."""
    if filter == "nearest":
        return x * 0.0 + 1.0
    if filter == "box":  # half open: the one filter that is not even
        return xp.where((x > -0.5) & (x <= 0.5), x * 0.0 + 1.0, 0.0)
    x = xp.abs(x)
    if filter == "bilinear" or filter == "bilinear_point":
        return xp.where(x < 1.0, 1.0 - x, 0.0)
    if filter == "hamming":
        pi_x = x * math.pi
        # Resample.c writes 0.54f and 0.46f: these are the float32 values.
        value = xp.sin(pi_x) / xp.where(x == 0.0, 1.0, pi_x) * (0.5400000214576721 + 0.46000000834465027 * xp.cos(pi_x))
        return xp.where(x == 0.0, 1.0, xp.where(x < 1.0, value, 0.0))
    if filter == "bicubic":
        near = (1.5 * x - 2.5) * x * x + 1.0
        far = (((x - 5.0) * x + 8.0) * x - 4.0) * -0.5
        return xp.where(x < 1.0, near, xp.where(x < 2.0, far, 0.0))
    if filter == "bicubic_point":  # a is -0.75, in ATen's order of operations
        near = (1.25 * x - 2.25) * x * x + 1.0
        far = ((-0.75 * x + 3.75) * x - 6.0) * x + 3.0
        return xp.where(x < 1.0, near, xp.where(x < 2.0, far, 0.0))
    if filter == "mks2013":
        mks = xp.where(x < 1.5, (1.0 - x) * (1.75 - x), -0.125 * (x - 2.5) * (x - 2.5))
        return xp.where(x < 0.5, 17.0 / 16.0 - 1.75 * (x * x), xp.where(x < 2.5, mks, 0.0))
    if filter == "mks2021":
        far = xp.where(x < 3.5, 1.0 / 36.0 * (x - 3.0) * (x - 3.75), -1.0 / 288.0 * ((x - 4.5) * (x - 4.5)))
        mks = xp.where(x < 2.5, 1.0 / 6.0 * (x - 2.0) * (65.0 / 24.0 - x), far)
        mks = xp.where(x < 1.5, 35.0 / 36.0 * (x - 1.0) * (x - 239.0 / 140.0), mks)
        return xp.where(x < 0.5, 577.0 / 576.0 - 239.0 / 144.0 * (x * x), xp.where(x < 4.5, mks, 0.0))
    return xp.where(x < 3.0, sinc(x) * sinc(x / 3.0), 0.0)


def mirrored(n_in: int, n_out: int, offset: int, edge: bool) -> xp.Array:
    """The samples of an axis that is padded to ``n_out`` with its mirror image: float64 ``[n_out]``.

    ``offset`` samples of padding come first. With ``edge`` the outermost sample is mirrored too (NumPy's
    ``symmetric``), else not (``reflect``); longer padding mirrors the mirror image.
    """
    span = 2 * n_in - 1 if edge else 2 * n_in - 2
    period = xp.maximum(xp.scalar(span + 1 if edge else span), xp.scalar(1))
    position = xp.arange(n_out) - xp.scalar(offset)
    position = position - xp.floor(position / period) * period
    index: xp.Array = xp.where(position * 2 > xp.scalar(span), xp.scalar(span) - position, position)
    return index


def border(n_in: int, n_out: int, offset: int, mode: str) -> xp.Array:
    """As :func:`mirrored`, for every mode of :class:`.Pad` but ``constant``."""
    if mode == "replicate":
        repeated: xp.Array = xp.clip(xp.arange(n_out) - xp.scalar(offset), xp.scalar(0), xp.scalar(n_in) - 1.0)
        return repeated
    return mirrored(n_in, n_out, offset, mode == "symmetric")


def sinc(x: xp.Array) -> xp.Array:
    """``sin(pi x) / (pi x)``, 1 at 0."""
    pi_x = x * math.pi
    return xp.where(x == 0.0, 1.0, xp.sin(pi_x) / xp.where(x == 0.0, 1.0, pi_x))


def luma(red: xp.Array, green: xp.Array, blue: xp.Array) -> xp.Array:
    """Pillow's conversion to mode ``L``, of numbers 0 to 255 (Convert.c, ``L24``)."""
    return xp.floor((red * 19595 + green * 38470 + blue * 7471 + 32768) / 65536)


def premultiplied(colour: xp.Array, alpha: xp.Array) -> xp.Array:
    """A colour times its opacity, both 0 to 255, rounded as Pillow's ``MULDIV255`` (ImagingUtils.h)."""
    product = colour * alpha + 128.0
    return xp.floor((xp.floor(product * (1.0 / 256.0)) + product) * (1.0 / 256.0))


def straight(colour: xp.Array, alpha: xp.Array) -> xp.Array:
    """The other way, rounded down and clipped; what is all clear stays (Convert.c, ``rgbA2rgba``)."""
    divided = xp.clip(xp.floor(colour * 255.0 / xp.maximum(alpha, xp.scalar(1))), xp.scalar(0), xp.scalar(255))
    return xp.where(alpha == 0.0, colour, divided)


def box_mean(total: xp.Array, count: xp.Array) -> xp.Array:
    """``total`` of ``count`` pixels as their rounded mean, by Pillow's integers (Reduce.c, ``division_UINT32``)."""
    multiplier = xp.trunc(16777216.0 / count)  # in float32 there, which gives the same for all counts below 2**23
    return xp.floor((total + xp.floor(count * 0.5)) * multiplier * (1.0 / 16777216.0))
