"""Object detectors: images of many sizes, padded to the largest of a batch, with a mask of what is image."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from runtime.ops import Interpolate, Normalize, Pad, Rescale, Resize, ResizeSmoothed, Step
from runtime.ops.size import Size
from runtime.postprocess import ObjectDetection, Postprocess, QuerySegmentation

from .. import pipeline
from ..family import BILINEAR, CLIP, IMAGENET, Config, Family, defaults, square
from ..reader import Reader

_EDGES = {"shortest_edge": 800, "longest_edge": 1333}
_MASK = "pixel_mask"


def _detr_legacy(config: Config) -> Config:
    """An integer ``size`` goes with ``max_size``; ``do_pad`` was ``pad_and_return_pixel_mask``.

    image_processing_pil_detr.py, ``__init__``.
    """
    config = {"do_pad": config.get("pad_and_return_pixel_mask", True), **config}
    size, longest = config.get("size"), config.get("max_size", 1333)
    if size is None:
        return {**config, "size": _EDGES}
    if type(size) is not int:
        return config
    return {**config, "size": {"shortest_edge": size, **({} if longest is None else {"longest_edge": longest})}}


def _detr_steps(
    reader: Reader, reference: str, to_size: Callable[[Mapping[str, int]], Size] = pipeline.edges
) -> list[Step]:
    """image_processing_pil_detr.py, ``_preprocess``: no crop, and a mask with the padding."""
    pipeline.ignore_crop(reader)
    steps = [*pipeline.convert_rgb(reader), *pipeline.resize_by_edges(reader, reference, to_size)]
    steps += pipeline.rescale_normalize(reader, reference)
    return [*steps, *pipeline.pad(reader, steps, _MASK)]


def _yolos_size(keys: Mapping[str, int]) -> Size:
    """Edges have a rule of their own, and multiples of 16 (image_processing_pil_yolos.py:249)."""
    if "shortest_edge" not in keys:
        return pipeline.edges(keys)
    return Size(scaled_shortest_edge=keys["shortest_edge"], scaled_longest_edge=keys["longest_edge"], floor_to=16)


def _rf_detr_steps(reader: Reader, reference: str) -> list[Step]:
    """Rescales first, so that it resizes floats, and without antialiasing (image_processing_rf_detr.py:335)."""
    pipeline.ignore_crop(reader)
    steps = pipeline.convert_rgb(reader)
    rescaled = reader.flag("do_rescale")
    if rescaled:
        if isinstance(reader.values.get("rescale_factor"), int):
            reader.problem("rescale_factor", "a float, for torch multiplies pixels by an integer in uint8")
        steps.append(Rescale(reader.number("rescale_factor"), precision="float32"))
    if reader.flag("do_resize"):
        size, filter = pipeline.edges(reader.size_keys("size", pipeline.EDGES)), reader.filter()
        if rescaled:
            steps.append(Interpolate(size, filter, antialias=False))
        else:
            steps.append(Resize(size, filter, "pillow12.1", "torchvision", antialias=False))
    if reader.flag("do_normalize"):
        if not rescaled:
            reader.problem("do_rescale", "true, for torch does not normalize uint8; or do_normalize false")
        steps.append(Normalize(reader.per_channel("image_mean"), reader.per_channel("image_std", nonzero=True)))
    return [*steps, *pipeline.pad(reader, steps, _MASK)]


def _owl_legacy(config: Config) -> Config:
    """Early configs have ``rescale`` as a flag (image_processing_pil_owlvit.py, ``__init__``)."""
    return {**config, "do_rescale": config["rescale"]} if "rescale" in config else config


def _owlv2_steps(reader: Reader, reference: str) -> list[Step]:
    """Rescales, pads to a square and resizes as scikit-image does, all in floats.

    image_processing_pil_owlv2.py, ``_preprocess``, which passes ``resample`` on as ``anti_aliasing``; the torchvision
    class reads none.
    """
    pipeline.ignore_crop(reader)
    torchvision = reference == "torchvision"
    steps = pipeline.convert_rgb(reader)
    rescaled, resized, padded = (reader.flag(key) for key in ("do_rescale", "do_resize", "do_pad"))
    if rescaled:
        if torchvision and isinstance(reader.values.get("rescale_factor"), int):
            reader.problem("rescale_factor", "a float, for torch multiplies pixels by an integer in uint8")
        precision = "float32" if torchvision else "float64"
        steps.append(Rescale(reader.number("rescale_factor"), precision=precision))
    if padded:
        steps.append(Pad(Size(square=1)))
    if resized:
        if not rescaled:
            reader.problem("do_rescale", "true, for the blur of uint8 is not supported; or do_resize false")
        if torchvision and not padded:
            reader.problem("do_pad", "true, for torchvision's blur is supported on squares only")
        height, width = reader.exact_size("size")
        blur = torchvision or reader.filter() != "nearest"
        if not reader.problems:
            steps.append(
                ResizeSmoothed(Size(height=height, width=width), "torchvision" if torchvision else "scipy", blur)
            )
    elif torchvision:
        reader.problem("do_resize", "true, without which transformers' torchvision class fails")
    if reader.flag("do_normalize"):
        steps.append(Normalize(reader.per_channel("image_mean"), reader.per_channel("image_std", nonzero=True)))
    return steps


_DETR = defaults(_EDGES, **IMAGENET, resample=BILINEAR, default_to_square=False, do_pad=True)
_KEYS = ("format", "do_convert_annotations")
_LEGACY_KEYS = (*_KEYS, "max_size", "pad_and_return_pixel_mask")


def _detr_family(name: str, *model_types: str, postprocess: tuple[Postprocess, ...]) -> Family:
    """DETR's row under another name."""
    return Family(
        name,
        model_types,
        _DETR,
        own_keys=_LEGACY_KEYS,
        legacy=_detr_legacy,
        steps=_detr_steps,
        postprocess=postprocess,
    )


