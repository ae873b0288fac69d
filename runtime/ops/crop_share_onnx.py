"""Center crop to a share of the short side as ONNX nodes."""

from __future__ import annotations

from typing import Any

from ..arrays.onnx import Formulas, Image, zero_unless
from .center_crop_onnx import crop
from .crop_share import CropShare


def lower(g: Any, formulas: Formulas, step: CropShare, image: Image) -> Image:
    """Adds ``step`` to the graph ``g``."""
    top, left, height, width = formulas.geometry.share_box(image.height, image.width, *step.settings)
    if not isinstance(height, int):
        height = height + zero_unless(g, height * width < 1, "the_crop_leaves_no_pixel")
    return crop(g, image, top, left, height, width)
