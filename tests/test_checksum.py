"""The checksum binds a file's Plan to its graph."""

import re
import time
import tracemalloc
import zipfile
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

import exporter
from runtime import ArtifactError, artifact, checksum, load
from runtime.ops import Normalize, Rescale, Resize
from runtime.ops.size import Size
from runtime.protobuf import varint

from .helpers import assert_equal, make_plan, noise, with_plan

PLAN = make_plan(
    Resize(Size(height=12, width=14), "bilinear", "pillow13"),
    Rescale(1 / 255),
    Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
)
OTHER = replace(PLAN, steps=(*PLAN.steps[:-1], Normalize((0.4, 0.5, 0.6), (0.5, 0.5, 0.5))))
TAMPERED = "its Plan and its graph are not those that were written together: copy the file again"


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weights = torch.nn.Parameter(torch.ones(3, 12, 14, 200))

    def forward(self, pixel_values):
        return torch.einsum("nchw,chwk->nk", pixel_values, self.weights)


def model(path, value=1.0):
    """An ONNX model with weights of 400 kB, and a small one."""
    weights = {"w": np.full((504, 200), value, np.float32), "b": np.zeros(200, np.float32)}
    nodes = [
        onnx.helper.make_node("Flatten", ["x"], ["f"]),
        onnx.helper.make_node("Gemm", ["f", "w", "b"], ["y"]),
    ]
    info, number = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    tensors = [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()]
    x, y = info("x", number, ["n", 3, 12, 14]), info("y", number, ["n", 200])
    graph = onnx.helper.make_graph(nodes, "model", [x], [y], tensors)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=8), path)
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    for name, plan in (("plan", PLAN), ("other", OTHER)):
        exporter.to_onnx(plan, folder / f"{name}.onnx")
        exporter.to_torchscript(plan, folder / f"{name}.pt")
        exporter.to_onnx(plan, folder / f"{name}_fused.onnx", model(folder / "model.onnx"))
        exporter.to_torchscript(plan, folder / f"{name}_fused.pt", Model())
    return folder


NAMES = ["plan.onnx", "plan.pt", "plan_fused.onnx", "plan_fused.pt"]


def text_of(path):
    """The checksum in a file."""
    if path.suffix == ".onnx":
        return artifact.onnx_metadata(path)[checksum.KEY]
    with zipfile.ZipFile(path) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(f"/extra/{checksum.KEY}")]
        return archive.read(name).decode()


@pytest.mark.parametrize("name", NAMES)
def test_every_file_has_one(name, files):
    assert re.fullmatch("[0-9a-f]{64}", text_of(files / name))
    assert text_of(files / name) != text_of(files / name.replace("plan", "other"))
    assert artifact.read(files / name)[0] == PLAN


@pytest.mark.parametrize("name", ["plan.onnx", "plan_fused.onnx"])
def test_two_exports_are_the_same_file(name, files, tmp_path):
    exporter.to_onnx(PLAN, tmp_path / name, model(tmp_path / "model.onnx") if "fused" in name else None)
    assert (tmp_path / name).read_bytes() == (files / name).read_bytes()


def test_stock_runtimes_read_the_files(files):
    images = noise(20, 30)[None]
    expected = load(files / "plan.onnx", "pil")(images).pixel_values
    session = onnxruntime.InferenceSession(files / "plan.onnx", providers=["CPUExecutionProvider"])
    assert_equal(session.run(None, {"images": images})[0], expected, "onnxruntime")
    onnx.checker.check_model(onnx.load(files / "plan.onnx"))
    with pytest.warns(FutureWarning, match="torch.jit"):
        module = torch.jit.load(files / "plan.pt")
    assert_equal(module(torch.from_numpy(images))["pixel_values"].numpy(), expected, "torch")


