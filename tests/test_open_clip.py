"""open_clip's models against the transform that open_clip makes for them, in every backend: bit for bit."""

import dataclasses
import json
import socket
import sys

import open_clip
import pytest
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2, merge_preprocess_dict
from PIL import Image

import exporter
from exporter.cli import main
from models import open_clip as source
from models.config import UnreadKeyWarning
from runtime import BackendUnavailable, InputError, UnsupportedConfig
from runtime.preprocessor import Preprocessor

from .helpers import assert_equal, assert_everywhere, noise

SIZES = ((97, 131), (300, 223), (224, 224))
MORE_SIZES = (*SIZES, (640, 480), (385, 384), (31, 33), (2, 5), (40, 800), (800, 40), (1, 1))

TINY = {"embed_dim": 8, "text_cfg": {"context_length": 8, "vocab_size": 9, "width": 8, "heads": 1, "layers": 1}}
"""A model without its image tower."""


def preprocess_cfg(architecture, tag):
    """As the factory puts it together, but for the size, which it asks the model for."""
    config = merge_preprocess_dict(PreprocessCfg(), open_clip.get_pretrained_cfg(architecture, tag))
    return PreprocessCfg(**{**config, "size": open_clip.get_model_config(architecture)["vision_cfg"]["image_size"]})


CONFIGS = {
    f"{architecture}/{tag}": preprocess_cfg(architecture, tag) for architecture, tag in open_clip.list_pretrained()
}
DISTINCT = list({str(config): name for name, config in CONFIGS.items()}.values())
SAMPLE = list({(config.resize_mode, config.interpolation): name for name, config in CONFIGS.items()}.values())


def expected(transform, image):
    """Of uint8 ``[H, W, 3]``, ``[1, 3, h, w]``."""
    return transform(Image.fromarray(image)).numpy()[None]


