"""The reference: every step as Pillow and NumPy do it, one image after the other."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np

from ..errors import BackendUnavailable
from ..plan import Plan
from ..reference import run_batch

Array = np.ndarray[Any, Any]


class PilBackend:
    """Runs the references of a Plan's steps."""

    def __init__(self, plan: Plan) -> None:
        if importlib.util.find_spec("PIL") is None:
            raise BackendUnavailable("backend 'pil' needs Pillow: pip install pillow")
        self.output_names = plan.outputs
        self._plan = plan

    def run(self, images: Array) -> dict[str, Array]:
        """uint8 ``[N, H, W, C]`` to a batch of each output."""
        return run_batch(self._plan.steps, images, self._plan.output)
