"""A raw config to a family and the values of its keys, as transformers resolves them."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from runtime.errors import UnsupportedConfig
from runtime.ops import Step

from .families import FAMILIES, MODEL_TYPES
from .family import Config, Family
from .reader import Reader, nearest, nearest_of, short, size_keys
from .refused import REFUSED, REFUSED_MODEL_TYPES, Refused

METADATA = {
    "_name_or_path", "_processor_class", "_valid_kwargs_names", "_valid_processor_keys", "auto_map", "data_format",
    "device", "disable_grouping", "feature_extractor_type", "image_processor_type", "image_seq_length",
    "input_data_format", "model_type", "num_channels", "processor_class", "return_tensors", "transformers_version",
}  # fmt: skip
"""Keys of a file that say nothing about the pixels: they pass without a warning."""

SIZES = ("size", "crop_size", "pad_size")


class UnreadKeyWarning(UserWarning):
    """A config holds a key that the reference class does not read either."""


def find_family(config: Mapping[str, Any], model_config: Mapping[str, Any], type: str | None = None) -> Family:
    """The family that a config belongs to, as transformers finds it (image_processing_auto.py:640-712).

    ``type`` wins: a processor's name, with or without its suffixes, or a model type. Then ``image_processor_type`` and
    ``feature_extractor_type``, then the ``image_processor_type`` and the ``model_type`` of the model's own config. An
    unknown name never falls back to the model type. Old names in either key, and names that differ in letter case or
    punctuation only, are taken for what they mean, though transformers does not load them.

    Raises:
        UnsupportedConfig: with the reason why this family is not supported, or the nearest that is.
    """
    if type is not None:
        found = _of_model_type(_text("type", type)) or _named(type)
        return _supported(found, "type", type, [*REFUSED, *MODEL_TYPES, *FAMILIES])
    auto_map = config.get("auto_map")
    own_code = isinstance(auto_map, Mapping) and "AutoImageProcessor" in auto_map
    family = _from_type(config, own_code) or _from_model_config(model_config)
    if family is not None:
        return family
    for source in (model_config, config):
        if source.get("model_type") is not None:
            name = _text("model_type", source["model_type"])
            return _supported(_of_model_type(name), "model_type", name, [*MODEL_TYPES, *REFUSED_MODEL_TYPES])
    if own_code:
        raise UnsupportedConfig(
            "auto_map: the image processor is code of the repository's own, which is never run; where it equals one of"
            " transformers, give that one's name as type (--type ViT)"
        )
    raise UnsupportedConfig(
        "image_processor_type: the config names no type, and there is no config.json with a model_type beside it;"
        " give the processor's name as type (--type ViT)"
    )


def _from_type(config: Mapping[str, Any], own_code: bool) -> Family | None:
    """The family that the processor's own config names, in the new key or the old one; None where it names none."""
    # Beside code of the repository's own, transformers does not look at the old key.
    keys = ("image_processor_type", *(() if own_code else ("feature_extractor_type",)))
    key = next((key for key in keys if config.get(key) is not None), None)
    if key is None:
        return None
    name = _text(key, config[key])
    found = _named(name)
    if own_code and found is None:
        raise UnsupportedConfig(f"{key}: {short(name)} is code of the repository's own (auto_map), which is never run")
    return _supported(found, key, name, [*FAMILIES, *REFUSED])


def _from_model_config(model_config: Mapping[str, Any]) -> Family | None:
    """The family whose class the model's config names exactly, for transformers falls back to the model type else."""
    key = "config.json: image_processor_type"
    if model_config.get("image_processor_type") is None:
        return None
    name = _text(key, model_config["image_processor_type"])
    found = _named(name)
    if found is not None and name.removesuffix("Fast").removesuffix("Pil") != f"{found.name}ImageProcessor":
        found = None
    if isinstance(found, Family) and "Pil" in name and not (found.has_pil and found.has_torchvision):
        found = None  # the one class has the plain name
    return _supported(found, key, name, [*FAMILIES, *REFUSED])


def _of_model_type(name: str) -> Family | Refused | None:
    return MODEL_TYPES.get(name) or REFUSED_MODEL_TYPES.get(name)


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise UnsupportedConfig(f"{key}: expected a name, got {short(value)}")
    return value


