"""An output of a Plan as a model's input: its axes, its dtype, its batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from runtime.errors import ArtifactError
from runtime.plan import Plan

from ..graph import Graph, Value
from ..onnx import Output
from .match import Input, channels_last, images, masks, written

EXACT = {
    "uint8": ("float16", "bfloat16", "float32", "float64", "int32", "int64"),
    "float16": ("float32", "float64"),
    "float32": ("float64",),
    "int64": ("int32", "float32", "float64"),
    "mask": ("bool", "uint8", "int8", "int32", "float16", "bfloat16", "float32", "float64"),
}
"""What a dtype is cast to without loss: sizes and indices of colours stay below 2**24, masks are 0 and 1."""

ROUNDED = {"float32": ("float16", "bfloat16")}
"""What a dtype is cast to with one rounding, to nearest and to even on ties."""

QUANTIZED = ("DequantizeLinear", "QLinearConv")
"""Operators that take a quantised value, its scale and its zero point first."""


@dataclass(frozen=True)
class Joint:
    """How the images of a file go into its model.

    Attributes:
        batch: of the file's ``images``, where it is fixed.
        group: whether the model takes groups of images as one: a pair, or the frames of a video.
        length: images in a group, where that is fixed.
        unbatched: whether the model takes one image, without a batch axis.
    """

    batch: int | None = None
    group: bool = False
    length: int | None = None
    unbatched: bool = False


@dataclass(frozen=True)
class Arrangement:
    """Axes of a model's input, a letter each: of the output's ``NCHW`` or ``N12``, and ``G`` for groups of images."""

    axes: str
    joint: Joint
    groups: int | None = None


def fit(g: Graph, plan: Plan, output: Output, target: Input, model: onnx.ModelProto) -> tuple[Value, Joint]:
    """Adds nodes that make ``output`` what ``target`` takes.

    Transposed where only the other layout fits; float32 is rounded to float16 or bfloat16 once, to nearest and to even
    on ties, and quantised where the model takes the values of a quantised input apart with a constant scale.

    Raises:
        ArtifactError: it does not fit; the message names both sides.
    """
    axes = _axes(plan, output)
    arrangement = _arrange(plan, output, axes, target)
    if isinstance(arrangement, str):
        raise _misfit(output, target, arrangement)
    with g.scope("fit"), g.scope(output.name):
        value = _arranged(g, output, axes, arrangement)
        value = _converted(g, plan, output, target, value, model)
        return _held(g, value, output, target), arrangement.joint


def _misfit(output: Output, target: Input, advice: str) -> ArtifactError:
    given = f"{output.value.dtype} {written(output.shape)}"
    return ArtifactError(
        f"the model's input '{target.name}' takes {target}, but the preprocessing gives {given} as '{output.name}';"
        f" {advice}"
    )


def _axes(plan: Plan, output: Output) -> str:
    """A letter for each axis; ``N`` is the batch."""
    rank = len(output.shape)
    if output.name not in images(plan) or rank != 4:
        return "N123456789"[:rank]
    return "NHWC" if channels_last(plan, output.name) else "NCHW"


def _arrange(plan: Plan, output: Output, axes: str, target: Input) -> Arrangement | str:
    """The arrangement that has the target's lengths, and most of them by name; what to do where none has."""
    lengths = dict(zip(axes, output.shape, strict=True))
    if target.shape is None:
        return Arrangement(axes, Joint(_int(lengths["N"])))
    found: dict[str, dict[str, Any]] = {}
    closest: list[str] | None = None
    for candidate in _candidates(axes, plan.group):
        if len(candidate) != len(target.shape):
            continue
        wanted = dict(zip(candidate, target.shape, strict=True))
        differing = [letter for letter in axes if _differs(letter, lengths[letter], wanted, plan)]
        if not differing:
            found[candidate] = wanted
        closest = differing if closest is None or len(differing) < len(closest) else closest
    if closest is None:
        return "the number of axes differs: export the model for images"
    if not found:
        return _advice(closest, lengths)
    equal = {name: sum(wanted.get(letter) == lengths[letter] for letter in axes) for name, wanted in found.items()}
    best = max(found, key=lambda name: equal[name])
    if plan.group == "video" and (_int(found[best].get("G")) or 1) > 1 and _int(found[best]["N"]) is None:
        return "several videos of any number of frames at a time are not told apart: export the model for one"
    return _joined(best, found[best], lengths, plan)


def _candidates(axes: str, group: str) -> Iterator[str]:
    orders = {"NCHW": ("NCHW", "NHWC"), "NHWC": ("NHWC", "NCHW")}.get(axes, (axes,))
    for order in orders:
        yield order
    for order in orders:
        yield order[1:]
    if group:
        for order in orders:
            yield f"G{order}"
        if len(orders) > 1:
            yield "GCNHW"


def _differs(letter: str, length: int | str, wanted: dict[str, Any], plan: Plan) -> bool:
    """Whether the model fixes an axis to another length than the Plan, or the Plan leaves it to the image."""
    number = _int(wanted.get(letter))
    if number is None:
        return False
    if letter != "N":
        return number != length
    if plan.group == "pair":
        return number != 2 if "G" in wanted else number % 2 == 1
    return isinstance(length, int) and number != length


