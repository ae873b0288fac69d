"""Pad to the largest image of a batch as ONNX nodes: the mask."""

from __future__ import annotations

from typing import Any

from ..arrays.onnx import Formulas, Image
from .pad_to_largest import PadToLargest


def lower(g: Any, formulas: Formulas, step: PadToLargest, image: Image) -> Image:
    """Adds ``step`` to the graph ``g``."""
    if not step.mask:
        return image
    sizes = image.height, image.width
    batch = g.node("Shape", image.pixels, end=1, dtype="int64")
    mask = g.node("Expand", g.value(1, "int64"), g.node("Concat", batch, g.shape(*sizes), axis=0))
    return image._replace(outputs=(*image.outputs, (step.mask, mask, sizes)))
