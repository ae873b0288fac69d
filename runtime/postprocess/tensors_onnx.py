"""The tensors that post-processing runs on, as nodes of a graph: what :class:`.tensors.Tensors` is in NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..arrays.onnx import Formulas


class Tensors:
    """A graph's. ``g`` is the exporter's graph builder; sizes are integers or int64 scalars of the graph."""

    def __init__(self, g: Any) -> None:
        self.g = g
        self.formulas = Formulas(g)

    def size(self, x: Any, axis: int) -> Any:
        shape = self.g.node("Shape", x, dtype="int64")
        return self.g.node("Gather", shape, self.g.constant(axis, "int64"))

    def smaller(self, a: Any, b: Any) -> Any:
        return self.g.node("Min", *self.g.common(a, b))

    def float32(self, x: Any) -> Any:
        return self.g.cast(x, "float32")

    def softmax(self, x: Any, axis: int) -> Any:
        return self.float32(self.g.node("Softmax", self.g.cast(x, "float64"), axis=axis))

    def sigmoid(self, x: Any) -> Any:
        return self.float32(self.g.node("Sigmoid", self.g.cast(x, "float64")))

    def matmul(self, a: Any, b: Any) -> Any:
        return self.float32(self.g.node("MatMul", self.g.cast(a, "float64"), self.g.cast(b, "float64")))

    def max(self, x: Any, axis: int) -> Any:
        return self.g.node("ReduceMax", x, self.g.constant([axis], "int64"), keepdims=0)

    def argmax(self, x: Any, axis: int) -> Any:
        return self.g.node("ArgMax", x, axis=axis, keepdims=0, dtype="int64")

    def top_k(self, x: Any, k: Any) -> tuple[Any, Any]:
        values, index = self.g.nodes("TopK", x, self.g.shape(k), dtypes=(x.dtype, "int64"), axis=-1)
        return values, index

    def take_along(self, x: Any, index: Any, axis: int) -> Any:
        return self.g.node("GatherElements", x, index, axis=axis)

    def slice(self, x: Any, start: Any, stop: Any, axis: int) -> Any:
        return self.g.node("Slice", x, self.g.shape(start), self.g.shape(stop), self.g.constant([axis], "int64"))

    def reshape(self, x: Any, shape: Sequence[Any]) -> Any:
        return self.g.node("Reshape", x, self.g.shape(*shape))

    def transpose(self, x: Any, order: Sequence[int]) -> Any:
        return self.g.node("Transpose", x, perm=list(order))

    def concat(self, parts: Sequence[Any], axis: int) -> Any:
        return self.g.node("Concat", *parts, axis=axis)

    def clip(self, x: Any, low: float, high: float) -> Any:
        return self.g.node("Clip", x, self.g.value(low, x.dtype), self.g.value(high, x.dtype))

    def where(self, condition: Any, x: Any, y: Any) -> Any:
        return self.g.node("Where", condition, *self.g.common(x, y))
