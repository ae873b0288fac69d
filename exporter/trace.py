"""A config to a Plan."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from models.config import find_family, output_name, resolved, to_steps
from models.sources import architecture, find, labels, text
from runtime.errors import UnsupportedConfig
from runtime.ops import Branch, Cast, PadToLargest, Quantize, Step
from runtime.plan import REFERENCES, Plan

HUB_OPTIONS = ("revision", "token", "cache_dir", "local_files_only", "subfolder")


def trace(
    source: str | os.PathLike[str],
    *,
    reference: str = "pillow",
    type: str | None = None,
    layout: str = "NHWC",
    dtype: str = "float32",
    strict: bool = False,
    input_size: tuple[int, int] | None = None,
    channels: int = 3,
    **overrides: Any,
) -> Plan:
    """Reads a processor's config and says what it does.

    Args:
        source: a preset's name, a folder with a ``preprocessor_config.json``, timm's ``config.json`` or an
            ``open_clip_config.json``, such a file, a hub id, or what a library knows by name: ``timm:resnet50``,
            ``torchvision:ResNet50_Weights.DEFAULT``, ``open_clip:ViT-B-32/openai``.
        reference: whose pixels to give: ``pillow13``, ``pillow12.2`` (12.2 and 12.3), ``pillow12.1`` (every older
            one), ``torchvision`` (transformers' torchvision class on the CPU), or ``pillow``: that of the installed
            Pillow, and ``torchvision`` where transformers has no PIL class. The Plan records which.
        type: the processor's name, such as ``ViT`` or ``ViTImageProcessor``, or the model's type, such as ``vit``,
            where the config does not say or says it wrong.
        layout: of the artifact's input: ``NHWC`` or ``NCHW``.
        dtype: of ``pixel_values``: ``float32``, or ``float16`` rounded from it.
        strict: refuse keys that the reference class does not read, instead of warning.
        input_size: (height, width) of every image that the artifact will see, where there is one; weights are then
            computed once, at export.
        channels: of the images: 3, or for processors that do not convert to RGB 1 (grayscale) or 4 (RGBA).
        overrides: config keys, such as ``size={"height": 384, "width": 384}``; and for hub ids ``revision``,
            ``token``, ``cache_dir``, ``local_files_only`` and ``subfolder``.

    Raises:
        UnsupportedConfig: with every problem at once.
    """
    hub = {key: overrides.pop(key) for key in HUB_OPTIONS if key in overrides}
    return make_plan(source, overrides, hub, reference, type, layout, dtype, strict, input_size, channels)


def make_plan(
    source: str | os.PathLike[str],
    overrides: Mapping[str, Any],
    hub: Mapping[str, Any],
    reference: str = "pillow",
    type: str | None = None,
    layout: str = "NHWC",
    dtype: str = "float32",
    strict: bool = False,
    input_size: tuple[int, int] | None = None,
    channels: int = 3,
) -> Plan:
    """:func:`trace`, the config's keys and the hub's options apart: any name may stand among the keys."""
    found = find(os.fspath(source), **hub)
    if found.family is not None and type is not None:
        raise UnsupportedConfig(f"type: {found.name} says itself what it is: leave it out")
    family = found.family or find_family(found.config, found.model_config, type)
    channels = family.channels or channels
    if reference == "pillow":
        reference = installed_pillow() if family.has_pil else "torchvision"
    if reference not in REFERENCES:
        raise UnsupportedConfig(f"reference: expected pillow, {', '.join(REFERENCES)}; got {reference!r}")
    if reference == "torchvision" and not family.has_torchvision:
        raise UnsupportedConfig(f"reference: transformers has no torchvision class for {family.name}: use pillow")
    if reference != "torchvision" and not family.has_pil:
        raise UnsupportedConfig(f"reference: transformers has no PIL class for {family.name}: use torchvision")
    steps = to_steps(family, found.config, overrides, reference, strict, channels)
    config = {} if found.family is not None else resolved(family, found.config, overrides)
    try:
        if dtype != "float32":
            steps = _cast(steps, dtype)
        return Plan(
            steps,
            reference,
            family.name,
            found.name,
            layout,
            output=output_name(family, found.config, overrides),
            group=family.group,
            labels=_names(config.get(family.labels)) or labels(found.model_config),
            channels=channels,
            input_size=input_size,
            config=config,
            architecture=architecture(found.model_config),
            problem_type=text(found.model_config.get("problem_type")),
        )
    except ValueError as error:
        raise UnsupportedConfig(str(error)) from error


def _names(value: Any) -> tuple[str, ...]:
    """A list of names in a config; empty where it is something else."""
    return tuple(value) if isinstance(value, list) and all(isinstance(name, str) for name in value) else ()


def _cast(steps: tuple[Step, ...], dtype: str) -> tuple[Step, ...]:
    """The same steps, with every image that comes out in ``dtype``; indices of colours stay what they are."""
    steps = tuple(replace(s, steps=_cast(s.steps, dtype)) if isinstance(s, Branch) else s for s in steps)
    if steps and isinstance(steps[-1], Quantize):
        return steps
    padding = steps[-1:] if steps and isinstance(steps[-1], PadToLargest) else ()  # the last step anyway
    return (*steps[: len(steps) - len(padding)], Cast(dtype), *padding)


def installed_pillow() -> str:
    """The name of the installed Pillow's order of passes."""
    import PIL

    major, minor = (int(part) for part in PIL.__version__.split(".")[:2])
    if (major, minor) >= (13, 0):
        return "pillow13"
    return "pillow12.2" if (major, minor) >= (12, 2) else "pillow12.1"
