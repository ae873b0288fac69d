"""Pad against transformers, in every backend."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.image_processing_backends import PilBackend
from transformers.image_utils import SizeDict

from runtime import InputError
from runtime.ops import Normalize, Pad, Rescale, Resize
from runtime.ops.size import LONGEST_SIDE, Size

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


@pytest.mark.parametrize("size", [(6, 5), (5, 6), (6, 6), (1, 300)])
def test_a_larger_image_is_refused_everywhere(size):
    image = noise(*size)
    with pytest.raises(ValueError, match="Padding dimensions are negative"):
        expected_pad(image, 5, 5)
    with pytest.raises(InputError, match=f"pad_size 5x5 is smaller than the image, {size[0]}x{size[1]}"):
        Pad(Size(height=5, width=5)).reference(image)
    for run in backends(make_plan(Pad(Size(height=5, width=5)))).values():
        with pytest.raises(Exception, match=r"smaller than the image|Reshape"):
            run(image[None])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_the_value_is_finite(value):
    with pytest.raises(ValueError, match="value: expected a finite number, got "):
        Pad(Size(height=5, width=5), (value,))


@pytest.mark.parametrize("value", [0, -1, LONGEST_SIDE + 1, 5.0, "5", True, None])
@pytest.mark.parametrize("key", ["height", "width"])
def test_wrong_sizes_are_refused(key, value):
    with pytest.raises(ValueError, match=r"expected .*, got "):
        Pad(**{"height": 5, "width": 5, key: value})
