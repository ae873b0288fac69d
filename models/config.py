"""A raw config to a family and the values of its keys, as transformers resolves them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from runtime.errors import UnsupportedConfig
from runtime.ops import Step

from .families import FAMILIES, MODEL_TYPES, Config, Family
from .reader import Reader, nearest

METADATA = {
    "_name_or_path", "_processor_class", "_valid_kwargs_names", "_valid_processor_keys", "auto_map", "data_format",
    "device", "disable_grouping", "feature_extractor_type", "image_processor_type", "image_seq_length",
    "input_data_format", "model_type", "num_channels", "processor_class", "return_tensors", "transformers_version",
}  # fmt: skip
"""Keys of a file that say nothing about the pixels: they pass without a warning."""


class UnreadKeyWarning(UserWarning):
    """A config holds a key that the reference class does not read either."""


def find_family(config: Mapping[str, Any], model_config: Mapping[str, Any], type: str | None = None) -> Family:
    """The family that a config belongs to (census of transformers: image_processing_auto.py:596-725).

    ``type`` wins; then ``image_processor_type`` and ``feature_extractor_type``, then the ``image_processor_type`` and
    the ``model_type`` of the model's own config. An unknown name never falls back to the model type.

    Raises:
        UnsupportedConfig: naming the nearest family.
    """
    keys = ("image_processor_type", "feature_extractor_type")
    for source, key in (*((config, key) for key in keys), (model_config, "image_processor_type")):
        name = type or source.get(key)
        if name is None:
            continue
        if not isinstance(name, str):
            raise UnsupportedConfig(f"{key}: expected a name, got {name!r}")
        short = _family_name(name)
        if short not in FAMILIES:
            where = "type" if type else key
            raise UnsupportedConfig(
                f"{where}: {name!r} is not supported{nearest(short, list(FAMILIES))}; known: {', '.join(FAMILIES)}"
            )
        return FAMILIES[short]
    model_type = config.get("model_type", model_config.get("model_type"))
    if isinstance(model_type, str) and model_type in MODEL_TYPES:
        return MODEL_TYPES[model_type]
    if model_type is not None:
        hint = nearest(str(model_type), list(MODEL_TYPES))
        raise UnsupportedConfig(f"model_type: {model_type!r} is not supported{hint}; give the processor's name as type")
    raise UnsupportedConfig(
        "image_processor_type: the config names no type, and there is no config.json with a model_type beside it;"
        " give the processor's name as type (--type ViT)"
    )


def _family_name(name: str) -> str:
    """``CLIPImageProcessorFast`` and ``CLIPFeatureExtractor`` to ``CLIP`` (image_processing_auto.py:643-672)."""
    for suffix in ("Fast", "Pil"):
        name = name.removesuffix(suffix)
    return name.removesuffix("FeatureExtractor").removesuffix("ImageProcessor")


def to_steps(
    family: Family,
    config: Mapping[str, Any],
    overrides: Mapping[str, Any],
    reference: str,
    strict: bool = False,
    channels: int = 3,
) -> tuple[Step, ...]:
    """The steps of a config.

    A key that the file leaves out has the class's default; an explicit null stays null and switches the step off, as
    in transformers (image_processing_utils.py:200). A key that the class does not read is named in an
    :class:`UnreadKeyWarning`, or refused where ``strict``.

    Raises:
        UnsupportedConfig: with every problem of the config at once.
    """
    problems = [
        f"{key}: {family.name} has no such key{nearest(key, family.keys)}; it reads {', '.join(family.keys)}"
        for key in overrides
        if key not in family.keys
    ]
    unread = sorted(set(config) - set(family.keys) - METADATA)
    if unread and strict:
        problems += [f"{key}: {family.name} does not read this key{nearest(key, family.keys)}" for key in unread]
    elif unread:
        message = f"{family.name} does not read {', '.join(unread)}: left out, as transformers ignores it too"
        warnings.warn(message, UnreadKeyWarning, stacklevel=2)
    values: Config = {**family.defaults, **family.legacy({**config, **overrides})}
    # A null switches it off, as every null does.
    reader = Reader(values, default_to_square=bool(values.get("default_to_square")), channels=channels)
    if not isinstance(values.get("default_to_square"), (int, type(None))):
        reader.problem("default_to_square", "true, false or null")
    try:
        steps = family.steps(reader, reference)
    except ValueError as error:  # a step's own check, of values that are fine one by one
        steps, problems = [], [*problems, str(error)]
    for key in ("size", "crop_size", "pad_size"):
        reader.loadable_size(key)
    problems += reader.problems
    if problems:
        raise UnsupportedConfig(problems)
    return tuple(steps)
