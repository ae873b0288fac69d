"""Keras Hub's presets: against keras_hub on its torch backend where it is installed, and against Keras' own layer."""

import contextlib
import json
import os
import shutil
import socket

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

import exporter
import runtime
from exporter.cli import main
from models import keras as source
from models import sources
from models.config import UnreadKeyWarning
from runtime import UnsupportedConfig
from runtime.ops import ChannelsLast, CropToRatio, Pad, ResizeKeras, ScaleOffset
from runtime.ops.size import Size
from runtime.preprocessor import Preprocessor

from .helpers import assert_equal, assert_everywhere, noise

SIZES = ((97, 131), (300, 223), (224, 224), (31, 33), (2, 5), (40, 400), (400, 40), (1, 1), (225, 224))
POLICY = {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float32"}, "registered_name": None}
IMAGENET = {"scale": [0.01712475, 0.017507, 0.01742919], "offset": [-2.11790393, -2.03571429, -1.80444444]}

CONFIGS = {
    "a classifier of 2024": {"image_size": [64, 64], **IMAGENET, "interpolation": "bicubic", "antialias": True},
    "one that stretches": {"image_size": [48, 80], "scale": 1 / 127.5, "offset": -1, "crop_to_aspect_ratio": False},
    "one that pads": {"image_size": [80, 60], **IMAGENET, "crop_to_aspect_ratio": False, "pad_to_aspect_ratio": True},
    "a small one": {"image_size": [32, 32], "scale": 1 / 255},
    "nearest": {"image_size": [100, 90], "interpolation": "nearest", "antialias": True, "scale": [1.0, 2.0, -3.0]},
    "bicubic points": {"image_size": [90, 100], "interpolation": "bicubic"},
    "antialiased": {"image_size": [70, 130], "antialias": True, "scale": 1, "offset": [1, 2, 3]},
    "pixels only": {"image_size": [130, 129]},
    "no size": {"image_size": None, "scale": 0.1, "offset": None},
    "nothing": {},
    "channels first": {"image_size": [64, 80], "scale": 1 / 255, "data_format": "channels_first"},
}
"""Configs of an ``ImageConverter``."""


def converter(config, name="ViTImageConverter", package="keras_hub"):
    """An ``image_converter.json`` as Keras serializes the layer."""
    return {
        "module": "keras_hub.src.models.some_model",
        "class_name": name,
        "config": {"name": "layer", "trainable": True, "dtype": POLICY, "bounding_box_format": "yxyx", **config},
        "registered_name": f"{package}>{name}",
    }


def preprocessor(config, name="ViTImageClassifierPreprocessor", **more):
    """A ``preprocessor.json``."""
    layer = converter(config) if config is not None else None
    inner = {"name": "task", "trainable": True, "dtype": POLICY, "image_converter": layer, **more}
    return {**converter({}, name), "config": {**inner, "config_file": "preprocessor.json"}}


def write(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def refusal(source, **overrides):
    with pytest.raises(UnsupportedConfig) as caught:
        exporter.trace(source, **overrides)
    return list(caught.value.problems)


@pytest.fixture
def trace(tmp_path):
    """The Plan of a config of the converter."""

    def trace(config, name="ViTImageConverter", **overrides):
        write(tmp_path, image_converter=converter(config, name))
        return exporter.trace(tmp_path / "image_converter.json", **overrides)

    return trace


# --- Pixels


@pytest.fixture(scope="module")
def keras(tmp_path_factory):
    """Keras on torch. It writes its settings into the home folder, unless told otherwise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_BACKEND", "torch")
        patch.setenv("KERAS_HOME", os.fspath(tmp_path_factory.mktemp("keras")))
        keras = pytest.importorskip("keras")
        if keras.backend.backend() != "torch":
            pytest.skip("keras runs on another backend already")
        yield keras


@pytest.fixture(scope="module")
def keras_hub(keras):
    """keras_hub asks for TensorFlow when it is installed, but not when it runs."""
    return pytest.importorskip("keras_hub")


@contextlib.contextmanager
def two_threads():
    """With one, torch takes bilinear positions otherwise: see ResizeKeras."""
    torch.set_num_threads(2)
    try:
        yield
    finally:
        torch.set_num_threads(1)


def of_the_layers(keras, config, images):
    """What an ImageConverter makes of uint8 ``[N, H, W, 3]``: Keras' layer, and two operations."""
    first = config.get("data_format") == "channels_first"
    result = torch.from_numpy(images.transpose(0, 3, 1, 2) if first else images)
    keys = ("interpolation", "antialias", "pad_to_aspect_ratio", "data_format")
    settings = {key: config[key] for key in keys if key in config}
    if config.get("image_size") is not None:
        resizing = keras.layers.Resizing(
            *config["image_size"], crop_to_aspect_ratio=config.get("crop_to_aspect_ratio", True), **settings
        )
        with two_threads():
            result = resizing(result).cpu()
    for key, operation in (("scale", torch.mul), ("offset", torch.add)):
        if config.get(key) is not None:
            number = torch.tensor(config[key], dtype=torch.float64).float()
            result = operation(result.float(), number.reshape(-1, 1, 1) if first and number.dim() else number)
    return result.numpy()


@pytest.mark.parametrize("name", CONFIGS)
def test_every_backend_equals_kerass_layer(keras, trace, name):
    plan = trace(CONFIGS[name])
    for shape in SIZES:
        images = np.stack([noise(*shape), noise(*shape, seed=1)])
        assert_everywhere(plan, images, of_the_layers(keras, CONFIGS[name], images))


@pytest.mark.parametrize("name", [name for name in CONFIGS if name != "channels first"])
def test_every_backend_equals_keras_hub(keras, keras_hub, tmp_path, name):
    layer = keras_hub.layers.ViTImageConverter(**CONFIGS[name])
    whole = keras_hub.models.ViTImageClassifierPreprocessor(image_converter=layer)
    for file, thing in (("preprocessor", whole), ("image_converter", layer)):
        write(tmp_path / file, **{file: keras.saving.serialize_keras_object(thing)})
        plan = exporter.trace(tmp_path / file)
        for shape in SIZES:
            images = np.stack([noise(*shape), noise(*shape, seed=1)])
            with two_threads():
                expected = thing(images).cpu().numpy()
            assert_everywhere(plan, images, expected)


def test_labels_are_those_of_keras_hub(keras_hub, tmp_path):
    image, labels, weights = noise(30, 41), np.array([3]), np.array([0.5])
    layer = keras_hub.layers.ImageConverter(**CONFIGS["a small one"])
    theirs = keras_hub.models.ImageClassifierPreprocessor(image_converter=layer)
    write(tmp_path, preprocessor=preprocessor(CONFIGS["a small one"]))
    ours = Preprocessor(exporter.trace(tmp_path), "pil")
    for given in [(), (labels,), (labels, weights), (None, weights)]:
        got, expected = ours(image, *given), theirs(image, *given)
        assert isinstance(got, tuple) == isinstance(expected, tuple)
        got, expected = ((value if isinstance(value, tuple) else (value,)) for value in (got, expected))
        assert len(got) == len(expected)
        assert_equal(got[0].pixel_values, expected[0].cpu().numpy()[None], str(len(given)))
        assert all(a is b for a, b in zip(got[1:], expected[1:], strict=True))


def test_every_converter_of_keras_hub(keras_hub, tmp_path):
    names = {name.removesuffix("ImageConverter") for name in dir(keras_hub.layers) if name.endswith("ImageConverter")}
    known = {*source.SAME, *source.FLOAT32, *source.PATCHES}
    assert names <= known
    base = keras_hub.layers.ImageConverter
    for name in names - {*source.PATCHES}:
        layer = getattr(keras_hub.layers, f"{name}ImageConverter")
        own = vars(layer)
        assert issubclass(layer, base)
        if name in source.SAME and name:
            assert not {"__init__", "call", "_call_python"} & set(own), name


def test_blip2s_own_numbers(keras, keras_hub, tmp_path):
    layer = keras_hub.layers.BLIP2ImageConverter()
    write(tmp_path, image_converter=keras.saving.serialize_keras_object(layer))
    images = noise(97, 131)[None]
    with two_threads():
        expected = layer(images).cpu().numpy()
    assert_everywhere(exporter.trace(tmp_path), images, expected)


# --- What a config means


@pytest.mark.parametrize(
    ("config", "steps"),
    [
        ({}, ()),
        (
            {"image_size": [30, 40]},
            (CropToRatio(30, 40), ResizeKeras(Size(height=30, width=40), "bilinear")),
        ),
        (
            {"image_size": [30, 40], "crop_to_aspect_ratio": False, "interpolation": "bicubic", "antialias": True},
            (ResizeKeras(Size(height=30, width=40), "bicubic", True),),
        ),
        (
            {"image_size": [30, 40], "crop_to_aspect_ratio": None, "pad_to_aspect_ratio": True},
            (
                Pad(Size(ratio_height=30, ratio_width=40), centered=True),
                ResizeKeras(Size(height=30, width=40), "bilinear"),
            ),
        ),
        ({"scale": 0.5}, (ScaleOffset((0.5,) * 3, (0.0,) * 3),)),
        ({"scale": [1, 2, 3], "offset": -1}, (ScaleOffset((1.0, 2.0, 3.0), (-1.0,) * 3),)),
        (
            {"height": 30, "width": 40, "crop_to_aspect_ratio": False},
            (ResizeKeras(Size(height=30, width=40), "bilinear"),),
        ),
        (
            {"scale": 0.5, "mean": [1.0, 2.0, 3.0], "variance": [4.0, 16.0, 0.25]},
            (ScaleOffset((0.25, 0.125, 1.0), (-0.5, -0.5, -6.0)),),
        ),
    ],
)  # fmt: skip
def test_the_steps_of_a_config(trace, config, steps):
    plan = trace(config)
    assert plan.steps == (*steps, ChannelsLast())
    assert (plan.family, plan.reference, plan.bound, dict(plan.config)) == ("KerasHub", "torchvision", 0, {})


def test_channels_first_stay_first(trace):
    assert trace({"data_format": "channels_first"}).steps == ()
    assert trace({"data_format": "channels_last"}).steps == (ChannelsLast(),)


@pytest.mark.parametrize("channels", [1, 4])
def test_other_numbers_of_channels(trace, channels):
    plan = trace({"scale": 0.5, "image_size": [9, 8]}, channels=channels)
    assert plan.steps[-2] == ScaleOffset((0.5,) * channels, (0.0,) * channels)
    assert_everywhere(plan, noise(30, 40, channels=channels))


@pytest.mark.parametrize("name", [*source.SAME, *source.FLOAT32])
def test_every_class_that_adds_no_steps(trace, name):
    plan = trace({"image_size": [9, 8], "crop_to_aspect_ratio": False}, f"{name}ImageConverter")
    filter, antialias = ("bicubic", True) if name == "BLIP2" else ("bilinear", False)
    assert plan.steps[0] == ResizeKeras(Size(height=9, width=8), filter, antialias)


@pytest.mark.parametrize("name", ["ViT", *source.FLOAT32])
@pytest.mark.parametrize("dtype", ["bfloat16", {"class_name": "DTypePolicy", "config": {"name": "mixed_float16"}}])
def test_computing_in_another_dtype(trace, name, dtype):
    if name == "ViT":
        with pytest.raises(UnsupportedConfig, match=r"dtype: expected float32, got .*float16"):
            trace({"dtype": dtype})
    else:
        assert trace({"dtype": dtype}, f"{name}ImageConverter").steps[-1] == ChannelsLast()


def test_overrides(trace):
    config = {**CONFIGS["a classifier of 2024"], "height": 7, "width": 7}
    plan = trace(config, image_size=[30, 40], interpolation="nearest", offset=None, crop_to_aspect_ratio=False)
    scale = ScaleOffset(tuple(IMAGENET["scale"]), (0.0,) * 3)
    assert plan.steps == (ResizeKeras(Size(height=30, width=40), "nearest"), scale, ChannelsLast())
    with pytest.raises(UnsupportedConfig, match=r"imagesize: KerasHub has no such key \(did you mean 'image_size'"):
        trace(config, imagesize=[30, 40])


def test_a_key_that_keras_does_not_know(trace):
    with pytest.warns(UnreadKeyWarning, match="KerasHub does not read colour"):
        trace({"colour": "red"})
    with pytest.raises(UnsupportedConfig, match="colour: KerasHub does not read this key"):
        trace({"colour": "red"}, strict=True)


SIDES = "expected [height, width], each an integer from 1 to 65535, or null"
NUMBERS = "expected a finite number, or three of them (red, green, blue)"
SCALED = "expected null without a scale, for Keras adds it to uint8 then; or set scale to 1"


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"image_size": 224}, f"image_size: {SIDES}, got 224"),
        ({"image_size": [224]}, f"image_size: {SIDES}, got [224]"),
        ({"image_size": [9, 0]}, f"image_size: {SIDES}, got [9, 0]"),
        ({"image_size": [9, 9.5]}, f"image_size: {SIDES}, got [9, 9.5]"),
        ({"scale": "1"}, f"scale: {NUMBERS}, got '1'"),
        ({"scale": [1, 2]}, f"scale: {NUMBERS}, got [1, 2]"),
        ({"scale": 1, "offset": [1, 2]}, f"offset: {NUMBERS}, got [1, 2]"),
        ({"offset": -1}, f"offset: {SCALED}, got -1"),
        ({"interpolation": "lanczos3"}, "interpolation: expected one of nearest, bilinear, bicubic, got 'lanczos3'"),
        ({"interpolation": None}, "interpolation: expected one of nearest, bilinear, bicubic, got None"),
        ({"antialias": 1}, "antialias: expected true, false or null, got 1"),
        (
            {"pad_to_aspect_ratio": True},
            "crop_to_aspect_ratio, pad_to_aspect_ratio: expected only one of them to be true",
        ),
        ({"data_format": "NHWC"}, "data_format: expected channels_last, channels_first or null, got 'NHWC'"),
        ({"dtype": "float16"}, "dtype: expected float32, got 'float16'"),
    ],
)  # fmt: skip
def test_what_is_refused(tmp_path, config, problem):
    write(tmp_path, image_converter=converter(config))
    assert refusal(tmp_path) == [problem]


