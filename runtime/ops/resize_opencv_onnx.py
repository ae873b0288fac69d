"""OpenCV's bilinear resize as ONNX nodes, in int32."""

from __future__ import annotations

from typing import Any

from ..arrays.onnx import Formulas, Image
from .interpolate_onnx import output_size
from .resize_opencv import ResizeOpenCV
from .torch_sums_onnx import turned


def lower(g: Any, formulas: Formulas, step: ResizeOpenCV, image: Image) -> Image:
    """Adds ``step`` to the graph ``g``; the pixels are uint8 ``[N, C, H, W]``."""
    height, width = output_size(g, formulas, step.size, image)
    pixels = g.cast(image.pixels, "int32")
    with g.scope("height"):
        pixels = turned(g, _rows(g, formulas, pixels, image.height, height))
    with g.scope("width"):
        pixels = turned(g, _rows(g, formulas, pixels, image.width, width))
    sums = g.cast(pixels + g.value(1 << 21, "int32"), "uint32")  # never negative; only unsigned integers shift
    pixels = g.cast(g.node("BitShift", sums, g.value(22, "uint32"), direction="RIGHT"), "uint8")
    return image._replace(pixels=pixels, height=height, width=width)


def _rows(g: Any, formulas: Formulas, pixels: Any, n_in: Any, n_out: Any) -> Any:
    """int32 ``[N, C, n_in, columns]`` to ``[N, C, n_out, columns]``, times 2048."""
    left, right, weight = formulas.interpolation.fixed_point_weights(n_in, n_out)
    top, bottom = (g.node("Gather", pixels, g.cast(index, "int64"), axis=2) for index in (left, right))
    weight = g.node("Unsqueeze", g.cast(weight, "int32"), g.constant([1], "int64"))
    return top * (g.value(2048, "int32") - weight) + bottom * weight
