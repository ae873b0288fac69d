"""Features beside transformers' BatchFeature: whatever one does with a result, both do the same."""

import copy
import json
import pickle
import sys
from collections.abc import MutableMapping

import numpy as np
import pytest
import torch
from transformers import BatchFeature

from runtime import BackendUnavailable, Features, Preprocessor

from .helpers import assert_equal, make_plan, noise

VALUES = {
    "pixel_values": torch.linspace(-1, 1, 6).reshape(2, 3),
    "pixel_mask": torch.ones(2, dtype=torch.int64),
    "half": torch.ones(2, dtype=torch.float16),
    "array": np.ones(2),
    "list": [torch.ones(2), torch.zeros(3, dtype=torch.int64)],
    "nested": ([torch.ones(1)], "text"),
    "names": ["a", "b"],
}


class Own(list):
    """A caller's list."""


def fresh(kind):
    return kind({name: copy.deepcopy(value) for name, value in VALUES.items()})


def described(value):
    """Types, dtypes, devices and numbers, for comparing."""
    if isinstance(value, torch.Tensor):
        numbers = None if value.device.type == "meta" else value.tolist()
        return "tensor", value.dtype, value.device, tuple(value.shape), numbers
    if isinstance(value, np.ndarray):
        return "array", value.dtype, value.tolist()
    if isinstance(value, (list, tuple)):
        return type(value), [described(item) for item in value]
    if isinstance(value, (Features, BatchFeature)):
        return "features", {name: described(item) for name, item in value.items()}
    if isinstance(value, dict):
        return "dict", {name: described(item) for name, item in value.items()}
    return value


def moved(*args, **kwargs):
    def action(features):
        result = features.to(*args, **kwargs)
        assert result is features  # both change the features themselves
        return result

    return action


def converted(*args, only=None, **kwargs):
    def action(features):
        for name in [name for name in features if only is not None and name not in only]:
            del features[name]
        result = features.convert_to_tensors(*args, **kwargs)
        assert result is features
        return result

    return action


def with_lists(kind):
    return lambda features: type(features)(
        {
            "arrays": [np.ones((2, 3), np.float32), np.zeros((2, 3), np.float32)],
            "pairs": [[np.ones(2)] * 3] * 2,
            "tensors": (torch.ones(2), torch.zeros(2)),
            "numbers": [1, 2],
            "floats": [[0.5, 1.5]],
            "scalar": 3,
            **({"empty": []} if kind == "pt" else {}),  # of which transformers makes no array
            "text": "text",
            "texts": ["a", "b"],
            "nothing": None,
        }
    ).convert_to_tensors(kind)


def assigned(features):
    features["more"] = 5
    features.data["yet"] = 6
    del features["array"]
    return features


ACTIONS = {
    "to nothing": moved(),
    "to a device": moved("cpu"),
    "to a torch.device": moved(torch.device("cpu")),
    "to device=": moved(device="cpu"),
    "to meta": moved("meta"),
    "to a dtype": moved(torch.float16),
    "to dtype=": moved(dtype=torch.float64),
    "to a device and a dtype": moved("meta", torch.float16),
    "to device= and dtype=": moved(device="cpu", dtype=torch.bfloat16),
    "to non_blocking": moved("cpu", non_blocking=True),
    "to all three": moved("cpu", torch.float64, True),
    "to a dtype, not blocking": moved(torch.float16, True),
    "to a dtype, blocking": moved(torch.float16, False),
    "to lists of other types": lambda features: (
        features.update(own=Own([torch.zeros(2)]), inner=[Own([torch.zeros(2)])]) or features.to(torch.float16)
    ),
    "to what is no device": lambda features: features.to(5.0),
    "to an array": lambda features: features.to(np.float32),
    "to two dtypes": lambda features: features.to(torch.float32, torch.float16),
    "to a device there is none of": lambda features: features.to("nowhere"),
    "to the ordinal of a device": lambda features: features.to(99),
    "to a memory format": moved("cpu", memory_format=torch.contiguous_format),
    "to a copy": moved("cpu", copy=True),
    "to what no tensor knows": moved("cpu", colour="red"),
    "convert to nothing": converted(),
    "convert to None": converted(None),
    "convert to np": converted("np", only=("pixel_values", "array", "names")),
    "convert to pt": converted("pt", only=("pixel_values", "array", "names")),
    "convert to np but some": converted("np", ["list", "nested"]),
    "convert to pt but some": converted(tensor_type="pt", skip_tensor_conversion={"list", "nested"}),
    "convert lists to np": with_lists("np"),
    "convert lists to pt": with_lists("pt"),
    "convert to another": converted("tf"),
    "convert lists of different sizes to np": converted("np", only=("list",)),
    "convert lists of different sizes to pt": converted("pt", only=("list",)),
    "an attribute in place of an output": lambda features: (
        setattr(features, "pixel_mask", 5),
        features.pixel_mask,
        features["pixel_mask"],
    ),
    "repr": lambda features: repr(type(features)({"a": [1]})),
    "a name": lambda features: features["pixel_values"],
    "another name": lambda features: features["missing"],
    "a number": lambda features: features[0],
    "a slice": lambda features: features[0:1],
    "an attribute": lambda features: features.pixel_mask,
    "another attribute": lambda features: features.missing,
    "hasattr": lambda features: (hasattr(features, "pixel_mask"), hasattr(features, "missing")),
    "getattr": lambda features: getattr(features, "missing", 5),
    "get": lambda features: (features.get("names"), features.get("missing"), features.get("missing", 5)),
    "in": lambda features: ("names" in features, "missing" in features, 0 in features),
    "len": len,
    "list": list,
    "keys": lambda features: list(features.keys()),
    "values": lambda features: list(features.values()),
    "items": lambda features: dict(features.items()),
    "two stars": lambda features: dict(**features),
    "data": lambda features: dict(features.data),
    "other data": lambda features: (setattr(features, "data", {"names": 1, "more": 2}), dict(features), features.more),
    "popitem": lambda features: (features.popitem(), features.popitem(), list(features)),
    "popitem of none": lambda features: (features.clear(), features.popitem()),
    "pop": lambda features: (features.pop("names"), list(features)),
    "assignment": assigned,
    "update": lambda features: features.update({"more": 5}) or features,
    "copy": lambda features: features.copy(),
    "copy.copy": copy.copy,
    "copy.deepcopy": copy.deepcopy,
    "pickle": lambda features: pickle.loads(pickle.dumps(features)),
    "|": lambda features: features | {"names": 1, "more": 2},
    "| from the right": lambda features: {"names": 1, "more": 2} | features,
    "|=": lambda features: features.__ior__({"more": 2}),
    "| of a number": lambda features: features | 5,
    "a mapping": lambda features: isinstance(features, MutableMapping),
}


