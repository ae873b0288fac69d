"""Detectors' outputs as every transformers class reads them."""

import inspect
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st

from models import postprocess
from models.families import FAMILIES
from runtime import Plan, UnsupportedConfig
from runtime.postprocess import LayoutDetection, ObjectDetection, PromptDetection

from ..postprocessing import logits, one, run_both, run_numpy

METHOD = "post_process_object_detection"
SIZES = [(480, 640), (640, 480), (1, 1), (1, 3000), (2161, 1), (4001, 6007)]
NAMES = [f"name {i}" for i in range(9)]

LEFT_OUT = {
    "PPDocLayoutV4": "its reading order comes of graphs of the objects above the threshold, one an image",
    "PPOCRV5ServerDet": "its boxes are contours that OpenCV follows",
}


def row(name):
    """What a family's row says of its detectors; ``None`` where it says nothing."""
    plan = Plan((), "pillow13", family=name, config=dict(FAMILIES[name].defaults))
    return postprocess.methods(plan).get("object_detection")


DETECTORS = [name for name in FAMILIES if row(name) is not None]


def test_every_family_that_transformers_has_detectors_of():
    theirs = {name for name in FAMILIES if hasattr(getattr(transformers, f"{name}ImageProcessor"), METHOD)}
    assert theirs == {*DETECTORS, *LEFT_OUT}


def test_architectures():
    for family, architecture in (("RTDetr", "RTDetrV2"), ("OwlViT", "OwlViT"), ("PPDocLayoutV2", "PPDocLayoutV2")):
        plan = Plan((), "pillow13", family=family, architecture=f"{architecture}ForObjectDetection")
        assert postprocess.of_architecture(plan) == row(family)


def outputs_of(name, queries=30, classes=9, batch=3, seed=0):
    """A model's outputs, with objects on both sides of the threshold."""
    post, random = row(name), np.random.default_rng((queries, classes, seed))
    boxes = random.uniform(0, 1, (batch, queries, 4)).astype(np.float32)
    if isinstance(post, PromptDetection):
        scores = {"pred_logits": logits(batch, queries, seed=seed), "presence_logits": logits(batch, 1) + 3}
        return {**scores, "pred_boxes": boxes}
    scores = logits(batch, queries, classes, seed=seed) - 5
    if isinstance(post, LayoutDetection):
        # One class a query, for torch does not keep the order of objects that have one place.
        scores = np.where(np.arange(classes) == random.integers(0, classes, (batch, queries, 1)), scores + 5, -20)
        order = logits(batch, queries, queries, seed=seed)
        return {"logits": scores.astype(np.float32), "pred_boxes": boxes, "order_logits": order}
    return {"logits": scores, "pred_boxes": boxes}


def transformers_result(name, outputs, size, **options):
    """A list of dicts of tensors, one an image."""
    processor = getattr(transformers, f"{name}ImageProcessor")()
    tensors = {key: torch.from_numpy(value) for key, value in outputs.items()}
    method = getattr(type(processor), METHOD)
    if name == "PPDocLayoutV3":  # its polygons are left out, and need OpenCV
        processor._extract_polygon_points_by_masks = lambda *_: []
        tensors["out_masks"] = torch.zeros(*outputs["order_logits"].shape[:2], 2, 2)
        method = inspect.unwrap(method)
    sizes = [size] * len(outputs["pred_boxes"])
    return method(processor, SimpleNamespace(**{"presence_logits": None, **tensors}), target_sizes=sizes, **options)


def assert_scores(got, want):
    """torch's exponentials are float32: 4 units in the last place away at most, of what is not near the smallest."""
    np.testing.assert_allclose(got, want, rtol=5e-7, atol=1e-38)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", DETECTORS)
def test_equal_to_transformers(name, size):
    outputs, post = outputs_of(name), row(name)
    results = run_both(post, outputs, size)
    for i, want in enumerate(transformers_result(name, outputs, size, threshold=-1.0)):
        got = one(results, i)
        if isinstance(post, LayoutDetection):  # it sorts what it keeps
            got = {key: value[np.argsort(got["order_seq"])] for key, value in got.items()}
        assert set(got) == set(want) - {"polygon_points"}
        assert_scores(got.pop("scores"), want["scores"].numpy())
        for key, value in got.items():
            assert value.dtype == want[key].numpy().dtype
            assert np.array_equal(value, want[key].numpy()), f"{name}, {key} at {size}"


@pytest.mark.parametrize("name", DETECTORS)
def test_objects_above_the_threshold(name):
    outputs, post, counts = outputs_of(name), row(name), []
    results = run_numpy(post, outputs, (480, 640))
    for options in ({}, {"threshold": 0.7}):
        for i, want in enumerate(transformers_result(name, outputs, (480, 640), **options)):
            got = post.result(one(results, i), NAMES, **options)
            assert [item["box"] for item in got] == want["boxes"].tolist()
            names = [NAMES[n] for n in want["labels"]] if "labels" in want else [None] * len(got)
            assert [item.get("label") for item in got] == names
            assert_scores([item["score"] for item in got], want["scores"].tolist())
            counts.append(len(got))
    assert any(0 < count < results["scores"].shape[1] for count in counts)
    default = inspect.signature(getattr(getattr(transformers, f"{name}ImageProcessor"), METHOD)).parameters["threshold"]
    assert post.threshold == default.default


