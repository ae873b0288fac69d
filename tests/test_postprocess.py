"""Which post-processing a file gets, and where its nodes go."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import exporter
import runtime
from exporter.postprocess import attach, choose, read_by
from models import postprocess
from models.families import FAMILIES
from runtime import ArtifactError, Plan, UnsupportedConfig, artifact, checksum
from runtime.fusion import Fusion
from runtime.ops import ConvertRGB
from runtime.postprocess import (
    POSTPROCESSORS,
    ImageClassification,
    PaintedSegmentation,
    QuerySegmentation,
    SemanticSegmentation,
    TableRecognition,
    TextRecognition,
)
from runtime.postprocess.tensors import Tensors
from runtime.postprocess.tensors_onnx import Tensors as GraphTensors

from .helpers import assert_equal, noise
from .postprocessing import classifier, families_with, logits, model_of, of_family, run_graph, run_numpy

NAMES = ("cat", "dog", "bird", "fish")


def plan(**fields):
    return Plan((ConvertRGB(),), "pillow13", **fields)


def model_with(**shapes):
    """A model with outputs of these shapes."""
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    return helper.make_model(helper.make_graph([], "outputs", [], outputs))


SCORES = {"logits": ["batch", 4]}
PIXELS = {"logits": ["batch", 4, 8, 8]}


@pytest.mark.parametrize(
    ("fields", "shapes", "name", "want"),
    [
        ({}, SCORES, "auto", None),
        ({"labels": NAMES}, SCORES, "auto", ImageClassification()),
        ({"labels": NAMES}, SCORES, "none", None),
        ({"labels": NAMES[:3]}, SCORES, "auto", None),
        ({"labels": NAMES}, PIXELS, "auto", None),
        ({"labels": NAMES}, {"x": ["batch", 4], "y": ["batch", 9]}, "auto", ImageClassification("x")),
        ({"labels": NAMES}, {"x": ["batch", 4], "y": ["batch", 4]}, "auto", None),
        ({"labels": NAMES}, {"x": ["batch", None]}, "auto", None),
        ({}, {"x": ["batch", None]}, "image_classification", ImageClassification("x")),
        ({"architecture": "ViTForImageClassification"}, {"y": ["batch", 4]}, "auto", ImageClassification("y")),
        ({"architecture": "ViTModel"}, SCORES, "auto", None),
        ({"architecture": "ViTForMaskedImageModeling", "labels": NAMES}, SCORES, "auto", ImageClassification()),
        ({"labels": NAMES, "problem_type": "regression"}, SCORES, "auto", ImageClassification(function="none")),
        (
            {"labels": NAMES, "problem_type": "multi_label_classification"},
            SCORES,
            "auto",
            ImageClassification(function="sigmoid"),
        ),
        ({"labels": NAMES[:1]}, {"logits": [1, 1]}, "auto", ImageClassification(function="sigmoid")),
        (
            {"family": "Segformer", "architecture": "SegformerForSemanticSegmentation"},
            PIXELS,
            "auto",
            SemanticSegmentation(),
        ),
        ({"family": "Segformer"}, {"y": [1, 4, 8, 8]}, "semantic_segmentation", SemanticSegmentation("y")),
        (
            {"family": "Segformer", "architecture": "SegformerForImageClassification"},
            SCORES,
            "auto",
            ImageClassification(),
        ),
        ({"family": "ViT", "architecture": "ViTForSemanticSegmentation"}, PIXELS, "auto", None),
        (
            {"family": "Detr", "architecture": "DetrForSegmentation"},
            {"logits": [1, 9, 4], "pred_boxes": [1, 9, 4], "pred_masks": [1, 9, 8, 8]},
            "auto",
            QuerySegmentation("logits", "pred_masks"),
        ),
        (
            {"family": "PPOCRV6SmallRec", "architecture": "PPOCRV6SmallRecForTextRecognition"},
            {"y": [1, None, 30]},
            "auto",
            TextRecognition("y"),
        ),
        (
            {"family": "SLANeXt", "architecture": "SLANetForTableRecognition"},
            {"last_hidden_state": [1, None, 50]},
            "auto",
            TableRecognition(),
        ),
        (
            {"family": "SegGpt", "architecture": "SegGptForImageSegmentation", "config": FAMILIES["SegGpt"].defaults},
            {"pred_masks": [1, 3, 56, 28]},
            "auto",
            PaintedSegmentation(),
        ),
    ],
    ids=str,
)
def test_what_is_chosen(fields, shapes, name, want):
    assert choose(plan(**fields), model_with(**shapes), name, {}) == want


def test_a_model_without_a_batch():
    model = model_with(logits=[4])
    helper.set_model_props(model, {artifact.FUSED_KEY: Fusion({"pixel_values": "x"}, unbatched=True).to_json()})
    assert choose(plan(labels=NAMES), model, "auto", {}) is None
    with pytest.raises(ArtifactError, match="image_classification needs outputs with an axis for the batch"):
        choose(plan(), model, "image_classification", {})


def test_the_names_that_map_may_have():
    assert read_by(plan()) == ("logits",)
    assert set(read_by(plan(family="Detr"))) == {"logits", "pred_boxes", "pred_masks"}


@pytest.mark.parametrize("name", ["logits", "nothing"])
def test_map_says_which_output_is_read(name, tmp_path):
    classifier(tmp_path / "model.onnx")
    model = onnx.load(tmp_path / "model.onnx")
    model.graph.node.append(helper.make_node("Neg", ["logits"], ["second"]))
    model.graph.output.append(helper.make_tensor_value_info("second", TensorProto.FLOAT, ["batch", 4]))
    onnx.save(model, tmp_path / "model.onnx")
    traced = exporter.trace("clip-vit-base-patch32", size=40, crop_size=32)
    more = {"model": tmp_path / "model.onnx", "postprocess": "image_classification", "map": {name: "second"}}
    if name == "nothing":
        with pytest.raises(ArtifactError, match="map: 'nothing' is none of pixel_values, logits;"):
            exporter.to_onnx(traced, tmp_path / "fused.onnx", **more)
        return
    exporter.to_onnx(traced, tmp_path / "fused.onnx", **more)
    got = runtime.load(tmp_path / "fused.onnx")(noise(40, 50))
    for key, value in run_numpy(ImageClassification(), {"logits": got.second}, (40, 50)).items():
        assert_equal(got[key], value, key)


def test_outputs_by_other_names():
    model = model_with(first=["batch", 4], second=["batch", 4])
    assert choose(plan(), model, "image_classification", {"logits": "second"}) == ImageClassification("second")
    with pytest.raises(
        ArtifactError, match="reads the model's output 'logits', but it has first, second: say which it is"
    ):
        choose(plan(), model, "image_classification", {})
    with pytest.raises(ArtifactError, match="reads the model's output 'third', but it has first, second"):
        choose(plan(), model, "image_classification", {"logits": "third"})


@pytest.mark.parametrize(
    ("family", "name", "message"),
    [
        ("ViT", "semantic_segmentation", "postprocess: ViT has no semantic_segmentation; it has image_classification"),
        ("", "depth", "postprocess: this source has no depth; it has image_classification"),
        ("Segformer", "semantic_segmentatoin", "did you mean 'semantic_segmentation'?"),
    ],
)
def test_names_that_are_unknown(family, name, message):
    with pytest.raises(UnsupportedConfig) as caught:
        choose(plan(family=family), model_with(**PIXELS), name, {})
    assert message in str(caught.value)


def test_every_task_is_a_method():
    methods = {kind.method for kind in POSTPROCESSORS.values()}
    assert set(postprocess.TASKS.values()) <= methods
    for family in FAMILIES.values():
        found = postprocess.methods(plan(family=family.name, config=dict(family.defaults)))
        assert set(found) <= methods


@pytest.mark.parametrize("method", ["semantic_segmentation", "table_recognition", "text_recognition"])
def test_the_families_with_a_method_are_those_of_transformers(method):
    assert {name for name in FAMILIES if method in of_family(name)} == families_with(method)


def test_both_runtimes_have_the_same_functions():
    ours, graphs = ({name for name in vars(kind) if name[0] != "_"} for kind in (Tensors, GraphTensors))
    assert ours == graphs


# The nodes.


def test_a_result_takes_the_name_of_a_models_output(monkeypatch):
    """And both stay apart inside; the model's own goes."""
    monkeypatch.setattr(ImageClassification, "outputs", {"scores": ("batch", "top_k"), "labels": ("batch", "top_k")})
    outputs = {"scores": logits(3, 7), "labels": logits(3, 2), "other": logits(3, 2)}
    post = ImageClassification("scores")
    model = model_of(outputs)
    attach(model, plan(postprocess=post))
    onnx.checker.check_model(model, full_check=True)
    assert [value.name for value in model.graph.output] == ["other", "scores", "labels"]
    for name, value in run_numpy(post, outputs, (5, 5)).items():
        assert_equal(run_graph(post, outputs, (5, 5))[name], value, name)


