"""Resize, and the crop behind it, as ONNX nodes.

Each axis gets one local function, called in whichever order the reference runs the passes. In it, a block of outputs
is one ``Slice`` of the image and one ``MatMul``: weights of 22 bits are split into ``256 * high + low``, whose sums
with uint8 pixels are integers below 2**24, which float32 holds exactly in any order of summation.
"""

from __future__ import annotations

from typing import Any

from ..arrays.onnx import Formulas, Image
from ..lowering import Resample

EXACT = 2.0**24
"""Below it float32 holds every integer."""


def lower(g: Any, formulas: Formulas, kernel: Resample, image: Image) -> Image:
    """Adds ``kernel`` to the graph ``g``; the pixels come out as float32 integers."""
    step, crop, geometry = kernel.resize, kernel.crop, formulas.geometry
    height, width = geometry.output_size(image.height, image.width, *step.size.rule)
    top, left, rows, columns = 0, 0, height, width
    if crop is not None:
        top = geometry.crop_offset(height, crop.height, crop.rule)
        left = geometry.crop_offset(width, crop.width, crop.rule)
        rows, columns = crop.height, crop.width
    with g.scope("height"):
        resize_rows = _axis(g, formulas, kernel, image.height, height, top, rows, axis=2)
    with g.scope("width"):
        resize_columns = _axis(g, formulas, kernel, image.width, width, left, columns, axis=3)

    def vertical_first() -> Any:
        return resize_columns(resize_rows(image.pixels))

    def horizontal_first() -> Any:
        return resize_rows(resize_columns(image.pixels))

    condition = geometry.vertical_first(image.height, image.width, height, width, step.order)
    if step.order == "pillow12.1" or step.filter == "nearest":
        condition = False
    if isinstance(condition, bool):  # the same for every image
        return Image(vertical_first() if condition else horizontal_first(), rows, columns)
    return Image(g.branch(condition, vertical_first, horizontal_first, name="pass_order"), rows, columns)


def _axis(
    g: Any, formulas: Formulas, kernel: Resample, n_in: Any, n_out: Any, offset: Any, count: Any, axis: int
) -> Any:
    """One axis's pass as a local function of the image, its weights computed once outside."""
    step = kernel.resize
    start, weights = formulas.resample.block_weights(
        n_in, n_out, offset, count, step.filter, step.support, step.weights
    )
    start = g.cast(start, "int64")
    block = formulas.resample.block_size(count)
    name = "resize_rows" if axis == 2 else "resize_columns"
    if isinstance(count, int):
        body = g.function(
            name, ("uint8", "int64", "float64"), lambda p, s, w: _unrolled(g, p, s, w, block, count, axis)
        )
        return lambda pixels: g.call(body, pixels, start, weights, dtype="float32")
    extent = g.shape(count)
    body = g.function(name, ("uint8", "int64", "float64", "int64"), lambda p, s, w, n: _gathered(g, p, s, w, n, axis))
    return lambda pixels: g.call(body, pixels, start, weights, extent, dtype="float32")


def _unrolled(g: Any, pixels: Any, start: Any, weights: Any, block: int, count: int, axis: int) -> Any:
    """A slice and a product a block, for a number of outputs that the file fixes."""
    blocks = (count + block - 1) // block
    high = g.node("Floor", weights * (1 / 256) + 0.5)
    low = weights - high * 256.0
    taps = g.constant([2], "int64")
    bound = g.node("Max", *(g.node("ReduceMax", g.node("ReduceSum", g.node("Abs", w), taps)) for w in (high, low)))
    starts = g.split(start, blocks)
    ends = g.split(start + g.node("Shape", weights, start=2, end=3, dtype="int64"), blocks)
    where = g.constant([axis], "int64")

    def products(weights: Any, dtype: str) -> Any:
        """``weights`` ``[blocks, outputs, window]`` times the pixels, all outputs in a row along ``axis``."""
        if axis == 3:
            weights = g.node("Transpose", weights, perm=[0, 2, 1])
        sums = []
        for block, part in enumerate(g.split(g.cast(weights, dtype), blocks)):
            factor = g.node("Squeeze", part, g.constant([0], "int64"))
            piece = g.cast(g.node("Slice", pixels, starts[block], ends[block], where), dtype)
            sums.append(g.node("MatMul", factor, piece) if axis == 2 else g.node("MatMul", piece, factor))
        return g.node("Concat", *sums, axis=axis)

    def narrow() -> Any:
        # Both digits in one product, the low one scaled so that its floor is the carry.
        both = products(g.node("Concat", high, low * (1 / 256), axis=1), "float32")
        lead, rest = ([0, 0], [-1]) if axis == 2 else ([0, 0, 0], [])
        both = g.node("Reshape", both, g.constant([*lead, blocks, 2, block, *rest], "int64"))
        digit = g.constant([len(lead) + 1], "int64")
        edges = [g.constant([i], "int64") for i in range(3)]
        a, b = (g.node("Slice", both, edges[i], edges[i + 1], digit) for i in range(2))
        total = g.node("Reshape", a + g.node("Floor", b), g.constant([*lead, blocks * block, *rest], "int64"))
        return g.node("Floor", total * g.value(1 / 16384, "float32") + g.value(0.5, "float32"))

    def wide() -> Any:
        total = products(weights, "float64")
        return g.cast(g.node("Floor", (total + 2097152.0) * (1 / 4194304)), "float32")

    # 255 * sum(|digit|), and the carry added to it, must stay exact. Only reductions by some hundred times per axis
    # fail this, and take one float64 product instead.
    rounded = g.branch(bound * 255.0 + 131072.0 < EXACT, narrow, wide, name="narrow")
    return _finish(g, rounded, g.constant([count], "int64"), axis)


def _gathered(g: Any, pixels: Any, start: Any, weights: Any, count: Any, axis: int) -> Any:
    """One gather and one product, for a number of outputs that depends on the image."""
    turned = [0, 1, 3, 2]
    if axis == 3:
        pixels = g.node("Transpose", pixels, perm=turned)
    window = g.node("Squeeze", g.node("Shape", weights, start=2, end=3, dtype="int64"))
    offsets = g.node("Range", g.constant(0, "int64"), window, g.constant(1, "int64"))
    index = g.node("Unsqueeze", start, g.constant([1], "int64")) + offsets
    windows = g.cast(g.node("Gather", pixels, index, axis=2), "float64")
    total = g.node("MatMul", weights, windows)
    rounded = g.cast(g.node("Floor", (total + 2097152.0) * (1 / 4194304)), "float32")
    shape = g.node("Shape", pixels, dtype="int64")
    ends = [g.node("Gather", shape, g.constant(i, "int64")) for i in ([0, 1], [3])]
    rounded = g.node("Reshape", rounded, g.node("Concat", ends[0], g.constant([-1], "int64"), ends[1], axis=0))
    result = _finish(g, rounded, count, 2)
    return g.node("Transpose", result, perm=turned) if axis == 3 else result


def _finish(g: Any, rounded: Any, count: Any, axis: int) -> Any:
    """Clips to the pixel range and drops the outputs that fill up the last block."""
    zero = g.constant([0], "int64")
    rounded = g.node("Clip", rounded, g.value(0, "float32"), g.value(255, "float32"))
    return g.node("Slice", rounded, zero, count, g.constant([axis], "int64"))
