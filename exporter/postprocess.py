"""A model's post-processing as nodes behind it: what the file gives is what the user wants to know."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx

from models import postprocess as choosing
from runtime import artifact
from runtime.errors import ArtifactError
from runtime.fusion import Fusion
from runtime.plan import Plan
from runtime.postprocess import ImageClassification, Postprocess
from runtime.postprocess.tensors import Array
from runtime.postprocess.tensors import Tensors as NumpyTensors
from runtime.postprocess.tensors_onnx import Tensors

from .fusing.names import rename_value, taken
from .graph import DTYPES, Graph, Value

PREFIX = "postprocess"
"""Of every name that is added."""

FLOATS = ("float16", "bfloat16", "float64")
"""What post-processing reads as float32."""

RAW = "model"
"""In front of the name of a model's output, where a result has that name."""

NAMES = {number: name for name, number in DTYPES.items()}


def choose(plan: Plan, model: onnx.ModelProto, name: str, names: Mapping[str, str]) -> Postprocess | None:
    """The post-processing called ``name``, reading the outputs of ``model``.

    Args:
        plan: the preprocessing before it.
        model: its outputs are looked at.
        name: ``none``; a method of transformers without ``post_process_``; or ``auto``: what the architecture in
            ``config.json`` is for, else ``image_classification`` where the model has a score for each label.
        names: the model's output for a name that the post-processing reads, where they differ. Of a model that has
            but one, it is that one.

    Raises:
        ArtifactError: the model has no such output, or another number of classes than there are labels.
        UnsupportedConfig: the source has no post-processing of this name.
    """
    outputs = {value.name: value for value in model.graph.output}
    props = {entry.key: entry.value for entry in model.metadata_props}
    unbatched = artifact.FUSED_KEY in props and Fusion.from_json(props[artifact.FUSED_KEY]).unbatched
    if name == "none" or (unbatched and name == "auto"):
        return None
    if unbatched:
        raise ArtifactError(f"{name} needs outputs with an axis for the batch: export the model with one")
    found = choosing.named(plan, name) if name != "auto" else choosing.of_architecture(plan)
    if found is not None:
        chosen = _renamed(found, list(outputs), names)
        _check_labels(chosen, plan, outputs)
        return chosen
    scores = [value.name for value in outputs.values() if plan.labels and _last(value, 2) == len(plan.labels)]
    if len(scores) != 1:
        return None
    return _renamed(choosing.methods(plan)[choosing.CLASSIFICATION], scores, names)


def read_by(plan: Plan) -> tuple[str, ...]:
    """The names of a model's outputs that post-processing behind ``plan`` may read."""
    return tuple(dict.fromkeys(name for post in choosing.methods(plan).values() for name in read_names(post).values()))


def _last(value: onnx.ValueInfoProto, rank: int) -> int | None:
    """The length of an output's last axis; ``None`` where the file does not say, or it has not ``rank`` axes."""
    dims = value.type.tensor_type.shape.dim
    return dims[-1].dim_value if len(dims) == rank and dims[-1].HasField("dim_value") else None


def _check_labels(post: Postprocess, plan: Plan, outputs: Mapping[str, onnx.ValueInfoProto]) -> None:
    """Raises ``ArtifactError`` where a classifier has more or fewer classes than names."""
    if not isinstance(post, ImageClassification) or not plan.labels:
        return
    classes = _last(outputs[post.logits], 2)
    if classes not in (None, len(plan.labels)):
        raise ArtifactError(
            f"the model has {classes} classes, and there are {len(plan.labels)} labels: give its own with --labels"
        )


def _renamed(found: Postprocess, outputs: Sequence[str], names: Mapping[str, str]) -> Postprocess:
    """``found``, reading what the model calls its outputs."""
    read = {field: getattr(found, field) for field in found.reads}
    given = {field: names.get(name, name) for field, name in read.items()}
    if len(outputs) == 1 and len(given) == 1:
        given = dict.fromkeys(given, outputs[0])
    given = {field: "" if field in found.optional and n not in outputs else n for field, n in given.items()}
    lacking = [name for name in given.values() if name and name not in outputs]
    if lacking:
        raise ArtifactError(
            f"{found.method} reads the model's output {lacking[0]!r}, but it has {', '.join(outputs)}: say which it is"
            f" with --map {lacking[0]}=NAME, or choose another one with --postprocess"
        )
    changed: Postprocess = replace(found, **given)
    return changed


