"""Crop the margin as ONNX nodes."""

from __future__ import annotations

from typing import Any

from ..arrays.onnx import Formulas, Image
from .crop_margin import THRESHOLD, CropMargin
from .grayscale_onnx import weighted


def lower(g: Any, formulas: Formulas, step: CropMargin, image: Image) -> Image:
    """Adds ``step`` to the graph ``g``, which is for one image at a time."""
    channels = g.split(image.pixels, 3, axis=1)
    if step.pillow:
        levels = formulas.resample.luma(*(g.cast(channel, "float64") for channel in channels))
    else:
        levels = g.cast(g.cast(weighted(g, channels, fused=True), "uint8"), "float32")
    low, high = (g.node(op, levels, keepdims=0) for op in ("ReduceMin", "ReduceMax"))
    # NaN, so none dark, where all levels are equal: then the first and the last line are the image's own.
    stretched = (levels - low) / (high - low) * g.value(255.0, levels.dtype)
    dark = g.cast(stretched < g.value(float(THRESHOLD), levels.dtype), "int32")
    starts, ends = [], []
    for axis in (2, 3):
        lines = g.node("ReduceMax", dark, g.constant([0, 1, 5 - axis], "int64"), keepdims=0)
        starts.append(g.node("ArgMax", lines, axis=0, keepdims=0, dtype="int64"))
        ends.append(g.node("ArgMax", lines, axis=0, keepdims=0, select_last_index=1, dtype="int64") + 1)
    cropped = g.node("Slice", image.pixels, g.shape(*starts), g.shape(*ends), g.constant([2, 3], "int64"))
    height, width = (end - start for start, end in zip(starts, ends, strict=True))
    return image._replace(pixels=cropped, height=height, width=width)
