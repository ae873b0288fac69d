"""Points that two images share, as transformers' ``post_process_keypoint_matching`` gives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from .object_detection import check_threshold, least


@dataclass(frozen=True)
class KeypointMatching:
    """Keypoints of the first image and their matches in the second, in whole pixels: transformers' to the bit.

    Both images have the size of the ones in the batch.

    Attributes:
        keypoints: the name of the model's output ``[pairs, 2, keypoints, 2]``: x and y, from 0 to 1.
        matches: of its output ``[pairs, 2, keypoints]``: of a keypoint, the number of its match among those of the
            other image, or -1.
        matching_scores: of its output ``[pairs, 2, keypoints]``.
        mask: of its output ``[pairs, 2, keypoints]``, which is 0 where an image has fewer keypoints than others; the
            matches count those where it is 1 (image_processing_superglue.py:194). Empty of a model without it, whose
            two sides are matched in their order, each where it says so (image_processing_efficientloftr.py:180).
        threshold: :meth:`result` gives the matches whose scores are above it, unless told otherwise.
    """

    keypoints: str = "keypoints"
    matches: str = "matches"
    matching_scores: str = "matching_scores"
    mask: str = "mask"
    threshold: float = 0.0

    method: ClassVar = "keypoint_matching"
    reads: ClassVar = ("keypoints", "matches", "matching_scores", "mask")
    optional: ClassVar = ()
    outputs: ClassVar = {
        "keypoints": ("pairs", 2, "matches", 2),
        "matching_scores": ("pairs", 2, "matches"),
        "matched": ("pairs", 2, "matches"),
    }

    def __post_init__(self) -> None:
        check_threshold(self.threshold)

    def __str__(self) -> str:
        return f"keypoint matching: {self.keypoints} in whole pixels of the image, by {self.matches}"

    def run(self, xp: Any, read: Mapping[str, Any], size: tuple[Any, Any]) -> dict[str, Any]:
        """int32 ``keypoints``, x and y, of both sides; float32 ``matching_scores``; bool ``matched``."""
        height, width = size
        keypoints = xp.int32(read["keypoints"] * xp.vector(width, height))
        matches, scores = xp.int64(read["matches"]), read["matching_scores"]
        if "mask" not in read:
            return {"keypoints": keypoints, "matching_scores": scores, "matched": matches > -1}
        mask, match, score = xp.int64(read["mask"]), xp.at(matches, 0, 1), xp.at(scores, 0, 1)
        own, other = xp.at(mask, 0, 1), xp.at(mask, 1, 1)
        # Matches are numbers among what the mask leaves.
        left = xp.argsort(1 - other)
        exists = (match > -1) & (match < xp.size(match, 1))
        place = xp.take_rows(left, xp.where(exists, match, 0))
        matched = exists & (own > 0) & (xp.take_rows(other, place) > 0)
        sides = xp.at(keypoints, 0, 1), xp.take_rows(xp.at(keypoints, 1, 1), place)
        return {
            "keypoints": xp.stack(sides, 1),
            "matching_scores": xp.stack([score, score], 1),
            "matched": xp.stack([matched, matched], 1),
        }

    def result(
        self, outputs: Mapping[str, Any], labels: Sequence[str], threshold: float | None = None
    ) -> dict[str, Any]:
        """Of one pair: int32 ``keypoints0`` and ``keypoints1`` ``[n, 2]``, and ``matching_scores`` float32 ``[n]``.

        Args:
            outputs: of :meth:`run`, without their first axis.
            labels: not read.
            threshold: of their scores, in place of the attribute.
        """
        scores = outputs["matching_scores"]
        first, second = outputs["matched"] & (scores > least(self.threshold, threshold))
        keypoints = outputs["keypoints"]
        return {
            "keypoints0": keypoints[0][first],
            "keypoints1": keypoints[1][second],
            "matching_scores": scores[0][first],
        }
