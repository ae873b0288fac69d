"""open_clip's models: ``open_clip:ARCH/TAG``, and the ``open_clip_config.json`` of a folder or a repository.

The transform is the last one that ``open_clip.create_model_and_transforms`` gives, on RGB images. File names below are
of open_clip 3.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runtime.errors import UnsupportedConfig
from runtime.ops import Resize, Step
from runtime.ops.size import Size

from . import transforms
from .family import Config, Family
from .reader import Reader, nearest
from .source import Source, few, library

METADATA = {"hf_hub", "quick_gelu", "url"}
"""Of a tag; they say nothing about the pixels."""

RESIZE_MODES = ("shortest", "longest", "squash")
FILTERS = {"bicubic": "bicubic", "bilinear": "bilinear", "random": "bicubic"}
"""Those of ``interpolation``; a random one is of the training only (transform.py:344)."""


def find(name: str) -> Source:
    """The config of ``open_clip:ARCH/TAG``; no weights are loaded.

    Args:
        name: of an architecture and its pretrained weights, such as ``ViT-B-32/laion2b_s34b_b79k``.

    Raises:
        BackendUnavailable: open_clip is not installed.
        UnsupportedConfig: open_clip has no such model, or no such tag of it.
    """
    open_clip = library("open_clip", "open_clip_torch")
    architecture, _, tag = name.rpartition("/")
    architecture = architecture.replace("/", "-")  # ViT-B/32 is ViT-B-32
    config = open_clip.get_pretrained_cfg(architecture, tag)
    if not config:
        tags = [f"{architecture}/{each}" for each in open_clip.list_pretrained_tags_by_model(architecture)]
        known = ["/".join(pair) for pair in open_clip.list_pretrained()]
        rest = f"; there are {few(tags)}" if tags else "; see open_clip.list_pretrained()"
        raise UnsupportedConfig(f"open_clip:{name}: open_clip has no such ARCH/TAG{nearest(name, known)}{rest}")
    config = {key: value for key, value in config.items() if key not in METADATA}
    return Source(f"open_clip:{name}", _with_size(config, open_clip.get_model_config(architecture)), family=FAMILY)


def is_config(config: Mapping[str, Any]) -> bool:
    """Whether a JSON file is an ``open_clip_config.json``."""
    return isinstance(config.get("model_cfg"), Mapping)


def from_config(name: str, config: Mapping[str, Any]) -> Source:
    """The source of an ``open_clip_config.json`` (factory.py:341-350).

    Raises:
        UnsupportedConfig: ``preprocess_cfg`` is no object.
    """
    preprocess = config.get("preprocess_cfg", {})
    if not isinstance(preprocess, Mapping):
        raise UnsupportedConfig(f"{name}: preprocess_cfg: expected an object, got {type(preprocess).__name__}")
    return Source(name, _with_size(preprocess, config["model_cfg"]), family=FAMILY)


def _with_size(config: Mapping[str, Any], model: Mapping[str, Any]) -> Config:
    """The config with the size of the model's images, which wins over its own (factory.py:612-615)."""
    vision = model.get("vision_cfg")
    size = vision.get("image_size", 224) if isinstance(vision, Mapping) else 224  # model.py:41
    return {**config, "size": size}


def _without_nulls(config: Config) -> Config:
    """A null has the default (transform.py:53)."""
    return {key: value for key, value in config.items() if value is not None}


def _steps(reader: Reader, reference: str) -> list[Step]:
    """transform.py:324, ``image_transform``."""
    filter = FILTERS[transforms.choice(reader, "interpolation", list(FILTERS))]
    mode = transforms.choice(reader, "resize_mode", RESIZE_MODES)
    transforms.choice(reader, "mode", ("RGB",))
    if reader.channels != 3:
        reader.problems.append(f"channels: open_clip makes RGB of every image, so expected 3, got {reader.channels}")
    height, width = _size(reader)
    fill = _fill_color(reader)
    crop: list[Step] = [transforms.center_crop(height, width)]
    if mode == "squash":
        size, crop = Size(height=height, width=width), []
    elif mode == "longest":
        size = transforms.keep_ratio(height, width, inside=True)
        crop = transforms.center_crop_or_pad(height, width, fill)
    elif height == width:
        size = Size(shortest_edge=height)
    else:
        size, filter = transforms.keep_ratio(height, width, inside=False), "bicubic"  # whatever `interpolation` says
    return [Resize(size, filter, reference), *crop, transforms.to_tensor(), transforms.normalize(reader)]


def _size(reader: Reader) -> tuple[int, int]:
    value = reader.values.get("size")
    if isinstance(value, (list, tuple)) and len(value) != 2:
        reader.problem("size", "an integer, or [height, width]")
        return 1, 1
    return reader.exact_size("size")


def _fill_color(reader: Reader) -> tuple[float, ...]:
    """One level for all channels, or one for each; black by default."""
    value = reader.values.get("fill_color")
    levels = value if isinstance(value, (list, tuple)) else [value] * reader.channels
    if len(levels) != reader.channels or not all(type(level) is int and 0 <= level <= 255 for level in levels):
        reader.problem("fill_color", f"an integer from 0 to 255, or {reader.channels} of them")
        return (0.0,) * reader.channels
    return tuple(map(float, levels))


FAMILY = Family(
    "open_clip",
    (),
    {
        "size": 224, "mode": "RGB", "interpolation": "bicubic", "resize_mode": "shortest", "fill_color": 0,
        "mean": [0.48145466, 0.4578275, 0.40821073], "std": [0.26862954, 0.26130258, 0.27577711],
        "default_to_square": True,
    },
    own_keys=("size", "mode", "mean", "std", "interpolation", "resize_mode", "fill_color"),
    legacy=_without_nulls,
    steps=_steps,
    has_torchvision=False,
    shared_keys=(),
)  # fmt: skip
"""Keys of a ``preprocess_cfg`` (transform.py:18, ``PreprocessCfg``)."""
