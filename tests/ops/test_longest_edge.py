"""Size rules of a longest edge against the classes that have them."""

import numpy as np
import pytest
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.image_utils import SizeDict
from transformers.models.tvp.image_processing_pil_tvp import get_resize_output_image_size

from runtime import InputError
from runtime.ops import Resize
from runtime.ops.size import Size

from ..helpers import assert_everywhere, first, make_plan, noise, sides


@given(height=sides(2000), width=sides(2000), edge=st.integers(1, 1100), least=st.integers(1, 60))
@settings(max_examples=300)
def test_rounded_with_a_least_edge(height, width, edge, least):
    image = np.zeros((1, height, width), np.uint8)
    size = SizeDict(height=edge, width=edge)
    expected = transformers.DeepseekVLImageProcessorPil().resize(image, size, least, 0).shape[1:]
    assert Size(rounded_longest_edge=edge, min_edge=least).output_size(height, width) == expected


@given(height=sides(4000), width=sides(4000), edge=st.integers(1, 1100))
@settings(max_examples=300)
def test_rounded_down(height, width, edge):
    expected = get_resize_output_image_size(np.empty((3, height, width)), edge, "channels_first")
    if 0 not in expected:
        assert Size(truncated_longest_edge=edge).output_size(height, width) == expected
        return
    with pytest.raises(InputError, match=f"'truncated_longest_edge {edge}': expected at least 1 pixel a side"):
        Size(truncated_longest_edge=edge).output_size(height, width)


@given(height=sides(120), width=sides(120), edge=st.integers(30, 90), least=st.integers(1, 20))
@settings(max_examples=8)
def test_every_backend(height, width, edge, least):
    image = noise(height, width)
    for size in (Size(rounded_longest_edge=edge, min_edge=least), Size(truncated_longest_edge=edge)):
        if 0 in (height * edge // max(height, width), width * edge // max(height, width)):
            continue
        step = Resize(size, "bilinear", "pillow13")
        assert_everywhere(make_plan(step), image, first(step.reference(image)))
