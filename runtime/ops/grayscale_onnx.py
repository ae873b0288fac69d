"""Grayscale as ONNX nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..arrays.onnx import Formulas, Image
from .grayscale import WEIGHTS, Grayscale


def lower(g: Any, formulas: Formulas, step: Grayscale, image: Image) -> Image:
    """Adds ``step`` to the graph ``g``."""
    channels = [g.cast(channel, "float64") for channel in g.split(image.pixels, 3, axis=1)]
    gray = weighted(g, channels, step.fused)
    equal = (channels[0] == channels[1]) & (channels[1] == channels[2])
    whole = g.node("ReduceMin", g.cast(equal, "float32"), g.constant([1, 2, 3], "int64"))
    expanded = g.node("Concat", *[g.cast(gray, image.pixels.dtype)] * 3, axis=1)
    pixels = g.node("Where", whole > g.value(0.0, "float32"), image.pixels, expanded, dtype=image.pixels.dtype)
    return image._replace(pixels=pixels)


def weighted(g: Any, channels: Sequence[Any], fused: bool) -> Any:
    """The weighted sum, float32 numbers in float64, which holds the products too."""
    red, green, blue = (
        g.cast(channel, "float64") * g.value(float(np.float32(weight)), "float64")
        for channel, weight in zip(channels, WEIGHTS, strict=True)
    )
    gray = _rounded(g, red)
    for product in (green, blue):
        gray = _rounded(g, gray + (product if fused else _rounded(g, product)))
    return gray


def _rounded(g: Any, value: Any) -> Any:
    """To float32 and back."""
    return g.cast(g.cast(value, "float32"), "float64")
