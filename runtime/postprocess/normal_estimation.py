"""Which way each pixel's surface faces, as transformers' ``post_process_normal_estimation`` gives it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from .maps import check_fit, describe, restored


@dataclass(frozen=True)
class NormalEstimation:
    """The model's vectors, each divided by its length, resized to the image: transformers' to the bit.

    image_processing_sapiens2.py:818, image_processing_tipsv2_dpt.py:76. Of a map of a single pixel torch rounds the
    squares' sum otherwise.

    Attributes:
        normals: the name of the model's output ``[batch, 3, height, width]``.
        least: what shorter vectors are divided by.
        fit_height, fit_width: of :func:`.maps.restored`.
    """

    normals: str = "normals"
    least: float = 1e-12
    fit_height: int = 0
    fit_width: int = 0

    method: ClassVar = "normal_estimation"
    reads: ClassVar = ("normals",)
    optional: ClassVar = ()
    outputs: ClassVar = {"normals": ("batch", 3, "height", "width")}

    def __post_init__(self) -> None:
        check_fit(self.fit_height, self.fit_width)
        if not (type(self.least) is float and self.least > 0):
            raise ValueError(f"least: expected a number above 0, got {self.least!r}")

    def __str__(self) -> str:
        restoring = describe(self.fit_height, self.fit_width)
        return f"normal estimation: {self.normals} divided by their lengths, {restoring}"

    def run(self, xp: Any, read: Mapping[str, Any], size: tuple[Any, Any]) -> dict[str, Any]:
        """float32 ``normals`` ``[batch, 3, height, width]``, of the image's size."""
        normals = read["normals"]
        x, y, z = (xp.at(normals, i, 1) for i in range(3))
        lengths = xp.clip(xp.sqrt(x * x + y * y + z * z), self.least, math.inf)
        return {"normals": restored(xp, normals / xp.stack([lengths], 1), size, self.fit_height, self.fit_width)}

    def result(self, outputs: Mapping[str, Any], labels: Sequence[str]) -> dict[str, Any]:
        """Of one image: ``normals``, float32 ``[3, height, width]``.

        Args:
            outputs: of :meth:`run`, without their first axis.
            labels: not read.
        """
        return {"normals": outputs["normals"]}
