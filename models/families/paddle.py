"""PaddleOCR's families: layouts, text lines, tables. transformers has torchvision classes of them only."""

from __future__ import annotations

from functools import partial

from runtime.ops import (
    Cast,
    Clamp,
    FlipChannels,
    ImageSize,
    Interpolate,
    Pad,
    Rescale,
    ResizeOpenCV,
    Step,
)
from runtime.ops.size import Size
from runtime.postprocess import LayoutDetection, TableRecognition, TextRecognition

from .. import pipeline
from ..family import BILINEAR, HALF, IMAGENET, Family, defaults, square
from ..reader import Reader

LIMITS = {"max": "limit_max", "min": "limit_min", "resize_long": "limit_long"}
"""``limit_type``, and the rule's name in :class:`~runtime.ops.size.Size`."""


def _layout_steps(reader: Reader, reference: str) -> list[Step]:
    """Resizes without antialiasing (image_processing_pp_doclayout_v2.py:44)."""
    resizing = pipeline.torch_resize(reader, floats=False, antialias=False)
    steps = [*pipeline.convert_rgb(reader), *resizing, *pipeline.center_crop(reader, reference)]
    steps += pipeline.rescale_normalize(reader, reference)
    return [*steps, *pipeline.pad(reader, steps)]


def _layout_v4_steps(reader: Reader, reference: str) -> list[Step]:
    """Rescales first, so that it resizes floats, and clips what the filter overshoots.

    image_processing_pp_doclayout_v4.py:62.
    """
    steps = pipeline.convert_rgb(reader)
    rescale = reader.flag("do_rescale")
    factor = reader.number("rescale_factor") if rescale else 1.0
    if rescale:
        steps.append(Rescale(factor, precision="float32"))
    if reader.flag("do_resize"):
        size, filter = reader.size(), pipeline.sharp_filter(reader)
        steps += [Interpolate(size, filter, antialias=False) if rescale else pipeline.sharp_resize(size, filter)]
        if factor < 0:
            reader.problem("rescale_factor", "no number below 0, for nothing is left between 0 and the largest value")
        else:
            steps.append(Clamp(0.0, 255.0 * factor))
    steps += pipeline.center_crop(reader, reference)
    steps += pipeline.normalize(reader)
    return [*steps, *pipeline.pad(reader, steps)]


def _lcnet_steps(reader: Reader, reference: str) -> list[Step]:
    """The short side becomes ``resize_short``; the result is blue first (image_processing_pp_lcnet.py:62)."""
    resizing: list[Step] = []
    if reader.flag("do_resize"):
        if reader.values.get("resize_short") is None:
            size = reader.size()
        else:
            size = Size(rounded_shortest_edge=reader.integer("resize_short", least=1))
            if reader.values.get("size_divisor") is not None:
                size = Size(**size.to_json(), ceil_to=reader.integer("size_divisor", least=1))
        resizing = [pipeline.resize_to(size, reader.filter(), reference)]
    steps = [*pipeline.convert_rgb(reader), *resizing, *pipeline.center_crop(reader, reference)]
    return [*steps, *pipeline.rescale_normalize(reader, reference), FlipChannels()]


def _detection_steps(reader: Reader, reference: str) -> list[Step]:
    """Resizes floats to multiples of 32, and gives the size before (image_processing_pp_ocrv5_server_det.py:70)."""
    pipeline.ignore_crop(reader)
    if not reader.flag("do_resize"):
        reader.problem("do_resize", "true, for transformers fails without")
        return []
    rule = LIMITS.get(str(reader.values.get("limit_type")))
    if rule is None:
        reader.problem("limit_type", f"one of {', '.join(LIMITS)}")
        return []
    limits = {rule: reader.integer("limit_side_len", least=1)}
    if reader.values.get("max_side_limit") is not None:
        limits["max_side_limit"] = reader.integer("max_side_limit", least=1)
    resizing: list[Step] = [Cast("float32"), Interpolate(Size(**limits), pipeline.sharp_filter(reader), antialias=True)]
    steps = [*pipeline.convert_rgb(reader), ImageSize("target_sizes", "float32"), *resizing]
    return [*steps, *pipeline.rescale_normalize(reader, reference), FlipChannels()]


