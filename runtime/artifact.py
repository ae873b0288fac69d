"""The Plan in and out of artifact files, with neither onnx nor torch at hand."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from . import checksum
from .checksum import METADATA_PROPS
from .errors import ArtifactError
from .files import is_device
from .fusion import Fusion
from .plan import Plan
from .protobuf import fields, strings

if TYPE_CHECKING:
    import zipfile

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
        if is_device(path):  # which may be waited for
            raise ArtifactError(f"{path}: a pipe or a device, not a file")
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
    except ValueError as error:
        raise ArtifactError(f"{str(path)!r}: no name of a file ({error})") from error


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
    """Whether a file begins as TorchScript does, which is a zip archive, whatever its name."""
    try:
        with Path(path).open("rb") as file:
            return file.read(2) == b"PK"
    except OSError:  # whoever reads on says so
        return False


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
    """Raises ``ArtifactError`` where a TorchScript file is not as its checksum, and those of its entries, say.

    torch does not look at them, and may end the process where an entry is damaged.
    """
    with _archive(path) as archive:
        damaged = archive.testzip()
        if damaged is not None:
            raise ArtifactError(f"{path}: damaged TorchScript file ({damaged})")
        if checksum.KEY in entries:
            found = checksum.of_torchscript(archive, _bound(entries), FUSED_ENTRY in entries)
            checksum.check(path, entries[checksum.KEY], found)


@contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """A TorchScript file as the zip archive that it is.

    Raises:
        ArtifactError: it is damaged, or says that it unpacks to far more than it is: torch compresses nothing but code.
    """
    import zipfile  # half of these imports' time, which .onnx files need not pay
    import zlib

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
