"""Keras Hub's presets: the ``preprocessor.json`` or ``image_converter.json`` of a folder or a repository.

The reference is ``ImageConverter`` on Keras' torch backend, given uint8 images: it resizes them to uint8, and then
scales in float32. File names below are of keras_hub 0.32, ``src/``, where no other library is named.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from runtime.errors import UnsupportedConfig
from runtime.ops import ChannelsLast, CropToRatio, Pad, ResizeKeras, ScaleOffset, Step
from runtime.ops.resize_keras import FILTERS
from runtime.ops.size import Size

from .family import Config, Family
from .reader import Reader, nearest
from .source import Source
from .transforms import SIDE, choice, is_side

PACKAGES = ("keras_hub>", "keras_nlp>")
"""Of ``registered_name``, now and before the library was renamed."""

SAME = (
    "BASNet", "CLIP", "CSPNet", "DFine", "DINOV2", "DINOV3", "DeepLabV3", "DeiT", "DenseNet", "DepthAnything",
    "EfficientNet", "HGNetV2", "MetaCLIP2", "MiT", "MobileNet", "MobileNetV5", "PARSeq", "PaliGemma", "ResNet",
    "RetinaNet", "SAM", "SAM3", "SegFormer", "SigLIP", "SwinTransformer", "VGG", "VideoPrism", "ViT", "Xception", "",
)  # fmt: skip
"""``{name}ImageConverter`` that add nothing to the base class."""

FLOAT32 = ("BLIP2", "Gemma3", "Gemma3n", "T5Gemma2")
"""Those that compute in float32 whatever ``dtype`` says (models/gemma3/gemma3_image_converter.py)."""

PATCHES = ("Gemma4", "Qwen3_5", "Qwen3_5Moe")
"""Those that cut an image into patches, whose number depends on it."""

PASSING = (
    "ImageClassifierPreprocessor", "DepthEstimatorPreprocessor", "ImageSegmenterPreprocessor", "BASNetPreprocessor",
)  # fmt: skip
"""Ends of the names of preprocessors that take images and leave labels alone, as ImageClassifierPreprocessor does
(models/image_classifier_preprocessor.py:67); those of segmenters resize masks where ``resize_output_mask`` says so."""

OTHERS = ("SAMImageSegmenterPreprocessor", "SAM3PromptableConceptImageSegmenterPreprocessor")
"""Those among them that take prompts too."""

METADATA = {"bounding_box_format", "name", "trainable"}
"""Keys that say nothing about the pixels."""


def is_config(config: Mapping[str, Any]) -> bool:
    """Whether a JSON file holds a layer or a model of Keras Hub."""
    name = config.get("registered_name")
    return isinstance(name, str) and name.startswith(PACKAGES) and isinstance(config.get("config"), Mapping)


def from_config(name: str, config: Mapping[str, Any]) -> Source:
    """The source of a ``preprocessor.json`` or an ``image_converter.json``.

    Raises:
        UnsupportedConfig: it holds no image converter, or one that does more than the base class; or the preprocessor
            changes labels too.
    """
    short = str(config["registered_name"]).partition(">")[2]
    if short.endswith("ImageConverter"):
        short = short.removesuffix("ImageConverter")
        return Source(name, _pixels(name, config["config"], short), family=_family(name, short))
    converter = config["config"].get("image_converter")
    if not isinstance(converter, Mapping) or not is_config(converter):
        raise UnsupportedConfig(f"{name}: {short} holds no image_converter: give a preset with an image_converter.json")
    if short.endswith(PASSING) and short not in OTHERS and not config["config"].get("resize_output_mask"):
        return from_config(name, converter)
    raise UnsupportedConfig(
        f"{name}: {short} takes or changes more than images: give the preset's image_converter.json, for the images"
    )


def _family(name: str, short: str) -> Family:
    if short in PATCHES:
        raise UnsupportedConfig(
            f"{name}: {short}ImageConverter: the grid of patches depends on the image; not supported"
        )
    if short == "BLIP2":
        return BLIP2
    if short not in (*SAME, *FLOAT32):
        near = nearest(short, [*SAME, *FLOAT32])
        raise UnsupportedConfig(f"{name}: keras_hub has no {short}ImageConverter{near}")
    return FAMILY


def _pixels(name: str, config: Mapping[str, Any], short: str) -> Config:
    """What is about the pixels, under today's names (layers/preprocessing/image_converter.py:111)."""
    result = {key: value for key, value in config.items() if key not in METADATA}
    if short in FLOAT32:
        result.pop("dtype", None)
    if "height" in result and "width" in result:
        result["image_size"] = [result.pop("height"), result.pop("width")]
    if "variance" in result and "mean" in result:
        variance, mean, scale = result.pop("variance"), result.pop("mean"), result.pop("scale", None)
        try:
            stds = [math.sqrt(value) for value in variance]
            result["scale"] = [1.0 * scale / std for std in stds]
            result["offset"] = [-value / std for value, std in zip(mean, stds, strict=True)]
        except (TypeError, ValueError, ZeroDivisionError) as error:
            raise UnsupportedConfig(
                f"{name}: scale, mean and variance: expected a number, and a list each of numbers above 0 for variance;"
                f" got {scale!r}, {mean!r} and {variance!r}"
            ) from error
    return result


