"""Families whose result is one image of a fixed size: classifiers and the image towers of multimodal models."""

from __future__ import annotations

from runtime.ops import CropShare, FlipChannels, Normalize, Quantize, Rescale, Step
from runtime.ops.size import LONGEST_SIDE, Size
from runtime.plan import Plan
from runtime.postprocess import DepthEstimation, NormalEstimation, SemanticSegmentation

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


def _convnext_steps(reader: Reader, reference: str) -> list[Step]:
    """Below 384, the short side becomes ``size / crop_pct`` and the middle is kept; from 384 on, no crop.

    image_processing_pil_convnext.py, ``resize``; it reads ``shortest_edge`` only.
    """
    resizing: list[Step] = []
    if reader.flag("do_resize"):
        edge, filter = reader.size().get("shortest_edge"), reader.filter()
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


def _dinov3_steps(reader: Reader, reference: str) -> list[Step]:
    """Rescales first, so that it resizes floats (image_processing_dinov3_vit.py:45)."""
    steps = pipeline.rescale(reader, reference)
    resizing = pipeline.torch_resize(reader, floats=bool(steps), antialias=True)
    rest = [*pipeline.center_crop(reader, reference), *pipeline.normalize_floats(reader, reference, bool(steps))]
    return [*pipeline.convert_rgb(reader), *steps, *resizing, *rest]


def _levit_resize(reader: Reader, reference: str) -> list[Step]:
    """The short side becomes 256 / 224 of ``size`` (image_processing_pil_levit.py:58)."""
    if not reader.flag("do_resize"):
        return []
    size = pipeline.short_edge(reader)
    edge = size.get("shortest_edge")
    if edge is not None:
        size = Size(shortest_edge=int((256 / 224) * edge))
    return [pipeline.resize_to(size, reader.filter(), reference)]


def _poolformer_resize(reader: Reader, reference: str) -> list[Step]:
    """``size / crop_pct``, where a square is a short side (image_processing_pil_poolformer.py:63)."""
    if reader.values.get("crop_pct") is None or not reader.flag("do_resize"):
        return pipeline.resize(reader, reference)
    fraction, keys = reader.number("crop_pct"), pipeline.short_edge(reader).to_json()
    if fraction <= 0 or not all(1 <= edge / fraction <= LONGEST_SIDE for edge in keys.values()):
        reader.problem("crop_pct", f"a number above 0, and size / crop_pct from 1 to {LONGEST_SIDE}")
        fraction = 1.0
    edges = [int(edge / fraction) for edge in keys.values()]
    size = Size(shortest_edge=edges[0]) if len(set(keys.values())) == 1 else Size(height=edges[0], width=edges[1])
    return [pipeline.resize_to(size, reader.filter(), reference)]


def _levit_steps(reader: Reader, reference: str) -> list[Step]:
    return pipeline.standard(reader, reference, _levit_resize)


def _poolformer_steps(reader: Reader, reference: str) -> list[Step]:
    return pipeline.standard(reader, reference, _poolformer_resize)


def _perceiver_steps(reader: Reader, reference: str) -> list[Step]:
    """Cropped first, to ``size / crop_size`` of the short side (image_processing_pil_perceiver.py:50)."""
    steps = pipeline.convert_rgb(reader)
    if reader.flag("do_center_crop"):
        rule = "torchvision" if reference == "torchvision" else "pil"
        black = rule == "pil" and reader.flag("do_resize")
        steps.append(CropShare(*reader.exact_size("size"), *reader.exact_size("crop_size"), rule, black))
    return [*steps, *pipeline.resize(reader, reference), *pipeline.rescale_normalize(reader, reference)]


def _mobilevit_steps(reader: Reader, reference: str) -> list[Step]:
    """BGR, and nothing reads ``do_normalize`` (image_processing_pil_mobilevit.py:158).

    The PIL class crops after the rescale, which makes no difference: what is missing is 0 before and after.
    """
    pipeline.ignore_normalize(reader)
    steps = [*pipeline.convert_rgb(reader), *pipeline.resize(reader, reference)]
    steps += [*pipeline.center_crop(reader, reference), *pipeline.rescale(reader, reference)]
    return [*steps, FlipChannels()] if reader.flag("do_flip_channel_order") else steps


