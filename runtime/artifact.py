"""The Plan in and out of artifact files, with neither onnx nor torch at hand."""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from . import checksum
from .checksum import METADATA_PROPS
from .errors import ArtifactError
from .fusion import Fusion
from .plan import Plan
from .protobuf import fields, strings

PLAN_KEY = "export_preprocessor.plan"
"""Key of the Plan's JSON in an ONNX file's metadata."""

FUSED_KEY = "export_preprocessor.fused"
"""Key in the metadata of a file that holds a model too."""

PLAN_ENTRY = "export_preprocessor.plan.json"
"""Name of the Plan's JSON among a TorchScript file's extra files."""

FUSED_ENTRY = "export_preprocessor.fused.json"
"""The same of what the file says of its model, where one is in it."""

LONGEST_TEXT = 16 * 2**20
"""Bytes of metadata that are read; longer ones are no Plan's, and are skipped."""

LONGEST_CODE = 256 * 2**20
"""Bytes of a TorchScript file's compressed entries when they are unpacked."""


def read(path: str | os.PathLike[str]) -> tuple[Plan, bool]:
    """The Plan of an ``.onnx`` or ``.pt`` file, and whether a model is fused behind it.

    Raises:
        ArtifactError: where the file is missing, is damaged, holds no Plan, or one that its :mod:`.checksum` does not
            bind to its graph.
    """
    path = Path(path)
    try:
        if is_torchscript(path):
            entries = _extra_files(path)
            plan = Plan.from_json(entries[PLAN_ENTRY])
            _check_archive(path, entries)
            return plan, FUSED_ENTRY in entries
        metadata = onnx_metadata(path)
        if PLAN_KEY not in metadata:
            raise ArtifactError(
                f"{path}: not an artifact of export-preprocessor (no Plan in it); make one with"
                " `export-preprocessor SOURCE -o FILE`"
            )
        plan, fused = Plan.from_json(metadata[PLAN_KEY]), FUSED_KEY in metadata
        if checksum.KEY in metadata:
            checksum.check(path, metadata[checksum.KEY], checksum.of_onnx(path, _bound(metadata), fused))
        return plan, fused
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read ({error.strerror or error})") from error


def seal(path: Path) -> None:
    """Binds the Plan in an ``.onnx`` or ``.pt`` file that was just written to its graph: puts the checksum there."""
    if is_torchscript(path):
        entries = _extra_files(path)
        checksum.seal_torchscript(path, _bound(entries), FUSED_ENTRY in entries)
    else:
        metadata = onnx_metadata(path)
        checksum.seal_onnx(path, _bound(metadata), FUSED_KEY in metadata)


def _bound(texts: Mapping[str, str]) -> dict[str, str]:
    """Those of a file's texts that the checksum is of."""
    return {key: texts[key] for key in (PLAN_KEY, FUSED_KEY, PLAN_ENTRY, FUSED_ENTRY) if key in texts}


def is_torchscript(path: str | os.PathLike[str]) -> bool:
    """Whether a file is TorchScript, which is a zip archive, whatever its name."""
    try:
        return zipfile.is_zipfile(path)
    except zipfile.BadZipFile:  # a zip archive, but a damaged one
        return True


def fusion(path: str | os.PathLike[str]) -> Fusion | None:
    """What a file says of the model in it; ``None`` where there is none.

    Raises:
        ArtifactError: as :func:`read`.
    """
    path = Path(path)
    text = _extra_files(path).get(FUSED_ENTRY) if is_torchscript(path) else onnx_metadata(path).get(FUSED_KEY)
    return None if text is None else Fusion.from_json(text)


def _extra_files(path: Path) -> dict[str, str]:
    """A TorchScript file's own entries of this package, the Plan's among them."""
    found: dict[str, str] = {}
    with _archive(path) as archive:
        for entry in archive.infolist():
            for name in (PLAN_ENTRY, FUSED_ENTRY, checksum.KEY):
                if entry.filename.endswith(f"/extra/{name}") and entry.file_size <= LONGEST_TEXT:
                    found.setdefault(name, archive.read(entry).decode())
    if PLAN_ENTRY not in found:
        raise ArtifactError(f"{path}: a zip file without a Plan; make one with `export-preprocessor SOURCE -o FILE.pt`")
    return found


def _check_archive(path: Path, entries: Mapping[str, str]) -> None:
    """Raises ``ArtifactError`` where a TorchScript file is not as its checksum says."""
    if checksum.KEY in entries:
        with _archive(path) as archive:
            found = checksum.of_torchscript(archive, _bound(entries), FUSED_ENTRY in entries)
        checksum.check(path, entries[checksum.KEY], found)


@contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """A TorchScript file as the zip archive that it is.

    Raises:
        ArtifactError: it is damaged, or says that it unpacks to far more than it is: torch compresses nothing but code.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            lengths = {True: 0, False: 0}
            for entry in archive.infolist():
                lengths[entry.compress_type == zipfile.ZIP_STORED] += entry.file_size
            if lengths[True] > path.stat().st_size or lengths[False] > LONGEST_CODE:
                raise ArtifactError(
                    f"{path}: damaged TorchScript file (it would unpack to {sum(lengths.values())} bytes)"
                )
            yield archive
    except (zipfile.BadZipFile, zlib.error, ValueError, NotImplementedError, RuntimeError, EOFError) as error:
        raise ArtifactError(f"{path}: damaged TorchScript file ({error})") from error


def onnx_metadata(path: Path) -> dict[str, str]:
    """The metadata of an ONNX file."""
    found: dict[str, str] = {}
    with path.open("rb") as file:
        for field in fields(file, os.fstat(file.fileno()).st_size, path):
            if (field.number, field.kind) == (METADATA_PROPS, 2) and field.length <= LONGEST_TEXT:
                entry = dict(strings(file.read(field.length), path))
                found[entry.get(1, "")] = entry.get(2, "")
    return found


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
