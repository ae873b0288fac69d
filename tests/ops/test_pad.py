"""Pad against transformers, in every backend."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms.v2 import functional as tvF
from transformers import image_transforms as transforms
from transformers.image_processing_backends import PilBackend
from transformers.image_utils import SizeDict

from runtime import InputError
from runtime.ops import Normalize, Pad, Rescale, Resize
from runtime.ops.pad import MODES
from runtime.ops.size import Size

from ..helpers import assert_equal, assert_everywhere, backends, first, make_plan, noise, sides


def expected_pad(image, height, width, value=0):
    """transformers pads channels-first arrays; ``[C, height, width]``."""
    (padded,) = PilBackend.pad(None, list(first(image)), SizeDict(height=height, width=width), fill_value=value)
    return padded


@given(height=sides(60), width=sides(60), value=st.integers(0, 255), data=st.data())
@settings(max_examples=60)
def test_every_backend_equals_transformers(height, width, value, data):
    plan = make_plan(Pad(Size(height=height, width=width), (float(value),)))
    for _ in range(3):
        image = noise(data.draw(st.integers(1, height)), data.draw(st.integers(1, width)))
        assert_everywhere(plan, image, expected_pad(image, height, width, value)[None])


@pytest.mark.parametrize("value", [0.0, 0.1, -2.5, 1e30, 300.0])
def test_floats_are_padded_with_any_value(value):
    image = noise(5, 7)
    expected = expected_pad(Rescale(1 / 255).reference(image), 9, 8, value)
    assert_everywhere(make_plan(Rescale(1 / 255), Pad(Size(height=9, width=8), (value,))), image, expected[None])


@pytest.mark.parametrize("value", [0.0, 7.0, 7, 127.7, 255.0])
def test_pixels_are_padded_before_the_table(value):
    image = noise(5, 7)
    normalize = Normalize((1.0, 2.0, 3.0), (4.0, 5.0, 6.0))
    expected = normalize.reference(np.moveaxis(expected_pad(image, 9, 8, value), 0, -1))
    assert_everywhere(make_plan(Pad(Size(height=9, width=8), (value,)), normalize), image, first(expected))


@pytest.mark.parametrize("value", [-1.0, 256.0, 1e30])
@pytest.mark.parametrize("before", [(), (Resize(Size(height=4, width=4), "bilinear", "pillow13"),)], ids=len)
def test_a_value_that_no_pixel_has_is_refused_before_the_table(before, value):
    # uint8 wraps in NumPy, and overflows in torch and ONNX.
    with pytest.raises(ValueError, match=r"value: expected .*, got "):
        make_plan(*before, Pad(Size(height=9, width=9), (value,)), Rescale(1 / 255))


def test_reference_keeps_the_dtype():
    for dtype in (np.uint8, np.float32, np.float16):
        image = noise(5, 7).astype(dtype)
        assert_equal(
            first(Pad(Size(height=9, width=8), (3.0,)).reference(image))[0], expected_pad(image, 9, 8, 3), "reference"
        )


def test_an_image_that_fits_stays_as_it_is():
    assert_everywhere(make_plan(Pad(Size(height=5, width=7), (9.0,))), noise(5, 7), first(noise(5, 7)))


@given(height=sides(40), width=sides(40), data=st.data())
@settings(max_examples=30)
def test_sizes_that_follow_from_the_image(height, width, data):
    """transformers' own padding to the size that the rule gives; centered, it has the smaller half before."""
    multiple = data.draw(st.integers(1, 20))
    centered = data.draw(st.booleans())
    square = data.draw(st.booleans())
    new_height, new_width = (-(-n // multiple) * multiple for n in (height, width))
    if square:
        new_height = new_width = max(new_height, new_width)
    size = Size(square=multiple) if square else Size(ceil_to=multiple)
    image = noise(height, width)
    top, left = ((new_height - height) // 2, (new_width - width) // 2) if centered else (0, 0)
    expected = transformers_pad(
        image, ((top, new_height - height - top), (left, new_width - width - left)), constant_values=(1, 2, 3)
    )
    assert_everywhere(make_plan(Pad(size, (1.0, 2.0, 3.0), centered)), image, first(expected))


def transformers_pad(image, padding, **values):
    """``image_transforms.pad``, one channel at a time where ``constant_values`` has one for each."""
    colours = values.pop("constant_values", None)
    if colours is None:
        return transforms.pad(image, padding, input_data_format="channels_last", **values)
    channels = [
        transforms.pad(image[..., i : i + 1], padding, constant_values=colour, input_data_format="channels_last")
        for i, colour in enumerate(colours)
    ]
    return np.concatenate(channels, -1)


@pytest.mark.parametrize("centered", [False, True])
@pytest.mark.parametrize("mode", ["symmetric", "reflect", "replicate"])
@pytest.mark.parametrize("size", [(5, 7), (7, 5), (1, 1), (1, 9), (2, 3), (16, 15), (33, 8)])
def test_mirrored(size, mode, centered):
    """NumPy's padding, which is transformers': also where the padding is longer than the image."""
    image, step = noise(*size), Pad(Size(square=16), centered=centered, mode=mode)
    missing = [-(-max(size) // 16) * 16 - n for n in size]
    before = [n // 2 * centered for n in missing]
    padding = tuple((b, m - b) for b, m in zip(before, missing, strict=True))
    expected = transformers_pad(image, padding, mode=transforms.PaddingMode(mode))
    assert_everywhere(make_plan(step), image, first(expected))
    floats = Rescale(1 / 255)
    assert_everywhere(make_plan(floats, step), image, first(floats.reference(expected)))


@pytest.mark.parametrize("size", [(5, 7), (9, 8), (1, 1)])
def test_the_mask_says_where_the_image_is(size):
    image = noise(*size)
    mask = np.zeros((1, 9, 8), np.int64)
    mask[:, : size[0], : size[1]] = 1
    plan = make_plan(Rescale(1 / 255), Pad(Size(height=9, width=8), mask="pixel_mask"))
    assert plan.outputs == ("pixel_values", "pixel_mask")
    assert_everywhere(plan, image, {"pixel_mask": mask})
    two = np.stack([image, image[::-1]])
    assert_everywhere(plan, two, {"pixel_mask": np.concatenate([mask, mask])})


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [(6, 5), (5, 6), (6, 6), (1, 300)])
def test_a_larger_image_is_refused_everywhere(size, mode):
    image, step = noise(*size), Pad(Size(height=5, width=5), mode=mode)
    with pytest.raises(ValueError, match="Padding dimensions are negative"):
        expected_pad(image, 5, 5)
    with pytest.raises(InputError, match=f"pad_size 5x5 is smaller than the image, {size[0]}x{size[1]}"):
        step.reference(image)
    for run in backends(make_plan(step)).values():
        with pytest.raises(Exception, match=r"smaller than the image|Reshape|smaller_than_the_image"):
            run(image[None])


@pytest.mark.parametrize("value", [(math.nan,), (math.inf,), (0.0, -math.inf, 0.0), ()])
def test_the_values_are_finite(value):
    with pytest.raises(ValueError, match="value: expected a finite number, or one for each channel, got "):
        Pad(Size(height=5, width=5), value)


def test_the_values_are_for_the_channels():
    with pytest.raises(ValueError, match="'pad to 5x5 with 1, 2' has values for 2 channels, and the Plan is for 3"):
        make_plan(Pad(Size(height=5, width=5), (1.0, 2.0)))


def test_modes_are_named():
    with pytest.raises(ValueError, match="mode: expected one of constant, symmetric, reflect, replicate, got 'edge'"):
        Pad(Size(height=5, width=5), mode="edge")


def test_a_mask_is_for_images_at_the_top_left():
    with pytest.raises(ValueError, match="mask: expected none where the image is centered"):
        Pad(Size(height=5, width=5), centered=True, mask="pixel_mask")


@pytest.mark.parametrize("centered", [False, True])
@pytest.mark.parametrize("mode", ["symmetric", "reflect"])
@pytest.mark.parametrize("size", list(itertools.product(range(1, 10), [3, 5, 9])))
def test_once_refuses_what_torchvision_does(size, mode, centered):
    image, step = noise(*size), Pad(Size(square=9), centered=centered, mode=mode, once=True)
    (top, bottom), (left, right) = Pad(Size(square=9), centered=centered).padding(*size)
    try:
        expected = tvF.pad(torch.from_numpy(first(image)), [left, top, right, bottom], padding_mode=mode).numpy()
    except (RuntimeError, IndexError):
        expected = None
    plan = make_plan(step)
    if expected is not None:
        assert_everywhere(plan, image, expected)
        return
    with pytest.raises(InputError, match=f"an image of {size[0]}x{size[1]} is too small to be mirrored to 9x9"):
        step.reference(image)
    for run in backends(plan).values():
        with pytest.raises(Exception, match=r"too small to be mirrored|too_small_to_be_mirrored"):
            run(image[None])


def test_once_is_for_mirrors():
    with pytest.raises(ValueError, match="once: expected false where nothing is mirrored"):
        Pad(Size(height=5, width=5), once=True)