def _supported(found: Family | Refused | None, key: str, name: str, names: Sequence[str]) -> Family:
    """``found`` where it is a family; ``names`` are searched for the nearest where nothing was."""
    if isinstance(found, Family):
        return found
    if found is not None:
        raise UnsupportedConfig(f"{key}: {short(name)}: {found}")
    near = nearest_of(_short_name(name), names, least=0.7)
    refused = REFUSED.get(near or "") or REFUSED_MODEL_TYPES.get(near or "")
    if refused is not None:
        raise UnsupportedConfig(f"{key}: {short(name)} is not supported, nor is the nearest, {near}: {refused.reason}")
    hint = f" (did you mean {near!r}?)" if near else ""
    cure = "" if key == "type" else "; give the processor's name as type (--type ViT)"
    raise UnsupportedConfig(f"{key}: {short(name)} is not supported{hint}{cure}")


def _named(name: str) -> Family | Refused | None:
    return _BY_NAME.get(_letters(_short_name(name)))


def _short_name(name: str) -> str:
    """``CLIPImageProcessorFast`` and ``CLIPFeatureExtractor`` to ``CLIP`` (image_processing_auto.py:643-672)."""
    for suffix in ("Fast", "Pil"):
        name = name.removesuffix(suffix)
    return name.removesuffix("FeatureExtractor").removesuffix("ImageProcessor")


def _letters(name: str) -> str:
    """Its letters and digits, in lower case: GroundingDINO and GroundingDino are one."""
    return "".join(letter for letter in name.lower() if letter.isalnum())


_EVERY: tuple[Family | Refused, ...] = (*REFUSED.values(), *FAMILIES.values())
_BY_NAME = {_letters(found.name): found for found in _EVERY}


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
    unread = sorted(set(config) - set(family.keys) - set(family.written) - METADATA)
    if unread and strict:
        problems += [f"{key}: {family.name} does not read this key{nearest(key, family.keys)}" for key in unread]
    elif unread:
        names = ", ".join(
            [*(key if len(key) < 40 else short(key) for key in unread[:10]), *(["…"] if unread[10:] else [])]
        )
        message = f"{family.name} does not read {names}: left out, as the reference ignores it too"
        warnings.warn(message, UnreadKeyWarning, stacklevel=2)
    values = _values(family, config, overrides)
    # A null switches it off, as every null does.
    reader = Reader(values, default_to_square=bool(values.get("default_to_square")), channels=channels)
    if not isinstance(values.get("default_to_square"), (int, type(None))):
        reader.problem("default_to_square", "true, false or null")
    try:
        steps = family.steps(reader, reference)
    except ValueError as error:  # a step's own check, of values that are fine one by one
        steps, problems = [], [*problems, str(error)]
    for key in (key for key in SIZES if key in family.keys):
        reader.loadable_size(key)
    problems += reader.problems
    if problems:
        raise UnsupportedConfig(problems)
    return tuple(steps)


def _values(family: Family, config: Mapping[str, Any], overrides: Mapping[str, Any]) -> Config:
    return {**family.defaults, **family.legacy({**config, **overrides})}


def output_name(family: Family, config: Mapping[str, Any], overrides: Mapping[str, Any]) -> str:
    """What the processor calls the image among its outputs."""
    return family.output if isinstance(family.output, str) else family.output(_values(family, config, overrides))


def resolved(family: Family, config: Mapping[str, Any], overrides: Mapping[str, Any]) -> Config:
    """A config that means the same by itself, given to a class with other defaults or none of the old forms.

    It holds the type and every key that the family reads and that is not null; a null too, where it switches off a
    default. Sizes are written as objects. What JSON cannot hold (NaN) is left out: no step reads it, or
    :func:`to_steps` would have refused it.
    """
    values = _values(family, config, overrides)
    result: Config = {"image_processor_type": f"{family.name}ImageProcessor"}
    for key in family.keys:
        value = values.get(key)
        if key in SIZES and value is not None:
            value = dict(size_keys(value, bool(values.get("default_to_square")) or key != "size"))
        if (value is not None or family.defaults.get(key) is not None) and _is_json(value):
            result[key] = value
    return result


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True
