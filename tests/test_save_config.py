"""A Plan back to a ``preprocessor_config.json``: transformers loads it to the same processor and the same pixels."""

import dataclasses
import json
import pickle

import numpy as np
import pytest
import transformers
from PIL import Image

import exporter
import runtime
from models.families import FAMILIES
from models.presets import PRESETS
from runtime import ArtifactError, UnsupportedConfig
from runtime.frozen import FrozenJson
from runtime.ops import CenterCrop
from runtime.preprocessor import Preprocessor

from .helpers import INSTALLED_ORDER, assert_equal, noise

IMAGES = (noise(37, 53), noise(90, 41), noise(64, 64))
NEEDED = {
    "ImageGPT": {"clusters": [[-1.0, -0.5, 0.0], [0.5, 1.0, 0.25]]},
    "LayoutLMv2": {"apply_ocr": False},
    "LayoutLMv3": {"apply_ocr": False},
}
"""Options that a family cannot do without here."""

CLASSES = [
    *((name, INSTALLED_ORDER) for name, family in FAMILIES.items() if family.has_pil),
    *((name, "torchvision") for name, family in FAMILIES.items() if family.has_torchvision),
]


def write(folder, config, name="preprocessor_config.json"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(config))
    return folder


def written(path):
    return json.loads(path.read_text())


def load(folder, reference):
    """transformers' own, of the class that the reference means."""
    backend = "torchvision" if reference == "torchvision" else "pil"
    return transformers.AutoImageProcessor.from_pretrained(folder, backend=backend)


def attributes(processor):
    """All that it holds, without how an integer size would be read: every size is written as an object."""
    return {key: value for key, value in processor.to_dict().items() if key != "default_to_square"}


@pytest.mark.parametrize(("name", "reference"), CLASSES)
def test_every_class_comes_back_with_all_its_attributes(name, reference, tmp_path):
    folder = write(tmp_path / "a", {"image_processor_type": f"{name}ImageProcessor", **NEEDED.get(name, {})})
    plan = exporter.trace(folder, reference=reference)
    path = exporter.save_config(plan, tmp_path / "b")
    assert path == tmp_path / "b" / "preprocessor_config.json"
    before, after = load(folder, reference), load(tmp_path / "b", reference)
    assert type(before) is type(after)
    assert attributes(before) == attributes(after)
    again = exporter.trace(tmp_path / "b", reference=reference, strict=True)
    assert dataclasses.replace(again, source=plan.source) == plan


ODD = {
    "ints": {"size": 40, "crop_size": 30},
    "lists": {"size": [40, 56], "crop_size": [30, 35]},
    "nulls": {"size": 40, "do_convert_rgb": None, "do_center_crop": None, "do_normalize": None, "image_mean": None},
    "null resize": {"do_resize": None, "size": None, "do_center_crop": True, "crop_size": 30},
    "null within a size": {"size": {"shortest_edge": 40, "longest_edge": None}},
    "one number": {"size": 40, "image_mean": 0.25, "image_std": 0.75, "rescale_factor": 0.0078125},
    "square by default": {"size": 40, "default_to_square": True},
    "short by default": {"size": 40, "default_to_square": False},
    "odd but unread": {"size": 40, "do_rescale": False, "rescale_factor": float("nan"), "patch": 3},
}
OWN = {
    "CLIP": {"use_square_size": True, "size": 40, "crop_size": 40},
    "Idefics": {"image_size": 40, "size": 50},
    "OwlViT": {"rescale": False, "do_rescale": True, "size": 40},
    "ConvNext": {"size": 40, "crop_pct": 0.9},
    "EfficientNet": {"size": 40, "include_top": False, "rescale_offset": True},
    "Siglip": {"size": 40},
}
CASES = [
    *(
        (name, reference, ODD[odd])
        for odd in ODD
        for name in ("CLIP", "ViT")
        for reference in ("pillow", "torchvision")
    ),
    *((name, reference, config) for name, config in OWN.items() for reference in ("pillow", "torchvision")),
]


@pytest.mark.filterwarnings("ignore:.*does not read patch")
@pytest.mark.parametrize(("name", "reference", "config"), CASES, ids=str)
def test_the_pixels_are_those_of_the_config_it_came_from(name, reference, config, tmp_path):
    folder = write(tmp_path / "a", {"image_processor_type": f"{name}ImageProcessor", **config})
    plan = exporter.trace(folder, reference=reference)
    exporter.save_config(plan, tmp_path / "b")
    before, after = load(folder, reference), load(tmp_path / "b", reference)
    tensors = "pt" if reference == "torchvision" else "np"
    for image in map(Image.fromarray, IMAGES):
        outputs = [Preprocessor(plan, "pil")(image)]
        outputs += [processor(image, return_tensors=tensors) for processor in (before, after)]
        ours, *theirs = (np.asarray(o["pixel_values"] if hasattr(o, "keys") else o) for o in outputs)
        for value in theirs:
            assert_equal(value, ours, f"{name} {config} at {image.size}")


def test_overrides_are_in_the_file(tmp_path):
    plan = exporter.trace("clip-vit-base-patch32", size=40, do_convert_rgb=None, crop_size=(20, 30))
    config = written(exporter.save_config(plan, tmp_path))
    assert config["size"] == {"shortest_edge": 40}
    assert config["crop_size"] == {"height": 20, "width": 30}
    assert config["do_convert_rgb"] is None
    assert "pad_size" not in config  # null, as by default


