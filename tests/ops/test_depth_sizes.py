"""Size rules of depth estimators and of Swin2SR against the functions of transformers that compute them."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import Swin2SRImageProcessorPil, ZoeDepthImageProcessorPil
from transformers.models.dpt.image_processing_pil_dpt import get_resize_output_image_size as dpt_size
from transformers.models.zoedepth.image_processing_pil_zoedepth import get_resize_output_image_size as zoedepth_size

from runtime import geometry
from runtime.ops import Pad, Resize
from runtime.ops.size import LONGEST_SIDE, Size

from ..helpers import assert_everywhere, make_plan, noise, script, sides

side = st.integers(1, 4000)


def image(height, width):
    """An array of that size, which takes no memory."""
    return np.broadcast_to(np.uint8(0), (3, height, width))


@st.composite
def keyed(draw, keep):
    """A rule, and what it is made of: (height, width) and a multiple."""
    height, width = draw(st.integers(1, 700)), draw(st.integers(1, 700))
    multiple, per = draw(st.one_of(st.tuples(st.integers(1, 64), st.just(1)), st.sampled_from([(1, 32), (3, 2)])))
    name = "nearest" if keep else "stretched"
    size = Size(**{f"{name}_height": height, f"{name}_width": width, "multiple": multiple, "per": per})
    return size, (height, width), multiple if per == 1 else multiple / per


@pytest.mark.parametrize("keep", [False, True])
@given(data=st.data())
@settings(max_examples=500)
def test_multiples_equal_transformers(keep, data):
    size, output_size, multiple = data.draw(keyed(keep))
    height, width = data.draw(side), data.draw(side)
    got = geometry.output_size(height, width, *size.rule)
    assert got == tuple(map(int, zoedepth_size(image(height, width), output_size, keep, multiple, "channels_first")))
    if isinstance(multiple, int):
        expected = dpt_size(image(height, width), output_size, keep, multiple)
        assert got == (expected.height, expected.width)


def test_of_two_changes_alike_that_of_the_height_is_taken():
    """Half as high or half as wide again."""
    size = Size(nearest_height=50, nearest_width=150, multiple=1, per=1)
    expected = dpt_size(image(100, 100), (50, 150), True, 1)
    assert size.output_size(100, 100) == (expected.height, expected.width) == (50, 50)


@pytest.mark.parametrize("keep", [False, True])
@given(data=st.data(), height=sides(200), width=sides(200))
@settings(max_examples=15)
def test_multiples_in_every_backend(keep, data, height, width):
    size, _, _ = data.draw(keyed(keep))
    new_height, new_width = geometry.output_size(height, width, *size.rule)
    if 0 < new_height * new_width < 1_000_000:
        assert_everywhere(make_plan(Resize(size, "bilinear", "pillow13")), noise(height, width))


def test_halves_depend_on_the_image_in_every_backend():
    """40 lies between 32 and 48, and 24 between 16 and 32: the rounding of their quotients decides."""
    size = Size(stretched_height=40, stretched_width=24, multiple=16, per=1)
    plan = make_plan(Resize(size, "bilinear", "pillow13"))
    seen = set()
    for height, width in ((97, 131), (147, 47), (94, 94), (45, 187), (147, 173)):
        expected = dpt_size(image(height, width), (40, 24), False, 16)
        assert size.output_size(height, width) == (expected.height, expected.width)
        assert_everywhere(plan, noise(height, width))
        seen.add((expected.height, expected.width))
    assert seen == {(32, 32), (48, 16), (32, 16)}


def test_the_margin_of_every_side():
    """The formula of transformers, whose root is NumPy's, as integers; and TorchScript's."""
    scripted = script(geometry.sqrt_margin)
    for size in range(1, LONGEST_SIDE + 1):
        assert geometry.sqrt_margin(size, 3) == size + 2 * int(np.sqrt(size / 2) * 3), size
        assert scripted(size, 3) == geometry.sqrt_margin(size, 3), size


@given(height=sides(120), width=sides(120))
@settings(max_examples=15)
def test_margins_in_every_backend(height, width):
    expected = ZoeDepthImageProcessorPil().pad_image(np.moveaxis(noise(height, width), -1, 0))
    plan = make_plan(Pad(Size(sqrt_margin=3), centered=True, mode="reflect"))
    assert_everywhere(plan, noise(height, width), expected[None])


@given(height=sides(120), width=sides(120), multiple=st.integers(1, 40))
@settings(max_examples=15)
def test_past_a_multiple_in_every_backend(height, width, multiple):
    channels_first = np.moveaxis(noise(height, width), -1, 0)
    expected = Swin2SRImageProcessorPil().pad(channels_first, None, size_divisor=multiple)
    assert expected.shape[1:] == tuple(multiple * math.floor(size / multiple + 1) for size in (height, width))
    assert_everywhere(
        make_plan(Pad(Size(past_multiple=multiple), mode="symmetric")), noise(height, width), expected[None]
    )