def _joined(axes: str, wanted: dict[str, Any], lengths: dict[str, Any], plan: Plan) -> Arrangement:
    number = _int(wanted.get("N"))
    if "N" not in axes:
        return Arrangement(axes, Joint(1, unbatched=True))
    if "G" not in axes:
        return Arrangement(axes, Joint(_int(lengths["N"]) if number is None else number))
    length, groups = 2 if plan.group == "pair" else number, _int(wanted["G"])
    if length is None and groups is None:
        groups = 1  # of videos of any length, one at a time
    batch = None if length is None or groups is None else length * groups
    return Arrangement(axes, Joint(batch, True, length), groups)


def _advice(differing: list[str], lengths: dict[str, Any]) -> str:
    """What to do about axes whose lengths differ."""
    if "C" in differing:
        return "the channels differ: change the config with --channels or --set, or the model"
    if "N" in differing:
        return "the batch differs: export the model for a batch of any size"
    if any(isinstance(lengths[letter], str) for letter in differing):
        return "its size follows the image's: fix it with --size HxW or --set, or --input-size HxW"
    return "change the config with --size or --set"


def _int(length: Any) -> int | None:
    return length if isinstance(length, int) else None


def _arranged(g: Graph, output: Output, axes: str, arrangement: Arrangement) -> Value:
    """``output`` with the arrangement's axes."""
    value, target = output.value, arrangement.axes
    lengths: dict[str, Any] = dict(zip(axes, output.shape, strict=True))
    if arrangement.joint.unbatched:
        value, axes = g.node("Squeeze", value, g.constant([0], "int64")), axes[1:]
    images = target.replace("G", "") if target != "GCNHW" else "NCHW"
    if images != axes:
        value = g.node("Transpose", value, perm=[axes.index(letter) for letter in images])
    if "G" not in target:
        return value
    groups, length = arrangement.groups, arrangement.joint.length
    rest = [n if isinstance(n := lengths[a], int) else g.size(value, i) for i, a in enumerate(images) if a != "N"]
    value = g.node("Reshape", value, g.shape(-1 if groups is None else groups, length or -1, *rest))
    return g.node("Transpose", value, perm=[0, 2, 1, 3, 4]) if target == "GCNHW" else value


def _converted(g: Graph, plan: Plan, output: Output, target: Input, value: Value, model: onnx.ModelProto) -> Value:
    """``value`` in the target's dtype."""
    given = value.dtype
    kind = "mask" if output.name in masks(plan) else given
    if target.dtype == given:
        return value
    if target.dtype in (*EXACT.get(kind, ()), *ROUNDED.get(given, ())):
        return g.cast(value, target.dtype)
    if given == "float32" and target.dtype in ("uint8", "int8"):
        found = _quantization(model, target)
        if found is not None:
            scale, zero, axis = found
            more: dict[str, Any] = {} if axis is None else {"axis": axis}
            inputs = (value, g.constant(scale, "float32"), g.constant(zero, target.dtype))
            return g.node("QuantizeLinear", *inputs, dtype=target.dtype, **more)
    raise _misfit(output, target, _dtype_advice(given, target.dtype))


def _dtype_advice(given: str, wanted: str) -> str:
    if wanted == "uint8" and given in ("float32", "float16"):
        return (
            "for pixels from 0 to 255 turn off do_rescale and do_normalize (--set do_rescale=false --set"
            " do_normalize=false); if these are quantised values, no scale for them is in the model"
        )
    if wanted == "int8":
        return "no scale for quantised values is in the model: quantise it with its input as float32"
    return "the dtypes differ: export the model for what the preprocessing gives, or see --dtype and --set"


def _held(g: Graph, value: Value, output: Output, target: Input) -> Value:
    """``value`` behind a node that changes nothing, and that onnxruntime's optimizers do not look through.

    Else the model's numbers would not be those that it gives alone: a transposition would move into its operators, a
    padding into its convolution, and a rounding to float16 would be left out, as CPUs run float16 as float32.
    """
    rank = len(output.shape if target.shape is None else target.shape)
    return g.node("Reshape", value, g.constant([0] * rank, "int64"), name="held")


def _quantization(model: onnx.ModelProto, target: Input) -> tuple[Any, Any, int | None] | None:
    """The constant scale, zero point and axis with which the model takes the input's values apart."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            constants[node.output[0]] = node.attribute[0].t
    for node in model.graph.node:
        if node.op_type not in QUANTIZED or node.input[0] != target.name or node.input[1] not in constants:
            continue
        attributes = {attribute.name: attribute.i for attribute in node.attribute}
        scale = _array(constants[node.input[1]])
        name = node.input[2] if len(node.input) > 2 else ""
        zero = _array(constants[name]) if name in constants else None
        if name == "" and scale is not None:
            zero = np.zeros(scale.shape, target.dtype)
        if scale is None or zero is None or scale.dtype != np.float32 or attributes.get("block_size"):
            continue
        return scale, zero, attributes.get("axis", 1) if scale.ndim else None
    return None


def _array(tensor: onnx.TensorProto) -> np.ndarray[Any, Any] | None:
    return None if tensor.data_location == onnx.TensorProto.EXTERNAL else numpy_helper.to_array(tensor)
