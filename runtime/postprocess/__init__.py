"""What is done with a model's outputs: one file a method of transformers' ``post_process_*``, and its frozen dataclass.

``run`` is written once, over a namespace of tensors: :class:`.tensors.Tensors` is NumPy's, which is the reference, and
:class:`.tensors_onnx.Tensors` adds nodes to a graph. ``result`` makes plain Python of one image's outputs.
"""

from __future__ import annotations

from .depth_estimation import DepthEstimation, InverseDepthEstimation
from .image_classification import ImageClassification
from .image_matting import ImageMatting
from .keypoint_detection import KeypointDetection
from .keypoint_matching import KeypointMatching
from .layout_detection import LayoutDetection
from .masks import Masks
from .normal_estimation import NormalEstimation
from .object_detection import ObjectDetection
from .painted_segmentation import PaintedSegmentation
from .pointmap_estimation import PointmapEstimation
from .prompt_detection import PromptDetection
from .prompt_segmentation import PromptSegmentation
from .query_segmentation import QuerySegmentation
from .semantic_segmentation import SemanticSegmentation
from .table_recognition import TableRecognition
from .text_recognition import TextRecognition

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

POSTPROCESSORS: dict[str, type[Postprocess]] = {
    "depth_estimation": DepthEstimation,
    "image_classification": ImageClassification,
    "image_matting": ImageMatting,
    "inverse_depth_estimation": InverseDepthEstimation,
    "keypoint_detection": KeypointDetection,
    "keypoint_matching": KeypointMatching,
    "layout_detection": LayoutDetection,
    "masks": Masks,
    "normal_estimation": NormalEstimation,
    "object_detection": ObjectDetection,
    "painted_segmentation": PaintedSegmentation,
    "pointmap_estimation": PointmapEstimation,
    "prompt_detection": PromptDetection,
    "prompt_segmentation": PromptSegmentation,
    "query_segmentation": QuerySegmentation,
    "semantic_segmentation": SemanticSegmentation,
    "table_recognition": TableRecognition,
    "text_recognition": TextRecognition,
}
"""By their names in a Plan's JSON. ``method`` is what transformers calls it, behind ``post_process_``."""

__all__ = [
    "POSTPROCESSORS",
    "DepthEstimation",
    "ImageClassification",
    "ImageMatting",
    "InverseDepthEstimation",
    "KeypointDetection",
    "KeypointMatching",
    "LayoutDetection",
    "Masks",
    "NormalEstimation",
    "ObjectDetection",
    "PaintedSegmentation",
    "PointmapEstimation",
    "Postprocess",
    "PromptDetection",
    "PromptSegmentation",
    "QuerySegmentation",
    "SemanticSegmentation",
    "TableRecognition",
    "TextRecognition",
]
