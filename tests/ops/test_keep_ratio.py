"""Resizes into a box and around one against timm, in every backend."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from timm.data.transforms import ResizeKeepRatio

from models.transforms import keep_ratio
from runtime import InputError
from runtime.ops import Pad, Resize
from runtime.ops.size import Size

from ..helpers import INSTALLED_ORDER, assert_everywhere, backends, first, make_plan, near, noise, sides


def expected_size(height, width, box, inside):
    image = torch.empty((3, height, width), device="meta")
    return tuple(ResizeKeepRatio.get_params(image, box, longest=float(inside)))


@pytest.mark.parametrize("inside", [True, False])
def test_every_size(inside):
    for draw in np.random.default_rng(0).integers(1, [701, 701, 5001, 5001], (5000, 4)).tolist():
        box, image = tuple(draw[:2]), draw[2:]
        expected = expected_size(*image, box, inside)
        if min(expected) and np.prod(expected) < 10**8:
            assert keep_ratio(*box, inside=inside).output_size(*image) == expected


@pytest.mark.parametrize("inside", [True, False])
@given(box=st.tuples(sides(60), sides(60)), data=st.data())
@settings(max_examples=40)
def test_every_backend_equals_timm(inside, box, data):
    plan = make_plan(Resize(keep_ratio(*box, inside=inside), "bicubic", INSTALLED_ORDER))
    reference = ResizeKeepRatio(box, longest=float(inside), interpolation="bicubic")
    for _ in range(3):
        image = noise(data.draw(near(box[0], 90)), data.draw(near(box[1], 90)))
        expected = expected_size(*image.shape[:2], box, inside)
        if min(expected) and max(expected) < 2000:
            assert_everywhere(plan, image, first(np.asarray(reference(Image.fromarray(image)))))


@pytest.mark.parametrize("size", [(31, 80), (80, 31), (33, 80), (80, 33)])
@pytest.mark.parametrize("inside", [True, False])
def test_halves_go_to_the_even_side(inside, size):
    """Inside a box of 40x40, 80x31 would be 40x15.5 and 80x33 40x16.5."""
    image, box = noise(*size), (40, 40)
    plan = make_plan(Resize(keep_ratio(*box, inside=inside), "bilinear", INSTALLED_ORDER))
    expected = ResizeKeepRatio(box, longest=float(inside))(Image.fromarray(image))
    assert_everywhere(plan, image, first(np.asarray(expected)))


def test_an_image_of_which_no_pixel_would_be_left():
    image = noise(1, 100)
    with pytest.raises(ValueError, match="height and width must be > 0"):
        ResizeKeepRatio((40, 40), longest=1.0)(Image.fromarray(image))
    plan = make_plan(Resize(keep_ratio(40, 40, inside=True), "bilinear", INSTALLED_ORDER))
    with pytest.raises(InputError, match="an image of 1x100 would be resized to 0x40 by the rule 'fit_height 40, fit_"):
        backends(plan)["pil"](image[None])


@pytest.mark.parametrize("size", [(3, 3), (3, 9), (9, 3), (9, 9), (5, 6)])
def test_padding_to_at_least_a_size(size):
    image = noise(*size)
    top, left = max(5 - size[0], 0) // 2, max(6 - size[1], 0) // 2
    expected = np.full((max(5, size[0]), max(6, size[1]), 3), 7, np.uint8)
    expected[top : top + size[0], left : left + size[1]] = image
    assert_everywhere(make_plan(Pad(Size(min_height=5, min_width=6), (7.0,), centered=True)), image, first(expected))


@pytest.mark.parametrize(
    "keys", [("fit_height",), ("fit_height", "cover_width"), ("min_height", "min_width", "height")]
)
def test_half_a_rule_is_none(keys):
    with pytest.raises(ValueError, match="expected one of the key sets"):
        Size(**dict.fromkeys(keys, 5))
