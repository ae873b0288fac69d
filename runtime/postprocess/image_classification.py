"""The best classes of an image, as transformers' image-classification pipeline gives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

FUNCTIONS = ("softmax", "sigmoid", "none")


@dataclass(frozen=True)
class ImageClassification:
    """The classes with the largest scores (pipelines/image_classification.py, ``postprocess``).

    Attributes:
        logits: the name of the model's output ``[batch, classes]``.
        top_k: how many classes, or as many as there are.
        function: what makes scores of logits: ``softmax``; ``sigmoid`` where several classes may hold at once; or
            ``none`` of a regression.
    """

    logits: str = "logits"
    top_k: int = 5
    function: str = "softmax"

    method: ClassVar = "image_classification"
    reads: ClassVar = ("logits",)
    optional: ClassVar = ()
    outputs: ClassVar = {"scores": ("batch", "top_k"), "labels": ("batch", "top_k")}

    def __post_init__(self) -> None:
        if self.function not in FUNCTIONS:
            raise ValueError(f"function: expected one of {', '.join(FUNCTIONS)}, got {self.function!r}")
        if type(self.top_k) is not int or self.top_k < 1:
            raise ValueError(f"top_k: expected 1 or more, got {self.top_k!r}")

    def __str__(self) -> str:
        scores = self.logits if self.function == "none" else f"{self.function} of {self.logits}"
        return f"image classification: {scores}, the {self.top_k} largest"

    def run(self, xp: Any, read: Mapping[str, Any], size: tuple[Any, Any]) -> dict[str, Any]:
        """float32 ``scores`` and int64 ``labels``, falling, ``[batch, top_k]``."""
        logits = read["logits"]
        # Picked before they are rounded to equal scores.
        best, labels = xp.top_k(logits, xp.smaller(self.top_k, xp.size(logits, 1)))
        if self.function == "softmax":
            best = xp.take_along(xp.softmax(logits, 1), labels, 1)
        return {"scores": xp.sigmoid(best) if self.function == "sigmoid" else best, "labels": labels}

    def result(self, outputs: Mapping[str, Any], labels: Sequence[str], top_k: int | None = None) -> list[Any]:
        """Of one image: ``[{"label": "tabby", "score": 0.4}, …]``, falling, at most ``top_k``."""
        pairs = zip(outputs["labels"].tolist(), outputs["scores"].tolist(), strict=True)
        return [{"label": name_of(label, labels), "score": score} for label, score in pairs][:top_k]


def name_of(label: int, labels: Sequence[str]) -> str:
    """A class's name; its number where it has none, as in transformers."""
    return labels[label] if 0 <= label < len(labels) and labels[label] else f"LABEL_{label}"
