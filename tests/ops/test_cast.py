"""Cast against NumPy and torch, in every backend."""

import numpy as np
import pytest
import torch

from runtime.ops import Cast, CenterCrop, Normalize, Pad, Rescale
from runtime.ops.size import Size

from ..helpers import assert_equal, assert_everywhere, first, make_plan, noise

FLOATS = [Rescale(1 / 255)], [Rescale(1 / 255), Normalize((0.48, 0.46, 0.41), (0.27, 0.26, 0.28))]


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("before", FLOATS, ids=len)
def test_every_backend_rounds_as_torch(before, dtype):
    image = expected = noise(40, 30)
    for step in before:
        expected = step.reference(expected)
    expected = torch.from_numpy(expected).to(getattr(torch, dtype)).numpy()
    assert_everywhere(make_plan(*before, Cast(dtype)), image, first(expected))


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_pixels_become_floats(dtype):
    image = noise(4, 5)
    assert_everywhere(make_plan(Cast(dtype)), image, first(image.astype(dtype)))


def test_ties_round_to_even():
    # 1 + 2**-11 and 1 + 3 * 2**-11 lie between two float16.
    values = np.array([1 + 2**-11, 1 + 3 * 2**-11, 1 + 2**-11 + 2**-20], np.float32)
    expected = np.array([1.0, 1 + 2**-9, 1 + 2**-10], np.float16)
    assert_equal(Cast("float16").reference(values), expected, "float16")


def test_float16_is_padded_in_float16():
    image = noise(4, 5)
    expected = np.full((1, 3, 6, 7), 0.1, np.float16)
    expected[:, :, :4, :5] = first(Rescale(1 / 255).reference(image)).astype(np.float16)
    assert_everywhere(
        make_plan(Rescale(1 / 255), Cast("float16"), Pad(Size(height=6, width=7), (0.1,))), image, expected
    )


def test_cast_behind_a_crop():
    image = noise(4, 5)
    expected = CenterCrop(6, 3).reference(image).astype(np.float16)
    assert_everywhere(make_plan(CenterCrop(6, 3), Cast("float16")), image, first(expected))


@pytest.mark.parametrize("dtype", ["float64", "uint8", "half", "", None, np.float32])
def test_other_dtypes_are_refused(dtype):
    with pytest.raises(ValueError, match="dtype: expected one of float32, float16, got "):
        Cast(dtype)
