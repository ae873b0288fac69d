"""Element-wise steps on floats as ONNX nodes."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays.onnx import Formulas, Image
from .arithmetic import Arithmetic
from .cast import Cast
from .clamp import Clamp
from .normalize import Normalize
from .rescale import Rescale
from .scale_offset import ScaleOffset
from .step import Step


def lower(g: Any, formulas: Formulas, kernel: Arithmetic, image: Image) -> Image:
    """Adds ``kernel`` to the graph ``g``, step by step."""
    for step in kernel.steps:
        image = image._replace(pixels=_apply(g, step, image.pixels))
    return image


def _apply(g: Any, step: Step, pixels: Any) -> Any:
    match step:
        case Normalize():
            mean, std = (g.constant(np.reshape(values, (-1, 1, 1)), "float32") for values in (step.mean, step.std))
            return (g.cast(pixels, "float32") - mean) / std
        case Rescale():
            product = g.cast(pixels, step.precision) * g.value(step.factor, step.precision)
            return g.cast(product, "float32") - g.value(step.offset, "float32")
        case ScaleOffset():
            scale, offset = (
                g.constant(np.reshape(values, (-1, 1, 1)), "float32") for values in (step.scale, step.offset)
            )
            return g.cast(pixels, "float32") * scale + offset
        case Clamp():
            low, high = (g.value(number, "float32") for number in (step.low, step.high))
            return g.node("Clip", g.cast(pixels, "float32"), low, high)
        case Cast():
            return g.cast(pixels, step.dtype)
