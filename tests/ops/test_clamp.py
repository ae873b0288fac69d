"""Clamp against torch, on pixels and on floats."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime import Plan
from runtime.ops import Clamp, FlipChannels, Normalize, Rescale

from ..helpers import assert_everywhere, first, make_plan, noise

NORMALIZE = Normalize((0.4, 0.5, 0.6), (0.2, 0.3, 0.4))
bounds = st.floats(-300, 300, width=32)


@given(one=bounds, other=bounds)
@settings(max_examples=20)
def test_every_backend_equals_torch(one, other):
    step = Clamp(min(one, other), max(one, other))
    image = noise(5, 7)
    expected = torch.from_numpy(first(image)).float().clamp(step.low, step.high).numpy()
    assert_everywhere(make_plan(step), image, expected)
    floats = NORMALIZE.reference(image)[..., ::-1]
    expected = torch.tensor(first(floats)).clamp(step.low, step.high).numpy()
    assert_everywhere(make_plan(NORMALIZE, FlipChannels(), step), image, expected)


@pytest.mark.parametrize("high", [1.0, 0.5, 255 * (1 / 255), 0.1])
def test_bounds_are_float32(high):
    image = noise(5, 7)
    expected = torch.from_numpy(first(Rescale(1 / 255).reference(image))).clamp(0, high).numpy()
    assert_everywhere(make_plan(Rescale(1 / 255), Clamp(0.0, high)), image, expected)


def test_plans_come_back():
    plan = make_plan(Clamp(-1.5, 2))
    assert Plan.from_json(plan.to_json()) == plan
    assert str(plan) == "1. clamp to -1.5 … 2"


def test_the_result_is_float32():
    for dtype in (np.uint8, np.float16, np.float32, np.float64):
        assert Clamp(0, 1).reference(np.ones((2, 2, 3), dtype)).dtype == np.float32


@pytest.mark.parametrize(
    ("low", "high"),
    [(1.0, 0.5), (math.nan, 1.0), (0.0, math.nan), (-math.inf, 1.0), (0.0, math.inf), (0.0, 1e39), (-1e39, 0.0)],
)
def test_wrong_bounds_are_refused(low, high):
    with pytest.raises(ValueError, match="expected finite numbers, low <= high, got low "):
        Clamp(low, high)
