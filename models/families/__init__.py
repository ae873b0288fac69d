"""Every processor family, one row each, in a file a kind of task.

Defaults are the class attributes of transformers 5.23, ``models/*/image_processing_pil_*.py``. A family whose steps
are not the shared ones names a function of its own, with the reason.
"""

from __future__ import annotations

from ..family import Family
from . import (
    classification,
    depth,
    detection,
    documents,
    matching,
    multimodal,
    paddle,
    restoration,
    segmentation,
    video,
)

_FAMILIES = (
    *classification.FAMILIES,
    *detection.FAMILIES,
    *segmentation.FAMILIES,
    *multimodal.FAMILIES,
    *documents.FAMILIES,
    *paddle.FAMILIES,
    *depth.FAMILIES,
    *matching.FAMILIES,
    *restoration.FAMILIES,
    *video.FAMILIES,
)

FAMILIES: dict[str, Family] = {family.name: family for family in sorted(_FAMILIES, key=lambda f: f.name.lower())}
"""By transformers' name."""

MODEL_TYPES: dict[str, Family] = {model_type: family for family in _FAMILIES for model_type in family.model_types}
"""By the ``model_type`` of a model's ``config.json``."""