def rewritten(path, target, change):
    """The file after ``change`` of its entries: the ONNX metadata by key, or what is in the archive by name."""
    if path.suffix == ".onnx":
        proto = onnx.load(path)
        entries = {entry.key: entry.value for entry in proto.metadata_props}
        change(entries)
        onnx.helper.set_model_props(proto, entries)
        target.write_bytes(proto.SerializeToString())
        return target
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    extra = {name.rpartition("/extra/")[2]: name for name in entries if "/extra/" in name}
    texts = {name: entries[full].decode() for name, full in extra.items()}
    change(texts)
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in entries.items():
            key = name.rpartition("/extra/")[2] if "/extra/" in name else None
            if key is None or key in texts:
                archive.writestr(name, data if key is None else texts[key])
    return target


def plan_key(path):
    return artifact.PLAN_KEY if path.suffix == ".onnx" else artifact.PLAN_ENTRY


@pytest.mark.parametrize("name", NAMES)
def test_the_same_entries_written_anew_load(name, files, tmp_path):
    path = rewritten(files / name, tmp_path / name, lambda entries: None)
    assert artifact.read(path)[0] == PLAN


@pytest.mark.parametrize("backend", ["auto", "pil"])
@pytest.mark.parametrize("name", NAMES[:2])
def test_another_plan_is_noticed(name, backend, files, tmp_path):
    path = files / name
    other = rewritten(path, tmp_path / name, lambda entries: entries.update({plan_key(path): OTHER.to_json()}))
    with pytest.raises(ArtifactError, match=f"{name}: {TAMPERED}"):
        load(other, backend)


@pytest.mark.parametrize("name", NAMES)
def test_another_files_metadata_is_noticed(name, files, tmp_path):
    """Its Plan with the checksum of that."""
    path, other = files / name, files / name.replace("plan", "other")
    texts = {plan_key(path): OTHER.to_json(), checksum.KEY: text_of(other)}
    with pytest.raises(ArtifactError, match=TAMPERED):
        load(rewritten(path, tmp_path / name, lambda entries: entries.update(texts)))


@pytest.mark.parametrize("name", NAMES[2:])
def test_what_the_file_says_of_its_model_counts(name, files, tmp_path):
    key = artifact.FUSED_KEY if name.endswith(".onnx") else artifact.FUSED_ENTRY

    def change(entries):
        entries[key] = entries[key].replace('"group": false', '"group": true')

    with pytest.raises(ArtifactError, match=TAMPERED):
        load(rewritten(files / name, tmp_path / name, change))
    with pytest.raises(ArtifactError, match=TAMPERED):
        load(rewritten(files / name, tmp_path / name, lambda entries: entries.pop(key)))


@pytest.mark.parametrize("value", ["", "0" * 64, "no sum"])
@pytest.mark.parametrize("name", NAMES)
def test_another_checksum_is_noticed(name, value, files, tmp_path):
    with pytest.raises(ArtifactError, match=TAMPERED):
        load(rewritten(files / name, tmp_path / name, lambda entries: entries.update({checksum.KEY: value})))


@pytest.mark.parametrize("name", NAMES)
def test_a_file_without_one_loads(name, files, tmp_path):
    path = rewritten(files / name, tmp_path / name, lambda entries: entries.pop(checksum.KEY))
    image = noise(20, 30)
    for output, values in load(files / name)(image, return_tensors="np").items():
        assert_equal(load(path)(image, return_tensors="np")[output], values, name)


def test_other_metadata_may_change(files, tmp_path):
    """As people add it, and who made the file."""
    proto = onnx.load(files / "plan.onnx")
    proto.metadata_props.add(key="author", value="somebody")
    proto.producer_name, proto.doc_string, proto.model_version, proto.domain = "another", "text", 5, "x"
    onnx.save(proto, tmp_path / "model.onnx")
    assert artifact.read(tmp_path / "model.onnx") == (PLAN, False)


