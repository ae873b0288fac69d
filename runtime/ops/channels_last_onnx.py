"""Channels last as ONNX nodes."""

from __future__ import annotations

from typing import Any

from ..arrays.onnx import Formulas, Image
from .channels_last import ChannelsLast


def lower(g: Any, formulas: Formulas, step: ChannelsLast, image: Image) -> Image:
    """Adds ``step`` to the graph ``g``; the result's sizes are named by the output's axes."""
    pixels = g.node("Transpose", image.pixels, perm=[0, 2, 3, 1])
    return image._replace(pixels=pixels, channels=image.height, height=image.width, width=image.channels)