def _steps(reader: Reader, reference: str) -> list[Step]:
    """layers/preprocessing/image_converter.py:168, ``_call_python``."""
    steps: list[Step] = []
    _check_dtype(reader)
    crop, pad = reader.flag("crop_to_aspect_ratio"), reader.flag("pad_to_aspect_ratio")
    if crop and pad:
        reader.problems.append("crop_to_aspect_ratio, pad_to_aspect_ratio: expected only one of them to be true")
    filter, antialias = choice(reader, "interpolation", FILTERS), reader.flag("antialias")
    size = _image_size(reader)
    if size is not None:
        height, width = size
        if crop:
            steps.append(CropToRatio(height, width))
        elif pad:
            steps.append(Pad(Size(ratio_height=height, ratio_width=width), centered=True))
        steps.append(ResizeKeras(Size(height=height, width=width), filter, antialias and filter != "nearest"))
    steps += _scale_offset(reader)
    layout = reader.values.get("data_format")
    if layout not in (None, "channels_last", "channels_first"):
        reader.problem("data_format", "channels_last, channels_first or null")
    return steps if layout == "channels_first" else [*steps, ChannelsLast()]


def _check_dtype(reader: Reader) -> None:
    """float32, by name or as a serialized policy of that name."""
    dtype = reader.values.get("dtype")
    policy = dtype.get("config") if isinstance(dtype, Mapping) else None
    if (policy.get("name") if isinstance(policy, Mapping) else dtype) not in ("float32", None):
        reader.problem("dtype", "float32")


def _image_size(reader: Reader) -> tuple[int, int] | None:
    """(height, width); none where the image keeps its size."""
    size = reader.values.get("image_size")
    if size is None:
        return None
    if not isinstance(size, (list, tuple)) or len(size) != 2 or not all(map(is_side, size)):
        reader.problem("image_size", f"[height, width], each {SIDE}, or null")
        return None
    return size[0], size[1]


def _scale_offset(reader: Reader) -> list[Step]:
    has_scale, has_offset = (reader.values.get(key) is not None for key in ("scale", "offset"))
    if has_offset and not has_scale:
        reader.problem("offset", "null without a scale, for Keras adds it to uint8 then; or set scale to 1")
        return []
    offset = reader.per_channel("offset") if has_offset else (0.0,) * reader.channels
    return [ScaleOffset(reader.per_channel("scale"), offset)] if has_scale else []


FAMILY = Family(
    "KerasHub",
    (),
    {"crop_to_aspect_ratio": True, "interpolation": "bilinear"},
    own_keys=(
        "image_size", "scale", "offset", "crop_to_aspect_ratio", "pad_to_aspect_ratio", "interpolation", "antialias",
        "data_format", "dtype",
    ),
    steps=_steps,
    has_pil=False,
    shared_keys=(),
)  # fmt: skip

BLIP2 = replace(
    FAMILY,
    defaults={
        "image_size": [224, 224], "interpolation": "bicubic", "antialias": True,
        "scale": [0.014598426619242919, 0.015007768493717055, 0.014220065717024086],
        "offset": [-1.79226253374815, -1.7520971281645974, -1.4802197687835659],
    },
)  # fmt: skip
"""models/blip2/blip2_image_converter.py:53; its files hold neither scale nor offset."""
