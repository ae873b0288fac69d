"""Runs of element-wise steps as one table."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from runtime.lowering import lower
from runtime.ops import Cast, Normalize, Rescale, table_torch
from runtime.ops.table import Table, apply

from ..helpers import assert_equal, assert_everywhere, first, make_plan

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
RUNS = [
    (Rescale(1 / 255),),
    (Rescale(1 / 255, 1.0), Normalize(MEAN, STD)),
    (Normalize(MEAN, STD), Rescale(1 / 255)),
    (Rescale(1 / 255), Normalize(MEAN, STD), Cast("float16")),
    (Cast("float16"), Rescale(1 / 3)),
    (Rescale(1 / 3), Rescale(1 / 7), Rescale(1 / 11)),
    (Cast("float32"),),
    (Cast("float16"), Cast("float32")),
    (Rescale(1.0),),
]


def every_value():
    """Every uint8 in every channel: ``[256, 1, 3]``."""
    return np.repeat(np.arange(256, dtype=np.uint8)[:, None, None], 3, axis=2)


@pytest.mark.parametrize("steps", RUNS, ids=lambda steps: "-".join(type(step).__name__ for step in steps))
def test_every_backend_looks_up_what_the_steps_give(steps):
    assert lower(steps) == (Table(steps),)
    expected = every_value()
    for step in steps:
        expected = step.reference(expected)
    assert_equal(apply(steps, every_value()), expected, "apply")
    assert_equal(Table(steps).values(), first(expected)[0, :, :, 0], "values")
    assert_everywhere(make_plan(*steps), every_value(), first(expected))


def test_torch_looks_nothing_up_for_a_cast(monkeypatch):
    monkeypatch.delattr(table_torch, "lookup")
    image = torch.from_numpy(first(every_value()))
    values = table_torch.TableModule(Table((Cast("float16"),)))(image)
    assert_equal(values, image.numpy().astype(np.float16), "cast")
    with pytest.raises(NameError):
        table_torch.TableModule(Table((Rescale(0.5),)))(image)


def test_channels_have_rows_of_their_own():
    values = Table((Normalize((0.0, 1.0, 2.0), (1.0, 2.0, 4.0)),)).values()
    assert values.tolist() == [[(v - mean) / std for v in range(256)] for mean, std in ((0, 1), (1, 2), (2, 4))]


@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=5), st.integers(0, 5))
def test_any_run_of_rescales(factors, flip):
    steps = tuple(Rescale(factor, float(flip == i)) for i, factor in enumerate(factors))
    expected = every_value()
    for step in steps:
        expected = step.reference(expected)
    assert_everywhere(make_plan(*steps), every_value(), first(expected))
