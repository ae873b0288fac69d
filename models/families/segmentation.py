"""Segmenters, with or without prompts, and the image towers of early multimodal models that pad alike."""

from __future__ import annotations

from collections.abc import Mapping

from runtime.errors import UnsupportedConfig
from runtime.ops import ImageSize, PadToLargest, Step
from runtime.ops.size import Size
from runtime.plan import Plan
from runtime.postprocess import (
    ImageMatting,
    Masks,
    NormalEstimation,
    PaintedSegmentation,
    PointmapEstimation,
    PromptDetection,
    PromptSegmentation,
    QuerySegmentation,
    SemanticSegmentation,
)

from .. import pipeline
from ..family import BILINEAR, CLIP, HALF, IMAGENET, Config, Family, defaults, square
from ..reader import Reader

_EDGES = {"shortest_edge": 800, "longest_edge": 1333}
_MASK = "pixel_mask"


def _mask2former_legacy(config: Config) -> Config:
    """``max_size`` goes with an integer ``size``, or with none (image_processing_pil_mask2former.py, ``__init__``)."""
    size, longest = config.get("size"), config.get("max_size")
    limit = {} if longest is None else {"longest_edge": longest}
    if size is None:
        return {**config, "size": {**_EDGES, **limit}}
    return {**config, "size": {"shortest_edge": size, **limit}} if type(size) is int else config


def _mask2former_steps(reader: Reader, reference: str) -> list[Step]:
    """Sides are multiples of ``size_divisor``; the padding asks no ``do_pad``.

    image_processing_pil_mask2former.py, ``_preprocess``.
    """

    def to_size(keys: Mapping[str, int]) -> Size:
        divisor = reader.integer("size_divisor", least=0)
        return pipeline.edges({**keys, "ceil_to": divisor} if divisor else keys)

    pipeline.ignore_crop(reader)
    steps = [*pipeline.convert_rgb(reader), *pipeline.resize_by_edges(reader, reference, to_size)]
    steps += pipeline.rescale_normalize(reader, reference)
    return [*steps, *pipeline.pad_always(reader, _MASK)]


def _oneformer_steps(reader: Reader, reference: str) -> list[Step]:
    """Always pads to the largest image (image_processing_pil_oneformer.py, ``encode_inputs``)."""
    return [*pipeline.without_crop(reader, reference), PadToLargest(_MASK)]


def _vilt_resize(reader: Reader, reference: str) -> list[Step]:
    """A rule of its own, of the shortest edge only (image_processing_pil_vilt.py:70, and :130)."""
    if not reader.flag("do_resize"):
        return []
    edge = reader.size_keys("size", ({"shortest_edge"}, {"shortest_edge", "longest_edge"})).get("shortest_edge", 1)
    longest, divisor = int(1333 / 800 * edge), reader.integer("size_divisor", least=1)
    size = Size(half_up_shortest_edge=edge, half_up_longest_edge=longest, floor_to=divisor)
    return [pipeline.resize_to(size, reader.filter(), reference)]


def _vilt_steps(reader: Reader, reference: str) -> list[Step]:
    """image_processing_pil_vilt.py, ``_preprocess``."""
    pipeline.ignore_crop(reader)
    steps = [*pipeline.convert_rgb(reader), *_vilt_resize(reader, reference)]
    steps += pipeline.rescale_normalize(reader, reference)
    return [*steps, *([PadToLargest(_MASK)] if reader.flag("do_pad") else [])]


def _bridgetower_steps(reader: Reader, reference: str) -> list[Step]:
    """Crops a square of the ``shortest_edge`` of ``crop_size`` (image_processing_pil_bridgetower.py:143)."""
    steps = [*pipeline.convert_rgb(reader), *_vilt_resize(reader, reference)]
    if reader.flag("do_center_crop"):
        keys = reader.size_keys("crop_size", ({"shortest_edge"}, {"shortest_edge", "longest_edge"}))
        edge = keys.get("shortest_edge", 1)
        steps.append(pipeline.crop_to(edge, edge, reference))
    steps += pipeline.rescale_normalize(reader, reference)
    return [*steps, *([PadToLargest(_MASK)] if reader.flag("do_pad") else [])]


