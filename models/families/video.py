"""Families whose images are the frames of videos: each goes through the steps of one image."""

from __future__ import annotations

from runtime.ops import FlipChannels, InferLayout, Pad, Step
from runtime.ops.pad import MODES
from runtime.ops.size import FORMS, Size

from .. import pipeline
from ..family import BILINEAR, HALF, LEGACY_KEYS, Family, defaults, legacy_nulls, square
from ..reader import Reader


def _vivit_steps(reader: Reader, reference: str) -> list[Step]:
    """``offset`` subtracts 1 from what is rescaled; a class older than the backends (image_processing_vivit.py:227)."""
    offset = reader.flag("offset")
    if offset and not reader.flag("do_rescale"):
        reader.problem("offset", "false without do_rescale")
    steps = [InferLayout(), *pipeline.resize_short(reader, reference), *pipeline.center_crop(reader, reference)]
    return [*steps, *pipeline.rescale_normalize(reader, reference, offset=1.0 if offset else 0.0)]


def _tvp_steps(reader: Reader, reference: str) -> list[Step]:
    """Padded after the normalization, then BGR (image_processing_pil_tvp.py:182)."""
    steps = [*pipeline.convert_rgb(reader), *_tvp_resize(reader, reference), *pipeline.center_crop(reader, reference)]
    steps += [*pipeline.rescale_normalize(reader, reference), *_tvp_pad(reader, reference)]
    return [*steps, FlipChannels()] if reader.flag("do_flip_channel_order") else steps


def _tvp_resize(reader: Reader, reference: str) -> list[Step]:
    """A longest edge wins over all other keys (image_processing_pil_tvp.py:129)."""
    if not reader.flag("do_resize"):
        return []
    keys = reader.size_keys("size", (*FORMS, {"longest_edge"}))
    longest = keys.get("longest_edge")
    size = pipeline.edges(keys) if longest is None else Size(truncated_longest_edge=longest)
    return [pipeline.resize_to(size, reader.filter(), reference)]


def _tvp_pad(reader: Reader, reference: str) -> list[Step]:
    """The PIL class takes one number, the torchvision class one for each channel too, but only constant padding.

    image_processing_pil_tvp.py:139, image_processing_tvp.py:217.
    """
    if not reader.flag("do_pad"):
        return []
    if reference == "torchvision" and reader.values.get("pad_size") is None:
        return []  # it pads to the largest of frames of one size
    height, width = reader.exact_size("pad_size")
    if reference == "torchvision":
        given = reader.values.get("constant_values") is not None
        return [Pad(Size(height=height, width=width), reader.per_channel("constant_values") if given else (0.0,))]
    mode = reader.values.get("pad_mode")
    if mode not in MODES:
        reader.problem("pad_mode", f"one of {', '.join(MODES)}")
        mode = "constant"
    value = reader.number("constant_values") if mode == "constant" else 0.0
    return [Pad(Size(height=height, width=width), (value,), mode=mode)]


FAMILIES = (
    Family(
        "Tvp",
        ("tvp",),
        defaults(
            {"longest_edge": 448}, 448, **HALF, resample=BILINEAR, default_to_square=False, do_pad=True,
            pad_size=square(448), constant_values=0, pad_mode="constant", do_flip_channel_order=True,
        ),
        own_keys=("do_flip_channel_order", "constant_values", "pad_mode"),
        steps=_tvp_steps,
        group="video",
    ),
    Family(
        "VideoMAE",
        ("timesformer", "videomae"),
        defaults({"shortest_edge": 224}, 224, **HALF, resample=BILINEAR, default_to_square=False),
        steps=pipeline.without_pad,
        group="video",
    ),
    Family(
        "Vivit",
        ("vivit",),
        {
            **defaults({"shortest_edge": 256}, 224, **HALF, resample=BILINEAR, default_to_square=False, offset=True),
            "rescale_factor": 1 / 127.5,
        },
        shared_keys=LEGACY_KEYS,
        own_keys=("offset",),
        legacy=legacy_nulls,
        steps=_vivit_steps,
        has_torchvision=False,
        group="video",
    ),
)  # fmt: skip
