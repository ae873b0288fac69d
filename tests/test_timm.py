"""timm's models against ``timm.data.create_transform``, in every backend: bit for bit."""

import json
import socket
import sys

import numpy as np
import pytest
import timm
import torch
import transformers
from PIL import Image
from timm.data import create_transform, resolve_data_config

import exporter
from exporter.cli import main
from models import sources
from models import timm as source
from models.config import UnreadKeyWarning
from runtime import BackendUnavailable, InputError, UnsupportedConfig
from runtime.backends.torch import Preprocess
from runtime.preprocessor import Preprocessor

from .helpers import assert_equal, assert_everywhere, noise

SIZES = ((97, 131), (300, 223), (224, 224))
MORE_SIZES = (*SIZES, (640, 480), (385, 384), (31, 33), (2, 5), (40, 800), (800, 40), (1, 1))


def resolved():
    """The config that timm resolves for a model, by name: the first model of each distinct one, of all tags."""
    distinct = {}
    for name in timm.list_models(include_tags=True):
        config = resolve_data_config(pretrained_cfg=timm.models.get_pretrained_cfg(name).to_dict())
        distinct.setdefault(repr(sorted(config.items())), (name, config))
    return dict(distinct.values())


CONFIGS = resolved()


def kind(config):
    """What decides on the steps, besides numbers."""
    _, height, width = config["input_size"]
    return config["crop_mode"], height == width, config["crop_pct"] == 1, config["interpolation"]


BY_SIZE = sorted(CONFIGS, key=lambda name: -max(CONFIGS[name]["input_size"]))
SAMPLE = list({kind(CONFIGS[name]): name for name in BY_SIZE}.values())
"""The smallest of each kind."""


def expected(transform, image):
    """Of uint8 ``[H, W, C]``, ``[1, C, h, w]``."""
    return transform(Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)).numpy()[None]


def write(folder, **config):
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def refusal(*arguments, **more):
    with pytest.raises(UnsupportedConfig) as caught:
        exporter.trace(*arguments, **more)
    (problem,) = caught.value.problems
    return problem


# The transform.


def test_there_are_configs_of_every_kind():
    assert len(CONFIGS) > 150
    assert {mode for mode, *_ in map(kind, CONFIGS.values())} == {"center", "squash", "border"}
    assert {square for _, square, *_ in map(kind, CONFIGS.values())} == {True, False}
    assert len(SAMPLE) > 8


@pytest.mark.parametrize("name", CONFIGS)
def test_the_steps_give_timms_pixels(name):
    got = Preprocessor(exporter.trace(f"timm:{name}", strict=True), "pil")(noise(97, 131)).pixel_values
    assert_equal(got, expected(create_transform(**CONFIGS[name]), noise(97, 131)), name)


@pytest.mark.parametrize("name", SAMPLE)
def test_every_backend_gives_timms_pixels(name):
    plan, transform = exporter.trace(f"timm:{name}"), create_transform(**CONFIGS[name])
    for size in SIZES:
        assert_everywhere(plan, noise(*size), expected(transform, noise(*size)))


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
def test_every_backend_gives_timms_pixels_at_more_sizes(name):
    plan, transform = exporter.trace(f"timm:{name}"), create_transform(**CONFIGS[name])
    for size in MORE_SIZES:
        try:
            want = expected(transform, noise(*size))
        except ValueError:  # no pixel would be left
            with pytest.raises(InputError, match="expected at least 1 pixel a side"):
                Preprocessor(plan, "pil")(noise(*size))
            continue
        assert_everywhere(plan, noise(*size), want)


@pytest.mark.parametrize("interpolation", source.INTERPOLATIONS)
@pytest.mark.parametrize("crop_mode", source.CROP_MODES)
def test_every_mode_and_interpolation(crop_mode, interpolation):
    overrides = {"crop_mode": crop_mode, "interpolation": interpolation, "crop_pct": 0.83}
    plan = exporter.trace("timm:resnet50", **overrides, img_size=95)
    transform = create_transform(**resolve_data_config({"input_size": [3, 95, 95], **overrides}))
    for size in ((97, 131), (131, 97), (50, 41)):
        assert_everywhere(plan, noise(*size), expected(transform, noise(*size)))