@pytest.mark.parametrize("name", ["postprocess/x", "model/scores"])
def test_names_that_are_taken(name):
    model = model_of({"scores": logits(1, 3)})
    model.graph.node.append(helper.make_node("Identity", ["scores"], [name]))
    with pytest.raises(ArtifactError, match="the model has values whose names begin with model/ or postprocess/"):
        attach(model, plan(postprocess=ImageClassification("scores")))


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
@pytest.mark.parametrize("input_size", [None, (40, 50)])
def test_a_file_gives_both_the_models_outputs_and_the_results(layout, input_size, tmp_path):
    classifier(tmp_path / "model.onnx")
    traced = exporter.trace("clip-vit-base-patch32", size=40, crop_size=32, layout=layout, input_size=input_size)
    exporter.to_onnx(replace(traced, labels=NAMES), tmp_path / "fused.onnx", model=tmp_path / "model.onnx")
    exporter.to_onnx(traced, tmp_path / "plain.onnx", model=tmp_path / "model.onnx")
    exporter.verify(tmp_path / "fused.onnx", [noise(40, 50)])
    fused, plain = (runtime.load(tmp_path / name) for name in ("fused.onnx", "plain.onnx"))
    assert (fused.plan.postprocess, plain.plan.postprocess) == (ImageClassification(), None)
    image = noise(40, 50)
    got = fused(image)
    assert_equal(got.logits, plain(image).logits, "logits")
    for name, value in run_numpy(ImageClassification(), {"logits": got.logits}, (40, 50)).items():
        assert_equal(got[name], value, name)


