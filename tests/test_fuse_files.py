"""A model's files: weights in files of their own, damaged and hostile files, and what is left when fusing fails."""

import os
import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import exporter
from exporter import cli
from exporter.atomic import atomic
from exporter.fusing import data
from runtime import ArtifactError, load

from .fused import assert_fused, info, network, plan, run, save, session, verify, weight
from .helpers import assert_equal, noise

POSIX = pytest.mark.skipif(os.name != "posix", reason="links need rights elsewhere")


@pytest.fixture
def small(monkeypatch):
    """Weights go to a file of their own from 2 kB on."""
    monkeypatch.setattr(data, "LARGEST", 2000)


def external(path, *, one_file=True, threshold=0, **more):
    """A model whose weights are in ``PATH.weights``, or in a file each."""
    model = onnx.load(network(path, **more))
    path.unlink()
    onnx.save(
        model, path, save_as_external_data=True, all_tensors_to_one_file=one_file,
        location=f"{path.name}.weights" if one_file else None, size_threshold=threshold, convert_attribute=True,
    )  # fmt: skip
    return path


def entry(path, **changes):
    """Changes what the model says of the place of its first external tensor."""
    model = onnx.load(path, load_external_data=False)
    tensor = next(tensor for tensor in model.graph.initializer if data.is_external(tensor))
    places = {place.key: place for place in tensor.external_data}
    for key, value in changes.items():
        if key not in places:
            places[key] = tensor.external_data.add(key=key)
        places[key].value = str(value)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("one_file", [True, False])
@pytest.mark.parametrize("opset", [18, 13])
def test_small_weights_go_into_the_file(one_file, opset, tmp_path):
    (tmp_path / "model").mkdir()
    model = external(tmp_path / "model" / "m.onnx", one_file=one_file, opset=opset)
    exporter.to_onnx(plan(), tmp_path / "fused.onnx", model)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["fused.onnx"]
    images = noise(40, 50)[None]
    exporter.to_onnx(plan(), tmp_path / "pre.onnx")
    want = run(model, **run(tmp_path / "pre.onnx", images=images))["logits"]
    assert_equal(run(tmp_path / "fused.onnx", images=images)["logits"], want, "logits")
    verify(tmp_path / "fused.onnx")


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("opset", [18, 13])
def test_large_weights_lie_beside_the_file(inside, opset, small, tmp_path):
    model = network(tmp_path / "m.onnx", opset=opset) if inside else external(tmp_path / "m.onnx", opset=opset)
    fused = assert_fused(plan(do_resize=True, size=40), model)
    assert fused.with_name("fused.onnx.data").is_file()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    (tmp_path / "moved").mkdir()
    for name in ("fused.onnx", "fused.onnx.data"):
        (tmp_path / name).rename(tmp_path / "moved" / name)
    for path in tmp_path.glob("m.onnx*"):
        path.unlink()
    verify(tmp_path / "moved" / "fused.onnx")
    assert load(tmp_path / "moved" / "fused.onnx")(noise(40, 50))["logits"].shape == (1, 8)


def linear(path):
    """A model with two weights."""
    nodes = [helper.make_node("MatMul", ["f", "a"], ["b"]), helper.make_node("Add", ["b", "c"], ["y"])]
    nodes = [helper.make_node("Flatten", ["x"], ["f"]), *nodes]
    inputs, outputs = [info("x", TensorProto.FLOAT, ["n", 3, 32, 32])], [info("y", TensorProto.FLOAT, ["n", 300])]
    return save(path, nodes, inputs, outputs, {"c": weight(300), "a": weight(3072, 300)})


@pytest.mark.parametrize("largest", [2000, data.LARGEST])
def test_each_weight_is_read_from_its_place(largest, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "LARGEST", largest)
    model = onnx.load(linear(tmp_path / "m.onnx"))
    (tmp_path / "m.onnx").unlink()
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, location="weights", size_threshold=0)
    assert_fused(plan(), tmp_path / "m.onnx", lambda given: {"x": given["pixel_values"]})


def test_the_file_of_weights_has_places_that_can_be_mapped(small, tmp_path):
    fused = assert_fused(plan(), linear(tmp_path / "m.onnx"), lambda given: {"x": given["pixel_values"]})
    places = {}
    for tensor in onnx.load(fused, load_external_data=False).graph.initializer:
        if data.is_external(tensor):
            places[tensor.name] = {place.key: place.value for place in tensor.external_data}
    assert {place["location"] for place in places.values()} == {"fused.onnx.data"}
    assert int(places["a"]["offset"]) % 65536 == 0
    assert int(places["a"]["length"]) == 3072 * 300 * 4


