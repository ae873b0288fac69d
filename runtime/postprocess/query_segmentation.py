"""A class for each pixel of the image from a model's queries, as ``post_process_semantic_segmentation`` gives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from .semantic_segmentation import segments


@dataclass(frozen=True)
class QuerySegmentation:
    """The class with the largest sum over the queries of its share in the query times the query's share in the pixel.

    The sums are resized to the image first, bilinear. image_processing_maskformer.py:546, and the same in the other
    families whose models give a class and a mask a query.

    transformers adds them up in float32, here it is float64, rounded once. So where the sums of a pixel's two best
    classes are almost equal, or all next to 0, the other class may win. Of 472,600 pixels of logits like a model's, 51
    had best sums within 1e-5 of each other, and the classes of 2 differed, whose sums were within 4e-7; of random
    logits, none did.

    Attributes:
        logits: the name of the model's output ``[batch, queries, classes]``.
        masks: of its output ``[batch, queries, height, width]``, logits too.
        null_class: whether the last class means that there is nothing.
        mask_size: the height and width that masks are resized to first; 0 leaves them as they are.
        antialias: whether sums are resized with antialiasing, which tells where the image is smaller than they are.
    """

    logits: str = "class_queries_logits"
    masks: str = "masks_queries_logits"
    null_class: bool = True
    mask_size: int = 0
    antialias: bool = False

    method: ClassVar = "semantic_segmentation"
    reads: ClassVar = ("logits", "masks")
    optional: ClassVar = ()
    outputs: ClassVar = {"segmentation": ("batch", "height", "width")}

    def __post_init__(self) -> None:
        if type(self.mask_size) is not int or self.mask_size < 0:
            raise ValueError(f"mask_size: expected 0 or more, got {self.mask_size!r}")

    def __str__(self) -> str:
        resized = f" resized to {self.mask_size}x{self.mask_size}" if self.mask_size else ""
        null = " without the last class" if self.null_class else ""
        return (
            f"semantic segmentation: softmax of {self.logits}{null} times sigmoid of {self.masks}{resized}, resized to"
            f" the image, bilinear{', antialiased' if self.antialias else ''}, and the largest of each pixel"
        )

    def run(self, xp: Any, read: Mapping[str, Any], size: tuple[Any, Any]) -> dict[str, Any]:
        """int64 ``segmentation`` ``[batch, height, width]``, of the image's size."""
        classes, masks = xp.softmax(read["logits"], 2), read["masks"]
        if self.null_class:
            classes = xp.slice(classes, 0, -1, 2)
        if self.mask_size:
            masks = xp.interpolate(masks, (self.mask_size, self.mask_size), "bilinear")
        batch, queries, height, width = (xp.size(masks, axis) for axis in range(4))
        shares = xp.reshape(xp.sigmoid(masks), (batch, queries, height * width))
        sums = xp.reshape(xp.matmul(xp.transpose(classes, (0, 2, 1)), shares), (batch, -1, height, width))
        if self.antialias:  # only what it reduces: enlarged, both are the same but for rounding
            fewer = xp.smaller(height, size[0]), xp.smaller(width, size[1])
            sums = xp.interpolate(sums, fewer, "bilinear", antialias=True)
        return {"segmentation": xp.largest_channel(sums, size)}

    def result(self, outputs: Mapping[str, Any], labels: Sequence[str]) -> dict[str, Any]:
        """Of one image: ``segmentation``, int64 ``[height, width]``, and ``labels``, the names of the classes in it."""
        return segments(outputs["segmentation"], labels)
