"""Parts of a document in their reading order, as transformers' PP-DocLayout classes give them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .object_detection import best_pairs, check_threshold, corners, found, in_pixels, least


@dataclass(frozen=True)
class LayoutDetection:
    """Objects and their places in the reading order (image_processing_pp_doclayout_v2.py:125).

    As many as there are queries: the largest logits of all queries and classes. A query's place is the number of those
    whose votes are fewer: the sum of the sigmoids with which others come before it. transformers sums them in float32,
    so the places of queries whose votes differ by such a rounding may be exchanged.

    PPDocLayoutV3 gives polygons too, which OpenCV finds in its masks; they are left out here.

    Attributes:
        logits: the name of the model's output ``[batch, queries, classes]``.
        boxes: of its output ``[batch, queries, 4]``: x and y of the centre, width and height, all from 0 to 1.
        order_logits: of its output ``[batch, queries, queries]``: that the one comes before the other.
        threshold: :meth:`result` gives the objects whose scores are not below it, unless told otherwise.
    """

    logits: str = "logits"
    boxes: str = "pred_boxes"
    order_logits: str = "order_logits"
    threshold: float = 0.5

    method: ClassVar = "object_detection"
    reads: ClassVar = ("logits", "boxes", "order_logits")
    optional: ClassVar = ()
    outputs: ClassVar = {
        "scores": ("batch", "queries"),
        "labels": ("batch", "queries"),
        "boxes": ("batch", "queries", 4),
        "order_seq": ("batch", "queries"),
    }

    def __post_init__(self) -> None:
        check_threshold(self.threshold)

    def __str__(self) -> str:
        return (
            f"object detection: sigmoid of {self.logits}, the number of queries largest; {self.boxes} in pixels of the"
            f" image; {self.order_logits} as the reading order"
        )

    def run(self, xp: Any, read: Mapping[str, Any], size: tuple[Any, Any]) -> dict[str, Any]:
        """``scores`` float32, falling, ``labels`` and ``order_seq`` int64 ``[batch, queries]``, and ``boxes``.

        ``boxes`` are float32 ``[batch, queries, 4]``: xmin, ymin, xmax, ymax.
        """
        boxes = in_pixels(xp, corners(xp, read["boxes"]), size)
        scores, queries, labels = best_pairs(xp, read["logits"], 0)
        before = xp.sigmoid(read["order_logits"])
        votes = xp.sum(xp.triu(before), 1) + xp.sum(xp.triu(1.0 - before), 2)
        places = xp.argsort(xp.argsort(votes))
        return {
            "scores": scores,
            "labels": labels,
            "boxes": xp.take_rows(boxes, queries),
            "order_seq": xp.take_rows(places, queries),
        }

    def result(
        self, outputs: Mapping[str, Any], labels: Sequence[str], threshold: float | None = None
    ) -> list[dict[str, Any]]:
        """Of one image, in reading order: ``[{"label": "text", "score": 0.9, "box": [xmin, ymin, xmax, ymax]}, …]``.

        Args:
            outputs: of :meth:`run`, without their first axis.
            labels: names of the classes.
            threshold: of their scores, in place of the attribute.
        """
        kept = np.flatnonzero(outputs["scores"] >= least(self.threshold, threshold))
        kept = kept[np.argsort(outputs["order_seq"][kept], kind="stable")]
        return found({name: value[kept] for name, value in outputs.items()}, labels)
