"""What is done with a model's outputs: one file a method of transformers' ``post_process_*``, and its frozen dataclass.

``run`` is written once, over a namespace of tensors: :class:`.tensors.Tensors` is NumPy's, which is the reference, and
:class:`.tensors_onnx.Tensors` adds nodes to a graph. ``result`` makes plain Python of one image's outputs.
"""

from __future__ import annotations

import functools
import operator
from typing import TYPE_CHECKING, Any

from ..registry import Registry

if TYPE_CHECKING:
    from .depth_estimation import DepthEstimation as DepthEstimation
    from .image_classification import ImageClassification as ImageClassification
    from .image_matting import ImageMatting as ImageMatting
    from .inverse_depth_estimation import InverseDepthEstimation as InverseDepthEstimation
    from .keypoint_detection import KeypointDetection as KeypointDetection
    from .keypoint_matching import KeypointMatching as KeypointMatching
    from .layout_detection import LayoutDetection as LayoutDetection
    from .masks import Masks as Masks
    from .normal_estimation import NormalEstimation as NormalEstimation
    from .object_detection import ObjectDetection as ObjectDetection
    from .painted_segmentation import PaintedSegmentation as PaintedSegmentation
    from .pointmap_estimation import PointmapEstimation as PointmapEstimation
    from .prompt_detection import PromptDetection as PromptDetection
    from .prompt_segmentation import PromptSegmentation as PromptSegmentation
    from .query_segmentation import QuerySegmentation as QuerySegmentation
    from .semantic_segmentation import SemanticSegmentation as SemanticSegmentation
    from .table_recognition import TableRecognition as TableRecognition
    from .text_recognition import TextRecognition as TextRecognition

    Postprocess = (
        DepthEstimation
        | ImageClassification
        | ImageMatting
        | InverseDepthEstimation
        | KeypointDetection
        | KeypointMatching
        | LayoutDetection
        | Masks
        | NormalEstimation
        | ObjectDetection
        | PaintedSegmentation
        | PointmapEstimation
        | PromptDetection
        | PromptSegmentation
        | QuerySegmentation
        | SemanticSegmentation
        | TableRecognition
        | TextRecognition
    )

POSTPROCESSORS: Registry[Postprocess] = Registry(
    __name__,
    {
        "depth_estimation": "DepthEstimation",
        "image_classification": "ImageClassification",
        "image_matting": "ImageMatting",
        "inverse_depth_estimation": "InverseDepthEstimation",
        "keypoint_detection": "KeypointDetection",
        "keypoint_matching": "KeypointMatching",
        "layout_detection": "LayoutDetection",
        "masks": "Masks",
        "normal_estimation": "NormalEstimation",
        "object_detection": "ObjectDetection",
        "painted_segmentation": "PaintedSegmentation",
        "pointmap_estimation": "PointmapEstimation",
        "prompt_detection": "PromptDetection",
        "prompt_segmentation": "PromptSegmentation",
        "query_segmentation": "QuerySegmentation",
        "semantic_segmentation": "SemanticSegmentation",
        "table_recognition": "TableRecognition",
        "text_recognition": "TextRecognition",
    },
)
"""By their names in a Plan's JSON. ``method`` is what transformers calls it, behind ``post_process_``."""


def __getattr__(name: str) -> Any:
    if name == "Postprocess":
        return functools.reduce(operator.or_, POSTPROCESSORS.values())
    return POSTPROCESSORS.attribute(name)
