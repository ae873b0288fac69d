"""Families of depth estimators."""

from __future__ import annotations

from fractions import Fraction

from runtime.errors import UnsupportedConfig
from runtime.ops import Interpolate, Pad, Step
from runtime.ops.size import LONGEST_SIDE, Size
from runtime.plan import Plan
from runtime.postprocess import DepthEstimation, InverseDepthEstimation, SemanticSegmentation

from .. import pipeline
from ..family import BICUBIC, BILINEAR, HALF, Config, Family, defaults, square
from ..reader import Reader


def _dpt_steps(reader: Reader, reference: str) -> list[Step]:
    """Resizes to multiples, and pads to others, with the image in the middle (image_processing_pil_dpt.py:234)."""
    steps = [*pipeline.convert_rgb(reader), *_dpt_resize(reader, reference)]
    if reference == "torchvision":
        steps += pipeline.center_crop(reader, reference)
    else:
        pipeline.ignore_crop(reader)
    return [*steps, *pipeline.rescale_normalize(reader, reference), *_dpt_pad(reader, reference)]


def _prompt_depth_steps(reader: Reader, reference: str) -> list[Step]:
    """The same, but never converts to RGB nor crops (image_processing_pil_prompt_depth_anything.py:192)."""
    pipeline.ignore_crop(reader)
    steps = [*_dpt_resize(reader, reference), *pipeline.rescale_normalize(reader, reference)]
    return [*steps, *_dpt_pad(reader, "pillow")]  # either class leaves out a size_divisor that is null


def _dpt_resize(reader: Reader, reference: str) -> list[Step]:
    if not reader.flag("do_resize"):
        return []
    size = _near(reader, Fraction(reader.integer("ensure_multiple_of", least=1)))
    return [pipeline.resize_to(size, reader.filter(), reference)]


def _near(reader: Reader, unit: Fraction) -> Size:
    """``size`` rounded to multiples of ``unit``, or with ``keep_aspect_ratio`` the nearest such size of the image's."""
    height, width = reader.exact_size("size")
    if reader.flag("keep_aspect_ratio"):
        return Size(nearest_height=height, nearest_width=width, multiple=unit.numerator, per=unit.denominator)
    if any(edge / unit % 1 == Fraction(1, 2) for edge in (height, width)):
        # The class multiplies and divides by the image's side, whose rounding decides.
        return Size(stretched_height=height, stretched_width=width, multiple=unit.numerator, per=unit.denominator)
    height, width = (int(round(edge / unit) * unit) for edge in (height, width))
    if not height or not width:
        reader.problem("ensure_multiple_of", "less than twice the sides of size")
    return Size(height=height or 1, width=width or 1)


def _dpt_pad(reader: Reader, reference: str) -> list[Step]:
    """The PIL class leaves it out where ``size_divisor`` is null, the torchvision class fails there."""
    if not reader.flag("do_pad") or (reference != "torchvision" and reader.values.get("size_divisor") is None):
        return []
    return [Pad(Size(ceil_to=reader.integer("size_divisor", least=1)), centered=True)]


def _glpn_steps(reader: Reader, reference: str) -> list[Step]:
    """Rounds the image's own size down, whatever ``size`` says (image_processing_pil_glpn.py:69)."""
    pipeline.ignore_crop(reader)
    resizing: list[Step] = []
    if reader.flag("do_resize"):
        size = Size(floor_to=reader.integer("size_divisor", least=1))
        resizing = [pipeline.resize_to(size, reader.filter(), reference)]
    return [*pipeline.convert_rgb(reader), *resizing, *pipeline.rescale_normalize(reader, reference)]


def _zoedepth_steps(reader: Reader, reference: str) -> list[Step]:
    """Rescales, mirrors the borders, resizes floats by torch in either class, and normalizes.

    image_processing_pil_zoedepth.py:178.
    """
    pipeline.ignore_crop(reader)
    steps = [*pipeline.convert_rgb(reader), *pipeline.rescale(reader, reference)]
    floats = len(steps) > reader.flag("do_convert_rgb")
    if reader.flag("do_pad"):
        # torch mirrors no border that is wider than the image.
        steps.append(Pad(Size(sqrt_margin=3), centered=True, mode="reflect", once=reference == "torchvision"))
    if reader.flag("do_resize"):
        if not floats:
            reader.problem(
                "do_rescale", "true (and a float as rescale_factor), for floats are resized; or do_resize false"
            )
        steps.append(
            Interpolate(_near(reader, _unit(reader)), pipeline.sharp_filter(reader), False, align_corners=True)
        )
    return [*steps, *pipeline.normalize_floats(reader, reference, floats)]


