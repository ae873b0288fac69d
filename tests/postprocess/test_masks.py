"""Masks of prompts, equal to those of transformers' SAM classes."""

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st

from exporter.postprocess import choose
from models import postprocess
from models.families import FAMILIES
from runtime import Plan, UnsupportedConfig
from runtime.postprocess import Masks

from ..families import threads
from ..helpers import assert_equal, near
from ..postprocessing import families_with, logits, model_of, of_family, one, run_both, run_numpy

SIZES = [(30, 40), (97, 31), (64, 64), (63, 64), (16, 16), (1, 1), (1, 20), (33, 1), (120, 160)]
SHAPES = [(2, 3, 3, 16, 16), (1, 1, 1, 9, 14)]

SMALL = {"size": {"longest_edge": 64}, "pad_size": {"height": 64, "width": 64}}
CASES = [
    ("Sam", SMALL),
    ("Sam", {**SMALL, "pad_size": {"height": 80, "width": 72}}),
    ("Sam", {**SMALL, "do_resize": False, "pad_size": {"height": 160, "width": 160}}),
    ("Sam2", {}),
    ("Sam3", {}),
]


def theirs(name, masks, size, options):
    """What transformers' class gives: bool ``[batch, prompts, masks, height, width]``."""
    processor = getattr(transformers, f"{name}ImageProcessor")(**options)
    sizes = [[size] * len(masks)]
    if name == "Sam":
        longest = options.get("size", {"longest_edge": 1024})["longest_edge"]
        kept = not options.get("do_resize", True)
        sizes.append([size if kept else processor._get_preprocess_shape(size, longest)] * len(masks))
    with threads(2):
        found = processor.post_process_masks(list(torch.from_numpy(masks)), *sizes)
    return np.stack([mask.numpy() for mask in found])


def test_every_family_that_transformers_has():
    assert families_with("masks") == {name for name, _ in CASES}
    architectures = {"Sam": ("Sam", "SamHQ"), "Sam2": ("Sam2", "EdgeTam"), "Sam3": ("Sam3Tracker",)}
    for name, families in architectures.items():
        for family in families:
            assert getattr(transformers, f"{family}Model")
            config = dict(FAMILIES[name].defaults)
            plan = Plan((), "pillow13", family=name, architecture=f"{family}Model", config=config)
            assert postprocess.of_architecture(plan) == of_family(name)["masks"]


def test_rows():
    assert of_family("Sam")["masks"] == Masks(longest_edge=1024, pad_height=1024, pad_width=1024)
    assert of_family("Sam", do_resize=False)["masks"] == Masks(pad_height=1024, pad_width=1024)
    assert of_family("Sam2")["masks"] == of_family("Sam3")["masks"] == Masks()


@pytest.mark.parametrize("size", [None, {"longest_edge": 64}], ids=str)
def test_padding_that_says_no_size(size):
    with pytest.raises(
        UnsupportedConfig, match="pad_size: masks are resized to it, so it has to be a height and a width"
    ):
        of_family("Sam", pad_size=size)


@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_equal_to_transformers(name, options):
    post = of_family(name, **options)["masks"]
    for size in SIZES:
        for shape in SHAPES:
            masks = logits(*shape)
            outputs = {"pred_masks": masks, "iou_scores": logits(*shape[:3])}
            got = run_both(post, outputs, size)
            assert_equal(got["masks"], theirs(name, masks, size, options), f"{shape} to {size}")


@pytest.mark.parametrize("size", [(480, 640), (1300, 700)], ids=str)
def test_sizes_of_real_models(size):
    masks = logits(1, 1, 3, 256, 256)
    got = run_both(of_family("Sam")["masks"], {"pred_masks": masks, "iou_scores": logits(1, 1, 3)}, size)
    assert_equal(got["masks"], theirs("Sam", masks, size, {}), f"{size}")


@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
@given(data=st.data())
def test_any_size(name, options, data):
    shape = data.draw(
        st.tuples(st.just(1), st.integers(1, 2), st.integers(1, 9), st.integers(1, 30), st.integers(1, 30))
    )
    size = data.draw(st.tuples(near(64, 150), near(64, 150)).filter(lambda s: max(s) < 100 * min(s)))
    outputs = {"pred_masks": logits(*shape), "iou_scores": logits(*shape[:3])}
    got = run_numpy(of_family(name, **options)["masks"], outputs, size)["masks"]
    assert_equal(got, theirs(name, outputs["pred_masks"], size, options), f"{shape} to {size}")


@pytest.mark.parametrize("threshold", [-1.5, 0.0, 0.25])
def test_what_equals_the_threshold_is_not_above_it(threshold):
    values = np.array([threshold, np.nextafter(np.float32(threshold), np.float32(9))], np.float32)
    outputs = {"pred_masks": values.reshape(1, 1, 2, 1, 1)}
    got = run_both(Masks(iou_scores="", mask_threshold=threshold), outputs, (1, 1))["masks"]
    assert got.ravel().tolist() == [False, True]


def test_results():
    outputs = {"pred_masks": logits(2, 3, 2, 4, 4), "iou_scores": logits(2, 3, 2)}
    results = one({**run_numpy(Masks(), outputs, (5, 6)), "iou_scores": outputs["iou_scores"]}, 1)
    found = Masks().result(results, [])
    assert list(found) == ["masks", "iou_scores"]
    assert found["masks"].shape == (3, 2, 5, 6)
    for name, value in found.items():
        assert_equal(value, results[name], name)
    assert list(Masks(iou_scores="").result(results, [])) == ["masks"]


@pytest.mark.parametrize("lacking", [True, False])
def test_a_model_without_scores(lacking):
    outputs = {"pred_masks": logits(1, 1, 1, 4, 4), "iou_scores": logits(1, 1, 1)}
    if lacking:
        del outputs["iou_scores"]
    post = choose(Plan((), "pillow13", family="Sam2"), model_of(outputs), "masks", {})
    assert post == Masks(iou_scores="" if lacking else "iou_scores")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"longest_edge": 1.5}, "longest_edge: expected pixels, or 0, got 1.5"),
        ({"pad_width": -1}, "pad_width: expected pixels, or 0, got -1"),
        ({"pad_height": 3}, "pad_height, pad_width: expected a size, or 0 and 0, and then no longest_edge"),
        ({"longest_edge": 3}, "pad_height, pad_width: expected a size, or 0 and 0, and then no longest_edge"),
        ({"mask_threshold": "a"}, "mask_threshold: expected a number, got 'a'"),
    ],
)
def test_what_it_refuses(fields, message):
    with pytest.raises(ValueError, match=message):
        Masks(**fields)
