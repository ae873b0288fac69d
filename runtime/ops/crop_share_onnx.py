"""Center crop to a share of the short side as ONNX nodes."""

from __future__ import annotations

from typing import Any

from ..arrays.onnx import Formulas, Image, bounded
from .center_crop_onnx import crop
from .crop_share import CropShare
from .size import MOST_PIXELS


def lower(g: Any, formulas: Formulas, step: CropShare, image: Image) -> Image:
    """Adds ``step`` to the graph ``g``, which fails where the crop leaves no pixel, or too many.

    Raises ``InputError`` where it does so for every image.
    """
    if isinstance(image.height, int) and isinstance(image.width, int):
        step.output_size(image.height, image.width)
    top, left, height, width = formulas.geometry.share_box(image.height, image.width, *step.settings)
    height, width = bounded(g, height, width, MOST_PIXELS, "the_crop_leaves_no_pixel_or_too_many")
    return crop(g, image, top, left, height, width)
