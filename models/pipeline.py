"""The steps that most families share, in the order of transformers' PIL backend."""

from __future__ import annotations

from runtime.ops import CenterCrop, ConvertRGB, Normalize, Pad, Rescale, Resize, Step

from .reader import Reader


def convert_rgb(reader: Reader) -> list[Step]:
    return [ConvertRGB()] if reader.flag("do_convert_rgb") else []


def resize(reader: Reader, order: str) -> list[Step]:
    if not reader.flag("do_resize"):
        return []
    return [Resize(reader.size(), reader.filter(), order)]


def center_crop(reader: Reader) -> list[Step]:
    return [CenterCrop(*reader.exact_size("crop_size"))] if reader.flag("do_center_crop") else []


def rescale(reader: Reader, offset: float = 0.0) -> list[Step]:
    return [Rescale(reader.number("rescale_factor"), offset)] if reader.flag("do_rescale") else []


def normalize(reader: Reader) -> list[Step]:
    if not reader.flag("do_normalize"):
        return []
    return [Normalize(reader.triple("image_mean"), reader.triple("image_std", nonzero=True))]


def pad(reader: Reader, before: list[Step]) -> list[Step]:
    """Padding to ``pad_size``; padding to the largest image of a batch only where all have one size anyway."""
    if not reader.flag("do_pad"):
        return []
    if reader.values.get("pad_size") is not None:
        return [Pad(*reader.exact_size("pad_size"))]
    if not any(isinstance(s, CenterCrop) or (isinstance(s, Resize) and s.size.is_static) for s in before):
        reader.problems.append(
            "do_pad: pads to the largest image of a batch, which no graph of one image can know; set pad_size, or"
            " do_pad to false"
        )
    return []


def standard(reader: Reader, order: str) -> list[Step]:
    """image_processing_backends.py:656, ``PilBackend._preprocess``."""
    steps = [*convert_rgb(reader), *resize(reader, order), *center_crop(reader), *rescale(reader), *normalize(reader)]
    return [*steps, *pad(reader, steps)]


def without_pad(reader: Reader, order: str) -> list[Step]:
    """The same in classes that never read ``do_pad``."""
    return [*convert_rgb(reader), *resize(reader, order), *center_crop(reader), *rescale(reader), *normalize(reader)]
