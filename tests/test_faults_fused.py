"""Files with a model in them, changed by somebody who writes a new checksum: an error of ours, or what was there."""

import io
import json
import pickle
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

import exporter
from exporter import cli
from exporter.fused import model_summary
from runtime import ArtifactError, InputError, PreprocessorError, artifact, checksum, load
from runtime.ops import CenterCrop, ImageSize, Normalize, PadToLargest, Rescale
from runtime.postprocess import ImageClassification, ObjectDetection
from runtime.preprocessor import Preprocessor

from .faults import at_most, damaged, mutated
from .fused import info, network, plan, save, weight
from .helpers import assert_equal, make_plan, noise

SECONDS = 30
IMAGES = [noise(40, 50, i) for i in range(2)]
STEPS = (CenterCrop(32, 32), Rescale(1 / 255))
ROWS = {"axes": np.array([-1])}


class Module(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weights = torch.nn.Parameter(torch.arange(3 * 32 * 200.0).reshape(3, 32, 200))

    def forward(self, pixel_values):
        return torch.einsum("nchw,chk->nk", pixel_values, self.weights)


def sums(path, shape, name="x"):
    """A model of the sums of an image's rows."""
    nodes = [helper.make_node("ReduceSum", [name, "axes"], ["y"])]
    outputs = [info("y", TensorProto.FLOAT, [*shape[:-1], 1])]
    return save(path, nodes, [info(name, TensorProto.FLOAT, shape)], outputs, ROWS)


def detector(path):
    """A model of seven boxes and six scores of each."""
    nodes = [helper.make_node("GlobalAveragePool", ["x"], ["pool"]), helper.make_node("Flatten", ["pool"], ["flat"])]
    shapes = {"logits": [-1, 7, 6], "pred_boxes": [-1, 7, 4]}
    weights = {f"w_{name}": weight(3, shape[1] * shape[2]) for name, shape in shapes.items()}
    for name in shapes:
        nodes += [
            helper.make_node("MatMul", ["flat", f"w_{name}"], [f"m_{name}"]),
            helper.make_node("Reshape", [f"m_{name}", f"s_{name}"], [name]),
        ]
    outputs = [info(name, TensorProto.FLOAT, ["n", *shape[1:]]) for name, shape in shapes.items()]
    tensors = weights | {f"s_{name}": np.array(shape) for name, shape in shapes.items()}
    return save(path, nodes, [info("x", TensorProto.FLOAT, ["n", 3, 32, 32])], outputs, tensors)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fused")
    model, named = folder / "model", replace(plan(), labels=tuple("abcdefgh"))
    exporter.to_onnx(named, folder / "classes.onnx", network(model), postprocess="image_classification")
    exporter.to_onnx(named, folder / "fixed.onnx", network(model, (2, 3, 32, 32)), postprocess="none")
    boxes = make_plan(*STEPS, family="Detr", labels=("x", "y"))
    exporter.to_onnx(boxes, folder / "boxes.onnx", detector(model), postprocess="object_detection")
    for group in ("pair", "video"):
        grouped = make_plan(ImageSize("sizes"), *STEPS, group=group)
        exporter.to_onnx(grouped, folder / f"{group}.onnx", sums(model, ["n", 2, 3, 32, 32]))
    exporter.to_onnx(make_plan(*STEPS), folder / "single.onnx", sums(model, [3, 32, 32]))
    exporter.to_torchscript(make_plan(*STEPS), folder / "module.pt", Module())
    model.unlink()
    return folder


NAMES = ["classes.onnx", "fixed.onnx", "boxes.onnx", "pair.onnx", "video.onnx", "single.onnx", "module.pt"]


def results(path):
    """By call, what a file gives; the class of an error of ours."""
    pre = load(path)
    images = {"pair": [IMAGES, IMAGES], "video": [IMAGES]}.get(pre.plan.group, IMAGES)
    calls = {
        "arrays": lambda: dict(pre(images)),
        "one": lambda: dict(pre(IMAGES[0])),
        "lists": lambda: dict(pre(images, return_tensors=None)),
        "predict": lambda: pre.predict(images),
        "map": lambda: [dict(batch) for batch in pre.map(IMAGES, batch_size=1)],
    }
    found = {}
    for name, call in calls.items():
        try:
            found[name] = call()
        except PreprocessorError as error:
            found[name] = type(error)
    return found


def plain(value):
    """A result that can be compared."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return (str(value.dtype), value.shape, value.tobytes()) if hasattr(value, "tobytes") else value


def texts(path):
    """The Plan's JSON and the model's, as the file has them."""
    if path.suffix == ".onnx":
        found = artifact.onnx_metadata(path)
        return json.loads(found[artifact.PLAN_KEY]), json.loads(found[artifact.FUSED_KEY])
    with zipfile.ZipFile(path) as archive:
        entries = {name.rpartition("/")[2]: archive.read(name) for name in archive.namelist()}
    return json.loads(entries[artifact.PLAN_ENTRY]), json.loads(entries[artifact.FUSED_ENTRY])


def rewritten(source, target, plan, fusion, seal=True):
    """A copy with other texts, and with a checksum of its own."""
    plan, fusion = json.dumps(plan), json.dumps(fusion)
    if source.suffix == ".onnx":
        proto = onnx.load(source)
        onnx.helper.set_model_props(proto, {artifact.PLAN_KEY: plan, artifact.FUSED_KEY: fusion})
        onnx.save(proto, target)
    else:
        given = {artifact.PLAN_ENTRY: plan, artifact.FUSED_ENTRY: fusion}
        with zipfile.ZipFile(source) as whole, zipfile.ZipFile(target, "w") as archive:
            for name in whole.namelist():
                if not name.endswith(checksum.KEY):
                    archive.writestr(name, given.get(name.rpartition("/")[2], whole.read(name)))
    if seal:
        artifact.seal(target)
    return target


def metadata_campaign(seeds, folder):
    """How many files were refused, and how many results stayed as they were."""
    count = {"refused": 0, "same": 0}
    known = {name: results(folder / name) for name in NAMES}
    for seed in seeds:
        rng = np.random.default_rng((5, seed))
        name = NAMES[seed % len(NAMES)]
        plan, fusion = texts(folder / name)
        kept = plan.pop("config"), fusion.pop("model")  # which nothing runs by
        which = seed // len(NAMES) % 3
        plan = mutated(plan, rng) if which != 0 else plan
        fusion = mutated(fusion, rng) if which != 1 else fusion
        known_keys = set(texts(folder / name)[1]) == {*fusion, "model"}
        path = rewritten(
            folder / name,
            folder / f"changed.{name.rpartition('.')[2]}",
            {**plan, "config": kept[0]},
            {**fusion, "model": kept[1]},
            seal=False,
        )
        with at_most(SECONDS):
            try:
                artifact.seal(path)
                found = results(path)
            except PreprocessorError:
                count["refused"] += 1
                continue
            model_summary(path)
        labels = plan["labels"] == list(load(folder / name).plan.labels)
        for call, value in found.items():
            if isinstance(value, type) or isinstance(known[name][call], type):
                continue
            # What a Plan calls classes, and what a model has that says less of itself, is for its writer to say.
            if (labels or call != "predict") and known_keys:
                assert plain(value) == plain(known[name][call]), (seed, name, call)
                count["same"] += 1
    return count


def test_changed_metadata(folder):
    count = metadata_campaign(range(280), folder)
    assert count["refused"] > 150 and count["same"] > 25


@pytest.mark.slow
def test_much_changed_metadata(folder):
    assert sum(metadata_campaign(range(280, 4000), folder).values()) > 3000


DAMAGED = """
import sys, warnings
from pathlib import Path
import numpy as np
from runtime import PreprocessorError, artifact, load
from tests.faults import at_most, damaged

warnings.simplefilter("ignore")
path, whole, image = Path(sys.argv[1]), Path(sys.argv[1]).read_bytes(), np.zeros((40, 50, 3), np.uint8)
own = "torchscript" if path.suffix == ".pt" else "onnx"
for seed in range(int(sys.argv[2]), int(sys.argv[3])):
    path.write_bytes(damaged(whole, np.random.default_rng((6, seed))))
    with at_most(60):
        try:
            artifact.seal(path)
        except Exception:
            pass  # of a file that is none any more
        try:
            pre = load(path, own)
            pre([[image, image]] if pre.plan.group else [image, image])
        except PreprocessorError:
            pass
"""


def without_checksum(source, target):
    """A copy that is not bound to its Plan any more."""
    return rewritten(source, target, *texts(source), seal=False)


def run_damaged(folder, name, start, stop):
    """In a process of its own, which a crash of a runtime would end."""
    path = without_checksum(folder / name, folder / f"damaged.{name.rpartition('.')[2]}")
    root = Path(__file__).parent.parent  # where tests.faults is found
    arguments = [sys.executable, "-c", DAMAGED, path, str(start), str(stop)]
    done = subprocess.run(arguments, capture_output=True, text=True, cwd=root)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("name", ["classes.onnx", "module.pt"])
def test_damaged_bytes(name, folder):
    run_damaged(folder, name, 0, 60)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_many_damaged_bytes(name, folder):
    run_damaged(folder, name, 60, 1500)


# --- TorchScript, which torch itself checks for nothing


@pytest.mark.parametrize("sealed", [True, False])
def test_every_byte_of_an_archive_counts(sealed, folder, tmp_path):
    """Weights too, which the checksum of the file leaves out; damaged entries may end torch's process."""
    path = tmp_path / "module.pt"
    if sealed:
        shutil.copy(folder / "module.pt", path)
    else:
        without_checksum(folder / "module.pt", path)
    data = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if entry.file_size:
                start = entry.header_offset + 30
                begin = start + len(entry.filename) + int.from_bytes(data[start - 2 : start], "little")
                position = begin + entry.compress_size // 2
                path.write_bytes(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
                with pytest.raises(ArtifactError, match=r"module.pt: (damaged TorchScript|its Plan and its graph)"):
                    artifact.read(path)


def test_what_torch_cannot_read(folder, tmp_path):
    """Of code that is damaged, but in a whole archive; torch raises classes of all kinds."""
    path, reasons = tmp_path / "module.pt", set()
    for seed in range(60):
        rng, file = np.random.default_rng((7, seed)), io.BytesIO()
        with zipfile.ZipFile(folder / "module.pt") as whole, zipfile.ZipFile(file, "w") as archive:
            names = [name for name in whole.namelist() if not name.endswith(checksum.KEY)]
            chosen = names[seed % len(names)]
            for name in names:
                data = whole.read(name)
                archive.writestr(name, damaged(data, rng) if name == chosen and data else data)
        path.write_bytes(file.getvalue())
        try:
            load(path, "torchscript")(IMAGES)
        except PreprocessorError as error:
            reasons.add(type(error))
    assert ArtifactError in reasons


# --- What a file says of its model


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("fixed.onnx", {"batch": 3}, "its model takes 3 images at a time, and its graph 2"),
        ("classes.onnx", {"batch": 2}, "its model takes 2 images at a time, and its graph batch"),
        ("classes.onnx", {"unbatched": True}, "its model takes 1 images at a time, and its graph batch"),
    ],
)
def test_a_batch_that_is_not_the_graphs(name, change, message, folder, tmp_path):
    plan, fusion = texts(folder / name)
    path = rewritten(folder / name, tmp_path / name, plan, {**fusion, **change})
    with pytest.raises(ArtifactError, match=f"{name}: {message}"):
        load(path)


