"""CenterCrop against transformers and torchvision, in every backend."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from timm.data.transforms import CenterCropOrPad
from torchvision.transforms import functional
from transformers.image_transforms import center_crop
from transformers.image_utils import ChannelDimension

from models.transforms import center_crop_or_pad
from runtime.geometry import crop_offset
from runtime.ops import CenterCrop, Pad, Rescale, Resize
from runtime.ops.size import LONGEST_SIDE, Size

from ..helpers import INSTALLED_ORDER, assert_equal, assert_everywhere, first, make_plan, near, noise, sides

LAST = ChannelDimension.LAST


def expected_crop(image, height, width):
    return center_crop(image, (height, width), data_format=LAST, input_data_format=LAST)


def torchvision_crop(image, height, width):
    return np.asarray(functional.center_crop(Image.fromarray(image), [height, width]))


CROPS = {"pil": expected_crop, "half_even": torchvision_crop}


@pytest.mark.parametrize("rule", CROPS)
@given(height=sides(60), width=sides(60), data=st.data())
@settings(max_examples=200)
def test_reference_equals_the_library(rule, height, width, data):
    image = noise(data.draw(near(height, 60)), data.draw(near(width, 60)))
    got = CenterCrop(height, width, rule).reference(image)
    assert_equal(got, CROPS[rule](image, height, width), "reference")


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float16])
def test_reference_keeps_the_dtype(dtype):
    image = noise(5, 9).astype(dtype)
    assert_equal(CenterCrop(8, 4).reference(image), expected_crop(image, 8, 4), "reference")


@pytest.mark.parametrize("rule", CROPS)
@given(height=sides(60), width=sides(60), data=st.data())
@settings(max_examples=40)
def test_every_backend_equals_the_library(rule, height, width, data):
    plan = make_plan(CenterCrop(height, width, rule))
    for _ in range(3):
        image = noise(data.draw(near(height, 60)), data.draw(near(width, 60)))
        assert_everywhere(plan, image, first(CROPS[rule](image, height, width)))


def test_a_side_that_is_cropped_is_not_padded_first():
    """Which would take 48 GB here, as it does in transformers."""
    plan = make_plan(CenterCrop(LONGEST_SIDE, 1), Rescale(0.5), CenterCrop(1, LONGEST_SIDE))
    image = noise(3, 2)
    narrow = expected_crop(image, LONGEST_SIDE, 1).astype(np.float32) * np.float32(0.5)
    assert_everywhere(plan, image, first(expected_crop(expected_crop(narrow, 1, 1), 1, LONGEST_SIDE)))


@pytest.mark.parametrize("rule", CROPS)
@pytest.mark.parametrize("crop", [4, 5])
@pytest.mark.parametrize("size", range(1, 12))
def test_odd_differences(rule, size, crop):
    # One axis is cropped and the other padded, and the other way round.
    image = noise(size, 12 - size)
    assert_everywhere(make_plan(CenterCrop(crop, crop, rule)), image, first(CROPS[rule](image, crop, crop)))


@pytest.mark.parametrize("rule", CROPS)
@pytest.mark.parametrize("size", [(33, 47), (47, 33), (40, 41), (41, 43), (30, 90), (90, 30)])
def test_behind_a_resize(rule, size):
    """Where only the rows and columns that are kept are computed."""
    resize = Resize(Size(height=size[0], width=size[1]), "bicubic", INSTALLED_ORDER)
    image = noise(64, 50)
    expected = CROPS[rule](resize.reference(image), 40, 40)
    assert_everywhere(make_plan(resize, CenterCrop(40, 40, rule)), image, first(expected))


def test_half_even_is_pythons_rounding():
    for difference in range(-9, 10_000):
        expected = round(difference / 2.0) if difference >= 0 else -(-difference // 2)
        assert crop_offset(20 + difference, 20, "half_even") == expected


@given(
    height=sides(60),
    width=sides(60),
    fill=st.tuples(*[st.integers(0, 255)] * 3),
    data=st.data(),
)
@settings(max_examples=60)
def test_with_another_colour_around(height, width, fill, data):
    steps = center_crop_or_pad(height, width, tuple(map(float, fill)))
    assert [type(step) for step in steps] == ([Pad, CenterCrop] if any(fill) else [CenterCrop])
    plan = make_plan(*steps)
    reference = CenterCropOrPad((height, width), fill=list(fill))
    for _ in range(3):
        image = noise(data.draw(near(height, 60)), data.draw(near(width, 60)))
        assert_everywhere(plan, image, first(np.asarray(reference(Image.fromarray(image)))))


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


def test_more_pixels_than_any_image_has_are_refused():
    with pytest.raises(ValueError, match=r"^expected at most 178956970 pixels, got 65535x65535$"):
        CenterCrop(LONGEST_SIDE, LONGEST_SIDE)


@pytest.mark.parametrize("rule", ["", "half_odd", "Pil"])
def test_unknown_rules_are_refused(rule):
    with pytest.raises(ValueError, match=f"^rule: expected one of pil, torchvision, half_even, .*got {rule!r}$"):
        CenterCrop(5, 5, rule)
