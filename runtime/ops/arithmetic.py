"""A run of element-wise steps on floats, which have too many values for a table."""

from __future__ import annotations

from dataclasses import dataclass

from .table import Pointwise


@dataclass(frozen=True)
class Arithmetic:
    """The references of ``steps``, one by one: with every operation rounded, all backends give the same bits."""

    steps: tuple[Pointwise, ...]
