"""exporter.verify: silent about equal files, loud about one differing value."""

import importlib
import warnings
import zipfile
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

import exporter
from exporter.verify import Row, sizes
from models.presets import PRESETS
from runtime import ArtifactError, BackendUnavailable, InputError, ParityError, Plan, artifact, checksum
from runtime.ops import CenterCrop, Normalize, Pad, Rescale, Resize
from runtime.ops.size import Size

from .fused import info, network, save, weight
from .helpers import noise

MODULE = importlib.import_module("exporter.verify")  # the package's attribute of this name is the function
FLOAT = onnx.TensorProto.FLOAT
POINTWISE = (Rescale(1 / 255), Normalize((0.5, 0.4, 0.3), (0.5, 0.6, 0.7)))


def plan(*steps):
    return Plan((*steps, *POINTWISE), reference="pillow13", family="ViT", source="a test")


TARGET = Resize(Size(height=32, width=48), "bicubic", "pillow13")
SQUARE = plan(TARGET)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The same Plan as ``a.onnx`` and ``a.pt``."""
    folder = tmp_path_factory.mktemp("files")
    exporter.to_onnx(SQUARE, folder / "a.onnx")
    exporter.to_torchscript(SQUARE, folder / "a.pt")
    return folder


@pytest.fixture
def few_sizes(monkeypatch):
    """Three sizes in place of them all: 12 megapixels take a while."""
    few = ((37, 53), (90, 41), (1, 1))
    monkeypatch.setattr(MODULE, "sizes", lambda plan: few)
    return few


def with_plan(path, plan, target):
    """The file of one Plan with the metadata of another."""
    if path.suffix == ".onnx":
        model = onnx.load(path)
        onnx.helper.set_model_props(model, {artifact.PLAN_KEY: plan.to_json()})
        onnx.save(model, target)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch deprecates torch.jit
            torch.jit.save(torch.jit.load(path), target, _extra_files={artifact.PLAN_ENTRY: plan.to_json()})
    return target


def parity_error(path, *arguments, **more):
    with pytest.raises(ParityError) as caught:
        exporter.verify(path, *arguments, **more)
    assert caught.value.rows
    assert all(isinstance(row, Row) for row in caught.value.rows)
    return caught.value


@pytest.mark.parametrize(("name", "backend"), [("a.onnx", "onnx"), ("a.pt", "torchscript")])
def test_an_equal_file_gives_a_row_for_every_size(files, name, backend):
    rows = exporter.verify(files / name)
    assert rows == tuple(Row(backend, f"{h}x{w}", 3 * 32 * 48, 0) for h, w in sizes(SQUARE))


@pytest.mark.parametrize("name", ["a.onnx", "a.pt"])
def test_any_backend_may_be_checked(files, few_sizes, name):
    own = "onnx" if name == "a.onnx" else "torchscript"
    rows = exporter.verify(files / name, backends=[own, "torch", "pil"])
    assert [row.backend for row in rows] == [own, "torch", "pil"] * 3
    assert not any(row.differing for row in rows)


def test_images_are_tried_besides_the_noise(files, few_sizes, tmp_path):
    Image.fromarray(noise(20, 30)).save(tmp_path / "photo.png")
    images = [tmp_path / "photo.png", str(tmp_path / "photo.png"), noise(5, 6), Image.fromarray(noise(7, 8))]
    rows = exporter.verify(files / "a.onnx", images)
    assert [row.image for row in rows] == ["37x53", "90x41", "1x1", "photo.png", "photo.png", "image 2", "image 3"]
    assert {row.values for row in rows} == {3 * 32 * 48}


def test_an_image_alone_may_show_the_difference(files, tmp_path, monkeypatch):
    """The table is wrong for one value of red, which only the image has."""
    monkeypatch.setattr(MODULE, "sizes", lambda plan: ())
    path = one_value_off(files / "a.onnx", tmp_path / "off.onnx", entry=200)
    image = np.zeros((32, 48, 3), np.uint8)
    exporter.verify(path, [image])
    image[3, 4, 0] = 200
    error = parity_error(path, [image])
    assert error.rows == (Row("onnx", "image 0", 3 * 32 * 48, 1),)


def one_value_off(path, target, entry):
    """The file with one of the table's 768 floats moved to its neighbour."""
    model = onnx.load(path)
    (table,) = [t for t in model.graph.initializer if t.data_type == onnx.TensorProto.FLOAT and np.prod(t.dims) == 768]
    values = onnx.numpy_helper.to_array(table).copy()
    values.reshape(-1)[entry] = np.nextafter(values.reshape(-1)[entry], np.float32(9))
    table.CopyFrom(onnx.numpy_helper.from_array(values, table.name))
    kept = {entry.key: entry.value for entry in model.metadata_props if entry.key != checksum.KEY}
    onnx.helper.set_model_props(model, kept)
    onnx.save(model, target)
    return target


