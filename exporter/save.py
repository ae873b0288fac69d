"""A Plan back to the config that transformers reads."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.config import to_steps
from models.families import FAMILIES
from models.sources import MODEL, PREPROCESSOR, PROCESSOR, read_json
from runtime.errors import ArtifactError, UnsupportedConfig
from runtime.ops import Cast
from runtime.plan import Plan

from .atomic import atomic


def save_config(plan: Plan, folder: str | os.PathLike[str]) -> Path:
    """Writes ``preprocessor_config.json``, which ``AutoImageProcessor`` loads to the same pixels.

    The file says nothing about which of transformers' two classes is meant: load it with ``backend="pil"``, or with
    ``backend="torchvision"`` where the Plan's reference is torchvision. Nor can it say a Plan's ``layout``,
    ``input_size``, ``channels``, ``labels``, or ``dtype="float16"``: transformers gives float32.

    Args:
        plan: of a config of transformers, traced or loaded with an artifact.
        folder: made where it is missing; the file in it is replaced.

    Returns:
        The file's path.

    Raises:
        UnsupportedConfig: the Plan comes from timm, torchvision, open_clip or keras, which write their own; its steps
            are not what its config says; or the folder holds a file that transformers reads instead.
        ArtifactError: the file cannot be written.
    """
    folder = Path(folder)
    if not plan.config:
        raise UnsupportedConfig(
            f"{plan.source or 'this Plan'}: not made of a config of transformers; the library that it comes from writes"
            " its own"
        )
    _check(plan)
    processor, model = folder / PROCESSOR, folder / MODEL
    if processor.is_file() and read_json(processor).get("image_processor") is not None:
        raise UnsupportedConfig(f"{processor}: holds an image_processor, which transformers would read instead")
    if model.is_file() and "pretrained_cfg" in read_json(model):
        raise UnsupportedConfig(f"{model}: holds a pretrained_cfg, which transformers would read instead")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ArtifactError(f"{folder}: cannot be made ({error.strerror or error})") from error
    path = folder / PREPROCESSOR
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(dict(plan.config), indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return path


def _check(plan: Plan) -> None:
    """A Plan's steps may have been changed since, and an artifact's config may hold anything."""
    config: Mapping[str, Any] = plan.config
    family = FAMILIES.get(plan.family)
    if family is None or config.get("image_processor_type") != f"{plan.family}ImageProcessor":
        raise UnsupportedConfig(f"config: its image_processor_type is not of the Plan's family, {plan.family!r}")
    unread = sorted(set(config) - {"image_processor_type", *family.keys})
    if unread:
        raise UnsupportedConfig([f"config: {key}: {plan.family} does not read this key" for key in unread])
    steps = to_steps(family, config, {}, plan.reference, channels=plan.channels)
    # The one step that no config asks for: the dtype.
    if [step for step in plan.steps if not isinstance(step, Cast)] != [s for s in steps if not isinstance(s, Cast)]:
        raise UnsupportedConfig("config: the Plan's steps are not what this release makes of its config")