def _sam_steps(reader: Reader, reference: str) -> list[Step]:
    """The long side becomes ``longest_edge``; both sizes are outputs (image_processing_pil_sam.py)."""
    resizing: list[Step] = []
    if reader.flag("do_resize"):
        keys = reader.size_keys("size", ({"longest_edge"}, {"shortest_edge", "longest_edge"}))
        size = Size(half_up_longest_edge=keys.get("longest_edge", 1))
        resizing = [pipeline.resize_to(size, reader.filter(), reference)]
    for key in ("mask_size", "mask_pad_size"):
        reader.loadable_size(key)
    steps = [*pipeline.convert_rgb(reader), ImageSize("original_sizes"), *resizing, ImageSize("reshaped_input_sizes")]
    steps += [*pipeline.center_crop(reader, reference), *pipeline.rescale_normalize(reader, reference)]
    return [*steps, *pipeline.pad(reader, steps)]


def _sam2_steps(reader: Reader, reference: str) -> list[Step]:
    """The shared steps, and the size before them as an output (image_processing_sam2.py)."""
    reader.loadable_size("mask_size")
    rgb = pipeline.convert_rgb(reader)
    return [*rgb, ImageSize("original_sizes"), *pipeline.standard(reader, reference)[len(rgb) :]]


def _seggpt_steps(reader: Reader, reference: str) -> list[Step]:
    """``do_convert_rgb`` is for masks (image_processing_pil_seggpt.py, ``_preprocess_image_like_inputs``)."""
    pipeline.ignore_crop(reader)
    return [*pipeline.resize(reader, reference), *pipeline.rescale_normalize(reader, reference)]


def _sapiens2_steps(reader: Reader, reference: str) -> list[Step]:
    """``do_pad`` fits the image into ``size`` and centers it (image_processing_sapiens2.py, ``_preprocess``)."""
    resizing = pipeline.resize(reader, reference)
    if resizing and reader.flag("do_pad"):
        height, width = reader.exact_size("size")
        fit = pipeline.resize_to(Size(max_height=height, max_width=width), reader.filter(), reference)
        resizing = [fit, pipeline.crop_to(height, width, reference)]
    steps = [*pipeline.convert_rgb(reader), *resizing, *pipeline.center_crop(reader, reference)]
    return [*steps, *pipeline.rescale_normalize(reader, reference)]


def _oneformer_segmentation(plan: Plan) -> QuerySegmentation:
    """The torchvision class resizes with antialiasing (image_processing_oneformer.py:739)."""
    return QuerySegmentation(antialias=plan.reference == "torchvision")


def _seggpt_segmentation(plan: Plan) -> PaintedSegmentation:
    """Colours go with the numbers of the preprocessing (image_processing_seggpt.py:303)."""
    reader = Reader(plan.config, default_to_square=True)
    mean, std = (reader.per_channel(key) for key in ("image_mean", "image_std"))
    labels = 0 if plan.config.get("num_labels") is None else reader.integer("num_labels", least=1)
    if reader.problems:
        raise UnsupportedConfig(reader.problems)
    return PaintedSegmentation(image_mean=mean, image_std=std, num_labels=labels)


def _sam_masks(plan: Plan) -> Masks:
    """The padding to ``pad_size`` is cropped away (image_processing_sam.py:383)."""
    padded = plan.config.get("pad_size") or {}
    if not {"height", "width"} <= padded.keys():
        raise UnsupportedConfig("pad_size: masks are resized to it, so it has to be a height and a width")
    edge = plan.config["size"]["longest_edge"] if plan.config.get("do_resize") else 0
    return Masks(longest_edge=edge, pad_height=padded["height"], pad_width=padded["width"])


def _sapiens2_fit(plan: Plan) -> tuple[int, int]:
    """The size that an image is fitted into and padded to; 0 and 0 where it is not."""
    if not (plan.config.get("do_resize") and plan.config.get("do_pad")):
        return 0, 0
    return plan.config["size"]["height"], plan.config["size"]["width"]


def _sapiens2_normals(plan: Plan) -> NormalEstimation:
    """image_processing_sapiens2.py:818."""
    height, width = _sapiens2_fit(plan)
    return NormalEstimation(least=1e-8, fit_height=height, fit_width=width)


def _sapiens2_points(plan: Plan) -> PointmapEstimation:
    """image_processing_sapiens2.py:854."""
    height, width = _sapiens2_fit(plan)
    return PointmapEstimation(fit_height=height, fit_width=width)


