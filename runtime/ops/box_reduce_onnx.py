"""Averaging blocks of pixels as ONNX nodes."""

from __future__ import annotations

from typing import Any

from ..arrays.onnx import Formulas, Image


def lower(g: Any, formulas: Formulas, image: Image, rows: Any, columns: Any) -> Image:
    """Adds :func:`runtime.ops.box_reduce.box_reduce` to the graph ``g``; ``image`` is uint8 with its channels last."""
    height = formulas.geometry.reduced(image.height, rows)
    width = formulas.geometry.reduced(image.width, columns)

    def means() -> Any:
        missing = height * rows - image.height, width * columns - image.width
        padded = g.node("Pad", image.pixels, g.shape(0, 0, 0, 0, 0, *missing, 0))
        blocks = g.node("Reshape", g.cast(padded, "int32"), g.shape(0, height, rows, width, columns, image.channels))
        total = g.node("ReduceSum", blocks, g.constant([2, 4], "int64"), keepdims=0)
        count = sizes(image.height, height, rows, [-1, 1, 1]) * sizes(image.width, width, columns, [-1, 1])
        return g.cast(formulas.resample.box_mean(g.cast(total, "float64"), count), "uint8")

    def sizes(n: Any, blocks: Any, factor: Any, shape: list[int]) -> Any:
        """Pixels in each block of one axis, float64."""
        starts = g.node("Range", g.value(0.0), g.value(blocks, "float64"), g.value(1.0)) * g.value(factor, "float64")
        left = g.node("Min", g.value(factor, "float64"), g.value(n, "float64") - starts)
        return g.node("Reshape", left, g.constant(shape, "int64"))

    reduces = rows * columns > 1
    if isinstance(reduces, bool):  # the same for every image
        pixels = means() if reduces else image.pixels
    else:
        pixels = g.branch(reduces, means, lambda: g.node("Identity", image.pixels), name="reduce")
    return image._replace(pixels=pixels, height=height, width=width)
