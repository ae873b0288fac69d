"""Quantize as ONNX nodes."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays.onnx import Formulas, Image
from .quantize import Quantize


def lower(g: Any, formulas: Formulas, step: Quantize, image: Image) -> Image:
    """Adds ``step`` to the graph ``g``; the pixels come out as ``[N, H * W]``."""
    flat = g.node("Reshape", g.cast(image.pixels, "float64"), g.constant([0, 3, -1, 1], "int64"))
    red, green, blue = (
        g.node("Squeeze", channel, g.constant([1], "int64")) for channel in g.split(flat, 3, axis=1)
    )  # [N, H * W, 1]
    palette = [g.constant(np.asarray(part), "float64") for part in step.arrays()]
    far = formulas.colours.distances(red, green, blue, palette, step.single, step.fused)
    # ArgMin passes over what is no number; in NumPy and torch, that is the least.
    far = g.node("Where", g.node("IsNaN", far), g.value(float("-inf"), "float64"), far)
    nearest = g.node("ArgMin", far, axis=2, keepdims=0, dtype="int64")
    return image._replace(pixels=nearest, shape=(image.height * image.width,))