def write(folder, image_size=(48, 64), **preprocess):
    """A folder with the ``open_clip_config.json`` of a tiny model."""
    vision = {"image_size": image_size, "layers": 1, "width": 64, "patch_size": 16}
    config = {"model_cfg": {**TINY, "vision_cfg": vision}, "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    return folder


def open_clips(name, **more):
    """The transform of a model that open_clip builds, without weights."""
    more = {"load_weights": False, "device": "meta", **more}
    with torch.device("meta"):
        return open_clip.create_model_and_transforms(name, **more)[2]


def refusal(*arguments, **more):
    with pytest.raises(UnsupportedConfig) as caught:
        exporter.trace(*arguments, **more)
    (problem,) = caught.value.problems
    return problem


# The transform.


def test_there_are_configs_of_every_kind():
    assert len(CONFIGS) > 190
    assert len(DISTINCT) > 20
    assert {config.resize_mode for config in CONFIGS.values()} == {"shortest", "squash"}
    assert {config.interpolation for config in CONFIGS.values()} == {"bicubic", "bilinear"}


@pytest.mark.parametrize("name", DISTINCT)
def test_the_steps_give_open_clips_pixels(name):
    got = Preprocessor(exporter.trace(f"open_clip:{name}", strict=True), "pil")(noise(97, 131)).pixel_values
    assert_equal(got, expected(image_transform_v2(CONFIGS[name], is_train=False), noise(97, 131)), name)


@pytest.mark.parametrize("name", SAMPLE)
def test_every_backend_gives_open_clips_pixels(name):
    plan, transform = exporter.trace(f"open_clip:{name}"), image_transform_v2(CONFIGS[name], is_train=False)
    for size in SIZES:
        assert_everywhere(plan, noise(*size), expected(transform, noise(*size)))


@pytest.mark.slow
@pytest.mark.parametrize("name", DISTINCT)
def test_every_backend_gives_open_clips_pixels_at_more_sizes(name):
    plan, transform = exporter.trace(f"open_clip:{name}"), image_transform_v2(CONFIGS[name], is_train=False)
    for size in MORE_SIZES:
        assert_everywhere(plan, noise(*size), expected(transform, noise(*size)))


NEEDS_A_DOWNLOAD = {
    name for name in CONFIGS if "hf_model_name" in open_clip.get_model_config(name.split("/")[0])["text_cfg"]
}
FIRST_TAGS = {name.split("/")[0]: name for name in reversed(CONFIGS)}


@pytest.mark.filterwarnings("ignore:QuickGELU mismatch")
def test_the_factory_makes_that_transform(monkeypatch):
    monkeypatch.setattr("open_clip.factory.download_pretrained", lambda *_, **__: "")
    for name in ("RN50/openai", "ViT-B-32/openai", "ViT-B-16-SigLIP/webli"):
        architecture, tag = name.split("/")
        assert str(open_clips(architecture, pretrained=tag)) == str(image_transform_v2(CONFIGS[name], is_train=False))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:QuickGELU mismatch")
@pytest.mark.parametrize("name", sorted(set(FIRST_TAGS.values()) - NEEDS_A_DOWNLOAD))
def test_the_factory_makes_that_transform_for_every_architecture(name, monkeypatch):
    monkeypatch.setattr("open_clip.factory.download_pretrained", lambda *_, **__: "")
    architecture, tag = name.split("/")
    assert str(open_clips(architecture, pretrained=tag)) == str(image_transform_v2(CONFIGS[name], is_train=False))


# Files.


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear", "random"])
@pytest.mark.parametrize("image_size", [64, [48, 64], [64, 48]], ids=str)
@pytest.mark.parametrize("resize_mode", ["shortest", "longest", "squash"])
def test_a_folder_of_every_mode(tmp_path, resize_mode, image_size, interpolation):
    config = {
        "resize_mode": resize_mode,
        "interpolation": interpolation,
        "mean": [0.1, 0.2, 0.3],
        "std": [0.3, 0.2, 0.1],
    }
    plan = exporter.trace(write(tmp_path, image_size, **config), strict=True)
    assert exporter.trace(tmp_path / "open_clip_config.json", strict=True).steps == plan.steps
    transform = open_clips(f"local-dir:{tmp_path}")
    for size in ((97, 131), (131, 97), (40, 31), (64, 48), (63, 64)):
        assert_everywhere(plan, noise(*size), expected(transform, noise(*size)))


@pytest.mark.parametrize("fill_color", [0, 255, 77, [1, 2, 3]])
def test_the_colour_around(tmp_path, fill_color):
    plan = exporter.trace(write(tmp_path, resize_mode="longest", fill_color=fill_color))
    transform = open_clips(f"local-dir:{tmp_path}")
    for size in ((97, 131), (40, 31), (31, 90), (90, 31)):
        assert_everywhere(plan, noise(*size), expected(transform, noise(*size)))


@pytest.mark.parametrize("empty", [{}, dict.fromkeys(source.FAMILY.keys)], ids=["absent", "null"])
def test_what_is_missing_has_open_clips_default(tmp_path, empty):
    plan = exporter.trace(write(tmp_path, **empty), strict=True)
    assert_everywhere(plan, noise(97, 131), expected(open_clips(f"local-dir:{tmp_path}"), noise(97, 131)))


def test_the_models_size_wins_and_an_override_over_it(tmp_path):
    write(tmp_path, 64, size=32)
    assert exporter.trace(tmp_path).steps[1].fixed_size == (64, 64)
    transform = open_clips(f"local-dir:{tmp_path}", image_interpolation="bilinear", image_mean=(0.1, 0.2, 0.3))
    plan = exporter.trace(tmp_path, interpolation="bilinear", mean=[0.1, 0.2, 0.3])
    assert_everywhere(plan, noise(97, 131), expected(transform, noise(97, 131)))
    config = dataclasses.replace(PreprocessCfg(), size=(40, 50))
    for size in ([40, 50], {"height": 40, "width": 50}):
        plan = exporter.trace(tmp_path, size=size)
        assert_everywhere(plan, noise(97, 131), expected(image_transform_v2(config, is_train=False), noise(97, 131)))


def test_a_model_without_a_size_has_224(tmp_path):
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": TINY}))
    assert exporter.trace(tmp_path).steps[1].fixed_size == (224, 224)


def test_a_repository_in_the_cache_of_the_hub(tmp_path):
    snapshot = tmp_path / "models--org--name" / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("a" * 40)
    steps = exporter.trace(write(snapshot)).steps
    plan = exporter.trace("org/name", cache_dir=tmp_path, local_files_only=True)
    assert (plan.source, plan.family, plan.steps) == ("org/name", "open_clip", steps)


def test_a_processors_own_config_comes_first(tmp_path):
    (write(tmp_path) / "preprocessor_config.json").write_text('{"image_processor_type": "CLIPImageProcessor"}')
    assert exporter.trace(tmp_path).family == "CLIP"
    assert exporter.trace(tmp_path / "open_clip_config.json").family == "open_clip"


@pytest.mark.parametrize("value", [None, 5, "cfg", []])
def test_a_preprocess_cfg_that_is_no_object(tmp_path, value):
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": TINY, "preprocess_cfg": value}))
    assert refusal(tmp_path) == f"{tmp_path}: preprocess_cfg: expected an object, got {type(value).__name__}"


def test_a_file_without_a_model_is_none_of_open_clips(tmp_path):
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"preprocess_cfg": {}}))
    assert "holds neither preprocessor_config.json nor" in refusal(tmp_path)


# Names.


