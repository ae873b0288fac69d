"""A second result from the image so far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import Step


@dataclass(frozen=True)
class Branch:
    """Runs ``steps`` on the image and gives the result as the output ``name``; the Plan goes on with the image itself.

    Attributes:
        name: of the output, ``[N, C, h, w]``.
        steps: run in order; none gives the image as it is.
    """

    name: str
    steps: tuple[Step, ...]

    def __str__(self) -> str:
        return f"output {self.name}: " + ("; ".join(map(str, self.steps)) or "the image as it is")
