"""Nodes in the form that an older opset has. The lowerings are written for opset 18, and newer ones read it too.

A model that is put behind the preprocessing keeps its own opset by this: converting it would change which of its nodes
a runtime fuses, and with them its last bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import onnx
from onnx import AttributeProto, helper, numpy_helper

OLDEST = 14
"""The first that subtracts bytes."""

Constants = Mapping[str, onnx.TensorProto]


def at_opset(nodes: Iterable[onnx.NodeProto], constants: Constants, opset: int) -> list[onnx.NodeProto]:
    """``nodes`` of opset 18 as those of ``opset``, :data:`OLDEST` or newer, that give the same values.

    Args:
        nodes: in order; they are not changed.
        constants: tensors by name; those of ``Constant`` nodes need not be among them.
        opset: where it is 18 or newer, there is nothing to do.
    """
    if opset >= 18:
        return list(nodes)
    nodes = list(nodes)
    result: list[onnx.NodeProto] = []
    constants = {**constants, **{n.output[0]: n.attribute[0].t for n in nodes if n.op_type == "Constant"}}
    for node in nodes:
        since, rewrite = REWRITES.get(node.op_type if not node.domain else "", (0, None))
        copy = onnx.NodeProto.FromString(node.SerializeToString())
        for attribute in copy.attribute:
            if attribute.type == AttributeProto.GRAPH:
                inner = at_opset(attribute.g.node, constants, opset)
                del attribute.g.node[:]
                attribute.g.node.extend(inner)
        result += rewrite(copy, constants) if rewrite is not None and opset < since else [copy]
    return result


def _split(node: onnx.NodeProto, constants: Constants) -> list[onnx.NodeProto]:
    """Into as many equal pieces as it has outputs."""
    _without(node, "num_outputs")
    return [node]


def _reduce(node: onnx.NodeProto, constants: Constants) -> list[onnx.NodeProto]:
    """Its axes are an attribute."""
    if len(node.input) == 2:
        axes = numpy_helper.to_array(constants[node.input.pop()]).tolist()
        node.attribute.append(helper.make_attribute("axes", axes))
    return [node]


def _bitwise_and(node: onnx.NodeProto, constants: Constants) -> list[onnx.NodeProto]:
    """With ``2**n - 1`` it is the remainder by ``2**n``; with ``-2**n`` that is what it takes away."""
    x, mask = node.input
    number = int(numpy_helper.to_array(constants[mask]))
    modulus = np.asarray(
        -number if number < 0 else number + 1, helper.tensor_dtype_to_np_dtype(constants[mask].data_type)
    )
    name = f"{node.name}/modulus"
    power = helper.make_node("Constant", [], [name], name=name, value=numpy_helper.from_array(modulus, name))
    rest = node.output[0] if number > 0 else f"{node.name}/rest"
    remainder = helper.make_node("Mod", [x, name], [rest], name=f"{node.name}/Mod")
    without = helper.make_node("Sub", [x, rest], list(node.output), name=node.name)
    return [power, remainder] if number > 0 else [power, remainder, without]


def _shape(node: onnx.NodeProto, constants: Constants) -> list[onnx.NodeProto]:
    """A part of it is a slice."""
    bounds = {attribute.name: attribute.i for attribute in node.attribute}
    if not bounds:
        return [node]
    whole = f"{node.name}/whole"
    parts = [helper.make_node("Shape", [node.input[0]], [whole], name=whole)]
    names = [whole]
    for key, value in (("start", bounds.get("start", 0)), ("end", bounds.get("end", np.iinfo(np.int64).max))):
        name = f"{node.name}/{key}"
        names.append(name)
        tensor = numpy_helper.from_array(np.array([value], np.int64), name)
        parts.append(helper.make_node("Constant", [], [name], name=name, value=tensor))
    return [*parts, helper.make_node("Slice", names, list(node.output), name=node.name)]


def _without(node: onnx.NodeProto, attribute: str) -> None:
    kept = [entry for entry in node.attribute if entry.name != attribute]
    del node.attribute[:]
    node.attribute.extend(kept)


REWRITES: Mapping[str, tuple[int, Callable[[onnx.NodeProto, Constants], list[onnx.NodeProto]]]] = {
    "Split": (18, _split),
    "ReduceMax": (18, _reduce),
    "ReduceMin": (18, _reduce),
    "BitwiseAnd": (18, _bitwise_and),
    "Shape": (15, _shape),
}
"""By operator, the opset from which on it has its new form, and what stands for it before."""
