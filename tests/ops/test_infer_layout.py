"""InferLayout against transformers' older classes."""

import numpy as np
import pytest
from hypothesis import given, settings
from PIL import Image
from transformers.image_utils import ChannelDimension, infer_channel_dimension_format

from runtime import InputError, Preprocessor
from runtime.ops import InferLayout, Rescale

from ..helpers import assert_equal, make_plan, noise, sides


@given(height=sides(9).filter(lambda side: side > 1), width=sides(9))
@settings(max_examples=60)
def test_reads_as_transformers_does(height, width):
    image = noise(height, width)
    is_first = infer_channel_dimension_format(image) == ChannelDimension.FIRST
    expected = np.moveaxis(image, 0, -1) if is_first else image
    assert is_first == (height == 3)
    assert_equal(InferLayout().reference(image), expected, "reference")


@pytest.mark.parametrize("backend", ["pil", "numba", "torch"])
def test_it_runs_where_images_are_read(backend):
    preprocess = Preprocessor(make_plan(InferLayout(), Rescale(0.5)), backend)
    for height in (2, 3, 4):
        image = noise(height, 7)
        expected = Rescale(0.5).reference(np.moveaxis(image, 0, -1) if height == 3 else image)
        assert_equal(preprocess(Image.fromarray(image))["pixel_values"], np.moveaxis(expected, -1, 0)[None], backend)


@pytest.mark.parametrize("width", [2, 4, 500])
def test_one_row_is_refused(width):
    with pytest.raises(InputError, match=f"an image of 1x{width}: transformers reads its row as its only channel"):
        Preprocessor(make_plan(InferLayout()), "pil")(Image.fromarray(noise(1, width)))


@pytest.mark.parametrize("channels", [1, 4])
def test_other_channels_are_refused(channels):
    with pytest.raises(ValueError, match=f"infer_layout is for 3 channels, and the Plan is for {channels}"):
        make_plan(InferLayout(), channels=channels)


def test_it_comes_before_what_works_on_pixels():
    with pytest.raises(ValueError, match="infer_layout must come before what works on pixels"):
        make_plan(Rescale(0.5), InferLayout())