def _recognition_steps(reader: Reader, reference: str, floats: bool) -> list[Step]:
    """Resizes to the width of the widest image, and pads where that is narrow.

    image_processing_pp_ocrv5_server_rec.py:65, which resizes ``floats``; image_processing_pp_ocrv6_small_rec.py:65.
    """
    height, width = reader.exact_size("size")
    steps = pipeline.convert_rgb(reader)
    resize, crop, pad = (reader.flag(key) for key in ("do_resize", "do_center_crop", "do_pad"))
    if resize:
        size = Size(line_height=height, line_width=width, max_line_width=reader.integer("max_image_width", least=1))
        filter = pipeline.sharp_filter(reader)
        steps += (
            [Cast("float32"), Interpolate(size, filter, antialias=True)]
            if floats
            else [pipeline.sharp_resize(size, filter)]
        )
    steps += [] if floats else [FlipChannels()]
    steps += pipeline.center_crop(reader, reference)
    steps += pipeline.rescale_normalize(reader, reference)
    if not pad:
        return steps
    padded_height, padded_width = reader.exact_size("pad_size")
    if crop or not resize:
        reader.problem(
            "do_pad", "false, for do_center_crop is on or do_resize off, and the padding then depends on more"
        )
    elif padded_height != height:
        reader.problem("pad_size", f"the height of size, {height}")
    return [*steps, Pad(Size(min_height=height, min_width=padded_width))]


def _table_steps(reader: Reader, reference: str) -> list[Step]:
    """The long side becomes that of ``size``, resized as OpenCV does (image_processing_slanext.py:116)."""
    resizing: list[Step] = []
    if reader.flag("do_resize"):
        if reader.values.get("resample") is None:
            reader.problem("resample", "a filter, for do_resize is on, though it is bilinear whatever this says")
        resizing = [ResizeOpenCV(Size(rounded_longest_edge=max(reader.exact_size("size"))))]
    steps = [*pipeline.convert_rgb(reader), *resizing, *pipeline.center_crop(reader, reference)]
    steps += pipeline.rescale_normalize(reader, reference)
    return [*steps, *pipeline.pad(reader, steps)]


_LAYOUT = defaults(square(800), image_mean=[0, 0, 0], image_std=[1, 1, 1])
_REVERSED = {key: values[::-1] for key, values in IMAGENET.items()}
_LINE = {"height": 48, "width": 320}
_RECOGNITION = defaults(
    _LINE, **HALF, resample=BILINEAR, pad_size=_LINE, do_convert_rgb=True, do_pad=True, max_image_width=3200,
    character_list=[],
)  # fmt: skip


def _layout_family(name: str, model_type: str) -> Family:
    return Family(name, (model_type,), _LAYOUT, steps=_layout_steps, has_pil=False, postprocess=(LayoutDetection(),))


FAMILIES = (
    _layout_family("PPDocLayoutV2", "pp_doclayout_v2"),
    _layout_family("PPDocLayoutV3", "pp_doclayout_v3"),
    Family("PPDocLayoutV4", ("pp_doclayout_v4",), _LAYOUT, steps=_layout_v4_steps, has_pil=False),
    Family(
        "PPLCNet",
        ("pp_lcnet",),
        defaults(square(256), 224, **_REVERSED, resample=BILINEAR, resize_short=256, size_divisor=1),
        own_keys=("resize_short", "size_divisor"),
        steps=_lcnet_steps,
        has_pil=False,
    ),
    Family(
        "PPOCRV5ServerDet",
        ("pp_ocrv5_mobile_det", "pp_ocrv5_server_det", "pp_ocrv6_medium_det", "pp_ocrv6_small_det"),
        defaults(
            square(960), **_REVERSED, resample=BILINEAR, limit_side_len=960, limit_type="max", max_side_limit=4000
        ),
        own_keys=("limit_side_len", "limit_type", "max_side_limit"),
        steps=_detection_steps,
        has_pil=False,
    ),
    Family(
        "PPOCRV5ServerRec",
        ("pp_ocrv5_mobile_rec", "pp_ocrv5_server_rec"),
        _RECOGNITION,
        own_keys=("max_image_width", "character_list"),
        steps=partial(_recognition_steps, floats=True),
        has_pil=False,
        postprocess=(TextRecognition(),),
        labels="character_list",
    ),
    Family(
        "PPOCRV6SmallRec",
        ("pp_ocrv6_small_rec", "pp_ocrv6_tiny_rec"),
        _RECOGNITION,
        own_keys=("max_image_width", "character_list"),
        steps=partial(_recognition_steps, floats=False),
        has_pil=False,
        postprocess=(TextRecognition(),),
        labels="character_list",
    ),
    Family(
        "SLANeXt",
        ("slanet", "slanext"),
        defaults(
            square(512), **IMAGENET, resample=BILINEAR, pad_size=square(512), do_convert_rgb=True, do_pad=True
        ),
        own_keys=("bos_id", "character", "dict", "eos_id", "td_token"),
        steps=_table_steps,
        has_pil=False,
        postprocess=(TableRecognition(),),
    ),
)  # fmt: skip
