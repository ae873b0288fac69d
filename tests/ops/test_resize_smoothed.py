"""The blurred resize against OWLv2's processors, in every backend."""

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers import Owlv2ImageProcessor, Owlv2ImageProcessorPil

import exporter
from exporter.onnx import build
from runtime import ParityError, Plan, artifact, interpolation
from runtime.lowering import lower
from runtime.ops import Cast, ConvertRGB, Pad, Rescale, ResizeSmoothed
from runtime.ops.size import Size

from ..helpers import backends, make_plan, near, noise, with_plan

PROCESSORS = {"scipy": Owlv2ImageProcessorPil, "torchvision": Owlv2ImageProcessor}
TARGETS = [(20, 20), (16, 33), (33, 16), (4, 4)]
"""Squares, and sizes that give each axis a blur of its own; 4 is the smallest."""


@pytest.fixture(autouse=True, scope="module")
def two_threads():
    """As in the tests of Interpolate."""
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


def smoothed_plan(library, target, blur=True, padded=True):
    rescale = Rescale(1 / 255, precision="float64" if library == "scipy" else "float32")
    size = Size(height=target[0], width=target[1])
    return make_plan(rescale, *([Pad(Size(square=1))] if padded else []), ResizeSmoothed(size, library, blur))


def expected(library, target, image, **settings):
    size = {"height": target[0], "width": target[1]}
    processor = PROCESSORS[library](size=size, do_normalize=False, **settings)
    return np.asarray(processor(Image.fromarray(image), return_tensors="np")["pixel_values"])


def assert_near(plan, image, want):
    """Values from 0 to 1, so that the bound is absolute."""
    for name, run in backends(plan).items():
        got = run(image[None])["pixel_values"]
        assert (got.dtype, got.shape) == (np.float32, want.shape), name
        error = np.abs(got - want).max()
        assert error <= ResizeSmoothed.bound, f"{name}, {image.shape[:2]}: {error}"


@pytest.mark.parametrize("target", TARGETS, ids=str)
@pytest.mark.parametrize("library", PROCESSORS)
@given(data=st.data())
@settings(max_examples=20)
def test_every_backend_equals_transformers(library, target, data):
    image = noise(data.draw(near(target[0], 120)), data.draw(near(target[1], 120)))
    assert_near(smoothed_plan(library, target), image, expected(library, target, image))


@pytest.mark.parametrize("target", TARGETS, ids=str)
@given(data=st.data())
@settings(max_examples=20)
def test_images_that_are_not_square(target, data):
    # Three rows or columns are taken for channels there.
    sides = (
        near(target[0], 120).filter(lambda n: n not in (1, 3)),
        near(target[1], 120).filter(lambda n: n not in (1, 3)),
    )
    image = noise(*map(data.draw, sides))
    plan = smoothed_plan("scipy", target, padded=False)
    assert_near(plan, image, expected("scipy", target, image, do_pad=False))


@given(height=near(20, 120), width=near(20, 120))
@settings(max_examples=20)
def test_without_a_blur(height, width):
    # transformers passes ``resample`` on as ``anti_aliasing``.
    image = noise(height, width)
    assert_near(smoothed_plan("scipy", (20, 20), blur=False), image, expected("scipy", (20, 20), image, resample=0))


def test_the_blur_counts():
    image = noise(97, 97)
    got = [
        backends(smoothed_plan("scipy", (20, 20), blur))["pil"](image[None])["pixel_values"] for blur in (True, False)
    ]
    assert np.abs(got[0] - got[1]).max() > 0.3


@pytest.mark.parametrize("library", PROCESSORS)
def test_blocks_change_no_value(library):
    for sizes in ((97, 97, 20, 20), (20, 20, 97, 97), (50, 50, 9, 31), (1, 1, 5, 5)):
        matrices = []
        for block in (1, 8, 16):
            axes = interpolation.smoothed_axes(*sizes, library, True, block)
            matrices.append(
                [dense(*axis, *ends) for axis, ends in zip(axes, zip(sizes[:2], sizes[2:], strict=True), strict=True)]
            )
        for other in matrices[1:]:
            assert all(np.abs(a - b).max() < 1e-7 for a, b in zip(matrices[0], other, strict=True))
        assert all(np.abs(axis.sum(1) - 1).max() < 1e-6 for axis in matrices[0])


def dense(start, weights, n_in, n_out):
    """All weights, ``[n_out, n_in]``."""
    matrix = np.zeros((weights.shape[0] * weights.shape[1], n_in))
    for i, first in enumerate(start.astype(int)):
        matrix[i * weights.shape[1] : (i + 1) * weights.shape[1], first : first + weights.shape[2]] += weights[i]
    return matrix[:n_out]


