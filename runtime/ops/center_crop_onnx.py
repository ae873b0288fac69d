"""Center crop as ONNX nodes, where no resize comes before it."""

from __future__ import annotations

from typing import Any

from ..arrays.onnx import Formulas, Image
from .center_crop import CenterCrop


def lower(g: Any, formulas: Formulas, step: CenterCrop, image: Image) -> Image:
    """Adds ``step`` to the graph ``g``."""
    sides = ((image.height, step.height), (image.width, step.width))
    top, left = (formulas.geometry.crop_offset(size, side, step.rule) for size, side in sides)
    return crop(g, image, top, left, step.height, step.width)


def crop(g: Any, image: Image, top: Any, left: Any, height: Any, width: Any) -> Image:
    """Pads what is missing with zeros, then slices."""
    before, after, starts, ends = [], [], [], []
    for size, side, offset in ((image.height, height, top), (image.width, width, left)):
        missing = g.node("Max", *g.common(side - size, 0))
        start = g.node("Max", *g.common(offset, 0))
        lead = start - offset
        before.append(lead)
        after.append(missing - lead)
        starts.append(start)
        ends.append(start + side)
    pads = g.shape(0, 0, *before, 0, 0, *after)
    padded = g.node("Pad", image.pixels, pads)
    cropped = g.node("Slice", padded, g.shape(*starts), g.shape(*ends), g.constant([2, 3], "int64"))
    return image._replace(pixels=cropped, height=height, width=width)
