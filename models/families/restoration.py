"""Families whose result is an image again."""

from __future__ import annotations

from runtime.ops import Branch, FlipChannels, Interpolate, Normalize, Pad, ScaleOffset, Step
from runtime.ops.size import Size

from .. import pipeline
from ..family import BILINEAR, HALF, Config, Family
from ..reader import Reader


def _swin2sr_legacy(config: Config) -> Config:
    """Early configs say ``pad_size`` for ``size_divisor`` (image_processing_pil_swin2sr.py, ``__init__``)."""
    if config.get("pad_size") is None:
        return config
    return {"size_divisor": config["pad_size"], **config, "pad_size": None}


def _swin2sr_steps(reader: Reader, reference: str) -> list[Step]:
    """Mirrors up to the next multiple, which is never the image's own size (image_processing_pil_swin2sr.py:66)."""
    pipeline.ignore_crop(reader)
    steps = [*pipeline.convert_rgb(reader), *pipeline.rescale(reader, reference)]
    if reader.flag("do_pad"):
        size = Size(past_multiple=reader.integer("size_divisor", least=1))
        # torchvision mirrors no border that is wider than the image.
        steps.append(Pad(size, mode="symmetric", once=reference == "torchvision"))
    return steps


def _uvdoc_steps(reader: Reader, reference: str) -> list[Step]:
    """Turns the channels, and resizes last; ``original_images`` are those before (image_processing_uvdoc.py:40)."""
    pipeline.ignore_crop(reader)
    steps = pipeline.rescale_normalize(reader, reference)
    height, width = reader.exact_size("size")
    resizing: list[Step] = []
    if reader.flag("do_resize"):
        if not steps:
            reader.problem(
                "do_rescale", "true (and a float as rescale_factor), for floats are resized; or do_resize false"
            )
        resizing = [Interpolate(Size(height=height, width=width), "bilinear", antialias=False, align_corners=True)]
    before = [*pipeline.convert_rgb(reader), *steps, FlipChannels(), Branch("original_images", ())]
    return [*before, *resizing]


def _vitmatte_legacy(config: Config) -> Config:
    """Early configs say ``size_divisibility`` for ``size_divisor`` (image_processing_pil_vitmatte.py, ``__init__``)."""
    if config.get("size_divisibility") is None:
        return config
    return {"size_divisor": config["size_divisibility"], **config}


def _vitmatte_steps(reader: Reader, reference: str) -> list[Step]:
    """The trimap, the fourth channel, is rescaled but not normalized (image_processing_pil_vitmatte.py:136)."""
    pipeline.ignore_crop(reader)
    if reader.flag("do_convert_rgb"):
        reader.problem("do_convert_rgb", "false, for the trimap is a fourth channel")
    colours = reader.under("")
    colours.channels = 3
    steps: list[Step] = []
    for step in pipeline.rescale_normalize(colours, reference):
        if not isinstance(step, Normalize):
            steps.append(step)
            continue
        if reference == "torchvision" and reader.flag("do_rescale"):  # which scales mean and std instead of the colours
            factor = reader.number("rescale_factor")
            if isinstance(reader.values.get("rescale_factor"), int) and factor != 1:
                reader.problem("rescale_factor", "a float, or 1")
            steps.append(ScaleOffset((1.0, 1.0, 1.0, factor), (0.0,) * 4))
        steps.append(Normalize((*step.mean, 0.0), (*step.std, 1.0)))
    if reader.flag("do_pad"):
        steps.append(Pad(Size(ceil_to=reader.integer("size_divisor", least=1))))
    return steps


_SWIN2SR: Config = {
    "do_rescale": True, "rescale_factor": 1 / 255, "do_pad": True, "size_divisor": 8, "default_to_square": True,
}  # fmt: skip
_UVDOC: Config = {
    "do_rescale": True, "rescale_factor": 1 / 255, "do_resize": True, "size": {"height": 712, "width": 488},
    "resample": BILINEAR, "default_to_square": True,
}  # fmt: skip
_VITMATTE: Config = {
    "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True, "do_pad": True, "size_divisor": 32,
    "default_to_square": True, **HALF,
}  # fmt: skip

FAMILIES = (
    Family(
        "Swin2SR",
        ("swin2sr",),
        _SWIN2SR,
        own_keys=("size_divisor",),
        legacy=_swin2sr_legacy,
        steps=_swin2sr_steps,
    ),
    Family("UVDoc", ("uvdoc",), _UVDOC, steps=_uvdoc_steps, has_pil=False),
    Family(
        "VitMatte",
        ("vitmatte",),
        _VITMATTE,
        own_keys=("size_divisor", "size_divisibility"),
        legacy=_vitmatte_legacy,
        steps=_vitmatte_steps,
        channels=4,
    ),
)