def test_weights_in_graphs_inside_and_in_nodes(small, tmp_path):
    tensor = onnx.numpy_helper.from_array(weight(1, 3, 32, 32), "c")
    inner = helper.make_graph(
        [helper.make_node("Add", ["x", "v"], ["t"])], "then", [], [info("t", TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(weight(3, 32, 32), "v")],
    )  # fmt: skip
    other = helper.make_graph([helper.make_node("Neg", ["x"], ["e"])], "else", [], [info("e", TensorProto.FLOAT, None)])
    nodes = [
        helper.make_node("Constant", [], ["c"], value=tensor),
        helper.make_node("ReduceSum", ["x"], ["s"], keepdims=0),
        helper.make_node("Less", ["s", "limit"], ["yes"]),
        helper.make_node("If", ["yes"], ["i"], then_branch=inner, else_branch=other),
        helper.make_node("Add", ["i", "c"], ["y"]),
    ]
    inputs, outputs = ([info(name, TensorProto.FLOAT, ["n", 3, 32, 32])] for name in "xy")
    path = save(tmp_path / "m.onnx", nodes, inputs, outputs, {"limit": np.float32(1e9).reshape(())})
    assert_fused(plan(), path, lambda given: {"x": given["pixel_values"]})


@POSIX
def test_links_of_a_cache_are_followed(tmp_path):
    """Hugging Face's cache keeps files under their hashes, and links to them from the snapshot's folder."""
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "abc"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    model = external(tmp_path / "m.onnx")
    for name, digest in (("m.onnx", "1234"), ("m.onnx.weights", "5678")):
        (tmp_path / name).rename(blobs / digest)
        (snapshot / name).symlink_to(blobs / digest)
    exporter.to_onnx(plan(), tmp_path / "fused.onnx", snapshot / model.name)
    verify(tmp_path / "fused.onnx")


# --- What is refused


@pytest.mark.parametrize(
    "location",
    ["../secret", "/etc/passwd", "a/../../secret", "..\\secret", "C:\\secret", "\\secret", "//host/secret", ""],
)
def test_weights_outside_the_models_folder(location, tmp_path):
    (tmp_path / "secret").write_bytes(bytes(10_000))
    (tmp_path / "model").mkdir()
    model = entry(external(tmp_path / "model" / "m.onnx"), location=location)
    with pytest.raises(ArtifactError, match=r"m.onnx: the weights 'w' are said to be in .* not in the model's folder"):
        exporter.to_onnx(plan(), tmp_path / "fused.onnx", model)


@POSIX
@pytest.mark.parametrize("place", ["file", "folder"])
def test_a_link_out_of_the_models_folder(place, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "other").mkdir()
    model = external(tmp_path / "model" / "m.onnx")
    weights = tmp_path / "model" / "m.onnx.weights"
    weights.rename(tmp_path / "other" / "w")
    if place == "file":
        weights.symlink_to(tmp_path / "other" / "w")
    else:
        (tmp_path / "model" / "sub").symlink_to(tmp_path / "other")
        entry(model, location="sub/w")
    with pytest.raises(ArtifactError, match=r"is a link to .*other/w, outside the model's folder"):
        exporter.to_onnx(plan(), tmp_path / "fused.onnx", model)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"location": "missing"}, "its file of weights 'missing' is missing: put it beside the model"),
        ({"offset": 10**6}, r"has \d+ bytes, expected at least \d+: it was not copied whole"),
        ({"offset": -4}, "have 864 bytes from -4, expected 864"),
        ({"length": 860}, "have 860 bytes from 0, expected 864"),
        ({"length": 10**12}, "have 1000000000000 bytes from 0, expected 864"),
        ({"offset": "x"}, "the place of the weights 'w' cannot be read"),
    ],
    ids=str,
)
def test_places_that_are_none(changes, message, tmp_path):
    model = entry(external(tmp_path / "m.onnx"), **changes)
    with pytest.raises(ArtifactError, match=message):
        exporter.to_onnx(plan(), tmp_path / "fused.onnx", model)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.onnx", "m.onnx.weights"]


