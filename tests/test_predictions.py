"""What `run` prints and draws of a file that holds a model and its post-processing."""

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

import runtime
from exporter import cli

from .helpers import noise
from .postprocessing import classifier

SEGFORMER = {"image_processor_type": "SegformerImageProcessor", "size": {"height": 32, "width": 32}}
LABELS = {"id2label": {"0": "sky", "1": "road", "2": "tree", "3": "car"}}


def segmenter(path, classes=4):
    """A model that gives logits a patch of 8 x 8 pixels."""
    weight = np.random.default_rng(0).standard_normal((classes, 3, 8, 8)).astype(np.float32)
    nodes = [helper.make_node("Conv", ["pixel_values", "weight"], ["logits"], strides=[8, 8])]
    image = helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, ["batch", 3, 32, 32])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", classes, 4, 4])
    graph = helper.make_graph(nodes, "segmenter", [image], [logits], [numpy_helper.from_array(weight, "weight")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A segmenter's checkpoint, two photographs, and the segmenter."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(SEGFORMER))
    config = {"architectures": ["SegformerForSemanticSegmentation"], "model_type": "segformer", **LABELS}
    (tmp_path / "config.json").write_text(json.dumps(config))
    segmenter("model.onnx")
    Image.fromarray(noise(37, 53)).save("photo.png")
    Image.fromarray(noise(53, 37)).save("portrait.png")
    return tmp_path


@pytest.fixture
def command(capsys):
    """Runs a command line; its exit code, and the lines of stdout and stderr."""

    def run(*arguments):
        capsys.readouterr()
        code = cli.main(list(arguments))
        out, err = capsys.readouterr()
        return code, out.splitlines(), err.splitlines()

    return run


@pytest.fixture
def fused(folder, command):
    assert command(".", "--model", "model.onnx", "-o", "fused.onnx", "--no-verify")[0] == 0
    return "fused.onnx"


def test_classes_by_their_share(fused, command):
    code, out, err = command("run", fused, "photo.png")
    assert (code, err) == (0, [])
    assert out[:4] == [
        "logits: float32 [1, 4, 4, 4]",
        "segmentation: int64 [1, 37, 53]",
        "photo.png",
        " segmentation: int64 [37, 53]",
    ]
    mask = runtime.load(fused).predict("photo.png")["segmentation"]
    shares = [(float(line.split("%")[0]), line.split("%")[1].strip()) for line in out[4:]]
    assert shares == sorted(shares, reverse=True)
    for share, name in shares:
        label = next(int(number) for number, known in LABELS["id2label"].items() if known == name)
        assert share == pytest.approx(100 * (mask == label).mean(), abs=0.006)


def test_images_of_several_sizes(fused, command):
    code, out, err = command("run", fused, "photo.png", "portrait.png")
    assert (code, err) == (0, [])
    assert out[:2] == ["logits: float32 [2, 4, 4, 4]", "segmentation: int64 [1, 37, 53] and [1, 53, 37]"]
    assert [line for line in out if line.endswith(".png")] == ["photo.png", "portrait.png"]
    code, _, err = command("run", fused, "photo.png", "portrait.png", "-o", "out.npz")
    assert code == 2
    assert "segmentation: these images give sizes (37, 53), (53, 37), which cannot be one batch" in err[0]


def test_the_mask_is_drawn(fused, folder, command):
    code, out, _ = command("run", fused, "photo.png", "--draw", "out.png")
    assert (code, out[-1]) == (0, "wrote out.png")
    with Image.open("out.png") as picture:
        assert picture.size == (53, 37)


def test_post_processing_by_name(folder, command):
    (folder / "config.json").unlink()
    command(".", "--model", "model.onnx", "-o", "plain.onnx", "--no-verify")
    assert runtime.load("plain.onnx").output_names == ("logits",)
    command(".", "--model", "model.onnx", "-o", "a.onnx", "--no-verify", "--postprocess", "semantic_segmentation")
    assert runtime.load("a.onnx").output_names == ("logits", "segmentation")
    code, _, err = command(".", "--model", "model.onnx", "-o", "b.onnx", "--postprocess", "depth")
    assert (code, (folder / "b.onnx").exists()) == (2, False)
    assert err[-1].startswith("export-preprocessor: postprocess: Segformer has no depth; it has image_classification,")


def test_inspect_says_what_is_done_with_the_outputs(fused, command):
    out = command("inspect", fused)[1]
    assert any("semantic segmentation: logits resized to the image" in line for line in out)
    assert out[-1] == " 4 labels: sky, road, tree, …"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["photo.png", "--draw", "out.jpg"], "out.jpg: expected a name that ends in .png"),
        (["photo.png", "portrait.png", "--draw", "out.png"], "--draw: expected one image, got 2"),
        (["photo.png", "--threshold", "0.5"], "--threshold: fused.onnx finds no objects that have scores"),
    ],
)
def test_flags_that_make_no_sense(fused, folder, command, arguments, message):
    assert command("run", fused, *arguments) == (2, [], [f"export-preprocessor: {message}"])
    assert not (folder / "out.png").exists()


@pytest.mark.parametrize("flags", [["--draw", "out.png"], ["--threshold", "0.5"]], ids=" ".join)
def test_flags_of_files_that_predict_nothing(folder, command, flags):
    command(".", "--model", "model.onnx", "-o", "plain.onnx", "--no-verify", "--postprocess", "none")
    code, _, err = command("run", "plain.onnx", "photo.png", *flags)
    assert code == 2
    assert err[0].startswith(f"export-preprocessor: {flags[0]}: plain.onnx ")


def test_classes_cannot_be_drawn(folder, command):
    classifier("classifier.onnx")
    (folder / "config.json").write_text(json.dumps({"architectures": ["SegformerForImageClassification"], **LABELS}))
    command(".", "--model", "classifier.onnx", "-o", "fused.onnx", "--no-verify")
    code, out, _ = command("run", "fused.onnx", "photo.png")
    assert code == 0
    assert sorted(line.split()[-1] for line in out[-4:]) == ["car", "road", "sky", "tree"]
    code, _, err = command("run", "fused.onnx", "photo.png", "--draw", "out.png")
    assert (code, err) == (2, ["export-preprocessor: this result has neither boxes nor a mask, which could be drawn"])
    assert not (folder / "out.png").exists()