def test_verify_notices_a_wrong_result(tmp_path):
    classifier(tmp_path / "model.onnx")
    traced = replace(exporter.trace("clip-vit-base-patch32", size=40, crop_size=32), labels=NAMES)
    exporter.to_onnx(traced, tmp_path / "fused.onnx", model=tmp_path / "model.onnx")
    model = onnx.load(tmp_path / "fused.onnx")
    (node,) = [node for node in model.graph.node if node.op_type == "TopK"]
    node.attribute.append(helper.make_attribute("largest", 0))
    helper.set_model_props(model, {e.key: e.value for e in model.metadata_props if e.key != checksum.KEY})
    onnx.save(model, tmp_path / "fused.onnx")
    with pytest.raises(runtime.ParityError, match="differs from the reference"):
        exporter.verify(tmp_path / "fused.onnx")


# In Python.


@pytest.fixture(scope="module")
def fused(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fused")
    classifier(folder / "model.onnx")
    traced = replace(exporter.trace("clip-vit-base-patch32", size=40, crop_size=32), labels=NAMES)
    exporter.to_onnx(traced, folder / "fused.onnx", model=folder / "model.onnx")
    exporter.to_onnx(traced, folder / "none.onnx", model=folder / "model.onnx", postprocess="none")
    exporter.to_onnx(traced, folder / "pre.onnx")
    return folder


def test_predict(fused):
    pre = runtime.load(fused / "fused.onnx")
    images = [noise(40, 50), noise(50, 40), noise(40, 50, seed=1)]
    each = [pre.predict(image) for image in images]
    assert pre.predict(images) == each
    assert pre.predict(images[:1]) == each[:1]
    assert pre.predict(np.stack([images[0], images[2]])) == [each[0], each[2]]
    assert pre.predict(images[0], top_k=2) == each[0][:2]
    assert {item["label"] for item in each[0]} == set(NAMES)
    assert sum(item["score"] for item in each[0]) == pytest.approx(1, abs=1e-6)


def test_predict_with_further_inputs(tmp_path):
    classifier(tmp_path / "model.onnx")
    model = onnx.load(tmp_path / "model.onnx")
    model.graph.node[-1].output[0] = "raw"
    model.graph.node.append(helper.make_node("Add", ["raw", "prior"], ["logits"]))
    model.graph.input.append(helper.make_tensor_value_info("prior", TensorProto.FLOAT, ["batch", 4]))
    onnx.save(model, tmp_path / "model.onnx")
    traced = replace(exporter.trace("clip-vit-base-patch32", size=40, crop_size=32), labels=NAMES)
    exporter.to_onnx(traced, tmp_path / "fused.onnx", model=tmp_path / "model.onnx")
    pre = runtime.load(tmp_path / "fused.onnx")
    prior = np.float32([[0, 90, 0, 0], [0, 0, 0, 90]])
    found = pre.predict([noise(40, 50), noise(50, 40)], inputs={"prior": prior}, top_k=1)
    assert found == [[{"label": "dog", "score": 1.0}], [{"label": "fish", "score": 1.0}]]


@pytest.mark.parametrize("name", ["none.onnx", "pre.onnx"])
def test_nothing_to_predict(fused, name):
    with pytest.raises(ArtifactError, match=f"{name}: no post-processing in it, so there is nothing to predict"):
        runtime.load(fused / name).predict(noise(40, 50))
