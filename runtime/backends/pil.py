"""The reference: every step as Pillow and NumPy do it, one image after the other."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np

from ..errors import BackendUnavailable
from ..ops import ConvertRGB
from ..plan import Plan

Array = np.ndarray[Any, Any]


class PilBackend:
    """Runs the references of a Plan's steps."""

    def __init__(self, plan: Plan) -> None:
        if importlib.util.find_spec("PIL") is None:
            raise BackendUnavailable("backend 'pil' needs Pillow: pip install pillow")
        self.output_names = plan.outputs
        self._steps = [step for step in plan.steps if not isinstance(step, ConvertRGB)]

    def run(self, images: Array) -> dict[str, Array]:
        return {"pixel_values": np.stack([self._one(image) for image in images])}

    def _one(self, image: Array) -> Array:
        for step in self._steps:
            image = step.reference(image)
        return np.ascontiguousarray(np.moveaxis(image, -1, 0))
