"""The blurred resize against OWLv2's processors, in every backend."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers import Owlv2ImageProcessor, Owlv2ImageProcessorPil

from runtime import Plan, interpolation
from runtime.lowering import lower
from runtime.ops import ConvertRGB, Pad, Rescale, ResizeSmoothed
from runtime.ops.size import Size

from ..helpers import backends, make_plan, near, noise

PROCESSORS = {"scipy": Owlv2ImageProcessorPil, "torchvision": Owlv2ImageProcessor}
TARGETS = [(20, 20), (16, 33), (33, 16), (4, 4)]
"""Squares, and sizes that give each axis a blur of its own; 4 is the smallest."""


@pytest.fixture(autouse=True, scope="module")
def two_threads():
    """As in the tests of Interpolate."""
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


def smoothed_plan(library, target, blur=True, padded=True):
    rescale = Rescale(1 / 255, precision="float64" if library == "scipy" else "float32")
    size = Size(height=target[0], width=target[1])
    return make_plan(rescale, *([Pad(Size(square=1))] if padded else []), ResizeSmoothed(size, library, blur))


def expected(library, target, image, **settings):
    size = {"height": target[0], "width": target[1]}
    processor = PROCESSORS[library](size=size, do_normalize=False, **settings)
    return np.asarray(processor(Image.fromarray(image), return_tensors="np")["pixel_values"])


def assert_near(plan, image, want):
    """Values from 0 to 1, so that the bound is absolute."""
    for name, run in backends(plan).items():
        got = run(image[None])["pixel_values"]
        assert (got.dtype, got.shape) == (np.float32, want.shape), name
        error = np.abs(got - want).max()
        assert error <= ResizeSmoothed.bound, f"{name}, {image.shape[:2]}: {error}"


@pytest.mark.parametrize("target", TARGETS, ids=str)
@pytest.mark.parametrize("library", PROCESSORS)
@given(data=st.data())
@settings(max_examples=20)
def test_every_backend_equals_transformers(library, target, data):
    image = noise(data.draw(near(target[0], 120)), data.draw(near(target[1], 120)))
    assert_near(smoothed_plan(library, target), image, expected(library, target, image))


@pytest.mark.parametrize("target", TARGETS, ids=str)
@given(data=st.data())
@settings(max_examples=20)
def test_images_that_are_not_square(target, data):
    # Three rows or columns are taken for channels there.
    sides = (
        near(target[0], 120).filter(lambda n: n not in (1, 3)),
        near(target[1], 120).filter(lambda n: n not in (1, 3)),
    )
    image = noise(*map(data.draw, sides))
    plan = smoothed_plan("scipy", target, padded=False)
    assert_near(plan, image, expected("scipy", target, image, do_pad=False))


@given(height=near(20, 120), width=near(20, 120))
@settings(max_examples=20)
def test_without_a_blur(height, width):
    # transformers passes ``resample`` on as ``anti_aliasing``.
    image = noise(height, width)
    assert_near(smoothed_plan("scipy", (20, 20), blur=False), image, expected("scipy", (20, 20), image, resample=0))


def test_the_blur_counts():
    image = noise(97, 97)
    got = [
        backends(smoothed_plan("scipy", (20, 20), blur))["pil"](image[None])["pixel_values"] for blur in (True, False)
    ]
    assert np.abs(got[0] - got[1]).max() > 0.3


@pytest.mark.parametrize("library", PROCESSORS)
def test_blocks_change_no_value(library):
    for sizes in ((97, 97, 20, 20), (20, 20, 97, 97), (50, 50, 9, 31), (1, 1, 5, 5)):
        matrices = []
        for block in (1, 8, 16):
            axes = interpolation.smoothed_axes(*sizes, library, True, block)
            matrices.append(
                [dense(*axis, *ends) for axis, ends in zip(axes, zip(sizes[:2], sizes[2:], strict=True), strict=True)]
            )
        for other in matrices[1:]:
            assert all(np.abs(a - b).max() < 1e-7 for a, b in zip(matrices[0], other, strict=True))
        assert all(np.abs(axis.sum(1) - 1).max() < 1e-6 for axis in matrices[0])


def dense(start, weights, n_in, n_out):
    """All weights, ``[n_out, n_in]``."""
    matrix = np.zeros((weights.shape[0] * weights.shape[1], n_in))
    for i, first in enumerate(start.astype(int)):
        matrix[i * weights.shape[1] : (i + 1) * weights.shape[1], first : first + weights.shape[2]] += weights[i]
    return matrix[:n_out]


def test_a_plan_keeps_it_and_says_so():
    plan = smoothed_plan("torchvision", (20, 30), blur=False)
    assert Plan.from_json(plan.to_json()) == plan
    assert plan.bound == ResizeSmoothed.bound
    assert str(plan.steps[-1]) == "resize to 20x30, linear, no blur, within 2e-06 of torchvision"
    assert str(smoothed_plan("scipy", (20, 30)).steps[-1]).startswith("resize to 20x30, linear, blurred before, ")


@pytest.mark.parametrize("size", [Size(height=3, width=9), Size(height=9, width=1), Size(shortest_edge=9)], ids=str)
def test_sizes_that_are_refused(size):
    with pytest.raises(ValueError, match=f"size: expected height and width of at least 4 pixels, got {size}"):
        ResizeSmoothed(size, "scipy")


def test_other_refusals():
    size = Size(height=9, width=9)
    with pytest.raises(ValueError, match="library: expected one of scipy, torchvision, got 'opencv'"):
        ResizeSmoothed(size, "opencv")
    with pytest.raises(ValueError, match=r"'resize to 9x9, linear, .*' works on float32, .*, but comes on uint8"):
        lower((ConvertRGB(), ResizeSmoothed(size, "scipy")))
