"""Masks of classes, equal to those of transformers."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers

from models.families import FAMILIES
from runtime.postprocess import SemanticSegmentation

from ..families import threads
from ..helpers import assert_equal
from ..postprocessing import logits, of_family, one, run_both, run_numpy

FAMILIES_OF_LOGITS = {
    name: post
    for name in FAMILIES
    if isinstance(post := of_family(name).get("semantic_segmentation"), SemanticSegmentation)
}
SIZES = [(30, 40), (97, 31), (64, 64), (65, 64), (1, 1), (1, 200), (333, 1), (480, 640)]


def theirs(family, values, size):
    """The masks that transformers' class gives."""
    processor = getattr(transformers, f"{family}ImageProcessor")()
    with threads(2):
        outputs = SimpleNamespace(logits=torch.from_numpy(values))
        masks = processor.post_process_semantic_segmentation(outputs, target_sizes=[size] * len(values))
    return np.stack([mask.numpy() for mask in masks])


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("shape", [(2, 5, 16, 16), (1, 21, 9, 14), (1, 150, 32, 32)], ids=str)
def test_equal_to_transformers(shape, size):
    values = logits(*shape)
    got = run_both(SemanticSegmentation(), {"logits": values}, size)["segmentation"]
    assert_equal(got, theirs("Segformer", values, size), f"{shape} to {size}")


@pytest.mark.parametrize("family", FAMILIES_OF_LOGITS)
def test_every_family(family):
    post = FAMILIES_OF_LOGITS[family]
    for size in ((50, 41), (90, 120)):
        values = logits(2, 7, 12, 15)
        got = run_numpy(post, {post.logits: values}, size)["segmentation"]
        assert_equal(got, theirs(family, values, size), f"{family} to {size}")


def test_a_model_for_several_tasks_calls_its_logits_otherwise():
    post = of_family("Tipsv2Dpt", architecture="Tipsv2DptForDensePrediction")["semantic_segmentation"]
    assert (post.logits, FAMILIES_OF_LOGITS["Tipsv2Dpt"].logits) == ("segmentation_logits", "logits")
    values, processor = logits(1, 7, 12, 15), transformers.Tipsv2DptImageProcessor()
    with threads(2):
        outputs = SimpleNamespace(segmentation_logits=torch.from_numpy(values))
        (want,) = processor.post_process_semantic_segmentation(outputs, target_sizes=[(50, 41)])
    got = run_numpy(post, {"segmentation_logits": values}, (50, 41))["segmentation"]
    assert_equal(got[0], want.numpy(), "mask")


def test_of_equal_classes_the_first():
    values = np.zeros((1, 3, 4, 4), np.float32)
    values[:, 2] = 1
    values[:, 1] = 1
    assert run_both(SemanticSegmentation(), {"logits": values})["segmentation"].max() == 1


@pytest.mark.parametrize("size", [(40, 30), (200, 150)])
def test_results(size):
    values = logits(1, 3, 8, 8)
    results = one(run_numpy(SemanticSegmentation(), {"logits": values}, size))
    found = SemanticSegmentation().result(results, ["sky", "road"])
    assert_equal(found["segmentation"], results["segmentation"], "mask")
    assert found["labels"] == {0: "sky", 1: "road", 2: "LABEL_2"}
