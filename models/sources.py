"""Where configs come from: a preset, a folder, a file, or the hub."""

from __future__ import annotations

import json
import os
import re
import socket
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runtime.errors import UnsupportedConfig

from .presets import PRESETS
from .reader import nearest

PROCESSOR, PREPROCESSOR, MODEL = "processor_config.json", "preprocessor_config.json", "config.json"
LARGEST = 4 * 2**20
"""Bytes of a config file that are read; with a model's labels one has some hundred thousand."""

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
NO_HUB_SUFFIXES = {".json", ".onnx", ".pt"}
"""A missing file of these kinds is a missing file."""


@dataclass(frozen=True)
class Source:
    """A processor's config as it was found, and the config of the model beside it."""

    name: str
    config: Mapping[str, Any]
    model_config: Mapping[str, Any] = field(default_factory=dict)


def find(source: str, **hub: Any) -> Source:
    """Reads a source.

    Args:
        source: a preset's name, a folder, a JSON file, or a hub id such as ``google/vit-base-patch16-224``.
        hub: ``revision``, ``token``, ``cache_dir``, ``local_files_only`` and ``subfolder`` for the hub.

    Raises:
        UnsupportedConfig: nothing is there, or it is not a config.
    """
    path = Path(source)
    if source in PRESETS:
        return Source(source, PRESETS[source].config)
    # os.path says no to names that no file system takes, where pathlib raises.
    if os.path.isdir(source):  # noqa: PTH112
        return _folder(path)
    if os.path.isfile(source):  # noqa: PTH113
        config = read_json(path)
        nested = _nested(config) if path.name == PROCESSOR else None
        return Source(source, nested or config, _beside(path))
    if HUB_ID.fullmatch(source) and path.suffix not in NO_HUB_SUFFIXES:
        return _hub(source, **hub)
    raise UnsupportedConfig(
        f"{source}: no preset, folder or file of this name{nearest(source, list(PRESETS))};"
        " `export-preprocessor presets` lists the presets, and hub ids look like google/vit-base-patch16-224"
    )


def _folder(folder: Path) -> Source:
    """The nested config of ``processor_config.json`` first, as transformers reads it (image_processing_base.py:340)."""
    name, model = str(folder), folder / MODEL
    model_config = read_json(model) if model.is_file() else {}
    if (folder / PROCESSOR).is_file():
        nested = _nested(read_json(folder / PROCESSOR))
        if nested is not None:
            return Source(name, nested, model_config)
    if (folder / PREPROCESSOR).is_file():
        return Source(name, read_json(folder / PREPROCESSOR), model_config)
    raise UnsupportedConfig(f"{folder}: holds neither {PREPROCESSOR} nor a {PROCESSOR} with an image_processor in it")


def _nested(config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    nested = config.get("image_processor")
    return nested if isinstance(nested, Mapping) else None


def _beside(path: Path) -> Mapping[str, Any]:
    model = path.parent / MODEL
    return read_json(model) if path.name != MODEL and model.is_file() else {}


def _hub(name: str, subfolder: str | None = None, local_files_only: bool = False, **options: Any) -> Source:
    """The same files from the hub, or from its cache alone where there is no network."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    if local_files_only or not _hub_reachable():
        return _cached(name, subfolder, **options)
    found: dict[str, Path] = {}
    reason = "it holds none"
    for file in (PROCESSOR, PREPROCESSOR, MODEL):
        try:
            found[file] = Path(hf_hub_download(name, file, subfolder=subfolder, **options))
        except EntryNotFoundError:
            continue
        # A private, gated or misspelt repository, a lost connection: the client and its HTTP library each have theirs.
        except Exception as error:
            reason = str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
            break
    return _from_files(name, found, reason)


def _cached(
    name: str,
    subfolder: str | None,
    cache_dir: str | None = None,
    revision: str | None = None,
    token: Any = None,  # nobody asks for it
) -> Source:
    """The files in the hub's cache, without a connection."""
    from huggingface_hub import try_to_load_from_cache

    found: dict[str, Path] = {}
    for file in (PROCESSOR, PREPROCESSOR, MODEL):
        path = try_to_load_from_cache(name, f"{subfolder}/{file}" if subfolder else file, cache_dir, revision)
        if isinstance(path, str):
            found[file] = Path(path)
    return _from_files(name, found, "it is not in the local cache, and the hub is not reached")


def _from_files(name: str, found: Mapping[str, Path], reason: str) -> Source:
    """The config among a repository's files; ``reason`` says why there may be none."""
    model_config = read_json(found[MODEL]) if MODEL in found else {}
    if PROCESSOR in found and (nested := _nested(read_json(found[PROCESSOR]))) is not None:
        return Source(name, nested, model_config)
    if PREPROCESSOR in found:
        return Source(name, read_json(found[PREPROCESSOR]), model_config)
    raise UnsupportedConfig(
        f"{name}: no such preset or folder, and no {PREPROCESSOR} of a hub repository: {reason}"
        f"{nearest(name.rpartition('/')[2], list(PRESETS))}"
    )


def _hub_reachable() -> bool:
    """Whether the hub's host answers: without this the client retries for half a minute."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    address = urllib.parse.urlsplit(constants.ENDPOINT)
    if urllib.request.getproxies().get(address.scheme):
        return True  # the proxy knows the way
    try:
        port = address.port or (443 if address.scheme == "https" else 80)
        socket.create_connection((address.hostname or "", port), timeout=5).close()
    except OSError:
        return False
    return True


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object. Raises ``UnsupportedConfig`` for everything else, saying what it looks like."""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise UnsupportedConfig(f"{path}: larger than {LARGEST} bytes, which is no config")
        config = json.loads(data.decode("utf-8-sig"))
    except OSError as error:
        raise UnsupportedConfig(f"{path}: cannot be read ({error.strerror or error})") from error
    except RecursionError as error:
        raise UnsupportedConfig(f"{path}: nested too deeply for a config") from error
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


def labels(model_config: Mapping[str, Any]) -> tuple[str, ...]:
    """Class names by index from ``id2label``; empty where there are none, or they leave gaps."""
    names = model_config.get("id2label")
    if not isinstance(names, Mapping) or not all(isinstance(name, str) for name in names.values()):
        return ()
    by_index = {int(key): name for key, name in names.items() if str(key).isdecimal()}
    return tuple(by_index.get(i, "") for i in range(len(names))) if sorted(by_index) == list(range(len(names))) else ()
