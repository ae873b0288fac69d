"""The Plan in and out of files, damaged ones included."""

import os
import tracemalloc
import zipfile

import numpy as np
import onnx
import pytest

from exporter.onnx import build
from runtime import ArtifactError, Plan, artifact, load
from runtime.ops import CenterCrop, ConvertRGB, Normalize, Rescale, Resize
from runtime.ops.size import Size

from .faults import at_most
from .helpers import make_plan, with_plan, write_artifacts

PLAN = make_plan(
    ConvertRGB(),
    Resize(Size(shortest_edge=20), "bicubic", "pillow12.1"),
    CenterCrop(16, 16),
    Rescale(1 / 255),
    Normalize((0.48, 0.46, 0.41), (0.27, 0.26, 0.28)),
    family="CLIP",
    source="a test",
    labels=("cat", "Bär", '"quoted"\n'),
)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_artifacts(PLAN, tmp_path_factory.mktemp("files"))


@pytest.fixture(params=["onnx", "torchscript"])
def path(request, files):
    return files[request.param]


def field(number, content):
    """One length-delimited protobuf field."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(number):
    low, high = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(high) if high else bytes([low])


def metadata(key, value):
    return field(artifact.METADATA_PROPS, field(1, key.encode()) + field(2, value.encode()))


def test_the_plan_comes_back(path):
    assert artifact.read(path) == (PLAN, False)
    assert artifact.read(str(path)) == (PLAN, False)


def test_a_fused_file_says_so(tmp_path):
    onnx.save(with_plan(build(PLAN), PLAN, **{artifact.FUSED_KEY: "{}"}), tmp_path / "fused.onnx")
    assert artifact.read(tmp_path / "fused.onnx") == (PLAN, True)


def test_other_metadata_is_read_too(tmp_path):
    path = tmp_path / "model.onnx"
    onnx.save(with_plan(build(PLAN), PLAN, author="Åse", empty=""), path)
    expected = {artifact.PLAN_KEY: PLAN.to_json(), "author": "Åse", "empty": ""}
    assert artifact.onnx_metadata(path) == expected
    assert {entry.key: entry.value for entry in onnx.load(path).metadata_props} == expected


def test_weights_are_skipped_not_read(tmp_path):
    # A graph of 3 GiB, most of it a hole in the file; the metadata is behind it.
    path, length = tmp_path / "large.onnx", 3 * 2**30
    with path.open("wb") as file:
        file.write(field(2, b"producer") + varint(7 << 3 | 2) + varint(length))
        file.seek(length, os.SEEK_CUR)
        file.write(metadata(artifact.PLAN_KEY, PLAN.to_json()))
    tracemalloc.start()
    try:
        assert artifact.read(path) == (PLAN, False)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_metadata_may_be_first_and_among_numbers(tmp_path):
    path = tmp_path / "model.onnx"
    numbers = varint(1 << 3) + varint(8) + varint(99 << 3 | 1) + bytes(8) + varint(98 << 3 | 5) + bytes(4)
    path.write_bytes(metadata("a", "b") + numbers + metadata(artifact.PLAN_KEY, PLAN.to_json()) + numbers)
    assert artifact.read(path) == (PLAN, False)


def test_endless_metadata_is_skipped(tmp_path, monkeypatch):
    path = tmp_path / "model.onnx"
    path.write_bytes(metadata(artifact.PLAN_KEY, PLAN.to_json()))
    monkeypatch.setattr(artifact, "LONGEST_TEXT", 100)
    with pytest.raises(ArtifactError, match="no Plan in it"):
        artifact.read(path)


# --- Files that are no artifact


@pytest.mark.parametrize("suffix", [".onnx", ".pt"])
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not an artifact of export-preprocessor .no Plan in it.*export-preprocessor SOURCE"),
        (b"A text of some length, in a file.\n", "not an ONNX file, or a damaged one"),
        (b"\xff" * 100, "not an ONNX file, or a damaged one"),
        (b"\x00" * 100, "not an artifact|not an ONNX file"),
        (b"PK\x03\x04 no zip file", "damaged TorchScript file .File is not a zip file"),
        (field(artifact.METADATA_PROPS, field(1, b"\xff\xfe")), "damaged metadata"),
        (field(artifact.METADATA_PROPS, b"\x0a\x7f"), "not an ONNX file, or a damaged one"),
        (metadata(artifact.PLAN_KEY, "{"), "the Plan in the file cannot be read"),
    ],
    ids=["empty", "text", "ones", "zeros", "zip head", "not UTF-8", "short entry", "no JSON"],
)
def test_what_is_no_artifact(data, message, suffix, tmp_path):
    path = tmp_path / f"file{suffix}"
    path.write_bytes(data)
    with pytest.raises(ArtifactError, match=message):
        artifact.read(path)
    with pytest.raises(ArtifactError, match=message):
        load(path)


def test_an_onnx_model_without_a_plan(tmp_path):
    onnx.save(build(PLAN), tmp_path / "model.onnx")
    with pytest.raises(ArtifactError, match=r"model.onnx: not an artifact of export-preprocessor .no Plan in it"):
        artifact.read(tmp_path / "model.onnx")


def test_a_zip_file_without_a_plan(tmp_path):
    with zipfile.ZipFile(tmp_path / "model.pt", "w") as file:
        file.writestr("model/data.pkl", b"")
    with pytest.raises(ArtifactError, match=r"model.pt: a zip file without a Plan; make one with"):
        artifact.read(tmp_path / "model.pt")


@pytest.mark.parametrize("text", [b"\xff", b"{}", b"[]"])
def test_a_zip_file_with_a_bad_plan(text, tmp_path):
    with zipfile.ZipFile(tmp_path / "model.pt", "w") as file:
        file.writestr(f"model/extra/{artifact.PLAN_ENTRY}", text)
    with pytest.raises(ArtifactError):
        artifact.read(tmp_path / "model.pt")


@pytest.mark.parametrize("name", ["missing.onnx", "missing.pt", "missing/file.onnx"])
def test_missing_files(name, tmp_path):
    with pytest.raises(ArtifactError, match=f"{name}: cannot be read .No such file or directory"):
        artifact.read(tmp_path / name)


def test_a_folder(tmp_path):
    with pytest.raises(ArtifactError, match=r"cannot be read .Is a directory"):
        artifact.read(tmp_path)


# --- Damage


def read_damaged(data, path):
    """Whether what is left is still a Plan; anything but a Plan or an ArtifactError raises."""
    path.write_bytes(data)
    try:
        plan, fused = artifact.read(path)
    except ArtifactError:
        return False
    assert isinstance(plan, Plan)
    assert isinstance(fused, bool)
    return True


def test_truncated_anywhere(path, tmp_path):
    data = path.read_bytes()
    for length in range(0, len(data), 64):
        assert not read_damaged(data[:length], tmp_path / path.name), f"a Plan in {length} of {len(data)} bytes"


def flips(data, start, end):
    """Every copy of ``data`` with one bit flipped in a range of bytes."""
    for position in range(max(start, 0), min(end, len(data))):
        for bit in range(8):
            yield data[:position] + bytes([data[position] ^ 1 << bit]) + data[position + 1 :]


def test_any_bit_flipped_around_the_plan(path, tmp_path):
    # Its key or its name stands in the last directory of the zip file, and before the text in ONNX.
    data = path.read_bytes()
    name = artifact.PLAN_KEY if path.suffix == ".onnx" else artifact.PLAN_ENTRY
    position = data.rindex(name.encode())
    valid = [read_damaged(piece, tmp_path / path.name) for piece in flips(data, position - 70, position + 80)]
    assert True in valid
    assert False in valid


def test_any_bit_flipped_at_the_end(path, tmp_path):
    data = path.read_bytes()
    valid = [read_damaged(piece, tmp_path / path.name) for piece in flips(data, len(data) - 150, len(data))]
    assert len(valid) == 8 * 150


def test_random_bits_flipped(path, tmp_path):
    data, rng = path.read_bytes(), np.random.default_rng(0)
    for position in rng.integers(0, len(data), 1500).tolist():
        (*_, piece) = flips(data, position, position + 1)
        read_damaged(piece, tmp_path / path.name)


def test_random_bytes(tmp_path):
    rng = np.random.default_rng(0)
    for _ in range(500):
        assert not read_damaged(rng.bytes(int(rng.integers(1, 200))), tmp_path / "file.onnx")


def test_a_graph_that_onnxruntime_cannot_load(tmp_path):
    model = build(PLAN)
    model.graph.node[0].op_type = "NoSuchOperator"
    onnx.save(with_plan(model, PLAN), tmp_path / "model.onnx")
    with pytest.raises(ArtifactError, match=r"model.onnx: onnxruntime cannot load it .*INVALID_GRAPH"):
        load(tmp_path / "model.onnx", "onnx")


def test_a_graph_with_another_input(tmp_path):
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 18]> g (float[n] x) => (float[n] y) {y = Neg(x)}'
    )
    onnx.save(with_plan(model, PLAN), tmp_path / "model.onnx")
    with pytest.raises(ArtifactError, match="expected the one input 'images', got x"):
        load(tmp_path / "model.onnx", "onnx")


def test_a_script_that_torch_cannot_load(tmp_path):
    with zipfile.ZipFile(tmp_path / "model.pt", "w") as file:
        file.writestr(f"model/extra/{artifact.PLAN_ENTRY}", PLAN.to_json())
    assert artifact.read(tmp_path / "model.pt") == (PLAN, False)
    with pytest.raises(ArtifactError, match=r"model.pt: torch cannot load it"):
        load(tmp_path / "model.pt", "torchscript")


@pytest.mark.skipif(not os.path.exists("/dev/ptmx"), reason="needs a terminal")  # noqa: PTH110  it is no file
def test_a_device_is_not_waited_for():
    with at_most(10), pytest.raises(ArtifactError, match=r"^/dev/ptmx: a pipe or a device, not a file$"):
        load("/dev/ptmx")