@given(st.integers(1, 20_000), st.integers(1, 20_000), st.integers(0, 2**31))
def test_boxes_of_any_size(height, width, seed):
    for name in ("Detr", "RTDetr", "Owlv2", "PPDocLayoutV2", "Sam3"):
        outputs = outputs_of(name, queries=5, batch=1, seed=seed)
        want = transformers_result(name, outputs, (height, width), threshold=-1.0)[0]["boxes"].numpy()
        got = one(run_numpy(row(name), outputs, (height, width)))
        order = np.argsort(got["order_seq"]) if "order_seq" in got else slice(None)
        assert np.array_equal(got["boxes"][order], want)


@pytest.mark.parametrize("name", ["ConditionalDetr", "RfDetr", "RTDetr"])
@pytest.mark.parametrize(("queries", "classes"), [(3, 2), (1, 1), (120, 1), (50, 4)])
def test_fewer_or_more_pairs_than_are_kept(name, queries, classes):
    outputs = outputs_of(name, queries, classes)
    results = run_both(row(name), outputs, (37, 53))
    for i, want in enumerate(transformers_result(name, outputs, (37, 53), threshold=-1.0)):
        assert np.array_equal(results["labels"][i], want["labels"].numpy())
        assert np.array_equal(results["boxes"][i], want["boxes"].numpy())
        assert_scores(results["scores"][i], want["scores"].numpy())


def test_tokens_that_a_text_lacks():
    outputs = outputs_of("GroundingDino")
    outputs["logits"][..., 4:] = -np.inf
    outputs["logits"][:, 0] = -np.inf
    results = run_both(row("GroundingDino"), outputs)
    assert results["labels"].max() == 3
    assert (results["scores"][:, 0] == 0).all()


def test_without_a_presence():
    outputs = {name: value for name, value in outputs_of("Sam3").items() if name != "presence_logits"}
    results = run_both(PromptDetection(presence=""), outputs, (33, 44))
    for i, want in enumerate(transformers_result("Sam3", outputs, (33, 44), threshold=-1.0)):
        assert np.array_equal(results["boxes"][i], want["boxes"].numpy())
        assert_scores(results["scores"][i], want["scores"].numpy())


@pytest.mark.parametrize("post", [ObjectDetection(), LayoutDetection(), PromptDetection()])
def test_thresholds_are_float32_as_torch_compares_them(post):
    scores = np.array([0.3, 0.75], np.float32)
    outputs = {"scores": scores, "labels": np.array([0, 1]), "boxes": np.zeros((2, 4), np.float32)}
    if isinstance(post, LayoutDetection):  # not below it
        outputs["order_seq"] = np.array([1, 0])
    kept = [0.75, float(scores[0])] if isinstance(post, LayoutDetection) else [0.75]
    assert [item["score"] for item in post.result(outputs, [], threshold=0.3)] == kept


def test_results_are_plain_python():
    boxes = np.array([[0.5, 1, 2, 3], [4, 5, 6, 7]], np.float32)
    outputs = {"scores": np.array([0.75, 0.25], np.float32), "labels": np.array([1, 5]), "boxes": boxes}
    want = [{"label": "dog", "score": 0.75, "box": [0.5, 1.0, 2.0, 3.0]}]
    assert ObjectDetection().result(outputs, ["cat", "dog"]) == want
    assert ObjectDetection().result(outputs, [], threshold=0.1)[1]["label"] == "LABEL_5"
    assert len(ObjectDetection().result(outputs, [], threshold=0.0)) == 2
    assert ObjectDetection().result(outputs, [], threshold=1.0) == []
    del outputs["labels"]
    assert PromptDetection().result(outputs, ["cat"]) == [{"score": 0.75, "box": [0.5, 1.0, 2.0, 3.0]}]


@pytest.mark.parametrize("kind", [ObjectDetection, LayoutDetection, PromptDetection])
@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan")])
def test_thresholds_that_are_refused(kind, threshold):
    with pytest.raises(ValueError, match=f"threshold: expected 0 to 1, got {threshold}"):
        kind(threshold=threshold)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"form": "max"}, "form: expected one of softmax, sigmoid, top_k, got 'max'"),
        ({"top_k": -1}, "top_k: expected 0 or more, got -1"),
        ({"top_k": 2.0}, "top_k: expected 0 or more, got 2.0"),
        ({"top_k": 5, "form": "sigmoid"}, "top_k: expected 0 in the form sigmoid, got 5"),
    ],
)
def test_what_it_refuses(fields, message):
    with pytest.raises(ValueError, match=message):
        ObjectDetection(**fields)


@pytest.mark.parametrize("name", LEFT_OUT)
def test_left_out(name):
    with pytest.raises(UnsupportedConfig, match=f"postprocess: {name} has no object_detection; it has"):
        postprocess.named(Plan((), "pillow13", family=name), "object_detection")
