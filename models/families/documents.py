"""Families that read pages and the text on them."""

from __future__ import annotations

from dataclasses import replace

from runtime.ops import AlignLongAxis, CenterCrop, CropMargin, FlipChannels, Pad, Step
from runtime.ops.size import Size

from .. import pipeline
from ..family import BILINEAR, HALF, IMAGENET, NEAREST, Config, Family, defaults, square
from ..reader import Reader


def _donut_legacy(config: Config) -> Config:
    """A list is (width, height) (image_processing_pil_donut.py, ``__init__``)."""
    size = config.get("size")
    return {**config, "size": size[::-1]} if isinstance(size, (list, tuple)) else config


def _donut_steps(reader: Reader, reference: str) -> list[Step]:
    """image_processing_pil_donut.py:169; its thumbnail has the filter of the resize."""
    filter = "bilinear"
    if reader.flag("do_thumbnail"):
        given = reader.values.get("resample")
        if given is None:
            filter = "bilinear" if reference == "torchvision" else "bicubic"
        elif given == NEAREST and reference != "torchvision":  # taken for none
            filter = "bicubic"
        else:
            filter = reader.filter()
    fitted = _fit(reader, reference, filter, 0.0)
    cropped = pipeline.center_crop(reader, reference)
    return [*pipeline.convert_rgb(reader), *fitted, *cropped, *pipeline.rescale_normalize(reader, reference)]


def _nougat_steps(reader: Reader, reference: str) -> list[Step]:
    """image_processing_pil_nougat.py:254; its thumbnail is bicubic, and Pillow averages pixels before that."""
    pipeline.ignore_crop(reader)
    cropped: list[Step] = [CropMargin(reference != "torchvision")] if reader.flag("do_crop_margin") else []
    fitted = _fit(reader, reference, "bicubic", 0.0 if reference == "torchvision" else 2.0)
    if reference == "torchvision" and any(isinstance(step, AlignLongAxis) for step in fitted):
        reader.problems.append(
            "do_align_long_axis: transformers' torchvision class turns the channels instead"
            " (image_processing_nougat.py:152); set it to false"
        )
    return [*pipeline.convert_rgb(reader), *cropped, *fitted, *pipeline.rescale_normalize(reader, reference)]


def _fit(reader: Reader, reference: str, filter: str, gap: float) -> list[Step]:
    """Turns, resizes and pads an image to fit ``size``; ``filter`` and ``gap`` are the thumbnail's."""
    keys = ("do_align_long_axis", "do_resize", "do_thumbnail", "do_pad")
    align, resize, thumbnail, pad = (reader.flag(key) for key in keys)
    if not (align or resize or thumbnail or pad):
        return []
    height, width = reader.exact_size("size")
    steps: list[Step] = []
    if align and height != width:
        steps.append(AlignLongAxis(portrait=height > width))
    if resize:
        steps.append(pipeline.resize_to(Size(shortest_edge=min(height, width)), reader.filter(), reference))
    if thumbnail:
        fitting = Size(thumbnail_height=height, thumbnail_width=width)
        steps.append(replace(pipeline.resize_to(fitting, filter, reference), reducing_gap=gap))
    if pad and reference == "torchvision":  # whose padding crops an image that is larger
        steps.append(CenterCrop(height, width, "half_up"))
    elif pad:
        steps.append(Pad(Size(height=height, width=width), centered=True))
    return steps


def _without_ocr(reader: Reader) -> None:
    """Words and their boxes come from a program of its own, not from tensors."""
    if reader.flag("apply_ocr"):
        reader.problems.append(
            "apply_ocr: runs Tesseract, which no graph can; set it to false, and give the words and their boxes to the"
            " tokenizer yourself"
        )


def _layoutlmv2_steps(reader: Reader, reference: str) -> list[Step]:
    """image_processing_pil_layoutlmv2.py:138: the pixels themselves, blue first."""
    _without_ocr(reader)
    pipeline.ignore_crop(reader)
    for switch, key in (
        ("do_rescale", "rescale_factor"),
        ("do_normalize", "image_mean"),
        ("do_normalize", "image_std"),
    ):
        if reader.flag(switch) and reader.values.get(key) is None:  # image_utils.py:622
            reader.problem(key, f"a value, for {switch} is on, though no step reads it; or switch that off")
    return [*pipeline.convert_rgb(reader), *pipeline.resize(reader, reference), FlipChannels()]


def _layoutlmv3_steps(reader: Reader, reference: str) -> list[Step]:
    _without_ocr(reader)
    if reference != "torchvision" and reader.flag("do_center_crop"):
        reader.problems.append(
            "do_center_crop: transformers' PIL class fails on it (image_processing_pil_layoutlmv3.py:179); set it to"
            " false, or take reference torchvision"
        )
    return pipeline.without_pad(reader, reference)


def _textnet_steps(reader: Reader, reference: str) -> list[Step]:
    """The short side, and both as multiples of ``size_divisor`` (image_processing_pil_textnet.py:70)."""
    resizing: list[Step] = []
    if reader.flag("do_resize"):
        edge = reader.size_keys("size", ({"shortest_edge"}, {"shortest_edge", "longest_edge"})).get("shortest_edge", 1)
        size = Size(shortest_edge=edge, ceil_to=reader.integer("size_divisor", least=1))
        resizing = [pipeline.resize_to(size, reader.filter(), reference)]
    rest = [*pipeline.center_crop(reader, reference), *pipeline.rescale_normalize(reader, reference)]
    return [*pipeline.convert_rgb(reader), *resizing, *rest]


_OCR = {"apply_ocr": True, "ocr_lang": None, "tesseract_config": ""}
_FIT = {"do_thumbnail": True, "do_align_long_axis": False, "do_pad": True, "resample": BILINEAR}

FAMILIES = (
    Family(
        "Donut",
        ("donut-swin",),
        defaults({"height": 2560, "width": 1920}, **HALF, **_FIT),
        own_keys=("do_thumbnail", "do_align_long_axis"),
        legacy=_donut_legacy,
        steps=_donut_steps,
    ),
    Family(
        "LayoutLMv2",
        ("layoutlmv2", "layoutxlm"),
        {"size": square(224), "default_to_square": True, "do_resize": True, "resample": BILINEAR, **_OCR},
        own_keys=tuple(_OCR),
        steps=_layoutlmv2_steps,
    ),
    Family(
        "LayoutLMv3",
        ("layoutlmv3", "udop"),
        defaults(square(224), **HALF, resample=BILINEAR, **_OCR),
        own_keys=tuple(_OCR),
        steps=_layoutlmv3_steps,
    ),
    Family(
        "Nougat",
        ("nougat",),
        defaults({"height": 896, "width": 672}, **IMAGENET, **_FIT, do_crop_margin=True),
        own_keys=("do_crop_margin", "do_thumbnail", "do_align_long_axis"),
        steps=_nougat_steps,
    ),
    Family(
        "PPFormulaNet",
        ("pp_formulanet",),
        defaults(square(768), image_mean=[0.7931] * 3, image_std=[0.1738] * 3, **_FIT, do_crop_margin=True),
        own_keys=("do_crop_margin", "do_thumbnail", "do_align_long_axis"),
        steps=_nougat_steps,
        has_pil=False,
    ),
    Family(
        "TextNet",
        ("textnet",),
        defaults(
            {"shortest_edge": 640}, **IMAGENET, resample=BILINEAR, default_to_square=False, crop_size=square(224),
            do_center_crop=False, do_convert_rgb=True, size_divisor=32,
        ),
        own_keys=("size_divisor",),
        steps=_textnet_steps,
    ),
)  # fmt: skip