def _unit(reader: Reader) -> Fraction:
    """``ensure_multiple_of``, which may be below 1 here: 1/32 is the class's default."""
    unit = Fraction(reader.number("ensure_multiple_of"))
    if not 0 < unit.numerator <= LONGEST_SIDE or unit.denominator > LONGEST_SIDE:
        reader.problem("ensure_multiple_of", f"an integer from 1 to {LONGEST_SIDE}, or 1 divided by a power of 2")
        return Fraction(1)
    return unit


def _depth_pro_steps(reader: Reader, reference: str) -> list[Step]:
    """Resizes last, without antialiasing (image_processing_depth_pro.py:54)."""
    pipeline.ignore_crop(reader)
    steps = pipeline.rescale_normalize(reader, reference)
    resizing = pipeline.torch_resize(reader, floats=bool(steps), antialias=False)
    return [*pipeline.convert_rgb(reader), *steps, *resizing]


def _zoedepth_depth(plan: Plan) -> DepthEstimation:
    """What was padded is cropped (image_processing_zoedepth.py:268)."""
    return DepthEstimation(padded=bool(plan.config.get("do_pad")))


def _depth_pro_depth(plan: Plan) -> InverseDepthEstimation:
    """Depths are resized by the filter of the images (image_processing_depth_pro.py:111)."""
    filter = {BILINEAR: "bilinear", BICUBIC: "bicubic"}.get(plan.config.get("resample", BILINEAR))
    if filter is None:
        raise UnsupportedConfig(
            f"resample: depths are resized by 2 (bilinear) or 3 (bicubic), not by {plan.config['resample']!r}"
        )
    return InverseDepthEstimation(filter=filter)


_DPT_KEYS = ("ensure_multiple_of", "size_divisor", "keep_aspect_ratio")
_DPT = defaults(square(384), **HALF, do_pad=False, ensure_multiple_of=1, keep_aspect_ratio=False)
_CHMV2: Config = {
    "image_mean": [0.42, 0.411, 0.296], "image_std": [0.213, 0.156, 0.143], "do_resize": False, "do_pad": True,
    "ensure_multiple_of": 16, "keep_aspect_ratio": True, "size_divisor": 16,
}  # fmt: skip
_GLPN: Config = {
    "do_resize": True, "do_rescale": True, "rescale_factor": 1 / 255, "resample": BILINEAR, "default_to_square": True,
    "size_divisor": 32,
}  # fmt: skip

FAMILIES = (
    Family(
        "CHMv2",
        ("chmv2",),
        {**_DPT, **_CHMV2},
        own_keys=(*_DPT_KEYS, "do_reduce_labels"),
        steps=_dpt_steps,
        has_pil=False,
        postprocess=(SemanticSegmentation(), DepthEstimation(filter="bilinear", align_corners=True)),
    ),
    Family(
        "DepthPro",
        ("depth_pro",),
        defaults(square(1536), **HALF, resample=BILINEAR),
        steps=_depth_pro_steps,
        has_pil=False,
        postprocess=(_depth_pro_depth,),
    ),
    Family(
        "DPT",
        ("depth_anything", "dpt"),
        _DPT,
        own_keys=(*_DPT_KEYS, "do_reduce_labels"),
        steps=_dpt_steps,
        postprocess=(SemanticSegmentation(), DepthEstimation()),
    ),
    Family(
        "GLPN",
        ("glpn",),
        _GLPN,
        own_keys=("size_divisor",),
        steps=_glpn_steps,
        postprocess=(DepthEstimation(),),
    ),
    Family(
        "PromptDepthAnything",
        ("prompt_depth_anything",),
        {**_DPT, "prompt_scale_to_meter": 0.001},
        own_keys=(*_DPT_KEYS, "prompt_scale_to_meter"),
        steps=_prompt_depth_steps,
        postprocess=(DepthEstimation(),),
    ),
    Family(
        "ZoeDepth",
        ("zoedepth",),
        defaults(
            {"height": 384, "width": 512}, **HALF, resample=BILINEAR, do_pad=True, keep_aspect_ratio=True,
            ensure_multiple_of=1 / 32,
        ),
        own_keys=("keep_aspect_ratio", "ensure_multiple_of"),
        steps=_zoedepth_steps,
        postprocess=(_zoedepth_depth,),
    ),
)  # fmt: skip
