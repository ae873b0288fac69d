"""Keras' resize as ONNX nodes."""

from __future__ import annotations

from typing import Any

from ..arrays.onnx import Formulas, Image
from .resize_keras import ResizeKeras
from .torch_sums_onnx import interpolated


def lower(g: Any, formulas: Formulas, step: ResizeKeras, image: Image) -> Image:
    """Adds ``step`` to the graph ``g``; the pixels are uint8 ``[N, C, H, W]``."""
    height, width = step.fixed_size
    if step.filter == "nearest":
        pixels = image.pixels
        for axis, (size, new) in enumerate(((image.height, height), (image.width, width)), 2):
            pixels = g.node("Gather", pixels, g.cast(formulas.taps.nearest(size, new), "int64"), axis=axis)
        return image._replace(pixels=pixels, height=height, width=width)
    floats = interpolated(
        g,
        formulas,
        g.cast(image.pixels, "float32") if step.antialias else image.pixels,
        (image.height, image.width),
        (height, width),
        step.filter,
        step.antialias,
        channels=image.channels,
        channels_last=True,
    )
    low, high = g.value(0, "float32"), g.value(255, "float32")
    pixels = g.cast(g.node("Round", g.node("Clip", floats, low, high)), "uint8")
    return image._replace(pixels=pixels, height=height, width=width)
