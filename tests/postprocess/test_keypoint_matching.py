"""Outputs of models that match two images, as every transformers class reads them."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st

from models import postprocess
from models.families import FAMILIES
from runtime import Plan
from runtime.postprocess import KeypointMatching

from ..helpers import assert_equal
from ..postprocessing import one, run_both, run_numpy

METHOD = "post_process_keypoint_matching"
SIZES = [(480, 640), (640, 480), (1, 1), (1, 3000), (2161, 1), (4001, 6007)]
MATCHERS = {
    name: post for name, family in FAMILIES.items() for post in family.postprocess if isinstance(post, KeypointMatching)
}


def test_every_family_that_transformers_has():
    theirs = {name for name in FAMILIES if hasattr(getattr(transformers, f"{name}ImageProcessor"), METHOD)}
    assert theirs == set(MATCHERS) == {"EfficientLoFTR", "LightGlue", "SuperGlue"}
    for name, post in MATCHERS.items():
        plan = Plan((), "pillow13", family=name, architecture=f"{name}ForKeypointMatching")
        assert postprocess.of_architecture(plan) == post


def outputs_of(name, pairs=3, keypoints=40, seed=0):
    """A model's outputs: masks with and without holes, and matches that do not exist."""
    random = np.random.default_rng((pairs, keypoints, seed))
    numbers = random.integers(0, keypoints + 1, (pairs, 2, 1))
    mask = np.arange(keypoints) < numbers
    mask[0] &= random.uniform(0, 1, (2, keypoints)) < 0.8
    outputs = {
        "keypoints": random.uniform(0, 1, (pairs, 2, keypoints, 2)).astype(np.float32),
        "matches": random.integers(-1, keypoints, (pairs, 2, keypoints)),
        "matching_scores": random.uniform(0, 1, (pairs, 2, keypoints)).astype(np.float32).round(1),
    }
    return outputs if name == "EfficientLoFTR" else {**outputs, "mask": mask.astype(np.int32)}


def transformers_result(name, outputs, size, **options):
    """A list of dicts of arrays, one a pair."""
    tensors = SimpleNamespace(**{key: torch.from_numpy(value) for key, value in outputs.items()})
    processor = getattr(transformers, f"{name}ImageProcessor")()
    results = processor.post_process_keypoint_matching(tensors, [(size, size)] * len(outputs["matches"]), **options)
    return [{key: value.numpy() for key, value in result.items()} for result in results]


def assert_results(name, results, outputs, size, **options):
    """How many matches there are."""
    count = 0
    for i, want in enumerate(transformers_result(name, outputs, size, **options)):
        got = MATCHERS[name].result(one(results, i), [], **options)
        assert list(got) == list(want)
        for key, value in want.items():
            assert_equal(got[key], value, f"{name}, {key} of pair {i} at {size}")
        count += len(got["matching_scores"])
    return count


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", MATCHERS)
def test_equal_to_transformers(name, size):
    outputs = outputs_of(name)
    results = run_both(MATCHERS[name], outputs, size)
    every = assert_results(name, results, outputs, size)
    # A tenth is no float32: scores of it are not above it, as torch compares them.
    assert 0 < assert_results(name, results, outputs, size, threshold=0.1) < every


@pytest.mark.parametrize("name", MATCHERS)
@given(st.integers(1, 20_000), st.integers(1, 20_000), st.integers(0, 2**31))
def test_any_size(name, height, width, seed):
    outputs = outputs_of(name, 2, 6, seed)
    assert_results(name, run_numpy(MATCHERS[name], outputs, (height, width)), outputs, (height, width))


@pytest.mark.parametrize("name", ["LightGlue", "SuperGlue"])
def test_matches_that_are_out_of_bounds(name):
    outputs = outputs_of(name)
    outputs["matches"][:, :, ::2] += 1000
    assert assert_results(name, run_both(MATCHERS[name], outputs), outputs, (30, 40)) > 0


@pytest.mark.parametrize("name", ["LightGlue", "SuperGlue"])
def test_an_image_without_keypoints(name):
    outputs = outputs_of(name, pairs=1)
    outputs["mask"][:, 1] = 0
    assert assert_results(name, run_both(MATCHERS[name], outputs), outputs, (30, 40)) == 0


def test_other_dtypes():
    outputs = outputs_of("LightGlue")
    narrow = {**outputs, "matches": outputs["matches"].astype(np.int32), "mask": outputs["mask"].astype(np.int64)}
    results = run_both(KeypointMatching(), narrow)
    assert assert_results("LightGlue", results, outputs, (30, 40)) > 0


def test_what_it_refuses():
    with pytest.raises(ValueError, match="threshold: expected 0 to 1, got 2"):
        KeypointMatching(threshold=2)
