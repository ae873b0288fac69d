"""Every processor family, one row each: what its class reads, and what the keys default to.

Defaults are the class attributes of transformers 5.23, ``models/*/image_processing_pil_*.py``. A family whose steps
are not the shared ones names a function of its own, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from runtime.ops import Normalize, Rescale, Step
from runtime.ops.size import LONGEST_SIDE, Size

from . import pipeline
from .reader import Reader

Config = dict[str, Any]

IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
CLIP = {
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}
NEAREST, LANCZOS, BILINEAR, BICUBIC = 0, 1, 2, 3

SHARED_KEYS = (
    "do_convert_rgb", "do_resize", "size", "default_to_square", "crop_size", "resample", "do_rescale",
    "rescale_factor", "do_normalize", "image_mean", "image_std", "do_pad", "pad_size", "do_center_crop",
)  # fmt: skip
"""Keys that every class reads (processing_utils.py, ``ImagesKwargs``)."""


@dataclass(frozen=True)
class Family:
    """One image processor of transformers.

    Attributes:
        name: as in ``{name}ImageProcessor``.
        model_types: of the models that use it, as ``config.json`` names them.
        defaults: class attributes; a key that is absent is null.
        own_keys: keys that it reads besides :data:`SHARED_KEYS`.
        legacy: rewrites old keys of a file, as the class's constructor does.
        steps: a config's steps, given the reference.
        has_pil: whether transformers has a PIL class; without one, the reference is its torchvision class on the CPU.
    """

    name: str
    model_types: tuple[str, ...]
    defaults: Mapping[str, Any]
    own_keys: tuple[str, ...] = ()
    legacy: Callable[[Config], Config] = dict
    steps: Callable[[Reader, str], list[Step]] = pipeline.standard
    has_pil: bool = True

    @property
    def keys(self) -> tuple[str, ...]:
        return (*SHARED_KEYS, *self.own_keys)


def _defaults(size: Mapping[str, int], crop: int | None = None, /, **more: Any) -> Config:
    """A class that resizes, rescales by 1/255 and normalizes, and crops where ``crop`` is given."""
    cropping = {"do_center_crop": True, "crop_size": {"height": crop, "width": crop}} if crop else {}
    steps = {"do_resize": True, "do_rescale": True, "do_normalize": True, "rescale_factor": 1 / 255}
    return {"size": size, "default_to_square": True, "resample": BICUBIC, **steps, **cropping, **more}


def _square(edge: int) -> Mapping[str, int]:
    return {"height": edge, "width": edge}


def _clip_legacy(config: Config) -> Config:
    """KOSMOS-2's ``use_square_size`` (image_processing_pil_clip.py, ``__init__``): 224 whatever ``size`` says."""
    return {**config, "size": _square(224)} if config.get("use_square_size") else config


def _idefics_legacy(config: Config) -> Config:
    """``image_size`` wins over ``size`` (image_processing_pil_idefics.py, ``__init__``)."""
    edge = config.get("image_size")
    return config if edge is None else {**config, "size": {"height": edge, "width": edge}}


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


_TIPS = _defaults(_square(448), resample=BILINEAR, do_normalize=False, do_convert_rgb=True)

