"""Artifacts for images of one size: the same bits, the weights in the file."""

import dataclasses

import onnx
import pytest
from PIL import Image

import exporter
import runtime
from exporter.cli import main
from runtime import InputError, UnsupportedConfig
from runtime.plan import Plan

from .helpers import assert_equal, assert_everywhere, noise

PRESETS = ["vit-base-patch16-224", "clip-vit-base-patch32"]


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("reference", ["pillow13", "pillow12.1", "torchvision"])
@pytest.mark.parametrize("size", [(480, 640), (640, 480), (97, 131), (1, 1), (2000, 31), (224, 224)])
@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
def test_equals_the_artifact_for_all_sizes(preset, reference, size, layout, tmp_path):
    anything = exporter.trace(preset, reference=reference, layout=layout)
    fixed = dataclasses.replace(anything, input_size=size)
    image = noise(*size)
    exporter.to_onnx(fixed, tmp_path / "fixed.onnx")
    both = [Image.fromarray(image)] * 2  # arrays of one row would be taken for channels first
    got = runtime.load(tmp_path / "fixed.onnx", backend="onnx")(both)
    expected = runtime.load(tmp_path / "fixed.onnx", backend="pil")(both)
    assert_equal(got.pixel_values, expected.pixel_values, size)
    assert_everywhere(fixed, image)


def test_the_graph_is_small_and_its_shape_is_fixed(tmp_path):
    exporter.to_onnx(exporter.trace(PRESETS[0], input_size=(480, 640)), tmp_path / "fixed.onnx")
    model = onnx.load(tmp_path / "fixed.onnx")
    assert [d.dim_value or d.dim_param for d in model.graph.input[0].type.tensor_type.shape.dim] == [
        "batch",
        480,
        640,
        3,
    ]
    assert len(model.graph.node) < 40  # no weights to compute
    assert not any(node.op_type == "If" for node in model.graph.node)


@pytest.mark.parametrize("backend", ["onnx", "torch", "pil"])
def test_other_sizes_are_refused(backend, tmp_path):
    exporter.to_onnx(exporter.trace(PRESETS[0], input_size=(48, 64)), tmp_path / "fixed.onnx")
    loaded = runtime.load(tmp_path / "fixed.onnx", backend=backend)
    with pytest.raises(InputError, match=r"takes images of 48x64 pixels only, got 64x48"):
        loaded([noise(48, 64), noise(64, 48)])


@pytest.mark.parametrize("size", [(0, 4), (4, -1), (4,), (4, 5, 6), [4, 5], (4.0, 5), (True, 4), "4x5", 4])
def test_sizes_that_are_none_are_refused(size):
    with pytest.raises(UnsupportedConfig, match="input_size: expected"):
        exporter.trace(PRESETS[0], input_size=size)


def test_a_size_that_the_steps_refuse_is_refused_at_once():
    with pytest.raises(UnsupportedConfig, match=r"input_size: .* would be resized to"):
        exporter.trace(PRESETS[1], input_size=(1, 10_000_000))


@pytest.mark.parametrize("size", [None, (3, 4)])
def test_json_keeps_it(size):
    plan = exporter.trace(PRESETS[0], input_size=size)
    assert Plan.from_json(plan.to_json()) == plan
    assert plan.input_size == size


def test_command(tmp_path, capsys):
    path = tmp_path / "fixed.onnx"
    assert main([PRESETS[1], "--input-size", "48x64", "-o", str(path)]) == 0
    assert "48x64" in capsys.readouterr().out
    assert runtime.load(path).plan.input_size == (48, 64)
    assert main(["verify", str(path)]) == 0
    assert main([PRESETS[1], "--input-size", "48by64", "-o", str(path)]) == 2
    assert "--input-size: expected N or HEIGHTxWIDTH" in capsys.readouterr().err
    assert main(["inspect", str(path), "--input-size", "5x5"]) == 2
    assert "--input-size: says how to read a source" in capsys.readouterr().err
