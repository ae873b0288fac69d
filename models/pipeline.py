"""The steps that most families share, in the order of transformers' PIL backend."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from runtime.ops import CenterCrop, ConvertRGB, Interpolate, Normalize, Pad, PadToLargest, Rescale, Resize, Step
from runtime.ops.size import Size

from .reader import Reader

Pipeline = Callable[[Reader, str], list[Step]]
"""The steps of a config, given the reference."""


def convert_rgb(reader: Reader) -> list[Step]:
    return [ConvertRGB()] if reader.flag("do_convert_rgb") else []


def resize(reader: Reader, reference: str) -> list[Step]:
    return [resize_to(reader.size(), reader.filter(), reference)] if reader.flag("do_resize") else []


def resize_to(size: Size, filter: str, reference: str) -> Resize:
    """The resize of a reference: Pillow's with its order of passes, or torchvision's, horizontal first always."""
    if reference == "torchvision":
        return Resize(size, filter, "pillow12.1", "torchvision")
    return Resize(size, filter, reference)


EDGES = ({"height", "width"}, {"shortest_edge", "longest_edge"}, {"max_height", "max_width"})
"""The key sets of detectors' sizes, where no shortest edge stands alone (image_processing_pil_detr.py:527)."""


def edges(keys: Mapping[str, int]) -> Size:
    """The size of ``keys``, of which there are none where the reader has noted a problem."""
    return Size(**(keys or {"height": 1, "width": 1}))


def resize_by_edges(reader: Reader, reference: str, to_size: Callable[[Mapping[str, int]], Size] = edges) -> list[Step]:
    """A resize to one of :data:`EDGES`, of which ``to_size`` makes the rule."""
    if not reader.flag("do_resize"):
        return []
    return [resize_to(to_size(reader.size_keys("size", EDGES)), reader.filter(), reference)]


SHORT = ({"height", "width"}, {"shortest_edge"}, {"shortest_edge", "longest_edge"})
"""The key sets of classes that look for a shortest edge before all others, and at no longest one."""


def short_edge(reader: Reader) -> Size:
    """A size from one of :data:`SHORT`."""
    keys = reader.size_keys("size", SHORT)
    return edges({key: edge for key, edge in keys.items() if key != "longest_edge"})


def resize_short(reader: Reader, reference: str) -> list[Step]:
    """A resize to one of :data:`SHORT` (image_processing_video_llava.py:166, image_processing_vivit.py:163)."""
    return [resize_to(short_edge(reader), reader.filter(), reference)] if reader.flag("do_resize") else []


def ignore_crop(reader: Reader) -> None:
    """A class that never crops fails all the same where the crop lacks a size (image_utils.py:642)."""
    if reader.flag("do_center_crop") and reader.values.get("crop_size") is None:
        reader.problem("crop_size", "a size, for do_center_crop is on, though nothing is cropped; or switch that off")


def ignore_normalize(reader: Reader) -> None:
    """As :func:`ignore_crop`, of a class that never normalizes (image_utils.py:639)."""
    for key in ("image_mean", "image_std"):
        if reader.flag("do_normalize") and reader.values.get(key) is None:
            reader.problem(key, "a number, for do_normalize is on, though nothing is normalized; or switch that off")


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
    if reference != "torchvision" or offset or not (reader.flag("do_rescale") and reader.flag("do_normalize")):
        return [*rescale(reader, reference, offset), *normalize(reader)]
    factor = reader.number("rescale_factor")
    mean, std = reader.per_channel("image_mean"), reader.per_channel("image_std", nonzero=True)
    if factor == 0:
        reader.problem("rescale_factor", "a number other than 0, to divide by")
        return []
    return [Normalize(_scaled(mean, 1.0 / factor), _scaled(std, 1.0 / factor))]