def test_one_value_of_the_table_off_by_one_bit_is_found(files, few_sizes, tmp_path):
    error = parity_error(one_value_off(files / "a.onnx", tmp_path / "off.onnx", entry=100))
    bad = [row for row in error.rows if row.differing]
    assert bad
    assert all(0 < row.differing < row.values / 20 for row in bad)
    first = bad[0]
    assert f"backend onnx differs from the reference at {first.image}" in str(error)
    assert f"{first.differing} of {first.values} values differ" in str(error)
    assert str(tmp_path / "off.onnx") in str(error)


@pytest.mark.parametrize(
    ("other", "differing"),
    [
        (replace(SQUARE, steps=(replace(TARGET, filter="bilinear"), *POINTWISE)), "values"),
        (replace(SQUARE, steps=(TARGET, POINTWISE[0], Normalize((0.5, 0.4, 0.3), (0.5, 0.6, 0.8)))), "values"),
        (replace(SQUARE, steps=(replace(TARGET, order="pillow12.1"), *POINTWISE), reference="pillow12.1"), "values"),
        (replace(SQUARE, steps=(TARGET, CenterCrop(30, 30), *POINTWISE)), "form"),
        (replace(SQUARE, steps=(TARGET,)), "form"),
    ],
    ids=["filter", "std", "order", "size", "dtype"],
)
@pytest.mark.parametrize("name", ["a.onnx", "a.pt"])
def test_a_file_with_the_plan_of_another_differs(files, few_sizes, tmp_path, name, other, differing):
    path = with_plan(files / name, other, tmp_path / name)
    error = parity_error(path)
    assert [row.image for row in error.rows] == [f"{h}x{w}" for h, w in few_sizes]
    if differing == "form":
        assert [row.differing for row in error.rows] == [-1, -1, -1]
        assert "the results' form differs (and at 2 more)" in str(error)
    else:
        assert max(row.differing for row in error.rows) > 0


def test_the_reference_is_the_plans_and_not_the_installed_pillows(few_sizes, tmp_path):
    """A portrait: its pixels depend on the order of passes."""
    pixels = {}
    for order in ("pillow13", "pillow12.1"):
        steps = exporter.trace("vit-base-patch16-224", reference=order, size=20).steps
        path = tmp_path / f"{order}.onnx"
        exporter.to_onnx(Plan(steps, order), path)
        assert not any(row.differing for row in exporter.verify(path, [noise(300, 20)]))
        pixels[order] = path
    swapped = with_plan(pixels["pillow13"], artifact.read(pixels["pillow12.1"])[0], tmp_path / "swapped.onnx")
    assert parity_error(swapped).rows


@pytest.mark.parametrize("name", ["a.onnx", "a.pt"])
def test_an_image_that_both_refuse_is_no_difference(few_sizes, tmp_path, name):
    """37x53 fits in, 90x41 does not."""
    pad = plan(Pad(Size(height=60, width=60)))
    path = tmp_path / name
    (exporter.to_onnx if name == "a.onnx" else exporter.to_torchscript)(pad, path)
    rows = exporter.verify(path)
    assert [(row.values, row.differing) for row in rows] == [(10800, 0), (0, 0), (10800, 0)]


def test_an_image_that_one_refuses_is_a_difference(few_sizes, tmp_path):
    exporter.to_onnx(plan(Pad(Size(height=60, width=60))), tmp_path / "a.onnx")
    path = with_plan(tmp_path / "a.onnx", plan(CenterCrop(60, 60)), tmp_path / "b.onnx")
    assert any(row.image == "90x41" and row.differing == -1 for row in parity_error(path).rows)


