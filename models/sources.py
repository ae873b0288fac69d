"""Where configs come from: a preset, a folder, a file, or the hub."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from runtime.errors import UnsupportedConfig

from . import hub, keras, open_clip, timm, torchvision
from .family import SHARED_KEYS
from .presets import PRESETS
from .reader import nearest, short
from .source import Source

PROCESSOR, PREPROCESSOR, MODEL = "processor_config.json", "preprocessor_config.json", "config.json"
OPEN_CLIP = "open_clip_config.json"
KERAS = ("preprocessor.json", "image_converter.json")
FILES = (PROCESSOR, PREPROCESSOR, MODEL, OPEN_CLIP, *KERAS)
LARGEST = 4 * 2**20
"""Bytes of a config file that are read; with a model's labels one has some hundred thousand."""

DEEPEST = 50
"""Levels of nesting in a config file; real ones have four or five."""

NO_HUB_SUFFIXES = {".json", ".onnx", ".pt"}
"""A missing file of these kinds is a missing file."""

TYPE_KEYS = ("image_processor_type", "feature_extractor_type")

PREFIXES: Mapping[str, Callable[[str], Source]] = {
    "timm:": timm.find,
    "torchvision:": torchvision.find,
    "open_clip:": open_clip.find,
}
"""Of names that another library knows."""

SHAPES = (
    (timm.is_config, timm.from_config),
    (open_clip.is_config, open_clip.from_config),
    (keras.is_config, keras.from_config),
)
"""Configs of other libraries: how they are recognised, and read."""


def find(source: str, **options: Any) -> Source:
    """Reads a source.

    Args:
        source: a preset's name, a folder, a JSON file, a hub id such as ``google/vit-base-patch16-224``, or a name
            behind one of :data:`PREFIXES`.
        options: ``revision``, ``token``, ``cache_dir``, ``local_files_only`` and ``subfolder`` for the hub.

    Raises:
        UnsupportedConfig: nothing is there, or it is not a config.
    """
    # os.path says no to names that no file system takes, where pathlib raises; and it opens no pipe.
    is_folder, is_file = os.path.isdir(source), os.path.isfile(source)  # noqa: PTH112, PTH113
    prefix, colon, rest = source.partition(":")
    look_up = PREFIXES.get(prefix + colon)
    if not look_up and source not in PRESETS and not is_folder and not is_file:
        return _from_hub(source, **options)
    kind = "preset" if source in PRESETS else "folder" if is_folder else "file"
    kind = f"name in {prefix}" if look_up else kind
    for key in ("revision", "subfolder"):
        if options.get(key) is not None:
            raise UnsupportedConfig(f"{key}: is of a hub id, but {source} is a {kind}: leave it out")
    if look_up:
        return look_up(rest)
    if source in PRESETS:
        return Source(source, PRESETS[source].config)
    if is_folder:
        files = {name: path for name in FILES if _is_file(path := Path(source, name))}
        lacking = f"holds neither {PREPROCESSOR} nor a {PROCESSOR} with an image_processor in it"
        return _from_files(source, files, f"{source}: {lacking}", is_folder=True)
    return _from_file(source, Path(source))


def _from_hub(name: str, **options: Any) -> Source:
    """Of what is nothing here: a hub id, or a mistake."""
    if Path(name).suffix in NO_HUB_SUFFIXES or not hub.is_repository(name):
        raise UnsupportedConfig(
            f"{name}: no preset, folder or file of this name{nearest(name, list(PRESETS))};"
            " `export-preprocessor presets` lists the presets, and hub ids look like google/vit-base-patch16-224"
        )
    files, reason = hub.fetch(name, FILES, **options)
    near = nearest(name.rpartition("/")[2], list(PRESETS))
    lacking = f"{name}: no such preset or folder, and no {PREPROCESSOR} of a hub repository: {reason}{near}"
    return _from_files(name, files, lacking)


def _is_file(path: Path) -> bool:
    return os.path.isfile(path)  # noqa: PTH113  never raises


def _from_file(name: str, path: Path) -> Source:
    config, beside = read_json(path), path.with_name(MODEL)
    nested = _nested(path, config) if path.name == PROCESSOR else None
    model_config = read_json(beside) if path.name != MODEL and _is_file(beside) else {}
    if nested is not None:
        return Source(name, nested, model_config)
    if "model_type" in config:  # as transformers, given a file, takes it for the model's config too
        model_config = {**model_config, "model_type": config["model_type"]}
    return _flat(name, path, config, model_config)


