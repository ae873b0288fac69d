"""What prompts point at in an image, as transformers' ``post_process_masks`` of SAM gives it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class Masks:
    """Where the model's masks are above a threshold, once they are resized to the image: bilinear, not antialiased.

    transformers' to the bit: image_processing_sam2.py:601, and image_processing_sam.py:383 of images that are padded.

    Attributes:
        masks: the name of the model's output ``[batch, prompts, masks, height, width]``.
        iou_scores: of its output ``[batch, prompts, masks]``, how good it takes each mask to be; empty of a model
            without it.
        mask_threshold: what is above it belongs to the mask.
        longest_edge: what the image's longest edge was resized to, before it was padded below and on the right; 0 where
            it kept its size, and where it was not padded.
        pad_height, pad_width: the size that it was padded to, to which the masks are resized first; 0 and 0 where it
            was not.
    """

    masks: str = "pred_masks"
    iou_scores: str = "iou_scores"
    mask_threshold: float = 0.0
    longest_edge: int = 0
    pad_height: int = 0
    pad_width: int = 0

    method: ClassVar = "masks"
    reads: ClassVar = ("masks", "iou_scores")
    optional: ClassVar = ("iou_scores",)
    outputs: ClassVar = {"masks": ("batch", "prompts", "masks", "height", "width")}

    def __post_init__(self) -> None:
        for name in ("longest_edge", "pad_height", "pad_width"):
            value = getattr(self, name)
            if type(value) is not int or value < 0:
                raise ValueError(f"{name}: expected pixels, or 0, got {value!r}")
        if (self.pad_height == 0) != (self.pad_width == 0) or (self.longest_edge and not self.pad_height):
            raise ValueError("pad_height, pad_width: expected a size, or 0 and 0, and then no longest_edge")
        if type(self.mask_threshold) is not float:
            raise ValueError(f"mask_threshold: expected a number, got {self.mask_threshold!r}")

    def __str__(self) -> str:
        without = f" without the padding to {self.pad_height}x{self.pad_width}" if self.pad_height else ""
        return f"masks: {self.masks} resized to the image{without}, bilinear, above {self.mask_threshold:g}"

    def run(self, xp: Any, read: Mapping[str, Any], size: tuple[Any, Any]) -> dict[str, Any]:
        """bool ``masks`` ``[batch, prompts, masks, height, width]``, of the image's size."""
        masks = read["masks"]
        batch, prompts, number, height, width = (xp.size(masks, axis) for axis in range(5))
        # One prompt's at a time, whose resized floats take memory.
        found = xp.each(xp.reshape(masks, (-1, number, height, width)), lambda few: self._of_prompt(xp, few, size))
        return {"masks": xp.reshape(found, (batch, prompts, number, *size))}

    def _of_prompt(self, xp: Any, masks: Any, size: tuple[Any, Any]) -> Any:
        """float32 ``[1, masks, height, width]`` to bool of the image's size."""
        if self.pad_height:
            masks = xp.interpolate(masks, (self.pad_height, self.pad_width), "bilinear")
            edge = self.longest_edge
            inner = xp.geometry.half_up_longest_edge(*size, edge) if edge else size
            for axis, side in enumerate(inner, 2):
                masks = xp.slice(masks, 0, side, axis)
        return xp.interpolate(masks, size, "bilinear") > self.mask_threshold

    def result(self, outputs: Mapping[str, Any], labels: Sequence[str]) -> dict[str, Any]:
        """Of one image: ``masks``, bool ``[prompts, masks, height, width]``, and the model's ``iou_scores`` of them.

        Args:
            outputs: of :meth:`run` and of the model, without their first axis.
            labels: not read.
        """
        scores = {"iou_scores": outputs[self.iou_scores]} if self.iou_scores else {}
        return {"masks": outputs["masks"], **scores}
