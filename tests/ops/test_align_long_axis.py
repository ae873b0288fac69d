"""Turning images whose long side lies across, against transformers, in every backend."""

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.image_utils import SizeDict

from runtime.backends.torch import Preprocess
from runtime.ops import AlignLongAxis, Pad, Rescale, Resize
from runtime.ops.size import Size

from ..helpers import assert_equal, assert_everywhere, first, make_plan, noise, sides

BOXES = {True: SizeDict(height=50, width=49), False: SizeDict(height=3, width=40)}
"""By whether they are portrait: only that counts."""


def expected(image, portrait):
    """transformers turns channels-first arrays; ``[1, C, h, w]``."""
    return transformers.DonutImageProcessorPil.align_long_axis(None, first(image)[0], BOXES[portrait])[None]


@given(height=sides(60), width=sides(60), portrait=st.booleans())
@settings(max_examples=60)
def test_every_backend_equals_transformers(height, width, portrait):
    image = noise(height, width)
    assert_everywhere(make_plan(AlignLongAxis(portrait)), image, expected(image, portrait))


@pytest.mark.parametrize("size", [(7, 5), (5, 7), (6, 6), (1, 9)])
@pytest.mark.parametrize("portrait", [True, False])
def test_among_other_steps(portrait, size):
    image = noise(*size)
    want = expected(Rescale(0.5).reference(image), portrait)
    assert_everywhere(make_plan(Rescale(0.5), AlignLongAxis(portrait)), image, want)
    resize = Resize(Size(shortest_edge=4), "bilinear", "pillow13")
    resized = resize.reference(np.moveaxis(expected(image, portrait)[0], 0, -1))
    pad = Pad(Size(height=40, width=40), centered=True)
    assert_everywhere(make_plan(AlignLongAxis(portrait), resize, pad), image, first(pad.reference(resized)))


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
@pytest.mark.parametrize("size", [(7, 5), (5, 7), (6, 6)])
def test_in_either_layout_and_for_one_size(size, layout):
    image, resize = noise(*size), Resize(Size(height=3, width=4), "bilinear", "pillow13")
    want = first(resize.reference(np.moveaxis(expected(image, False)[0], 0, -1)))
    for input_size in (None, size):
        plan = make_plan(AlignLongAxis(False), resize, layout=layout, input_size=input_size)
        assert_everywhere(plan, image, want)


@pytest.mark.parametrize("channels", [1, 4])
def test_other_channels_and_batches(channels):
    images = np.stack([noise(5, 8, seed, channels) for seed in range(3)])
    want = np.concatenate([expected(image, True) for image in images])
    assert_everywhere(make_plan(AlignLongAxis(True), channels=channels), images, want)


def test_compiled_once_for_both_orientations():
    torch._dynamo.reset()
    graphs = []

    def compiler(graph, _):
        graphs.append(graph)
        return graph.forward

    compiled = torch.compile(Preprocess(make_plan(AlignLongAxis(True))), fullgraph=True, dynamic=True, backend=compiler)
    for size in ((5, 8), (8, 5), (6, 6), (9, 40)):
        image = noise(*size)
        got = compiled(torch.from_numpy(first(image)))["pixel_values"]
        assert_equal(got, expected(image, True), size)
    assert len(graphs) == 1


def test_the_size_is_known():
    step = AlignLongAxis(True)
    assert [step.output_size(*size) for size in ((3, 5), (5, 3), (4, 4))] == [(5, 3), (5, 3), (4, 4)]
    assert AlignLongAxis(False).output_size(5, 3) == (3, 5)


def test_its_text():
    assert str(AlignLongAxis(True)) == "turn landscape images by 90 degrees"
    assert str(AlignLongAxis(False)) == "turn portrait images by 90 degrees"


@pytest.mark.parametrize("value", [1, 0, None, "yes"])
def test_wrong_values_are_refused(value):
    with pytest.raises(ValueError, match="portrait: expected true or false, got "):
        AlignLongAxis(value)