def _masks(null_class: bool) -> QuerySegmentation:
    """Of models ``ForSegmentation`` (image_processing_detr.py:876, image_processing_conditional_detr.py:883)."""
    return QuerySegmentation("logits", "pred_masks", null_class)


_HUNDRED = ObjectDetection(form="top_k", top_k=100)
# No config says use_focal_loss=False, with which transformers' RTDetr class takes the softmax over the batch.
_QUERIES = ObjectDetection(form="top_k")


FAMILIES = (
    _detr_family("ConditionalDetr", "conditional_detr", postprocess=(_HUNDRED, _masks(null_class=False))),
    _detr_family("DeformableDetr", "deformable_detr", "lw_detr", postprocess=(_HUNDRED,)),
    _detr_family(
        "Detr", "detr", "omdet-turbo", "table-transformer", postprocess=(ObjectDetection(), _masks(null_class=True))
    ),
    _detr_family(
        "GroundingDino",
        "grounding-dino",
        "mm-grounding-dino",
        postprocess=(ObjectDetection(form="sigmoid", threshold=0.1),),
    ),
    Family(
        "Owlv2",
        ("owlv2",),
        defaults(square(960), **CLIP, resample=BILINEAR, do_convert_rgb=True, do_pad=True),
        own_keys=("rescale",),
        legacy=_owl_legacy,
        steps=_owlv2_steps,
        postprocess=(ObjectDetection(form="sigmoid", square=True, threshold=0.1),),
    ),
    Family(
        "OwlViT",
        ("owlvit",),
        defaults(square(768), **CLIP, do_center_crop=False, crop_size=square(768), do_convert_rgb=True),
        own_keys=("rescale",),
        legacy=_owl_legacy,
        postprocess=(ObjectDetection(form="sigmoid", threshold=0.1),),
    ),
    Family(
        "RfDetr",
        ("rf_detr",),
        _DETR,
        own_keys=_LEGACY_KEYS,
        legacy=_detr_legacy,
        steps=_rf_detr_steps,
        has_pil=False,
        postprocess=(_QUERIES,),
    ),
    Family(
        "RTDetr",
        ("deimv2", "rt_detr"),
        defaults(
            square(640), **IMAGENET, resample=BILINEAR, default_to_square=False, do_normalize=False, do_pad=False
        ),
        own_keys=_KEYS,
        steps=_detr_steps,
        postprocess=(_QUERIES,),
    ),
    Family(
        "Yolos",
        ("yolos",),
        _DETR,
        own_keys=_LEGACY_KEYS,
        legacy=_detr_legacy,
        steps=partial(_detr_steps, to_size=_yolos_size),
        postprocess=(ObjectDetection(),),
    ),
)  # fmt: skip
