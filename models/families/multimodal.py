"""Families of models that read text beside images, but those whose images go through a classifier's steps."""

from __future__ import annotations

from runtime.ops import Branch, InferLayout, Pad, Rescale, Step
from runtime.ops.size import Size

from .. import pipeline
from ..family import CLIP, LANCZOS, LEGACY_KEYS, Family, defaults, legacy_nulls, square
from ..reader import Reader

LAPLACE = 0.1
"""FLAVA's codebook gets values from this to 1 minus this (image_processing_pil_flava.py:60)."""


def _deepseek_steps(reader: Reader, reference: str) -> list[Step]:
    """Padded to a square with the mean's colour (image_processing_pil_deepseek_vl.py:145)."""
    steps = [*pipeline.convert_rgb(reader), *_longest_edge(reader, reference), *_square(reader)]
    return [*steps, *pipeline.rescale_normalize(reader, reference)]


def _hybrid_steps(reader: Reader, reference: str) -> list[Step]:
    """The small image is made of the large one, padded and in uint8 (image_processing_pil_deepseek_vl_hybrid.py:185).

    The torchvision class fails without the resize or the padding (image_processing_deepseek_vl_hybrid.py:185).
    """
    large = reader.under("high_res_")
    _colour(reader)
    _colour(large)
    reader.loadable_size("high_res_size")
    if reference == "torchvision":
        for key in ("do_resize", "do_pad"):
            if not reader.flag(key):
                reader.problem(key, "true, without which transformers' torchvision class fails")
    small: list[Step] = []
    steps = pipeline.convert_rgb(reader)
    if reader.flag("do_resize"):
        steps += [*_longest_edge(large, reference, reader), *_square(large)]
        small = _longest_edge(reader, reference)  # of a square, which needs no padding
    steps.append(Branch("high_res_pixel_values", tuple(pipeline.rescale_normalize(large, reference))))
    return [*steps, *small, *pipeline.rescale_normalize(reader, reference)]


def _longest_edge(reader: Reader, reference: str, usual: Reader | None = None) -> list[Step]:
    """The long side becomes ``size``, and neither is less than ``min_size`` (image_processing_pil_deepseek_vl.py:79).

    The PIL class takes the filter of ``usual``, if it is given, in place of none and of nearest, whose number is 0; the
    torchvision class takes bilinear in place of none.
    """
    if not reader.flag("do_resize"):
        return []
    height, width = reader.exact_size("size")
    if height != width:
        reader.problem("size", "height and width to be the same")
    least = reader.integer("min_size", 0)
    size = Size(rounded_longest_edge=height, min_edge=least) if least else Size(rounded_longest_edge=height)
    filter = "bilinear"
    if usual is not None and reference != "torchvision" and reader.values.get("resample") in (None, 0):
        filter = usual.filter()
    elif usual is None or reader.values.get("resample") is not None:
        filter = reader.filter()
    return [pipeline.resize_to(size, filter, reference)]


def _square(reader: Reader) -> list[Step]:
    colour = _colour(reader)
    return [_padded(reader, colour)] if reader.flag("do_pad") else []


def _padded(reader: Reader, colour: tuple[float, ...]) -> Pad:
    if not all(0 <= value <= 255 for value in colour):
        reader.problem("image_mean", "numbers from 0 to 1, for they are the colour of the padding too")
    return Pad(Size(square=1), colour, centered=True)


def _colour(reader: Reader) -> tuple[float, ...]:
    """The mean as 0 to 255, or gray without one; constructors read it even where nothing is padded."""
    mean = reader.values.get("image_mean")
    if mean is None:
        return (127.0,) * 3
    if not isinstance(mean, (list, tuple)):
        reader.problem("image_mean", "a list, for it is the colour of the padding too")
        return (0.0,)
    return tuple(float(int(mean * 255)) for mean in reader.per_channel("image_mean"))


def _llava_steps(reader: Reader, reference: str) -> list[Step]:
    """Padded to a square before the resize (image_processing_pil_llava.py:107); ``pad_size`` is never read.

    Without a mean the PIL class pads with black, and the torchvision class fails.
    """
    padding: list[Step] = []
    if reader.flag("do_pad"):
        black = not reader.values.get("image_mean")
        if black and reference == "torchvision":
            reader.problem("image_mean", "a list, for it is the colour of the padding too")
        padding = [_padded(reader, (0.0,) if black else _colour(reader))]
    steps = [*pipeline.convert_rgb(reader), *padding, *pipeline.resize(reader, reference)]
    return [*steps, *pipeline.center_crop(reader, reference), *pipeline.rescale_normalize(reader, reference)]


