"""Which post-processing a model's outputs want."""

from __future__ import annotations

from collections.abc import Mapping

from runtime.errors import UnsupportedConfig
from runtime.plan import Plan
from runtime.postprocess import ImageClassification, Postprocess

from .families import FAMILIES
from .reader import nearest

CLASSIFICATION = "image_classification"

TASKS: Mapping[str, str] = {
    "ImageClassification": CLASSIFICATION,
    "ImageClassificationWithTeacher": CLASSIFICATION,
    "VideoClassification": CLASSIFICATION,
    "SemanticSegmentation": "semantic_segmentation",
    "UniversalSegmentation": "semantic_segmentation",
    "InstanceSegmentation": "semantic_segmentation",
    "ImageSegmentation": "semantic_segmentation",
    "Segmentation": "semantic_segmentation",
    "ObjectDetection": "object_detection",
    "KeypointDetection": "keypoint_detection",
    "KeypointMatching": "keypoint_matching",
    "DepthEstimation": "depth_estimation",
    "NormalEstimation": "normal_estimation",
    "PointmapEstimation": "pointmap_estimation",
    "ImageMatting": "image_matting",
    "SamModel": "masks",
    "SamHQModel": "masks",
    "Sam2Model": "masks",
    "EdgeTamModel": "masks",
    "Sam3TrackerModel": "masks",
    "TextRecognition": "text_recognition",
    "TableRecognition": "table_recognition",
}
"""What a model is for, behind ``For`` in the name of its architecture, and the method that belongs to it.

By the whole name where there is no ``For`` in it.
"""


def methods(plan: Plan) -> dict[str, Postprocess]:
    """What can be done with the outputs of a model behind ``plan``, by the name of transformers' method."""
    family = FAMILIES.get(plan.family)
    rows = family.postprocess if family else ()
    made = [row if isinstance(row, Postprocess) else row(plan) for row in rows]
    return {CLASSIFICATION: ImageClassification(function=_function(plan)), **{item.method: item for item in made}}


def _function(plan: Plan) -> str:
    """What makes scores of a classifier's logits (pipelines/image_classification.py:197)."""
    if plan.problem_type == "regression":
        return "none"
    return "sigmoid" if plan.problem_type == "multi_label_classification" or len(plan.labels) == 1 else "softmax"


def of_architecture(plan: Plan) -> Postprocess | None:
    """What the architecture in ``config.json`` asks for; ``None`` where it does not say, or there is none of it."""
    task = TASKS.get(plan.architecture.rpartition("For")[2])
    return None if task is None else methods(plan).get(task)


def named(plan: Plan, name: str) -> Postprocess:
    """The method called ``name``.

    Raises:
        UnsupportedConfig: the family has none of this name; the message lists those it has.
    """
    known = methods(plan)
    if name not in known:
        raise UnsupportedConfig(
            f"postprocess: {plan.family or 'this source'} has no {name}{nearest(name, list(known))}; it has"
            f" {', '.join(known)}"
        )
    return known[name]
