"""Pad as ONNX nodes."""

from __future__ import annotations

from typing import Any

from ..arrays.onnx import Formulas, Image, zero_unless
from .pad import Pad


def lower(g: Any, formulas: Formulas, step: Pad, image: Image) -> Image:
    """Adds ``step`` to the graph ``g``. A larger image fails at the last node, as a crop would be silently wrong."""
    geometry, sizes = formulas.geometry, (image.height, image.width)
    padded = height, width = geometry.output_size(*sizes, *step.size.rule)
    before = [geometry.pad_offset(size, new, step.centered) for size, new in zip(sizes, padded, strict=True)]
    if step.mode != "constant":
        pixels = image.pixels
        for axis, (size, new, offset) in enumerate(zip(sizes, padded, before, strict=True), 2):
            if not isinstance(new < size, bool):
                new = new + zero_unless(g, new < size, "pad_size_is_smaller_than_the_image")
            edge = step.mode == "symmetric"
            too_small = geometry.excess(size, new, step.centered, edge) > 0
            if step.once and not isinstance(too_small, bool):
                new = new + zero_unless(g, too_small, "too_small_to_be_mirrored")
            index = formulas.resample.border(size, new, offset, step.mode)
            pixels = g.node("Gather", pixels, g.cast(index, "int64"), axis=axis)
        return image._replace(pixels=pixels, height=height, width=width)
    after = [
        g.node("Max", *g.common(new - size - offset, 0))
        for size, new, offset in zip(sizes, padded, before, strict=True)
    ]
    before = [g.node("Max", *g.common(offset, 0)) for offset in before]
    margins = g.shape(0, 0, *before, 0, 0, *after)
    outputs = image.outputs
    if step.mask:
        batch = g.node("Shape", image.pixels, end=1, dtype="int64")
        ones = g.node("Expand", g.value(1, "int64"), g.node("Concat", batch, g.shape(*sizes), axis=0))
        mask = g.node("Pad", ones, g.shape(0, *before, 0, *after), g.value(0, "int64"))
        outputs = (*outputs, (step.mask, mask, (height, width)))
    values = step.values(image.channels)
    if len(set(values)) == 1:
        pixels = g.node("Pad", image.pixels, margins, g.constant(values[0], image.pixels.dtype))
    else:
        channels = g.split(image.pixels, image.channels, axis=1)
        pixels = g.node(
            "Concat",
            *(
                g.node("Pad", channel, margins, g.constant(value, image.pixels.dtype))
                for channel, value in zip(channels, values, strict=True)
            ),
            axis=1,
        )
    checked = g.node("Reshape", pixels, g.shape(0, image.channels, height, width))
    return image._replace(pixels=checked, height=height, width=width, outputs=outputs)
