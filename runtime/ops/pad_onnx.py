"""Pad as ONNX nodes."""

from __future__ import annotations

from typing import Any

from ..arrays.onnx import Formulas, Image
from .pad import Pad


def lower(g: Any, formulas: Formulas, step: Pad, image: Image) -> Image:
    """Adds ``step`` to the graph ``g``. A larger image fails at the last node, as a crop would be silently wrong."""
    missing = [
        g.node("Max", *g.common(target - size, 0))
        for target, size in ((step.height, image.height), (step.width, image.width))
    ]
    value = g.constant(step.value, image.pixels.dtype)
    padded = g.node("Pad", image.pixels, g.shape(0, 0, 0, 0, 0, 0, *missing), value)
    checked = g.node("Reshape", padded, g.constant([0, image.channels, step.height, step.width], "int64"))
    return image._replace(pixels=checked, height=step.height, width=step.width)