def attach(model: onnx.ModelProto, plan: Plan) -> None:
    """Adds ``plan.postprocess`` to a model behind its preprocessing, whose input is ``images``.

    The model's outputs stay outputs of the file, but those whose name a result has.
    """
    post = plan.postprocess
    assert post is not None
    graph = model.graph
    names = taken(model)
    clashes = {value.name: f"{RAW}/{value.name}" for value in graph.output if value.name in post.outputs}
    if not names.isdisjoint(clashes.values()) or any(name.startswith(f"{PREFIX}/") for name in names):
        raise ArtifactError(f"the model has values whose names begin with {RAW}/ or {PREFIX}/: rename them")
    for name, new in clashes.items():
        rename_value(model, name, new)
    known = {value.name: value for value in graph.output}
    graph.value_info.extend(known[name] for name in clashes.values())
    g, read = Graph(PREFIX), {}
    for field, name in read_names(post).items():
        name = clashes.get(name, name)
        value = Value(g, name, NAMES[known[name].type.tensor_type.elem_type])
        read[field] = g.cast(value, "float32") if value.dtype in FLOATS else value
    xp = Tensors(g)
    size = plan.input_size or _image_size(g, plan)
    results = post.run(xp, read, size)
    sizes = {"height": size[0], "width": size[1], "batch": _batch(known[value.name])}
    for name, axes in post.outputs.items():
        shape = [sizes.get(axis, f"{PREFIX}_{axis}") if isinstance(axis, str) else axis for axis in axes]
        g.output(results[name], name, [n if isinstance(n, (int, str)) else a for n, a in zip(shape, axes, strict=True)])
    kept = [value for value in graph.output if value.name not in clashes.values()]
    del graph.output[:]
    graph.output.extend([*kept, *g.outputs])
    g.extend(model)


def read_names(post: Postprocess) -> dict[str, str]:
    """The model's output behind each name that ``post`` reads; without those that the model lacks."""
    return {field: name for field in post.reads if (name := getattr(post, field))}


def detach(model: onnx.ModelProto, plan: Plan) -> Callable[[Mapping[str, Array], tuple[int, int]], dict[str, Array]]:
    """Takes away what :func:`attach` added, so that all of the model's own outputs are outputs again.

    Returns:
        A function of those and of the images' (height, width), which gives the file's outputs by the NumPy reference.
    """
    post = plan.postprocess
    assert post is not None
    graph = model.graph
    names = [value.name for value in graph.output]
    nodes = [node for node in graph.node if not node.name.startswith(f"{PREFIX}/")]
    raw = {f"{RAW}/{name}": name for name in post.outputs}
    outputs = [value for value in graph.output if value.name not in post.outputs]
    outputs += [value for value in graph.value_info if value.name in raw]
    for field, new in ((graph.node, nodes), (graph.output, outputs)):
        kept = [type(item).FromString(item.SerializeToString()) for item in new]
        del field[:]
        field.extend(kept)

    def results(given: Mapping[str, Array], size: tuple[int, int]) -> dict[str, Array]:
        values = {raw.get(name, name): value for name, value in given.items()}
        lacking = [name for name in read_names(post).values() if name not in values]
        if lacking:
            raise ArtifactError(f"{post.method} reads {lacking[0]!r}, which the model in the file does not give")
        floats = {
            field: values[name].astype(np.float32) if values[name].dtype.kind == "f" else values[name]
            for field, name in read_names(post).items()
        }
        values |= post.run(NumpyTensors(), floats, size)
        return {name: values[name] for name in names}

    return results


def _batch(output: onnx.ValueInfoProto) -> int | str:
    """The first axis of one of the model's outputs: with groups of images, these are fewer than the images."""
    dims = output.type.tensor_type.shape.dim
    if not dims:
        return "batch"
    size: int | str = dims[0].dim_value if dims[0].HasField("dim_value") else dims[0].dim_param
    return size or "batch"


def _image_size(g: Graph, plan: Plan) -> tuple[Any, Any]:
    images = Value(g, "images", "uint8")
    height, width = (g.size(images, axis) for axis in ((1, 2) if plan.layout == "NHWC" else (2, 3)))
    return height, width
