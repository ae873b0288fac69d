"""CenterCrop against transformers, in every backend."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.image_transforms import center_crop
from transformers.image_utils import ChannelDimension

from runtime.ops import CenterCrop, Rescale
from runtime.ops.size import LONGEST_SIDE

from ..helpers import assert_equal, assert_everywhere, first, make_plan, near, noise, sides

LAST = ChannelDimension.LAST


def expected_crop(image, height, width):
    return center_crop(image, (height, width), data_format=LAST, input_data_format=LAST)


@given(height=sides(60), width=sides(60), data=st.data())
@settings(max_examples=200)
def test_reference_equals_transformers(height, width, data):
    image = noise(data.draw(near(height, 60)), data.draw(near(width, 60)))
    assert_equal(CenterCrop(height, width).reference(image), expected_crop(image, height, width), "reference")


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float16])
def test_reference_keeps_the_dtype(dtype):
    image = noise(5, 9).astype(dtype)
    assert_equal(CenterCrop(8, 4).reference(image), expected_crop(image, 8, 4), "reference")


@given(height=sides(60), width=sides(60), data=st.data())
@settings(max_examples=60)
def test_every_backend_equals_transformers(height, width, data):
    plan = make_plan(CenterCrop(height, width))
    for _ in range(3):
        image = noise(data.draw(near(height, 60)), data.draw(near(width, 60)))
        assert_everywhere(plan, image, first(expected_crop(image, height, width)))


@pytest.mark.parametrize("crop", [4, 5])
@pytest.mark.parametrize("size", range(1, 12))
def test_odd_differences(size, crop):
    # One axis is cropped and the other padded, and the other way round.
    image = noise(size, 12 - size)
    assert_everywhere(make_plan(CenterCrop(crop, crop)), image, first(expected_crop(image, crop, crop)))


def test_what_is_missing_is_black_before_the_rescale():
    image = np.full((2, 2, 3), 255, np.uint8)
    steps = CenterCrop(4, 3), Rescale(0.5, 1.0)
    expected = steps[1].reference(expected_crop(image, 4, 3))
    assert set(expected.ravel().tolist()) == {-1.0, 126.5}
    assert_everywhere(make_plan(*steps), image, first(expected))


@pytest.mark.parametrize("value", [0, -1, LONGEST_SIDE + 1, 5.0, "5", True, None])
@pytest.mark.parametrize("key", ["height", "width"])
def test_wrong_sizes_are_refused(key, value):
    with pytest.raises(ValueError, match=r"expected .*, got "):
        CenterCrop(**{"height": 5, "width": 5, key: value})