@pytest.mark.parametrize("fused", [True, False])
def test_any_part_of_the_graph_counts(fused, files, tmp_path):
    path = tmp_path / "model.onnx"

    def changed(change):
        proto = onnx.load(files / ("plan_fused.onnx" if fused else "plan.onnx"))
        change(proto)
        onnx.save(proto, path)
        with pytest.raises(ArtifactError, match=TAMPERED):
            artifact.read(path)

    changed(lambda proto: proto.graph.node.pop())
    changed(lambda proto: proto.graph.output[0].type.tensor_type.shape.dim.pop())
    changed(lambda proto: setattr(proto.graph.node[0], "name", "another"))
    changed(lambda proto: setattr(proto, "ir_version", 9))
    changed(lambda proto: setattr(proto.opset_import[0], "version", 19))
    changed(lambda proto: proto.functions.add(name="f", domain="d"))
    for i in range(len(onnx.load(files / "plan.onnx").graph.initializer)):
        changed(lambda proto, i=i: setattr(proto.graph.initializer[-1 - i], "doc_string", "x"))


def test_large_weights_count_by_their_length(files, tmp_path):
    """They are not read: a model may have gigabytes of them."""
    proto = onnx.load(files / "plan_fused.onnx")
    (weights,) = [tensor for tensor in proto.graph.initializer if len(tensor.raw_data) > checksum.LARGEST]
    weights.raw_data = bytes(len(weights.raw_data))
    onnx.save(proto, tmp_path / "model.onnx")
    assert artifact.read(tmp_path / "model.onnx") == (
        artifact.read(files / "plan_fused.onnx")[0],
        True,
    )
    weights.raw_data = weights.raw_data[4:]
    onnx.save(proto, tmp_path / "model.onnx")
    with pytest.raises(ArtifactError, match=TAMPERED):
        artifact.read(tmp_path / "model.onnx")


def test_gigabytes_are_skipped(files, tmp_path):
    """A tensor of 2 GiB, most of it a hole in the file."""
    path, hole = tmp_path / "large.onnx", 2**31
    head, tensor = varint(7 << 3 | 2), varint(5 << 3 | 2) + varint(hole)
    proto = with_plan(onnx.ModelProto(), PLAN, **{artifact.FUSED_KEY: "{}"})
    with path.open("wb") as file:
        file.write(proto.SerializeToString() + head + varint(len(tensor) + hole) + tensor)
        file.truncate(file.tell() + hole)
    artifact.seal(path)
    tracemalloc.start()
    try:
        start = time.process_time()
        assert artifact.read(path) == (PLAN, True)
        assert time.process_time() - start < 0.2
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_weights_of_a_module_count_by_their_crc(files, tmp_path):
    torch.manual_seed(0)
    other = Model()
    torch.nn.init.normal_(other.weights)
    exporter.to_torchscript(PLAN, tmp_path / "plan_fused.pt", other)
    assert text_of(tmp_path / "plan_fused.pt") != text_of(files / "plan_fused.pt")


def test_a_model_may_come_with_a_checksum(files, tmp_path):
    """Of whatever it was before; the file has its own."""
    proto = onnx.load(model(tmp_path / "model.onnx"))
    proto.metadata_props.add(key=checksum.KEY, value="0" * 64)
    onnx.save(proto, tmp_path / "model.onnx")
    exporter.to_onnx(PLAN, tmp_path / "fused.onnx", tmp_path / "model.onnx")
    keys = [entry.key for entry in onnx.load(tmp_path / "fused.onnx").metadata_props]
    assert keys.count(checksum.KEY) == 1
    assert artifact.read(tmp_path / "fused.onnx")[1]


def test_archives_that_unpack_to_more_than_they_are(files, tmp_path):
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"bomb/extra/{artifact.PLAN_ENTRY}", PLAN.to_json())
        with archive.open("bomb/code/large.py", "w", force_zip64=True) as entry:
            for _ in range(artifact.LONGEST_CODE // 2**22 + 1):
                entry.write(bytes(2**22))
    with pytest.raises(ArtifactError, match=r"bomb.pt: damaged TorchScript file .it would unpack to \d+ bytes"):
        load(path)
