"""Weights in files of their own: checked where a model has them, written beside the file that is made of it."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

import onnx
from onnx import TensorProto, helper

from runtime.errors import ArtifactError

from .names import tensors

LARGEST = 1_500_000_000
"""Bytes of a file with all weights in it; ONNX files end at 2**31."""

SMALLEST = 1024
"""Bytes of a tensor that is put in the file of weights."""

PAGE = 65536
"""Large tensors begin at a multiple of it, so that they can be mapped to memory everywhere."""

CHUNK = 1 << 24
"""Bytes that are copied at a time."""

BITS = {"UINT4": 4, "INT4": 4, "FLOAT4E2M1": 4, "UINT2": 2, "INT2": 2}
"""Of a value, for dtypes of less than a byte."""


@dataclass(frozen=True)
class Piece:
    """Where the bytes of a tensor are."""

    file: Path
    offset: int
    length: int


def is_external(tensor: TensorProto) -> bool:
    """Whether a tensor's bytes are in another file."""
    return bool(tensor.data_location == TensorProto.EXTERNAL)


def size_of(tensor: TensorProto) -> int:
    """Bytes of a tensor's values."""
    try:
        name = TensorProto.DataType.Name(tensor.data_type)
        bits = BITS.get(name) or 8 * helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    except (KeyError, ValueError) as error:
        raise ArtifactError(f"the weights {tensor.name!r} have the unknown dtype {tensor.data_type}") from error
    return int(math.prod(tensor.dims) * bits + 7) // 8


def check_data(model: onnx.ModelProto, path: Path) -> None:
    """Raises ``ArtifactError`` where a tensor's file is not below the model's folder, is missing or is too short."""
    for tensor in filter(is_external, tensors(model)):
        piece(tensor, path)


def check_target(source: Path, path: Path) -> None:
    """Raises ``ArtifactError`` where weights beside a file at ``path`` would replace those of the model ``source``."""
    data = path.with_name(f"{path.name}.data")
    if not data.exists() or not source.is_file() or source.resolve() == path.resolve():
        return
    try:
        model = onnx.load(source, load_external_data=False)
    except Exception:  # it is said when the model is read
        return
    if data.resolve() in {piece(tensor, source).file.resolve() for tensor in filter(is_external, tensors(model))}:
        raise ArtifactError(f"{path}: its weights would replace those of {source}: write to another name")


def piece(tensor: TensorProto, path: Path) -> Piece:
    """Where a tensor's bytes are.

    A file of weights may be a link, but only to the folder in which the model is: caches link both to one folder.

    Raises:
        ArtifactError: as :func:`check_data`.
    """
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    parts = PureWindowsPath(location)  # splits at both kinds of slashes
    if not location or parts.is_absolute() or parts.drive or location.startswith(("/", "\\")) or ".." in parts.parts:
        raise ArtifactError(
            f"{path}: the weights {tensor.name!r} are said to be in {location!r}, which is not in the model's folder:"
            " such a file is not read"
        )
    file = path.parent / location
    real = Path(os.path.realpath(file))
    folders = {Path(os.path.realpath(path.parent)), Path(os.path.realpath(path)).parent}
    if not any(folder in real.parents for folder in folders):
        raise ArtifactError(f"{path}: its file of weights {location!r} is a link to {real}, outside the model's folder")
    if not file.is_file():
        raise ArtifactError(f"{path}: its file of weights {location!r} is missing: put it beside the model")
    try:
        offset, length = int(entries.get("offset") or 0), int(entries.get("length") or size_of(tensor))
    except ValueError as error:
        raise ArtifactError(f"{path}: the place of the weights {tensor.name!r} cannot be read ({error})") from error
    if offset < 0 or length != size_of(tensor):
        raise ArtifactError(
            f"{path}: the weights {tensor.name!r} have {length} bytes from {offset}, expected {size_of(tensor)}"
        )
    if offset + length > file.stat().st_size:
        raise ArtifactError(
            f"{path}: its file of weights {location!r} has {file.stat().st_size} bytes, expected at least"
            f" {offset + length}: it was not copied whole"
        )
    return Piece(file, offset, length)


def write(model: onnx.ModelProto, path: Path, source: Path | None = None) -> None:
    """Writes a model: with all weights in it up to :data:`LARGEST` bytes, else with a file ``NAME.data`` beside it.

    Args:
        model: is changed: its tensors say where their bytes are then.
        path: of the file; whoever calls makes it appear whole.
        source: the file beside which the model's external tensors are.

    Raises:
        ArtifactError: they cannot be read.
    """
    external = list(filter(is_external, tensors(model)))
    if model.ByteSize() + sum(map(size_of, external)) <= LARGEST:
        for tensor in external:
            assert source is not None
            tensor.raw_data = b"".join(_chunks(piece(tensor, source)))
            del tensor.external_data[:]
            tensor.ClearField("data_location")
    else:
        _write_data(model, path.with_name(f"{path.name}.data"), source)
    with path.open("wb") as file:
        file.write(model.SerializeToString())


def _write_data(model: onnx.ModelProto, path: Path, source: Path | None) -> None:
    """Copies tensors to one file, a little at a time."""
    with path.open("wb") as file:
        inside = [tensor for tensor in model.graph.initializer if len(tensor.raw_data) >= SMALLEST]
        for tensor in (*filter(is_external, tensors(model)), *inside):
            length = size_of(tensor)
            align = PAGE if length >= PAGE else 64
            offset = -(-file.tell() // align) * align
            file.seek(offset)
            if is_external(tensor):
                assert source is not None
                for chunk in _chunks(piece(tensor, source)):
                    file.write(chunk)
            else:
                file.write(tensor.raw_data)
            place = {"location": path.name, "offset": offset, "length": length}
            tensor.ClearField("raw_data")
            del tensor.external_data[:]
            tensor.data_location = TensorProto.EXTERNAL
            for key, value in place.items():
                tensor.external_data.add(key=key, value=str(value))


def _chunks(place: Piece) -> Iterator[bytes]:
    with place.file.open("rb") as file:
        file.seek(place.offset)
        left = place.length
        while left:
            chunk = file.read(min(left, CHUNK))
            if not chunk:
                raise ArtifactError(f"{place.file}: became shorter while it was read")
            left -= len(chunk)
            yield chunk
