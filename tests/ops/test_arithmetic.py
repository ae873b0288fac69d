"""Element-wise steps on floats: the bits of their references, which other tests compare with transformers."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.onnx import build
from runtime.backends.torch import Preprocess
from runtime.lowering import lower, output_dtype
from runtime.ops import Cast, CenterCrop, Clamp, FlipChannels, Normalize, Pad, Rescale
from runtime.ops.arithmetic import Arithmetic
from runtime.ops.size import Size
from runtime.ops.table import apply

from ..helpers import assert_equal, assert_everywhere, backends, first, make_plan, noise

number = st.floats(-30, 30, width=32)
nonzero = st.one_of(st.floats(0.0078125, 300, width=32), st.floats(-300, -0.0078125, width=32))
pointwise = st.one_of(
    st.builds(Rescale, st.floats(-3, 3), number, st.sampled_from(["float32", "float64"])),
    st.builds(Normalize, st.tuples(number, number, number), st.tuples(nonzero, nonzero, nonzero)),
    st.builds(lambda low, size: Clamp(low, low + abs(size)), number, number),
    st.builds(Cast, st.sampled_from(["float32", "float16"])),
)
BEFORE = Normalize((10.5, 100.25, 3.0), (7.0, 30.0, 0.3))  # no multiples of anything
EVERY = (
    Rescale(0.3, 0.7),
    Rescale(1.7, -0.1, "float32"),
    Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    Clamp(-1.1, 1.3),
    Cast("float16"),
)


@given(steps=st.lists(pointwise, min_size=1, max_size=4).map(tuple))
@settings(max_examples=40)
@pytest.mark.filterwarnings("ignore:overflow encountered in cast:RuntimeWarning")
def test_every_backend_equals_the_references(steps):
    plan = make_plan(BEFORE, FlipChannels(), *steps)
    assert lower(plan.steps)[-1] == Arithmetic(steps)
    image = noise(40, 33)
    expected = first(apply(steps, BEFORE.reference(image)[..., ::-1]))
    assert_everywhere(plan, image, expected)
    assert output_dtype(lower(plan.steps)) == str(expected.dtype)


@pytest.mark.parametrize("steps", [*itertools.permutations(EVERY, 2), EVERY, EVERY[::-1]])
def test_compiled(steps):
    plan = make_plan(BEFORE, FlipChannels(), *steps)
    torch.compiler.reset()
    compiled = torch.compile(Preprocess(plan).eval(), fullgraph=True)
    images = noise(40, 33)[None]
    expected = backends(plan)["pil"](images)["pixel_values"]
    assert_equal(compiled(torch.from_numpy(images))["pixel_values"].numpy(), expected, "compiled")


@pytest.mark.parametrize("cast", [(), (Cast("float16"),)])
@pytest.mark.parametrize("shape", [(30, 40), (5, 7), (61, 3)])
def test_crops_and_padding_of_floats(shape, cast):
    steps = (
        BEFORE,
        *cast,
        CenterCrop(21, 9, "torchvision"),
        Clamp(-1, 30),
        Pad(Size(height=25, width=10), (1.5,)),
        Rescale(0.1),
    )
    image = noise(*shape)
    expected = image
    for step in steps:
        expected = step.reference(expected)
    assert_everywhere(make_plan(*steps), image, first(expected))


@pytest.mark.parametrize("channels", [1, 4])
def test_other_numbers_of_channels(channels):
    values = np.linspace(0.1, 0.9, channels).tolist()
    steps = Rescale(1 / 255), CenterCrop(9, 9), Normalize(tuple(values), tuple(values[::-1])), Clamp(-1, 1)
    image = noise(12, 11, channels=channels)
    expected = apply(steps[2:], steps[1].reference(steps[0].reference(image)))
    assert_everywhere(make_plan(*steps, channels=channels), image, first(expected))


@pytest.mark.parametrize(
    ("steps", "dtype"),
    [
        ((), "uint8"),
        ((BEFORE,), "float32"),
        ((Cast("float16"),), "float16"),
        ((BEFORE, FlipChannels(), Cast("float16")), "float16"),
        ((Cast("float16"), FlipChannels(), BEFORE), "float32"),
    ],
)
def test_the_output_has_the_last_steps_dtype(steps, dtype):
    plan = make_plan(*steps)
    assert output_dtype(lower(steps)) == dtype
    (output,) = build(plan).graph.output
    for run in backends(plan).values():
        assert run(noise(3, 4)[None])["pixel_values"].dtype == dtype
    assert {1: "float32", 2: "uint8", 10: "float16"}[output.type.tensor_type.elem_type] == dtype