@pytest.mark.parametrize("name", ["classes.onnx", "module.pt"])
def test_post_processing_that_is_not_in_the_graph(name, folder, tmp_path, monkeypatch, capsys):
    plan, fusion = texts(folder / name)
    behind = json.loads(make_plan(postprocess=ObjectDetection()).to_json())["postprocess"]
    path = rewritten(folder / name, tmp_path / name, {**plan, "postprocess": behind}, fusion)
    assert load(path)(IMAGES)
    with pytest.raises(ArtifactError, match=rf"{name}: gives .*, and not scores, labels, boxes"):
        load(path).predict(IMAGES)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "image.png").write_bytes(b"")
    assert cli.main(["run", name, "image.png"]) == 2
    assert f"{name}: gives " in capsys.readouterr().err


def test_a_plan_alone_predicts_nothing():
    pre = Preprocessor(make_plan(*STEPS, postprocess=ImageClassification()), "pil")
    with pytest.raises(ArtifactError, match="this Plan: gives pixel_values, and not scores, labels"):
        pre.predict(IMAGES)


def test_post_processing_of_what_the_model_does_not_give(folder, tmp_path):
    plan, fusion = texts(folder / "classes.onnx")
    behind = {**plan["postprocess"], "logits": "others"}
    path = rewritten(folder / "classes.onnx", tmp_path / "classes.onnx", {**plan, "postprocess": behind}, fusion)
    with pytest.raises(
        ArtifactError, match="image_classification reads 'others', which the model in the file does not"
    ):
        exporter.verify(path)