@pytest.mark.parametrize("crop_mode", source.CROP_MODES)
@pytest.mark.parametrize("input_size", [[3, 60, 95], [3, 95, 60]], ids=str)
def test_results_that_are_not_square(crop_mode, input_size, tmp_path):
    config = {"crop_mode": crop_mode, "crop_pct": 0.83, "input_size": input_size}
    plan = exporter.trace(write(tmp_path, architecture="resnet18", pretrained_cfg=config))
    transform = create_transform(**resolve_data_config(pretrained_cfg=config))
    for size in ((97, 131), (131, 97), (50, 41), (40, 300)):
        assert_everywhere(plan, noise(*size), expected(transform, noise(*size)))


@pytest.mark.parametrize("mean", [[-0.2, 0.5, 1.3], [0, 0, 0], [0.1, 0.30196, 0.9]])
@pytest.mark.parametrize("size", [(40, 90), (90, 40), (200, 210)])
def test_the_border_has_the_colour_of_the_mean(mean, size, tmp_path):
    config = {"crop_mode": "border", "crop_pct": 0.9, "mean": mean, "input_size": [3, 61, 80]}
    plan = exporter.trace(write(tmp_path, architecture="resnet18", pretrained_cfg=config))
    transform = create_transform(**resolve_data_config(pretrained_cfg=config))
    assert_everywhere(plan, noise(*size), expected(transform, noise(*size)))


@pytest.mark.parametrize("crop_mode", ["border", pytest.param("center", marks=pytest.mark.slow)])
def test_compiled_whole_for_every_size(crop_mode, tmp_path):
    config = {"crop_mode": crop_mode, "input_size": [3, 48, 64], "crop_pct": 0.9}
    plan = exporter.trace(write(tmp_path, architecture="resnet18", pretrained_cfg=config))
    transform = create_transform(**resolve_data_config(pretrained_cfg=config))
    torch._dynamo.reset()
    compiled = torch.compile(Preprocess(plan), fullgraph=True)
    for size in (*SIZES, (60, 50), (60, 70)):
        got = compiled(torch.from_numpy(noise(*size)[None]).permute(0, 3, 1, 2))["pixel_values"].numpy()
        assert_equal(got, expected(transform, noise(*size)), f"{crop_mode} at {size}")


@pytest.mark.parametrize("crop_mode", source.CROP_MODES)
def test_grayscale(crop_mode, tmp_path):
    config = {"input_size": [1, 28, 28], "mean": [0.1307], "std": [0.3081], "crop_mode": crop_mode}
    plan = exporter.trace(write(tmp_path, architecture="resnet18", pretrained_cfg=config), channels=1)
    transform = create_transform(**resolve_data_config(pretrained_cfg=config))
    for size in ((28, 28), (40, 31), (31, 40)):
        image = noise(*size, channels=1)
        assert_everywhere(plan, image, expected(transform, image))


@pytest.mark.parametrize("mode", ["L", "RGBA", "P"])
def test_images_of_other_modes_fail_as_in_timm(mode):
    image = Image.fromarray(noise(40, 50)).convert(mode)
    with pytest.raises(RuntimeError):
        create_transform(**CONFIGS[SAMPLE[0]])(image)
    with pytest.raises(InputError, match=rf"mode RGB, got {mode}: .* use image\.convert\('RGB'\)"):
        Preprocessor(exporter.trace(f"timm:{SAMPLE[0]}"), "pil")(image)


# Names.


def test_a_name_without_a_tag_is_the_default_one():
    tagged = timm.models.get_pretrained_cfg("resnet50")
    plan = exporter.trace("timm:resnet50")
    assert plan.source == f"timm:resnet50.{tagged.tag}" != "timm:resnet50."
    assert (plan.family, plan.reference[:6]) == ("timm", "pillow")
    assert exporter.trace(plan.source) == plan


def test_a_name_that_timm_gave_up():
    current = timm.models.get_deprecated_models()["convnext_tiny_in22ft1k"]
    assert exporter.trace("timm:convnext_tiny_in22ft1k") == exporter.trace(f"timm:{current}")


def test_a_name_that_timm_gave_up_for_nothing(monkeypatch):
    monkeypatch.setattr(timm.models, "get_deprecated_models", lambda: {"gone": None})
    assert refusal("timm:gone").startswith("timm:gone: timm has no such model")


