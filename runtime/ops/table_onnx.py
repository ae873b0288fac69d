"""A table of element-wise steps as ONNX nodes."""

from __future__ import annotations

from typing import Any

from ..arrays.onnx import Formulas, Image
from .table import Table


def lower(g: Any, formulas: Formulas, kernel: Table, image: Image) -> Image:
    """Adds ``kernel`` to the graph ``g``: one lookup a value, in the rows of the three channels laid end to end."""
    values = kernel.values()
    channel = g.constant([[[[0]], [[256]], [[512]]]], "int32", "channel")
    table = g.constant(values.reshape(-1), str(values.dtype), "table")
    return image._replace(pixels=g.node("Gather", table, g.cast(image.pixels, "int32") + channel))