def test_all_problems_at_once(tmp_path):
    config = {"image_size": 9, "scale": "a", "offset": "b", "antialias": "c", "dtype": 1}
    write(tmp_path, image_converter=converter(config))
    assert [problem.partition(":")[0] for problem in refusal(tmp_path)] == [
        "dtype", "antialias", "image_size", "offset", "scale",
    ]  # fmt: skip


@pytest.mark.parametrize("numbers", [([1.0], "a", 1), ([-1.0], [1.0], 1), ([0.0], [1.0], 1), ([1.0], [1.0], None)])
def test_a_broken_mean_and_variance(tmp_path, numbers):
    variance, mean, scale = numbers
    write(tmp_path, image_converter=converter({"variance": variance, "mean": mean, "scale": scale}))
    (problem,) = refusal(tmp_path)
    assert problem.endswith(f"got {scale!r}, {mean!r} and {variance!r}")
    assert "scale, mean and variance: expected a number, and a list each of numbers above 0 for variance" in problem


def test_only_one_reference(trace):
    assert trace({}, reference="torchvision") == trace({})
    with pytest.raises(UnsupportedConfig, match="use torchvision"):
        trace({}, reference="pillow13")
    with pytest.raises(UnsupportedConfig, match=r"type: .*image_converter\.json says itself what it is"):
        trace({}, type="ViT")


