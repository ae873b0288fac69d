"""The steps that most families share, in the order of transformers' PIL backend."""

from __future__ import annotations

import numpy as np

from runtime.ops import CenterCrop, ConvertRGB, Normalize, Pad, Rescale, Resize, Step
from runtime.ops.size import Size

from .reader import Reader


def convert_rgb(reader: Reader) -> list[Step]:
    return [ConvertRGB()] if reader.flag("do_convert_rgb") else []


def resize(reader: Reader, reference: str) -> list[Step]:
    return [resize_to(reader.size(), reader.filter(), reference)] if reader.flag("do_resize") else []


def resize_to(size: Size, filter: str, reference: str) -> Resize:
    """The resize of a reference: Pillow's with its order of passes, or torchvision's, horizontal first always."""
    if reference == "torchvision":
        return Resize(size, filter, "pillow12.1", "torchvision")
    return Resize(size, filter, reference)


def center_crop(reader: Reader, reference: str) -> list[Step]:
    if not reader.flag("do_center_crop"):
        return []
    return [crop_to(*reader.exact_size("crop_size"), reference)]


def crop_to(height: int, width: int, reference: str) -> CenterCrop:
    return CenterCrop(height, width, "torchvision" if reference == "torchvision" else "pil")


def rescale_normalize(reader: Reader, reference: str, offset: float = 0.0) -> list[Step]:
    """Two steps in the PIL classes; one in the torchvision classes, which scale mean and std instead of the image.

    image_processing_backends.py:328-369. An offset (EfficientNet's) keeps them apart there too.
    """
    steps: list[Step] = []
    do_rescale, do_normalize = reader.flag("do_rescale"), reader.flag("do_normalize")
    factor = reader.number("rescale_factor") if do_rescale else 1.0
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    if do_normalize:
        mean, std = reader.per_channel("image_mean"), reader.per_channel("image_std", nonzero=True)
    fused = reference == "torchvision" and do_normalize and do_rescale and not offset
    if fused and factor == 0:
        reader.problem("rescale_factor", "a number other than 0, to divide by")
    elif fused:
        mean, std = _scaled(mean, 1.0 / factor), _scaled(std, 1.0 / factor)
    if (
        reference == "torchvision"
        and not do_normalize
        and not offset
        and isinstance(reader.values.get("rescale_factor"), int)
    ):
        do_rescale = False  # torch multiplies a uint8 by an integer in uint8
        if factor != 1:
            reader.problem("rescale_factor", "a float, or 1")
    if do_rescale and not fused:
        steps.append(Rescale(factor, offset, "float32" if reference == "torchvision" else "float64"))
    return [*steps, Normalize(mean, std)] if do_normalize else steps


def _scaled(values: tuple[float, ...], factor: float) -> tuple[float, ...]:
    """The float32 products, as torch computes them."""
    return tuple(float(np.float32(value) * np.float32(factor)) for value in values)


def pad(reader: Reader, before: list[Step]) -> list[Step]:
    """Padding to ``pad_size``; padding to the largest image of a batch only where all have one size anyway."""
    if not reader.flag("do_pad"):
        return []
    if reader.values.get("pad_size") is not None:
        height, width = reader.exact_size("pad_size")
        return [Pad(Size(height=height, width=width))]
    if not any(isinstance(s, CenterCrop) or (isinstance(s, Resize) and s.size.is_static) for s in before):
        reader.problems.append(
            "do_pad: pads to the largest image of a batch, which no graph of one image can know; set pad_size, or"
            " do_pad to false"
        )
    return []


def standard(reader: Reader, reference: str) -> list[Step]:
    """image_processing_backends.py:656 (``PilBackend._preprocess``) and :399 (``TorchvisionBackend._preprocess``)."""
    steps = without_pad(reader, reference)
    return [*steps, *pad(reader, steps)]


def without_pad(reader: Reader, reference: str) -> list[Step]:
    """The same in classes that never read ``do_pad``."""
    steps = [*convert_rgb(reader), *resize(reader, reference), *center_crop(reader, reference)]
    return [*steps, *rescale_normalize(reader, reference)]
