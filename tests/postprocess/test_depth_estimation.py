"""Maps of depths, equal to those of transformers."""

from types import SimpleNamespace

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
from runtime.postprocess import DepthEstimation, InverseDepthEstimation

from ..families import threads
from ..helpers import assert_equal, near
from ..postprocessing import families_with, logits, model_of, of_family, one, run_both, run_numpy

SIZES = [(30, 40), (97, 31), (24, 32), (25, 32), (1, 1), (1, 200), (333, 1), (2, 3), (240, 320)]
SHAPES = [(2, 24, 32), (1, 9, 14), (1, 1, 1), (1, 1, 17)]

CASES = [
    *((name, {}) for name in ("CHMv2", "DPT", "DepthPro", "GLPN", "PromptDepthAnything", "Tipsv2Dpt", "ZoeDepth")),
    ("ZoeDepth", {"do_pad": False}),
    ("DepthPro", {"resample": 3}),
]


def theirs(name, outputs, size, options):
    """What transformers' class gives, by name; none of it where that is ``None``."""
    processor = getattr(transformers, f"{name}ImageProcessor")(**options)
    sizes = [size] * len(outputs["predicted_depth"])
    given = {"field_of_view": None, **{key: torch.from_numpy(value) for key, value in outputs.items()}}
    sources = {"source_sizes": sizes} if name == "ZoeDepth" else {}
    with threads(2):
        results = processor.post_process_depth_estimation(SimpleNamespace(**given), target_sizes=sizes, **sources)
    maps = {"predicted_depth": np.stack([result.pop("predicted_depth").numpy().reshape(size) for result in results])}
    numbers = {key: [result[key] for result in results] for key in results[0] if results[0][key] is not None}
    return {**maps, **{key: torch.stack(values).numpy() for key, values in numbers.items()}}


def of_depths(post):
    """The one that reads the depths alone."""
    return InverseDepthEstimation(field_of_view="", filter=post.filter) if hasattr(post, "field_of_view") else post


def test_every_family_that_transformers_has():
    assert families_with("depth_estimation") == {name for name, _ in CASES}
    for name, options in CASES:
        plan = Plan((), "pillow13", family=name, architecture=f"{name}ForDepthEstimation", config=options)
        assert isinstance(postprocess.of_architecture(plan), (DepthEstimation, InverseDepthEstimation))


@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_equal_to_transformers(name, options):
    post = of_depths(of_family(name, **options)["depth_estimation"])
    for size in SIZES:
        for shape in SHAPES:
            outputs = {"predicted_depth": np.abs(logits(*shape))}
            got, want = run_both(post, outputs, size), theirs(name, outputs, size, options)
            assert set(got) == set(want)
            assert_equal(got["predicted_depth"], want["predicted_depth"], f"{name} {options}, {shape} to {size}")


@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
@given(data=st.data())
def test_any_size(name, options, data):
    shape = data.draw(st.tuples(st.just(1), st.integers(1, 40), st.integers(1, 40)))
    size = data.draw(st.tuples(*(near(side, 150) for side in shape[1:])))
    outputs = {"predicted_depth": logits(*shape)}
    got = run_numpy(of_depths(of_family(name, **options)["depth_estimation"]), outputs, size)
    assert_equal(got["predicted_depth"], theirs(name, outputs, size, options)["predicted_depth"], f"{shape} to {size}")


# An angle.


def tangents(angles):
    """torch's, of half the angles, as its class takes them: one by one."""
    return np.array([torch.tan(0.5 * torch.deg2rad(angle)).item() for angle in torch.from_numpy(angles)], np.float32)


def rounded_tangents(angles):
    halves = angles * np.float32(np.pi / 180) * np.float32(0.5)
    return np.tan(halves.astype(np.float64)).astype(np.float32)


