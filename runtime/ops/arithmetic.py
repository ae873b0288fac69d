"""A run of element-wise steps on floats, which have too many values for a table."""

from __future__ import annotations

from dataclasses import dataclass

from .step import Step


@dataclass(frozen=True)
class Arithmetic(Step):
    """The references of pointwise ``steps``: with every operation rounded, all backends give the same bits."""

    steps: tuple[Step, ...]

    @property
    def gives(self) -> str:
        return self.steps[-1].gives