def rescale(reader: Reader, reference: str, offset: float = 0.0) -> list[Step]:
    """A step of its own, in float32 in the torchvision classes."""
    if not reader.flag("do_rescale"):
        return []
    factor = reader.number("rescale_factor")
    if reference == "torchvision" and not offset and isinstance(reader.values.get("rescale_factor"), int):
        if factor != 1:  # torch multiplies a uint8 by an integer in uint8
            reader.problem("rescale_factor", "a float, or 1")
        return []
    return [Rescale(factor, offset, "float32" if reference == "torchvision" else "float64")]


def normalize(reader: Reader) -> list[Step]:
    """A step of its own."""
    if not reader.flag("do_normalize"):
        return []
    return [Normalize(reader.per_channel("image_mean"), reader.per_channel("image_std", nonzero=True))]


def normalize_floats(reader: Reader, reference: str, floats: bool) -> list[Step]:
    """A step of its own, on floats or on uint8, which torchvision does not normalize."""
    if reference == "torchvision" and not floats and reader.flag("do_normalize"):
        reader.problem("do_rescale", "true, for torchvision does not normalize uint8; or do_normalize false")
    return normalize(reader)


def torch_resize(reader: Reader, floats: bool, antialias: bool) -> list[Step]:
    """torchvision's resize of ``floats``, or of uint8."""
    if not reader.flag("do_resize"):
        return []
    if floats:
        return [Interpolate(reader.size(), sharp_filter(reader), antialias)]
    if antialias:
        return [resize_to(reader.size(), reader.filter(), "torchvision")]
    return [sharp_resize(reader.size(), sharp_filter(reader))]


def sharp_resize(size: Size, filter: str) -> Resize:
    """torchvision's resize of uint8 without antialiasing."""
    return Resize(size, filter, "pillow12.1", "torchvision", antialias=False)


def sharp_filter(reader: Reader) -> str:
    """The filter where only torch's interpolation does, which has two."""
    filter = reader.filter()
    if filter in ("bilinear", "bicubic"):
        return filter
    reader.problem("resample", "2 (bilinear) or 3 (bicubic)")
    return "bilinear"


def _scaled(values: tuple[float, ...], factor: float) -> tuple[float, ...]:
    """The float32 products, as torch computes them."""
    return tuple(float(np.float32(value) * np.float32(factor)) for value in values)


def pad(reader: Reader, before: list[Step], mask: str = "") -> list[Step]:
    """Padding where ``do_pad`` asks for it; ``mask`` names an output that says where the image is.

    Without a mask there is nothing to do for images that have one size anyway, after the steps ``before``.
    """
    if not reader.flag("do_pad"):
        return []
    one_size = any(isinstance(s, CenterCrop) or (isinstance(s, Resize) and s.size.is_static) for s in before)
    return [] if one_size and not mask and reader.values.get("pad_size") is None else pad_always(reader, mask)


def pad_always(reader: Reader, mask: str) -> list[Step]:
    """Padding to ``pad_size``, or to the largest image of a batch."""
    if reader.values.get("pad_size") is None:
        return [PadToLargest(mask)]
    height, width = reader.exact_size("pad_size")
    return [Pad(Size(height=height, width=width), mask=mask)]


def standard(reader: Reader, reference: str, resize: Pipeline = resize) -> list[Step]:
    """image_processing_backends.py:656 (``PilBackend._preprocess``) and :399 (``TorchvisionBackend._preprocess``)."""
    steps = without_pad(reader, reference, resize)
    return [*steps, *pad(reader, steps)]


def without_crop(reader: Reader, reference: str) -> list[Step]:
    """The same in classes that read neither ``do_center_crop`` nor ``do_pad``."""
    ignore_crop(reader)
    return [*convert_rgb(reader), *resize(reader, reference), *rescale_normalize(reader, reference)]


def without_pad(reader: Reader, reference: str, resize: Pipeline = resize) -> list[Step]:
    """The same in classes that never read ``do_pad``."""
    steps = [*convert_rgb(reader), *resize(reader, reference), *center_crop(reader, reference)]
    return [*steps, *rescale_normalize(reader, reference)]
