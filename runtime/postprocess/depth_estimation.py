"""How far away each pixel of an image is, as transformers' ``post_process_depth_estimation`` gives it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

FILTERS = ("bilinear", "bicubic")

MARGIN = 3
"""How many roots of half a side ZoeDepth pads on each border."""


@dataclass(frozen=True)
class DepthEstimation:
    """The model's depths resized to the image, not antialiased (image_processing_dpt.py:400): transformers' to the bit.

    Attributes:
        predicted_depth: the name of the model's output ``[batch, height, width]``.
        filter: ``bilinear`` or ``bicubic``.
        align_corners: whether the outermost pixels' centres stay where they are, instead of the outermost borders.
        padded: whether the image was padded by :func:`runtime.geometry.sqrt_margin`, and this is cropped away
            (image_processing_zoedepth.py:223).
    """

    predicted_depth: str = "predicted_depth"
    filter: str = "bicubic"
    align_corners: bool = False
    padded: bool = False

    method: ClassVar = "depth_estimation"
    reads: ClassVar = ("predicted_depth",)
    optional: ClassVar = ()
    outputs: ClassVar = {"predicted_depth": ("batch", "height", "width")}

    def __post_init__(self) -> None:
        check_filter(self.filter)

    def __str__(self) -> str:
        corners = ", by the corners' centres" if self.align_corners else ""
        without = " without its padding" if self.padded else ""
        return f"depth estimation: {self.predicted_depth} resized to the image{without}, {self.filter}{corners}"

    def run(self, xp: Any, read: Mapping[str, Any], size: tuple[Any, Any]) -> dict[str, Any]:
        """float32 ``predicted_depth`` ``[batch, height, width]``, of the image's size."""
        depths = xp.stack([read["predicted_depth"]], 1)
        if not self.padded:
            return {"predicted_depth": xp.at(xp.interpolate(depths, size, self.filter, self.align_corners), 0, 1)}
        whole = tuple(xp.geometry.sqrt_margin(side, MARGIN) for side in size)
        depths = xp.at(xp.interpolate(depths, whole, self.filter, self.align_corners), 0, 1)
        for axis, (side, padded) in enumerate(zip(size, whole, strict=True), 1):
            before = xp.geometry.pad_offset(side, padded, True)
            depths = xp.slice(depths, before, before + side, axis)
        return {"predicted_depth": depths}

    def result(self, outputs: Mapping[str, Any], labels: Sequence[str]) -> dict[str, Any]:
        """Of one image: ``predicted_depth``, float32 ``[height, width]``.

        Args:
            outputs: of :meth:`run`, without their first axis.
            labels: not read.
        """
        return {"predicted_depth": outputs["predicted_depth"]}


def check_filter(filter: str) -> None:
    """Raises ``ValueError`` for what is none of :data:`FILTERS`."""
    if filter not in FILTERS:
        raise ValueError(f"filter: expected {' or '.join(FILTERS)}, got {filter!r}")
