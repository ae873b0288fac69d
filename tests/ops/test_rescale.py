"""Rescale against transformers, in every backend."""

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.image_transforms import rescale
from transformers.models.efficientnet.image_processing_pil_efficientnet import EfficientNetImageProcessorPil

from runtime.ops import Rescale

from ..helpers import assert_equal, assert_everywhere, first, make_plan, noise

FACTORS = [1 / 255, 1 / 127.5, 1 / 256, 0.00392156862745098, 1.0, 2.0, 0.1, -1 / 3]


def every_value():
    """Each uint8 in each channel, in another order a channel."""
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    return np.stack([values, values[::-1], values.T], axis=-1)


@pytest.mark.parametrize("factor", FACTORS)
def test_every_backend_equals_transformers(factor):
    assert_everywhere(make_plan(Rescale(factor)), every_value(), first(rescale(every_value(), factor)))


@pytest.mark.parametrize("factor", FACTORS)
def test_the_offset_is_efficientnets(factor):
    expected = EfficientNetImageProcessorPil().rescale(first(every_value())[0], factor, offset=True)
    assert_everywhere(make_plan(Rescale(factor, 1.0)), every_value(), expected[None])


@given(factor=st.floats(-1e6, 1e6), offset=st.floats(-1e6, 1e6), height=st.integers(1, 40), width=st.integers(1, 40))
def test_any_factor_and_size(factor, offset, height, width):
    image = noise(height, width)
    expected = rescale(image, factor)
    if offset:
        expected = expected - np.float32(offset)
    assert_everywhere(make_plan(Rescale(factor, offset)), image, first(expected))


@given(st.floats(0, 1e4))
@settings(max_examples=100)
def test_the_product_is_rounded_once(factor):
    # In float64, then to float32: a float32 product differs.
    assert_equal(Rescale(factor).reference(every_value()), rescale(every_value(), factor), "reference")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e300, -1e39])
@pytest.mark.parametrize("key", ["factor", "offset"])
def test_numbers_are_finite(key, value):
    with pytest.raises(ValueError, match=f"expected finite numbers, got .*{key} {re.escape(str(value))}"):
        Rescale(**{"factor": 1.0, key: value})


@pytest.mark.parametrize(
    ("step", "text"),
    [
        (Rescale(1 / 255), "rescale by 1/255"),
        (Rescale(1 / 255, 1.0), "rescale by 1/255, minus 1"),
        (Rescale(1 / 127.5), "rescale by 0.00784313725490196"),
        (Rescale(1.0), "rescale by 1.0"),
        (Rescale(0.0), "rescale by 0.0"),
        (Rescale(2.0), "rescale by 2.0"),
        (Rescale(255.0), "rescale by 255.0"),
        (Rescale(1e-320), "rescale by 1e-320"),
    ],
)
def test_says_what_it_does(step, text):
    assert str(step) == text
