"""Points of an image that can be found again, as transformers' ``post_process_keypoint_detection`` gives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class KeypointDetection:
    """Keypoints in whole pixels of the image (image_processing_superpoint.py:114): transformers' to the bit.

    Attributes:
        keypoints: the name of the model's output ``[batch, keypoints, 2]``: x and y, from 0 to 1.
        scores: of its output ``[batch, keypoints]``.
        descriptors: of its output ``[batch, keypoints, length]``.
        mask: of its output ``[batch, keypoints]``, which is 0 where an image has fewer keypoints than others.
    """

    keypoints: str = "keypoints"
    scores: str = "scores"
    descriptors: str = "descriptors"
    mask: str = "mask"

    method: ClassVar = "keypoint_detection"
    reads: ClassVar = ("keypoints", "scores", "descriptors", "mask")
    optional: ClassVar = ()
    outputs: ClassVar = {
        "keypoints": ("batch", "keypoints", 2),
        "scores": ("batch", "keypoints"),
        "descriptors": ("batch", "keypoints", "descriptor"),
        "mask": ("batch", "keypoints"),
    }

    def __str__(self) -> str:
        return f"keypoint detection: {self.keypoints} in whole pixels of the image, where {self.mask} is not 0"

    def run(self, xp: Any, read: Mapping[str, Any], size: tuple[Any, Any]) -> dict[str, Any]:
        """int32 ``keypoints``, x and y, int64 ``mask``, and the model's ``scores`` and ``descriptors``."""
        height, width = size
        return {
            "keypoints": xp.int32(read["keypoints"] * xp.vector(width, height)),
            "scores": read["scores"],
            "descriptors": read["descriptors"],
            "mask": xp.int64(read["mask"]),
        }

    def result(self, outputs: Mapping[str, Any], labels: Sequence[str]) -> dict[str, Any]:
        """Of one image: ``keypoints`` int32 ``[n, 2]``, ``scores`` ``[n]`` and ``descriptors`` ``[n, length]`` float32.

        Args:
            outputs: of :meth:`run`, without their first axis.
            labels: not read.
        """
        found = outputs["mask"] != 0
        return {name: outputs[name][found] for name in ("keypoints", "scores", "descriptors")}
