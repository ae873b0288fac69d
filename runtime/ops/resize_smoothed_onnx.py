"""Resize floats with a Gaussian blur before linear interpolation as ONNX nodes."""

from __future__ import annotations

from typing import Any

from ..arrays.onnx import Formulas, Image
from .interpolate_onnx import BLOCK, rows, turned
from .resize_smoothed import ResizeSmoothed


def lower(g: Any, formulas: Formulas, step: ResizeSmoothed, image: Image) -> Image:
    """Adds ``step`` to the graph ``g``; the pixels are float32 ``[N, C, H, W]``."""
    height, width = step.fixed_size
    of_rows, of_columns = formulas.interpolation.smoothed_axes(
        image.height, image.width, height, width, step.library, step.blur, BLOCK
    )
    with g.scope("height"):
        pixels = rows(g, image.pixels, of_rows[0], of_rows[1], height)
    with g.scope("width"):
        pixels = rows(g, turned(g, pixels), of_columns[0], of_columns[1], width)
    return image._replace(pixels=turned(g, pixels), height=height, width=width)
