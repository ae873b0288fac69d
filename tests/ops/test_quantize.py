"""Quantize against transformers' ImageGPT classes, in every backend."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.models.imagegpt.image_processing_imagegpt import color_quantize_torch
from transformers.models.imagegpt.image_processing_pil_imagegpt import color_quantize

from runtime.backends.torch import Preprocess
from runtime.colours import rounded_once
from runtime.ops import Normalize, Quantize, Resize
from runtime.ops.size import Size

from ..helpers import assert_equal, assert_everywhere, make_plan, noise

NORMALIZE = Normalize((127.5,) * 3, (127.5,) * 3)


def palette(colours, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).uniform(-1, 1, (colours, 3)).astype(dtype)


def quantize(colours, precision="float64"):
    return Quantize(tuple(map(float, np.ravel(colours))), precision)


def assert_quantized(image, colours, precision="float64"):
    """Every backend gives the class's indices."""
    pixels = NORMALIZE.reference(image)
    if precision == "float64":
        expected = color_quantize(pixels, np.asarray(colours, np.float64))
    else:
        clusters = torch.as_tensor(np.asarray(colours), dtype=torch.float32)
        expected = color_quantize_torch(torch.from_numpy(pixels.reshape(-1, 3)), clusters).numpy()
    plan = make_plan(NORMALIZE, quantize(colours, precision), output="input_ids")
    assert_everywhere(plan, image, {"input_ids": expected[None]})


@given(height=st.integers(4, 40), width=st.integers(4, 40), colours=st.sampled_from([1, 2, 11, 12, 64]))
@settings(max_examples=12)
@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_every_backend_equals_transformers(precision, height, width, colours):
    assert_quantized(noise(height, width), palette(colours), precision)


@pytest.mark.filterwarnings("ignore:.*encountered:RuntimeWarning")
@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_distances_that_are_no_numbers_are_the_least(precision):
    """As in NumPy and torch: pixels that a tiny deviation makes infinite have such distances to some colours."""
    colours = [[-1, -1, -1], [1, 1, 1], [1, 0, 1], [0, -1, 0]]
    tiny = Normalize((127.0,) * 3, (1.0, 1.0, 1e-45))
    far = tiny.reference(noise(9, 8)).reshape(-1, 3)
    assert np.isinf(far).any()
    if precision == "float64":
        expected = color_quantize(far, np.array(colours, np.float64))
    else:
        expected = color_quantize_torch(torch.from_numpy(far), torch.tensor(colours, dtype=torch.float32)).numpy()
    plan = make_plan(tiny, quantize(colours, precision), output="input_ids")
    assert_everywhere(plan, noise(9, 8), {"input_ids": expected[None]})


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("colours", [2, 11, 12, 120])
def test_many_pixels(colours, dtype, precision):
    assert_quantized(noise(90, 100), palette(colours, 1, dtype), precision)


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize(
    "colours",
    [
        list(itertools.permutations((-0.3, 0.1, 0.5))),
        [*itertools.permutations((-0.7, 0.2, 0.9)), *itertools.permutations((0.4, -0.1, 0.05))],
        list(itertools.product((-1, 0, 1), repeat=3)),
        [(0.1, 0.2, 0.3)] * 20,
    ],
    ids=len,
)
def test_equally_near_colours(colours, precision):
    # Gray pixels are as far from a colour as from its permutations; the last bit decides.
    gray = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=2)
    assert_quantized(gray, colours, precision)


def test_the_last_bit_matters():
    gray = NORMALIZE.reference(np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=2))
    found = quantize(list(itertools.permutations((-0.3, 0.1, 0.5)))).reference(gray)
    assert len(set(found.tolist())) > 1


@given(st.lists(st.floats(-1, 1, width=32), min_size=2, max_size=2), st.floats(-1, 1), st.floats(-2, 2))
@settings(max_examples=500)
def test_products_are_added_before_they_are_rounded(pixels, value, more):
    large = float(np.float32(value))
    pixel = float(pixels[0])
    got = float(rounded_once(np.float64(pixel * large), np.float64(pixel * (value - large)), np.float64(more)))
    exact = Fraction(pixel) * Fraction(value) + Fraction(more)
    if abs(exact) > 1e-250:  # float64 holds the tails of larger numbers only
        assert got == float(exact)


def test_a_sum_between_two_numbers():
    half = 2.0**-53
    for small, expected in ((0.0, 1.0), (2.0**-90, 1.0 + 2 * half), (-(2.0**-90), 1.0)):
        assert float(rounded_once(np.float64(half), np.float64(small), np.float64(1.0))) == expected
    for small, expected in ((0.0, 1.0 + 4 * half), (2.0**-90, 1.0 + 4 * half), (-(2.0**-90), 1.0 + 2 * half)):
        assert float(rounded_once(np.float64(half), np.float64(small), np.float64(1.0 + 2 * half))) == expected


def test_a_batch_and_a_compiled_module():
    plan = make_plan(
        Resize(Size(height=9, width=7), "bilinear", "pillow13"), NORMALIZE, quantize(palette(20)), output="input_ids"
    )
    images = np.stack([noise(30, 20, seed) for seed in range(3)])
    expected = np.stack([color_quantize(NORMALIZE.reference(plan.steps[0].reference(i)), palette(20)) for i in images])
    assert expected.shape == (3, 63)
    assert_everywhere(plan, images, {"input_ids": expected})
    torch._dynamo.reset()
    compiled = torch.compile(Preprocess(plan), fullgraph=True)
    assert_equal(compiled(torch.from_numpy(images))["input_ids"].numpy(), expected, "compiled")


@pytest.mark.parametrize("value", [(), (1.0, 2.0), (1.0, 2.0, math.nan), (1.0, 2.0, math.inf), (1e39, 0.0, 0.0)])
def test_a_palette_holds_colours(value):
    with pytest.raises(ValueError, match="palette: expected finite numbers, three for each colour"):
        Quantize(value)


def test_a_wrong_precision_is_refused():
    with pytest.raises(ValueError, match="precision: expected float64 or float32, got 'float16'"):
        Quantize((1.0, 2.0, 3.0), "float16")


@pytest.mark.parametrize(
    ("steps", "channels", "message"),
    [
        ((quantize(palette(2)),), 3, "works on float32, but comes on uint8"),
        ((NORMALIZE, quantize(palette(2)), NORMALIZE), 3, "quantize must be the last step"),
        ((Normalize((0.0,), (1.0,)), quantize(palette(2))), 1, "is for 3 channels, and the Plan is for 1"),
    ],
)
def test_where_it_stands(steps, channels, message):
    with pytest.raises(ValueError, match=message):
        make_plan(*steps, channels=channels)
