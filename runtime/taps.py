"""Samples and weights of torch's ``interpolate`` on floats, to the last bit: :mod:`.interpolation` knows them nearly.

Plain Python over an array namespace, as there, but for NumPy and ONNX only: torch runs its own kernels. Every float32
operation is one in float64, rounded, which gives the same number; an FMA is one whose product is not rounded.

Source of the rules: ATen's ``UpSample.h`` and ``native/cpu/UpSampleKernel.cpp`` of torch 2.15. Which products its
compiler contracted into FMAs was measured on its builds for x86, where those for AVX2 and for AVX-512 agree.
"""

from __future__ import annotations

from .arrays import numpy as xp
from .geometry import pick
from .interpolation import TAPS, is_small, point_position

LANES = 8
"""Channels that the kernel of :func:`joins` adds up at once, in an order of their own."""

GROUP = 4
"""Samples of an antialiased sum whose products are rounded before they are added; those of the rest are not."""


def nearest(n_in: int, n_out: int) -> xp.Array:
    """The sample that each output of mode ``nearest-exact`` is: float64 ``[n_out]`` of integers."""
    position = xp.float32((xp.arange(n_out) + 0.5) * xp.quotient32(n_in, n_out))
    return xp.clip(xp.floor(position), xp.scalar(0), xp.scalar(n_in) - 1.0)


def joins(channels: int, height: int, width: int, filter: str, channels_last: bool) -> bool:
    """Whether torch's kernel without antialiasing is the one that adds up all four samples of a bilinear result.

    It is for results of ``height`` and ``width`` that are small, and for many channels that lie side by side.
    """
    if filter != "bilinear":
        return False
    return True if channels_last and channels > 3 else is_small(height, width)


def scale(n_in: int, n_out: int, align_corners: bool) -> xp.Number:
    """``area_pixel_compute_scale``: input samples from one output to the next."""
    if align_corners:
        return xp.quotient32(pick(n_out == 1, 0, n_in - 1), max(n_out - 1, 1))
    return xp.quotient32(n_in, n_out)


def point_taps(n_in: int, n_out: int, filter: str, align_corners: bool, fused: bool) -> list[tuple[xp.Array, xp.Array]]:
    """The samples that each output reads without antialiasing, from the lowest: their index and weight.

    Args:
        n_in, n_out: in samples.
        filter: ``bilinear`` or ``bicubic``.
        align_corners: as in torch.
        fused: whether positions are taken with one rounding.

    Returns:
        2 or 4 pairs of float64 ``[n_out]``.
    """
    first, last = xp.scalar(0), xp.scalar(n_in) - 1.0
    position = point_position(xp.arange(n_out), scale(n_in, n_out, align_corners), filter, align_corners, fused)
    index = xp.clip(xp.floor(position), xp.scalar(-1), last)
    part = xp.clip(xp.float32(position - index), first, xp.scalar(1))
    rest = xp.float32(1.0 - part)
    if filter == "bilinear":
        weights = [rest, part]
    else:
        ends = [cubic_far(xp.float32(distance + 1.0), -0.75, False) for distance in (part, rest)]
        weights = [ends[0], *(cubic_near(distance, -0.75, False) for distance in (part, rest)), ends[1]]
    below = TAPS[filter] // 2 - 1
    return [(xp.clip(index + float(i - below), first, last), weight) for i, weight in enumerate(weights)]


def antialiased_taps(
    n_in: int, n_out: int, filter: str, align_corners: bool, columns: int = 2
) -> tuple[xp.Array, xp.Array, xp.Array, xp.Array]:
    """The samples that each output reads with antialiasing, and their weights.

    Args:
        n_in, n_out, filter, align_corners: as of :func:`point_taps`.
        columns: of the result, where these are its rows and memory is contiguous: all rows of a single column are the
            first one, but where none is resized (seen in torch 2.15).

    Returns:
        ``low``, float64 ``[n_out, 1]``: the first sample; ``apart`` ``[n_out, 1 or more]``: weights of that and the
        next ones whose products are rounded; ``behind`` ``[n_out, 1]``: the first sample whose product is not;
        ``joined`` ``[n_out, 0 to GROUP - 1]``: weights of that and the next ones. What lies beyond an output's samples
        weighs 0.
    """
    size = xp.scalar(n_in)
    step = scale(n_in, n_out, align_corners)
    stretch = xp.maximum(step, xp.scalar(1))
    inverse = xp.float32(xp.reciprocal(stretch))
    moves = pick(columns == 1, pick(n_in == n_out, 1, 0), 1)
    center = xp.float32((xp.reshape(xp.arange(n_out), [n_out, 1]) * xp.scalar(moves) + 0.5) * step)
    reach = stretch * (TAPS[filter] / 2.0)
    low = xp.floor(xp.clip(xp.float32(center - reach) + 0.5, xp.scalar(0), size))
    high = xp.floor(xp.clip(xp.float32(center + reach) + 0.5, xp.scalar(0), size))

    def values(first: xp.Array, end: xp.Array) -> xp.Array:
        source = first + xp.reshape(xp.arange(int(xp.largest(end - first))), [1, -1])
        distance = xp.abs(xp.float32((xp.float32(source - center) + 0.5) * inverse))
        return xp.where(source < end, filter_value(distance, filter), 0.0)

    total = xp.running_total32(values(low, high))
    behind = low + xp.floor((high - low - 1.0) / float(GROUP)) * float(GROUP) + 1.0
    return low, xp.float32(values(low, behind) / total), behind, xp.float32(values(behind, high) / total)


def filter_value(distance: xp.Array, filter: str) -> xp.Array:
    """The weight at a distance of 0 or more, before it is divided by the sum of all."""
    if filter == "bilinear":
        return xp.maximum(xp.float32(1.0 - distance), xp.scalar(0))
    far = xp.where(distance < 2.0, cubic_far(distance, -0.5, True), 0.0)
    return xp.where(distance < 1.0, cubic_near(distance, -0.5, True), far)


def cubic_near(x: xp.Array, a: float, fused: bool) -> xp.Array:
    """``cubic_convolution1``, for distances below 1; ``fused``: whether its last operation is an FMA."""
    product = xp.float32(xp.float32(x * (a + 2.0) - (a + 3.0)) * x) * x
    return xp.float32((product if fused else xp.float32(product)) + 1.0)


def cubic_far(x: xp.Array, a: float, fused: bool) -> xp.Array:
    """``cubic_convolution2``, for distances from 1 to 2."""
    product = xp.float32(xp.float32(x * a - 5.0 * a) * x + 8.0 * a) * x
    return xp.float32((product if fused else xp.float32(product)) - 4.0 * a)
