"""The text of a line, as transformers' ``post_process_text_recognition`` gives it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..errors import ArtifactError


@dataclass(frozen=True)
class TextRecognition:
    """The most probable character of each step, where it is no blank and not the one of the step before.

    image_processing_pp_ocrv5_server_rec.py:145. Character 0 is the blank.

    Attributes:
        probabilities: the name of the model's output ``[batch, time, characters]``.
    """

    probabilities: str = "last_hidden_state"

    method: ClassVar = "text_recognition"
    reads: ClassVar = ("probabilities",)
    optional: ClassVar = ()
    outputs: ClassVar = {"indices": ("batch", "time"), "scores": ("batch", "time"), "keep": ("batch", "time")}

    def __str__(self) -> str:
        return f"text recognition: the largest of {self.probabilities} at each step, without blanks and repetitions"

    def run(self, xp: Any, read: Mapping[str, Any], size: tuple[Any, Any]) -> dict[str, Any]:
        """Of each step: int64 ``indices`` of the characters, float32 ``scores``, and ``keep``: of the text or not."""
        indices = xp.argmax(read["probabilities"], 2)
        first, others = xp.slice(indices, 0, 1, 1), xp.slice(indices, 1, xp.size(indices, 1), 1)
        new = xp.where(others == xp.slice(indices, 0, -1, 1), 0, others)
        return {
            "indices": indices,
            "scores": xp.max(read["probabilities"], 2),
            "keep": xp.concat([first, new], 1) > 0,
        }

    def result(self, outputs: Mapping[str, Any], labels: Sequence[str]) -> dict[str, Any]:
        """Of one line: ``{"text": "Hello", "score": 0.98}``, the mean of the characters'; NaN where there are none.

        transformers adds the scores in float32, which is a few units in the last place away.

        Args:
            outputs: of :meth:`run`, without their first axis.
            labels: the characters, ``character_list`` in the processor's config.

        Raises:
            ArtifactError: there is no such character.
        """
        keep = outputs["keep"]
        return {"text": "".join(named(outputs["indices"][keep], labels)), "score": mean(outputs["scores"][keep])}


def named(indices: Any, names: Sequence[str]) -> list[str]:
    """The name of each; raises ``ArtifactError`` where there are fewer."""
    if indices.max(initial=-1) >= len(names):
        raise ArtifactError(
            f"the model found class {indices.max()}, but there are {len(names)} names of classes: export it with the"
            " character_list in its preprocessor_config.json, or with --labels"
        )
    return [names[i] for i in indices.tolist()]


def mean(scores: Any) -> float:
    """Rounded to float32; NaN of none, as torch's."""
    return float(np.float32(scores.mean(dtype=np.float64))) if scores.size else float("nan")
