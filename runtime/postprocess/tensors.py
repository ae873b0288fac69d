"""The tensors that post-processing runs on, in NumPy. :mod:`.tensors_onnx` has the same functions.

Images and scores are float32, indices int64. What a library computes in an order or with a polynomial of its own (sums
of products, exponentials) is computed in float64 here and rounded once, so that no two runtimes differ by more than
that rounding. torch computes it in float32: its values are up to a few units in the last place away.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import geometry
from ..ops.torch_sums import interpolated, largest_channel

Array = np.ndarray[Any, Any]


class Tensors:
    """NumPy's. Sizes are integers; every function returns a new array."""

    geometry = geometry

    def size(self, x: Array, axis: int) -> int:
        return int(x.shape[axis])

    def smaller(self, a: int, b: int) -> int:
        """The smaller one of two sizes."""
        return min(a, b)

    def larger(self, a: int, b: int) -> int:
        """The larger one of two sizes."""
        return max(a, b)

    def quotient(self, a: Any, b: int) -> Any:
        """Of integers from 0 on, rounded down."""
        return a // b

    def remainder(self, a: Any, b: int) -> Any:
        """Of integers from 0 on."""
        return a % b

    def vector(self, *sizes: int) -> Array:
        """Sizes as float32."""
        return np.array(sizes, np.float32)

    def float32(self, x: Array) -> Array:
        return x.astype(np.float32)

    def int32(self, x: Array) -> Array:
        """Rounded towards zero."""
        return x.astype(np.int32)

    def int64(self, x: Array) -> Array:
        """Rounded towards zero; of truth values, 0 and 1."""
        return x.astype(np.int64)

    def softmax(self, x: Array, axis: int) -> Array:
        powers = np.exp(x.astype(np.float64) - x.max(axis, keepdims=True))
        shares: Array = (powers / powers.sum(axis, keepdims=True)).astype(np.float32)
        return shares

    def sigmoid(self, x: Array) -> Array:
        with np.errstate(over="ignore"):  # of what is 0 then
            share: Array = (1.0 / (1.0 + np.exp(-x.astype(np.float64)))).astype(np.float32)
        return share

    def sqrt(self, x: Array) -> Array:
        return np.sqrt(x)

    def tan(self, x: Array) -> Array:
        angles = x.astype(np.float64)
        ratio: Array = (np.sin(angles) / np.cos(angles)).astype(np.float32)
        return ratio

    def reciprocal(self, x: Array) -> Array:
        inverse: Array = np.float32(1) / x
        return inverse

    def matmul(self, a: Array, b: Array) -> Array:
        product: Array = (a.astype(np.float64) @ b.astype(np.float64)).astype(np.float32)
        return product

    def interpolate(
        self, x: Array, size: tuple[int, int], filter: str, align_corners: bool = False, antialias: bool = False
    ) -> Array:
        """``torch.nn.functional.interpolate`` of float32 ``[N, C, H, W]``, to its last bit."""
        images = x.transpose(0, 2, 3, 1)
        results = [interpolated(image, *size, filter, antialias, align_corners) for image in images]
        return np.stack(results).transpose(0, 3, 1, 2)

    def nearest(self, x: Array, size: tuple[int, int]) -> Array:
        """``torch.nn.functional.interpolate`` of ``[N, H, W]`` by the mode ``nearest``."""
        indices = [
            np.floor(np.arange(new, dtype=np.float32) * (np.float32(old) / np.float32(new)))  # below old up to 2**22
            for old, new in zip(x.shape[1:], size, strict=True)
        ]
        rows, columns = (index.astype(np.int64) for index in indices)
        return x[:, rows[:, None], columns]

    def largest_channel(self, x: Array, size: tuple[int, int]) -> Array:
        """:meth:`argmax` of the channels of :meth:`interpolate`, bilinear, which are never all in memory."""
        return np.stack([largest_channel(image, *size) for image in x.transpose(0, 2, 3, 1)])

    def sum(self, x: Array, axis: int) -> Array:
        total: Array = x.astype(np.float64).sum(axis).astype(np.float32)
        return total

    def max(self, x: Array, axis: int) -> Array:
        return np.asarray(x.max(axis))

    def argmax(self, x: Array, axis: int) -> Array:
        """The first one of the largest."""
        return np.asarray(x.argmax(axis), np.int64)

    def top_k(self, x: Array, k: int) -> tuple[Array, Array]:
        """The ``k`` largest of the last axis, falling, and where they are; of equal ones, the first come first."""
        index = np.argsort(-x, axis=-1, kind="stable")[..., :k]
        return np.take_along_axis(x, index, -1), index.astype(np.int64)

    def argsort(self, x: Array) -> Array:
        """Where the last axis' values are, rising; of equal ones, the first come first."""
        return np.argsort(x, axis=-1, kind="stable").astype(np.int64)

    def triu(self, x: Array) -> Array:
        """What is above the diagonal of the last two axes, and 0 elsewhere."""
        return np.triu(x, 1)

    def take_along(self, x: Array, index: Array, axis: int) -> Array:
        return np.take_along_axis(x, index, axis)

    def take_rows(self, x: Array, index: Array) -> Array:
        """``x[i, index[i, j]]`` at ``[i, j]``."""
        return np.asarray(x[np.arange(len(x))[:, None], index])

    def at(self, x: Array, i: int, axis: int) -> Array:
        """``x`` at ``i``, without that axis."""
        return np.asarray(x.take(i, axis))

    def slice(self, x: Array, start: int, stop: int, axis: int) -> Array:
        """As in Python: a negative ``stop`` counts from the end."""
        axes = [slice(None)] * x.ndim
        axes[axis] = slice(start, stop)
        return x[tuple(axes)]

    def reshape(self, x: Array, shape: Sequence[int]) -> Array:
        return x.reshape(tuple(shape))

    def transpose(self, x: Array, order: Sequence[int]) -> Array:
        return x.transpose(tuple(order))

    def concat(self, parts: Sequence[Array], axis: int) -> Array:
        return np.concatenate(list(parts), axis)

    def stack(self, parts: Sequence[Array], axis: int) -> Array:
        return np.stack(list(parts), axis)

    def clip(self, x: Array, low: float, high: float) -> Array:
        return x.clip(np.float32(low), np.float32(high))

    def where(self, condition: Array, x: Any, y: Any) -> Array:
        return np.asarray(np.where(condition, x, y))

    def each(self, x: Array, function: Callable[[Array], Array]) -> Array:
        """``function`` of each row of ``x``, which keeps that axis; the rows of the result."""
        return np.concatenate([function(x[i : i + 1]) for i in range(len(x))])
