"""torchvision's weights against ``weights.transforms()``, in every backend: bit for bit."""

import functools
import inspect
import socket
import sys

import pytest
import torch
import torchvision
from PIL import Image
from torchvision.transforms.functional import InterpolationMode

import exporter
from exporter.cli import main
from models import torchvision as source
from runtime import BackendUnavailable, InputError, UnsupportedConfig
from runtime.backends.torch import Preprocess
from runtime.preprocessor import Preprocessor

from .helpers import assert_equal, assert_everywhere, noise

SIZES = ((97, 131), (300, 223), (256, 256))
MORE_SIZES = (*SIZES, (640, 480), (385, 384), (31, 33), (2, 5), (40, 800), (800, 40), (1, 1))

WEIGHTS = {
    f"{weights.__name__}.{member}": weights[member]
    for weights in map(torchvision.models.get_model_weights, torchvision.models.list_models())
    for member in weights.__members__
}


def preset(weights):
    """The class of a transform, and its arguments."""
    transforms = weights.transforms
    return (transforms.func, transforms.keywords) if isinstance(transforms, functools.partial) else (transforms, {})


KINDS = {name: preset(weights)[0].__name__ for name, weights in WEIGHTS.items()}
SUPPORTED = {name: weights for name, weights in WEIGHTS.items() if KINDS[name] in source.FAMILIES}
DISTINCT = list({f"{KINDS[name]} {preset(weights)[1]}": name for name, weights in SUPPORTED.items()}.values())
SAMPLE = [*{KINDS[name]: name for name in SUPPORTED}.values(), "ViT_L_16_Weights.IMAGENET1K_SWAG_E2E_V1"]


def expected(transform, image):
    """Of uint8 ``[H, W, C]``, ``[1, C, h, w]``."""
    return transform(Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)).numpy()[None]


def refusal(*arguments, **more):
    with pytest.raises(UnsupportedConfig) as caught:
        exporter.trace(*arguments, **more)
    (problem,) = caught.value.problems
    return problem


# The transform.


def test_there_are_weights_of_every_kind():
    assert len(SUPPORTED) > 250
    assert len(DISTINCT) > 25
    assert {KINDS[name] for name in SUPPORTED} == set(source.FAMILIES)
    assert set(KINDS.values()) - set(source.FAMILIES) == {"VideoClassification", "OpticalFlow"}


@pytest.mark.parametrize("name", DISTINCT)
def test_the_steps_give_torchvisions_pixels(name):
    got = Preprocessor(exporter.trace(f"torchvision:{name}", strict=True), "pil")(noise(97, 131)).pixel_values
    assert_equal(got, expected(SUPPORTED[name].transforms(), noise(97, 131)), name)


@pytest.mark.parametrize("name", SAMPLE)
def test_every_backend_gives_torchvisions_pixels(name):
    plan, transform = exporter.trace(f"torchvision:{name}"), SUPPORTED[name].transforms()
    for size in SIZES:
        assert_everywhere(plan, noise(*size), expected(transform, noise(*size)))


@pytest.mark.slow
@pytest.mark.parametrize("name", DISTINCT)
def test_every_backend_gives_torchvisions_pixels_at_more_sizes(name):
    plan, transform = exporter.trace(f"torchvision:{name}"), SUPPORTED[name].transforms()
    for size in MORE_SIZES:
        assert_everywhere(plan, noise(*size), expected(transform, noise(*size)))


NUMBERS = {"mean": [0.1, 0.2, 0.3], "std": [0.3, 0.2, 0.1]}


@pytest.mark.parametrize("interpolation", InterpolationMode)
@pytest.mark.parametrize(
    ("name", "more"),
    [("ResNet50_Weights.DEFAULT", {"crop_size": 60}), ("DeepLabV3_ResNet50_Weights.DEFAULT", {})],
)
def test_every_interpolation(name, more, interpolation):
    more = {"resize_size": 57, **more, **NUMBERS}
    plan = exporter.trace(f"torchvision:{name}", interpolation=interpolation.value, **more)
    transform = WEIGHTS[name].transforms(interpolation=interpolation, **more)
    for size in ((97, 131), (131, 97), (57, 60)):
        assert_everywhere(plan, noise(*size), expected(transform, noise(*size)))


