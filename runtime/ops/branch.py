"""A second result from the image so far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..reference import run_steps
from .step import Step


@dataclass(frozen=True)
class Branch(Step):
    """Runs ``steps`` on the image and gives the result as the output ``name``; the Plan goes on with the image itself.

    Attributes:
        name: of the output, ``[N, C, h, w]``.
        steps: run in order; none gives the image as it is.
    """

    name: str
    steps: tuple[Step, ...]

    def __str__(self) -> str:
        return f"output {self.name}: " + ("; ".join(map(str, self.steps)) or "the image as it is")

    @property
    def beside(self) -> tuple[str, ...]:
        return (self.name, *(name for step in self.steps for name in step.beside))

    def outputs(self, image: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
        return run_steps(self.steps, image, self.name)
