"""A class for each pixel from a picture that a model paints, as transformers' SegGpt class gives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from .semantic_segmentation import segments


@dataclass(frozen=True)
class PaintedSegmentation:
    """The class whose colour is nearest to the painted one (image_processing_seggpt.py:257): transformers' to the bit.

    The picture is the lower half of what the model gives, for the prompt's is above it; a pixel of the image takes the
    class of the one that it lies in.

    Attributes:
        masks: the name of the model's output ``[batch, 3, 2 * height, width]``.
        image_mean, image_std: with which the pictures were normalized.
        num_labels: how many classes have a colour, besides the background. 0: the mean of red, green and blue is the
            class.
    """

    masks: str = "pred_masks"
    image_mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    image_std: tuple[float, ...] = (0.229, 0.224, 0.225)
    num_labels: int = 0

    method: ClassVar = "semantic_segmentation"
    reads: ClassVar = ("masks",)
    optional: ClassVar = ()
    outputs: ClassVar = {"segmentation": ("batch", "height", "width")}

    def __post_init__(self) -> None:
        if type(self.num_labels) is not int or self.num_labels < 0:
            raise ValueError(f"num_labels: expected 0 or more, got {self.num_labels!r}")
        for name in ("image_mean", "image_std"):
            if len(getattr(self, name)) != 3:
                raise ValueError(f"{name}: expected 3 numbers, got {getattr(self, name)!r}")

    def __str__(self) -> str:
        what = f"the nearest of {self.num_labels + 1} colours" if self.num_labels else "the mean of the colours"
        return f"semantic segmentation: {what} in the lower half of {self.masks}, resized to the image, nearest"

    def run(self, xp: Any, read: Mapping[str, Any], size: tuple[Any, Any]) -> dict[str, Any]:
        """int64 ``segmentation`` ``[batch, height, width]``, of the image's size."""
        height = xp.size(read["masks"], 2)
        masks = xp.slice(read["masks"], xp.quotient(height, 2), height, 2)
        numbers = zip(self.image_mean, self.image_std, strict=True)
        channels = [
            xp.clip((xp.at(masks, i, 1) * std + mean) * 255.0, 0.0, 255.0) for i, (mean, std) in enumerate(numbers)
        ]
        classes = self._nearest_colours(xp, channels) if self.num_labels else self._means(xp, channels)
        return {"segmentation": xp.nearest(classes, size)}

    def _means(self, xp: Any, channels: Sequence[Any]) -> Any:
        red, green, blue = channels
        return xp.int64((red + green + blue) / 3.0)

    def _nearest_colours(self, xp: Any, channels: Sequence[Any]) -> Any:
        squares = []
        for channel, colours in zip(channels, zip(*palette(self.num_labels), strict=True), strict=True):
            difference = xp.stack([channel], 1) - xp.reshape(xp.vector(*colours), (-1, 1, 1))
            squares.append(difference * difference)
        red, green, blue = squares
        return xp.argmax(0.0 - (red + green + blue), 1)

    def result(self, outputs: Mapping[str, Any], labels: Sequence[str]) -> dict[str, Any]:
        """Of one image: ``segmentation``, int64 ``[height, width]``, and ``labels``, the names of the classes in it."""
        return segments(outputs["segmentation"], labels)


def palette(num_labels: int) -> list[tuple[int, int, int]]:
    """Red, green and blue of the background and of each class (image_processing_seggpt.py:41)."""
    base = int(num_labels ** (1 / 3)) + 1
    step = 256 // base
    digits = ((i // base**2, i // base % base, i % base) for i in range(num_labels))
    return [(0, 0, 0), *((255 - r * step, 255 - g * step, 255 - b * step) for r, g, b in digits)]
