"""Preprocessing in front of an ONNX model: one graph, image in, the model's outputs out."""

from __future__ import annotations

import os
from pathlib import Path

import onnx
from onnx import TensorProto, compose, helper, version_converter

from runtime import artifact
from runtime.errors import ArtifactError
from runtime.lowering import lower, output_dtype, static_size
from runtime.ops import ChannelsLast
from runtime.plan import Plan

from . import onnx as exporting

PREFIX = "preprocess"


def fuse(plan: Plan, model: str | os.PathLike[str], opset: int | None = None) -> onnx.ModelProto:
    """The Plan's graph joined to ``model``'s image input.

    Args:
        plan: of :func:`exporter.trace`.
        model: the path of an ONNX model with one input, ``[batch, channels, height, width]``.
        opset: the model's own by default; it is converted where it is older than 18 or another is asked for.

    Raises:
        ArtifactError: the file is no ONNX model, or its input does not fit; the message names both sides.
    """
    path = Path(model)
    proto = _load(path)
    wanted = _opset(proto) if opset is None else opset
    wanted = max(wanted, exporting.OPSET)
    if wanted != _opset(proto):
        try:
            proto = version_converter.convert_version(proto, wanted)
        except Exception as error:  # the converter raises RuntimeError and its own classes
            raise ArtifactError(
                f"{path}: cannot be converted from opset {_opset(proto)} to {wanted}: {error}"
            ) from error
    if any(name == "images" or name.startswith(PREFIX) for name in _names(proto.graph)):
        proto = compose.add_prefix(proto, "model/", rename_outputs=False)
    target = _image_input(proto, plan, path)
    pre = exporting.build(plan, wanted, PREFIX, target.name)
    graph = helper.make_graph(
        [*pre.graph.node, *proto.graph.node],
        proto.graph.name or "model",
        list(pre.graph.input),
        list(proto.graph.output),
        [*pre.graph.initializer, *proto.graph.initializer],
        # The image's type stays on record: onnxruntime picks its kernels by it, and with them the rounding.
        value_info=[*proto.graph.value_info, target],
        sparse_initializer=list(proto.graph.sparse_initializer),
    )
    batch = target.type.tensor_type.shape.dim[0]
    if batch.HasField("dim_value"):
        graph.input[0].type.tensor_type.shape.dim[0].dim_value = batch.dim_value
    domains = {entry.domain: entry.version for entry in (*pre.opset_import, *proto.opset_import)}
    fused = helper.make_model(
        graph,
        functions=[*pre.functions, *proto.functions],
        opset_imports=[helper.make_opsetid(domain, version) for domain, version in domains.items()],
        ir_version=max(pre.ir_version, proto.ir_version),
        producer_name="export-preprocessor",
    )
    fused.metadata_props.extend(proto.metadata_props)
    props = {entry.key: entry.value for entry in proto.metadata_props}
    helper.set_model_props(fused, {**props, artifact.FUSED_KEY: target.name})
    onnx.checker.check_model(fused)
    return fused


def model_part(fused: onnx.ModelProto) -> onnx.ModelProto:
    """The model of a fused file, without the preprocessing."""
    props = {entry.key: entry.value for entry in fused.metadata_props}
    boundary = props[artifact.FUSED_KEY]
    nodes = list(fused.graph.node)
    first = next(i for i, node in enumerate(nodes) if boundary in node.output)
    initializers = [t for t in fused.graph.initializer if not t.name.startswith(f"{PREFIX}/")]
    image = next(value for value in fused.graph.value_info if value.name == boundary)
    graph = helper.make_graph(nodes[first + 1 :], "model", [image], list(fused.graph.output), initializers)
    functions = [f for f in fused.functions if f.domain != exporting.DOMAIN]
    return helper.make_model(
        graph, functions=functions, opset_imports=list(fused.opset_import), ir_version=fused.ir_version
    )


def _load(path: Path) -> onnx.ModelProto:
    if not path.is_file():
        raise ArtifactError(f"{path}: no such model file")
    try:
        proto = onnx.load(path)
        onnx.checker.check_model(proto)
    except Exception as error:  # protobuf, the checker and external data each raise classes of their own
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ArtifactError(f"{path}: not an ONNX model that can be read ({first[:200]})") from error
    return proto


def _opset(proto: onnx.ModelProto) -> int:
    return max((entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")), default=1)


def _names(graph: onnx.GraphProto) -> set[str]:
    """Every value's name, those of subgraphs included."""
    names = {value.name for value in (*graph.input, *graph.initializer)}
    for node in graph.node:
        names.update(node.output)
        for attribute in node.attribute:
            for subgraph in (attribute.g, *attribute.graphs):
                names |= _names(subgraph)
    return names


def _plan_dtype(plan: Plan) -> str:
    return output_dtype(lower(plan.steps, plan.channels))


def _image_input(proto: onnx.ModelProto, plan: Plan, path: Path) -> onnx.ValueInfoProto:
    """The model's one input, checked against what the Plan gives."""
    constants = {tensor.name for tensor in proto.graph.initializer}
    inputs = [value for value in proto.graph.input if value.name not in constants]
    if len(inputs) != 1:
        listed = ", ".join(value.name for value in inputs) or "none"
        raise ArtifactError(f"{path}: expected a model with one input, the image; it has {listed}")
    target: onnx.ValueInfoProto = inputs[0]
    tensor = target.type.tensor_type
    found = [d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim]
    kernels = lower(plan.steps, plan.channels)
    height, width = static_size(kernels, *(plan.input_size or ()))
    wanted: list[tuple[int | None, str]] = [(plan.channels, ""), (height, "height"), (width, "width")]
    if kernels and isinstance(kernels[-1], ChannelsLast):
        wanted = [*wanted[1:], wanted[0]]
    given = f"{_plan_dtype(plan)} [batch, {', '.join(str(size or name) for size, name in wanted)}]"
    takes = (
        f"{TensorProto.DataType.Name(tensor.elem_type).lower()}"
        f" [{', '.join(str(d.dim_value) if d.HasField('dim_value') else d.dim_param or '?' for d in tensor.shape.dim)}]"
    )
    dtypes: dict[int, str] = {TensorProto.FLOAT: "float32", TensorProto.FLOAT16: "float16", TensorProto.UINT8: "uint8"}
    fits = (
        dtypes.get(tensor.elem_type) == _plan_dtype(plan)
        and len(found) == 4
        and all(f is None or w is None or f == w for f, (w, _) in zip(found[1:], wanted, strict=True))
    )
    if not fits:
        raise ArtifactError(
            f"{path}: its input '{target.name}' takes {takes}, but the preprocessing gives {given}; change the config"
            " with --size or --set, or --dtype"
        )
    return target
