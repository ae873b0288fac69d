"""The tensors that post-processing runs on, in NumPy. :mod:`.tensors_onnx` has the same functions.

Images and scores are float32, indices int64. What a library computes in an order or with a polynomial of its own (sums
of products, exponentials) is computed in float64 here and rounded once, so that no two runtimes differ by more than
that rounding. torch computes it in float32: its values are up to a few units in the last place away.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..ops.torch_sums import interpolated, largest_channel

Array = np.ndarray[Any, Any]


class Tensors:
    """NumPy's. Sizes are integers; every function returns a new array."""

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
        """Of integers and truth values."""
        return x.astype(np.int64)

    def softmax(self, x: Array, axis: int) -> Array:
        powers = np.exp(x.astype(np.float64) - x.max(axis, keepdims=True))
        shares: Array = (powers / powers.sum(axis, keepdims=True)).astype(np.float32)
        return shares

    def sigmoid(self, x: Array) -> Array:
        with np.errstate(over="ignore"):  # of what is 0 then
            share: Array = (1.0 / (1.0 + np.exp(-x.astype(np.float64)))).astype(np.float32)
        return share

    def matmul(self, a: Array, b: Array) -> Array:
        product: Array = (a.astype(np.float64) @ b.astype(np.float64)).astype(np.float32)
        return product

    def interpolate(self, x: Array, size: tuple[int, int], filter: str, align_corners: bool = False) -> Array:
        """``torch.nn.functional.interpolate`` of float32 ``[N, C, H, W]``, not antialiased, to its last bit."""
        images = x.transpose(0, 2, 3, 1)
        results = [interpolated(image, *size, filter, False, align_corners) for image in images]
        return np.stack(results).transpose(0, 3, 1, 2)

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
        return x.take(i, axis)

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
        return np.where(condition, x, y)
