"""The array namespace of the formulas in NumPy, float64 throughout."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy import abs, clip, cos, exp2, floor, maximum, reshape, sin, trunc, where  # noqa: A004

__all__ = [
    "abs", "arange", "clip", "cos", "cumsum", "exp2", "first", "float32", "floor", "largest", "maximum",
    "quotient32", "reciprocal", "reshape", "running_total", "running_total32", "scalar", "sin", "take", "trunc",
    "where",
]  # fmt: skip

Array = np.ndarray[Any, np.dtype[np.float64]]
Number = np.float64


def scalar(n: int) -> np.float64:
    """A size as a float64."""
    return np.float64(n)


def float32(x: Array) -> Array:
    """``x`` rounded to float32."""
    return np.asarray(x).astype(np.float32).astype(np.float64)


def quotient32(n: int, divisor: int) -> np.float64:
    """n / divisor rounded to float32, in which Pillow takes the box of a resize."""
    return np.float64(np.float32(n / divisor))


def reciprocal(x: Array) -> Array:
    """1 / x, rounded before it is multiplied with."""
    return np.asarray(1.0 / x)


def arange(n: int) -> Array:
    """0, 1, … n - 1."""
    return np.arange(n, dtype=np.float64)


def cumsum(x: Array) -> Array:
    """Running sums of a vector, added one by one."""
    return np.cumsum(x)


def running_total(x: Array) -> Array:
    """Sums over the last axis, added one by one as C does: pairwise sums round differently."""
    return np.cumsum(x, axis=-1)[..., -1:]


def running_total32(x: Array) -> Array:
    """:func:`running_total` of float32 numbers, each sum rounded to float32."""
    return np.cumsum(x.astype(np.float32), axis=-1)[..., -1:].astype(np.float64)


def first(x: Array) -> Array:
    """The first column of ``[blocks, block, 1]``, kept as ``[blocks, 1, 1]``."""
    return x[:, :1]


def take(x: Array, index: Array) -> Array:
    """Entries of a vector."""
    return x[index.astype(np.int64)]


def largest(x: Array) -> np.float64:
    """The largest entry."""
    return np.float64(x.max())