def test_a_segmentation_without_a_resize():
    name = "DeepLabV3_ResNet50_Weights.DEFAULT"
    plan = exporter.trace(f"torchvision:{name}", resize_size=None, **NUMBERS)
    transform = WEIGHTS[name].transforms(resize_size=None, **NUMBERS)
    assert_everywhere(plan, noise(31, 20), expected(transform, noise(31, 20)))


@pytest.mark.filterwarnings("ignore:Anti-alias option is always applied")
@pytest.mark.parametrize("antialias", [True, False, None])
def test_pillow_always_antialiases(antialias):
    plan = exporter.trace("torchvision:ResNet18_Weights.DEFAULT", antialias=antialias)
    transform = torchvision.models.ResNet18_Weights.DEFAULT.transforms(antialias=antialias)
    assert_everywhere(plan, noise(300, 400), expected(transform, noise(300, 400)))


def test_compiled_whole_for_every_size():
    plan = exporter.trace("torchvision:ResNet50_Weights.DEFAULT")
    transform = torchvision.models.ResNet50_Weights.DEFAULT.transforms()
    torch._dynamo.reset()
    compiled = torch.compile(Preprocess(plan), fullgraph=True)
    for size in (*SIZES, (131, 97), (60, 70)):
        got = compiled(torch.from_numpy(noise(*size)[None]).permute(0, 3, 1, 2))["pixel_values"].numpy()
        assert_equal(got, expected(transform, noise(*size)), f"compiled at {size}")


@pytest.mark.parametrize("channels", [1, 4])
def test_other_numbers_of_channels(channels):
    plan = exporter.trace("torchvision:FasterRCNN_ResNet50_FPN_Weights.DEFAULT", channels=channels)
    transform = torchvision.models.detection.FasterRCNN_ResNet50_FPN_Weights.DEFAULT.transforms()
    image = noise(31, 20, channels=channels)
    assert_everywhere(plan, image, expected(transform, image))


def test_images_of_other_modes_fail_as_in_torchvision():
    image = Image.fromarray(noise(40, 50)).convert("L")
    with pytest.raises(RuntimeError):
        torchvision.models.ResNet18_Weights.DEFAULT.transforms()(image)
    with pytest.raises(InputError, match=r"mode RGB, got L: .* use image\.convert\('RGB'\)"):
        Preprocessor(exporter.trace("torchvision:ResNet18_Weights.DEFAULT"), "pil")(image)


# Names.


def test_the_default_is_recorded_by_its_name():
    plan = exporter.trace("torchvision:ResNet50_Weights.DEFAULT")
    assert plan.source == f"torchvision:{torchvision.models.ResNet50_Weights.DEFAULT}"
    assert plan.source != "torchvision:ResNet50_Weights.DEFAULT"
    assert (plan.family, plan.reference[:6]) == ("ImageClassification", "pillow")
    assert exporter.trace(plan.source) == plan


@pytest.mark.parametrize("name", SAMPLE)
def test_the_labels_are_the_categories(name):
    labels = exporter.trace(f"torchvision:{name}").labels
    assert labels == tuple(SUPPORTED[name].meta["categories"])
    assert len(labels) > 20


def test_weights_without_categories():
    assert exporter.trace("torchvision:VGG16_Weights.IMAGENET1K_FEATURES").labels == ()


@pytest.mark.parametrize("name", sorted(set(WEIGHTS) - set(SUPPORTED)))
def test_presets_of_other_things_are_refused_by_name(name):
    assert refusal(f"torchvision:{name}") == (
        f"torchvision:{name}: its preset {KINDS[name]} takes no single images; supported are ImageClassification,"
        " ObjectDetection, SemanticSegmentation"
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ResNet50_Weights.IMAGENET1K_V3", "; there are ResNet50_Weights.IMAGENET1K_V1, ResNet50"),
        ("ResNet50_Weights", "; there are ResNet50_Weights.IMAGENET1K_V1, "),
        ("ResNet51_Weights.DEFAULT", " (did you mean 'ResNet"),
        ("", "; see torchvision.models"),
    ],
)  # fmt: skip
def test_an_unknown_name_is_refused_with_the_nearest(name, message):
    assert refusal(f"torchvision:{name}").startswith(f"torchvision:{name}: torchvision has no such weights{message}")


