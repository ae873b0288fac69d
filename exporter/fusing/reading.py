"""A model's file as a ``ModelProto``, checked, its opset brought up to what the preprocessing needs."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper, inliner, version_converter

from runtime import artifact
from runtime.errors import ArtifactError
from runtime.plan import Plan

from ..onnx import OPSET, OPSETS
from .data import check_data, is_external
from .names import tensors

ONNX = ("", "ai.onnx")
"""Names of the default domain."""

SMALL = 1024
"""Elements of the largest initializers that a conversion of the opset sees: it may look at sizes and axes."""


@contextmanager
def model_file(
    model: Any, plan: Plan, beside: Path, names: Mapping[str, str], opset: int | None
) -> Iterator[tuple[Path, dict[str, str]]]:
    """The ONNX file of a model, and what is left of ``names``: a module is exported with its inputs' names as asked.

    Args:
        model: a path, or an ``nn.Module``.
        beside: in whose folder a module's file is meanwhile.

    Raises:
        ArtifactError: it is neither, or a module that cannot be exported.
    """
    if isinstance(model, (str, os.PathLike)):
        yield Path(model), dict(names)
        return
    import torch

    if not isinstance(model, torch.nn.Module):
        raise ArtifactError(f"model: expected the path of an ONNX file, or an nn.Module, got {type(model).__name__}")
    from .module import export

    with tempfile.TemporaryDirectory(dir=beside.parent) as folder:
        path = Path(folder) / "module.onnx"
        export(model, plan, path, names, opset)
        yield path, {left: right for left, right in names.items() if left not in plan.outputs}


def read(path: Path) -> onnx.ModelProto:
    """The model in a file; weights in other files stay there.

    Raises:
        ArtifactError: it is no ONNX model, is not valid, is an artifact itself, or its weights are not there.
    """
    if not path.is_file():
        raise ArtifactError(f"{path}: no such model file")
    if path.stat().st_size >= onnx.checker.MAXIMUM_PROTOBUF:
        raise ArtifactError(
            f"{path}: is larger than 2 GB, which no ONNX file can be: save the model with"
            " onnx.save(model, path, save_as_external_data=True)"
        )
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf's errors have no common base but Exception
        raise _unreadable(path, error) from error
    if artifact.PLAN_KEY in {entry.key for entry in model.metadata_props}:
        raise ArtifactError(f"{path}: has preprocessing in it already: give the model alone")
    check_data(model, path)
    try:
        check(model)
    except Exception as error:  # the checker raises classes of its own
        raise _unreadable(path, error) from error
    if not model.graph.output:
        raise ArtifactError(f"{path}: the model has no output, so that nothing would come of an image")
    return model


def _unreadable(path: Path, error: Exception) -> ArtifactError:
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return ArtifactError(f"{path}: not an ONNX model that can be read ({first[:200]})")


def check(model: onnx.ModelProto) -> None:
    """The checker's opinion of a model, whose weights may lie in files of any folder, and its values have any shape."""
    with _checkable(model):
        onnx.checker.check_model(model)


@contextmanager
def _checkable(model: onnx.ModelProto) -> Iterator[None]:
    """External tensors are empty meanwhile, as the checker looks for their files in the current folder; inputs and
    outputs without a shape, which it refuses and onnxruntime takes, have one."""
    external = []
    for tensor in filter(is_external, tensors(model)):
        external.append((tensor, TensorProto.FromString(tensor.SerializeToString())))
        del tensor.dims[:], tensor.external_data[:]
        tensor.dims.append(0)
        tensor.ClearField("data_location")
    ends = [value.type.tensor_type for value in (*model.graph.input, *model.graph.output)]
    shapeless = [tensor for tensor in ends if tensor.elem_type and not tensor.HasField("shape")]
    for tensor in shapeless:
        tensor.shape.SetInParent()
    try:
        yield
    finally:
        for tensor, original in external:
            tensor.CopyFrom(original)
        for tensor in shapeless:
            tensor.ClearField("shape")


def opset_of(model: onnx.ModelProto) -> int | None:
    """Of the default domain; ``None`` where the model uses only others."""
    return max((entry.version for entry in model.opset_import if entry.domain in ONNX), default=None)


def at_opset(model: onnx.ModelProto, wanted: int | None, path: Path) -> tuple[onnx.ModelProto, int]:
    """The model at an opset that the preprocessing can have too: its own where that is possible.

    Raises:
        ArtifactError: there is none, or the converter fails.
    """
    own = opset_of(model)
    target = max(own or OPSET, OPSETS[0]) if wanted is None else wanted
    if target not in OPSETS:
        advice = "" if wanted is None else "opset: "
        raise ArtifactError(
            f"{path}: {advice}expected {OPSETS[0]} to {OPSETS[-1]}, got {target}: export the model for one of these"
        )
    if own in (None, target):
        return model, target
    try:
        return _converted(model, target), target
    except Exception as error:  # the converter raises RuntimeError and its own classes
        first = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise ArtifactError(
            f"{path}: cannot be converted from opset {own} to {target} ({first}): export the model again for opset"
            f" {target}"
        ) from error


def _converted(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """The converter does not know functions, which go into the graph before, and forgets what is no graph.

    Nor does it see large weights, which it could only copy: they are inputs meanwhile.
    """
    if model.functions:
        model = inliner.inline_local_functions(model)
    graph = model.graph
    large = [tensor for tensor in graph.initializer if is_external(tensor) or math.prod(tensor.dims) > SMALL]
    sparse = list(graph.sparse_initializer)
    declared = {value.name for value in graph.input}
    absent = [helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in large if t.name not in declared]
    absent += [helper.make_tensor_value_info(t.values.name, t.values.data_type, t.dims) for t in sparse]
    small = [tensor for tensor in graph.initializer if not (is_external(tensor) or math.prod(tensor.dims) > SMALL)]
    del graph.initializer[:], graph.sparse_initializer[:]
    graph.initializer.extend(small)
    graph.input.extend(absent)
    converted = version_converter.convert_version(model, opset)
    inputs = [value for value in converted.graph.input if value.name not in {value.name for value in absent}]
    del converted.graph.input[:]
    converted.graph.input.extend(inputs)
    converted.graph.initializer.extend(large)
    converted.graph.sparse_initializer.extend(sparse)
    _forgotten(model, converted)
    check(converted)
    return converted


def _forgotten(model: onnx.ModelProto, converted: onnx.ModelProto) -> None:
    """Gives a converted model back what the converter leaves out."""
    for name in ("producer_name", "producer_version", "domain", "doc_string", "model_version"):
        setattr(converted, name, getattr(model, name))
    converted.graph.doc_string = model.graph.doc_string
    for parts in ("metadata_props", "training_info"):
        if not getattr(converted, parts):
            getattr(converted, parts).extend(getattr(model, parts))
    for parts in ("quantization_annotation", "metadata_props"):
        if not getattr(converted.graph, parts):
            getattr(converted.graph, parts).extend(getattr(model.graph, parts))
    known = {entry.domain for entry in converted.opset_import}
    converted.opset_import.extend(entry for entry in model.opset_import if entry.domain not in {*known, *ONNX})
