"""What is done with a model's outputs: one file a method of transformers' ``post_process_*``, and its frozen dataclass.

``run`` is written once, over a namespace of tensors: :class:`.tensors.Tensors` is NumPy's, which is the reference, and
:class:`.tensors_onnx.Tensors` adds nodes to a graph. ``result`` makes plain Python of one image's outputs.
"""

from __future__ import annotations

from .image_classification import ImageClassification
from .semantic_segmentation import SemanticSegmentation

Postprocess = ImageClassification | SemanticSegmentation

POSTPROCESSORS: dict[str, type[Postprocess]] = {
    "image_classification": ImageClassification,
    "semantic_segmentation": SemanticSegmentation,
}
"""By their names in a Plan's JSON. ``method`` is what transformers calls it, behind ``post_process_``."""

__all__ = ["POSTPROCESSORS", "ImageClassification", "Postprocess", "SemanticSegmentation"]
