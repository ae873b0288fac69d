"""Interpolate as ONNX nodes."""

from __future__ import annotations

from typing import Any

from ..arrays.onnx import Formulas, Image, bounded
from .interpolate import Interpolate
from .size import MOST_PIXELS, Size
from .torch_sums_onnx import interpolated


def lower(g: Any, formulas: Formulas, step: Interpolate, image: Image) -> Image:
    """Adds ``step`` to the graph ``g``; the pixels are float32 ``[N, C, H, W]``."""
    height, width = size = output_size(g, formulas, step.size, image)
    before, how = (image.height, image.width), (step.filter, step.antialias, step.align_corners)
    pixels = interpolated(g, formulas, image.pixels, before, size, *how, image.channels)
    return image._replace(pixels=pixels, height=height, width=width)


def output_size(g: Any, formulas: Formulas, size: Size, image: Image) -> tuple[Any, Any]:
    """The height and width that ``size`` gives; the graph fails where that leaves no pixel, or too many.

    Raises ``InputError`` where it does so for every image.
    """
    height, width = formulas.geometry.output_size(image.height, image.width, *size.rule)
    known = [side for side in (height, width) if isinstance(side, int)]
    if len(known) == 2 or min(known, default=1) < 1:
        # Sides that are known do not follow from ones that are not.
        return size.output_size(*(side if isinstance(side, int) else 1 for side in (image.height, image.width)))
    return bounded(g, height, width, MOST_PIXELS, "the_size_rule_leaves_no_pixel_or_too_many")
