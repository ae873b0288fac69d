"""Averaging blocks of pixels before a resize, as Pillow's ``reducing_gap`` does."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..geometry import reduced
from ..resample import box_mean


def box_reduce(image: np.ndarray[Any, Any], rows: int, columns: int) -> np.ndarray[Any, Any]:
    """uint8 ``[H, W, C]`` to the means of its blocks of ``rows`` x ``columns`` pixels; the last ones may be smaller.

    Pillow's ``Image.reduce`` (Reduce.c, ``ImagingReduceNxN`` and ``ImagingReduceCorners``).
    """
    height, width, channels = image.shape
    new_height, new_width = reduced(height, rows), reduced(width, columns)
    padding = ((0, new_height * rows - height), (0, new_width * columns - width), (0, 0))
    blocks = np.pad(image, padding).reshape(new_height, rows, new_width, columns, channels)
    count = np.outer(
        np.minimum(rows, height - np.arange(new_height) * rows),
        np.minimum(columns, width - np.arange(new_width) * columns),
    )
    total = blocks.sum(axis=(1, 3), dtype=np.int64).astype(np.float64)
    return box_mean(total, count[..., None].astype(np.float64)).astype(np.uint8)
