"""Grayscale against transformers' two versions of it, in every backend."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from transformers.models.superpoint import image_processing_pil_superpoint as pil
from transformers.models.superpoint import image_processing_superpoint as torchvision

from runtime.backends.torch import Preprocess
from runtime.ops import Grayscale, Normalize, Rescale, Resize
from runtime.ops.size import Size

from ..helpers import assert_equal, assert_everywhere, first, make_plan, noise, sides

TO_FLOATS = Rescale(1 / 255)
needs_fma = pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"), reason="torch rounds products otherwise here"
)


def expected_gray(images, fused):
    """``[N, C, H, W]``, each image on its own: in a batch, torchvision's class converts gray ones too."""
    if fused:
        return np.stack([torchvision.convert_to_grayscale(torch.from_numpy(image)).numpy() for image in images])
    return np.stack([pil.convert_to_grayscale(image) for image in images])


def gray(height, width):
    return np.repeat(noise(height, width)[..., :1], 3, axis=-1)


CASES = [
    pytest.param(False, (TO_FLOATS,), id="pil"),
    pytest.param(True, (TO_FLOATS,), id="torchvision", marks=needs_fma),
    pytest.param(True, (), id="torchvision-uint8", marks=needs_fma),
]


@pytest.mark.parametrize(("fused", "before"), CASES)
@given(height=sides(60), width=sides(60))
def test_every_backend_equals_transformers(fused, before, height, width):
    images = np.stack([noise(height, width, seed) for seed in range(2)])
    floats = [TO_FLOATS.reference(image) if before else image for image in images]
    assert_everywhere(make_plan(*before, Grayscale(fused)), images, expected_gray(first(*floats), fused))


@pytest.mark.parametrize(("fused", "before"), CASES)
def test_a_gray_image_stays_as_it_is_and_the_others_of_its_batch_do_not(fused, before):
    almost = gray(9, 8)
    almost[4, 5, 1] += 1
    images = np.stack([gray(9, 8), almost, noise(9, 8)])
    floats = first(*(TO_FLOATS.reference(image) if before else image for image in images))
    expected = expected_gray(floats, fused)
    assert_equal(expected[0], floats[0], "gray")
    assert (expected[1] != floats[1]).mean() > 0.1
    assert_everywhere(make_plan(*before, Grayscale(fused)), images, expected)


@pytest.mark.parametrize(("fused", "before"), CASES)
@pytest.mark.slow
def test_every_colour(fused, before):
    colours = np.array(list(itertools.product(range(256), repeat=3)), np.uint8).reshape(16, 1024, 1024, 3)
    for part in colours:
        floats = TO_FLOATS.reference(part) if before else part
        assert_everywhere(make_plan(*before, Grayscale(fused)), part, expected_gray(first(floats), fused))


@pytest.mark.parametrize(("fused", "before"), CASES)
def test_compiled(fused, before):
    torch._dynamo.reset()
    plan = make_plan(*before, Grayscale(fused))
    compiled = torch.compile(Preprocess(plan), fullgraph=True)
    for height, width in ((64, 50), (50, 64), (1, 9)):
        images = np.stack([noise(height, width), gray(height, width)])
        floats = first(*(TO_FLOATS.reference(image) if before else image for image in images))
        got = compiled(torch.from_numpy(images).permute(0, 3, 1, 2))["pixel_values"]
        assert_equal(got.numpy(), expected_gray(floats, fused), f"{height}x{width}")


@pytest.mark.parametrize(
    "steps",
    [
        (Grayscale(True), Resize(Size(height=9, width=8), "bilinear", "pillow12.1", "torchvision")),
        (Resize(Size(height=9, width=8), "bilinear", "pillow13"), TO_FLOATS, Grayscale(False)),
        (TO_FLOATS, Grayscale(False), Normalize((1.0, 2.0, 3.0), (4.0, 5.0, 6.0))),
    ],
    ids=lambda steps: "-".join(type(step).__name__ for step in steps),
)
def test_among_other_steps(steps):
    image = expected = noise(12, 14)
    for step in steps:
        expected = step.reference(np.ascontiguousarray(expected))
    assert_everywhere(make_plan(*steps), image, first(expected))


@pytest.mark.parametrize("channels", [1, 4])
def test_it_is_for_three_channels(channels):
    with pytest.raises(ValueError, match=f"'convert to gray' is for 3 channels, and the Plan is for {channels}"):
        make_plan(Grayscale(False), channels=channels)