# --- Where the configs are


def test_a_folder_a_file_and_the_hubs_cache(tmp_path, monkeypatch):
    config = CONFIGS["a small one"]
    backbone = converter({"image_shape": [32, 32, 3]}, "ViTBackbone")
    plans = []
    for files in (
        {"preprocessor": preprocessor(config)},
        {"image_converter": converter(config, "ImageConverter")},
        {"preprocessor": preprocessor(config), "image_converter": converter({}), "config": backbone},
        {"image_converter": converter(config, package="keras_nlp"), "config": backbone},
    ):
        folder = tmp_path / str(len(plans))
        write(folder, **files)
        plans.append(exporter.trace(folder).steps)
        plans.append(exporter.trace(folder / f"{next(iter(files))}.json").steps)
    assert len(plans[0]) == 4
    assert all(steps == plans[0] for steps in plans)

    monkeypatch.setattr(socket, "create_connection", lambda *a, **k: (_ for _ in ()).throw(OSError()))
    commit = tmp_path / "cache" / "models--keras--vit" / "snapshots" / ("a" * 40)
    shutil.copytree(tmp_path / "2", commit)
    (commit.parents[1] / "refs").mkdir()
    (commit.parents[1] / "refs" / "main").write_text("a" * 40)
    assert exporter.trace("keras/vit", cache_dir=tmp_path / "cache").steps == plans[0]


