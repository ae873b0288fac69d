"""Normalize against transformers, in every backend."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers.image_transforms import normalize, rescale
from transformers.image_utils import IMAGENET_STANDARD_MEAN, OPENAI_CLIP_MEAN, OPENAI_CLIP_STD, ChannelDimension

from runtime.ops import Normalize, Rescale

from ..helpers import assert_equal, assert_everywhere, first, make_plan, noise

LAST = ChannelDimension.LAST
CLIP = tuple(OPENAI_CLIP_MEAN), tuple(OPENAI_CLIP_STD)
NUMBERS = [CLIP, ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)), ((0.0, 1.0, -1.0), (1.0, -2.0, 3.0)), ((103.5, 116.3, 123.7),) * 2]


@pytest.mark.parametrize(("mean", "std"), NUMBERS)
def test_every_backend_equals_transformers_on_pixels(mean, std):
    image = noise(40, 30)
    expected = normalize(image, mean, std, input_data_format=LAST)
    assert_everywhere(make_plan(Normalize(mean, std)), image, first(expected))


@pytest.mark.parametrize("factor", [1 / 255, 1 / 127.5])
@pytest.mark.parametrize(("mean", "std"), NUMBERS)
def test_every_backend_equals_transformers_behind_a_rescale(mean, std, factor):
    image = noise(40, 30)
    expected = normalize(rescale(image, factor), mean, std, input_data_format=LAST)
    assert_everywhere(make_plan(Rescale(factor), Normalize(mean, std)), image, first(expected))


numbers = st.floats(-1e3, 1e3, width=32)


@given(
    mean=st.tuples(numbers, numbers, numbers),
    std=st.tuples(*[numbers.filter(lambda v: abs(v) > 1e-3)] * 3),
    height=st.integers(1, 20),
    width=st.integers(1, 20),
)
def test_any_numbers_and_size(mean, std, height, width):
    image = noise(height, width)
    expected = normalize(rescale(image, 1 / 255), mean, std, input_data_format=LAST)
    assert_everywhere(make_plan(Rescale(1 / 255), Normalize(mean, std)), image, first(expected))


def test_reference_keeps_nothing_but_float32():
    for dtype in (np.uint8, np.float32):
        image = noise(9, 8).astype(dtype)
        assert_equal(Normalize(*CLIP).reference(image), normalize(image, *CLIP, input_data_format=LAST), str(dtype))


@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [
        (
            (0.5, 0.5),
            (1.0, 1.0, 1.0),
            r"mean: expected a finite number for each of 1, 3 or 4 channels, got \(0.5, 0.5\)",
        ),
        ((0.5,) * 3, (1.0,) * 2, "std: expected a finite number for each of 1, 3 or 4 channels, got "),
        ((0.5,) * 3, (1.0,) * 4, "mean and std: expected as many of each, got 3 and 4"),
        ((0.5, math.nan, 0.5), (1.0,) * 3, "mean: expected a finite number for each of 1, 3 or 4 channels, got .*nan"),
        ((0.5,) * 3, (1.0, 1.0, math.inf), "std: expected a finite number for each of 1, 3 or 4 channels, got .*inf"),
        ((0.5,) * 3, (1.0, 0.0, 1.0), "std: expected numbers other than 0, got "),
        ((0.5,) * 3, (1.0, 1.0, 1e-60), "std: expected numbers other than 0, got .*1e-60"),  # 0 in float32
    ],
)
def test_wrong_numbers_are_refused(mean, std, message):
    with pytest.raises(ValueError, match=message):
        Normalize(mean, std)


@pytest.mark.parametrize("key", ["mean", "std"])
def test_numbers_are_finite_in_float32(key):
    with pytest.raises(ValueError, match=f"{key}: expected a finite number for each of 1, 3 or 4 channels, got "):
        Normalize(**{"mean": (0.0,) * 3, "std": (1.0,) * 3, key: (1.0, 1.0, 1e300)})


def test_standard_numbers_are_three():
    assert Normalize(tuple(IMAGENET_STANDARD_MEAN), tuple(IMAGENET_STANDARD_MEAN)).mean == (0.5, 0.5, 0.5)