def _flava_steps(reader: Reader, reference: str) -> list[Step]:
    """The codebook's image has keys of its own, and its values are mapped (image_processing_pil_flava.py:402)."""
    if reader.flag("return_image_mask"):
        reader.problem("return_image_mask", "false, for the mask is random")
    inner = reader.under("codebook_")
    for key in ("codebook_size", "codebook_crop_size"):
        reader.loadable_size(key)
    codebook: list[Step] = []
    if reader.flag("return_codebook_pixels"):
        steps = [*pipeline.resize(inner, reference), *pipeline.center_crop(inner, reference)]
        scaled = pipeline.rescale_normalize(inner, reference)
        if inner.flag("do_map_pixels"):
            if not scaled and reference != "torchvision":
                inner.problem(
                    "do_map_pixels", "false without codebook_do_rescale, for the PIL class gives float64 then"
                )
            scaled.append(Rescale(1 - 2 * LAPLACE, -LAPLACE, "float32"))
        codebook = [Branch("codebook_pixel_values", (*steps, *scaled))]
    rest = [*pipeline.resize(reader, reference), *pipeline.center_crop(reader, reference)]
    return [*pipeline.convert_rgb(reader), *codebook, *rest, *pipeline.rescale_normalize(reader, reference)]


def _video_llava_steps(reader: Reader, reference: str) -> list[Step]:
    """A class older than the backends (image_processing_video_llava.py:343); its videos go through another one."""
    steps = [*pipeline.convert_rgb(reader), InferLayout(), *pipeline.resize_short(reader, reference)]
    return [*steps, *pipeline.center_crop(reader, reference), *pipeline.rescale_normalize(reader, reference)]


_DEEPSEEK = defaults(square(384), **CLIP, min_size=14, do_pad=True)

_CODEBOOK = {
    "return_codebook_pixels": False, "codebook_do_resize": True, "codebook_size": square(112),
    "codebook_resample": LANCZOS, "codebook_do_center_crop": True, "codebook_crop_size": square(112),
    "codebook_do_rescale": True, "codebook_rescale_factor": 1 / 255, "codebook_do_map_pixels": True,
    "codebook_do_normalize": True, "codebook_image_mean": [0.0, 0.0, 0.0], "codebook_image_std": [1.0, 1.0, 1.0],
}  # fmt: skip

_HIGH_RES = {
    "high_res_size": square(1024), "high_res_resample": _DEEPSEEK["resample"],
    **{f"high_res_{key}": value for key, value in CLIP.items()},
}  # fmt: skip

_MASK = {
    "return_image_mask": False, "input_size_patches": 14, "total_mask_patches": 75, "mask_group_min_patches": 16,
    "mask_group_max_patches": None, "mask_group_min_aspect_ratio": 0.3, "mask_group_max_aspect_ratio": None,
}  # fmt: skip


def _deepseek(name: str, model_type: str) -> Family:
    return Family(
        name,
        (model_type,),
        _DEEPSEEK,
        own_keys=("min_size",),
        written=("background_color",),
        steps=_deepseek_steps,
    )


FAMILIES = (
    _deepseek("DeepseekVL", "deepseek_vl"),
    Family(
        "DeepseekVLHybrid",
        ("deepseek_vl_hybrid",),
        {**_DEEPSEEK, **_HIGH_RES},
        own_keys=("min_size", *_HIGH_RES),
        written=("background_color", "high_res_background_color"),
        steps=_hybrid_steps,
    ),
    Family(
        "Flava",
        ("flava",),
        {**defaults(square(224), 224, **CLIP), **_CODEBOOK, **_MASK},
        own_keys=(*_CODEBOOK, *_MASK),
        steps=_flava_steps,
    ),
    _deepseek("Janus", "janus"),
    Family(
        "Llava",
        ("llava",),
        defaults({"shortest_edge": 224}, 224, **CLIP, default_to_square=False, do_convert_rgb=True, do_pad=False),
        steps=_llava_steps,
    ),
    Family(
        "VideoLlava",
        ("video_llava",),
        defaults({"shortest_edge": 224}, 224, **CLIP, default_to_square=False, do_convert_rgb=True),
        shared_keys=(*LEGACY_KEYS, "do_convert_rgb"),
        legacy=legacy_nulls,
        steps=_video_llava_steps,
        has_torchvision=False,
        output="pixel_values_images",
    ),
)