def test_the_type_that_the_user_gave_is_in_the_file(tmp_path):
    folder = write(tmp_path / "a", {"image_processor_type": "SomeImageProcessor", "size": 40})
    plan = exporter.trace(folder, type="siglip")
    exporter.save_config(plan, folder)
    assert type(load(folder, "pillow")).__name__ == "SiglipImageProcessorPil"
    assert exporter.trace(folder).steps == plan.steps


@pytest.mark.parametrize("suffix", [".onnx", ".pt"])
def test_a_loaded_artifact_gives_the_same_file(suffix, tmp_path):
    plan = exporter.trace("vit-base-patch16-224", size=40, dtype="float16", layout="NCHW")
    path = tmp_path / f"a{suffix}"
    (exporter.to_onnx if suffix == ".onnx" else exporter.to_torchscript)(plan, path)
    loaded = runtime.load(path).plan
    assert loaded.config == plan.config
    first, second = exporter.save_config(plan, tmp_path / "a"), exporter.save_config(loaded, tmp_path / "b")
    assert first.read_bytes() == second.read_bytes()


def test_the_config_of_a_plan_stays_as_it_is():
    plan = exporter.trace("vit-base-patch16-224")
    assert isinstance(plan.config, FrozenJson)
    plan.config["size"]["height"] = 5
    assert plan.config["size"] == {"height": 224, "width": 224}
    assert pickle.loads(pickle.dumps(plan)) == plan
    assert hash(plan) == hash(dataclasses.replace(plan))


def test_the_file_is_replaced_and_made_as_any_other(tmp_path):
    folder = tmp_path / "new" / "folder"
    exporter.save_config(exporter.trace("vit-base-patch16-224"), folder)
    path = exporter.save_config(exporter.trace("clip-vit-base-patch32"), str(folder))
    assert written(path)["image_processor_type"] == "CLIPImageProcessor"
    assert [file.name for file in folder.iterdir()] == ["preprocessor_config.json"]
    (tmp_path / "other").touch()
    assert path.stat().st_mode == (tmp_path / "other").stat().st_mode


def test_the_model_beside_it_stays(tmp_path):
    write(tmp_path, {"model_type": "vit"}, "config.json")
    write(tmp_path, {"processor_class": "CLIPProcessor"}, "processor_config.json")
    exporter.save_config(exporter.trace("clip-vit-base-patch32"), tmp_path)
    assert exporter.trace(tmp_path).family == "CLIP"
    assert type(load(tmp_path, "pillow")).__name__ == "CLIPImageProcessorPil"


# Refusals.


def refusal(plan, folder):
    with pytest.raises(UnsupportedConfig) as caught:
        exporter.save_config(plan, folder)
    assert not (folder / "preprocessor_config.json").exists()
    return str(caught.value)


PLAN = exporter.trace("vit-base-patch16-224")


@pytest.mark.parametrize("source", ["timm:resnet18", "torchvision:ResNet18_Weights.DEFAULT", ""])
def test_a_plan_of_another_library(source, tmp_path):
    plan = dataclasses.replace(PLAN, config={}, source=source)
    assert refusal(plan, tmp_path) == (
        f"{source or 'this Plan'}: not made of a config of transformers; the library that it comes from writes its own"
    )


def test_a_folder_whose_other_file_would_win(tmp_path):
    nested = write(
        tmp_path / "a", {"image_processor": {"image_processor_type": "CLIPImageProcessor"}}, "processor_config.json"
    )
    assert refusal(PLAN, nested).endswith(
        "processor_config.json: holds an image_processor, which transformers would read instead"
    )
    timm = write(tmp_path / "b", {"architecture": "resnet18", "pretrained_cfg": {}}, "config.json")
    assert refusal(PLAN, timm).endswith("config.json: holds a pretrained_cfg, which transformers would read instead")


@pytest.mark.parametrize(
    "changes",
    [
        {"steps": (*PLAN.steps, CenterCrop(8, 8))},
        {"steps": PLAN.steps[:-1]},
        {"reference": "torchvision"},
        {"config": {**PLAN.config, "size": {"height": 8, "width": 8}}},
        {"config": {"image_processor_type": "ViTImageProcessor", "do_resize": False}},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_steps_that_are_not_the_configs(changes, tmp_path):
    """Its steps may have been changed since, and an artifact may hold anything."""
    assert "the Plan's steps are not what this release makes of its config" in refusal(
        dataclasses.replace(PLAN, **changes), tmp_path
    )


def test_keys_that_no_family_reads_are_not_written(tmp_path):
    """``auto_map`` above all: it names code for transformers to run."""
    config = {**PLAN.config, "auto_map": {"AutoImageProcessor": "evil--mine.Mine"}}
    assert "auto_map: ViT does not read this key" in refusal(dataclasses.replace(PLAN, config=config), tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"family": "CLIP"},
        {"family": "Nothing"},
        {"config": {**PLAN.config, "image_processor_type": "CLIPImageProcessor"}},
        {"config": {**PLAN.config, "image_processor_type": ["ViTImageProcessor"]}},
        {"config": {"size": {"height": 224, "width": 224}}},
    ],
    ids=str,
)
def test_a_config_of_another_family(changes, tmp_path):
    assert "its image_processor_type is not of the Plan's family" in refusal(
        dataclasses.replace(PLAN, **changes), tmp_path
    )


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ArtifactError, match="cannot be made"):
            exporter.save_config(PLAN, folder)
    (tmp_path / "preprocessor_config.json").mkdir()
    with pytest.raises(ArtifactError, match="cannot be written"):
        exporter.save_config(PLAN, tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "preprocessor_config.json"]


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_comes_back(name, tmp_path):
    plan = exporter.trace(name)
    exporter.save_config(plan, tmp_path)
    assert exporter.trace(tmp_path, strict=True).steps == plan.steps
