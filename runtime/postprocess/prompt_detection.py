"""What a prompt asks for in an image, as transformers' Sam3 class gives it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from .object_detection import check_threshold, found, in_pixels, least


@dataclass(frozen=True)
class PromptDetection:
    """The scores of a model's queries, and their boxes in the image's pixels (image_processing_sam3.py:806).

    The boxes are transformers' to the bit, the scores as those of :class:`.object_detection.ObjectDetection`.

    Attributes:
        logits: the name of the model's output ``[batch, queries]``.
        boxes: of its output ``[batch, queries, 4]``: xmin, ymin, xmax and ymax, from 0 to 1.
        presence: of its output ``[batch, 1]``, that there is anything at all; empty of a model without it.
        threshold: :meth:`result` gives the objects whose scores are above it, unless told otherwise.
    """

    logits: str = "pred_logits"
    boxes: str = "pred_boxes"
    presence: str = "presence_logits"
    threshold: float = 0.3

    method: ClassVar = "object_detection"
    reads: ClassVar = ("logits", "boxes", "presence")
    optional: ClassVar = ("presence",)
    outputs: ClassVar = {"scores": ("batch", "queries"), "boxes": ("batch", "queries", 4)}

    def __post_init__(self) -> None:
        check_threshold(self.threshold)

    def __str__(self) -> str:
        presence = f" times that of {self.presence}" if self.presence else ""
        return f"object detection: sigmoid of {self.logits}{presence}; {self.boxes} in pixels of the image"

    def run(self, xp: Any, read: Mapping[str, Any], size: tuple[Any, Any]) -> dict[str, Any]:
        """float32 ``scores`` ``[batch, queries]`` and ``boxes`` ``[batch, queries, 4]``: xmin, ymin, xmax, ymax."""
        scores = xp.sigmoid(read["logits"])
        if "presence" in read:
            scores = scores * xp.sigmoid(read["presence"])
        return {"scores": scores, "boxes": in_pixels(xp, read["boxes"], size)}

    def result(
        self, outputs: Mapping[str, Any], labels: Sequence[str], threshold: float | None = None
    ) -> list[dict[str, Any]]:
        """Of one image: ``[{"score": 0.9, "box": [xmin, ymin, xmax, ymax]}, …]``, in the outputs' order.

        Args:
            outputs: of :meth:`run`, without their first axis.
            labels: not read, for the prompt says what they are.
            threshold: of their scores, in place of the attribute.
        """
        above = outputs["scores"] > least(self.threshold, threshold)
        return found({name: value[above] for name, value in outputs.items()}, labels)
