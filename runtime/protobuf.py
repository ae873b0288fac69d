"""The wire format of ONNX files, field by field: a model's weights are skipped, not loaded."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from .errors import ArtifactError

LENGTHS = {1: 8, 5: 4}
"""Bytes of a field's content by wire type; 0 is a varint, and 2 says its length itself."""


class Field(NamedTuple):
    """A field of a message, by where it lies in the file.

    Attributes:
        number: of the field.
        kind: its wire type.
        start: of its first byte, which says number and kind.
        content: of the first byte behind its length.
        end: behind its last byte.
    """

    number: int
    kind: int
    start: int
    content: int
    end: int

    @property
    def length(self) -> int:
        """Bytes of its content."""
        return self.end - self.content


def fields(file: BinaryIO, end: int, name: object) -> Iterator[Field]:
    """The fields of the message from where the file stands to ``end``; between two the file may be read anywhere.

    Raises:
        ArtifactError: it is no such message; ``name`` is the file's.
    """
    damaged = ArtifactError(f"{name}: not an ONNX file, or a damaged one")
    start = file.tell()
    while start < end:
        number, kind = divmod(_varint(file, damaged), 8)
        if kind == 0:
            content = file.tell()
            _varint(file, damaged)
            behind = file.tell()
        elif kind == 2 or kind in LENGTHS:
            length = _varint(file, damaged) if kind == 2 else LENGTHS[kind]
            content = file.tell()
            behind = content + length
        else:
            raise damaged
        if number == 0 or behind > end:
            raise damaged
        yield Field(number, kind, start, content, behind)
        file.seek(behind)
        start = behind


def strings(message: bytes, name: object) -> Iterator[tuple[int, str]]:
    """The texts in a message, each with its field's number; ``ArtifactError`` where one is no text."""
    for field in fields(io.BytesIO(message), len(message), name):
        if field.kind == 2:
            try:
                yield field.number, message[field.content : field.end].decode()
            except UnicodeDecodeError as error:
                raise ArtifactError(f"{name}: damaged metadata ({error})") from error


def text_field(number: int, content: bytes) -> bytes:
    """A field of text or of a message, as the file has it."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(number: int) -> bytes:
    low, high = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(high) if high else bytes([low])


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
