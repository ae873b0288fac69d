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
    """Adds zeros where they are missing; a negative amount of padding crops."""
    after = (height - image.height + top, width - image.width + left)
    cropped = g.node("Pad", image.pixels, g.shape(0, 0, -top, -left, 0, 0, *after))
    return image._replace(pixels=cropped, height=height, width=width)
