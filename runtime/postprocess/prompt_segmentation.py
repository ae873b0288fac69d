"""The pixels that a prompt asks for, as ``post_process_semantic_segmentation`` of Sam3's class gives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from .object_detection import check_threshold, least
from .semantic_segmentation import segments

NAMES = ("background", "prompt")


@dataclass(frozen=True)
class PromptSegmentation:
    """Whether a pixel's probability is above a threshold, once it is resized to the image: bilinear, not antialiased.

    image_processing_sam3.py:721. Probabilities are rounded from float64, and torch's a unit in the last place or two
    away: the pixels that are so near to the threshold may differ.

    Attributes:
        logits: the name of the model's output ``[batch, 1, height, width]``.
        threshold: 1 is above it, and 0 elsewhere.
    """

    logits: str = "semantic_seg"
    threshold: float = 0.5

    method: ClassVar = "semantic_segmentation"
    reads: ClassVar = ("logits",)
    optional: ClassVar = ()
    outputs: ClassVar = {
        "segmentation": ("batch", "height", "width"),
        "segmentation_scores": ("batch", "height", "width"),
    }

    def __post_init__(self) -> None:
        check_threshold(self.threshold)

    def __str__(self) -> str:
        return f"semantic segmentation: sigmoid of {self.logits} resized to the image, above {self.threshold}"

    def run(self, xp: Any, read: Mapping[str, Any], size: tuple[Any, Any]) -> dict[str, Any]:
        """int64 ``segmentation`` and float32 ``segmentation_scores``, ``[batch, height, width]`` of the image."""
        scores = xp.at(xp.interpolate(xp.sigmoid(read["logits"]), size, "bilinear"), 0, 1)
        return {"segmentation": xp.int64(scores > self.threshold), "segmentation_scores": scores}

    def result(
        self, outputs: Mapping[str, Any], labels: Sequence[str], threshold: float | None = None
    ) -> dict[str, Any]:
        """Of one image: ``segmentation``, int64 ``[height, width]``, and ``labels``: what its numbers mean.

        Args:
            outputs: of :meth:`run`, without their first axis.
            labels: not read, for the prompt says what they are.
            threshold: of the scores, in place of the attribute.
        """
        return segments((outputs["segmentation_scores"] > least(self.threshold, threshold)).astype("int64"), NAMES)
