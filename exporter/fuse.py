"""Preprocessing in front of an ONNX model: one graph, image in, the model's outputs out."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
from onnx import helper

from runtime import artifact
from runtime.errors import ArtifactError
from runtime.fusion import Fusion
from runtime.plan import Plan

from . import onnx as exporting
from .fusing.fit import Joint, fit
from .fusing.match import Input, describe, match, required
from .fusing.names import dimensions, free, graphs, needed, rename_dimensions, rename_value, taken
from .fusing.reading import ONNX, at_opset, check, read
from .graph import DTYPES, Value

IMAGES = "images"
"""The fused file's input."""

PREFIX = "preprocess"
"""Of every name that is added; numbered where the model has such names."""


def fuse(
    plan: Plan,
    model: str | os.PathLike[str],
    opset: int | None = None,
    names: Mapping[str, str] | None = None,
) -> onnx.ModelProto:
    """The Plan's graph joined to ``model``.

    The result's first input is uint8 ``images``; inputs of the model that the Plan does not give follow under their own
    names, those with a default value stay optional. Outputs keep their names. An output of the Plan that the model does
    not take is left out. Its metadata has a :class:`runtime.fusion.Fusion`; weights in other files stay there.

    Args:
        plan: of :func:`exporter.trace`.
        model: the path of an ONNX model.
        opset: the model's own by default; it is converted where it is older than 18 or another is asked for.
        names: the model's name for an output of the Plan, where it differs; other keys are not looked at.

    Raises:
        ArtifactError: the file is no ONNX model, or its inputs do not fit; the message names both sides.
    """
    path = Path(model)
    proto, wanted = at_opset(read(path), opset, path)
    inputs = [describe(value) for value in required(proto.graph)]
    summary = _summary(proto)
    try:
        return _fused(plan, proto, wanted, inputs, names or {}, summary)
    except ArtifactError as error:
        raise ArtifactError(f"{path}: {error}") from error
    except onnx.checker.ValidationError as error:
        raise ArtifactError(f"{path}: cannot be joined to the preprocessing ({str(error).splitlines()[0]})") from error


def _fused(
    plan: Plan, proto: onnx.ModelProto, opset: int, inputs: Sequence[Input], names: Mapping[str, str], summary: Any
) -> onnx.ModelProto:
    if proto.ir_version < 4:  # every initializer had to be an input, but none could be given
        _keep_inputs(proto, {value.name for value in inputs})
    declared = [describe(value) for value in proto.graph.input]
    optional = [value for value in declared if value not in inputs]
    found = match(plan, inputs, optional, names)
    renamed = _make_room(proto, {value.name for value in found.values()})
    found = {name: replace(value, name=renamed.get(value.name, value.name)) for name, value in found.items()}
    g, outputs = exporting.preprocess(plan, free_prefix(proto))
    joints, values = [], []
    for output in outputs:
        if output.name in found:
            target = found[output.name]
            value, joint = fit(g, plan, output, target, proto)
            g.output(value, target.name, [None] * len(output.shape if target.shape is None else target.shape))
            joints.append(joint)
            values.append((output, target))
    pre = g.build(opset, exporting.IR_VERSION, "preprocessing")
    joint = _agreed(joints)
    _name_batch(proto, values[0][1], joint)
    original = {new: old for old, new in renamed.items()}
    fusion = Fusion(
        {output.name: output.value.name for output, _ in values},
        {output.name: original.get(target.name, target.name) for output, target in values},
        joint.batch, joint.group, joint.length, joint.unbatched, model=summary,
    )  # fmt: skip
    return _joined(pre, proto, [output for output, _ in values], fusion)


def _keep_inputs(proto: onnx.ModelProto, names: set[str]) -> None:
    kept = [value for value in proto.graph.input if value.name in names]
    del proto.graph.input[:]
    proto.graph.input.extend(kept)


def _make_room(proto: onnx.ModelProto, given: set[str]) -> dict[str, str]:
    """Renames a value of the model that has the name of the file's input, and dimensions that have those of its axes.

    Args:
        proto: changed.
        given: inputs that the preprocessing gives.
    """
    sizes = {name: free(f"model_{name}", dimensions(proto)) for name in ("batch", "groups", "height", "width")}
    rename_dimensions(proto, sizes)
    if IMAGES not in taken(proto):
        return {}
    fixed = {"output": proto.graph.output, "input": [v for v in proto.graph.input if v.name not in given]}
    for side, values in fixed.items():
        if IMAGES in {value.name for value in values}:
            raise ArtifactError(
                f"the model has an {side} '{IMAGES}', which is the name of the fused file's input: rename it, or say"
                f" with --map which output of the preprocessing it takes"
            )
    name = free(f"model_{IMAGES}", taken(proto))
    rename_value(proto, IMAGES, name)
    return {IMAGES: name}


