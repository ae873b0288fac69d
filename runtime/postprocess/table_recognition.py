"""A table's rows and cells, as transformers' ``post_process_table_recognition`` gives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .text_recognition import mean, named

SPANS = range(2, 21)

TOKENS = (
    "sos", "<thead>", "</thead>", "<tbody>", "</tbody>", "<tr>", "</tr>", "<td", ">", "</td>",
    *(f' colspan="{n}"' for n in SPANS), *(f' rowspan="{n}"' for n in SPANS), "<td></td>", "eos",
)  # fmt: skip
"""The classes by index, which no config changes (image_processing_slanext.py:169)."""


@dataclass(frozen=True)
class TableRecognition:
    """The most probable part of HTML at each step, up to the end (image_processing_slanext.py:206).

    transformers reads the first image of a batch only, here each gets its table.

    Attributes:
        probabilities: the name of the model's output ``[batch, time, tokens]``.
    """

    probabilities: str = "last_hidden_state"

    method: ClassVar = "table_recognition"
    reads: ClassVar = ("probabilities",)
    optional: ClassVar = ()
    outputs: ClassVar = {"indices": ("batch", "time"), "scores": ("batch", "time")}

    def __str__(self) -> str:
        return f"table recognition: the largest of {self.probabilities} at each step"

    def run(self, xp: Any, read: Mapping[str, Any], size: tuple[Any, Any]) -> dict[str, Any]:
        """Of each step: int64 ``indices`` in :data:`TOKENS`, and float32 ``scores``."""
        return {"indices": xp.argmax(read["probabilities"], 2), "scores": xp.max(read["probabilities"], 2)}

    def result(self, outputs: Mapping[str, Any], labels: Sequence[str]) -> dict[str, Any]:
        """Of one image: ``structure``, the parts of a page with the table, and ``structure_score``, their mean score.

        That is NaN where the table is empty; transformers fails there. It adds in float32, which is a few units in the
        last place away.

        Args:
            outputs: of :meth:`run`, without their first axis.
            labels: not read.

        Raises:
            ArtifactError: the model has more classes than there are tokens.
        """
        indices, scores = outputs["indices"], outputs["scores"]
        first, last = 0, len(TOKENS) - 1
        ends = np.flatnonzero(indices[1:] == last)
        stop = 1 + ends[0] if ends.size else len(indices)
        kept = np.flatnonzero((indices[:stop] != first) & (indices[:stop] != last))
        structure = ["<html>", "<body>", "<table>", *named(indices[kept], TOKENS), "</table>", "</body>", "</html>"]
        return {"structure": structure, "structure_score": mean(scores[kept])}
