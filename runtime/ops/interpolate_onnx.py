"""Interpolate as ONNX nodes."""

from __future__ import annotations

from typing import Any

from ..arrays.onnx import Formulas, Image, zero_unless
from .interpolate import Interpolate
from .size import Size
from .torch_sums_onnx import interpolated


def lower(g: Any, formulas: Formulas, step: Interpolate, image: Image) -> Image:
    """Adds ``step`` to the graph ``g``; the pixels are float32 ``[N, C, H, W]``."""
    height, width = size = output_size(g, formulas, step.size, image)
    before, how = (image.height, image.width), (step.filter, step.antialias, step.align_corners)
    pixels = interpolated(g, formulas, image.pixels, before, size, *how, image.channels)
    return image._replace(pixels=pixels, height=height, width=width)


def output_size(g: Any, formulas: Formulas, size: Size, image: Image) -> tuple[Any, Any]:
    """The height and width that ``size`` gives; the graph fails where that leaves no pixel."""
    height, width = formulas.geometry.output_size(image.height, image.width, *size.rule)
    if isinstance(height, int) and isinstance(width, int):
        return height, width
    zero = zero_unless(g, height * width < 1, "the_size_rule_leaves_no_pixel")
    return (height, width + zero) if isinstance(height, int) else (height + zero, width)  # a known side stays known
