"""A checksum that binds a file's Plan to its graph: damage and mix-ups show before the graph is opened.

It is no signature: whoever changes a file can write a new one. Files without it, such as older ones, are not checked.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from .errors import ArtifactError
from .protobuf import fields, text_field

if TYPE_CHECKING:
    import zipfile

KEY = "export_preprocessor.sha256"
"""Of the checksum, in an ONNX file's metadata and among a TorchScript file's extra files."""

LARGEST = 2**18
"""Bytes of a piece of a file with a model in it that is read; longer ones are weights, whose lengths count."""

GRAPH = 7
"""Field number in ``ModelProto`` (onnx.proto3)."""

FOR_PEOPLE = (2, 3, 4, 5, 6)
"""Those that mean nothing to a runtime: producer, its version, domain, the model's version and a description."""

METADATA_PROPS = 14
"""The one of the metadata."""

CHUNK = 2**20


def of_onnx(path: Path, texts: Mapping[str, str], fused: bool) -> str:
    """The checksum of an ONNX file, in hexadecimal digits.

    Args:
        path: of the file. All of it counts but its metadata and what is there :data:`FOR_PEOPLE`; with a model in it,
            of pieces of the graph longer than :data:`LARGEST`, which are weights, only how long they are.
        texts: from its metadata: the Plan's JSON, and that on the model where there is one.
        fused: whether there is.

    Raises:
        ArtifactError: it is no ONNX file.
    """
    digest = _begun(texts)
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        for field in fields(file, size, path):
            if field.number in (*FOR_PEOPLE, METADATA_PROPS):
                continue
            if not fused or field.number != GRAPH or field.kind != 2:
                _add(digest, file, field.start, field.end)
                continue
            _add(digest, file, field.start, field.content)
            for piece in fields(file, field.end, path):
                _add(digest, file, piece.start, piece.content if piece.length > LARGEST else piece.end)
    return str(digest.hexdigest())


def of_torchscript(archive: zipfile.ZipFile, texts: Mapping[str, str], fused: bool) -> str:
    """The checksum of a TorchScript file, in hexadecimal digits.

    Args:
        archive: the file. The names and the contents of its entries count; with a model in it, of those longer than
            :data:`LARGEST` only the length and the CRC-32 that the archive gives.
        texts, fused: as of :func:`of_onnx`.

    Raises:
        zipfile.BadZipFile and the like: an entry is damaged.
    """
    digest = _begun(texts)
    for entry in sorted(archive.infolist(), key=lambda entry: (entry.filename, entry.header_offset)):
        if entry.filename.endswith(f"/extra/{KEY}"):
            continue
        name = entry.filename.encode("utf-8", "surrogateescape")
        digest.update(b"%d %d %d " % (len(name), entry.file_size, entry.CRC) + name)
        if not fused or entry.file_size <= LARGEST:
            digest.update(archive.read(entry))
    return str(digest.hexdigest())


def check(path: Path, expected: str | None, found: str) -> None:
    """Raises ``ArtifactError`` where the file's own checksum is not the one that was found."""
    if expected != found:
        raise ArtifactError(
            f"{path}: its Plan and its graph are not those that were written together: copy the file again, or export"
            f" it anew; one that was changed on purpose is not checked once {KEY} is gone from its metadata"
        )


def seal_onnx(path: Path, texts: Mapping[str, str], fused: bool) -> None:
    """Puts the checksum at the end of an ONNX file that has none: a message goes on where another ends."""
    value = of_onnx(path, texts, fused)
    with path.open("ab") as file:
        file.write(text_field(METADATA_PROPS, text_field(1, KEY.encode()) + text_field(2, value.encode())))


def seal_torchscript(path: Path, texts: Mapping[str, str], fused: bool) -> None:
    """Puts the checksum into a TorchScript file that has none, as one more extra file."""
    import zipfile

    with zipfile.ZipFile(path, "a") as archive:
        root = archive.infolist()[0].filename.partition("/")[0]
        value = of_torchscript(archive, texts, fused)
        archive.writestr(zipfile.ZipInfo(f"{root}/extra/{KEY}"), value)  # of 1980, as torch writes its entries


def _begun(texts: Mapping[str, str]) -> Any:
    """A digest with the texts in it, each with its key and its length, so that none can pass for another."""
    digest = hashlib.sha256()
    for key, text in texts.items():
        content = text.encode("utf-8", "surrogatepass")
        digest.update(b"%s %d " % (key.encode(), len(content)) + content)
    return digest


def _add(digest: Any, file: BinaryIO, start: int, end: int) -> None:
    file.seek(start)
    while start < end:
        chunk = file.read(min(CHUNK, end - start))
        if not chunk:
            raise ArtifactError(f"{file.name}: became shorter while it was read")
        digest.update(chunk)
        start += len(chunk)
