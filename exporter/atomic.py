"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runtime.errors import ArtifactError


@contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A path of the same name in a temporary folder beside ``path``, moved there when the block ends well.

    Other files that the block leaves beside it are moved too, before it. Nothing is left when the block fails.

    Raises:
        ArtifactError: where the folder is missing or not writable.
    """
    path = Path(path)
    try:
        folder = Path(tempfile.mkdtemp(prefix=".export-", dir=path.parent))
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be written ({error.strerror or error})") from error
    try:
        (folder / path.name).touch()
        yield folder / path.name
        _publish(folder, path)
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _publish(folder: Path, path: Path) -> None:
    """Moves the files of ``folder`` to that of ``path``, which comes last; all of them or none."""
    others = [file for file in folder.iterdir() if file.name != path.name]
    kept: list[tuple[Path, Path]] = []
    done: list[Path] = []
    backup = folder / ".replaced"
    try:
        for file in (*others, folder / path.name):
            target = path.parent / file.name
            if file in others and target.exists():
                backup.mkdir(exist_ok=True)
                kept.append((target, target.rename(backup / file.name)))
            file.replace(target)
            done.append(target)
    except BaseException:
        for target in done:
            target.unlink()
        for target, old in kept:
            old.replace(target)
        raise
