"""Masks of classes from queries: those of transformers, but where two classes are equal up to torch's rounding."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from models.families import FAMILIES
from runtime.postprocess import QuerySegmentation

from ..families import threads
from ..postprocessing import logits, of_family, one, run_both, run_numpy

NEAR = 1e-5
"""torch's sums are as near to the exact ones."""

FAMILIES_OF_QUERIES = [
    name for name in FAMILIES if isinstance(of_family(name).get("semantic_segmentation"), QuerySegmentation)
]
SIZES = [(30, 40), (97, 31), (64, 64), (1, 1), (1, 200), (150, 1), (240, 320)]


def outputs_of(post, queries=12, classes=7, size=(20, 24), batch=2, seed=0):
    """Some queries that have a class, and others of none; masks with and without neighbours alike."""
    scores = logits(batch, queries, classes, seed=seed)
    scores[:, ::4, -1] += 12
    masks = logits(batch, queries, *size, seed=seed, scale=4.0)
    masks[:, ::3] = masks[:, ::3].mean(axis=2, keepdims=True)
    return {post.logits: scores, post.masks: masks}


def check(got, processor, outputs, size, most_near=0.001):
    """The classes whose sums are the largest by more than :data:`NEAR`; how many pixels those are."""
    tensors = SimpleNamespace(**{name: torch.from_numpy(value) for name, value in outputs.items()})
    with threads(2):
        want = processor.post_process_semantic_segmentation(
            tensors, target_sizes=[size] * len(got), return_segmentation_scores=True
        )
    clear = 0
    for mask, found in zip(got, want, strict=True):
        best, second = found.segmentation_scores.topk(2, dim=0).values.numpy()
        sure = best - second > NEAR
        assert np.array_equal(mask[sure], found.segmentation.numpy()[sure]), f"{size}: {mask.shape}"
        clear += sure.sum()
    assert clear >= got.size * (1 - most_near) - 1
    return clear


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_equal_to_transformers(size):
    post = QuerySegmentation()
    outputs = outputs_of(post)
    got = run_both(post, outputs, size)["segmentation"]
    assert check(got, transformers.MaskFormerImageProcessor(), outputs, size)
    assert len(np.unique(got)) > 2 or got.size < 10


@settings(max_examples=15)
@given(
    st.integers(1, 60),
    st.integers(1, 60),
    st.integers(1, 9),
    st.integers(3, 6),
    st.sampled_from(["ConditionalDetr", "Detr", "MaskFormer", "OneFormer"]),
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
)
def test_any_size(height, width, queries, classes, family, image):
    """Of the masks and of the image."""
    post = of_family(family, "torchvision")["semantic_segmentation"]
    outputs = outputs_of(post, queries, classes, (height, width), batch=1)
    got = run_both(post, outputs, image)["segmentation"]
    assert check(got, getattr(transformers, f"{family}ImageProcessor")(), outputs, image, most_near=0.01)


@pytest.mark.parametrize("reference", ["pillow13", "torchvision"])
@pytest.mark.parametrize("family", FAMILIES_OF_QUERIES)
def test_every_family(family, reference):
    post = of_family(family, reference)["semantic_segmentation"]
    processor = getattr(transformers, f"{family}ImageProcessor{'Pil' if reference == 'pillow13' else ''}")()
    for size in ((50, 41), (9, 30)):
        outputs = outputs_of(post, batch=1)
        got = run_numpy(post, outputs, size)["segmentation"]
        assert check(got, processor, outputs, size)


def test_mask2former_in_a_graph():
    """Masks are resized to 384 x 384 first."""
    post = of_family("Mask2Former")["semantic_segmentation"]
    assert post == QuerySegmentation(mask_size=384)
    outputs = outputs_of(post, queries=4, classes=4, batch=1)
    got = run_both(post, outputs, (33, 50))["segmentation"]
    assert check(got, transformers.Mask2FormerImageProcessor(), outputs, (33, 50))
    smaller = run_numpy(QuerySegmentation(), outputs, (33, 50))["segmentation"]
    assert not np.array_equal(got, smaller)


def test_antialiasing_tells_where_the_image_is_smaller():
    """transformers' torchvision class of OneFormer, unlike its PIL class."""
    kinds = [of_family("OneFormer", reference)["semantic_segmentation"] for reference in ("torchvision", "pillow13")]
    assert kinds == [QuerySegmentation(antialias=True), QuerySegmentation()]
    outputs = outputs_of(kinds[0], size=(40, 40))
    smaller, larger = (
        [run_both(post, outputs, size)["segmentation"] for post in kinds] for size in ((9, 12), (60, 70))
    )
    assert not np.array_equal(*smaller)
    assert np.array_equal(*larger)


def test_a_class_that_means_nothing_is_left_out():
    scores, masks = np.zeros((1, 1, 3), np.float32), np.full((1, 1, 4, 4), 9, np.float32)
    scores[..., 2], scores[..., 1] = 5, 2
    outputs = {"class_queries_logits": scores, "masks_queries_logits": masks}
    found = [run_both(QuerySegmentation(null_class=null), outputs)["segmentation"].max() for null in (True, False)]
    assert found == [1, 2]


@pytest.mark.slow
@pytest.mark.parametrize(("queries", "classes", "size"), [(100, 151, (100, 134)), (200, 134, (64, 64))], ids=str)
@pytest.mark.parametrize("family", FAMILIES_OF_QUERIES)
def test_as_many_queries_as_models_have(family, queries, classes, size):
    post = of_family(family)["semantic_segmentation"]
    processor = getattr(transformers, f"{family}ImageProcessorPil")()
    for seed, image in enumerate(((480, 640), (333, 250), (50, 200))):
        outputs = outputs_of(post, queries, classes, size, batch=1, seed=seed)
        assert check(run_both(post, outputs, image)["segmentation"], processor, outputs, image)


def test_results():
    post = QuerySegmentation("logits", "pred_masks")
    results = one(run_numpy(post, outputs_of(post, classes=3), (30, 40)))
    found = post.result(results, ["sky"])
    assert found["segmentation"] is results["segmentation"]
    assert found["labels"] == {0: "sky", 1: "LABEL_1"}
    assert "softmax of logits without the last class times sigmoid of pred_masks, resized to the image" in str(post)
    others = str(QuerySegmentation(null_class=False, mask_size=384, antialias=True))
    assert "without" not in others
    assert "masks_queries_logits resized to 384x384, resized to the image, bilinear, antialiased" in others


@pytest.mark.parametrize("size", [-1, 2.0, True])
def test_what_it_refuses(size):
    with pytest.raises(ValueError, match=f"mask_size: expected 0 or more, got {size!r}"):
        QuerySegmentation(mask_size=size)
