"""How far away each pixel of an image is, from a model that gives the reciprocals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from .depth_estimation import check_filter


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
