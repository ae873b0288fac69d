"""A JSON object that stays as it is."""

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.frozen import FrozenJson

values = st.dictionaries(
    st.text(),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    ),
)


@given(values)
def test_it_reads_as_what_it_was_made_of(given_values):
    frozen = FrozenJson(given_values)
    assert dict(frozen) == given_values
    assert len(frozen) == len(given_values)
    assert set(frozen) == set(given_values)


@given(values)
def test_copies_are_equal_and_hash_alike(given_values):
    frozen = FrozenJson(given_values)
    reversed_keys = FrozenJson(dict(reversed(list(given_values.items()))))
    for other in (FrozenJson(frozen), pickle.loads(pickle.dumps(frozen)), copy.deepcopy(frozen), reversed_keys):
        assert other == frozen
        assert hash(other) == hash(frozen)
    assert frozen != FrozenJson({**given_values, "one more": 1})


def test_nothing_that_it_was_made_of_or_gave_out_changes_it():
    source = {"size": {"height": 4}, "mean": [0.5]}
    frozen = FrozenJson(source)
    source["size"]["height"] = 5
    frozen["mean"].append(0.6)
    assert dict(frozen) == {"size": {"height": 4}, "mean": [0.5]}
    with pytest.raises(TypeError, match="does not support item assignment"):
        frozen["size"] = 3
    with pytest.raises(KeyError, match="none"):
        frozen["none"]


def test_tuples_become_lists_as_in_a_file():
    assert FrozenJson({"size": (1, 2)})["size"] == [1, 2]


def test_it_prints_as_json():
    assert repr(FrozenJson({"b": None, "a": [True]})) == '{"a": [true], "b": null}'


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, object()], ids=["nan", "inf", "set", "object"])
def test_what_json_cannot_hold(value):
    with pytest.raises((ValueError, TypeError)):
        FrozenJson({"key": value})


def test_another_mapping_is_another_thing():
    assert FrozenJson({}) != {}