def test_a_file_of_weights_that_is_too_short(tmp_path):
    model = external(tmp_path / "m.onnx")
    weights = tmp_path / "m.onnx.weights"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(ArtifactError, match="has 863 bytes, expected at least 864: it was not copied whole"):
        exporter.to_onnx(plan(), tmp_path / "fused.onnx", model)


def test_verify_finds_a_missing_file_of_weights(small, tmp_path):
    exporter.to_onnx(plan(do_resize=True, size=40), tmp_path / "fused.onnx", network(tmp_path / "m.onnx"))
    (tmp_path / "fused.onnx.data").unlink()
    for function in (load, exporter.verify):
        with pytest.raises(ArtifactError, match=r"fused.onnx: "):
            function(tmp_path / "fused.onnx")


def test_weights_of_a_model_are_not_replaced(small, tmp_path):
    model = onnx.load(network(tmp_path / "m.onnx"))
    (tmp_path / "m.onnx").unlink()
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, location="fused.onnx.data", size_threshold=0)
    before = (tmp_path / "fused.onnx.data").read_bytes()
    message = r"fused.onnx: its weights would replace those of .*m.onnx: write to another name"
    with pytest.raises(ArtifactError, match=message):
        exporter.to_onnx(plan(), tmp_path / "fused.onnx", tmp_path / "m.onnx")
    (tmp_path / "p.json").write_text('{"image_processor_type": "CLIPImageProcessor", "size": 40, "crop_size": 32}')
    arguments = [str(tmp_path / name) for name in ("p.json", "fused.onnx", "m.onnx")]
    assert cli.main([arguments[0], "-o", arguments[1], "--model", arguments[2], "--no-verify"]) == 2
    assert (tmp_path / "fused.onnx.data").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fused.onnx.data", "m.onnx", "p.json"]


