"""Scale and offset against torch, in every backend."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from runtime import Plan
from runtime.backends.torch import Preprocess
from runtime.ops import Interpolate, Rescale, ScaleOffset
from runtime.ops.size import Size

from ..helpers import assert_equal, assert_everywhere, backends, first, make_plan, noise

SCALE, OFFSET = (0.0171, 0.0175, 0.0174), (-2.117, -2.035, -1.804)
numbers = st.tuples(*[st.floats(-1e3, 1e3, width=32)] * 3)


def torch_result(image, scale, offset):
    """Two operations of float32, ``[1, 3, H, W]``."""
    floats = torch.from_numpy(first(image)).to(torch.float32)
    scale, offset = (torch.tensor(values, dtype=torch.float64).float().reshape(3, 1, 1) for values in (scale, offset))
    return (floats * scale + offset).numpy()


@given(scale=numbers, offset=numbers, height=st.integers(1, 20), width=st.integers(1, 20))
def test_any_numbers_and_size(scale, offset, height, width):
    image = noise(height, width)
    assert_everywhere(make_plan(ScaleOffset(scale, offset)), image, torch_result(image, scale, offset))


@pytest.mark.parametrize("channels", [1, 4])
def test_other_numbers_of_channels(channels):
    step, image = ScaleOffset(SCALE[:1] * channels, OFFSET[:1] * channels), noise(9, 8, channels=channels)
    expected = image.astype(np.float32) * np.float32(SCALE[0]) + np.float32(OFFSET[0])
    assert_everywhere(make_plan(step, channels=channels), image, first(expected))


FLOATS = (Rescale(1 / 255), Interpolate(Size(height=9, width=20), "bilinear", False), ScaleOffset(SCALE, OFFSET))


def test_floats():
    # Of the floats that each backend has: where they are the same, so is the result.
    plan = make_plan(Rescale(1 / 255), ScaleOffset(SCALE, OFFSET), Rescale(2.0))
    assert_everywhere(plan, noise(30, 40))
    image = noise(30, 40)[None]
    values = backends(make_plan(*FLOATS[:2]))["pil"](image)["pixel_values"]
    expected = values * np.float32(SCALE).reshape(3, 1, 1) + np.float32(OFFSET).reshape(3, 1, 1)
    for name, run in backends(make_plan(*FLOATS)).items():
        assert np.abs(run(image)["pixel_values"] - expected).max() <= 1e-5, name


@pytest.mark.parametrize("backend", ["torch", "compiled"])
def test_torch_rounds_both_operations(backend):
    plan = make_plan(*FLOATS)
    torch.compiler.reset()
    module = Preprocess(plan).eval()
    run = torch.compile(module, fullgraph=True, dynamic=True) if backend == "compiled" else module
    image = torch.from_numpy(noise(30, 40)[None])
    values = Preprocess(make_plan(*FLOATS[:2])).eval()(image)["pixel_values"].numpy()
    expected = values * np.float32(SCALE).reshape(3, 1, 1) + np.float32(OFFSET).reshape(3, 1, 1)
    assert_equal(run(image)["pixel_values"].numpy(), expected, backend)


def test_its_words_and_json():
    plan = make_plan(ScaleOffset(SCALE, OFFSET))
    assert str(plan) == "1. scale by 0.0171 0.0175 0.0174, plus -2.117 -2.035 -1.804"
    assert Plan.from_json(plan.to_json()) == plan


@pytest.mark.parametrize(
    ("scale", "offset", "message"),
    [
        ((1.0,) * 2, (1.0,) * 3, r"scale: expected a finite number for each of 1, 3 or 4 channels, got \(1.0, 1.0\)"),
        ((1.0,) * 3, (1.0, 1.0, math.nan), "offset: expected a finite number for each of 1, 3 or 4 channels, got "),
        ((1.0, 1.0, 1e300), (1.0,) * 3, "scale: expected a finite number for each of 1, 3 or 4 channels, got "),
        ((1.0,) * 3, (1.0,) * 4, "expected as many of each, got 3 scales and 4 offsets"),
    ],
)
def test_wrong_numbers_are_refused(scale, offset, message):
    with pytest.raises(ValueError, match=message):
        ScaleOffset(scale, offset)


def test_the_number_of_channels_is_the_plans():
    with pytest.raises(ValueError, match="is for 1 channels, and the Plan is for 3"):
        make_plan(ScaleOffset((1.0,), (0.0,)))
