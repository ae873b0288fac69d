"""Turn an image by 90 degrees as ONNX nodes."""

from __future__ import annotations

from typing import Any

from ..arrays.onnx import Formulas, Image
from .align_long_axis import AlignLongAxis


def lower(g: Any, formulas: Formulas, step: AlignLongAxis, image: Image) -> Image:
    """Adds ``step`` to the graph ``g``; the pixels keep their layout."""
    height, width = formulas.geometry.aligned(image.height, image.width, step.portrait)
    channels_last = image.layout == "NHWC"

    def turned() -> Any:
        swapped = g.node("Transpose", image.pixels, perm=[0, 2, 1, 3] if channels_last else [0, 1, 3, 2])
        last, before_first, axis = (g.constant([n], "int64") for n in (-1, -(2**62), 2 if channels_last else 3))
        return g.node("Slice", swapped, last, before_first, axis, g.constant([-1], "int64"))

    stays = image.height == height
    if isinstance(stays, bool):  # the same for every image
        pixels = image.pixels if stays else turned()
    else:
        pixels = g.branch(stays, lambda: g.node("Identity", image.pixels), turned, name="orientation")
    return image._replace(pixels=pixels, height=height, width=width)