def test_a_plan_keeps_it_and_says_so():
    plan = smoothed_plan("torchvision", (20, 30), blur=False)
    assert Plan.from_json(plan.to_json()) == plan
    assert plan.bound == ResizeSmoothed.bound
    assert str(plan.steps[-1]) == "resize to 20x30, linear, no blur, within 2e-06 of torchvision"
    assert str(smoothed_plan("scipy", (20, 30)).steps[-1]).startswith("resize to 20x30, linear, blurred before, ")


@pytest.mark.parametrize("size", [Size(height=3, width=9), Size(height=9, width=1), Size(shortest_edge=9)], ids=str)
def test_sizes_that_are_refused(size):
    with pytest.raises(ValueError, match=f"size: expected height and width of at least 4 pixels, got {size}"):
        ResizeSmoothed(size, "scipy")


def test_other_refusals():
    size = Size(height=9, width=9)
    with pytest.raises(ValueError, match="library: expected one of scipy, torchvision, got 'opencv'"):
        ResizeSmoothed(size, "opencv")
    with pytest.raises(ValueError, match=r"'resize to 9x9, linear, .*' works on float32, but comes on uint8"):
        lower((ConvertRGB(), ResizeSmoothed(size, "scipy")))


# --- Files of Plans with a bound


def written(steps, path, claimed=None, **fields):
    """A file of ``steps`` that claims to hold ``claimed``."""
    onnx.save(with_plan(build(make_plan(*steps, **fields)), make_plan(*(claimed or steps), **fields)), path)
    return path


STEPS = Rescale(1 / 255), ResizeSmoothed(Size(height=30, width=40), "scipy")


def test_files_are_verified_to_the_bound(tmp_path):
    assert all(row.differing == 0 for row in exporter.verify(written(STEPS, tmp_path / "own.onnx")))
    near = written((Rescale(1.000001 / 255), *STEPS[1:]), tmp_path / "near.onnx", STEPS, input_size=(97, 131))
    assert [row.differing for row in exporter.verify(near)] == [0]
    for name, other in [
        ("far", (Rescale(1.00002 / 255), *STEPS[1:])),
        ("blur", (STEPS[0], ResizeSmoothed(Size(height=30, width=40), "scipy", blur=False))),
        ("library", (STEPS[0], ResizeSmoothed(Size(height=30, width=40), "torchvision"))),
    ]:
        file = written(other, tmp_path / f"{name}.onnx", STEPS, input_size=(97, 131))
        with pytest.raises(ParityError, match="values differ"):
            exporter.verify(file)


def test_a_cast_behind_may_round_the_other_way(tmp_path):
    steps = Rescale(1 / 255), ResizeSmoothed(Size(height=250, width=300), "scipy"), Cast("float16")
    own = written(steps, tmp_path / "own.onnx", input_size=(400, 500))
    assert [row.differing for row in exporter.verify(own)] == [0]
    values = {name: run(noise(400, 500)[None])["pixel_values"] for name, run in backends(make_plan(*steps)).items()}
    assert not np.array_equal(values["onnx"], values["pil"]), "no value shows it"
    far = written((Rescale(1.002 / 255), *steps[1:]), tmp_path / "far.onnx", steps, input_size=(400, 500))
    with pytest.raises(ParityError, match="values differ"):
        exporter.verify(far)


def mean_model(path):
    """A model of one node: the mean of each channel."""
    node = onnx.helper.make_node("GlobalAveragePool", ["x"], ["y"])
    x, y = (
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", 3, *size])
        for name, size in (("x", [30, 40]), ("y", [1, 1]))
    )
    graph = onnx.helper.make_graph([node], "mean", [x], [y])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=8), path)
    return path


def test_fused_files_are_verified(tmp_path):
    model = mean_model(tmp_path / "model.onnx")
    exporter.to_onnx(make_plan(*STEPS), tmp_path / "fused.onnx", model)
    assert all(row.differing == 0 and row.values == 3 for row in exporter.verify(tmp_path / "fused.onnx"))
    other = onnx.load(tmp_path / "fused.onnx")
    fusion = artifact.onnx_metadata(tmp_path / "fused.onnx")[artifact.FUSED_KEY]
    with_plan(other, make_plan(Rescale(1.00002 / 255), *STEPS[1:]), **{artifact.FUSED_KEY: fusion})
    onnx.save(other, tmp_path / "other.onnx")
    with pytest.raises(ParityError, match="the preprocessing differs from the reference"):
        exporter.verify(tmp_path / "other.onnx")


def test_fused_files_whose_preprocessing_is_beyond_the_bound(tmp_path, monkeypatch):
    model = mean_model(tmp_path / "model.onnx")
    exporter.to_onnx(make_plan(*STEPS), tmp_path / "fused.onnx", model)
    reference = ResizeSmoothed.reference
    monkeypatch.setattr(ResizeSmoothed, "reference", lambda *args: reference(*args) + np.float32(1e-4))
    with pytest.raises(ParityError, match=r"the preprocessing differs from the reference at 480x640: .* by more than"):
        exporter.verify(tmp_path / "fused.onnx")
