"""Crop to an aspect ratio as ONNX nodes."""

from __future__ import annotations

from typing import Any

from ..arrays.onnx import Formulas, Image
from .crop_to_ratio import CropToRatio


def lower(g: Any, formulas: Formulas, step: CropToRatio, image: Image) -> Image:
    """Adds ``step`` to the graph ``g``."""
    sizes = (image.height, image.width)
    cropped = height, width = formulas.geometry.cropped_to_ratio(*sizes, step.height, step.width)
    starts = [formulas.geometry.crop_offset(size, crop) for size, crop in zip(sizes, cropped, strict=True)]
    ends = g.shape(*(start + crop for start, crop in zip(starts, cropped, strict=True)))
    pixels = g.node("Slice", image.pixels, g.shape(*starts), ends, g.constant([2, 3], "int64"))
    return image._replace(pixels=pixels, height=height, width=width)
