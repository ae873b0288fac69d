"""FlipChannels against transformers, in every backend."""

import numpy as np
import pytest
from hypothesis import given
from transformers.image_transforms import flip_channel_order
from transformers.image_utils import ChannelDimension

from runtime.ops import FlipChannels, Normalize, Rescale, Resize
from runtime.ops.size import Size

from ..helpers import assert_equal, assert_everywhere, first, make_plan, noise, sides


def flip(image):
    return flip_channel_order(image, input_data_format=ChannelDimension.LAST)


@given(height=sides(60), width=sides(60))
def test_every_backend_equals_transformers(height, width):
    image = noise(height, width)
    assert_equal(FlipChannels().reference(image), flip(image), "reference")
    assert_everywhere(make_plan(FlipChannels()), image, first(flip(image)))


NORMALIZE = Normalize((1.0, 2.0, 3.0), (4.0, 5.0, 6.0))
RESIZE = Resize(Size(height=9, width=8), "bilinear", "pillow13")


@pytest.mark.parametrize(
    "steps",
    [
        (FlipChannels(), NORMALIZE),
        (NORMALIZE, FlipChannels()),
        (Rescale(1 / 255), FlipChannels()),
        (RESIZE, FlipChannels()),
        (FlipChannels(), RESIZE),
        (RESIZE, FlipChannels(), NORMALIZE),
        (FlipChannels(), FlipChannels()),
    ],
    ids=lambda steps: "-".join(type(step).__name__ for step in steps),
)
def test_the_order_of_steps_counts(steps):
    image = expected = noise(12, 14)
    for step in steps:
        expected = flip(expected) if isinstance(step, FlipChannels) else step.reference(np.ascontiguousarray(expected))
    assert_everywhere(make_plan(*steps), image, first(expected))
