"""Resize floats with a Gaussian blur before linear interpolation as ONNX nodes."""

from __future__ import annotations

from typing import Any

from ..arrays.onnx import Formulas, Image
from .resize_smoothed import ResizeSmoothed
from .torch_sums_onnx import turned

BLOCK = 8
"""Outputs that share a window. 4, 16 and 32 were no faster."""


def lower(g: Any, formulas: Formulas, step: ResizeSmoothed, image: Image) -> Image:
    """Adds ``step`` to the graph ``g``; the pixels are float32 ``[N, C, H, W]``."""
    height, width = step.fixed_size
    of_rows, of_columns = formulas.interpolation.smoothed_axes(
        image.height, image.width, height, width, step.library, step.blur, BLOCK
    )
    with g.scope("height"):
        pixels = _rows(g, image.pixels, of_rows[0], of_rows[1], height)
    with g.scope("width"):
        pixels = _rows(g, turned(g, pixels), of_columns[0], of_columns[1], width)
    return image._replace(pixels=turned(g, pixels), height=height, width=width)


def _rows(g: Any, pixels: Any, start: Any, weights: Any, n_out: Any) -> Any:
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
