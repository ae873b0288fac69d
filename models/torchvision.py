"""torchvision's models: ``torchvision:ResNet50_Weights.DEFAULT``, the transform that comes with the weights.

It is ``weights.transforms()`` on PIL images; file names below are of torchvision 0.29.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any

from runtime.errors import UnsupportedConfig
from runtime.ops import Resize, Step
from runtime.ops.size import Size

from . import transforms
from .family import Family
from .reader import Reader, nearest
from .source import Source, few, library, named

FILTERS = {
    "nearest": "nearest", "nearest-exact": "nearest", "bilinear": "bilinear", "bicubic": "bicubic", "box": "box",
    "hamming": "hamming", "lanczos": "lanczos",
}  # fmt: skip
"""Pillow's filter for each ``InterpolationMode`` (transforms/functional.py:53-61)."""


def find(name: str) -> Source:
    """The config of ``torchvision:WEIGHTS``; no weights are loaded.

    Args:
        name: of an enumeration of weights and its member, such as ``ResNet50_Weights.IMAGENET1K_V2``.

    Raises:
        BackendUnavailable: torchvision is not installed.
        UnsupportedConfig: there are no such weights, or they are of a model of videos or of optical flow.
    """
    models = library("torchvision.models", "torchvision")
    weights = {}
    for model in models.list_models():
        members = models.get_model_weights(model).__members__
        weights.update({f"{type(member).__name__}.{key}": member for key, member in members.items()})
    if name not in weights:
        raise UnsupportedConfig(f"torchvision:{name}: torchvision has no such weights{_near(name, list(weights))}")
    preset: Any = weights[name].transforms
    if not isinstance(preset, functools.partial):
        preset = functools.partial(preset)
    kind = preset.func.__name__
    if kind not in FAMILIES:
        raise UnsupportedConfig(
            f"torchvision:{name}: its preset {kind} takes no single images; supported are {', '.join(FAMILIES)}"
        )
    parameters = inspect.signature(preset.func).parameters.values()
    arguments = {p.name: p.default for p in parameters if p.default is not p.empty} | preset.keywords
    config = {key: getattr(value, "value", value) for key, value in arguments.items()}
    return Source(f"torchvision:{weights[name]}", config, named(weights[name].meta.get("categories")), FAMILIES[kind])


def _near(name: str, names: list[str]) -> str:
    """The members where the enumeration is right, else the nearest name."""
    members = [known for known in names if known.partition(".")[0] == name.partition(".")[0]]
    return f"; there are {few(members)}" if members else f"{nearest(name, names)}; see torchvision.models"


def _image_classification(reader: Reader, reference: str) -> list[Step]:
    """transforms/_presets.py:58."""
    resize = _resize(reader, reference)
    edge = _side(reader, "crop_size")
    return [*resize, transforms.center_crop(edge, edge), transforms.to_tensor(), transforms.normalize(reader)]


def _object_detection(reader: Reader, reference: str) -> list[Step]:
    """transforms/_presets.py:24; of instances and key points too. The model itself resizes and normalizes."""
    return [transforms.to_tensor()]


def _semantic_segmentation(reader: Reader, reference: str) -> list[Step]:
    """transforms/_presets.py:164; a null in ``resize_size`` keeps the image's size."""
    resize = [] if reader.values.get("resize_size") is None else _resize(reader, reference)
    return [*resize, transforms.to_tensor(), transforms.normalize(reader)]


def _resize(reader: Reader, reference: str) -> list[Step]:
    reader.flag("antialias")  # of tensors; Pillow always does
    filter = FILTERS[transforms.choice(reader, "interpolation", list(FILTERS))]
    size = Size(shortest_edge=_side(reader, "resize_size"))
    return [Resize(size, filter, reference)]


def _side(reader: Reader, key: str) -> int:
    value: Any = reader.values.get(key)
    if not transforms.is_side(value):
        reader.problem(key, transforms.SIDE)
        return 1
    return int(value)


_RESIZING = ("resize_size", "interpolation", "antialias", "mean", "std")

FAMILIES = {
    name: Family(name, (), {}, own_keys, steps=steps, has_torchvision=False, shared_keys=())
    for name, own_keys, steps in (
        ("ImageClassification", ("crop_size", *_RESIZING), _image_classification),
        ("ObjectDetection", (), _object_detection),
        ("SemanticSegmentation", _RESIZING, _semantic_segmentation),
    )
}
"""By the preset's name; a source says every key, so that there are no defaults."""