def test_a_name_as_open_clip_writes_it():
    plan = exporter.trace("open_clip:ViT-B-32/openai")
    assert (plan.source, plan.family, plan.reference[:6]) == ("open_clip:ViT-B-32/openai", "open_clip", "pillow")
    for name in ("ViT-B/32/openai", "ViT-B-32/OpenAI"):
        assert exporter.trace(f"open_clip:{name}").steps == plan.steps


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ViT-B-32/openia", " (did you mean 'ViT-B-32/openai'?); there are ViT-B-32/openai, "),
        ("ViT-B-33/openai", " (did you mean 'ViT-B-32/openai'?); see open_clip.list_pretrained()"),
        ("ViT-B-32", " (did you mean 'ViT-B-32/openai'?); see open_clip.list_pretrained()"),
        ("", "; see open_clip.list_pretrained()"),
        ("/", "; see open_clip.list_pretrained()"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(name, message):
    assert refusal(f"open_clip:{name}").startswith(f"open_clip:{name}: open_clip has no such ARCH/TAG{message}")


def test_open_clip_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(BackendUnavailable, match=r"^open_clip: cannot be .*: pip install open_clip_torch$"):
        exporter.trace("open_clip:ViT-B-32/openai")


def test_a_file_needs_no_open_clip(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "open_clip", None)
    assert exporter.trace(write(tmp_path)).family == "open_clip"


def test_nothing_is_asked_for_on_the_network(monkeypatch):
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("asked for the network"))
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("loads weights"))
    exporter.trace("open_clip:ViT-B-32/openai")


@pytest.mark.parametrize("key", ["revision", "subfolder"])
def test_options_of_the_hub_are_refused(key):
    problem = refusal("open_clip:ViT-B-32/openai", **{key: "main"})
    assert problem.startswith(f"{key}: is of a hub id, but open_clip:ViT-B-32/openai is a name in open_clip")


def test_the_command_exports_and_verifies(tmp_path):
    path = tmp_path / "x.onnx"
    arguments = ["--size", "32x40", "--set", 'resize_mode="longest"', "--set", "fill_color=7"]
    assert main(["open_clip:ViT-B-32/openai", "-o", str(path), *arguments]) == 0
    config = dataclasses.replace(CONFIGS["ViT-B-32/openai"], size=(32, 40), resize_mode="longest", fill_color=7)
    plan = exporter.trace("open_clip:ViT-B-32/openai", size=[32, 40], resize_mode="longest", fill_color=7)
    got = Preprocessor(plan, "onnx", path)(noise(50, 41)).pixel_values
    assert_equal(got, expected(image_transform_v2(config, is_train=False), noise(50, 41)), "file")


# Keys.


def test_every_field_of_open_clips_configs_is_known():
    assert set(source.FAMILY.keys) == {field.name for field in dataclasses.fields(PreprocessCfg)}
    tags = [open_clip.get_pretrained_cfg(*pair) for pair in open_clip.list_pretrained()]
    assert set().union(*tags) - set(source.FAMILY.keys) == source.METADATA


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"resize_mod": 1}, "resize_mod: open_clip has no such key (did you mean 'resize_mode'?); it reads size, "),
        ({"do_resize": False}, "do_resize: open_clip has no such key"),
        ({"size": 0}, "size.height: expected an integer from 1 to 65535, got 0"),
        ({"size": [3, 224, 224]}, "size: expected"),
        ({"size": {"shortest_edge": 224}}, "size: expected height and width"),
        ({"mode": "L"}, "mode: expected one of RGB, got 'L'"),
        ({"interpolation": "lanczos"}, "interpolation: expected one of bicubic, bilinear, random, got 'lanczos'"),
        ({"resize_mode": "long"}, "resize_mode: expected one of shortest, longest, squash"),
        ({"fill_color": 256}, "fill_color: expected an integer from 0 to 255, or 3 of them, got 256"),
        ({"fill_color": 1.0}, "fill_color: expected an integer from 0 to 255, or 3 of them, got 1.0"),
        ({"fill_color": [1, 2]}, "fill_color: expected an integer from 0 to 255, or 3 of them, got [1, 2]"),
        ({"fill_color": -1}, "fill_color: expected"),
        ({"mean": 0}, "mean: expected a list of 3 numbers, got 0"),
        ({"std": [1, 1, 0]}, "std: expected numbers other than 0 in float32"),
        ({"reference": "torchvision"}, "reference: transformers has no torchvision class for"),
        ({"type": "CLIP"}, "type: open_clip:ViT-B-32/openai"),
        ({"channels": 1, "mean": [0.5], "std": [0.5]}, "channels: open_clip makes RGB of every image, so expected 3, "),
    ],
    ids=str,
)  # fmt: skip
def test_a_value_that_is_not_understood_is_refused(overrides, message):
    assert refusal("open_clip:ViT-B-32/openai", **overrides).startswith(message)


def test_a_key_that_open_clip_does_not_read(tmp_path):
    write(tmp_path, resize_mod="squash")
    with pytest.warns(UnreadKeyWarning, match=r"^open_clip does not read resize_mod: left out"):
        exporter.trace(tmp_path)
    assert refusal(tmp_path, strict=True).startswith("resize_mod: open_clip does not read this key (did you mean")


def test_images_of_other_modes_are_refused():
    """open_clip converts them behind the resize, which gives other pixels than before it."""
    image = Image.fromarray(noise(40, 50)).convert("RGBA")
    with pytest.raises(InputError, match=r"mode RGB, got RGBA: .* use image\.convert\('RGB'\)"):
        Preprocessor(exporter.trace("open_clip:ViT-B-32/openai"), "pil")(image)
