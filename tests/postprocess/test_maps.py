"""Normals, points and mattes, equal to those of transformers."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st

from exporter.postprocess import choose
from models import postprocess
from runtime import Plan
from runtime.postprocess import ImageMatting, NormalEstimation, PointmapEstimation

from ..families import threads
from ..helpers import assert_equal, near
from ..postprocessing import families_with, logits, model_of, of_family, one, run_both, run_numpy

SIZES = [(30, 40), (97, 31), (24, 32), (25, 32), (1, 1), (1, 20), (33, 1), (240, 320)]
SHAPES = [(2, 24, 32), (1, 9, 14), (1, 1, 17), (1, 1, 2)]

PADDED = {"do_pad": True, "size": {"height": 24, "width": 32}}
CASES = [
    ("Sapiens2", "normal_estimation", {}),
    ("Sapiens2", "normal_estimation", PADDED),
    ("Sapiens2", "pointmap_estimation", {}),
    ("Sapiens2", "pointmap_estimation", PADDED),
    ("Sapiens2", "image_matting", {}),
    ("Tipsv2Dpt", "normal_estimation", {}),
]


def outputs_of(method, batch, height, width, seed=0):
    """A model's; some normals are almost or wholly nothing, and some mattes beyond 0 and 1."""
    maps = logits(batch, 3, height, width, seed=seed)
    if method == "normal_estimation":
        maps[:, :, ::3, ::4] *= np.float32(1e-9)
        maps[:, :, ::5, ::7] = 0
        return {"normals": maps}
    if method == "pointmap_estimation":
        return {"pointmaps": maps, "scales": np.abs(logits(batch, 1, seed=seed)) + np.float32(0.1)}
    return {"foregrounds": maps * np.float32(0.3), "alphas": logits(batch, 1, height, width, seed=seed, scale=0.5)}


def theirs(name, method, outputs, size, options):
    """What transformers' class gives, by name."""
    processor = getattr(transformers, f"{name}ImageProcessor")(**options)
    given = {"scales": None, **{key: torch.from_numpy(value) for key, value in outputs.items()}}
    key = "source_sizes" if options else "target_sizes"
    sizes = {key: [size] * len(next(iter(outputs.values())))}
    with threads(2):
        results = getattr(processor, f"post_process_{method}")(SimpleNamespace(**given), **sizes)
    names = [key for key in results[0] if results[0][key] is not None]
    return {key: np.stack([result[key].numpy() for result in results]) for key in names}


def fits(size):
    """Whether an image has a pixel left once it is fitted: the preprocessing refuses others."""
    return max(size) <= 20 * min(size)


@pytest.mark.parametrize("method", ["normal_estimation", "pointmap_estimation", "image_matting"])
def test_every_family_that_transformers_has(method):
    assert families_with(method) == {name for name, its, _ in CASES if its == method}
    task = "".join(word.capitalize() for word in method.split("_"))
    for name, its, _ in CASES:
        if its == method:
            plan = Plan((), "pillow13", family=name, architecture=f"{name}For{task}")
            assert postprocess.of_architecture(plan).method == method


@pytest.mark.parametrize(("name", "method", "options"), CASES, ids=str)
def test_equal_to_transformers(name, method, options):
    post = of_family(name, **options)[method]
    for size in filter(fits, SIZES) if options else SIZES:
        for shape in [(2, 24, 32)] if options else SHAPES:
            outputs = outputs_of(method, *shape)
            got, want = run_both(post, outputs, size), theirs(name, method, outputs, size, options)
            assert set(got) == set(want)
            for key, value in want.items():
                assert_equal(got[key], value, f"{key}, {shape} to {size}")


@pytest.mark.parametrize(("name", "method", "options"), CASES, ids=str)
@given(data=st.data())
def test_any_size(name, method, options, data):
    own = st.just((24, 32)) if options else st.tuples(st.integers(1, 40), st.integers(2, 40))
    shape = data.draw(own)
    size = data.draw(st.tuples(*(near(side, 150) for side in shape)).filter(fits if options else bool))
    outputs = outputs_of(method, 1, *shape, seed=data.draw(st.integers(0, 9)))
    got, want = (
        run_numpy(of_family(name, **options)[method], outputs, size),
        theirs(name, method, outputs, size, options),
    )
    for key, value in want.items():
        assert_equal(got[key], value, f"{key}, {shape} to {size}")


def test_points_without_a_scale():
    outputs = {"pointmaps": logits(1, 3, 9, 14)}
    plan = Plan((), "pillow13", family="Sapiens2")
    post = choose(plan, model_of(outputs), "pointmap_estimation", {})
    assert post == PointmapEstimation(scales="")
    got = run_both(post, outputs, (20, 50))["pointmap"]
    assert_equal(got, theirs("Sapiens2", "pointmap_estimation", outputs, (20, 50), {})["pointmap"], "points")


def test_padding_asks_for_a_resize():
    assert of_family("Sapiens2", **PADDED, do_resize=False)["normal_estimation"] == NormalEstimation(least=1e-8)
    assert of_family("Sapiens2", **PADDED)["normal_estimation"] == NormalEstimation("normals", 1e-8, 24, 32)


@pytest.mark.parametrize(
    ("post", "method"),
    [
        (NormalEstimation(), "normal_estimation"),
        (PointmapEstimation(), "pointmap_estimation"),
        (ImageMatting(), "image_matting"),
    ],
)
def test_results(post, method):
    results = one(run_numpy(post, outputs_of(method, 2, 5, 6), (7, 8)), 1)
    found = post.result({**results, "other": 1}, [])
    assert list(found) == list(post.outputs)
    for name, value in found.items():
        assert_equal(value, results[name], name)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NormalEstimation(fit_height=3), "fit_height, fit_width: expected a size, or 0 and 0, got 3 and 0"),
        (lambda: PointmapEstimation(fit_height=-3, fit_width=2), "expected a size, or 0 and 0, got -3 and 2"),
        (lambda: PointmapEstimation(fit_height=3.0, fit_width=2), "expected a size, or 0 and 0, got 3.0 and 2"),
        (lambda: NormalEstimation(least=0.0), "least: expected a number above 0, got 0.0"),
        (lambda: NormalEstimation(least="a"), "least: expected a number above 0, got 'a'"),
    ],
)
def test_what_they_refuse(make, message):
    with pytest.raises(ValueError, match=message):
        make()
