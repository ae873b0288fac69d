"""A Plan as an ONNX model."""

from __future__ import annotations

import onnx

from runtime.arrays.onnx import Formulas, Image
from runtime.lowering import Resample, lower
from runtime.ops import center_crop_onnx, flip_channels_onnx, pad_onnx, resize_onnx, table_onnx
from runtime.ops.center_crop import CenterCrop
from runtime.ops.flip_channels import FlipChannels
from runtime.ops.pad import Pad
from runtime.ops.table import Table
from runtime.plan import Plan

from .graph import Graph

LOWERINGS = {
    Resample: ("resize", resize_onnx.lower),
    CenterCrop: ("center_crop", center_crop_onnx.lower),
    Table: ("normalize", table_onnx.lower),
    Pad: ("pad", pad_onnx.lower),
    FlipChannels: ("flip_channels", flip_channels_onnx.lower),
}

OPSET, OPSETS = 18, range(18, 24)
IR_VERSION = 8
"""The oldest that has local functions, so that old runtimes read the file."""


def build(plan: Plan, opset: int = OPSET, prefix: str = "") -> onnx.ModelProto:
    """The preprocessing graph: uint8 ``images`` ``[batch, height, width, 3]`` to the Plan's outputs.

    Args:
        plan: what to lower.
        opset: of the default domain, one of :data:`OPSETS`.
        prefix: of every name inside the graph, so that a model can be joined to it.
    """
    g = Graph(prefix)
    channels_last = plan.layout == "NHWC"
    shape = ["batch", "height", "width", 3] if channels_last else ["batch", 3, "height", "width"]
    images = g.input("images", "uint8", shape)
    pixels = images
    with g.scope("images"):
        height, width = (g.size(images, axis) for axis in ((1, 2) if channels_last else (2, 3)))
        if channels_last:
            pixels = g.node("Transpose", images, perm=[0, 3, 1, 2], name="channels_first")
    image, formulas = Image(pixels, height, width), Formulas(g)
    for kernel in lower(plan.steps):
        name, lowering = LOWERINGS[type(kernel)]
        with g.scope(name):
            image = lowering(g, formulas, kernel, image)
    pixels = image.pixels
    if not any(isinstance(kernel, Table) for kernel in lower(plan.steps)):
        pixels = g.cast(pixels, "uint8")
    sizes = [size if isinstance(size, int) else f"output_{n}" for n, size in (("height", image.height), ("width", image.width))]
    g.output(pixels, "pixel_values", ["batch", 3, *sizes])
    return g.build(opset, IR_VERSION, "preprocessing")
