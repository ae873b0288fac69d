"""Families of key points: of one image, and matched between the two images of a pair."""

from __future__ import annotations

from runtime.ops import Grayscale, Step
from runtime.postprocess import KeypointDetection, KeypointMatching, Postprocess

from .. import pipeline
from ..family import BILINEAR, Config, Family, defaults
from ..reader import Reader


def _superpoint_steps(reader: Reader, reference: str) -> list[Step]:
    """Gray after the rescale in the PIL class, before the resize in torchvision's, where it is uint8.

    image_processing_pil_superpoint.py, ``_preprocess``; image_processing_superpoint.py, ``_preprocess``.
    """
    if reference == "torchvision":
        resized = [*_grayscale(reader, reference), *pipeline.resize(reader, reference)]
        return [*pipeline.convert_rgb(reader), *resized, *pipeline.rescale(reader, reference)]
    return _matching_steps(reader, reference)


def _matching_steps(reader: Reader, reference: str) -> list[Step]:
    """Gray after the rescale (image_processing_pil_superglue.py, ``_preprocess``); nothing reads ``do_normalize``."""
    rescaled = [*pipeline.resize(reader, reference), *pipeline.rescale(reader, reference)]
    gray = _grayscale(reader, reference)
    if gray and reference != "torchvision" and not reader.flag("do_rescale"):
        reader.problems.append("do_grayscale: without do_rescale the PIL class gives float64; set do_rescale to true")
    return [*pipeline.convert_rgb(reader), *rescaled, *gray]


def _grayscale(reader: Reader, reference: str) -> list[Step]:
    return [Grayscale(fused=reference == "torchvision")] if reader.flag("do_grayscale") else []


def _family(name: str, model_type: str, group: str, do_grayscale: bool, postprocess: Postprocess) -> Family:
    return Family(
        name,
        (model_type,),
        _defaults(do_grayscale),
        own_keys=("do_grayscale",),
        steps=_matching_steps if group else _superpoint_steps,
        group=group,
        postprocess=(postprocess,),
    )


def _defaults(do_grayscale: bool) -> Config:
    size = {"height": 480, "width": 640}
    return {
        **defaults(size, resample=BILINEAR, default_to_square=False, do_grayscale=do_grayscale),
        "do_normalize": None,
    }


FAMILIES = (
    _family("EfficientLoFTR", "efficientloftr", "pair", True, KeypointMatching(mask="")),
    _family("LightGlue", "lightglue", "pair", True, KeypointMatching()),
    _family("SuperGlue", "superglue", "pair", True, KeypointMatching()),
    _family("SuperPoint", "superpoint", "", False, KeypointDetection()),
)
