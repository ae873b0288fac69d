"""Colours multiplied with their opacity as ONNX nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def colours(g: Any, pixels: Any, axis: int, formula: Callable[[Any, Any], Any]) -> Any:
    """uint8 pixels of four channels along ``axis``, of which ``formula`` of colour and opacity changes three."""
    axes, edges = g.constant([axis], "int64"), [g.constant([i], "int64") for i in (0, 3, 4)]
    colour, alpha = (g.node("Slice", pixels, edges[i], edges[i + 1], axes) for i in range(2))
    changed = formula(g.cast(colour, "float64"), g.cast(alpha, "float64"))
    return g.node("Concat", g.cast(changed, "uint8"), alpha, axis=axis)
