"""Resize, and the crop behind it, as ONNX nodes.

A pass works on ``[N, samples, rest]``: one local function serves both axes, and a transposition turns the image between
them. In it, the windows of all blocks of outputs are one ``Gather`` of contiguous memory, and one ``MatMulInteger``
multiplies them with the weights, which are split into digits of 7 bits. Integers are exact whatever the order of
summation; and digits of 7 bits times pixels of 8 fit the 16-bit pairs that processors without VNNI sum in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import resample
from ..arrays.onnx import Formulas, Image, in_layout
from ..lowering import Resample
from . import alpha_onnx, box_reduce_onnx
from .interpolate_onnx import output_size

BLOCK = 8
"""Outputs that share a window: of 2, 4, 8 and 16 the fastest from 480x640 and from 1080x1920 to 224x224."""

DIGITS = {"pillow": 4, "torchvision": 3}
"""Of 7 bits, in a weight of 22 bits or of 15, and its sign."""

Pass = Callable[[Any, str], Any]


def lower(g: Any, formulas: Formulas, kernel: Resample, image: Image) -> Image:
    """Adds ``kernel`` to the graph ``g``; the pixels come out as uint8 ``[N, C, height, width]``."""
    step, crop, geometry = kernel.resize, kernel.crop, formulas.geometry
    image = in_layout(g, image, "NHWC")
    height, width = output_size(g, formulas, step.size, image)
    crop_size, rule = ([0, 0], "") if crop is None else ([crop.height, crop.width], crop.rule)
    of_rows, of_columns, first = geometry.both_axes(
        image.height, image.width, height, width, step.order, crop_size, rule, step.reducing_gap or 0.0
    )
    rows, columns, factors = of_rows[3], of_columns[3], (of_rows[4], of_columns[4])
    with g.scope("height"):
        resize_rows = _axis(g, formulas, kernel, *of_rows)
    with g.scope("width"):
        resize_columns = _axis(g, formulas, kernel, *of_columns)
    # Pillow leaves an image of the right size alone, transparency too.
    same: Any = (image.height == height) & (image.width == width) if kernel.alpha else None
    if kernel.alpha:
        image = image._replace(pixels=_unless(g, same, image.pixels, 3, formulas.resample.premultiplied))
    if step.reducing_gap:
        image = box_reduce_onnx.lower(g, formulas, image, *factors)

    def turned(pixels: Any) -> Any:
        return g.node("Transpose", pixels, perm=[0, 2, 1])

    def reshaped(pixels: Any, *shape: Any) -> Any:
        return g.node("Reshape", pixels, g.shape(*shape))

    # Signed, as onnxruntime multiplies uint8 by int8 fastest.
    pixels = reshaped(g.cast(g.node("Sub", image.pixels, g.value(128, "uint8")), "int8"), 0, 0, -1)

    def vertical_first() -> Any:
        resized = turned(resize_rows(pixels, "int8"))  # [N, W * C, rows]
        resized = resize_columns(reshaped(resized, 0, image.width, -1), "uint8")  # [N, columns, C * rows]
        return reshaped(turned(resized), 0, image.channels, rows, columns)

    def horizontal_first() -> Any:
        resized = resize_columns(reshaped(turned(pixels), 0, image.width, -1), "int8")  # [N, columns, C * H]
        resized = resize_rows(turned(reshaped(resized, 0, -1, image.height)), "uint8")  # [N, rows, columns * C]
        return g.node("Transpose", reshaped(resized, 0, rows, columns, image.channels), perm=[0, 3, 1, 2])

    # Nobody sees the order of what rounds nothing.
    condition = False if step.order == "pillow12.1" or step.filter == "nearest" else first
    if isinstance(condition, bool):  # the same for every image
        resized = vertical_first() if condition else horizontal_first()
    else:
        resized = g.branch(condition, vertical_first, horizontal_first, name="pass_order")
    if kernel.alpha:
        resized = _unless(g, same, resized, 1, formulas.resample.straight)
    return image._replace(pixels=resized, height=rows, width=columns, layout="NCHW")


def _unless(g: Any, same: Any, pixels: Any, axis: int, formula: Callable[[Any, Any], Any]) -> Any:
    """``pixels`` with ``formula`` on their colours, unless ``same`` holds."""
    if isinstance(same, bool):
        return pixels if same else alpha_onnx.colours(g, pixels, axis, formula)
    return g.branch(
        same,
        lambda: g.node("Identity", pixels),
        lambda: alpha_onnx.colours(g, pixels, axis, formula),
        name="transparency",
    )


def _axis(
    g: Any, formulas: Formulas, kernel: Resample, n_in: Any, n_out: Any, offset: Any, count: Any, factor: Any
) -> Pass:
    """One axis's pass, from int8 ``[N, n_in, rest]``, which is uint8 less 128, to ``[N, count, rest]`` of either dtype.

    Its weights are computed once outside.
    """
    step = kernel.resize
    known = all(isinstance(n, int) for n in (n_in, n_out, offset, count, factor))
    start, weights, one = (resample if known else formulas.resample).fixed_point(
        n_in, n_out, offset, count, step.kernel, step.support, step.weights, BLOCK, factor
    )
    length = DIGITS[step.weights]
    index, digits = (_constants if known else _computed)(g, start, weights, length)
    one = g.cast(g.value(float(one) if known else one, "float64"), "float32")
    body = g.function(
        "resize_axis", ("int8", "int64", "uint8", "float32", "int8"), lambda *inputs: _blocks(g, length, *inputs)
    )
    blocks = (count + BLOCK - 1) // BLOCK

    def resize(pixels: Any, dtype: str) -> Any:
        zero = g.value(-128 if dtype == "int8" else 0, dtype)
        resized = g.call(body, pixels, index, digits, one, zero, dtype=dtype)
        resized = g.node("Reshape", resized, g.shape(0, blocks * BLOCK, -1))
        if isinstance(count, int) and count % BLOCK == 0:
            return resized
        return g.node("Slice", resized, g.constant([0], "int64"), g.shape(count), g.constant([1], "int64"))

    return resize


def _shifts(length: int) -> tuple[Any, int]:
    """Bits below each digit, and the number that has 64 in every digit."""
    shifts = np.arange(length)[:, None, None] * 7
    return shifts, int(sum(64 << shifts.ravel()))


def _computed(g: Any, start: Any, weights: Any, length: int) -> tuple[Any, Any]:
    """Samples of each window, int64 ``[blocks, window]``, and weights as digits, ``[blocks, length * block, window]``.

    They are uint8, and 64 stands for the digit 0: with 64 added to each the number is positive, and its plain digits to
    the base 128 are these.
    """
    shifts, zeros = _shifts(length)
    offsets = g.node("Range", g.constant(0, "int64"), g.size(weights, 2), g.constant(1, "int64"))
    index = g.node("Unsqueeze", g.cast(start, "int64"), g.constant([1], "int64")) + offsets
    positive = g.node("Unsqueeze", g.cast(weights + float(zeros), "uint32"), g.constant([1], "int64"))
    shifted = g.node("BitShift", positive, g.constant(shifts, "uint32"), direction="RIGHT")
    digits = g.cast(g.node("BitwiseAnd", shifted, g.value(127, "uint32")), "uint8")
    return index, g.node("Reshape", digits, g.constant([0, length * BLOCK, -1], "int64"))


def _constants(g: Any, start: Any, weights: Any, length: int) -> tuple[Any, Any]:
    """The same for images of one size, computed now: the file holds the numbers."""
    shifts, zeros = _shifts(length)
    blocks, _, window = weights.shape
    digits = (weights.astype(np.int64)[:, None] + zeros >> shifts) & 127
    index = start.astype(np.int64)[:, None] + np.arange(window)
    return g.constant(index, "int64", "samples"), g.constant(digits.reshape(blocks, -1, window), "uint8", "weights")


def _blocks(g: Any, length: int, pixels: Any, index: Any, digits: Any, one: Any, zero: Any) -> Any:
    """The windows ``index`` of ``pixels`` times the weights: ``[N, blocks, block, rest]``, black being ``zero``."""
    windows = g.node("Gather", pixels, index, axis=1)
    zeros = g.value(64, "uint8"), g.value(-128, "int8")
    sums = g.split(g.node("MatMulInteger", digits, windows, *zeros, dtype="int32"), length, axis=2)
    total = sums[-1]
    for digit in reversed(sums[:-1]):
        total = total * g.value(128, "int32") + digit
    # Without its last 7 bits, and half of them added, a sum is exact in float32 and never halfway between two pixel
    # values, where QuantizeLinear would round to even; it divides by ``one``, rounds and clips.
    total = g.node("BitwiseAnd", total, g.value(-128, "int32")) + g.value(64, "int32")
    return g.node("QuantizeLinear", g.cast(total, "float32"), one, zero, dtype=zero.dtype)