def _from_files(name: str, files: Mapping[str, Path], lacking: str, is_folder: bool = False) -> Source:
    """The config among a folder's or a repository's files; ``lacking`` is what to say where there is none.

    The nested config of ``processor_config.json`` comes first, as in transformers (image_processing_base.py:340), and
    in a folder timm's ``config.json`` second (utils/generic.py:874).
    """
    model_config = read_json(files[MODEL]) if MODEL in files else {}
    if PROCESSOR in files:
        nested = _nested(files[PROCESSOR], read_json(files[PROCESSOR]))
        if nested is not None:
            return Source(name, nested, model_config)
    if PREPROCESSOR in files and not (is_folder and "pretrained_cfg" in model_config):
        return _flat(name, files[PREPROCESSOR], read_json(files[PREPROCESSOR]), model_config)
    others = [read_json(files[file]) for file in KERAS if file in files]
    for config in (*others, model_config, read_json(files[OPEN_CLIP]) if OPEN_CLIP in files else {}):
        found = _of_another_library(name, config)
        if found is not None:
            return found
    raise UnsupportedConfig(lacking)


def _of_another_library(name: str, config: Mapping[str, Any]) -> Source | None:
    return next((read(name, config) for is_config, read in SHAPES if is_config(config)), None)


def _nested(path: Path, config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    nested = config.get("image_processor")
    if nested is not None and not isinstance(nested, Mapping):
        raise UnsupportedConfig(f"{path}: image_processor: expected an object, got {type(nested).__name__}")
    return nested


def _flat(name: str, path: Path, config: Mapping[str, Any], model_config: Mapping[str, Any]) -> Source:
    """The source of a config that is no part of another; not of a model's, which has no word about images."""
    found = _of_another_library(name, config)
    if found is not None:
        return found
    model = "model_type" in config or "architectures" in config
    if model and not any(key in config for key in (*TYPE_KEYS, *SHARED_KEYS)):
        cure = f"it is saved under the name of a {PREPROCESSOR}"
        if path.name == MODEL:
            cure = f"give the folder, or the {PREPROCESSOR} beside it"
        raise UnsupportedConfig(f"{path}: a model's config, not an image processor's: {cure}")
    return Source(name, config, model_config)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object. Raises ``UnsupportedConfig`` for everything else, saying what it looks like."""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise UnsupportedConfig(f"{path}: larger than {LARGEST} bytes, which is no config")
        config = json.loads(data.decode("utf-8-sig"), object_pairs_hook=_object)
        _check(config)
    except OSError as error:
        raise UnsupportedConfig(f"{path}: cannot be read ({error.strerror or error})") from error
    except RecursionError as error:
        raise UnsupportedConfig(f"{path}: nested too deeply for a config") from error
    except _Ambiguous as error:
        raise UnsupportedConfig(f"{path}: {error}") from error
    except ValueError as error:
        start = data[:200].lstrip()
        looks = "not JSON"
        if start.startswith(b"<"):
            looks = "an HTML page, not JSON: download the file itself"
        elif start.startswith(b"version https://git-lfs"):
            looks = "a Git LFS pointer, not the file: run `git lfs pull`"
        raise UnsupportedConfig(f"{path}: {looks} ({error})") from error
    if not isinstance(config, dict):
        raise UnsupportedConfig(f"{path}: expected a JSON object, got {type(config).__name__}")
    return config


class _Ambiguous(Exception):
    """JSON that readers understand in different ways."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result and repr(result[key]) != repr(value):
            raise _Ambiguous(f"{short(key)} stands in it twice, with different values")
        result[key] = value
    return result


def _check(config: Any) -> None:
    """Refuses what would fail later, far from the file: deep nesting, and halves of a character."""
    level: list[Any] = [config]
    for _ in range(DEEPEST):
        objects = [item for item in level if isinstance(item, dict)]
        texts = [*(item for item in level if isinstance(item, str)), *(key for item in objects for key in item)]
        for text in texts:
            if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
                raise _Ambiguous(f"the text {text[:40]!r} holds half a character")
        lists = [item for item in level if isinstance(item, list)]
        level = [value for item in (*(o.values() for o in objects), *lists) for value in item]
        if not level:
            return
    raise RecursionError


def architecture(model_config: Mapping[str, Any]) -> str:
    """The model's class; empty where the config names none, or no class of transformers'."""
    names = model_config.get("architectures")
    return text(names[0]) if isinstance(names, list) and names else ""


def text(value: Any) -> str:
    """``value`` where it is a string, else an empty one."""
    return value if isinstance(value, str) else ""


def labels(model_config: Mapping[str, Any]) -> tuple[str, ...]:
    """Class names by index from ``id2label``; empty where there are none, or they leave gaps."""
    names = model_config.get("id2label")
    if not isinstance(names, Mapping) or not all(isinstance(name, str) for name in names.values()):
        return ()
    by_index = {int(key): name for key, name in names.items() if str(key).isdecimal() and len(str(key)) < 10}
    return tuple(by_index.get(i, "") for i in range(len(names))) if sorted(by_index) == list(range(len(names))) else ()
