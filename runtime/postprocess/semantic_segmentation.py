"""A class for each pixel of the image, as transformers' ``post_process_semantic_segmentation`` gives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from .image_classification import name_of


@dataclass(frozen=True)
class SemanticSegmentation:
    """The class whose logits are largest, once they are resized to the image: bilinear, not antialiased.

    image_processing_segformer.py:192, and the same in the other families whose models give logits a pixel.

    Attributes:
        logits: the name of the model's output ``[batch, classes, height, width]``.
    """

    logits: str = "logits"

    method: ClassVar = "semantic_segmentation"
    reads: ClassVar = ("logits",)
    optional: ClassVar = ()
    outputs: ClassVar = {"segmentation": ("batch", "height", "width")}

    def __str__(self) -> str:
        return f"semantic segmentation: {self.logits} resized to the image, bilinear, and the largest of each pixel"

    def run(self, xp: Any, read: Mapping[str, Any], size: tuple[Any, Any]) -> dict[str, Any]:
        """int64 ``segmentation`` ``[batch, height, width]``, of the image's size."""
        return {"segmentation": xp.largest_channel(read["logits"], size)}

    def result(self, outputs: Mapping[str, Any], labels: Sequence[str]) -> dict[str, Any]:
        """Of one image: ``segmentation``, int64 ``[height, width]``, and ``labels``, the names of the classes in it."""
        return segments(outputs["segmentation"], labels)


def segments(segmentation: Any, labels: Sequence[str]) -> dict[str, Any]:
    """A mask of classes, and the names of those in it by number."""
    present = sorted(set(segmentation.ravel().tolist()))
    return {"segmentation": segmentation, "labels": {label: name_of(label, labels) for label in present}}
