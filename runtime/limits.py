"""How large an image may become on its way through a Plan: a small one may be stretched to gigabytes."""

from __future__ import annotations

from collections.abc import Iterable

from .errors import InputError
from .ops import Branch
from .ops.step import Step


def check_results(steps: Iterable[Step], height: int, width: int, most: int) -> None:
    """Raises ``InputError`` where a step makes more than ``most`` pixels of an image of ``height`` x ``width``.

    A step that gives all images one size may: that is the Plan's own. What follows from the pixels is not known here.
    """
    for step in steps:
        if step.by_pixels:
            return
        if isinstance(step, Branch):
            check_results(step.steps, height, width, most)
        output_size = getattr(step, "output_size", None)
        if output_size is None:
            continue
        before = f"{height}x{width}"
        height, width = output_size(height, width)
        if height * width > most and getattr(step, "fixed_size", None) is None:
            raise InputError(
                f"an image of {before} would become one of {height}x{width} by '{step}': expected at most {most} pixels"
            )
