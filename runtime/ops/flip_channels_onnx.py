"""Flip the channels as an ONNX node."""

from __future__ import annotations

from typing import Any

from ..arrays.onnx import Formulas, Image
from .flip_channels import FlipChannels


def lower(g: Any, formulas: Formulas, step: FlipChannels, image: Image) -> Image:
    """Adds ``step`` to the graph ``g``."""
    return image._replace(pixels=g.node("Gather", image.pixels, g.constant([2, 1, 0], "int64"), axis=1))
