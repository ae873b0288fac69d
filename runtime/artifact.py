"""The Plan in and out of artifact files, with neither onnx nor torch at hand."""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from .errors import ArtifactError
from .fusion import Fusion
from .plan import Plan

PLAN_KEY = "export_preprocessor.plan"
"""Key of the Plan's JSON in an ONNX file's metadata."""

FUSED_KEY = "export_preprocessor.fused"
"""Key in the metadata of a file that holds a model too."""

PLAN_ENTRY = "export_preprocessor.plan.json"
"""Name of the Plan's JSON among a TorchScript file's extra files."""

FUSED_ENTRY = "export_preprocessor.fused.json"
"""The same of what the file says of its model, where one is in it."""

LONGEST_TEXT = 64 * 2**20

METADATA_PROPS = 14
"""Field number in ``ModelProto`` (onnx.proto3)."""


def read(path: str | os.PathLike[str]) -> tuple[Plan, bool]:
    """The Plan of an ``.onnx`` or ``.pt`` file, and whether a model is fused behind it.

    Raises:
        ArtifactError: where the file is missing, is damaged or holds no Plan.
    """
    path = Path(path)
    try:
        if is_torchscript(path):
            entries = _extra_files(path)
            return Plan.from_json(entries[PLAN_ENTRY]), FUSED_ENTRY in entries
        metadata = onnx_metadata(path)
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read ({error.strerror or error})") from error
    if PLAN_KEY not in metadata:
        raise ArtifactError(
            f"{path}: not an artifact of export-preprocessor (no Plan in it); make one with"
            " `export-preprocessor SOURCE -o FILE`"
        )
    return Plan.from_json(metadata[PLAN_KEY]), FUSED_KEY in metadata


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
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                for name in (PLAN_ENTRY, FUSED_ENTRY):
                    if entry.filename.endswith(f"/extra/{name}") and entry.file_size <= LONGEST_TEXT:
                        found.setdefault(name, archive.read(entry).decode())
    except (zipfile.BadZipFile, zlib.error, UnicodeDecodeError, NotImplementedError, RuntimeError, EOFError) as error:
        raise ArtifactError(f"{path}: damaged TorchScript file ({error})") from error
    if PLAN_ENTRY not in found:
        raise ArtifactError(f"{path}: a zip file without a Plan; make one with `export-preprocessor SOURCE -o FILE.pt`")
    return found


def onnx_metadata(path: Path) -> dict[str, str]:
    """The metadata of an ONNX file, read field by field: a model's weights are skipped, not loaded."""
    found: dict[str, str] = {}
    size = path.stat().st_size
    with path.open("rb") as file:
        for number, length in _fields(file, size, path):
            if number == METADATA_PROPS and length <= LONGEST_TEXT:
                entry = dict(_strings(file.read(length), path))
                found[entry.get(1, "")] = entry.get(2, "")
            else:
                file.seek(length, os.SEEK_CUR)
    return found


def _fields(file: BinaryIO, size: int, path: Path) -> Iterator[tuple[int, int]]:
    """Number and length of each field of a protobuf message; the reader stands at the start of its content."""
    damaged = ArtifactError(f"{path}: not an ONNX file, or a damaged one")
    while file.tell() < size:
        number, kind = divmod(_varint(file, damaged), 8)
        if kind == 0:
            _varint(file, damaged)
            continue
        length = {1: 8, 2: -1, 5: 4}.get(kind)
        if length is None or number == 0:
            raise damaged
        if length < 0:
            length = _varint(file, damaged)
        end = file.tell() + length
        if end > size:
            raise damaged
        if kind == 2:
            yield number, length
        file.seek(end)


def _varint(file: BinaryIO, damaged: ArtifactError) -> int:
    result = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            raise damaged
        result |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return result
    raise damaged


def _strings(message: bytes, path: Path) -> Iterator[tuple[int, str]]:
    import io

    file = io.BytesIO(message)
    for number, length in _fields(file, len(message), path):
        try:
            yield number, file.read(length).decode()
        except UnicodeDecodeError as error:
            raise ArtifactError(f"{path}: damaged metadata ({error})") from error


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
