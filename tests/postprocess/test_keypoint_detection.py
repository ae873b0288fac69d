"""SuperPoint's outputs as its transformers class reads them."""

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
from runtime.postprocess import KeypointDetection

from ..helpers import assert_equal
from ..postprocessing import one, run_both, run_numpy

METHOD = "post_process_keypoint_detection"
SIZES = [(480, 640), (640, 480), (1, 1), (1, 3000), (2161, 1), (4001, 6007)]


def outputs_of(batch=3, keypoints=40, seed=0):
    """A model's outputs; the images have different numbers of keypoints, one of them none."""
    random = np.random.default_rng((batch, keypoints, seed))
    numbers = random.integers(0, keypoints + 1, (batch, 1))
    numbers[0], numbers[-1] = 0, keypoints
    mask = (np.arange(keypoints) < numbers).astype(np.int32)
    outputs = {
        "keypoints": random.uniform(0, 1, (batch, keypoints, 2)) * mask[..., None],
        "scores": random.uniform(0, 1, (batch, keypoints)) * mask,
        "descriptors": random.standard_normal((batch, keypoints, 16)) * mask[..., None],
    }
    return {**{name: value.astype(np.float32) for name, value in outputs.items()}, "mask": mask}


def transformers_result(outputs, size):
    """A list of dicts of arrays, one an image."""
    tensors = SimpleNamespace(**{name: torch.from_numpy(value) for name, value in outputs.items()})
    processor = transformers.SuperPointImageProcessor()
    results = processor.post_process_keypoint_detection(tensors, [size] * len(outputs["mask"]))
    return [{name: value.numpy() for name, value in result.items()} for result in results]


def assert_results(results, outputs, size):
    for i, want in enumerate(transformers_result(outputs, size)):
        got = KeypointDetection().result(one(results, i), [])
        assert set(got) == set(want)
        for name, value in want.items():
            assert_equal(got[name], value, f"{name} of image {i} at {size}")


def test_every_family_that_transformers_has():
    theirs = {name for name in FAMILIES if hasattr(getattr(transformers, f"{name}ImageProcessor"), METHOD)}
    ours = {name for name in FAMILIES if any(isinstance(p, KeypointDetection) for p in FAMILIES[name].postprocess)}
    assert theirs == ours == {"SuperPoint"}
    plan = Plan((), "pillow13", family="SuperPoint", architecture="SuperPointForKeypointDetection")
    assert postprocess.of_architecture(plan) == KeypointDetection()


@pytest.mark.parametrize("size", SIZES)
def test_equal_to_transformers(size):
    outputs = outputs_of()
    results = run_both(KeypointDetection(), outputs, size)
    assert results["mask"].dtype == np.int64
    assert_results(results, outputs, size)


@given(st.integers(1, 20_000), st.integers(1, 20_000), st.integers(0, 2**31))
def test_any_size(height, width, seed):
    outputs = outputs_of(2, 5, seed)
    assert_results(run_numpy(KeypointDetection(), outputs, (height, width)), outputs, (height, width))


def test_holes_in_the_mask():
    outputs = outputs_of()
    outputs["mask"][-1, ::3] = 0
    assert_results(run_both(KeypointDetection(), outputs), outputs, (30, 40))


@pytest.mark.parametrize("batch", [1, 4])
def test_no_keypoints_at_all(batch):
    outputs = outputs_of(batch, 0)
    results = run_both(KeypointDetection(), outputs)
    assert results["keypoints"].shape == (batch, 0, 2)
    assert_results(results, outputs, (30, 40))


def test_other_names_and_dtypes():
    outputs = outputs_of()
    post = KeypointDetection("points", "certainty", "codes", "valid")
    dtypes = np.float16, np.float16, np.float16, np.int64
    renamed = {
        getattr(post, field): value.astype(dtype) for (field, value), dtype in zip(outputs.items(), dtypes, strict=True)
    }
    want = {name: value.astype(np.float16).astype(np.float32) for name, value in outputs.items()} | {
        "mask": outputs["mask"]
    }
    assert_results(run_both(post, renamed), want, (30, 40))
