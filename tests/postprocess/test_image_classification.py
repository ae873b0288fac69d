"""A classifier's outputs as transformers' pipeline reads them."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers.pipelines.image_classification import ImageClassificationPipeline

from runtime.postprocess import ImageClassification

from ..postprocessing import logits, one, run_both

PROBLEMS = {"softmax": "single_label_classification", "sigmoid": "multi_label_classification", "none": "regression"}


def pipeline(scores, function, top_k):
    """What transformers makes of one image's logits."""
    names = {i: f"name {i}" for i in range(len(scores))}
    config = SimpleNamespace(problem_type=PROBLEMS[function], num_labels=len(scores), id2label=names)
    outputs = {"logits": torch.from_numpy(scores)[None]}
    return ImageClassificationPipeline.postprocess(
        SimpleNamespace(model=SimpleNamespace(config=config)), outputs, top_k=top_k
    )


@pytest.mark.parametrize("function", PROBLEMS)
@pytest.mark.parametrize(("classes", "top_k"), [(1000, 5), (3, 5), (7, 7), (2, 1)])
def test_equal_to_the_pipeline(function, classes, top_k):
    values = logits(4, classes)
    post = ImageClassification(top_k=top_k, function=function)
    results = run_both(post, {"logits": values})
    for i, scores in enumerate(values):
        want = pipeline(scores, function, top_k)
        got = post.result(one(results, i), [f"name {i}" for i in range(classes)])
        assert [item["label"] for item in got] == [item["label"] for item in want]
        # transformers sums float32 in NumPy: a few units in the last place from the rounded score.
        np.testing.assert_allclose([item["score"] for item in got], [item["score"] for item in want], rtol=1e-6)


def test_scores_that_round_to_the_same_keep_the_order_of_their_logits():
    values = np.array([[20.0, 40.0, 30.0, 40.0]], np.float32)
    assert run_both(ImageClassification(function="sigmoid"), {"logits": values})["labels"].tolist() == [[1, 3, 2, 0]]


def test_half_precision_and_other_names():
    values = logits(2, 9)
    for name in ("logits", "output_0"):
        got = run_both(ImageClassification(logits=name), {name: values.astype(np.float16)})
        want = run_both(ImageClassification(), {"logits": values.astype(np.float16).astype(np.float32)})
        assert np.array_equal(got["scores"], want["scores"])


def test_results_are_plain_python():
    results = {"scores": np.array([0.75, 0.25], np.float32), "labels": np.array([1, 2])}
    post = ImageClassification()
    want = [{"label": "dog", "score": 0.75}, {"label": "LABEL_2", "score": 0.25}]
    assert post.result(results, ["cat", "dog"]) == want
    assert post.result(results, ["cat", "dog", ""], top_k=1) == want[:1]
    assert type(post.result(results, [])[0]["score"]) is float


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"function": "tanh"}, "function: expected one of softmax, sigmoid, none, got 'tanh'"),
        ({"top_k": 0}, "top_k: expected 1 or more, got 0"),
        ({"top_k": 2.0}, "top_k: expected 1 or more, got 2.0"),
    ],
)
def test_what_it_refuses(fields, message):
    with pytest.raises(ValueError, match=message):
        ImageClassification(**fields)
