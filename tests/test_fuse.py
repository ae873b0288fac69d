"""A model behind the preprocessing in one ONNX file: the same values as the two run one after the other."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import exporter
from runtime import ArtifactError, BackendUnavailable, artifact, load

from .helpers import assert_equal, noise


def classifier(
    path, shape=("batch", 3, 32, 32), dtype=TensorProto.FLOAT, name="pixel_values", opset=18, inner="hidden", **metadata
):
    """A small model: 3 channels pooled and multiplied to 4 scores; ``inner`` names a value inside it."""
    weight = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
    nodes = [
        helper.make_node("Cast", [name], ["as_float"], to=TensorProto.FLOAT),
        helper.make_node("GlobalAveragePool", ["as_float"], [inner]),
        helper.make_node("Flatten", [inner], ["flat"]),
        helper.make_node("MatMul", ["flat", "weight"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "classifier",
        [helper.make_tensor_value_info(name, dtype, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [shape[0], 4])],
        [numpy_helper.from_array(weight, "weight")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    helper.set_model_props(model, metadata)
    onnx.save(model, path)
    return path


def run(path, inputs):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: inputs})[0]


def plan(**overrides):
    return exporter.trace("clip-vit-base-patch32", **{"size": 40, "crop_size": 32, **overrides})


@pytest.mark.parametrize(
    "model",
    [
        {},
        {"opset": 13},
        {"opset": 20},
        {"name": "images"},
        {"inner": "preprocess/resize"},
        {"inner": "images"},
        {"shape": (1, 3, 32, 32)},
        {"shape": ("batch", 3, "height", "width")},
    ],
    ids=str,
)
def test_equal_to_one_after_the_other(model, tmp_path):
    classifier(tmp_path / "model.onnx", **model)
    exporter.to_onnx(plan(), tmp_path / "pre.onnx")
    exporter.to_onnx(plan(), tmp_path / "fused.onnx", model=tmp_path / "model.onnx")
    onnx.checker.check_model(onnx.load(tmp_path / "fused.onnx"), full_check=True)
    for height, width in ((60, 45), (45, 60), (33, 33), (5, 90)):
        images = noise(height, width)[None]
        want = run(tmp_path / "model.onnx", run(tmp_path / "pre.onnx", images))
        assert_equal(run(tmp_path / "fused.onnx", images), want, f"{model} at {height}x{width}")
    exporter.verify(tmp_path / "fused.onnx")


@pytest.mark.parametrize(
    ("overrides", "dtype"),
    [({"dtype": "float16"}, TensorProto.FLOAT16), ({"do_rescale": False, "do_normalize": False}, TensorProto.UINT8)],
)
def test_models_of_other_dtypes(overrides, dtype, tmp_path):
    classifier(tmp_path / "model.onnx", dtype=dtype)
    exporter.to_onnx(plan(**overrides), tmp_path / "pre.onnx")
    exporter.to_onnx(plan(**overrides), tmp_path / "fused.onnx", model=tmp_path / "model.onnx")
    images = noise(50, 70)[None]
    want = run(tmp_path / "model.onnx", run(tmp_path / "pre.onnx", images))
    assert_equal(run(tmp_path / "fused.onnx", images), want, str(overrides))


def test_loads_and_keeps_the_models_metadata(tmp_path):
    classifier(tmp_path / "model.onnx", author="somebody")
    exporter.to_onnx(plan(), tmp_path / "fused.onnx", model=tmp_path / "model.onnx")
    metadata = artifact.onnx_metadata(tmp_path / "fused.onnx")
    assert metadata["author"] == "somebody"
    pre = load(tmp_path / "fused.onnx")
    assert pre.output_names == ("logits",)
    assert pre([noise(40, 50), noise(50, 40)]).logits.shape == (2, 4)
    for backend in ("torch", "torchscript", "pil"):
        with pytest.raises(BackendUnavailable, match="needs backend 'onnx'"):
            load(tmp_path / "fused.onnx", backend=backend)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            {"shape": ("batch", 3, 64, 64)},
            r"takes float \[batch, 3, 64, 64\], but .* gives float32 \[batch, 3, 32, 32\]",
        ),
        ({"shape": ("batch", 1, 32, 32)}, r"takes float \[batch, 1, 32, 32\]"),
        ({"shape": ("batch", 32, 32, 3)}, r"takes float \[batch, 32, 32, 3\]"),
        ({"dtype": TensorProto.FLOAT16}, r"takes float16 .* gives float32"),
        ({"dtype": TensorProto.UINT8}, r"takes uint8 .* gives float32"),
    ],
    ids=str,
)
def test_a_model_that_does_not_fit(model, message, tmp_path):
    classifier(tmp_path / "model.onnx", **model)
    with pytest.raises(ArtifactError, match=message):
        exporter.to_onnx(plan(), tmp_path / "fused.onnx", model=tmp_path / "model.onnx")
    assert not (tmp_path / "fused.onnx").exists()


def test_files_that_are_no_model(tmp_path):
    (tmp_path / "text.onnx").write_text("not a model")
    (tmp_path / "empty.onnx").write_bytes(b"")
    whole = classifier(tmp_path / "model.onnx").read_bytes()
    (tmp_path / "half.onnx").write_bytes(whole[: len(whole) // 2])
    for name, message in (
        ("none.onnx", "no such model file"),
        ("text.onnx", "not an ONNX model"),
        ("empty.onnx", "not an ONNX model"),
        ("half.onnx", "not an ONNX model"),
    ):
        with pytest.raises(ArtifactError, match=message):
            exporter.to_onnx(plan(), tmp_path / "fused.onnx", model=tmp_path / name)
    assert not (tmp_path / "fused.onnx").exists()


def test_a_model_with_two_inputs_is_named(tmp_path):
    model = onnx.load(classifier(tmp_path / "model.onnx"))
    model.graph.input.append(helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", 7]))
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(ArtifactError, match="one input, the image; it has pixel_values, input_ids"):
        exporter.to_onnx(plan(), tmp_path / "fused.onnx", model=tmp_path / "model.onnx")
