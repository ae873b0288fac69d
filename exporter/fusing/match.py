"""Which input of a model takes which output of a Plan."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx
from onnx import TensorProto

from runtime.errors import ArtifactError
from runtime.ops import Branch, ChannelsLast, Pad, PadToLargest, Step
from runtime.plan import Plan

IMAGES = ("float32", "float16", "bfloat16", "float64", "uint8", "int8")
"""Dtypes of an input that may be the image where its name does not say so."""


@dataclass(frozen=True)
class Input:
    """A model's input.

    Attributes:
        dtype: NumPy's name of it; what ONNX calls it where that is no tensor.
        shape: a length is ``None`` or a name where the file does not fix it; ``None`` where it gives no shape.
    """

    name: str
    dtype: str
    shape: tuple[int | str | None, ...] | None

    def __str__(self) -> str:
        return f"{self.dtype} {written(self.shape)}"


def written(shape: Sequence[int | str | None] | None) -> str:
    """A shape for people."""
    return "of any shape" if shape is None else f"[{', '.join('?' if n is None else str(n) for n in shape)}]"


def dtype_name(number: int) -> str:
    """NumPy's name of an ONNX dtype."""
    name = str(TensorProto.DataType.Name(number)).lower()
    return {"float": "float32", "double": "float64"}.get(name, name)


def describe(value: onnx.ValueInfoProto) -> Input:
    """An input, or an output, as it is declared."""
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        return Input(value.name, str(kind or "nothing").removesuffix("_type"), None)
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return Input(value.name, dtype_name(tensor.elem_type), None)
    # Some exporters write -1 for a length that is not fixed.
    fixed = [dim.HasField("dim_value") and dim.dim_value >= 0 for dim in tensor.shape.dim]
    shape = tuple(d.dim_value if f else d.dim_param or None for d, f in zip(tensor.shape.dim, fixed, strict=True))
    return Input(value.name, dtype_name(tensor.elem_type), shape)


def required(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    """The inputs that have no default value."""
    defaults = {tensor.name for tensor in graph.initializer} | {t.values.name for t in graph.sparse_initializer}
    return [value for value in graph.input if value.name not in defaults]


def check_map(names: Mapping[str, str], known: Collection[str]) -> None:
    """Checks the left sides of ``--map``.

    Raises:
        ArtifactError: one is not among ``known``, or two have the same right side.
    """
    for left in names:
        if left not in known:
            raise ArtifactError(f"map: {left!r} is none of {', '.join(known)}; write --map NAME=MODEL'S NAME")
    rights = list(names.values())
    for right in rights:
        if rights.count(right) > 1:
            both = " and ".join(left for left, value in names.items() if value == right)
            raise ArtifactError(f"map: {both} cannot both be {right!r}")


def match(plan: Plan, model: Sequence[Input], optional: Sequence[Input], names: Mapping[str, str]) -> dict[str, Input]:
    """The model's input for each output of the Plan that it takes.

    By ``names``, then by the same name; what is left of the inputs goes to the image, where only one of them can be it.

    Args:
        plan: its outputs are wanted.
        model: the inputs that have no default.
        optional: those that have one; they are matched by name only.
        names: the model's name for an output of the Plan.

    Raises:
        ArtifactError: an input in ``names`` is not there, or the image's cannot be told.
    """
    inputs = {value.name: value for value in (*optional, *model)}
    for left, right in names.items():
        if left in plan.outputs and right not in inputs:
            raise ArtifactError(f"map: the model has no input {right!r} for {left}; it has {_listed(model)}")
    found = {left: inputs[right] for left, right in names.items() if left in plan.outputs}
    for name in plan.outputs:
        if name not in found and name in inputs and inputs[name] not in found.values():
            found[name] = inputs[name]
    others = [value for value in model if value not in found.values()]
    if plan.output not in found:
        candidates = _candidates(others, bool(plan.group))
        if len(candidates) == 1:
            found[plan.output] = candidates[0]
        elif candidates or not set(found) & images(plan):
            raise ArtifactError(
                f"which input of the model is the image cannot be told: the preprocessing gives"
                f" {', '.join(plan.outputs)}, the model takes {_listed(model)}; say it with --map {plan.output}=NAME"
            )
    return {name: found[name] for name in plan.outputs if name in found}


def _listed(values: Sequence[Input]) -> str:
    return ", ".join(f"{value.name} ({value})" for value in values) or "none"


def _candidates(inputs: Sequence[Input], grouped: bool) -> list[Input]:
    """Those that look like images most: the only input at all, else those of the fitting rank."""
    tensors = [value for value in inputs if value.dtype in IMAGES]
    for ranks in ((5, 4) if grouped else (4,)), (3,), (None,):
        fitting = [v for v in tensors if (None if v.shape is None else len(v.shape)) in ranks]
        if fitting:
            return fitting
    return list(inputs) if len(inputs) == 1 else []


def images(plan: Plan) -> set[str]:
    """The Plan's outputs that are images."""
    return {plan.output, *(step.name for step in _steps(plan.steps) if isinstance(step, Branch))}


def masks(plan: Plan) -> set[str]:
    """The Plan's outputs of zeros and ones."""
    return {step.mask for step in _steps(plan.steps) if isinstance(step, (Pad, PadToLargest)) and step.mask}


def channels_last(plan: Plan, name: str) -> bool:
    """Whether the image ``name`` comes out with its channels last."""
    branches = {step.name: step.steps for step in _steps(plan.steps) if isinstance(step, Branch)}
    return any(isinstance(step, ChannelsLast) for step in branches.get(name, plan.steps))


def _steps(steps: Sequence[Step]) -> list[Any]:
    inner = [one for step in steps if isinstance(step, Branch) for one in _steps(step.steps)]
    return [*steps, *inner]
