"""timm's models: ``timm:NAME``, and the ``config.json`` that timm and transformers' ``TimmWrapper`` save.

The transform is ``timm.data.create_transform(**timm.data.resolve_data_config(pretrained_cfg=…))`` on PIL images. File
names below are of timm 1.0.31.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from runtime.errors import UnsupportedConfig
from runtime.ops import Resize, Step
from runtime.ops.size import LONGEST_SIDE, Size

from . import transforms
from .family import Config, Family
from .reader import Reader, nearest
from .source import Source, few, library, named

INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "box", "hamming", "lanczos")
CROP_MODES = ("center", "squash", "border")

METADATA = {
    "architecture", "classifier", "custom_load", "description", "file", "first_conv", "fixed_input_size",
    "hf_hub_filename", "hf_hub_id", "label_descriptions", "label_names", "label_offset", "license", "min_input_size",
    "notes", "num_classes", "origin_url", "paper_ids", "paper_name", "pool_size", "source", "state_dict", "tag",
    "test_pool_size", "url",
}  # fmt: skip
"""Fields that say nothing about the pixels (models/_pretrained.py, ``PretrainedCfg``)."""

OLD_METADATA = METADATA | {"global_pool", "labels", "model_args", "num_features"}
"""The same in a ``config.json`` of a single level, together with what is about the model."""


def find(name: str) -> Source:
    """The config of ``timm:NAME``; no weights are loaded.

    Args:
        name: of a model, with or without a tag: ``resnet50``, ``resnet50.a1_in1k``; names that timm gave up, too.

    Raises:
        BackendUnavailable: timm is not installed.
        UnsupportedConfig: timm has no such model.
    """
    timm = library("timm", "timm")
    try:
        found = timm.models.get_pretrained_cfg(timm.models.get_deprecated_models().get(name) or name)
    except RuntimeError:  # a tag that the model does not have
        found = None
    if found is None:
        architectures, tagged = timm.list_models(), timm.list_models(include_tags=True)
        tags = [known for known in tagged if known.partition(".")[0] == name.partition(".")[0]]
        rest = f"; there are {few(tags)}" if tags else "; see timm.list_models()"
        near = nearest(name, tags or [*architectures, *tagged])
        raise UnsupportedConfig(f"timm:{name}: timm has no such model{near}{rest}")
    subset = timm.data.infer_imagenet_subset(found.to_dict())
    labels = timm.data.ImageNetInfo(subset).label_descriptions() if subset else None
    full = ".".join(part for part in (found.architecture, found.tag) if part)
    return Source(f"timm:{full}", _pixels(found.to_dict(), METADATA), named(labels), FAMILY)


def is_config(config: Mapping[str, Any]) -> bool:
    """Whether a ``config.json`` is timm's: of two levels, or an old one of a single level."""
    return "pretrained_cfg" in config or ("architecture" in config and "input_size" in config)


def from_config(name: str, config: Mapping[str, Any]) -> Source:
    """The source of a ``config.json`` (models/_hub.py:161-200).

    Raises:
        UnsupportedConfig: ``pretrained_cfg`` is no object.
    """
    pretrained = config.get("pretrained_cfg", config)
    if not isinstance(pretrained, Mapping):
        raise UnsupportedConfig(f"{name}: pretrained_cfg: expected an object, got {type(pretrained).__name__}")
    labels = config.get("label_names", pretrained.get("label_names", pretrained.get("labels")))
    if pretrained is config:
        return Source(name, _pixels(config, OLD_METADATA), named(labels), FAMILY)
    return Source(name, _pixels(_for_model(pretrained, config.get("model_args")), METADATA), named(labels), FAMILY)


def _for_model(pretrained: Mapping[str, Any], arguments: Any) -> Mapping[str, Any]:
    """The config, for the size that a model was made for where it takes no other (models/_hub.py:189-202)."""
    if not isinstance(arguments, Mapping) or arguments.get("img_size") is None:
        return pretrained
    flexible = arguments.get("dynamic_img_size") or arguments.get("use_naflex")
    if flexible or arguments.get("strict_img_size") is False or not pretrained.get("fixed_input_size"):
        return pretrained
    size = arguments["img_size"]
    sides = size if isinstance(size, (list, tuple)) else [size, size]
    return {**pretrained, "input_size": [3, *sides]}


def _pixels(config: Mapping[str, Any], metadata: set[str]) -> Config:
    return {key: value for key, value in config.items() if key not in metadata}


def _without_nulls(config: Config) -> Config:
    """A null has the default (data/config.py:31-89)."""
    return {key: value for key, value in config.items() if value is not None}


def _steps(reader: Reader, reference: str) -> list[Step]:
    """data/transforms_factory.py:273, ``transforms_imagenet_eval``."""
    filter = transforms.choice(reader, "interpolation", INTERPOLATIONS)
    mode = transforms.choice(reader, "crop_mode", CROP_MODES)
    height, width, scaled = _sizes(reader)
    crop: list[Step] = [transforms.center_crop(height, width)]
    normalize = transforms.normalize(reader)
    if mode == "squash":
        size = Size(height=scaled[0], width=scaled[1])
    elif mode == "border":
        size = transforms.keep_ratio(*scaled, inside=True)
        fill = tuple(float(min(max(round(255 * mean), 0), 255)) for mean in normalize.mean)
        crop = transforms.center_crop_or_pad(height, width, fill)
    elif scaled[0] == scaled[1]:
        size = Size(shortest_edge=scaled[0])
    else:
        size = transforms.keep_ratio(*scaled, inside=False)
    return [Resize(size, filter, reference), *crop, transforms.to_tensor(), normalize]


def _sizes(reader: Reader) -> tuple[int, int, tuple[int, int]]:
    """The height and width of the result, and those before the crop: divided by ``crop_pct`` and rounded down."""
    test = reader.flag("use_test_size")
    size_key = "test_input_size" if test and "test_input_size" in reader.values else "input_size"
    crop_key = "test_crop_pct" if test and "test_crop_pct" in reader.values else "crop_pct"
    size, fraction = reader.values.get(size_key), reader.number(crop_key)
    if "img_size" in reader.values:
        size_key, edge = "img_size", reader.values["img_size"]
        size = [reader.channels, edge, edge]
    if not isinstance(size, (list, tuple)) or len(size) != 3 or not all(map(transforms.is_side, size)):
        form = "" if size_key == "img_size" else "[channels, height, width], each "
        reader.problem(size_key, form + transforms.SIDE)
        return 1, 1, (1, 1)
    _, height, width = size
    if not fraction > 0 or not 1 <= min(height, width) / fraction <= max(height, width) / fraction <= LONGEST_SIDE:
        reader.problem(crop_key, f"a number above 0, and {size_key} divided by it from 1 to {LONGEST_SIDE}")
        return height, width, (height, width)
    return height, width, (math.floor(height / fraction), math.floor(width / fraction))


FAMILY = Family(
    "timm",
    (),
    {
        "input_size": [3, 224, 224], "interpolation": "bicubic", "crop_pct": 0.875, "crop_mode": "center",
        "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "use_test_size": False,
    },
    own_keys=(
        "input_size", "img_size", "interpolation", "crop_pct", "crop_mode", "mean", "std", "test_input_size",
        "test_crop_pct", "use_test_size",
    ),
    legacy=_without_nulls,
    steps=_steps,
    has_torchvision=False,
    shared_keys=(),
)  # fmt: skip
"""Keys of a ``pretrained_cfg``; and ``use_test_size`` and ``img_size``, arguments of ``resolve_data_config``."""
