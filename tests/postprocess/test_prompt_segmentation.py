"""What a prompt asks for, as transformers' Sam3 class says it."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.postprocess import PromptSegmentation

from ..families import threads
from ..helpers import assert_equal
from ..postprocessing import logits, of_family, one, run_both, run_numpy

SIZES = [(30, 40), (97, 31), (36, 36), (1, 1), (1, 200), (333, 1), (240, 320)]


def theirs(values, size, threshold):
    """transformers' masks and scores."""
    with threads(2):
        found = transformers.Sam3ImageProcessor().post_process_semantic_segmentation(
            SimpleNamespace(semantic_seg=torch.from_numpy(values)), [size] * len(values), threshold, True
        )
    masks = np.stack([item.segmentation.numpy() for item in found])
    return masks, np.stack([item.segmentation_scores[0].numpy() for item in found])


def check(values, size, threshold, run):
    """Scores differ by a rounding of each of the four sigmoids that they are made of, and so do few masks."""
    post = PromptSegmentation(threshold=threshold)
    got = run(post, {"semantic_seg": values}, size)
    masks, scores = theirs(values, size, threshold)
    np.testing.assert_allclose(got["segmentation_scores"], scores, rtol=5e-7, atol=0)
    sure = np.abs(scores - np.float32(threshold)) > 1e-6
    assert_equal(got["segmentation"][sure], masks[sure], f"{size}")
    assert (~sure).sum() <= 1 + sure.sum() // 1000
    for i in range(len(values)):
        for other in (None, 0.25):
            mask = post.result(one(got, i), (), **({} if other is None else {"threshold": other}))["segmentation"]
            at = np.float32(threshold if other is None else other)
            assert_equal(mask, (got["segmentation_scores"][i] > at).astype(np.int64), f"{size} above {at}")


@pytest.mark.parametrize("threshold", [0.5, 0.3])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_equal_to_transformers(size, threshold):
    check(logits(2, 1, 36, 36), size, threshold, run_both)


@settings(max_examples=40)
@given(st.integers(1, 50), st.integers(1, 50), st.tuples(st.integers(1, 90), st.integers(1, 90)))
def test_any_size(height, width, size):
    check(logits(1, 1, height, width), size, 0.5, run_numpy)


def test_of_its_family():
    assert of_family("Sam3", "torchvision")["semantic_segmentation"] == PromptSegmentation()


def test_results():
    post = PromptSegmentation("masks", 0.4)
    scores = np.array([[0.3, 0.45], [0.5, 0.6]], np.float32)
    found = post.result({"segmentation_scores": scores}, ["cat", "dog"])
    assert_equal(found["segmentation"], np.array([[0, 1], [1, 1]]), "mask")
    assert found["labels"] == {0: "background", 1: "prompt"}
    assert post.result({"segmentation_scores": scores}, (), threshold=0.7)["labels"] == {0: "background"}
    assert str(post) == "semantic segmentation: sigmoid of masks resized to the image, above 0.4"


def test_what_it_refuses():
    with pytest.raises(ValueError, match=r"threshold: expected 0 to 1, got 1.5"):
        PromptSegmentation(threshold=1.5)
