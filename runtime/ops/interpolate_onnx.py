"""Interpolate as ONNX nodes: a ``Gather`` of the windows of all blocks of outputs, and their products with weights."""

from __future__ import annotations

from typing import Any

from ..arrays.onnx import Formulas, Image, zero_unless
from .interpolate import Interpolate
from .size import Size

BLOCK = 8
"""Outputs that share a window. 4, 16 and 32 were no faster."""


def lower(g: Any, formulas: Formulas, step: Interpolate, image: Image) -> Image:
    """Adds ``step`` to the graph ``g``; the pixels are float32 ``[N, C, H, W]``."""
    height, width = output_size(g, formulas, step.size, image)
    fused = formulas.interpolation.is_fused(height, width, step.filter)
    pixels = image.pixels
    with g.scope("height"):
        pixels = _rows(g, formulas, step, pixels, image.height, height, fused)
    with g.scope("width"):
        pixels = _rows(g, formulas, step, turned(g, pixels), image.width, width, fused)
    return image._replace(pixels=turned(g, pixels), height=height, width=width)


def turned(g: Any, pixels: Any) -> Any:
    """Rows as columns."""
    return g.node("Transpose", pixels, perm=[0, 1, 3, 2])


def output_size(g: Any, formulas: Formulas, size: Size, image: Image) -> tuple[Any, Any]:
    """The height and width that ``size`` gives; the graph fails where that leaves no pixel."""
    height, width = formulas.geometry.output_size(image.height, image.width, *size.rule)
    if isinstance(height, int) and isinstance(width, int):
        return height, width
    return height + zero_unless(g, height * width < 1, "the_size_rule_leaves_no_pixel"), width


def _rows(g: Any, formulas: Formulas, step: Interpolate, pixels: Any, n_in: Any, n_out: Any, fused: Any) -> Any:
    """``[N, C, n_in, columns]`` to ``[N, C, n_out, columns]``."""
    start, weights = formulas.interpolation.block_weights(
        n_in, n_out, step.filter, step.antialias, step.align_corners, fused, BLOCK
    )
    return rows(g, pixels, start, weights, n_out)


def rows(g: Any, pixels: Any, start: Any, weights: Any, n_out: Any) -> Any:
    """``[N, C, n_in, columns]`` to ``[N, C, n_out, columns]``, by weights of :mod:`runtime.interpolation`."""
    offsets = g.node("Range", g.constant(0, "int64"), g.size(weights, 2), g.constant(1, "int64"))
    index = g.node("Unsqueeze", g.cast(start, "int64"), g.constant([1], "int64")) + offsets
    windows = g.node("Gather", pixels, index, axis=2)  # [N, C, blocks, window, columns]
    result = g.node("MatMul", g.cast(weights, "float32"), windows, dtype="float32")
    columns = g.node("Shape", pixels, start=3, end=4, dtype="int64")
    merged = g.node("Concat", g.constant([0, 0, -1], "int64"), columns, axis=0)
    result = g.node("Reshape", result, merged)
    if isinstance(n_out, int) and n_out % BLOCK == 0:
        return result
    return g.node("Slice", result, g.constant([0], "int64"), g.shape(n_out), g.constant([2], "int64"))