def test_the_labels_are_those_of_transformers(tmp_path):
    plan = exporter.trace("timm:resnet18")
    config = transformers.AutoConfig.from_pretrained(
        write(tmp_path, architecture="resnet18", num_classes=1000, pretrained_cfg={})
    )
    assert plan.labels == tuple(config.id2label[i] for i in range(1000))
    assert exporter.trace("timm:vit_base_patch16_clip_224.openai").labels == ()  # an image tower


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet5", "timm has no such model (did you mean 'resnet50'?); see timm.list_models()"),
        ("resnet50.a1_in1", "timm has no such model (did you mean 'resnet50.a1_in1k'?); there are resnet50.a1_in1k, "),
        ("", "timm has no such model; see timm.list_models()"),
        ("zzzzzz", "timm has no such model; see timm.list_models()"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(name, message):
    assert refusal(f"timm:{name}").startswith(f"timm:{name}: {message}")


def test_timm_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(BackendUnavailable, match=r"^timm: cannot be imported .*: pip install timm$"):
        exporter.trace("timm:resnet50")


def test_nothing_is_asked_for_on_the_network(monkeypatch):
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("asked for the network"))
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("loads weights"))
    exporter.trace("timm:resnet50")


@pytest.mark.parametrize("key", ["revision", "subfolder"])
def test_options_of_the_hub_are_refused(key):
    assert refusal("timm:resnet50", **{key: "main"}).startswith(
        f"{key}: is of a hub id, but timm:resnet50 is a name in"
    )


def test_a_type_is_refused():
    assert refusal("timm:resnet50", type="ViT").startswith("type: timm:resnet50")


def test_the_command_exports_and_verifies(tmp_path, capsys):
    path = tmp_path / "x.onnx"
    assert main(["timm:resnet50", "-o", str(path), "--set", "input_size=[3, 32, 32]"]) == 0
    assert "timm:resnet50.a1_in1k" in capsys.readouterr().out
    plan = exporter.trace("timm:resnet50", img_size=32)
    image = noise(50, 41)
    assert_equal(
        Preprocessor(plan, "onnx", path)(image).pixel_values, Preprocessor(plan, "pil")(image).pixel_values, "file"
    )


