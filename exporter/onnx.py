"""A Plan as an ONNX model and as a file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import onnx
from onnx import helper

from runtime import artifact, checksum
from runtime.arrays.onnx import Formulas, Image, in_layout
from runtime.errors import ArtifactError
from runtime.lowering import Branched, Kernel, Resample, file_of, implementation, lower, one_by_one
from runtime.ops import AlignLongAxis
from runtime.plan import Plan

from .atomic import atomic
from .graph import DOMAIN, Graph, Value
from .opsets import OLDEST

__all__ = ["DOMAIN", "IR_VERSION", "OPSET", "OPSETS", "Output", "build", "check_opset", "preprocess", "to_onnx"]

EITHER_LAYOUT = (Resample, AlignLongAxis)
"""Kernels that take channels first or last; the others are given them first."""

OPSET = 18
OPSETS = range(OLDEST, min(onnx.defs.onnx_opset_version(), 24) + 1)
IR_VERSION = 8
"""The oldest that has local functions, so that old runtimes read the file."""


class Output(NamedTuple):
    """One of the Plan's outputs in a graph: its axes, the batch's first; a name where the images say how long it is."""

    name: str
    value: Value
    shape: tuple[int | str, ...]


def build(plan: Plan, opset: int = OPSET) -> onnx.ModelProto:
    """The preprocessing graph: uint8 ``images`` ``[batch, height, width, channels]`` to the Plan's outputs.

    Args:
        plan: what to lower.
        opset: of the default domain, one of :data:`OPSETS`.

    Raises:
        ArtifactError: an opset that is not supported.
        InputError: a step leaves no pixel, or too many, of any image.
    """
    check_opset(opset)
    g, outputs = preprocess(plan)
    for output in outputs:
        g.output(output.value, output.name, output.shape)
    return g.build(opset, IR_VERSION, "preprocessing")


def check_opset(opset: int) -> None:
    """Raises ``ArtifactError`` for one that is not among :data:`OPSETS`."""
    if opset not in OPSETS:
        raise ArtifactError(f"opset: expected {OPSETS[0]} to {OPSETS[-1]}, got {opset}")


def preprocess(plan: Plan, prefix: str = "") -> tuple[Graph, list[Output]]:
    """The nodes of :func:`build`, with ``prefix`` in front of every name but the input's; the image comes out first."""
    g = Graph(prefix)
    channels_last = plan.layout == "NHWC"
    height: Any
    width: Any
    height, width = plan.input_size or ("height", "width")
    n, kernels = plan.channels, lower(plan.steps, plan.channels)
    batch: Any = 1 if one_by_one(kernels) else "batch"
    images = g.input("images", "uint8", [batch, height, width, n] if channels_last else [batch, n, height, width])
    if plan.input_size is None:
        with g.scope("images"):
            height, width = (g.size(images, axis) for axis in ((1, 2) if channels_last else (2, 3)))
    image = _lower(g, Formulas(g), kernels, Image(images, height, width, plan.layout, n))
    outputs = []
    for name, value, sizes in (_output(plan.output, image), *image.outputs):
        axes = ("height", "width") if len(sizes) > 1 else ("length",)
        sides = [f"{'output' if name == plan.output else name}_{axis}" for axis in axes]
        unknown = iter(sides[-len(sizes) :])
        shape = [size if isinstance(size, int) else next(unknown) for size in sizes]
        outputs.append(Output(name, value, (batch, *shape)))
    return g, outputs


def _lower(g: Graph, formulas: Formulas, kernels: Sequence[Kernel], image: Image) -> Image:
    """Adds ``kernels`` to the graph; the pixels come out channels first, in their own dtype."""
    for kernel in kernels:
        if isinstance(kernel, Branched):
            with g.scope(kernel.name):
                branch = _lower(g, formulas, kernel.kernels, image._replace(outputs=()))
            image = image._replace(outputs=(*image.outputs, _output(kernel.name, branch), *branch.outputs))
            continue
        with g.scope(file_of(kernel)):
            if not isinstance(kernel, EITHER_LAYOUT):
                image = in_layout(g, image, "NCHW")
            image = implementation(kernel, "onnx").lower(g, formulas, kernel, image)
    return in_layout(g, image, "NCHW")


def _output(name: str, image: Image) -> tuple[str, Any, tuple[Any, ...]]:
    return name, image.pixels, image.shape or (image.channels, image.height, image.width)


def to_onnx(
    plan: Plan,
    path: str | os.PathLike[str],
    model: Any = None,
    *,
    opset: int | None = None,
    postprocess: str = "auto",
    map: Mapping[str, str] | None = None,
) -> None:
    """Writes ``plan`` as one ONNX file, which any onnxruntime runs without this package.

    Args:
        plan: of :func:`exporter.trace`.
        path: the file; written whole or not at all.
        model: what to put behind the preprocessing, image in, its outputs out: the path of an ONNX model, or an
            ``nn.Module``, which is exported first.
        opset: 18 by default, or the model's.
        postprocess: what to do with the model's outputs: a method of transformers without ``post_process_``, such as
            ``semantic_segmentation``; ``none``; or ``auto``, see :func:`exporter.postprocess.choose`.
        map: the model's name of an input for an output of the Plan, or of an output for what the post-processing
            reads, where they differ: ``{"pixel_values": "input"}``.

    Raises:
        ArtifactError: the file cannot be written, or the model does not fit.
    """
    path = Path(path)
    if model is not None:
        _to_fused(plan, path, model, opset, postprocess, dict(map or {}))
        return
    if map:
        raise ArtifactError("map: says what a model's inputs are called: give a model too")
    proto = _with_plan(build(plan, OPSET if opset is None else opset), plan)
    with atomic(path) as temporary:
        temporary.write_bytes(proto.SerializeToString())
        artifact.seal(temporary)


def _to_fused(plan: Plan, path: Path, model: Any, opset: int | None, postprocess: str, names: dict[str, str]) -> None:
    from .fuse import fuse
    from .fusing import data
    from .fusing.match import check_map
    from .fusing.reading import model_file
    from .postprocess import attach, choose, read_by

    check_map(names, (*plan.outputs, *read_by(plan)))
    with atomic(path) as temporary, model_file(model, plan, temporary, names, opset) as (source, left):
        data.check_target(source, path)
        proto = fuse(plan, source, opset, left)
        plan = replace(plan, postprocess=choose(plan, proto, postprocess, names))
        if plan.postprocess is not None:
            attach(proto, plan)
        data.write(_with_plan(proto, plan), temporary, source)
        artifact.seal(temporary)


def _with_plan(proto: onnx.ModelProto, plan: Plan) -> onnx.ModelProto:
    props = {entry.key: entry.value for entry in proto.metadata_props if entry.key != checksum.KEY}
    helper.set_model_props(proto, {**props, artifact.PLAN_KEY: plan.to_json()})
    return proto
