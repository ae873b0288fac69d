"""A Plan as an ONNX model and as a file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import onnx
from onnx import helper

from runtime import artifact
from runtime.arrays.onnx import Formulas, Image, in_layout
from runtime.errors import ArtifactError
from runtime.lowering import Branched, Kernel, Resample, implementation, lower, name_of, one_by_one
from runtime.ops import AlignLongAxis
from runtime.plan import Plan

from .graph import DOMAIN, Graph

__all__ = ["DOMAIN", "IR_VERSION", "OPSET", "OPSETS", "build", "to_onnx"]

EITHER_LAYOUT = (Resample, AlignLongAxis)
"""Kernels that take channels first or last; the others are given them first."""

OPSET = 18
OPSETS = range(18, min(onnx.defs.onnx_opset_version(), 24) + 1)
IR_VERSION = 8
"""The oldest that has local functions, so that old runtimes read the file."""


def build(plan: Plan, opset: int = OPSET, prefix: str = "", output: str = "") -> onnx.ModelProto:
    """The preprocessing graph: uint8 ``images`` ``[batch, height, width, channels]`` to the Plan's outputs.

    Args:
        plan: what to lower.
        opset: of the default domain, one of :data:`OPSETS`.
        prefix: of every name inside the graph, so that a model can be joined to it.
        output: the name of the image among the outputs: the Plan's own by default.

    Raises:
        ArtifactError: an opset that is not supported.
    """
    if opset not in OPSETS:
        raise ArtifactError(f"opset: expected {OPSETS[0]} to {OPSETS[-1]}, got {opset}")
    g, output = Graph(prefix), output or plan.output
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
    for name, value, sizes in (_output(output, image), *image.outputs):
        axes = ("height", "width") if len(sizes) > 1 else ("length",)
        sides = [f"{'output' if name == output else name}_{axis}" for axis in axes]
        unknown = iter(sides[-len(sizes) :])
        g.output(value, name, [batch, *(size if isinstance(size, int) else next(unknown) for size in sizes)])
    return g.build(opset, IR_VERSION, "preprocessing")


def _lower(g: Graph, formulas: Formulas, kernels: Sequence[Kernel], image: Image) -> Image:
    """Adds ``kernels`` to the graph; the pixels come out channels first, in their own dtype."""
    for kernel in kernels:
        if isinstance(kernel, Branched):
            with g.scope(kernel.name):
                branch = _lower(g, formulas, kernel.kernels, image._replace(outputs=()))
            image = image._replace(outputs=(*image.outputs, _output(kernel.name, branch), *branch.outputs))
            continue
        with g.scope(name_of(kernel)):
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
) -> None:
    """Writes ``plan`` as one ONNX file, which any onnxruntime runs without this package.

    Args:
        plan: of :func:`exporter.trace`.
        path: the file; written whole or not at all.
        model: the path of an ONNX model to put behind the preprocessing: image in, the model's outputs out.
        opset: 18 by default, or the model's.
        postprocess: what to do with the model's outputs: a method of transformers without ``post_process_``, such as
            ``semantic_segmentation``; ``none``; or ``auto``, see :func:`exporter.postprocess.choose`.

    Raises:
        ArtifactError: the file cannot be written, or the model does not fit.
    """
    if model is None:
        proto = build(plan, OPSET if opset is None else opset)
    else:
        from .fuse import fuse
        from .postprocess import attach, choose

        proto = fuse(plan, model, opset)
        plan = replace(plan, postprocess=choose(plan, proto, postprocess, {}))
        if plan.postprocess is not None:
            attach(proto, plan)
    props = {entry.key: entry.value for entry in proto.metadata_props}
    helper.set_model_props(proto, {**props, artifact.PLAN_KEY: plan.to_json()})
    with artifact.atomic(path) as temporary:
        temporary.write_bytes(proto.SerializeToString())
