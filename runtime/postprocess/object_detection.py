"""Objects in an image, as transformers' ``post_process_object_detection`` gives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .image_classification import name_of

FORMS = ("softmax", "sigmoid", "top_k")


@dataclass(frozen=True)
class ObjectDetection:
    """The classes of a detector's queries, and their boxes in the image's pixels.

    The boxes are transformers' to the bit. Its scores are sums and exponentials in float32: those above 0.1 are up to
    6 units in the last place away, smaller ones of a softmax up to 60. Where two of its scores come out equal, their
    order and the class are those of the larger logit here.

    Attributes:
        logits: the name of the model's output ``[batch, queries, classes]``.
        boxes: of its output ``[batch, queries, 4]``: x and y of the centre, width and height, all from 0 to 1.
        form: what is made of the logits. ``softmax``: each query's most probable class, of all but the last, which
            means no object (image_processing_detr.py:823). ``sigmoid``: each query's largest logit
            (image_processing_owlvit.py:126). ``top_k``: the largest ones of all queries and classes, falling, so that
            a query may have several (image_processing_conditional_detr.py:824).
        top_k: how many in that form; 0 for as many as there are queries.
        square: whether boxes are parts of the square around the image, whose padding is below or on the right
            (image_processing_owlv2.py:78), and not of the image.
        threshold: :meth:`result` gives the objects whose scores are above it, unless told otherwise.
    """

    logits: str = "logits"
    boxes: str = "pred_boxes"
    form: str = "softmax"
    top_k: int = 0
    square: bool = False
    threshold: float = 0.5

    method: ClassVar = "object_detection"
    reads: ClassVar = ("logits", "boxes")
    optional: ClassVar = ()
    outputs: ClassVar = {
        "scores": ("batch", "objects"),
        "labels": ("batch", "objects"),
        "boxes": ("batch", "objects", 4),
    }

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise ValueError(f"form: expected one of {', '.join(FORMS)}, got {self.form!r}")
        if type(self.top_k) is not int or self.top_k < 0:
            raise ValueError(f"top_k: expected 0 or more, got {self.top_k!r}")
        if self.top_k and self.form != "top_k":
            raise ValueError(f"top_k: expected 0 in the form {self.form}, got {self.top_k}")
        check_threshold(self.threshold)

    def __str__(self) -> str:
        forms = {
            "softmax": f"softmax of {self.logits}, the best class of each query",
            "sigmoid": f"sigmoid of {self.logits}, the best class of each query",
            "top_k": f"sigmoid of {self.logits}, the {self.top_k or 'number of queries'} largest",
        }
        square = " of its square" if self.square else ""
        return f"object detection: {forms[self.form]}; {self.boxes} in pixels of the image{square}"

    def run(self, xp: Any, read: Mapping[str, Any], size: tuple[Any, Any]) -> dict[str, Any]:
        """``scores`` float32 and ``labels`` int64 ``[batch, objects]``, ``boxes`` float32 ``[batch, objects, 4]``.

        A box is xmin, ymin, xmax, ymax.
        """
        boxes = in_pixels(xp, corners(xp, read["boxes"]), (xp.larger(*size),) * 2 if self.square else size)
        if self.form == "top_k":
            scores, queries, labels = best_pairs(xp, read["logits"], self.top_k)
            return {"scores": scores, "labels": labels, "boxes": xp.take_rows(boxes, queries)}
        if self.form == "sigmoid":
            scores, classes = xp.sigmoid(xp.max(read["logits"], 2)), read["logits"]
        else:
            classes = xp.slice(read["logits"], 0, -1, 2)
            scores = xp.max(xp.slice(xp.softmax(read["logits"], 2), 0, -1, 2), 2)
        return {"scores": scores, "labels": xp.argmax(classes, 2), "boxes": boxes}

    def result(
        self, outputs: Mapping[str, Any], labels: Sequence[str], threshold: float | None = None
    ) -> list[dict[str, Any]]:
        """Of one image: ``[{"label": "cat", "score": 0.9, "box": [xmin, ymin, xmax, ymax]}, …]``, as they come.

        Args:
            outputs: of :meth:`run`, without their first axis.
            labels: names of the classes.
            threshold: of their scores, in place of the attribute.
        """
        above = outputs["scores"] > least(self.threshold, threshold)
        return found({name: value[above] for name, value in outputs.items()}, labels)


def corners(xp: Any, boxes: Any) -> Any:
    """xmin, ymin, xmax and ymax of what has a centre, a width and a height (image_transforms.py:532)."""
    centres, sides = xp.slice(boxes, 0, 2, 2), xp.slice(boxes, 2, 4, 2)
    return xp.concat([centres - 0.5 * sides, centres + 0.5 * sides], 2)


def in_pixels(xp: Any, boxes: Any, size: tuple[Any, Any]) -> Any:
    """Corners that were parts of (height, width)."""
    height, width = size
    return boxes * xp.vector(width, height, width, height)


def best_pairs(xp: Any, logits: Any, top_k: int) -> tuple[Any, Any, Any]:
    """The ``top_k`` largest of all queries and classes, 0 for as many as queries: scores, queries and classes."""
    queries, classes = xp.size(logits, 1), xp.size(logits, 2)
    pairs = queries * classes
    best, index = xp.top_k(xp.reshape(logits, (-1, pairs)), xp.smaller(top_k or queries, pairs))
    return xp.sigmoid(best), xp.quotient(index, classes), xp.remainder(index, classes)


def check_threshold(threshold: float) -> None:
    """Raises ``ValueError`` for what is no share."""
    if not 0.0 <= threshold <= 1.0:
        raise ValueError(f"threshold: expected 0 to 1, got {threshold!r}")


def least(usual: float, threshold: float | None) -> Any:
    """The threshold as torch compares scores with it: in float32."""
    return np.float32(usual if threshold is None else threshold)


def found(outputs: Mapping[str, Any], labels: Sequence[str]) -> list[dict[str, Any]]:
    """A dict an object: ``score`` and ``box``, and ``label`` where there are classes."""
    names = [{"label": name_of(label, labels)} for label in outputs["labels"].tolist()] if "labels" in outputs else None
    pairs = zip(outputs["scores"].tolist(), outputs["boxes"].tolist(), strict=True)
    objects = [{"score": score, "box": box} for score, box in pairs]
    return objects if names is None else [name | item for name, item in zip(names, objects, strict=True)]