# Files.


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder as timm saves it for the hub."""
    folder = tmp_path_factory.mktemp("saved")
    model = timm.create_model("test_resnet", num_classes=3, pretrained_cfg_overlay={"crop_mode": "squash"})
    labels = {"label_names": ["cat", "dog", "émeu"]}
    timm.models._hub.save_config_for_hf(model, folder / "config.json", labels)
    return folder


def test_a_config_that_timm_saved(saved):
    config = json.loads((saved / "config.json").read_text())
    plan = exporter.trace(saved, strict=True)
    assert exporter.trace(saved / "config.json", strict=True).steps == plan.steps
    assert (plan.family, plan.labels) == ("timm", ("cat", "dog", "émeu"))
    transform = create_transform(**resolve_data_config(pretrained_cfg=config["pretrained_cfg"]))
    for size in SIZES:
        assert_everywhere(plan, noise(*size), expected(transform, noise(*size)))


def test_transformers_reads_the_same_folder(saved):
    processor = transformers.AutoImageProcessor.from_pretrained(saved)
    assert type(processor).__name__ == "TimmWrapperImageProcessor"
    plan = exporter.trace(saved)
    for size in SIZES:
        want = processor(Image.fromarray(noise(*size)), return_tensors="pt")["pixel_values"].numpy()
        assert_everywhere(plan, noise(*size), want)


def test_a_config_that_transformers_saved(saved, tmp_path):
    transformers.AutoConfig.from_pretrained(saved).save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "timm_wrapper"
    plan = exporter.trace(tmp_path)
    assert (plan.steps, plan.labels) == (exporter.trace(saved).steps, ("cat", "dog", "émeu"))


@pytest.mark.parametrize("beside", [False, True])
def test_a_repository_in_the_cache_of_the_hub(saved, tmp_path, beside):
    """There a processor's own config comes first; in a folder, as transformers has it, timm's does."""
    snapshot = tmp_path / "models--timm--mine" / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("a" * 40)
    (snapshot / "config.json").write_bytes((saved / "config.json").read_bytes())
    if beside:
        (snapshot / "preprocessor_config.json").write_text('{"image_processor_type": "ViTImageProcessor"}')
    plan = exporter.trace("timm/mine", cache_dir=tmp_path, local_files_only=True)
    assert (plan.source, plan.family) == ("timm/mine", "ViT" if beside else "timm")
    assert (plan.steps == exporter.trace(saved).steps) != beside
    assert exporter.trace(snapshot).steps == exporter.trace(saved).steps
    assert type(transformers.AutoImageProcessor.from_pretrained(snapshot)).__name__ == "TimmWrapperImageProcessor"


@pytest.mark.parametrize("fixed", [True, False])
@pytest.mark.parametrize(
    "arguments",
    [
        {}, {"img_size": None}, {"img_size": 40}, {"img_size": [40, 50]}, {"img_size": 40, "dynamic_img_size": True},
        {"img_size": 40, "strict_img_size": False}, {"img_size": 40, "use_naflex": True}, {"depth": 3},
    ],
    ids=str,
)  # fmt: skip
def test_the_size_that_the_model_was_made_for(tmp_path, arguments, fixed):
    pretrained = {"input_size": [3, 32, 32], "fixed_input_size": fixed}
    config = {"architecture": "vit_tiny_patch16_224", "model_args": arguments, "pretrained_cfg": pretrained}
    plan = exporter.trace(write(tmp_path, **config), strict=True)
    timms, _, _ = timm.models._hub.load_model_config_from_path(tmp_path)
    transform = create_transform(**resolve_data_config(pretrained_cfg=timms))
    assert_everywhere(plan, noise(61, 50), expected(transform, noise(61, 50)))


def test_an_old_config_of_a_single_level(tmp_path):
    config = {
        "architecture": "resnet18", "num_features": 512, "num_classes": 2, "labels": ["cat", "dog"], "pool_size": None,
        "input_size": [3, 40, 40], "crop_pct": 0.8, "interpolation": "bilinear", "mean": [0.1, 0.2, 0.3],
    }  # fmt: skip
    plan = exporter.trace(write(tmp_path, **config), strict=True)
    assert plan.labels == ("cat", "dog")
    timms, _, _ = timm.models._hub._parse_model_cfg(dict(config), {})
    transform = create_transform(**resolve_data_config(pretrained_cfg=timms))
    assert_everywhere(plan, noise(61, 50), expected(transform, noise(61, 50)))


@pytest.mark.parametrize("empty", [{}, dict.fromkeys(source.FAMILY.keys)], ids=["absent", "null"])
def test_what_is_missing_has_timms_default(empty, tmp_path):
    plan = exporter.trace(write(tmp_path, architecture="resnet18", pretrained_cfg=empty), strict=True)
    transform = create_transform(**resolve_data_config({"img_size": None}, empty))
    assert_everywhere(plan, noise(97, 131), expected(transform, noise(97, 131)))


def test_labels_with_gaps_are_left_out(tmp_path):
    config = {"architecture": "resnet18", "pretrained_cfg": {}, "label_names": {"0": "cat", "2": "dog"}}
    assert exporter.trace(write(tmp_path, **config)).labels == ()


# Keys.


@pytest.mark.parametrize("name", ["resnet50.a1_in1k", "convnext_tiny.fb_in22k_ft_in1k", "efficientnet_b0.ra_in1k"])
def test_the_size_for_tests(name):
    config = resolve_data_config(pretrained_cfg=timm.models.get_pretrained_cfg(name).to_dict(), use_test_size=True)
    plan = exporter.trace(f"timm:{name}", use_test_size=True)
    assert_everywhere(plan, noise(97, 131), expected(create_transform(**config), noise(97, 131)))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"crop_pc": 1}, "crop_pc: timm has no such key (did you mean 'crop_pct'?); it reads input_size, img_size, "),
        ({"do_resize": False}, "do_resize: timm has no such key; it reads input_size"),
        (
            {"interpolation": "bicubik"},
            "interpolation: expected one of nearest, bilinear, bicubic, box, hamming, lanczos",
        ),
        ({"interpolation": "random"}, "interpolation: expected one of"),
        ({"interpolation": 3}, "interpolation: expected one of"),
        ({"crop_mode": "middle"}, "crop_mode: expected one of center, squash, border, got 'middle'"),
        ({"crop_mode": ["center"]}, "crop_mode: expected one of"),
        ({"img_size": 0}, "img_size: expected an integer from 1 to 65535, got 0"),
        ({"img_size": [32, 32]}, "img_size: expected an integer from 1 to 65535, got [32, 32]"),
        ({"crop_pct": 0}, "crop_pct: expected a number above 0, and input_size divided by it from 1 to 65535, got 0"),
        ({"crop_pct": -1}, "crop_pct: expected a number above 0"),
        ({"crop_pct": 500}, "crop_pct: expected a number above 0"),
        ({"crop_pct": 1e-9}, "crop_pct: expected a number above 0"),
        ({"crop_pct": "1"}, "crop_pct: expected a finite number, got '1'"),
        ({"mean": 0}, "mean: expected a list of 3 numbers, got 0"),
        ({"mean": [0.5]}, "mean: expected a finite number, or three of them"),
        ({"std": [1, 1, 0]}, "std: expected numbers other than 0 in float32"),
        ({"use_test_size": 1}, "use_test_size: expected true, false or null, got 1"),
        ({"reference": "torchvision"}, "reference: transformers has no torchvision class for"),
    ],
    ids=str,
)
def test_a_value_that_is_not_understood_is_refused(overrides, message):
    assert refusal("timm:resnet50", **overrides).startswith(message)


@pytest.mark.parametrize("value", [224, [224, 224], [3, 224], [3, 224, 0], [3, 224, "224"], [3, 224.0, 224], "224"])
def test_a_wrong_input_size_is_refused(value, tmp_path):
    folder = write(tmp_path, architecture="resnet18", pretrained_cfg={"input_size": value})
    assert refusal(folder).startswith("input_size: expected [channels, height, width], each an integer from 1 to 65535")


def test_all_problems_come_at_once():
    with pytest.raises(UnsupportedConfig) as caught:
        exporter.trace("timm:resnet50", crop_mode="x", interpolation="y", mean=0, std=[0, 0, 0], crop_pct=0, z=1)
    assert [problem.partition(":")[0] for problem in caught.value.problems] == [
        "z", "interpolation", "crop_mode", "crop_pct", "mean", "std",
    ]  # fmt: skip


def test_a_key_that_timm_does_not_read(tmp_path):
    folder = write(tmp_path, architecture="resnet18", pretrained_cfg={"crop_pt": 1, "license": "mit"})
    with pytest.warns(
        UnreadKeyWarning, match="^timm does not read crop_pt: left out, as the reference ignores it too$"
    ):
        exporter.trace(folder)
    assert refusal(folder, strict=True) == "crop_pt: timm does not read this key (did you mean 'crop_pct'?)"


@pytest.mark.parametrize("value", [None, 5, "cfg", []])
def test_a_pretrained_cfg_that_is_no_object(value, tmp_path):
    problem = refusal(write(tmp_path, architecture="resnet18", pretrained_cfg=value))
    assert problem == f"{tmp_path}: pretrained_cfg: expected an object, got {type(value).__name__}"


def test_every_field_of_timms_configs_is_known():
    fields = set(timm.models.PretrainedCfg.__dataclass_fields__)
    assert fields == (source.METADATA | set(source.FAMILY.keys)) - {"img_size", "use_test_size"}


def test_a_models_config_is_still_refused(tmp_path):
    write(tmp_path, architectures=["ViTModel"], model_type="vit")
    with pytest.raises(UnsupportedConfig, match="holds neither preprocessor_config"):
        sources.find(str(tmp_path))
    with pytest.raises(UnsupportedConfig, match="a model's config"):
        sources.find(str(tmp_path / "config.json"))


def test_other_numbers_of_channels_are_refused(tmp_path):
    with pytest.raises(UnsupportedConfig, match=r"mean: expected .* one for each of 4 channels"):
        exporter.trace("timm:resnet50", channels=4)
    assert np.shape(exporter.trace("timm:resnet50", channels=1, mean=[0.5], std=[0.5]).steps[-1].mean) == (1,)
