"""Steps of torchvision's transforms on PIL images, which timm and open_clip are built on too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runtime.ops import CenterCrop, Normalize, Pad, Rescale, Step
from runtime.ops.size import LONGEST_SIDE, Size

from .reader import Reader, nearest

SIDE = f"an integer from 1 to {LONGEST_SIDE}"


def choice(reader: Reader, key: str, words: Sequence[str]) -> str:
    """One of ``words``."""
    value = reader.values.get(key)
    if value not in words:
        hint = nearest(value, words) if isinstance(value, str) else ""
        reader.problem(key, f"one of {', '.join(words)}{hint}")
        return words[0]
    return str(value)


def is_side(value: Any) -> bool:
    return type(value) is int and 1 <= value <= LONGEST_SIDE


def center_crop(height: int, width: int) -> CenterCrop:
    """``CenterCrop``: black where the image is too small (transforms/functional.py:556-597)."""
    return CenterCrop(height, width, "half_even")


def center_crop_or_pad(height: int, width: int, fill: tuple[float, ...]) -> list[Step]:
    """:func:`center_crop` with another colour, as ``CenterCropOrPad`` of timm (data/transforms.py) and open_clip."""
    crop = center_crop(height, width)
    if not any(fill):
        return [crop]
    return [Pad(Size(min_height=height, min_width=width), fill, centered=True), crop]


def keep_ratio(height: int, width: int, inside: bool) -> Size:
    """``ResizeKeepRatio`` of timm (data/transforms.py) and open_clip: inside a box, or around it."""
    if inside:
        return Size(fit_height=height, fit_width=width)
    return Size(cover_height=height, cover_width=width)


def to_tensor() -> Rescale:
    """``ToTensor``, ``convert_image_dtype``: float32(v) / 255, which is float32(v * (1 / 255)) for all 256 values."""
    return Rescale(1 / 255)


def normalize(reader: Reader) -> Normalize:
    """``Normalize`` with the keys ``mean`` and ``std``, lists of a number a channel."""
    return Normalize(_numbers(reader, "mean"), _numbers(reader, "std", nonzero=True))


def _numbers(reader: Reader, key: str, nonzero: bool = False) -> tuple[float, ...]:
    # A single number, or none, has another meaning in each of the libraries.
    if not isinstance(reader.values.get(key), (list, tuple)):
        reader.problem(key, f"a list of {reader.channels} numbers")
        return (1.0,) * reader.channels
    return reader.per_channel(key, nonzero)
