"""Names in an ONNX model: of values, dimensions and functions, in its graph and all graphs inside."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

import onnx


def graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """The graph, and those in its nodes' attributes."""
    yield graph
    yield from _inner(graph.node)


def _inner(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.GraphProto]:
    for node in nodes:
        for subgraph in subgraphs(node):
            yield from graphs(subgraph)


def subgraphs(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    """The branches of an ``If``, the body of a ``Loop``; one level."""
    found = [[a.g] if a.type == onnx.AttributeProto.GRAPH else a.graphs for a in node.attribute]
    return [graph for several in found for graph in several]


def tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every tensor that holds values: weights, and those in nodes, functions included."""
    every = [*graphs(model.graph), *(g for function in model.functions for g in _inner(function.node))]
    for graph in every:
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
    for nodes in (*(graph.node for graph in every), *(function.node for function in model.functions)):
        for node in nodes:
            for attribute in node.attribute:
                yield from ([attribute.t] if attribute.type == onnx.AttributeProto.TENSOR else attribute.tensors)
                one = attribute.type == onnx.AttributeProto.SPARSE_TENSOR
                for sparse in [attribute.sparse_tensor] if one else attribute.sparse_tensors:
                    yield from (sparse.values, sparse.indices)


def used(node: onnx.NodeProto) -> set[str]:
    """Names of the values that a node reads, also where a graph inside it does."""
    found = set(node.input)
    for graph in subgraphs(node):
        inside = {value.name for value in (*graph.input, *graph.initializer)}
        inside |= {sparse.values.name for sparse in graph.sparse_initializer}
        inside |= {name for inner in graph.node for name in inner.output}
        read = {value.name for value in graph.output}.union(*(used(inner) for inner in graph.node))
        found |= read - inside
    return found - {""}


def needed(
    nodes: Collection[onnx.NodeProto], outputs: Iterable[str], given: Collection[str] = ()
) -> tuple[list[onnx.NodeProto], set[str]]:
    """The nodes that ``outputs`` follow from, where ``given`` are known, and the names of all values they take."""
    wanted, kept = set(outputs), []
    for node in reversed(list(nodes)):
        if any(name in wanted and name not in given for name in node.output):
            kept.append(node)
            wanted |= used(node)
    return kept[::-1], wanted


def taken(model: onnx.ModelProto) -> set[str]:
    """Every name of a value, a node or a function."""
    names = {function.name for function in model.functions}
    for graph in graphs(model.graph):
        names |= {value.name for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer)}
        names |= {sparse.values.name for sparse in graph.sparse_initializer}
        for node in graph.node:
            names |= {node.name, *node.input, *node.output}
    return names


def free(name: str, names: Collection[str]) -> str:
    """``name``, numbered where it is among ``names``."""
    number, result = 1, name
    while result in names:
        number += 1
        result = f"{name}_{number}"
    return result


def rename_value(model: onnx.ModelProto, old: str, new: str) -> None:
    """Gives a value another name, in the graphs inside too, where no other value may have the name of an outer one."""
    for graph in graphs(model.graph):
        for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
            if value.name == old:
                value.name = new
        for sparse in graph.sparse_initializer:
            if sparse.values.name == old:
                sparse.values.name = new
        for annotation in graph.quantization_annotation:
            if annotation.tensor_name == old:
                annotation.tensor_name = new
            for entry in annotation.quant_parameter_tensor_names:
                if entry.value == old:
                    entry.value = new
        for node in graph.node:
            for names in (node.input, node.output):
                for i, name in enumerate(names):
                    if name == old:
                        names[i] = new


def rename_dimensions(model: onnx.ModelProto, names: Mapping[str, str]) -> None:
    """Gives dimensions other names, all at once."""
    for shape in _shapes(model):
        for dim in shape.dim:
            if dim.dim_param in names:
                dim.dim_param = names[dim.dim_param]


def dimensions(model: onnx.ModelProto) -> set[str]:
    """Names of dimensions."""
    return {dim.dim_param for shape in _shapes(model) for dim in shape.dim if dim.dim_param}


def _shapes(model: onnx.ModelProto) -> Iterator[onnx.TensorShapeProto]:
    values = [value for function in model.functions for value in function.value_info]
    every = [*graphs(model.graph), *(g for function in model.functions for g in _inner(function.node))]
    for graph in every:
        values += [*graph.input, *graph.output, *graph.value_info]
    for value in values:
        yield from _shapes_of(value.type)


def _shapes_of(kind: onnx.TypeProto) -> Iterator[onnx.TensorShapeProto]:
    which = kind.WhichOneof("value")
    if which in ("tensor_type", "sparse_tensor_type"):
        yield getattr(kind, which).shape
    elif which in ("sequence_type", "optional_type"):
        yield from _shapes_of(getattr(kind, which).elem_type)
    elif which == "map_type":
        yield from _shapes_of(kind.map_type.value_type)