def _imagegpt_steps(reader: Reader, reference: str) -> list[Step]:
    """The index of each pixel's nearest colour (image_processing_pil_imagegpt.py:98); its PIL class never crops."""
    steps = [*pipeline.convert_rgb(reader), *pipeline.resize(reader, reference)]
    if reference == "torchvision":
        steps += pipeline.center_crop(reader, reference)
    else:
        pipeline.ignore_crop(reader)
    steps += pipeline.rescale_normalize(reader, reference)
    if not reader.flag("do_color_quantize"):
        return steps
    if not any(isinstance(step, (Rescale, Normalize)) for step in steps):
        reader.problem("do_color_quantize", "false without do_rescale and do_normalize, for uint8 squares overflow")
    if reader.values.get("clusters") is None:
        reader.problem("clusters", "the colours, or do_color_quantize to be false")
        return steps
    return [*steps, Quantize(reader.triples("clusters"), "float32" if reference == "torchvision" else "float64")]


def _imagegpt_output(config: Config) -> str:
    return "input_ids" if config.get("do_color_quantize") else "pixel_values"


def _tips_segmentation(plan: Plan) -> SemanticSegmentation:
    """The model for all tasks calls its logits otherwise (image_processing_tipsv2_dpt.py:141)."""
    dense = plan.architecture == "Tipsv2DptForDensePrediction"
    return SemanticSegmentation("segmentation_logits" if dense else "logits")


_TIPS = defaults(square(448), resample=BILINEAR, do_normalize=False, do_convert_rgb=True)

FAMILIES = (
    Family(
        "Beit",
        ("beit", "data2vec-vision"),
        defaults(square(224), **HALF, crop_size=square(224)),
        own_keys=("do_reduce_labels",),
        steps=pipeline.without_pad,
        postprocess=(SemanticSegmentation(),),
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
        "DINOv3ViT",
        ("dinov3_vit",),
        defaults(square(224), **IMAGENET, resample=BILINEAR),
        steps=_dinov3_steps,
        has_pil=False,
    ),
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
        "ImageGPT",
        ("imagegpt",),
        defaults(square(256), **HALF, resample=BILINEAR, do_color_quantize=True),
        own_keys=("clusters", "do_color_quantize"),
        steps=_imagegpt_steps,
        output=_imagegpt_output,
    ),
    Family(
        "Levit",
        ("levit",),
        defaults({"shortest_edge": 224}, 224, **IMAGENET, default_to_square=False),
        steps=_levit_steps,
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
        postprocess=(SemanticSegmentation(),),
    ),
    Family(
        "MobileViT",
        ("mobilevit", "mobilevitv2"),
        {
            **defaults({"shortest_edge": 224}, 256, **HALF, default_to_square=False, do_flip_channel_order=True),
            "do_normalize": None,
        },
        own_keys=("do_flip_channel_order", "do_reduce_labels"),
        steps=_mobilevit_steps,
        postprocess=(SemanticSegmentation(),),
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
    Family("Perceiver", ("perceiver",), defaults(square(224), 256, **IMAGENET), steps=_perceiver_steps),
    Family(
        "PoolFormer",
        ("poolformer",),
        defaults({"shortest_edge": 224}, 224, **IMAGENET, default_to_square=False, crop_pct=0.9),
        own_keys=("crop_pct",),
        steps=_poolformer_steps,
    ),
    Family("PPChart2Table", ("pp_chart2table",), defaults(square(1024), **CLIP)),
    Family("Pvt", ("pvt", "pvt_v2"), defaults(square(224), **IMAGENET)),
    Family(
        "Siglip",
        ("colpali", "gemma3n", "paligemma", "siglip"),
        defaults(square(224), **HALF, default_to_square=False, do_convert_rgb=True),
    ),
    Family("Tipsv2", ("tipsv2",), _TIPS, has_pil=False),
    Family(
        "Tipsv2Dpt",
        ("tipsv2_dpt",),
        _TIPS,
        has_pil=False,
        postprocess=(_tips_segmentation, DepthEstimation(filter="bilinear"), NormalEstimation()),
    ),
    Family(
        "ViT",
        (
            "clipseg", "dinat", "ijepa", "mgp-str", "swiftformer", "swin", "swinv2", "trocr", "vit", "vit_mae",
            "vit_msn",
        ),
        defaults(square(224), **HALF, resample=BILINEAR),
    ),
)  # fmt: skip
