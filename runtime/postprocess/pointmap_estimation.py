"""Where in space each pixel is, as transformers' ``post_process_pointmap_estimation`` gives it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from .maps import check_fit, describe, restored


@dataclass(frozen=True)
class PointmapEstimation:
    """The model's points resized to the image (image_processing_sapiens2.py:854): transformers' to the bit.

    Attributes:
        pointmaps: the name of the model's output ``[batch, 3, height, width]``.
        scales: of its output ``[batch, 1]``, which the points are divided by; empty of a model without it.
        fit_height, fit_width: of :func:`.maps.restored`.
    """

    pointmaps: str = "pointmaps"
    scales: str = "scales"
    fit_height: int = 0
    fit_width: int = 0

    method: ClassVar = "pointmap_estimation"
    reads: ClassVar = ("pointmaps", "scales")
    optional: ClassVar = ("scales",)
    outputs: ClassVar = {"pointmap": ("batch", 3, "height", "width")}

    def __post_init__(self) -> None:
        check_fit(self.fit_height, self.fit_width)

    def __str__(self) -> str:
        divided = f" divided by {self.scales}," if self.scales else ""
        restoring = describe(self.fit_height, self.fit_width)
        return f"pointmap estimation: {self.pointmaps}{divided} {restoring}"

    def run(self, xp: Any, read: Mapping[str, Any], size: tuple[Any, Any]) -> dict[str, Any]:
        """float32 ``pointmap`` ``[batch, 3, height, width]``, of the image's size."""
        points = read["pointmaps"]
        if "scales" in read:
            points = points / xp.reshape(read["scales"], (-1, 1, 1, 1))
        return {"pointmap": restored(xp, points, size, self.fit_height, self.fit_width)}

    def result(self, outputs: Mapping[str, Any], labels: Sequence[str]) -> dict[str, Any]:
        """Of one image: ``pointmap``, float32 ``[3, height, width]``: x, y and z.

        Args:
            outputs: of :meth:`run`, without their first axis.
            labels: not read.
        """
        return {"pointmap": outputs["pointmap"]}
