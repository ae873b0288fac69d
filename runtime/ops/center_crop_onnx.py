"""Center crop as ONNX nodes, where no resize comes before it."""

from __future__ import annotations

from typing import Any

from ..arrays.onnx import Formulas, Image
from .center_crop import CenterCrop


def lower(g: Any, formulas: Formulas, step: CenterCrop, image: Image) -> Image:
    """Adds ``step`` to the graph ``g``: pads what is missing with zeros, then slices."""
    sizes = ((image.height, step.height), (image.width, step.width))
    before, after, starts = [], [], []
    for size, crop in sizes:
        offset = formulas.geometry.crop_offset(size, crop, step.rule)
        missing = g.node("Max", *g.common(crop - size, 0))
        start = g.node("Max", *g.common(offset, 0))
        lead = start - offset
        before.append(lead)
        after.append(missing - lead)
        starts.append(start)
    pads = g.shape(0, 0, *before, 0, 0, *after)
    padded = g.node("Pad", image.pixels, pads)
    ends = g.shape(*(start + crop for start, (_, crop) in zip(starts, sizes, strict=True)))
    cropped = g.node("Slice", padded, g.shape(*starts), ends, g.constant([2, 3], "int64"))
    return image._replace(pixels=cropped, height=step.height, width=step.width)