@pytest.mark.parametrize("value", [float("inf"), float("nan"), "many", None, [1]])
def test_numbers_for_people_that_are_none(value, folder, tmp_path):
    plan, fusion = texts(folder / "classes.onnx")
    model = {**fusion["model"], "nodes": value}
    path = rewritten(folder / "classes.onnx", tmp_path / "classes.onnx", plan, {**fusion, "model": model})
    with pytest.raises(ArtifactError, match="what it says of its model cannot be read"):
        model_summary(path)


@pytest.mark.parametrize("count", [7, 9])
def test_labels_of_another_model(count, tmp_path):
    named = replace(plan(), labels=tuple("abcdefghi"[:count]))
    message = f"the model has 8 classes, and there are {count} labels: give its own with --labels"
    with pytest.raises(ArtifactError, match=message):
        exporter.to_onnx(
            named, tmp_path / "fused.onnx", network(tmp_path / "model.onnx"), postprocess="image_classification"
        )
    classifier = replace(named, architecture="CLIPForImageClassification")
    with pytest.raises(ArtifactError, match=message):
        exporter.to_onnx(classifier, tmp_path / "fused.onnx", tmp_path / "model.onnx")
    assert not (tmp_path / "fused.onnx").exists()


# --- Outputs that are there once for all images


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    """A file whose model gives each image's means, and besides anchors and a loss."""
    folder = tmp_path_factory.mktemp("once")
    nodes = [
        helper.make_node("ReduceMax", ["x", "axes"], ["y"], keepdims=0),
        helper.make_node("Identity", ["a"], ["anchors"]),
        helper.make_node("ReduceMax", ["x"], ["loss"], keepdims=0),
    ]
    inputs = [info("x", TensorProto.FLOAT, ["n", 3, "h", "w"])]
    outputs = [
        info(name, TensorProto.FLOAT, shape) for name, shape in {"y": ["n", 3], "anchors": [5, 4], "loss": []}.items()
    ]
    model = save(folder / "model.onnx", nodes, inputs, outputs, {"axes": np.array([2, 3]), "a": weight(5, 4)})
    exporter.to_onnx(make_plan(Rescale(1 / 255)), folder / "once.onnx", model)
    return folder / "once.onnx"


