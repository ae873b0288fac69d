"""Families whose result is one image of a fixed size: classifiers and the image towers of multimodal models."""

from __future__ import annotations

from runtime.ops import Normalize, Rescale, Step
from runtime.ops.size import LONGEST_SIDE, Size

from .. import pipeline
from ..family import BILINEAR, CLIP, HALF, IMAGENET, LANCZOS, Config, Family, defaults, square
from ..reader import Reader


def _clip_legacy(config: Config) -> Config:
    """KOSMOS-2's ``use_square_size`` (image_processing_pil_clip.py, ``__init__``): 224 whatever ``size`` says."""
    return {**config, "size": square(224)} if config.get("use_square_size") else config


def _idefics_legacy(config: Config) -> Config:
    """``image_size`` wins over ``size`` (image_processing_pil_idefics.py, ``__init__``)."""
    edge = config.get("image_size")
    return config if edge is None else {**config, "size": square(edge)}


def _owlvit_legacy(config: Config) -> Config:
    """Early configs have ``rescale`` as a flag (image_processing_pil_owlvit.py, ``__init__``)."""
    return {**config, "do_rescale": config["rescale"]} if "rescale" in config else config


def _convnext_steps(reader: Reader, reference: str) -> list[Step]:
    """Below 384, the short side becomes ``size / crop_pct`` and the middle is kept; from 384 on, no crop.

    image_processing_pil_convnext.py, ``resize``; it reads ``shortest_edge`` only.
    """
    resizing: list[Step] = []
    if reader.flag("do_resize"):
        edge, filter = reader.size().shortest_edge, reader.filter()
        if edge is None:
            if not any(p.startswith("size") for p in reader.problems):
                reader.problem("size", "the form {shortest_edge}")
        elif edge >= 384:
            resizing = [pipeline.resize_to(Size(height=edge, width=edge), filter, reference)]
        else:
            fraction = reader.number("crop_pct")
            if not 0 < fraction <= 1 or edge > fraction * LONGEST_SIDE:
                reader.problem("crop_pct", f"a number above 0 and up to 1, and size / crop_pct up to {LONGEST_SIDE}")
                fraction = 1.0
            longer = Size(shortest_edge=int(edge / fraction))
            resizing = [pipeline.resize_to(longer, filter, reference), pipeline.crop_to(edge, edge, reference)]
    rest = [*pipeline.center_crop(reader, reference), *pipeline.rescale_normalize(reader, reference)]
    return [*pipeline.convert_rgb(reader), *resizing, *rest]


def _efficientnet_steps(reader: Reader, reference: str) -> list[Step]:
    """``rescale_offset`` subtracts 1, and ``include_top`` divides by the std once more.

    image_processing_pil_efficientnet.py, ``_preprocess``.
    """
    steps = [*pipeline.convert_rgb(reader), *pipeline.resize(reader, reference)]
    steps += pipeline.center_crop(reader, reference)
    steps += pipeline.rescale_normalize(reader, reference, offset=1.0 if reader.flag("rescale_offset") else 0.0)
    if reader.flag("include_top"):
        if reference == "torchvision" and not any(isinstance(step, (Rescale, Normalize)) for step in steps):
            reader.problems.append(
                "include_top: transformers' torchvision class cannot normalize uint8; set do_rescale, or include_top to"
                " false"
            )
        steps.append(Normalize((0.0,) * reader.channels, reader.per_channel("image_std", nonzero=True)))
    return steps


_TIPS = defaults(square(448), resample=BILINEAR, do_normalize=False, do_convert_rgb=True)