def test_progress_is_told_before_each_image(files, few_sizes):
    seen = []
    exporter.verify(files / "a.onnx", [noise(9, 9)], progress=lambda *told: seen.append(told))
    assert seen == [(0, 4, "37x53"), (1, 4, "90x41"), (2, 4, "1x1"), (3, 4, "image 0")]


@pytest.mark.parametrize("content", [None, b"", b"some text\n", b"\x00" * 64, "model", "truncated", "zip"])
@pytest.mark.parametrize("name", ["b.onnx", "b.pt"])
def test_files_that_are_no_artifact(files, few_sizes, tmp_path, name, content):
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "truncated":
        whole = (files / name.replace("b", "a")).read_bytes()
        path.write_bytes(whole[: len(whole) * 2 // 3])
    elif content == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a/data.txt", "text")
    elif content == "model":
        value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
        node = onnx.helper.make_node("Identity", ["x"], ["y"])
        out = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
        onnx.save(onnx.helper.make_model(onnx.helper.make_graph([node], "g", [value], [out])), path)
    with pytest.raises(ArtifactError, match=path.name):
        exporter.verify(path)


def test_a_backend_that_does_not_fit_the_file(files):
    with pytest.raises(BackendUnavailable, match=r"needs a \.pt file"):
        exporter.verify(files / "a.onnx", backends=["torchscript"])


@pytest.mark.parametrize(
    "image", ["missing.png", b"no image", np.zeros((4, 4), np.uint8)], ids=["path", "bytes", "2-D"]
)
def test_an_image_that_is_none_is_said(files, few_sizes, image):
    with pytest.raises(InputError):
        exporter.verify(files / "a.onnx", [image])


# What is tried.


@pytest.mark.parametrize("name", PRESETS)
def test_sizes_hold_what_has_been_wrong_elsewhere(name):
    tried = sizes(exporter.trace(name))
    assert len(set(tried)) == len(tried)
    assert (1, 1) in tried
    assert any(h > w for h, w in tried)
    assert any(h < w for h, w in tried)
    assert any(h == w > 1 for h, w in tried)
    assert any(h == 20 * w for h, w in tried)
    assert any(w == 20 * h for h, w in tried)
    assert any(h % 2 and w % 2 and h * w > 1 for h, w in tried)
    assert max(h * w for h, w in tried) == 12_000_000


def around(height, width):
    return {(height, width), (height + 1, width - 1), (height - 1, width + 1)}


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ((TARGET,), around(32, 48)),
        ((TARGET, CenterCrop(20, 24)), around(20, 24)),
        ((CenterCrop(30, 36),), around(30, 36)),
        ((Pad(Size(height=60, width=66)),), around(60, 66)),
        ((), around(224, 224)),
    ],
    ids=str,
)
def test_sizes_hold_the_target_and_one_off_it(steps, expected):
    assert expected <= set(sizes(plan(*steps)))


def test_sizes_stay_positive_around_a_target_of_one_pixel():
    tried = sizes(plan(Resize(Size(height=1, width=1), "box", "pillow13")))
    assert min(min(size) for size in tried) == 1


def test_sizes_hold_the_target_of_a_short_edge():
    tried = sizes(plan(Resize(Size(shortest_edge=100), "bicubic", "pillow13")))
    assert any(min(size) == 100 for size in tried)


# Files with a model in them.


def test_the_preprocessing_of_a_fused_file_is_compared(few_sizes, tmp_path):
    nodes = [onnx.helper.make_node("Flatten", ["x"], ["y"])]
    model = save(tmp_path / "m.onnx", nodes, [info("x", FLOAT, ["n", 3, 32, 48])], [info("y", FLOAT, ["n", 4608])])
    exporter.to_onnx(SQUARE, tmp_path / "fused.onnx", model)
    rows = exporter.verify(tmp_path / "fused.onnx", [noise(9, 8)])
    assert rows == tuple(Row("onnx", name, 4608, 0) for name in ("37x53", "90x41", "1x1", "image 0"))
    error = parity_error(one_value_off(tmp_path / "fused.onnx", tmp_path / "off.onnx", entry=100))
    assert all(0 <= row.differing < row.values / 20 for row in error.rows)


