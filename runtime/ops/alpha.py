"""Colours multiplied with their opacity, which Pillow resizes RGBA images in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import resample

Array = np.ndarray[Any, Any]


def premultiplied(image: Array) -> Array:
    """uint8 ``[..., 4]``, RGBA to Pillow's mode ``RGBa``."""
    return _colours(image, resample.premultiplied)


def straight(image: Array) -> Array:
    """uint8 ``[..., 4]``, ``RGBa`` to RGBA."""
    return _colours(image, resample.straight)


def _colours(image: Array, formula: Callable[[Array, Array], Array]) -> Array:
    alpha = image[..., 3:]
    colours = formula(image[..., :3].astype(np.float64), alpha.astype(np.float64)).astype(np.uint8)
    return np.concatenate([colours, alpha], axis=-1)
