"""The tensors that post-processing runs on, as nodes of a graph: what :class:`.tensors.Tensors` is in NumPy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..arrays.onnx import Formulas
from ..ops.torch_sums_onnx import interpolated, largest_channel


class Tensors:
    """A graph's. ``g`` is the exporter's graph builder; sizes are integers or int64 scalars of the graph."""

    def __init__(self, g: Any) -> None:
        self.g = g
        self.formulas = Formulas(g)

    @property
    def geometry(self) -> Any:
        return self.formulas.geometry

    def size(self, x: Any, axis: int) -> Any:
        shape = self.g.node("Shape", x, dtype="int64")
        return self.g.node("Gather", shape, self.g.constant(axis, "int64"))

    def smaller(self, a: Any, b: Any) -> Any:
        return self.g.node("Min", *self.g.common(a, b))

    def larger(self, a: Any, b: Any) -> Any:
        return self.g.node("Max", *self.g.common(a, b))

    def quotient(self, a: Any, b: Any) -> Any:
        return self.g.node("Div", *self.g.common(a, b))

    def remainder(self, a: Any, b: Any) -> Any:
        return self.g.node("Mod", *self.g.common(a, b))

    def vector(self, *sizes: Any) -> Any:
        return self.float32(self.g.shape(*sizes))

    def float32(self, x: Any) -> Any:
        return self.g.cast(x, "float32")

    def int32(self, x: Any) -> Any:
        return self.g.cast(x, "int32")

    def int64(self, x: Any) -> Any:
        return self.g.cast(x, "int64")

    def softmax(self, x: Any, axis: int) -> Any:
        return self.float32(self.g.node("Softmax", self.g.cast(x, "float64"), axis=axis))

    def sigmoid(self, x: Any) -> Any:
        return self.float32(self.g.node("Sigmoid", self.g.cast(x, "float64")))

    def sqrt(self, x: Any) -> Any:
        # In float64, whose root no approximation stands for; rounded once more it is the nearest float32.
        return self.float32(self.g.node("Sqrt", self.g.cast(x, "float64")))

    def tan(self, x: Any) -> Any:
        angles = self.g.cast(x, "float64")
        return self.float32(self.g.node("Sin", angles) / self.g.node("Cos", angles))

    def reciprocal(self, x: Any) -> Any:
        return self.g.node("Neg", self.g.value(-1.0, "float32") / x)  # see arrays.onnx

    def matmul(self, a: Any, b: Any) -> Any:
        return self.float32(self.g.node("MatMul", self.g.cast(a, "float64"), self.g.cast(b, "float64")))

    def interpolate(
        self, x: Any, size: tuple[Any, Any], filter: str, align_corners: bool = False, antialias: bool = False
    ) -> Any:
        own, channels = (self.size(x, 2), self.size(x, 3)), self.size(x, 1)
        return interpolated(self.g, self.formulas, x, own, size, filter, antialias, align_corners, channels)

    def nearest(self, x: Any, size: tuple[Any, Any]) -> Any:
        for axis, new in enumerate(size, 1):
            old = self.size(x, axis)
            own = self.float32(self.g.node("Range", *self.g.common(0, self.g.value(new), 1)))
            share = self.float32(old) / self.float32(self.g.value(new))
            index = self.int64(self.g.node("Floor", own * share))
            x = self.g.node("Gather", x, index, axis=axis)
        return x

    def largest_channel(self, x: Any, size: tuple[Any, Any]) -> Any:
        own = self.size(x, 2), self.size(x, 3)
        return largest_channel(self.g, self.formulas, x, own, size, self.size(x, 1))

    def sum(self, x: Any, axis: int) -> Any:
        x = self.g.cast(x, "float64")
        return self.float32(self.g.node("ReduceSum", x, self.g.constant([axis], "int64"), keepdims=0))

    def max(self, x: Any, axis: int) -> Any:
        return self.g.node("ReduceMax", x, self.g.constant([axis], "int64"), keepdims=0)

    def argmax(self, x: Any, axis: int) -> Any:
        return self.g.node("ArgMax", x, axis=axis, keepdims=0, dtype="int64")

    def top_k(self, x: Any, k: Any) -> tuple[Any, Any]:
        values, index = self.g.nodes("TopK", x, self.g.shape(k), dtypes=(x.dtype, "int64"), axis=-1)
        return values, index

    def argsort(self, x: Any) -> Any:
        length = self.g.shape(self.size(x, -1))
        _, index = self.g.nodes("TopK", x, length, dtypes=(x.dtype, "int64"), axis=-1, largest=0)
        return index

    def triu(self, x: Any) -> Any:
        return self.g.node("Trilu", x, self.g.constant(1, "int64"), upper=1)

    def take_along(self, x: Any, index: Any, axis: int) -> Any:
        return self.g.node("GatherElements", x, index, axis=axis)

    def take_rows(self, x: Any, index: Any) -> Any:
        index = self.g.node("Unsqueeze", index, self.g.constant([-1], "int64"))
        return self.g.node("GatherND", x, index, batch_dims=1)

    def at(self, x: Any, i: int, axis: int) -> Any:
        return self.g.node("Gather", x, self.g.constant(i, "int64"), axis=axis)

    def slice(self, x: Any, start: Any, stop: Any, axis: int) -> Any:
        return self.g.node("Slice", x, self.g.shape(start), self.g.shape(stop), self.g.constant([axis], "int64"))

    def reshape(self, x: Any, shape: Sequence[Any]) -> Any:
        return self.g.node("Reshape", x, self.g.shape(*shape))

    def transpose(self, x: Any, order: Sequence[int]) -> Any:
        return self.g.node("Transpose", x, perm=list(order))

    def concat(self, parts: Sequence[Any], axis: int) -> Any:
        return self.g.node("Concat", *parts, axis=axis)

    def stack(self, parts: Sequence[Any], axis: int) -> Any:
        new = self.g.constant([axis], "int64")
        return self.concat([self.g.node("Unsqueeze", part, new) for part in parts], axis)

    def clip(self, x: Any, low: float, high: float) -> Any:
        return self.g.node("Clip", x, self.g.value(low, x.dtype), self.g.value(high, x.dtype))

    def where(self, condition: Any, x: Any, y: Any) -> Any:
        return self.g.node("Where", condition, *self.g.common(x, y))

    def each(self, x: Any, function: Callable[[Any], Any]) -> Any:
        rows = self.g.stack(self.size(x, 0), lambda i: function(self.g.node("Gather", x, self.g.shape(i))), "each")
        return self.g.node("Squeeze", rows, self.g.constant([1], "int64"))