@pytest.mark.parametrize("content", ["text", "empty", "half", "pt", "missing", "folder"])
def test_files_that_are_no_model(content, tmp_path):
    path = network(tmp_path / "m.onnx")
    whole = path.read_bytes()
    contents = {"text": b"not a model", "empty": b"", "half": whole[: len(whole) // 2], "pt": b"PK\x03\x04" + bytes(50)}
    path.unlink()
    if content == "folder":
        path.mkdir()
    elif content != "missing":
        path.write_bytes(contents[content])
    message = "no such model file" if content in ("missing", "folder") else "not an ONNX model that can be read"
    with pytest.raises(ArtifactError, match=f"m.onnx: {message}"):
        exporter.to_onnx(plan(), tmp_path / "fused.onnx", path)
    assert not (tmp_path / "fused.onnx").exists()


@POSIX
def test_a_file_that_is_larger_than_any_model(tmp_path):
    with (tmp_path / "m.onnx").open("wb") as file:
        file.truncate(2**31)
    with pytest.raises(ArtifactError, match=r"is larger than 2 GB, .*save_as_external_data=True"):
        exporter.to_onnx(plan(), tmp_path / "fused.onnx", tmp_path / "m.onnx")


def test_a_model_without_outputs(tmp_path):
    inputs = [info("x", TensorProto.FLOAT, ["n", 3, 32, 32])]
    model = save(tmp_path / "m.onnx", [helper.make_node("Relu", ["x"], ["y"])], inputs, [])
    with pytest.raises(ArtifactError, match=r"m.onnx: the model has no output"):
        exporter.to_onnx(plan(), tmp_path / "fused.onnx", model)


def custom(path):
    nodes = [helper.make_node("Magic", ["x"], ["y"], domain="org.example")]
    inputs, outputs = ([info(name, TensorProto.FLOAT, ["n", 3, 32, 32])] for name in "xy")
    return save(path, nodes, inputs, outputs, opsets={"": 18, "org.example": 1})


def test_operators_that_need_a_library(tmp_path):
    exporter.to_onnx(plan(), tmp_path / "fused.onnx", custom(tmp_path / "m.onnx"))
    assert "org.example" in {node.domain for node in onnx.load(tmp_path / "fused.onnx").graph.node}
    for function in (load, exporter.verify):
        with pytest.raises(ArtifactError, match=r"fused.onnx: .*org.example"):
            function(tmp_path / "fused.onnx")


def test_the_command_says_which_operators_need_a_library(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    custom(tmp_path / "m.onnx")
    (tmp_path / "p.json").write_text('{"image_processor_type": "CLIPImageProcessor", "size": 40, "crop_size": 32}')
    assert cli.main(["p.json", "-o", "fused.onnx", "--model", "m.onnx"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    words = "fused.onnx: onnxruntime does not know the model's operator org.example:Magic without its library: register"
    assert line.removeprefix("export-preprocessor: ").startswith(words)
    assert "--no-verify writes the file" in line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.onnx", "p.json"]
    assert cli.main(["p.json", "-o", "fused.onnx", "--model", "m.onnx", "--no-verify"]) == 0
    assert (tmp_path / "fused.onnx").is_file()


# --- All or nothing


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError("disk full"), ArtifactError("no")])
@pytest.mark.parametrize("moment", ["_chunks", "size_of"])
@pytest.mark.parametrize("existing", [False, True])
def test_nothing_is_left_of_what_fails(error, moment, existing, small, tmp_path, monkeypatch):
    (tmp_path / "model").mkdir()
    model = external(tmp_path / "model" / "m.onnx", threshold=100)
    if existing:
        for name in ("fused.onnx", "fused.onnx.data"):
            (tmp_path / name).write_text("old")

    def fail(*arguments):
        raise error

    monkeypatch.setattr(data, moment, fail)
    with pytest.raises((KeyboardInterrupt, ArtifactError)):
        exporter.to_onnx(plan(do_resize=True, size=40), tmp_path / "fused.onnx", model)
    left = {path.name: path.read_text() for path in tmp_path.iterdir() if path.is_file()}
    assert left == ({"fused.onnx": "old", "fused.onnx.data": "old"} if existing else {})
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["model"]


def test_files_appear_together_or_not_at_all(tmp_path):
    """The file itself cannot be replaced: the weights beside it, which were moved already, go back."""
    (tmp_path / "fused.onnx").mkdir()
    (tmp_path / "fused.onnx.data").write_text("old")

    def write():
        with atomic(tmp_path / "fused.onnx") as temporary:
            temporary.write_text("new")
            temporary.with_name("fused.onnx.data").write_text("new")
            temporary.with_name("more").write_text("new")

    with pytest.raises(ArtifactError, match=r"fused.onnx: cannot be written .Is a directory"):
        write()
    assert (tmp_path / "fused.onnx.data").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fused.onnx", "fused.onnx.data"]


# --- Size


MEMORY = """
import resource, sys
import exporter
from exporter.fusing import data
plan = exporter.trace("clip-vit-base-patch32", size=40, crop_size=32)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
exporter.to_onnx(plan, sys.argv[2], sys.argv[1])
print(before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
@POSIX
def test_a_model_of_more_than_2_gb_is_not_loaded(tmp_path):
    """550 million weights, all zero but the last, in a file that takes no space."""
    rows = 180_000
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[3072, rows], data_location=TensorProto.EXTERNAL)
    size = 3072 * rows * 4
    for key, value in (("location", "w.bin"), ("offset", 0), ("length", size)):
        tensor.external_data.add(key=key, value=str(value))
    with (tmp_path / "w.bin").open("wb") as file:
        file.truncate(size)
        file.seek(size - 4)
        file.write(np.float32(2).tobytes())
    nodes = [helper.make_node("Flatten", ["x"], ["f"]), helper.make_node("MatMul", ["f", "w"], ["y"])]
    inputs, outputs = [info("x", TensorProto.FLOAT, [1, 3, 32, 32])], [info("y", TensorProto.FLOAT, [1, rows])]
    save(tmp_path / "m.onnx", nodes, inputs, outputs)
    model = onnx.load(tmp_path / "m.onnx")
    model.graph.initializer.append(tensor)
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    command = [sys.executable, "-c", MEMORY, str(tmp_path / "m.onnx"), str(tmp_path / "fused.onnx")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    before, peak = map(int, done.stdout.split())
    assert peak - before < 200_000, "kilobytes"
    assert (tmp_path / "fused.onnx.data").stat().st_size >= size
    (tmp_path / "w.bin").unlink()
    got = run(tmp_path / "fused.onnx", images=noise(40, 50)[None])["y"]
    exporter.to_onnx(plan(do_resize=True, size=40), tmp_path / "pre.onnx")
    pixel = run(tmp_path / "pre.onnx", images=noise(40, 50)[None])["pixel_values"].ravel()[-1]
    assert got[0, -1] == 2 * pixel
    assert not got[0, :-1].any()
    assert session(tmp_path / "fused.onnx").get_inputs()[0].shape[0] == 1
    verify(tmp_path / "fused.onnx")