_FAMILIES = (
    Family(
        "Beit",
        ("beit", "data2vec-vision"),
        _defaults(_square(224), **HALF, crop_size=_square(224)),
        own_keys=("do_reduce_labels",),
        steps=pipeline.without_pad,
    ),
    Family(
        "Bit",
        ("bit", "dinov2", "focalnet", "hiera", "pixio"),
        _defaults({"shortest_edge": 224}, 224, **CLIP, default_to_square=False, do_convert_rgb=True),
    ),
    Family(
        "Blip",
        ("blip", "blip-2", "instructblip"),
        _defaults(_square(384), **CLIP, do_convert_rgb=True),
    ),
    Family(
        "Chameleon",
        ("chameleon",),
        _defaults(
            {"shortest_edge": 512}, 512, resample=LANCZOS, default_to_square=False, do_convert_rgb=True,
            rescale_factor=0.0078, image_mean=[1.0, 1.0, 1.0], image_std=[1.0, 1.0, 1.0],
        ),
    ),
    Family(
        "ChineseCLIP",
        ("chinese_clip",),
        _defaults({"shortest_edge": 224}, 224, **CLIP, default_to_square=False, do_convert_rgb=True),
    ),
    Family(
        "CLIP",
        (
            "aimv2", "aimv2_vision_model", "altclip", "clip", "florence2", "git", "groupvit", "kosmos-2", "metaclip_2",
            "mlcd", "vipllava", "xclip",
        ),
        _defaults({"shortest_edge": 224}, 224, **CLIP, default_to_square=False, do_convert_rgb=True),
        own_keys=("use_square_size",),
        legacy=_clip_legacy,
    ),
    Family(
        "ConvNext",
        ("convnext", "convnextv2", "cvt", "regnet", "resnet"),
        _defaults({"shortest_edge": 384}, **HALF, default_to_square=False, crop_pct=224 / 256),
        own_keys=("crop_pct",),
        steps=_convnext_steps,
    ),
    Family("DeiT", ("deit",), _defaults(_square(256), 224, **HALF)),
    Family(
        "EfficientNet",
        ("align", "efficientnet"),
        _defaults(_square(346), **HALF, crop_size=_square(289), rescale_offset=False, include_top=True),
        own_keys=("rescale_offset", "include_top"),
        steps=_efficientnet_steps,
    ),
    Family(
        "Idefics",
        ("idefics",),
        _defaults(_square(224), **CLIP, do_convert_rgb=True),
        own_keys=("image_size", "image_num_channels"),
        legacy=_idefics_legacy,
    ),
    Family(
        "MobileNetV1",
        ("mobilenet_v1",),
        _defaults({"shortest_edge": 256}, 224, **HALF, resample=BILINEAR, default_to_square=False),
    ),
    Family(
        "MobileNetV2",
        ("mobilenet_v2",),
        _defaults({"shortest_edge": 256}, 224, **HALF, resample=BILINEAR, default_to_square=False),
        own_keys=("do_reduce_labels",),
        steps=pipeline.without_pad,
    ),
    Family(
        "OwlViT",
        ("owlvit",),
        _defaults(_square(768), **CLIP, do_center_crop=False, crop_size=_square(768), do_convert_rgb=True),
        own_keys=("rescale",),
        legacy=_owlvit_legacy,
    ),
    Family(
        "PI0",
        ("pi0",),
        _defaults(
            {"max_height": 224, "max_width": 224}, **HALF, default_to_square=False, do_convert_rgb=True, do_pad=True,
            pad_size=_square(224),
        ),
        has_pil=False,
    ),
    Family("PPChart2Table", ("pp_chart2table",), _defaults(_square(1024), **CLIP)),
    Family("Pvt", ("pvt", "pvt_v2"), _defaults(_square(224), **IMAGENET)),
    Family(
        "Siglip",
        ("colpali", "gemma3n", "paligemma", "siglip"),
        _defaults(_square(224), **HALF, default_to_square=False, do_convert_rgb=True),
    ),
    Family("Tipsv2", ("tipsv2",), _TIPS, has_pil=False),
    Family("Tipsv2Dpt", ("tipsv2_dpt",), _TIPS, has_pil=False),
    Family(
        "ViT",
        (
            "clipseg", "dinat", "ijepa", "mgp-str", "swiftformer", "swin", "swinv2", "trocr", "vit", "vit_mae",
            "vit_msn",
        ),
        _defaults(_square(224), **HALF, resample=BILINEAR),
    ),
)  # fmt: skip

FAMILIES: dict[str, Family] = {family.name: family for family in _FAMILIES}
"""By transformers' name."""

MODEL_TYPES: dict[str, Family] = {model_type: family for family in _FAMILIES for model_type in family.model_types}
"""By the ``model_type`` of a model's ``config.json``."""