def test_torchvision_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision.models", None)
    with pytest.raises(BackendUnavailable, match=r"^torchvision\.models: cannot be .*: pip install torchvision$"):
        exporter.trace("torchvision:ResNet50_Weights.DEFAULT")


def test_nothing_is_asked_for_on_the_network(monkeypatch):
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("asked for the network"))
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("loads weights"))
    exporter.trace("torchvision:ResNet50_Weights.DEFAULT")


@pytest.mark.parametrize("key", ["revision", "subfolder"])
def test_options_of_the_hub_are_refused(key):
    problem = refusal("torchvision:ResNet50_Weights.DEFAULT", **{key: "main"})
    assert problem.startswith(f"{key}: is of a hub id, but torchvision:")


def test_the_command_exports_and_verifies(tmp_path, capsys):
    path = tmp_path / "x.onnx"
    arguments = ["--set", "resize_size=40", "--set", "crop_size=32"]
    assert main(["torchvision:ResNet50_Weights.DEFAULT", "-o", str(path), *arguments]) == 0
    assert "torchvision:ResNet50_Weights.IMAGENET1K_V2" in capsys.readouterr().out
    transform = torchvision.models.ResNet50_Weights.DEFAULT.transforms(resize_size=40, crop_size=32)
    plan = exporter.trace("torchvision:ResNet50_Weights.DEFAULT", resize_size=40, crop_size=32)
    got = Preprocessor(plan, "onnx", path)(noise(50, 41)).pixel_values
    assert_equal(got, expected(transform, noise(50, 41)), "file")


# Keys.


@pytest.mark.parametrize("kind", source.FAMILIES)
def test_every_argument_of_the_presets_is_known(kind):
    cls = next(preset(weights)[0] for name, weights in SUPPORTED.items() if KINDS[name] == kind)
    parameters = [p.name for p in inspect.signature(cls).parameters.values() if p.kind is p.KEYWORD_ONLY]
    assert sorted(source.FAMILIES[kind].keys) == sorted(parameters)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"crop_siz": 1}, "crop_siz: ImageClassification has no such key (did you mean 'crop_size'?); it reads"),
        ({"do_resize": False}, "do_resize: ImageClassification has no such key"),
        ({"crop_size": 0}, "crop_size: expected an integer from 1 to 65535, got 0"),
        ({"crop_size": [224]}, "crop_size: expected an integer from 1 to 65535, got [224]"),
        ({"resize_size": None}, "resize_size: expected an integer from 1 to 65535, got None"),
        ({"resize_size": 2.5}, "resize_size: expected an integer from 1 to 65535, got 2.5"),
        ({"interpolation": "bicubik"}, "interpolation: expected one of nearest, nearest-exact, bilinear, bicubic, "),
        ({"interpolation": 3}, "interpolation: expected one of"),
        ({"antialias": "warn"}, "antialias: expected true, false or null, got 'warn'"),
        ({"mean": 0.5}, "mean: expected a list of 3 numbers, got 0.5"),
        ({"std": None}, "std: expected a list of 3 numbers, got None"),
        ({"std": [1, 1, 1e-50]}, "std: expected numbers other than 0 in float32"),
        ({"reference": "torchvision"}, "reference: transformers has no torchvision class for"),
        ({"type": "ViT"}, "type: torchvision:ResNet50_Weights.IMAGENET1K_V2"),
    ],
    ids=str,
)  # fmt: skip
def test_a_value_that_is_not_understood_is_refused(overrides, message):
    assert refusal("torchvision:ResNet50_Weights.DEFAULT", **overrides).startswith(message)


@pytest.mark.parametrize("name", SAMPLE[:3])
def test_the_reference_is_pillow_for_every_kind(name):
    assert refusal(f"torchvision:{name}", reference="torchvision").endswith(": use pillow")
    assert exporter.trace(f"torchvision:{name}", reference="pillow12.1").reference == "pillow12.1"