@pytest.mark.parametrize("name", ACTIONS)
def test_as_transformers_features(name):
    def outcome(kind):
        try:
            return described(ACTIONS[name](fresh(kind)))
        except Exception as error:
            return type(error)

    assert outcome(Features) == outcome(BatchFeature)


def test_some_actions_fail_and_most_do_not():
    failed = set()
    for name, action in ACTIONS.items():
        try:
            action(fresh(Features))
        except Exception:
            failed.add(name)
    assert {"a number", "a slice", "another name", "to what is no device"} <= failed
    assert len(failed) == 15


@pytest.mark.parametrize("item", [0, slice(0, 1), None, ("pixel_values",)])
def test_outputs_are_found_by_name_alone(item):
    with pytest.raises(KeyError, match=r"outputs are found by their names, pixel_values, .*; got "):
        fresh(Features)[item]


def test_errors_of_attributes_name_the_outputs():
    with pytest.raises(AttributeError, match="no output is named 'missing'; there are: pixel_values, pixel_mask,"):
        _ = fresh(Features).missing


def test_errors_of_devices():
    with pytest.raises(ValueError, match=r"expected a device or a dtype of torch, got 5\.0"):
        fresh(Features).to(5.0)


def test_errors_of_conversions(monkeypatch):
    with pytest.raises(ValueError, match="tensor_type: expected 'np', 'pt' or None, got 'tf'"):
        fresh(Features).convert_to_tensors("tf")
    for kind in ("np", "pt"):
        with pytest.raises(ValueError, match=r"^list: cannot be one tensor: "):
            fresh(Features).convert_to_tensors(kind)
    # Of these transformers makes an array of objects.
    ragged = {"a": [np.ones(2), np.ones(3)]}
    assert BatchFeature(ragged).convert_to_tensors("np")["a"].dtype == object
    with pytest.raises(ValueError, match=r"^a: cannot be one tensor: "):
        Features(ragged).convert_to_tensors("np")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(BackendUnavailable, match="tensor_type='pt' needs torch: pip install torch"):
        Features({"a": [1]}).convert_to_tensors("pt")


def test_it_is_a_dict():
    assert isinstance(fresh(Features), dict)
    assert json.loads(json.dumps(Features({"a": [1]}))) == {"a": [1]}


def test_copies_are_of_their_own():
    features = fresh(Features)
    for twin in (features.copy(), copy.copy(features), features | {}):
        assert type(twin) is Features
        twin["pixel_values"] = None
        assert features.pixel_values is not None
    assert copy.copy(features).pixel_values is features.pixel_values
    assert copy.deepcopy(features).pixel_values is not features.pixel_values


def test_attributes_and_keys_are_the_same_objects():
    features = fresh(Features)
    assert features.pixel_values is features["pixel_values"] is features.data["pixel_values"]


def test_torch_collates_and_pins_features():
    from torch.utils.data import default_collate

    tensors = {"pixel_values": torch.ones(2, 3)}
    batch = default_collate([Features(tensors), Features(tensors)])
    assert type(batch) is Features
    assert batch.pixel_values.shape == (2, 2, 3)


@pytest.mark.parametrize("return_tensors", ["np", "pt", None])
def test_a_call_gives_features(return_tensors):
    out = Preprocessor(make_plan(), "pil")([noise(5, 6)] * 2, return_tensors=return_tensors)
    assert type(out) is Features
    assert_equal(np.stack(list(out["pixel_values"])), np.stack([noise(5, 6).transpose(2, 0, 1)] * 2), "pixel_values")
