"""A small ONNX graph builder: typed values with operators, named scopes, and branches.

The formulas of :mod:`runtime.geometry` and :mod:`runtime.resample` run on these values through
:mod:`runtime.arrays.onnx`; the lowerings beside the ops add the kernels.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from .fusing.names import used
from .opsets import at_opset

DTYPES: dict[str, int] = {
    "uint8": TensorProto.UINT8,
    "uint32": TensorProto.UINT32,
    "int8": TensorProto.INT8,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
    "bool": TensorProto.BOOL,
    "float16": TensorProto.FLOAT16,
    "bfloat16": TensorProto.BFLOAT16,
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
}


DOMAIN = "export_preprocessor"
"""Of the local functions, which the file itself defines."""


class Value:
    """One tensor of the graph. Arithmetic adds nodes; Python numbers become constants of the fitting dtype."""

    def __init__(self, graph: Graph, name: str, dtype: str) -> None:
        self.graph, self.name, self.dtype = graph, name, dtype

    def __add__(self, other: Any) -> Value:
        if isinstance(other, int) and other == 0:
            return self
        return self.graph.arithmetic("Add", self, other)

    def __radd__(self, other: Any) -> Value:
        return self.graph.arithmetic("Add", other, self)

    def __sub__(self, other: Any) -> Value:
        return self.graph.arithmetic("Sub", self, other)

    def __rsub__(self, other: Any) -> Value:
        return self.graph.arithmetic("Sub", other, self)

    def __mul__(self, other: Any) -> Value:
        return self.graph.arithmetic("Mul", self, other)

    def __rmul__(self, other: Any) -> Value:
        return self.graph.arithmetic("Mul", other, self)

    def __truediv__(self, other: Any) -> Value:
        return self.graph.divide(self, other)

    def __rtruediv__(self, other: Any) -> Value:
        return self.graph.divide(other, self)

    def __floordiv__(self, other: Any) -> Value:
        if isinstance(other, int) and other == 1:
            return self
        return self.graph.floor_divide(self, other)

    def __rfloordiv__(self, other: Any) -> Value:
        return self.graph.floor_divide(other, self)

    def __pow__(self, other: float) -> Value:
        return self.graph.node("Pow", self, self.graph.value(other, self.dtype))

    def __neg__(self) -> Value:
        return self.graph.node("Neg", self)

    def __lt__(self, other: Any) -> Value:
        return self.graph.arithmetic("Less", self, other, dtype="bool")

    def __le__(self, other: Any) -> Value:
        return self.graph.arithmetic("LessOrEqual", self, other, dtype="bool")

    def __gt__(self, other: Any) -> Value:
        return self.graph.arithmetic("Greater", self, other, dtype="bool")

    def __ge__(self, other: Any) -> Value:
        return self.graph.arithmetic("GreaterOrEqual", self, other, dtype="bool")

    def __eq__(self, other: object) -> Value:  # type: ignore[override]
        return self.graph.arithmetic("Equal", self, other, dtype="bool")

    def __and__(self, other: Any) -> Value:
        return self.graph.node("And", self, self.graph.value(other, "bool"))

    def __or__(self, other: Any) -> Value:
        return self.graph.node("Or", self, self.graph.value(other, "bool"))

    __rand__, __ror__ = __and__, __or__  # of what is known of one side, and what is not of the other

    def __bool__(self) -> bool:
        raise TypeError(f"{self.name} is a tensor of the graph: choose with geometry.pick, not with `if`")

    __hash__ = object.__hash__


class Graph:
    """Collects nodes and constants; :meth:`build` makes the ``ModelProto``.

    With a ``prefix``, for joining it to a model, it has no local functions, but what is in them: where a file has any,
    onnxruntime optimizes all of it once more, and a model in it would not give its own last bits.
    """

    def __init__(self, prefix: str = "") -> None:
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: dict[str, onnx.TensorProto] = {}
        self._constants: dict[tuple[str, tuple[int, ...], bytes], Value] = {}
        self._scope: list[str] = [prefix] if prefix else []
        self._used: dict[str, int] = {}
        self._functions: dict[str, tuple[list[str], str, list[onnx.NodeProto]]] = {}
        self._bodies: dict[str, Callable[..., Value]] | None = {} if prefix else None

    @contextlib.contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Names nodes and values made inside ``outer/name/…``."""
        self._scope.append(name)
        try:
            yield
        finally:
            self._scope.pop()

    def unique(self, name: str) -> str:
        """``name`` in its scope, numbered where it is taken, also by another name's number."""
        name = full = "/".join([*self._scope, name])
        while full in self._used:
            self._used[name] += 1
            full = f"{name}_{self._used[name]}"
        self._used[full] = 1
        return full

    def input(self, name: str, dtype: str, shape: Sequence[int | str]) -> Value:
        self.inputs.append(helper.make_tensor_value_info(name, DTYPES[dtype], shape))
        return Value(self, name, dtype)

    def output(self, value: Value, name: str, shape: Sequence[int | str | None]) -> None:
        self._nodes.append(helper.make_node("Identity", [value.name], [name], name=self.unique("output")))
        self.outputs.append(helper.make_tensor_value_info(name, DTYPES[value.dtype], shape))

    def constant(self, array: Any, dtype: str, name: str = "constant") -> Value:
        array = np.asarray(array, dtype)
        key = (dtype, array.shape, array.tobytes())
        if key not in self._constants:
            name = self.unique(name)
            self._initializers[name] = numpy_helper.from_array(array, name)
            self._constants[key] = Value(self, name, dtype)
        return self._constants[key]

    def value(self, number: Any, dtype: str | None = None) -> Value:
        """``number`` as a value: Python numbers become scalars of ``dtype``."""
        if isinstance(number, Value):
            return number if dtype in (None, number.dtype) else self.cast(number, str(dtype))
        return self.constant(number, dtype or ("float64" if isinstance(number, float) else "int64"))

    def node(self, op: str, *inputs: Value, dtype: str | None = None, name: str = "", **attributes: Any) -> Value:
        name = self.unique(name or op)
        self._nodes.append(helper.make_node(op, [i.name for i in inputs], [name], name=name, **attributes))
        return Value(self, name, dtype or inputs[0].dtype)

    def nodes(self, op: str, *inputs: Value, dtypes: Sequence[str], **attributes: Any) -> list[Value]:
        """The results of a node that has several, of ``dtypes``."""
        name = self.unique(op)
        results = [Value(self, f"{name}/{i}", dtype) for i, dtype in enumerate(dtypes)]
        outputs = [result.name for result in results]
        self._nodes.append(helper.make_node(op, [i.name for i in inputs], outputs, name=name, **attributes))
        return results

    def cast(self, value: Value, dtype: str) -> Value:
        return value if value.dtype == dtype else self.node("Cast", value, to=DTYPES[dtype], dtype=dtype)

    def common(self, *numbers: Any) -> list[Value]:
        """The operands in one dtype: a float among int64 makes all of them float64."""
        dtypes = {
            n.dtype if isinstance(n, Value) else ("float64" if isinstance(n, float) else "int64") for n in numbers
        }
        if len(dtypes) > 1:
            of_values = {n.dtype for n in numbers if isinstance(n, Value)} - {"int64"}
            dtypes = of_values or {"float64"}
        (dtype,) = dtypes
        return [self.value(n, dtype) for n in numbers]

    def arithmetic(self, op: str, left: Any, right: Any, dtype: str | None = None) -> Value:
        return self.node(op, *self.common(left, right), dtype=dtype)

    def divide(self, left: Any, right: Any) -> Value:
        """True division; of integers in float64, as Python does it."""
        left, right = self.common(left, right)
        if left.dtype == "int64":
            left, right = self.cast(left, "float64"), self.cast(right, "float64")
        return self.node("Div", left, right)

    def floor_divide(self, left: Any, right: Any) -> Value:
        """ONNX divides integers towards zero. The float64 quotient of integers below 2**53 floors to the exact one."""
        return self.cast(self.node("Floor", self.divide(left, right)), "int64")

    def shape(self, *sizes: Any) -> Value:
        """A 1-D int64 tensor of integers and scalar values."""
        if all(isinstance(s, int) for s in sizes):
            return self.constant(sizes, "int64", "shape")
        axis = self.constant([0], "int64")
        parts = [
            self.node("Unsqueeze", s, axis) if isinstance(s, Value) else self.constant([s], "int64") for s in sizes
        ]
        return self.node("Concat", *parts, axis=0)

    def size(self, value: Value, axis: int) -> Value:
        """The length of an axis, as an int64 scalar."""
        shape = self.node("Shape", value, start=axis, end=axis + 1, dtype="int64")
        return self.node("Squeeze", shape)

    def branch(self, condition: Value, then: Callable[[], Value], otherwise: Callable[[], Value], name: str) -> Value:
        """``then()`` where ``condition`` holds, else ``otherwise()``: an ``If`` node."""
        graphs, dtype = {}, ""
        for key, body in (("then_branch", then), ("else_branch", otherwise)):
            outer, self._nodes = self._nodes, []
            with self.scope(key.removesuffix("_branch")):
                result = body()
                out = helper.make_tensor_value_info(result.name, DTYPES[result.dtype], None)
                graphs[key] = helper.make_graph(self._nodes, self.unique("graph"), [], [out])
            self._nodes, dtype = outer, result.dtype
        return self.node("If", condition, dtype=dtype, name=name, **graphs)

    def loop(self, times: Value, start: Value, body: Callable[[Value, Value], Value], name: str) -> Value:
        """``start`` after ``times`` calls of ``body(i, state)``: a ``Loop`` node."""
        outer, self._nodes = self._nodes, []
        with self.scope(name):
            scalar: list[int] = []
            i, again = (Value(self, self.unique(key), dtype) for key, dtype in (("i", "int64"), ("again", "bool")))
            state = Value(self, self.unique("state"), start.dtype)
            on, result = self.node("Identity", again), body(i, state)
            inputs, outputs = (
                [helper.make_tensor_value_info(value.name, DTYPES[value.dtype], shape) for value, shape in values]
                for values in (((i, scalar), (again, scalar), (state, None)), ((on, scalar), (result, None)))
            )
            graph = helper.make_graph(self._nodes, self.unique("graph"), inputs, outputs)
        self._nodes = outer
        return self.node("Loop", times, Value(self, "", "bool"), start, dtype=start.dtype, name=name, body=graph)

    def stack(self, times: Value, body: Callable[[Value], Value], name: str) -> Value:
        """``body(i)`` for each ``i`` below ``times``, along a new first axis: a ``Loop`` node."""
        outer, self._nodes = self._nodes, []
        with self.scope(name):
            scalar: list[int] = []
            i, again = (Value(self, self.unique(key), dtype) for key, dtype in (("i", "int64"), ("again", "bool")))
            on, result = self.node("Identity", again), body(i)
            inputs, outputs = (
                [helper.make_tensor_value_info(value.name, DTYPES[value.dtype], shape) for value, shape in values]
                for values in (((i, scalar), (again, scalar)), ((on, scalar), (result, None)))
            )
            graph = helper.make_graph(self._nodes, self.unique("graph"), inputs, outputs)
        self._nodes = outer
        return self.node("Loop", times, Value(self, "", "bool"), dtype=result.dtype, name=name, body=graph)

    def split(self, value: Value, parts: int, axis: int = 0) -> list[Value]:
        """``parts`` equal pieces along ``axis``, which they keep."""
        return self.nodes("Split", value, dtypes=[value.dtype] * parts, axis=axis, num_outputs=parts)

    def function(self, name: str, dtypes: Sequence[str], body: Callable[..., Value]) -> str:
        """Adds a local function whose inputs have ``dtypes``; :meth:`call` calls it."""
        if self._bodies is not None:
            name = self.unique(name)
            self._bodies[name] = body
            return name
        outer = self._nodes, self._initializers, self._constants, self._scope, self._used
        self._nodes, self._initializers, self._constants, self._scope, self._used = [], {}, {}, [], {}
        inputs = [Value(self, f"input_{i}", dtype) for i, dtype in enumerate(dtypes)]
        result = body(*inputs)
        # A function has no initializers: its constants are nodes, and come first.
        constants = [helper.make_node("Constant", [], [n], name=n, value=t) for n, t in self._initializers.items()]
        nodes = [*constants, *self._nodes]
        self._nodes, self._initializers, self._constants, self._scope, self._used = outer
        name = self.unique(name).replace("/", ".")
        self._functions[name] = ([v.name for v in inputs], result.name, nodes)
        return name

    def call(self, function: str, *inputs: Value, dtype: str) -> Value:
        """The result of a local function."""
        if self._bodies is not None:
            with self.scope(function.rpartition("/")[2]):
                return self._bodies[function](*inputs)
        return self.node(function, *inputs, dtype=dtype, name=function.rpartition(".")[2], domain=DOMAIN)

    def build(self, opset: int, ir_version: int, name: str) -> onnx.ModelProto:
        """The model. Raises ``onnx.checker.ValidationError`` where the graph is not valid."""
        nodes, initializers = self._at_opset(opset)
        graph = helper.make_graph(nodes, name, self.inputs, self.outputs, initializers)
        opsets, functions = [helper.make_opsetid("", opset)], self._function_protos(opset)
        model = helper.make_model(
            graph,
            functions=functions,
            opset_imports=[*opsets, helper.make_opsetid(DOMAIN, 1)] if functions else opsets,
            ir_version=ir_version,
            producer_name="export-preprocessor",
        )
        onnx.checker.check_model(model, full_check=True)
        return model

    def extend(self, model: onnx.ModelProto) -> None:
        """Adds all that was collected, but inputs and outputs, to a model that has the values it reads."""
        opset = max(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
        nodes, initializers = self._at_opset(opset)
        model.graph.node.extend(nodes)
        model.graph.initializer.extend(initializers)
        model.functions.extend(self._function_protos(opset))
        if self._functions and DOMAIN not in {entry.domain for entry in model.opset_import}:
            model.opset_import.append(helper.make_opsetid(DOMAIN, 1))

    def _at_opset(self, opset: int) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
        """The nodes, and the constants that they read in this opset."""
        nodes = at_opset(self._nodes, self._initializers, opset)
        read = {name for node in nodes for name in used(node)}
        return nodes, [tensor for name, tensor in self._initializers.items() if name in read]

    def _function_protos(self, opset: int) -> list[onnx.FunctionProto]:
        opsets = [helper.make_opsetid("", opset)]
        return [
            helper.make_function(DOMAIN, function, inputs, [output], at_opset(nodes, {}, opset), opsets)
            for function, (inputs, output, nodes) in self._functions.items()
        ]
