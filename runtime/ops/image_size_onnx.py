"""The size of the image so far as ONNX nodes."""

from __future__ import annotations

from typing import Any

from ..arrays.onnx import Formulas, Image
from .image_size import ImageSize


def lower(g: Any, formulas: Formulas, step: ImageSize, image: Image) -> Image:
    """Adds ``step`` to the graph ``g``."""
    batch = g.node("Shape", image.pixels, end=1, dtype="int64")
    shape = g.node("Concat", batch, g.constant([2], "int64"), axis=0)
    sizes = g.node("Expand", g.cast(g.shape(image.height, image.width), step.dtype), shape)
    return image._replace(outputs=(*image.outputs, (step.name, sizes, (2,))))
