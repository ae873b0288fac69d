"""Classes of what SegGpt paints, equal to those of transformers."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.models.seggpt.image_processing_seggpt import build_palette

from runtime import UnsupportedConfig
from runtime.postprocess import PaintedSegmentation
from runtime.postprocess.painted_segmentation import palette

from ..helpers import assert_equal
from ..postprocessing import logits, of_family, one, run_both, run_numpy

SIZES = [(30, 41), (97, 31), (28, 28), (56, 14), (1, 1), (1, 200), (200, 1), (300, 280)]


def theirs(values, size, labels, **config):
    masks = transformers.SegGptImageProcessor(**config).post_process_semantic_segmentation(
        SimpleNamespace(pred_masks=torch.from_numpy(values)), [size] * len(values), labels or None
    )
    return np.stack([mask.numpy() for mask in masks]).astype(np.int64)


@pytest.mark.parametrize("num_labels", [0, 1, 10, 150])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_equal_to_transformers(size, num_labels):
    values = logits(2, 3, 56, 28, seed=num_labels, scale=1.5)
    got = run_both(PaintedSegmentation(num_labels=num_labels), {"pred_masks": values}, size)["segmentation"]
    assert_equal(got, theirs(values, size, num_labels), f"{num_labels} to {size}")
    assert got.size < 1000 or len(np.unique(got)) > num_labels // 2


@settings(max_examples=40)
@given(st.integers(2, 60), st.integers(1, 60), st.tuples(st.integers(1, 90), st.integers(1, 90)), st.integers(0, 30))
def test_any_size(height, width, size, num_labels):
    """An odd height has its middle row in the lower half."""
    values = logits(1, 3, height, width, scale=1.5)
    got = run_numpy(PaintedSegmentation(num_labels=num_labels), {"pred_masks": values}, size)["segmentation"]
    assert_equal(got, theirs(values, size, num_labels), f"{num_labels}: {height}x{width} to {size}")


def test_palettes():
    for number in range(1, 1000):
        assert palette(number) == build_palette(number)


@pytest.mark.parametrize(
    ("config", "want"),
    [
        ({}, PaintedSegmentation()),
        ({"num_labels": 12}, PaintedSegmentation(num_labels=12)),
        ({"num_labels": None, "image_mean": [0.1, 0.2, 0.3]}, PaintedSegmentation(image_mean=(0.1, 0.2, 0.3))),
        ({"image_std": 0.5}, PaintedSegmentation(image_std=(0.5, 0.5, 0.5))),
    ],
    ids=str,
)
def test_its_numbers_are_those_of_the_config(config, want):
    assert of_family("SegGpt", **config)["semantic_segmentation"] == want
    values = logits(1, 3, 56, 28, scale=1.5)
    got = run_numpy(want, {"pred_masks": values}, (40, 50))["segmentation"]
    assert_equal(got, theirs(values, (40, 50), want.num_labels, **config), f"{config}")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"num_labels": 0}, "num_labels: expected an integer from 1 to"),
        ({"image_mean": [0.5, 0.5]}, "image_mean: expected a finite number, or three of them"),
        ({"image_std": None}, "image_std: expected a finite number, or three of them"),
    ],
    ids=str,
)
def test_configs_that_it_refuses(config, message):
    with pytest.raises(UnsupportedConfig, match=message):
        of_family("SegGpt", **config)


def test_results():
    post = PaintedSegmentation(num_labels=2)
    results = one(run_numpy(post, {"pred_masks": logits(1, 3, 56, 28, scale=1.5)}, (30, 40)))
    found = post.result(results, ["nothing", "cat"])
    assert found["segmentation"] is results["segmentation"]
    assert found["labels"] == {0: "nothing", 1: "cat", 2: "LABEL_2"}
    assert "the nearest of 3 colours in the lower half of pred_masks" in str(post)
    assert "the mean of the colours in the lower half" in str(PaintedSegmentation())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_labels": -1}, "num_labels: expected 0 or more, got -1"),
        ({"num_labels": 1.0}, "num_labels: expected 0 or more, got 1.0"),
        ({"image_mean": (0.5,)}, "image_mean: expected 3 numbers, got"),
        ({"image_std": ()}, "image_std: expected 3 numbers, got"),
    ],
    ids=str,
)
def test_what_it_refuses(fields, message):
    with pytest.raises(ValueError, match=message):
        PaintedSegmentation(**fields)
