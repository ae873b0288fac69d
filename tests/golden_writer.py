"""Writes the golden files of the present format, to be run once by the last commit before ``FORMAT`` is raised:

``python -m tests.golden_writer tests/golden/format2``
"""

import hashlib
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper

import exporter
from runtime import Plan, load
from runtime.ops import (
    AlignLongAxis,
    Branch,
    Cast,
    CenterCrop,
    ChannelsLast,
    Clamp,
    ConvertRGB,
    CropMargin,
    CropShare,
    CropToRatio,
    FlipChannels,
    Grayscale,
    ImageSize,
    InferLayout,
    Interpolate,
    Normalize,
    Pad,
    PadToLargest,
    Quantize,
    Rescale,
    Resize,
    ResizeKeras,
    ResizeOpenCV,
    ResizeSmoothed,
    ScaleOffset,
)
from runtime.ops.size import RULES, Size
from runtime.postprocess import POSTPROCESSORS, ObjectDetection
from runtime.preprocessor import Preprocessor

SIZES = ((60, 45), (45, 60), (33, 90))
SMALL = Resize(Size(height=9, width=8), "nearest", "pillow12.1")
SCALED = Rescale(1 / 255)
NUMBERS = {"multiple": 4, "per": 1, "max_line_width": 90, "floor_to": 4, "ceil_to": 8, "square": 7, "sqrt_margin": 3}
"""For keys of sizes whose others are all 40 or so."""

STEPS = {
    "resized": (
        ConvertRGB(),
        Resize(Size(shortest_edge=20, longest_edge=30), "lanczos", "pillow12.2"),
        CenterCrop(22, 20, "half_even"),
        Rescale(1 / 127.5, 1.0),
        Normalize((0.1, 0.2, 0.3), (0.5, 0.25, 1.0)),
        Clamp(-2.0, 2.0),
        Cast("float16"),
    ),
    "torchvision": (
        InferLayout(),
        Resize(Size(height=21, width=17), "bicubic", "pillow12.1", "torchvision", antialias=False),
        FlipChannels(),
        ScaleOffset((0.5, 0.25, 0.125), (1.0, 2.0, 3.0)),
        ChannelsLast(),
    ),
    "turned": (
        AlignLongAxis(True),
        Resize(Size(thumbnail_height=20, thumbnail_width=16), "box", "pillow13", reducing_gap=2.0),
    ),
    "cropped": (CropMargin(True), CropShare(7, 6, 9, 8, "torchvision", True), CropToRatio(3, 2)),
    "keras": (ResizeKeras(Size(height=19, width=23), "bicubic", True), Grayscale(True)),
    "opencv": (ResizeOpenCV(Size(limit_min=50, max_side_limit=70)),),
    "interpolated": (SCALED, Interpolate(Size(height=14, width=15), "bilinear", True, False)),
    "smoothed": (SCALED, ResizeSmoothed(Size(height=14, width=14), "scipy", True)),
    "quantized": (SMALL, SCALED, Quantize((0.1, 0.2, 0.3, 0.9, 0.8, 0.7), "float32")),
    "masked": (
        ImageSize("sizes", "float32"),
        Branch("small", (SMALL, SCALED)),
        Pad(Size(height=90, width=91), (1.0, 2.0, 3.0), mask="pixel_mask"),
        PadToLargest("largest"),
    ),
    "mirrored": (Pad(Size(ceil_to=32), centered=True, mode="symmetric", once=True),),
}
"""By name: every step, with values other than its defaults."""


def plans():
    """By name: Plans of every step, of every rule for a size, and of every post-processing."""
    found = {name: Plan(steps, "pillow13") for name, steps in STEPS.items()}
    for rule in RULES:
        for rounding in ((), ("floor_to",), ("ceil_to",)) if rule else (("ceil_to",),):
            keys = {key: NUMBERS.get(key, 40 + i) for i, key in enumerate((*rule, *rounding))}
            found["size, " + ", ".join(keys)] = Plan((Resize(Size(**keys), "bilinear", "pillow13"),), "pillow12.1")
    for name, kind in POSTPROCESSORS.items():
        found[f"postprocess, {name}"] = Plan((SMALL,), "pillow13", postprocess=kind())
    found["fields"] = Plan(
        (SMALL,), "torchvision", "ViT", "somewhere", "NCHW", "image", "video", ("cat", "dög"), 1, (45, 60),
        {"size": {"height": 9}, "list": [1, 2.5, None, True]}, "ViTForImageClassification", "regression",
    )  # fmt: skip
    return found