def free_prefix(proto: onnx.ModelProto) -> str:
    """:data:`PREFIX`, numbered where names of the model begin with it."""
    return free(PREFIX, {name.replace(".", "/").partition("/")[0] for name in taken(proto)})


def _agreed(joints: Sequence[Joint]) -> Joint:
    """The one joint of a model's inputs."""
    batches = {joint.batch for joint in joints} - {None}
    lengths = {joint.length for joint in joints} - {None}
    if len(batches) > 1 or len(lengths) > 1 or len({(joint.group, joint.unbatched) for joint in joints}) > 1:
        raise ArtifactError("the model's inputs take batches of different sizes: export it for a batch of any size")
    return replace(joints[0], batch=next(iter(batches), None), length=next(iter(lengths), None))


def _name_batch(proto: onnx.ModelProto, target: Input, joint: Joint) -> None:
    """Gives the model's batch the name of the images', or ``groups`` where it is one of groups of them."""
    image = next(value for value in proto.graph.input if value.name == target.name)
    dims = image.type.tensor_type.shape.dim
    if dims and dims[0].dim_param and not joint.unbatched:
        rename_dimensions(proto, {dims[0].dim_param: "groups" if joint.group else "batch"})


def _joined(
    pre: onnx.ModelProto, proto: onnx.ModelProto, outputs: Sequence[exporting.Output], fusion: Fusion
) -> onnx.ModelProto:
    """The model with the preprocessing in front: all else that the model holds stays."""
    graph, given = proto.graph, {value.name for value in pre.graph.output}
    nodes, names = needed(pre.graph.node, given)
    (images,) = pre.graph.input
    if fusion.batch is not None:
        images.type.tensor_type.shape.dim[0].dim_value = fusion.batch
    # What the model took stays on record: onnxruntime picks its kernels by it, and with them the rounding.
    taken_inputs = [value for value in graph.input if value.name in given]
    for dim in (dim for value in taken_inputs for dim in value.type.tensor_type.shape.dim):
        if dim.HasField("dim_value") and dim.dim_value < 0:  # as `describe` reads it
            dim.Clear()
    others = [value for value in graph.input if value.name not in given]
    defaults = [tensor for tensor in graph.initializer if tensor.name not in given]
    del graph.input[:]
    graph.input.extend([images, *others])
    if len(defaults) < len(graph.initializer):
        del graph.initializer[:]
        graph.initializer.extend(defaults)
    behind = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *behind])
    graph.initializer.extend(tensor for tensor in pre.graph.initializer if tensor.name in names)
    graph.value_info.extend([*taken_inputs, *(_recorded(output.value, output.shape) for output in outputs)])
    proto.functions.extend(pre.functions)
    known = {"" if entry.domain in ONNX else entry.domain for entry in proto.opset_import}
    proto.opset_import.extend(entry for entry in pre.opset_import if entry.domain not in known)
    proto.ir_version = max(pre.ir_version, proto.ir_version)
    proto.producer_name, proto.producer_version = "export-preprocessor", ""
    props = {entry.key: entry.value for entry in proto.metadata_props}
    helper.set_model_props(proto, {**props, artifact.FUSED_KEY: fusion.to_json()})
    check(proto)
    return proto


def _recorded(value: Value, shape: Sequence[int | str]) -> onnx.ValueInfoProto:
    lengths = [length if isinstance(length, int) else None for length in shape]
    return helper.make_tensor_value_info(value.name, DTYPES[value.dtype], lengths)


def _summary(proto: onnx.ModelProto) -> dict[str, Any]:
    """What the model is, for people."""
    every = list(graphs(proto.graph))
    return {
        "producer": f"{proto.producer_name} {proto.producer_version}".strip(),
        "opset": {entry.domain or "ai.onnx": entry.version for entry in proto.opset_import},
        "ir_version": proto.ir_version,
        "nodes": sum(len(graph.node) for graph in every),
        "parameters": sum(math.prod(tensor.dims) for graph in every for tensor in graph.initializer),
        "inputs": [_plain(describe(value)) for value in required(proto.graph)],
        "outputs": [_plain(describe(value)) for value in proto.graph.output],
    }


def _plain(value: Input) -> dict[str, Any]:
    return {"name": value.name, "dtype": value.dtype, "shape": None if value.shape is None else list(value.shape)}