_MASK2FORMER = defaults(
    _EDGES, **IMAGENET, resample=BILINEAR, default_to_square=False, size_divisor=32, do_reduce_labels=False
)
_MASK2FORMER_KEYS = ("ignore_index", "do_reduce_labels", "num_labels", "size_divisor", "max_size", "_max_size")
_SAM = {"resample": BILINEAR, "do_convert_rgb": True}

FAMILIES = (
    Family(
        "BridgeTower",
        ("bridgetower",),
        defaults(
            {"shortest_edge": 288}, **CLIP, default_to_square=False, do_center_crop=True,
            crop_size={"shortest_edge": 288}, do_pad=True, size_divisor=32,
        ),
        own_keys=("size_divisor",),
        steps=_bridgetower_steps,
    ),
    Family(
        "Mask2Former",
        ("mask2former",),
        _MASK2FORMER,
        own_keys=_MASK2FORMER_KEYS,
        legacy=_mask2former_legacy,
        steps=_mask2former_steps,
        postprocess=(QuerySegmentation(mask_size=384),),
    ),
    Family(
        "MaskFormer",
        ("maskformer",),
        _MASK2FORMER,
        own_keys=_MASK2FORMER_KEYS,
        legacy=_mask2former_legacy,
        steps=_mask2former_steps,
        postprocess=(QuerySegmentation(),),
    ),
    Family(
        "OneFormer",
        ("oneformer",),
        defaults(_EDGES, **IMAGENET, resample=BILINEAR, default_to_square=False, do_convert_rgb=True),
        own_keys=(
            "repo_path", "class_info_file", "num_text", "num_labels", "ignore_index", "do_reduce_labels", "metadata",
        ),
        steps=_oneformer_steps,
        postprocess=(_oneformer_segmentation,),
    ),
    Family(
        "Sam",
        ("sam", "sam_hq"),
        defaults({"longest_edge": 1024}, **IMAGENET, **_SAM, do_pad=True, pad_size=square(1024)),
        own_keys=("mask_size", "mask_pad_size"),
        steps=_sam_steps,
        postprocess=(_sam_masks,),
    ),
    Family(
        "Sam2",
        ("edgetam", "sam2", "sam2_video"),
        defaults(square(1024), **IMAGENET, **_SAM),
        own_keys=("mask_size",),
        steps=_sam2_steps,
        has_pil=False,
        postprocess=(Masks(),),
    ),
    Family(
        "Sam3",
        ("sam3", "sam3_lite_text", "sam3_tracker", "sam3_tracker_video", "sam3_video"),
        defaults(square(1008), **HALF, **_SAM),
        own_keys=("mask_size",),
        steps=_sam2_steps,
        has_pil=False,
        postprocess=(PromptDetection(), PromptSegmentation(), Masks()),
    ),
    Family(
        "Sapiens2",
        ("sapiens2",),
        defaults(
            {"height": 1024, "width": 768}, **IMAGENET, resample=BILINEAR, do_center_crop=False,
            crop_size=square(224), do_pad=False,
        ),
        own_keys=("do_reduce_labels", "keypoint_heatmap_downscale_factor", "keypoint_heatmap_sigma"),
        steps=_sapiens2_steps,
        has_pil=False,
        postprocess=(SemanticSegmentation(), _sapiens2_normals, _sapiens2_points, ImageMatting()),
    ),
    Family(
        "Segformer",
        ("segformer", "upernet"),
        defaults(square(512), **IMAGENET, resample=BILINEAR),
        own_keys=("do_reduce_labels",),
        steps=pipeline.without_crop,
        postprocess=(SemanticSegmentation(),),
    ),
    Family(
        "SegGpt",
        ("seggpt",),
        defaults(square(448), **IMAGENET, do_convert_rgb=True),
        own_keys=("num_labels",),
        steps=_seggpt_steps,
        postprocess=(_seggpt_segmentation,),
    ),
    Family(
        "Vilt",
        ("vilt",),
        defaults({"shortest_edge": 384}, **HALF, default_to_square=False, do_pad=True, size_divisor=32),
        own_keys=("size_divisor",),
        steps=_vilt_steps,
    ),
)  # fmt: skip
