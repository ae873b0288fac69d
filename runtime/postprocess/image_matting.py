"""What of each pixel is foreground, as transformers' ``post_process_image_matting`` gives it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class ImageMatting:
    """The model's foreground and its share of each pixel, resized to the image (image_processing_sapiens2.py:891).

    Bilinear, not antialiased, and limited to 0 and 1: transformers' to the bit. Its composites with a background, which
    is another input, are left out.

    Attributes:
        foregrounds: the name of the model's output ``[batch, 3, height, width]``: colours times their shares.
        alphas: of its output ``[batch, 1, height, width]``: the shares.
    """

    foregrounds: str = "foregrounds"
    alphas: str = "alphas"

    method: ClassVar = "image_matting"
    reads: ClassVar = ("foregrounds", "alphas")
    optional: ClassVar = ()
    outputs: ClassVar = {
        "foreground": ("batch", 3, "height", "width"),
        "alpha": ("batch", 1, "height", "width"),
    }

    def __str__(self) -> str:
        return f"image matting: {self.foregrounds} and {self.alphas} resized to the image, bilinear, from 0 to 1"

    def run(self, xp: Any, read: Mapping[str, Any], size: tuple[Any, Any]) -> dict[str, Any]:
        """float32 ``foreground`` ``[batch, 3, height, width]`` and ``alpha`` ``[batch, 1, height, width]``."""
        both = xp.concat([read["foregrounds"], read["alphas"]], 1)
        both = xp.clip(xp.interpolate(both, size, "bilinear"), 0.0, 1.0)
        return {"foreground": xp.slice(both, 0, 3, 1), "alpha": xp.slice(both, 3, 4, 1)}

    def result(self, outputs: Mapping[str, Any], labels: Sequence[str]) -> dict[str, Any]:
        """Of one image: ``foreground``, float32 ``[3, height, width]``, and ``alpha`` ``[1, height, width]``.

        Args:
            outputs: of :meth:`run`, without their first axis.
            labels: not read.
        """
        return {name: outputs[name] for name in ("foreground", "alpha")}