FAMILIES = (
    Family(
        "Beit",
        ("beit", "data2vec-vision"),
        defaults(square(224), **HALF, crop_size=square(224)),
        own_keys=("do_reduce_labels",),
        steps=pipeline.without_pad,
    ),
    Family(
        "Bit",
        ("bit", "dinov2", "focalnet", "hiera", "pixio"),
        defaults({"shortest_edge": 224}, 224, **CLIP, default_to_square=False, do_convert_rgb=True),
    ),
    Family(
        "Blip",
        ("blip", "blip-2", "instructblip"),
        defaults(square(384), **CLIP, do_convert_rgb=True),
    ),
    Family(
        "Chameleon",
        ("chameleon",),
        defaults(
            {"shortest_edge": 512}, 512, resample=LANCZOS, default_to_square=False, do_convert_rgb=True,
            rescale_factor=0.0078, image_mean=[1.0, 1.0, 1.0], image_std=[1.0, 1.0, 1.0],
        ),
    ),
    Family(
        "ChineseCLIP",
        ("chinese_clip",),
        defaults({"shortest_edge": 224}, 224, **CLIP, default_to_square=False, do_convert_rgb=True),
    ),
    Family(
        "CLIP",
        (
            "aimv2", "aimv2_vision_model", "altclip", "clip", "florence2", "git", "groupvit", "kosmos-2", "metaclip_2",
            "mlcd", "vipllava", "xclip",
        ),
        defaults({"shortest_edge": 224}, 224, **CLIP, default_to_square=False, do_convert_rgb=True),
        own_keys=("use_square_size",),
        legacy=_clip_legacy,
    ),
    Family(
        "ConvNext",
        ("convnext", "convnextv2", "cvt", "regnet", "resnet"),
        defaults({"shortest_edge": 384}, **HALF, default_to_square=False, crop_pct=224 / 256),
        own_keys=("crop_pct",),
        steps=_convnext_steps,
    ),
    Family("DeiT", ("deit",), defaults(square(256), 224, **HALF)),
    Family(
        "EfficientNet",
        ("align", "efficientnet"),
        defaults(square(346), **HALF, crop_size=square(289), rescale_offset=False, include_top=True),
        own_keys=("rescale_offset", "include_top"),
        steps=_efficientnet_steps,
    ),
    Family(
        "Idefics",
        ("idefics",),
        defaults(square(224), **CLIP, do_convert_rgb=True),
        own_keys=("image_size", "image_num_channels"),
        legacy=_idefics_legacy,
    ),
    Family(
        "MobileNetV1",
        ("mobilenet_v1",),
        defaults({"shortest_edge": 256}, 224, **HALF, resample=BILINEAR, default_to_square=False),
    ),
    Family(
        "MobileNetV2",
        ("mobilenet_v2",),
        defaults({"shortest_edge": 256}, 224, **HALF, resample=BILINEAR, default_to_square=False),
        own_keys=("do_reduce_labels",),
        steps=pipeline.without_pad,
    ),
    Family(
        "OwlViT",
        ("owlvit",),
        defaults(square(768), **CLIP, do_center_crop=False, crop_size=square(768), do_convert_rgb=True),
        own_keys=("rescale",),
        legacy=_owlvit_legacy,
    ),
    Family(
        "PI0",
        ("pi0",),
        defaults(
            {"max_height": 224, "max_width": 224}, **HALF, default_to_square=False, do_convert_rgb=True, do_pad=True,
            pad_size=square(224),
        ),
        has_pil=False,
    ),
    Family("PPChart2Table", ("pp_chart2table",), defaults(square(1024), **CLIP)),
    Family("Pvt", ("pvt", "pvt_v2"), defaults(square(224), **IMAGENET)),
    Family(
        "Siglip",
        ("colpali", "gemma3n", "paligemma", "siglip"),
        defaults(square(224), **HALF, default_to_square=False, do_convert_rgb=True),
    ),
    Family("Tipsv2", ("tipsv2",), _TIPS, has_pil=False),
    Family("Tipsv2Dpt", ("tipsv2_dpt",), _TIPS, has_pil=False),
    Family(
        "ViT",
        (
            "clipseg", "dinat", "ijepa", "mgp-str", "swiftformer", "swin", "swinv2", "trocr", "vit", "vit_mae",
            "vit_msn",
        ),
        defaults(square(224), **HALF, resample=BILINEAR),
    ),
)  # fmt: skip