MIXED = [noise(20, 30), noise(30, 20), noise(20, 30, 1)]


def test_outputs_that_are_there_once(once):
    pre = load(once)
    same = pre(MIXED[::2])
    assert (same.y.shape, same.anchors.shape, same.loss.shape) == ((2, 3), (5, 4), ())
    lists = pre(MIXED, return_tensors=None)
    assert_equal(lists.y, np.stack([pre(image).y[0] for image in MIXED]), "rows")
    for values in (lists.anchors, pre(MIXED[::2], return_tensors=None).anchors):
        for value in values:
            assert_equal(value, same.anchors, "anchors")
    assert_equal(lists.loss[0], same.loss, "those of its own batch")
    assert_equal(lists.loss[1], pre(MIXED[1]).loss, "those of its own batch")
    message = "(anchors|loss): the model gives it once for all images, not for each: pass images of one size, or return"
    with pytest.raises(InputError, match=message):
        pre(MIXED)


def test_the_command_shows_them(once, tmp_path, capsys, monkeypatch):
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    for i, image in enumerate(MIXED[::2]):
        Image.fromarray(image).save(f"{i}.png")
    assert cli.main(["run", str(once), "0.png", "1.png", "-o", "out.npz"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["y: float32 [2, 3]", "anchors: float32 [5, 4]", "loss: float32 []", "wrote out.npz"]


def test_groups_have_a_row_for_each_image(once, tmp_path):
    """A Plan for videos whose frames the model takes one by one."""
    plan, fusion = texts(once)
    path = rewritten(once, tmp_path / "once.onnx", {**plan, "group": "video"}, fusion)
    with pytest.raises(InputError, match="anchors: the model gives it once for all images, not for each: pass return"):
        load(path)([[MIXED[0], MIXED[2]]])
    lists = load(path)([[MIXED[0], MIXED[2]]], return_tensors=None)
    assert [len(group) for group in lists.loss] == [2]


def test_parts_of_a_batch_are_put_together_row_by_row(tmp_path):
    nodes = [helper.make_node("ReduceMax", ["x"], ["loss"], keepdims=0)]
    shapes = [info("x", TensorProto.FLOAT, [2, 3, 32, 32])], [info("loss", TensorProto.FLOAT, [])]
    exporter.to_onnx(make_plan(*STEPS), tmp_path / "fused.onnx", save(tmp_path / "m.onnx", nodes, *shapes))
    pre = load(tmp_path / "fused.onnx")
    assert pre(IMAGES).loss.shape == ()
    with pytest.raises(InputError, match="loss: the model gives it once for its 2 images: pass no more at a time"):
        pre(IMAGES * 2)


# --- Further inputs


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([[1.0], [1.0, 2.0]], "inputs: s: expected an array"),
        (torch.ones(2, 1, 1, 1, requires_grad=True), "inputs: s: expected an array"),
        (5.0, "inputs: s has 0 rows, expected one for each image or group"),
        (np.ones((1, 1, 1, 1), np.float32), "inputs: s has 1 rows, expected one for each image or group"),
        (np.ones((2, 1, 1, 1), object), "onnxruntime failed"),
        (np.ones((2, 1, 1, 1), np.int64), "onnxruntime failed"),
        (None, "inputs: s has 0 rows"),
        ("text", "inputs: s has 0 rows"),
    ],
    ids=repr,
)
def test_inputs_that_are_none(value, message, tmp_path):
    nodes = [helper.make_node("Mul", ["x", "s"], ["y"])]
    inputs = [info("x", TensorProto.FLOAT, ["n", 3, 32, 32]), info("s", TensorProto.FLOAT, ["n", 1, 1, 1])]
    outputs = [info("y", TensorProto.FLOAT, ["n", 3, 32, 32])]
    model = save(tmp_path / "model.onnx", nodes, inputs, outputs)
    exporter.to_onnx(make_plan(*STEPS), tmp_path / "fused.onnx", model, map={"pixel_values": "x"})
    pre = load(tmp_path / "fused.onnx")
    with pytest.raises(InputError, match=message):
        pre(IMAGES, inputs={"s": value})
    with pytest.raises(InputError, match=r"inputs: the model in .* has no 5"):
        pre(IMAGES, inputs={"s": np.ones((2, 1, 1, 1), np.float32), 5: value})


# --- Pickles


@pytest.mark.parametrize("name", ["classes.onnx", "module.pt"])
def test_a_pickle_is_of_one_file(name, folder, tmp_path, monkeypatch):
    """Wherever it is opened, and not of another file that has its name by then."""
    shutil.copy(folder / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    pre = load(name)
    data, want = pickle.dumps(pre), pre(IMAGES)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    write = exporter.to_onnx if name.endswith(".onnx") else exporter.to_torchscript
    write(make_plan(PadToLargest()), tmp_path / "elsewhere" / name)
    for twin in (pickle.loads(data), pickle.loads(pickle.dumps(pre))):
        assert plain(dict(twin(IMAGES))) == plain(dict(want))
    write(make_plan(*STEPS, Normalize((0.5,) * 3, (0.5,) * 3)), tmp_path / name)
    with pytest.raises(ArtifactError, match=f"{name}: is not the file that was pickled: load it anew"):
        pickle.loads(data)