def test_transformers_configs_come_first(tmp_path):
    vit = {"image_processor_type": "ViTImageProcessor", "size": {"height": 32, "width": 32}}
    write(tmp_path, preprocessor_config=vit, preprocessor=preprocessor({}))
    assert exporter.trace(tmp_path).family == "ViT"


GIVE = "give a preset with an image_converter.json"
LABELS = "takes or changes more than images: give the preset's image_converter.json, for the images"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (converter({}, "Gemma4ImageConverter"), "the grid of patches depends on the image; not supported"),
        (converter({}, "VitImageConverter"), "keras_hub has no VitImageConverter (did you mean 'ViT'?)"),
        (converter({}, "ViTBackbone"), f"ViTBackbone holds no image_converter: {GIVE}"),
        (preprocessor(None), f"ViTImageClassifierPreprocessor holds no image_converter: {GIVE}"),
        (preprocessor({}, "RetinaNetObjectDetectorPreprocessor"), f"RetinaNetObjectDetectorPreprocessor {LABELS}"),
        (preprocessor({}, "PaliGemmaCausalLMPreprocessor"), f"PaliGemmaCausalLMPreprocessor {LABELS}"),
        (preprocessor({}, "SAMImageSegmenterPreprocessor"), f"SAMImageSegmenterPreprocessor {LABELS}"),
        (
            preprocessor({}, "DeepLabV3ImageSegmenterPreprocessor", resize_output_mask=True),
            f"DeepLabV3ImageSegmenterPreprocessor {LABELS}",
        ),
    ],
)
def test_objects_without_a_converter_of_their_own(tmp_path, content, problem):
    write(tmp_path, preprocessor=content)
    (found,) = refusal(tmp_path)
    assert found.startswith(f"{tmp_path}: ")
    assert found.endswith(problem)


