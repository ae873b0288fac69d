"""How far away each pixel of an image is, as transformers' ``post_process_depth_estimation`` gives it."""

from __future__ import annotations

import math
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


@dataclass(frozen=True)
class InverseDepthEstimation:
    """Depths from their reciprocals and from what angle the image shows (image_processing_depth_pro.py:84).

    Every operation is transformers', in float32, but for the tangent of half the angle: torch's is up to a unit in the
    last place away from the rounded one here, and with it the focal length and the depths are. Without an angle the
    depths are transformers' to the bit.

    Attributes:
        predicted_depth: the name of the model's output ``[batch, height, width]``.
        field_of_view: of its output ``[batch]``, in degrees; empty of a model without it.
        filter: ``bilinear`` or ``bicubic``.
    """

    predicted_depth: str = "predicted_depth"
    field_of_view: str = "field_of_view"
    filter: str = "bilinear"

    method: ClassVar = "depth_estimation"
    reads: ClassVar = ("predicted_depth", "field_of_view")
    optional: ClassVar = ("field_of_view",)

    def __post_init__(self) -> None:
        check_filter(self.filter)

    def __str__(self) -> str:
        scaled = f", scaled by {self.field_of_view}" if self.field_of_view else ""
        return f"depth estimation: 1 / {self.predicted_depth} resized to the image, {self.filter}{scaled}"

    @property
    def outputs(self) -> dict[str, tuple[str | int, ...]]:
        angles: dict[str, tuple[str | int, ...]] = {"field_of_view": ("batch",), "focal_length": ("batch",)}
        return {"predicted_depth": ("batch", "height", "width"), **(angles if self.field_of_view else {})}

    def run(self, xp: Any, read: Mapping[str, Any], size: tuple[Any, Any]) -> dict[str, Any]:
        """float32 ``predicted_depth`` ``[batch, height, width]``, of the image's size.

        With ``field_of_view`` also that, in degrees, and ``focal_length``, in pixels: float32 ``[batch]``.
        """
        depths, angles = read["predicted_depth"], {}
        if "field_of_view" in read:
            angle, width = read["field_of_view"], xp.vector(size[1])
            focal = xp.reciprocal(xp.tan(angle * (math.pi / 180) * 0.5)) * (width * 0.5)
            depths = depths * width / xp.reshape(focal, (-1, 1, 1))
            angles = {"field_of_view": angle, "focal_length": focal}
        depths = xp.at(xp.interpolate(xp.stack([depths], 1), size, self.filter), 0, 1)
        return {"predicted_depth": xp.reciprocal(xp.clip(depths, 1e-4, 1e4)), **angles}

    def result(self, outputs: Mapping[str, Any], labels: Sequence[str]) -> dict[str, Any]:
        """Of one image: ``predicted_depth``, float32 ``[height, width]``, and two numbers where the angle is known.

        Args:
            outputs: of :meth:`run`, without their first axis.
            labels: not read.
        """
        numbers = {name: float(outputs[name]) for name in self.outputs if name != "predicted_depth"}
        return {"predicted_depth": outputs["predicted_depth"], **numbers}


def check_filter(filter: str) -> None:
    """Raises ``ValueError`` for what is none of :data:`FILTERS`."""
    if filter not in FILTERS:
        raise ValueError(f"filter: expected {' or '.join(FILTERS)}, got {filter!r}")
