"""A Plan's steps one by one, as Pillow and NumPy do them: what every backend has to equal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .ops import Step

Array = np.ndarray[Any, Any]


def run_steps(steps: Sequence[Step], image: Array, name: str) -> dict[str, Array]:
    """An RGB image ``[H, W, C]`` to the outputs of ``steps``, of which the image itself is ``name``, ``[C, H, W]``."""
    outputs: dict[str, Array] = {}
    for step in steps:
        if not step.reading:
            outputs |= step.outputs(image)
            image = step.reference(image)
    return {name: np.ascontiguousarray(np.moveaxis(image, -1, 0)), **outputs}


def run_batch(steps: Sequence[Step], images: Iterable[Array], name: str) -> dict[str, Array]:
    """:func:`run_steps` for each of ``[N, H, W, C]``, and the results as batches."""
    results = [run_steps(steps, image, name) for image in images]
    return {key: np.stack([result[key] for result in results]) for key in results[0]}