@pytest.mark.parametrize(
    "name", ["DeepLabV3ImageSegmenter", "DepthAnythingDepthEstimator", "BASNet", "ImageClassifier"]
)
def test_preprocessors_that_leave_labels_alone(tmp_path, name):
    write(tmp_path, preprocessor=preprocessor({"scale": 2.0}, f"{name}Preprocessor", resize_output_mask=False))
    assert exporter.trace(tmp_path).steps == (ScaleOffset((2.0,) * 3, (0.0,) * 3), ChannelsLast())


@pytest.mark.parametrize("change", [{"registered_name": None}, {"registered_name": "mine>ViT"}, {"config": None}])
def test_what_is_not_keras_hubs(tmp_path, change):
    write(tmp_path, image_converter={**converter({}), **change})
    assert not source.is_config({**converter({}), **change})
    assert refusal(tmp_path)[0].startswith(f"{tmp_path}: holds neither ")
    assert not any(is_config({"registered_name": 3}) for is_config, _ in sources.SHAPES)


# --- The command, and a model behind it


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    return write(tmp_path_factory.mktemp("preset"), preprocessor=preprocessor(CONFIGS["a classifier of 2024"]))


def test_the_command(preset, tmp_path, capsys):
    file = tmp_path / "x.onnx"
    assert main([str(preset), "-o", str(file), "--no-verify"]) == 0
    assert main(["inspect", str(file)]) == 0
    assert "resize to 64x64, bicubic, antialiased, as Keras on torch" in capsys.readouterr().out
    pre = runtime.load(file, "onnx")
    x, y, w = pre([noise(50, 41), noise(41, 50)], [1, 2], [0.5, 1.0])
    assert (x.pixel_values.shape, x.pixel_values.dtype, y, w) == ((2, 64, 64, 3), np.float32, [1, 2], [0.5, 1.0])
    assert_equal(x.pixel_values, Preprocessor(pre.plan, "pil")([noise(50, 41), noise(41, 50)]).pixel_values, "onnx")
    half = exporter.trace(preset, dtype="float16")
    expected = x.pixel_values[:1].astype(np.float16)
    assert_everywhere(half, noise(50, 41), expected)


def model(path, shape):
    """The largest value of each image."""
    graph = helper.make_graph(
        [helper.make_node("ReduceMax", ["image"], ["largest"], axes=[1, 2, 3], keepdims=0)],
        "model",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("largest", TensorProto.FLOAT, [shape[0]])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.mark.parametrize("shape", [["batch", 64, 64, 3], ["batch", 3, 64, 64]], ids=str)
def test_a_model_behind_it_takes_channels_last_or_first(preset, tmp_path, shape):
    plan = exporter.trace(preset, input_size=(50, 41))
    exporter.to_onnx(plan, tmp_path / "fused.onnx", model(tmp_path / "model.onnx", shape))
    image = noise(50, 41)
    expected = Preprocessor(plan, "pil")(image).pixel_values.max((1, 2, 3))
    assert_equal(runtime.load(tmp_path / "fused.onnx")(image).largest, expected, "fused")
    exporter.verify(tmp_path / "fused.onnx")


@pytest.mark.parametrize("format", ["onnx", "pt"])
def test_files_give_the_plans_values(preset, tmp_path, format):
    plan = exporter.trace(preset, input_size=(50, 41))
    write_file = {"onnx": exporter.to_onnx, "pt": exporter.to_torchscript}[format]
    write_file(plan, tmp_path / f"x.{format}")
    exporter.verify(tmp_path / f"x.{format}", [noise(50, 41)])
    got = runtime.load(tmp_path / f"x.{format}")(noise(50, 41)).pixel_values
    assert_equal(got, Preprocessor(plan, "pil")(noise(50, 41)).pixel_values, format)
