"""Channels last, in every backend."""

import numpy as np
import onnx
import pytest
import torch

from exporter.onnx import build
from runtime import Plan
from runtime.backends.torch import Preprocess
from runtime.ops import Cast, CenterCrop, ChannelsLast, Normalize, Rescale, Resize, ScaleOffset
from runtime.ops.size import Size

from ..helpers import assert_equal, assert_everywhere, backends, make_plan, noise

NORMALIZE = Normalize((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
STEPS = [
    (),
    (NORMALIZE,),
    (CenterCrop(20, 31),),
    (Resize(Size(height=20, width=31), "bilinear", "pillow13"),),
    (Resize(Size(shortest_edge=20), "bilinear", "pillow13"), CenterCrop(9, 12), NORMALIZE),
    (Rescale(1 / 255), NORMALIZE),
]


@pytest.mark.parametrize("steps", STEPS, ids=lambda steps: "-".join(type(step).__name__ for step in steps))
@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
def test_the_same_values_in_another_order(steps, layout):
    for shape in [(30, 40), (41, 29), (1, 5)]:
        images = np.stack([noise(*shape), noise(*shape, seed=1)])
        expected = backends(make_plan(*steps))["pil"](images)["pixel_values"].transpose(0, 2, 3, 1)
        assert_everywhere(make_plan(*steps, ChannelsLast(), layout=layout), images, expected)


@pytest.mark.parametrize("channels", [1, 4])
def test_other_numbers_of_channels(channels):
    image = noise(30, 40, channels=channels)
    assert_everywhere(make_plan(ChannelsLast(), channels=channels), image, image[None])


@pytest.mark.parametrize("steps", [(), (NORMALIZE,)])
def test_a_cast_may_come_behind(steps):
    image = noise(30, 40)
    expected = backends(make_plan(*steps, Cast("float16")))["pil"](image[None])["pixel_values"].transpose(0, 2, 3, 1)
    assert expected.dtype == np.float16
    assert_everywhere(make_plan(*steps, ChannelsLast(), Cast("float16")), image, expected)


@pytest.mark.parametrize("step", [NORMALIZE, CenterCrop(9, 9), ChannelsLast(), ScaleOffset((1.0,) * 3, (0.0,) * 3)])
def test_nothing_else_may(step):
    with pytest.raises(ValueError, match="channels_last must be the last step, but for a cast"):
        make_plan(ChannelsLast(), step)


def test_the_file_names_the_axes():
    plan = make_plan(Resize(Size(shortest_edge=20), "bilinear", "pillow13"), ChannelsLast())
    (output,) = build(plan).graph.output
    dims = output.type.tensor_type.shape.dim
    assert [d.dim_value or d.dim_param for d in dims] == ["batch", "output_height", "output_width", 3]
    (output,) = build(make_plan(CenterCrop(9, 8), ChannelsLast())).graph.output
    assert [d.dim_value or d.dim_param for d in output.type.tensor_type.shape.dim] == ["batch", 9, 8, 3]
    onnx.checker.check_model(build(plan), full_check=True)


def test_compiled():
    plan = make_plan(CenterCrop(9, 8), NORMALIZE, ChannelsLast())
    torch.compiler.reset()
    images = noise(30, 40)[None]
    got = torch.compile(Preprocess(plan).eval(), fullgraph=True)(torch.from_numpy(images))["pixel_values"]
    assert got.is_contiguous()
    assert_equal(got.numpy(), backends(plan)["pil"](images)["pixel_values"], "compiled")


def test_its_words_and_json():
    plan = make_plan(ChannelsLast())
    assert str(plan) == "1. channels last"
    assert Plan.from_json(plan.to_json()) == plan
