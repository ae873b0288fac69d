"""What a source is: a config, and whose."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from runtime.errors import BackendUnavailable

from .family import Family


@dataclass(frozen=True)
class Source:
    """A processor's config as it was found, and the config of the model beside it.

    Attributes:
        name: what the user called it.
        config: the processor's own.
        model_config: the ``config.json`` beside it; empty where there is none.
        family: of sources that are not transformers'; else the config tells it (:func:`models.config.find_family`).
    """

    name: str
    config: Mapping[str, Any]
    model_config: Mapping[str, Any] = field(default_factory=dict)
    family: Family | None = None


def library(name: str, distribution: str) -> Any:
    """The module of a library that a source is looked up in.

    Raises:
        BackendUnavailable: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise BackendUnavailable(f"{name}: cannot be imported ({error}): pip install {distribution}") from error


def named(labels: Any) -> dict[str, Any]:
    """A ``model_config`` with class names, of a list or by index; without, where there are none."""
    if isinstance(labels, (list, tuple)):
        labels = dict(enumerate(labels))
    return {"id2label": labels} if isinstance(labels, Mapping) else {}


def few(names: Sequence[str]) -> str:
    """The first names of a list, for a message."""
    return ", ".join([*names[:5], *(["…"] if len(names) > 5 else [])])