def test_a_fixed_batch_is_filled(few_sizes, tmp_path):
    exporter.to_onnx(SQUARE, tmp_path / "fused.onnx", network(tmp_path / "m.onnx", shape=(3, 3, 32, 48)))
    rows = exporter.verify(tmp_path / "fused.onnx", [noise(9, 8)])
    assert [(row.image, row.values, row.differing) for row in rows][2:] == [("1x1", 24, 0), ("image 0", 24, 0)]


def embedding(path, rows, tokens=("n", "length"), dtype=onnx.TensorProto.INT64):
    """A model that looks up tokens among ``rows``, and adds what it finds to the image's mean."""
    nodes = [
        onnx.helper.make_node("GlobalAveragePool", ["x"], ["p"]),
        onnx.helper.make_node("Flatten", ["p"], ["f"]),
        onnx.helper.make_node("Gather", ["table", "tokens"], ["g"]),
        onnx.helper.make_node("ReduceMean", ["g", "axes"], ["m"], keepdims=0),
        onnx.helper.make_node("Add", ["f", "m"], ["y"]),
    ]
    inputs = [info("x", FLOAT, ["n", 3, 32, 48]), info("tokens", dtype, tokens)]
    weights = {"table": weight(rows, 3), "axes": np.array([1])}
    return save(path, nodes, inputs, [info("y", FLOAT, ["n", 3])], weights)


@pytest.mark.parametrize(
    ("rows", "tokens", "backend"),
    [
        (9, ("n", "length"), "onnx"),
        (9, ("n", 5), "onnx"),
        (9, None, "onnx, without its model"),
        (1, ("n", "length"), "onnx, without its model"),
    ],
)
def test_other_inputs_get_zeros_and_ones(few_sizes, rows, tokens, backend, tmp_path):
    """Where the model does not run on these, or nobody knows their shape, the preprocessing is compared."""
    exporter.to_onnx(SQUARE, tmp_path / "fused.onnx", embedding(tmp_path / "m.onnx", rows, tokens))
    found = exporter.verify(tmp_path / "fused.onnx")
    values = 3 if backend == "onnx" else 3 * 32 * 48
    assert found == tuple(Row(backend, name, values, 0) for name in ("37x53", "90x41", "1x1"))
    if values > 3:  # a mean would not show it
        off = one_value_off(tmp_path / "fused.onnx", tmp_path / "off.onnx", entry=100)
        assert {row.backend for row in parity_error(off).rows} == {backend}


def test_a_model_that_fails_on_every_image(few_sizes, tmp_path):
    nodes = [onnx.helper.make_node("Reshape", ["x", "s"], ["y"])]
    inputs, outputs = [info("x", FLOAT, ["n", 3, "h", "w"])], [info("y", FLOAT, [7])]
    model = save(tmp_path / "m.onnx", nodes, inputs, outputs, {"s": np.array([7])})
    exporter.to_onnx(SQUARE, tmp_path / "fused.onnx", model)
    with pytest.raises(ArtifactError, match=r"fused.onnx: the model fails on every image: .*Reshape"):
        exporter.verify(tmp_path / "fused.onnx")


def test_a_model_that_gives_nan(few_sizes, tmp_path):
    nodes = [onnx.helper.make_node("Log", ["x"], ["y"])]
    inputs, outputs = ([info(name, FLOAT, ["n", 3, 32, 48])] for name in "xy")
    exporter.to_onnx(SQUARE, tmp_path / "fused.onnx", save(tmp_path / "m.onnx", nodes, inputs, outputs))
    assert not any(row.differing for row in exporter.verify(tmp_path / "fused.onnx"))


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
@pytest.mark.parametrize("backends", [None, ["onnx"], ["torch"]])
def test_backends_of_a_fused_file(few_sizes, layout, backends, tmp_path):
    exporter.to_onnx(
        replace(SQUARE, layout=layout), tmp_path / "f.onnx", network(tmp_path / "m.onnx", ("n", 3, 32, 48))
    )
    if backends == ["torch"]:
        with pytest.raises(BackendUnavailable, match="needs backend 'onnx', not 'torch'"):
            exporter.verify(tmp_path / "f.onnx", backends=backends)
    else:
        assert {row.values for row in exporter.verify(tmp_path / "f.onnx", backends=backends)} == {8}
