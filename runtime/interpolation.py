"""Positions in torch's ``interpolate`` of floats, and weights of OpenCV's bilinear resize and of blurred ones.

Plain Python over an array namespace, as there. Both libraries take positions in float32, where position 3000 is known
to a ten-thousandth of a sample: so the formulas compute in float64 and round to float32 wherever the libraries do.

Source of the rules: ATen's ``UpSample.h`` and ``native/cpu/UpSampleKernel.cpp``; for OpenCV, its copy in transformers
5.23 (image_processing_slanext.py:50).
"""

from __future__ import annotations

from .arrays import numpy as xp
from .geometry import pick

TAPS = {"bilinear": 2, "bicubic": 4}
"""Samples that an output reads; with antialiasing, where both sizes are the same."""


def is_small(new_height: int, new_width: int) -> bool:
    """Whether torch's bilinear kernel without antialiasing is the one for small results.

    It takes a position's product and difference with one rounding, as the bicubic one does on a CPU with FMA. On one
    thread, it is the kernel for larger results too (``_use_vectorized_kernel_cond_2d``).
    """
    return new_height + new_width <= 128


def point_position(output: xp.Array, scale: xp.Number, filter: str, align_corners: bool, fused: bool) -> xp.Array:
    """``area_pixel_compute_source_index``: where each output lies among the input samples."""
    if align_corners:
        return xp.float32(output * scale)
    product = (output + 0.5) * scale
    position = xp.float32((product if fused else xp.float32(product)) - 0.5)
    return xp.maximum(position, xp.scalar(0)) if filter == "bilinear" else position


def fixed_point_weights(n_in: int, n_out: int) -> tuple[xp.Array, xp.Array, xp.Array]:
    """OpenCV's bilinear resize of uint8: each output's two input samples, and the second one's weight of 2048.

    Returns:
        Three float64 ``[n_out]`` of integers. An image of one sample has it twice, as index -1 reads it in torch.
    """
    zero, last = xp.scalar(0), xp.scalar(n_in) - 1.0
    scale = xp.quotient32(n_in, n_out)
    position = xp.float32(xp.float32((xp.arange(n_out) + 0.5) * scale) - 0.5)
    index = xp.floor(position)
    part = xp.where(index < 0.0, 0.0, position - index)
    part = xp.where(index >= last, 1.0, part)
    left = xp.maximum(xp.where(index >= last, last - 1.0, index), zero)
    return left, xp.clip(left + 1.0, zero, last), xp.floor(xp.float32(part * 2048.0 + 0.5))


def smoothed_axes(
    height: int, width: int, new_height: int, new_width: int, library: str, blur: bool, block: int
) -> tuple[tuple[xp.Array, xp.Array], tuple[xp.Array, xp.Array]]:
    """:func:`smoothed_weights` of the rows and of the columns.

    torchvision takes the deviation of the other axis for each, and has none where one side does not shrink
    (image_processing_owlv2.py:343-350).
    """
    fused = is_small(new_height, new_width)
    if library == "scipy":
        rows, columns = pick(blur, height, new_height), pick(blur, width, new_width)
        return (
            smoothed_weights(height, new_height, rows, new_height, library, fused, block),
            smoothed_weights(width, new_width, columns, new_width, library, fused, block),
        )
    both = (height > new_height) & (width > new_width)
    rows, columns = pick(both, height, new_height), pick(both, width, new_width)
    return (
        smoothed_weights(height, new_height, columns, new_width, library, fused, block),
        smoothed_weights(width, new_width, rows, new_height, library, fused, block),
    )


def smoothed_weights(
    n_in: int, n_out: int, blur_in: int, blur_out: int, library: str, fused: bool, block: int
) -> tuple[xp.Array, xp.Array]:
    """Weights of a Gaussian blur and the linear interpolation behind it, in blocks as of :func:`block_weights`.

    The blur's standard deviation is half of what a reduction from ``blur_in`` to ``blur_out`` is above 1, and the
    image is mirrored at the centers of its border. ``scipy`` takes positions in float64, mirrors them too, and cuts
    the Gaussian at 4 deviations (``ndimage``, ``gaussian_filter`` and ``zoom``); ``torchvision`` takes them in
    float32 and cuts at 3 (image_processing_owlv2.py:331).
    """
    reach = max(blur_in, blur_out) * 2 // blur_out + 2  # no Gaussian is wider
    window = min(n_in, (block - 1) * n_in // n_out + 2 * reach + 4)
    blocks = (n_out + block - 1) // block
    zero, last = xp.scalar(0), xp.scalar(n_in) - 1.0
    output = xp.clip(xp.reshape(xp.arange(blocks * block), [blocks, block, 1]), zero, xp.scalar(n_out) - 1.0)
    if library == "scipy":
        deviation = xp.maximum((xp.scalar(blur_in) / xp.scalar(blur_out) - 1.0) * 0.5, zero)
        radius = xp.floor(deviation * 4.0 + 0.5)
        position = xp.abs((output + 0.5) * (xp.scalar(n_in) / xp.scalar(n_out)) - 0.5)
        position = last - xp.abs(last - position)
    else:
        deviation = xp.maximum((xp.quotient32(blur_in, blur_out) - 1.0) * 0.5, zero)
        radius = xp.floor(xp.float32(deviation * 3.0) * -1.0) * -1.0
        position = point_position(output, xp.quotient32(n_in, n_out), "bilinear", False, fused)
    index = xp.clip(xp.floor(position), zero, last)
    part = xp.clip(position - index, zero, xp.scalar(1))
    start = xp.clip(xp.first(index) - (xp.scalar(reach) + 1.0), zero, xp.scalar(n_in - window))
    source = start + xp.reshape(xp.arange(window), [1, 1, window])
    narrow = xp.maximum(deviation, xp.scalar(1) * 1e-9)  # of no blur: one weight of 1, the others 0
    rate = xp.reciprocal(narrow * narrow) * -0.7213475204444817  # exp(-x / 2) is exp2 of this
    values = source * 0.0
    for tap in range(2):
        center = xp.clip(index + float(tap), zero, last)
        share = part if tap == 1 else 1.0 - part
        for image in range(3):  # a sample, and its mirror images before the first and behind the last
            mirrored = source if image == 0 else (source * -1.0 if image == 1 else last * 2.0 - source)
            distance = xp.abs(mirrored - center)
            weight = xp.exp2(distance * distance * rate) * share
            counts = (distance <= radius) & ((mirrored == source) == (xp.scalar(image) == zero))
            values = values + xp.where(counts, weight, 0.0)
    return xp.reshape(start, [-1]), xp.float32(values / xp.running_total(values))