def image(height, width, channels=3):
    return np.random.default_rng((height, width, channels)).integers(0, 256, (height, width, channels), np.uint8)


def digest(value):
    """Of a value's bits, its dtype and its shape: half a SHA-256."""
    value = np.ascontiguousarray(value)
    return hashlib.sha256(f"{value.dtype} {value.shape} ".encode() + value.tobytes()).hexdigest()[:32]


def sums(pre):
    """Of each output, by the image's size; of sums of floats, in which runtimes differ, there are none."""
    if pre.plan.bound:
        return {}
    left_out = {"scores"} if isinstance(pre.plan.postprocess, ObjectDetection) else set()
    found = {}
    for size in (pre.plan.input_size,) if pre.plan.input_size else SIZES:
        given = image(*size, pre.plan.channels)
        outputs = pre([given] if pre.plan.group else given, return_tensors=None, input_data_format="channels_last")
        found["x".join(map(str, size))] = {
            name: digest(values[0][0] if pre.plan.group else values[0])
            for name, values in outputs.items()
            if name not in left_out
        }
    return found


class Largest(torch.nn.Module):
    """The largest values of a few rows, which no runtime rounds."""

    def forward(self, pixel_values):
        return pixel_values.amax([1, 3])[:, :4]


def model(path, shapes):
    """An ONNX model of those values, as outputs of ``shapes`` by name."""
    info = helper.make_tensor_value_info
    nodes = [helper.make_node("ReduceMax", ["pixel_values", "axes"], ["rows"], keepdims=0)]
    tensors = [onnx.numpy_helper.from_array(np.array([1, 3]), "axes")]
    for name, shape in shapes.items():
        tensors += [
            onnx.numpy_helper.from_array(np.array(values), f"{name}/{key}")
            for key, values in {"first": [0], "end": [np.prod(shape)], "axis": [1], "shape": [-1, *shape]}.items()
        ]
        nodes += [
            helper.make_node("Slice", ["rows", f"{name}/first", f"{name}/end", f"{name}/axis"], [f"{name}/part"]),
            helper.make_node("Reshape", [f"{name}/part", f"{name}/shape"], [name]),
        ]
    inputs = [info("pixel_values", TensorProto.FLOAT, ["n", 3, 32, 32])]
    outputs = [info(name, TensorProto.FLOAT, ["n", *shape]) for name, shape in shapes.items()]
    graph = helper.make_graph(nodes, "largest", inputs, outputs, tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)
    return path


def write(folder):
    folder.mkdir(parents=True, exist_ok=True)
    found = plans()
    written = {name: [plan.to_json(), sums(Preprocessor(plan, "pil"))] for name, plan in found.items()}
    (folder / "plans.json").write_text(json.dumps(written, indent=1))
    steps = (ConvertRGB(), Resize(Size(height=32, width=32), "bilinear", "pillow13"), SCALED)
    front = Plan(steps, "pillow13", "ViT", labels=tuple("abcd"), source="golden")
    made = folder / "model.onnx"
    exporter.to_onnx(found["resized"], folder / "resized.onnx")
    exporter.to_torchscript(found["masked"], folder / "masked.pt")
    exporter.to_onnx(
        replace(front, problem_type="regression"), folder / "classified.onnx", model(made, {"logits": [4]}),
        postprocess="image_classification",
    )  # fmt: skip
    boxes = {"logits": [2, 3], "pred_boxes": [2, 4]}
    exporter.to_onnx(
        replace(front, family="Detr"), folder / "detected.onnx", model(made, boxes), postprocess="object_detection"
    )
    exporter.to_torchscript(front, folder / "fused.pt", Largest())
    made.unlink()
    files = {path.name: sums(load(path)) for path in sorted(folder.glob("*.*")) if path.suffix != ".json"}
    (folder / "sums.json").write_text(json.dumps(files, indent=1))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