def test_torchs_tangent_is_within_a_unit_in_the_last_place():
    angles = np.random.default_rng(0).uniform(1, 170, 5000).astype(np.float32)
    far = np.abs(tangents(angles).view(np.int32) - rounded_tangents(angles).view(np.int32))
    assert far.max() == 1
    assert (far == 0).mean() > 0.5


@pytest.mark.parametrize("filter", [2, 3])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_angles(size, filter):
    """Equal where torch's tangent is the rounded one, and else as near as that."""
    post = of_family("DepthPro", resample=filter)["depth_estimation"]
    angles = np.random.default_rng(size).uniform(10, 130, 60).astype(np.float32)
    same = tangents(angles) == rounded_tangents(angles)
    depths = np.random.default_rng(1).uniform(0.5, 3, (2, 24, 32)).astype(np.float32)
    for few, exact in ((angles[same][:2], True), (angles[~same][:2], False)):
        outputs = {"predicted_depth": depths, "field_of_view": few}
        got, want = run_both(post, outputs, size), theirs("DepthPro", outputs, size, {"resample": filter})
        assert list(got) == list(want)
        for name, value in want.items():
            if exact or name == "field_of_view":
                assert_equal(got[name], value, f"{name} at {size}")
            else:  # the reciprocals are what is interpolated
                far = np.abs(1 / got[name].astype(np.float64) - 1 / value.astype(np.float64)).max()
                assert far < 3e-7 * (1 / value).max(), f"{name} at {size}"


def test_depths_beyond_the_limits_and_half_precision():
    values = np.array([[[0, 1e-5, 6e4, -3, 2.0]]], np.float32)
    outputs = {"predicted_depth": values, "field_of_view": np.array([53.13], np.float32)}
    assert run_both(InverseDepthEstimation(field_of_view=""), outputs, (1, 5))["predicted_depth"].tolist() == [
        [np.float32([1e4, 1e4, 1e-4, 1e4, 0.5]).tolist()]
    ]
    halves = {name: value.astype(np.float16) for name, value in outputs.items()}
    got = run_both(InverseDepthEstimation(), halves, (3, 7))
    want = run_both(
        InverseDepthEstimation(), {name: value.astype(np.float32) for name, value in halves.items()}, (3, 7)
    )
    for name, value in want.items():
        assert_equal(got[name], value, name)


@pytest.mark.parametrize("lacking", [True, False])
def test_a_model_without_an_angle(lacking):
    outputs = {"predicted_depth": logits(1, 4, 4), "field_of_view": np.array([60], np.float32)}
    if lacking:
        del outputs["field_of_view"]
    plan = Plan((), "pillow13", family="DepthPro", config=dict(FAMILIES["DepthPro"].defaults))
    post = choose(plan, model_of(outputs), "depth_estimation", {})
    assert post == InverseDepthEstimation(field_of_view="" if lacking else "field_of_view")
    found = post.result(one(run_both(post, outputs)), [])
    assert [type(value) for value in found.values()] == [np.ndarray, *([] if lacking else [float, float])]


def test_results():
    results = one(run_numpy(DepthEstimation(), {"predicted_depth": logits(2, 4, 4)}, (5, 6)), 1)
    found = DepthEstimation().result({**results, "other": 1}, [])
    assert list(found) == ["predicted_depth"]
    assert_equal(found["predicted_depth"], results["predicted_depth"], "depths")


@pytest.mark.parametrize("kind", [DepthEstimation, InverseDepthEstimation])
def test_filters_it_refuses(kind):
    with pytest.raises(ValueError, match="filter: expected bilinear or bicubic, got 'lanczos'"):
        kind(filter="lanczos")


@pytest.mark.parametrize("resample", [0, 1, None])
def test_filters_that_torch_does_not_interpolate_with(resample):
    with pytest.raises(
        UnsupportedConfig, match=f"resample: depths are resized by 2 .bilinear. or 3 .bicubic., not by {resample}"
    ):
        of_family("DepthPro", resample=resample)
