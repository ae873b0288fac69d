"""Every error this project raises on purpose.

::

    PreprocessorError
    ├── UnsupportedConfig    a config that cannot be turned into a Plan; lists every problem at once
    ├── ParityError          a path that differs from the reference
    ├── ArtifactError        a file that is not, or no longer, an artifact
    ├── BackendUnavailable   a package that the backend needs is missing (also ``ImportError``)
    └── InputError           an image that cannot be processed (also ``ValueError``)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class PreprocessorError(Exception):
    """Base of every error below."""


class UnsupportedConfig(PreprocessorError):
    """A config, or a source of one, that is not understood.

    Attributes:
        problems: one sentence a problem, each starting with the key's path where there is one.
    """

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("; ".join(self.problems))


class ParityError(PreprocessorError):
    """A backend or artifact whose values differ from the reference's.

    Attributes:
        rows: what was compared, one row a backend and size (``exporter.verify.Row``).
    """

    def __init__(self, message: str, rows: Sequence[Any] = ()) -> None:
        self.rows = tuple(rows)
        super().__init__(message)


class ArtifactError(PreprocessorError):
    """A file that cannot be read or written as an artifact."""


class BackendUnavailable(PreprocessorError, ImportError):
    """A backend whose package is not installed; the message holds the pip line."""


class InputError(PreprocessorError, ValueError):
    """An image that cannot be processed; the message says what was expected and what came.

    Attributes:
        reason: the message without the position.
        position: of the image in the list that was given, where the fault is with one; else ``None``.
    """

    def __init__(self, reason: str, position: int | None = None) -> None:
        self.reason, self.position = reason, position
        super().__init__(reason if position is None else f"image {position}: {reason}")
