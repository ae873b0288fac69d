"""The command line: what each flag does, what is printed, exit codes, and what bad input is told."""

import argparse
import functools
import importlib
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from huggingface_hub import constants
from onnx import TensorProto, helper
from PIL import Image

import exporter
from exporter import cli, report
from exporter.trace import installed_pillow
from models.presets import PRESETS
from runtime import Plan, artifact, load
from runtime.ops import Normalize, Resize
from runtime.ops.size import Size
from runtime.ops.table import Table

from .command import ran, ran_badly, ran_well
from .helpers import noise

COMMAND = Path(sys.executable).parent / "export-preprocessor"
VERIFY = importlib.import_module("exporter.verify")  # the package's attribute of this name is the function
CONFIG = {"image_processor_type": "ViTImageProcessor", "size": {"height": 32, "width": 48}}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Each test is in a folder with a config of its own; images are few and small."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(VERIFY, "sizes", lambda plan: ((37, 53), (90, 41)))
    (tmp_path / "vit.json").write_text(json.dumps(CONFIG))
    return tmp_path


@pytest.fixture
def command(capsys):
    return functools.partial(ran, capsys)


@pytest.fixture
def done(capsys):
    return functools.partial(ran_well, capsys)


@pytest.fixture
def refused(capsys, folder):
    """The one line that is said where the input is bad; nothing is written."""

    def run(*arguments, code=2):
        before = snapshot(folder)
        line, out = ran_badly(capsys, *arguments, code=code)
        assert not [line for line in out if line.startswith("wrote")]
        assert snapshot(folder) == before
        return line

    return run


def snapshot(folder):
    return {path: path.is_dir() or path.read_bytes() for path in folder.rglob("*")}


@pytest.fixture
def files(done):
    """``a.onnx`` and ``a.pt`` of the config."""
    done("vit.json", "-o", "a.onnx", "--no-verify")
    done("vit.json", "-o", "a.pt", "--no-verify")


@pytest.fixture
def photo(folder):
    Image.fromarray(noise(37, 53)).save(folder / "photo.png")
    return "photo.png"


@pytest.fixture(scope="session")
def hub(tmp_path_factory):
    """A hub cache with ``org/name``: a size for each of two revisions."""
    cache = tmp_path_factory.mktemp("hub")
    repository = cache / "models--org--name"
    for reference, sha, edge in (("main", "a" * 40, 32), ("old", "b" * 40, 24)):
        snapshot = repository / "snapshots" / sha
        snapshot.mkdir(parents=True)
        (repository / "refs").mkdir(exist_ok=True)
        (repository / "refs" / reference).write_text(sha)
        (snapshot / "preprocessor_config.json").write_text(json.dumps({**CONFIG, "size": edge}))
    return cache


def plan_of(name):
    return artifact.read(name)[0]


def model(path, shape=("batch", 3, 32, 48), dtype=TensorProto.FLOAT, inputs=1, opset=18):
    """A model that averages its image: three scores."""
    values = [helper.make_tensor_value_info(f"x{i}", dtype, shape) for i in range(inputs)]
    nodes = [helper.make_node("GlobalAveragePool", ["x0"], ["pooled"]), helper.make_node("Flatten", ["pooled"], ["y"])]
    if inputs == 0:
        nodes = [helper.make_node("Constant", [], ["y"], value_float=1.0)]
    out = helper.make_tensor_value_info("y", dtype, [shape[0], shape[1]] if inputs else [])
    graph = helper.make_graph(nodes, "mean", values, [out])
    opsets = [helper.make_opsetid("", opset)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


# The installed command, with every size.


def installed(*arguments, folder, **environment):
    return subprocess.run(
        [COMMAND, *arguments],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


def test_from_a_preset_to_tensors(folder, photo):
    export = installed("clip-vit-base-patch32", "-o", "clip.onnx", folder=folder)
    assert (export.returncode, export.stderr) == (0, "")
    assert "2. resize to shortest_edge 224, bicubic" in export.stdout
    assert re.search(r"^3000x4000 +150528 +0$", export.stdout, re.MULTILINE)
    assert "values compared, none differing" in export.stdout
    run = installed("run", "clip.onnx", photo, "-o", "out.npz", folder=folder)
    assert (run.returncode, run.stderr) == (0, "")
    with np.load(folder / "out.npz") as saved:
        assert np.array_equal(saved["pixel_values"], load(folder / "clip.onnx")(photo).pixel_values)
    assert sorted(path.name for path in folder.iterdir()) == ["clip.onnx", "out.npz", "photo.png", "vit.json"]


def test_torchscript_from_the_installed_command(folder, photo):
    export = installed("vit.json", "-o", "vit.pt", folder=folder)
    assert (export.returncode, export.stderr) == (0, "")
    assert "torchscript compared" in export.stdout
    expected = load(folder / "vit.pt", "pil")(photo).pixel_values
    assert np.array_equal(load(folder / "vit.pt")(photo).pixel_values, expected)


def test_a_torchscript_file_warns_of_nothing(folder, photo, done):
    """In a process of its own, for torch warns once a process."""
    done("vit.json", "-o", "vit.pt", "--no-verify")
    result = installed("run", "vit.pt", photo, folder=folder)
    assert (result.returncode, result.stderr) == (0, "")


def test_an_error_of_the_installed_command(folder):
    before = snapshot(folder)
    result = installed("vit.json", "-o", "missing/vit.onnx", folder=folder)
    assert result.returncode == 2
    assert result.stderr == ("export-preprocessor: missing/vit.onnx: cannot be written (No such file or directory)\n")
    assert snapshot(folder) == before


def test_labels_that_the_output_cannot_encode_are_no_error(folder, done):
    (folder / "labels.txt").write_text("猫\n犬\n", encoding="utf-8")
    done("vit.json", "-o", "a.onnx", "--no-verify", "--labels", "labels.txt")
    result = installed("inspect", "a.onnx", folder=folder, PYTHONIOENCODING="ascii")
    assert (result.returncode, result.stderr) == (0, "")
    assert "2 labels" in result.stdout


# export


def test_export_prints_the_steps_the_table_and_the_file(done, folder):
    out = done("vit.json", "-o", "a.onnx")
    size = (folder / "a.onnx").stat().st_size
    assert out == [
        f"vit.json: ViT, reference {installed_pillow()}, input NHWC",
        " 1. resize to 32x48, bilinear",
        " 2. rescale by 1/255",
        " 3. normalize, mean 0.5 0.5 0.5, std 0.5 0.5 0.5",
        "image         onnx compared  differing",
        "37x53                  4608          0",
        "90x41                  4608          0",
        "9216 values compared, none differing",
        f"wrote a.onnx ({size / 1000:.0f} kB)",
    ]
    assert plan_of("a.onnx") == exporter.trace("vit.json")


@pytest.mark.parametrize(("name", "backend"), [("a.onnx", "onnx"), ("a.pt", "torchscript")])
def test_the_suffix_tells_the_format_and_the_file_loads(done, photo, name, backend):
    assert f"{backend} compared" in done("export", "vit.json", "-o", name)[4]
    loaded = load(name, backend)
    assert np.array_equal(loaded(photo).pixel_values, load(name, "pil")(photo).pixel_values)


def test_export_is_the_default_command(done, folder):
    done("export", "vit.json", "-o", "a.onnx", "--no-verify")
    done("vit.json", "-o", "b.onnx", "--no-verify")
    done("--no-verify", "-o", "c.onnx", "vit.json")
    assert (folder / "a.onnx").read_bytes() == (folder / "b.onnx").read_bytes() == (folder / "c.onnx").read_bytes()


def test_an_export_leaves_one_file(done, folder):
    before = set(folder.iterdir())
    done("vit.json", "-o", "a.onnx")
    assert set(folder.iterdir()) - before == {folder / "a.onnx"}


def test_an_export_replaces_an_older_file(done, folder):
    (folder / "a.onnx").write_text("old")
    done("vit.json", "-o", "a.onnx")
    assert plan_of("a.onnx").family == "ViT"


# Each flag has an effect. ``test_every_flag_is_tested`` reads this table.

FLAGS = {
    "--reference pillow12.1": lambda plan: plan.reference == "pillow12.1" and plan.steps[0].order == "pillow12.1",
    "--reference pillow12.2": lambda plan: plan.reference == "pillow12.2",
    "--reference pillow13": lambda plan: plan.reference == "pillow13",
    "--reference torchvision": lambda plan: plan.reference == "torchvision" and plan.steps[0].weights == "torchvision",
    "--reference pillow": lambda plan: plan.reference == installed_pillow(),
    "--type DeiT": lambda plan: plan.family == "DeiT",
    "--type CLIPImageProcessor": lambda plan: plan.family == "CLIP",
    "--size 384": lambda plan: plan.steps[0].size == Size(height=384, width=384),
    "--size 48x64": lambda plan: plan.steps[0].size == Size(height=48, width=64),
    "--size 48X64": lambda plan: plan.steps[0].size == Size(height=48, width=64),
    "--type CLIP --size 20": lambda plan: plan.steps[1].size == Size(shortest_edge=20),
    "--set resample=1 --set do_normalize=false": (
        lambda plan: plan.steps[0].filter == "lanczos" and not any(isinstance(s, Normalize) for s in plan.steps)
    ),
    "--set do_resize=null": lambda plan: not any(isinstance(s, Resize) for s in plan.steps),
    '--set size={"shortest_edge":20}': lambda plan: plan.steps[0].size == Size(shortest_edge=20),
    "--set image_mean=[0.1,0.2,0.3]": lambda plan: plan.steps[2].mean == (0.1, 0.2, 0.3),
    "--layout NCHW": lambda plan: plan.layout == "NCHW",
    "--dtype float16": lambda plan: str(plan.steps[-1]) == "cast to float16",
}  # fmt: skip


@pytest.mark.parametrize("flags", FLAGS)
def test_a_flag_of_the_config_is_in_the_plan(done, flags):
    done("vit.json", "-o", "a.onnx", *flags.split())
    plan = plan_of("a.onnx")
    assert FLAGS[flags](plan)
    assert plan != exporter.trace("vit.json") or flags.endswith(("pillow", installed_pillow()))
    assert json.loads("".join(done("inspect", "--json", "vit.json", *flags.split()))) == json.loads(plan.to_json())


def test_layout_and_dtype_are_those_of_the_files_tensors(done):
    done("vit.json", "-o", "a.onnx", "--layout", "NCHW", "--dtype", "float16")
    (image,) = onnxruntime.InferenceSession("a.onnx").get_inputs()
    (pixels,) = onnxruntime.InferenceSession("a.onnx").get_outputs()
    assert image.shape == ["batch", 3, "height", "width"]
    assert (pixels.type, pixels.shape) == ("tensor(float16)", ["batch", 3, 32, 48])


@pytest.mark.parametrize("opset", [18, 20])
def test_opset(done, opset):
    done("vit.json", "-o", "a.onnx", "--opset", opset)
    assert {entry.domain: entry.version for entry in onnx.load("a.onnx").opset_import}[""] == opset


@pytest.mark.parametrize(("format", "backend"), [("onnx", "onnx"), ("torchscript", "torchscript")])
@pytest.mark.parametrize("name", ["a.bin", "a"])
def test_format_where_the_suffix_does_not_say(done, photo, format, backend, name):
    done("vit.json", "-o", name, "--format", format)
    assert plan_of(name) == exporter.trace("vit.json")
    assert load(name, backend).plan == plan_of(name)
    assert "equal to the reference" in done("verify", name)[-1]


def test_inspect_shows_an_artifact_of_any_name(done):
    done("vit.json", "-o", "a.bin", "--format", "onnx")
    assert done("inspect", "a.bin") == done("inspect", "vit.json")


def test_no_verify_prints_no_table_and_compares_nothing(done, monkeypatch):
    def fail(*arguments, **more):
        raise AssertionError("compared")

    monkeypatch.setattr(exporter, "verify", fail)
    out = done("vit.json", "-o", "a.onnx", "--no-verify")
    assert not [line for line in out if "compared" in line or "differing" in line]
    assert out[-1].startswith("wrote a.onnx")


def test_strict(done, command, refused, folder):
    (folder / "odd.json").write_text(json.dumps({**CONFIG, "foo": 16, "resampel": 3}))
    result = command("odd.json", "-o", "a.onnx")
    assert result.code == 0
    assert result.err == ["warning: ViT does not read foo, resampel: left out, as the reference ignores it too"]
    assert plan_of("a.onnx").steps == exporter.trace("vit.json").steps
    strict = command("odd.json", "-o", "b.onnx", "--strict")
    assert strict.code == 2
    assert strict.err == [
        "export-preprocessor: foo: ViT does not read this key",
        "export-preprocessor: resampel: ViT does not read this key (did you mean 'resample'?)",
    ]
    assert not (folder / "b.onnx").exists()
    done("vit.json", "-o", "c.onnx", "--strict", "--no-verify")


@pytest.mark.parametrize(
    "text",
    ["cat\ndog\nÉmeu\n", "cat\r\ndog\r\nÉmeu", '["cat", "dog", "Émeu"]', '{"2": "Émeu", "0": "cat", "1": "dog"}'],
    ids=["lines", "windows lines", "list", "object"],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_labels(done, folder, text, encoding):
    (folder / "labels").write_text(text, encoding=encoding, newline="")
    done("vit.json", "-o", "a.onnx", "--labels", "labels", "--no-verify")
    assert plan_of("a.onnx").labels == ("cat", "dog", "Émeu")
    assert done("inspect", "a.onnx")[-1] == " 3 labels: cat, dog, Émeu"


def test_labels_win_over_those_beside_the_config(done, folder):
    (folder / "config.json").write_text('{"model_type": "vit", "id2label": {"0": "old"}}')
    done("vit.json", "-o", "a.onnx", "--no-verify")
    assert plan_of("a.onnx").labels == ("old",)
    (folder / "labels").write_text("new\n")
    done("vit.json", "-o", "a.onnx", "--no-verify", "--labels", "labels")
    assert plan_of("a.onnx").labels == ("new",)


def test_model_puts_the_preprocessing_in_front(done, folder, photo):
    model("m.onnx")
    (folder / "labels").write_text("red\ngreen\nblue\n")
    done("vit.json", "-o", "fused.onnx", "--model", "m.onnx", "--labels", "labels")
    pixels = load("fused.onnx", "onnx")(photo)
    assert list(pixels) == ["y", "scores", "labels"]
    shown = done("inspect", "fused.onnx")
    start = next(i for i, line in enumerate(shown) if line.startswith(" then the model in the file"))
    assert shown[start : start + 3] == [
        " then the model in the file: opset 18, 2 nodes, 0 parameters",
        "  takes x0: float32 [batch, 3, 32, 48], from pixel_values",
        "  gives y: float32 [batch, 3]",
    ]
    out = done("run", "fused.onnx", photo)
    assert out[:4] == ["y: float32 [1, 3]", "scores: float32 [1, 3]", "labels: int64 [1, 3]", photo]
    best = [line.split()[1] for line in out[4:]]
    assert sorted(best) == ["blue", "green", "red"]
    done("vit.json", "-o", "fused.onnx", "--model", "m.onnx", "--labels", "labels", "--postprocess", "none")
    out = done("run", "fused.onnx", photo)
    assert out[:2] == ["y: float32 [1, 3]", photo]
    assert [line.split()[1] for line in out[2:]] == best


def test_map_says_which_input_the_image_is(done, refused, folder):
    model("m.onnx", inputs=2)
    done("vit.json", "-o", "fused.onnx", "--model", "m.onnx", "--map", "pixel_values=x1", "--no-verify")
    assert [value.name for value in onnx.load("fused.onnx").graph.input] == ["images", "x0"]
    (folder / "fused.onnx").unlink()
    for item in ("pixel_values", "=x1", "pixel_values="):
        assert refused(*EXPORT, "--model", "m.onnx", "--map", item).startswith("--map: expected NAME=MODEL'S NAME")
    words = refused(*EXPORT, "--model", "m.onnx", "--map", "pixels=x1")
    assert words == "map: 'pixels' is none of pixel_values, logits; write --map NAME=MODEL'S NAME"
    assert "give --model too" in refused(*EXPORT, "--map", "pixel_values=x1")


def test_offline_asks_only_the_cache(done, hub, monkeypatch):
    def fail():
        raise AssertionError("asked for the hub")

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(hub))
    monkeypatch.setattr("models.hub.reachable", fail)
    done("org/name", "--offline", "-o", "a.onnx")
    assert (plan_of("a.onnx").source, plan_of("a.onnx").steps[0].size) == ("org/name", Size(height=32, width=32))
    done("org/name", "--offline", "--revision", "old", "-o", "b.onnx")
    assert plan_of("b.onnx").steps[0].size == Size(height=24, width=24)
    below = hub / "models--org--name" / "snapshots" / ("b" * 40) / "vision"
    below.mkdir()
    (below / "preprocessor_config.json").write_text(json.dumps({**CONFIG, "size": 20}))
    done("org/name", "--offline", "--revision", "old", "--subfolder", "vision", "-o", "c.onnx")
    assert plan_of("c.onnx").steps[0].size == Size(height=20, width=20)


def test_offline_opens_no_connection(folder, hub):
    """Nor does the hub's client, in a process where it has not asked for anything yet."""
    code = """
import socket, sys
def refuse(*arguments, **more):
    raise SystemExit("opened a connection")
socket.create_connection = refuse
from exporter.cli import main
sys.exit(main(["inspect", "org/name", "--offline"]))
"""
    environment = {**os.environ, "HF_HUB_CACHE": str(hub), "HF_HOME": str(folder), "HF_HUB_OFFLINE": "0"}
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert "resize to 32x32" in result.stdout


def test_a_reader_that_has_seen_enough_is_no_error():
    """As ``| head`` has."""
    read, write = os.pipe()
    os.close(read)
    try:
        result = subprocess.run(
            [COMMAND, "presets"], stdout=write, stderr=subprocess.PIPE, text=True, timeout=120, check=False
        )
    finally:
        os.close(write)
    assert (result.returncode, result.stderr) == (1, "")


def test_without_offline_the_hub_is_asked_for(command, hub, monkeypatch):
    asked = []
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(hub))
    monkeypatch.setattr("models.hub.reachable", lambda: bool(asked.append(1)))
    assert command("inspect", "org/name").code == 0
    assert asked == [1]


def break_report(monkeypatch):
    def fail(plan):
        raise RuntimeError("some bug")

    monkeypatch.setattr(report, "plan", fail)


def test_traceback(refused, monkeypatch):
    break_report(monkeypatch)
    line = refused("inspect", "vit.json", code=1)
    assert line == "unexpected RuntimeError: some bug; --traceback shows where"
    with pytest.raises(RuntimeError, match="some bug"):
        cli.main(["inspect", "vit.json", "--traceback"])


def test_an_interrupt_leaves_nothing(refused, monkeypatch):
    def interrupt(*arguments, **more):
        raise KeyboardInterrupt

    monkeypatch.setattr(exporter, "verify", interrupt)
    assert refused("vit.json", "-o", "a.onnx", code=130) == "interrupted"


def test_every_flag_is_tested():
    """Each flag of the help is in a command line of this file, or of those with a command or a flag to themselves."""
    (subparsers,) = (a for a in cli.build_parser(cli.COMMANDS)._actions if isinstance(a, argparse._SubParsersAction))
    flags = {tuple(a.option_strings) for sub in subparsers.choices.values() for a in sub._actions if a.option_strings}
    files = (
        "test_cli.py",
        "test_bench.py",
        "test_bench_jpeg.py",
        "test_bench_start.py",
        "test_bombs.py",
        "test_channels.py",
        "test_input_size.py",
        "test_predictions.py",
        "test_fuse_inputs.py",
    )
    source = "".join(Path(__file__).with_name(name).read_text(encoding="utf-8") for name in files)
    assert [names for names in flags if not re.search(rf'["\']({"|".join(names)})[= "\']', source)] == []
    assert set(subparsers.choices) == set(cli.COMMANDS)


@pytest.mark.parametrize("name", cli.COMMANDS)
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_the_help_of_each_command_shows_an_example(done, name, flag):
    text = " ".join(done(name, flag))
    assert text.startswith(f"usage: export-preprocessor {name}")
    assert f"Example: export-preprocessor {name}".replace("export-preprocessor export", "export-preprocessor") in text


def test_the_help_lists_the_commands(done):
    text = " ".join(done("--help"))
    assert all(name in text for name in cli.COMMANDS)


def test_the_help_says_what_most_checkpoints_were_trained_with(done):
    assert "most public checkpoints were trained with pillow12.1" in " ".join(
        " ".join(done("export", "--help")).split()
    )


def test_version(done):
    (line,) = done("--version")
    assert re.fullmatch(r"export-preprocessor \d+\.\d+\.\d+", line)


# Values that differ.


@pytest.fixture
def wrong_table(monkeypatch):
    """One value of blue is off by one bit in what the artifacts hold; the reference does not use the table."""
    values = Table.values

    def wrong(self):
        table = values(self)
        table[2, 77] = np.nextafter(table[2, 77], np.float32(9))
        return table

    monkeypatch.setattr(Table, "values", wrong)


@pytest.mark.parametrize(("name", "backend"), [("a.onnx", "onnx"), ("a.pt", "torchscript")])
def test_values_that_differ_are_shown_and_no_file_is_left(command, folder, wrong_table, name, backend):
    before = snapshot(folder)
    result = command("vit.json", "-o", name)
    assert result.code == 1
    (line,) = result.err
    assert re.fullmatch(
        rf"export-preprocessor: {name}: backend {backend} differs from the reference at 37x53: \d+ of 4608 values"
        r" differ \(and at 1 more\); the file was not written",
        line,
    )
    assert [row.split()[0] for row in result.out[4:7]] == ["image", "37x53", "90x41"]
    assert all(int(row.split()[2]) > 0 for row in result.out[5:7])
    assert re.fullmatch(r"9216 values compared, \d+ differing", result.out[7])
    assert len(result.out) == 8
    assert snapshot(folder) == before


def test_values_that_differ_keep_the_older_file(command, folder, wrong_table):
    (folder / "a.onnx").write_text("precious")
    assert command("vit.json", "-o", "a.onnx").code == 1
    assert (folder / "a.onnx").read_text() == "precious"


def test_verify_says_that_a_file_differs(command, wrong_table):
    assert command("vit.json", "-o", "a.onnx", "--no-verify").code == 0
    result = command("verify", "a.onnx")
    assert result.code == 1
    assert result.err[0].startswith("export-preprocessor: a.onnx: backend onnx differs from the reference at 37x53")
    assert len(result.err) == 1
    assert result.out[-1].endswith("differing")


# verify, inspect, run, presets


def test_verify_prints_a_row_for_every_size_and_image(done, files, photo):
    out = done("verify", "a.onnx", photo)
    assert [line.split() for line in out[:4]] == [
        ["image", "onnx", "compared", "differing"],
        ["37x53", "4608", "0"],
        ["90x41", "4608", "0"],
        ["photo.png", "4608", "0"],
    ]
    assert len({len(line) for line in out[:4]}) == 1
    assert out[4:] == ["13824 values compared, none differing", "a.onnx: equal to the reference"]


def test_images_of_one_name_have_a_row_each(done, files, folder):
    for name in ("x", "y"):
        (folder / name).mkdir()
        Image.fromarray(noise(20, 30)).save(folder / name / "photo.png")
    out = done("verify", "a.onnx", "x/photo.png", "y/photo.png")
    assert len([line for line in out if "photo.png" in line]) == 2


def test_progress_is_shown_on_a_terminal_only(command, files, monkeypatch):
    assert command("verify", "a.onnx").err == []
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    (line,) = " ".join(command("verify", "a.onnx").err).split("\n")
    assert [part for part in re.split(r"[\r ]*\033\[K", line) if part] == [
        "verifying 1/2: 37x53",
        "verifying 2/2: 90x41",
    ]


def test_verify_in_other_backends(done, files):
    out = done("verify", "a.pt", "--backend", "torchscript", "--backend", "torch", "--backend", "pil")
    assert out[0].split() == ["image", "torchscript", "compared", "differing", "torch", "compared", "differing", "pil",
                              "compared", "differing"]  # fmt: skip
    assert out[1].split() == ["37x53", "4608", "0", "4608", "0", "4608", "0"]


@pytest.mark.parametrize("flags", ["--size 99", "--type CLIP", "--set do_normalize=false", "--dtype float16"])
def test_inspect_of_an_artifact_refuses_flags_that_would_do_nothing(refused, files, flags):
    assert flags.split()[0] in refused("inspect", "a.onnx", *flags.split())


@pytest.mark.parametrize("name", ["a.onnx", "a.pt"])
def test_inspect_shows_an_artifact_as_its_source(done, files, name):
    assert done("inspect", name) == done("inspect", "vit.json")
    assert Plan.from_json("".join(done("inspect", "--json", name))) == exporter.trace("vit.json")


@pytest.mark.parametrize(
    ("factor", "shown"), [("255", "255.0"), ("3", "3.0"), ("0", "0.0"), ("0.0078125", "1/128"), ("0.0078", "0.0078")]
)
def test_inspect_shows_any_rescale_factor(done, factor, shown):
    assert f" 2. rescale by {shown}" in done("inspect", "vit.json", "--set", f"rescale_factor={factor}")


def test_inspect_names_the_first_labels(done, folder):
    labels = {str(i): f"class {i}" for i in range(12)}
    (folder / "config.json").write_text(json.dumps({"model_type": "vit", "id2label": labels}))
    assert done("inspect", "vit.json")[-1] == " 12 labels: class 0, class 1, class 2, …"


def test_inspect_warns_of_unread_keys_on_stderr(command, folder):
    (folder / "odd.json").write_text(json.dumps({**CONFIG, "foo": 1}))
    result = command("inspect", "odd.json", "--json")
    assert result.code == 0
    assert result.err == ["warning: ViT does not read foo: left out, as the reference ignores it too"]
    assert "foo" not in "".join(result.out)
    assert json.loads("".join(result.out))["family"] == "ViT"


@pytest.mark.parametrize("backend", ["auto", "onnx", "torch", "pil"])
def test_run_writes_what_load_gives(done, files, folder, backend):
    for i in range(2):
        Image.fromarray(noise(37 + i, 53 - i)).save(folder / f"{i}.png")
    out = done("run", "a.onnx", "0.png", "1.png", "-o", "out.npz", "--backend", backend)
    assert out == ["pixel_values: float32 [2, 3, 32, 48]", "wrote out.npz"]
    with np.load("out.npz") as saved:
        assert list(saved) == ["pixel_values"]
        assert np.array_equal(saved["pixel_values"], load("a.onnx")(["0.png", "1.png"]).pixel_values)
    assert not [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_run_uses_the_backend_that_was_asked_for(done, files, photo, monkeypatch):
    used = []

    def spy(path, backend, **options):
        used.append(backend)
        return load(path, backend, **options)

    monkeypatch.setattr(cli, "load", spy)
    done("run", "a.onnx", photo, "--backend", "pil")
    done("run", "a.onnx", photo)
    assert used == ["pil", "auto"]


def test_run_without_an_output_file_prints_the_shapes(done, files, photo, folder):
    before = snapshot(folder)
    assert done("run", "a.pt", photo) == ["pixel_values: float32 [1, 3, 32, 48]"]
    assert snapshot(folder) == before


def test_presets_lists_every_one(done):
    lines = done("presets")
    assert lines[0].split() == ["name", "family", "resize", "filter", "checkpoint"]
    assert [line.split()[0] for line in lines[1:]] == list(PRESETS)
    assert [line.split()[-1] for line in lines[1:]] == [preset.checkpoint for preset in PRESETS.values()]


def test_presets_as_json(done):
    listed = json.loads("".join(done("presets", "--json")))
    assert [entry["name"] for entry in listed] == list(PRESETS)
    assert {tuple(entry) for entry in listed} == {("name", "checkpoint", "family")}


# Bad input: exit code 2, one line, and nothing written.

EXPORT = ["vit.json", "-o", "a.onnx"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["vit.json"], "no output file: add one with -o, such as -o vit.onnx"),
        (["vit-base-patch16-224"], "such as -o vit-base-patch16-224.onnx"),
        (["vit.json", "-o", "a.tflite"], "a.tflite: expected a name that ends in .onnx or .pt, got '.tflite'"),
        (["vit.json", "-o", "a"], "expected a name that ends in .onnx or .pt, got 'no suffix'"),
        (["vit.json", "-o", "a.pt", "--format", "onnx"], "expected a name that ends in"),
        (["vit.json", "-o", "a.onnx", "--format", "torchscript"], "expected a name that ends in"),
        (["vit.json", "-o", "missing/a.onnx"], "missing/a.onnx: cannot be written (No such file or directory)"),
        (["vit.json", "-o", "vit.json/a.onnx"], "vit.json/a.onnx: cannot be written (Not a directory)"),
        (["vit.json", "-o", "x" * 300 + ".onnx"], "cannot be written (File name too long)"),
        ([*EXPORT, "--frobnicate"], "unrecognized arguments: --frobnicate (see `export-preprocessor --help`)"),
        ([*EXPORT, "--format", "tflite"], "invalid choice: 'tflite'"),
        ([*EXPORT, "--reference", "pillow14"], "invalid choice: 'pillow14'"),
        ([*EXPORT, "--layout", "CHW"], "invalid choice: 'CHW'"),
        ([*EXPORT, "--dtype", "float64"], "invalid choice: 'float64'"),
        ([*EXPORT, "--opset", "13"], "opset: expected 14 to"),
        ([*EXPORT, "--opset", "99"], "got 99"),
        ([*EXPORT, "--opset", "x"], "invalid int value: 'x'"),
        (["vit.json", "-o", "a.pt", "--opset", "18"], "--model and --opset are for ONNX files"),
        (["vit.json", "-o", "a.pt", "--model", "m.onnx"], "--model and --opset are for ONNX files"),
        (["vit-base-patch-224", "-o", "a.onnx"], "(did you mean 'vit-base-patch16-224'?)"),
        (["clip", "-o", "a.onnx"], "`export-preprocessor presets` lists the presets"),
        (["missing.json", "-o", "a.onnx"], "missing.json: no preset, folder or file of this name"),
        (["empty", "-o", "a.onnx"], "empty: holds neither preprocessor_config.json nor"),
        (["text.txt", "-o", "a.onnx"], "text.txt: not JSON"),
        (["unknown.json", "-o", "a.onnx"], "'FooImageProcessor' is not supported"),
        ([*EXPORT, "--type", "Vitt"], "type: 'Vitt' is not supported (did you mean 'ViT'?)"),
        ([*EXPORT, "--revision"], "expected one argument"),
        ([*EXPORT, "--revision", "main"], "revision: is of a hub id, but vit.json is a file: leave it out"),
        ([*EXPORT, "vit.json"], "unrecognized arguments: vit.json"),
        ([], "see `export-preprocessor --help`"),
        (["export"], "the following arguments are required: SOURCE"),
        (["presets", "more"], "unrecognized arguments: more"),
        (["run", "a.onnx"], "the following arguments are required: IMAGE"),
        (["verify"], "the following arguments are required: FILE"),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else "",
)
def test_bad_usage(refused, folder, arguments, words):
    (folder / "empty").mkdir()
    (folder / "text.txt").write_text("some text")
    (folder / "unknown.json").write_text('{"image_processor_type": "FooImageProcessor"}')
    assert words in refused(*arguments)


@pytest.mark.parametrize(
    "size", ["", "0", "-5", "224x", "x224", "1x2x3", "224.0", "2 24", "large", "²", "٣", "1e3", "99999999999", "0x5"]
)
def test_a_size_that_is_none(refused, size):
    assert refused(*EXPORT, f"--size={size}").startswith(
        ("--size: expected N or HEIGHTxWIDTH", "size.height: expected")
    )


def test_a_size_of_five_thousand_digits(refused):
    assert "size" in refused(*EXPORT, "--size", "9" * 5000)


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ("do_normalize", "--set: expected KEY=VALUE"),
        ("=3", "--set: expected KEY=VALUE"),
        ("", "--set: expected KEY=VALUE"),
        ("a b=3", "--set: expected KEY=VALUE"),
        ("do_normalize=False", "--set do_normalize: the value 'False' is not JSON"),
        ("do_normalize=", "--set do_normalize: the value '' is not JSON"),
        ("size={", "--set size: the value '{' is not JSON"),
        ("size=" + "[" * 100_000, "is not JSON"),
        ("sizes=3", "sizes: ViT has no such key (did you mean 'size'?)"),
        ("size=NaN", "size: expected an integer"),
        ('size="224"', "size: expected an integer"),
        ("crop_pct=0.9", "crop_pct: ViT has no such key"),
        ("image_processor_type=3", "image_processor_type: ViT has no such key"),
    ],
    ids=lambda value: value[:30],
)
def test_a_setting_that_is_none(refused, item, words):
    assert words in refused(*EXPORT, "--set", item)


@pytest.mark.parametrize(
    "key", ["source", "reference", "type", "layout", "dtype", "strict", "revision", "cache_dir", "token"]
)
def test_settings_are_config_keys_only(refused, key):
    assert refused(*EXPORT, "--set", f'{key}="x"').startswith(f"{key}: ViT has no such key")


def test_every_problem_of_a_config_has_its_line(command, folder):
    before = snapshot(folder)
    result = command(*EXPORT, "--size", 0, "--set", "resample=9", "--set", "do_normalise=false")
    assert result.code == 2
    assert [line.split(": ")[:2] for line in result.err] == [
        ["export-preprocessor", key] for key in ("do_normalise", "size.height", "resample")
    ]
    assert snapshot(folder) == before


def test_an_output_that_is_a_folder(refused, folder):
    (folder / "a.onnx").mkdir()
    assert "a.onnx: cannot be written" in refused(*EXPORT)


def test_opset_zero_is_for_onnx_files_too(refused):
    assert "--opset" in refused("vit.json", "-o", "a.pt", "--opset", "0")


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{}", b"[1, 2]", b'{"0": "cat", "2": "dog"}', b'{"0": 3}', b"\xff\xfe\x00",
     b'["cat", ', b'{"0": "cat"', b"[" * 100_000, b'{"' + b"9" * 5000 + b'": "cat"}'],
    ids=lambda value: repr(value[:20]),
)  # fmt: skip
def test_labels_that_are_none(refused, folder, content):
    (folder / "labels").write_bytes(content)
    assert "labels" in refused(*EXPORT, "--labels", "labels")


@pytest.mark.parametrize("name", ["missing", "."])
def test_labels_that_are_no_file(refused, name):
    assert refused(*EXPORT, "--labels", name).startswith(f"--labels {name}: cannot be read")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: None, "m.onnx: no such model file"),
        (lambda: Path("m.onnx").mkdir(), "m.onnx: no such model file"),
        (lambda: Path("m.onnx").write_text("some text"), "m.onnx: not an ONNX model that can be read"),
        (lambda: Path("m.onnx").write_bytes(b""), "m.onnx: not an ONNX model that can be read"),
        (lambda: model("m.onnx", shape=("n", 3, 32, 32)), "float32 [batch, 3, 32, 48]"),
        (lambda: model("m.onnx", shape=("n", 1, 32, 48)), "takes float32 [n, 1, 32, 48]"),
        (lambda: model("m.onnx", shape=("n", 32, 49, 3)), "change the config with --size or --set"),
        (lambda: model("m.onnx", dtype=TensorProto.UINT8), "--set do_rescale=false --set do_normalize=false"),
        (lambda: model("m.onnx", dtype=TensorProto.INT64), "takes int64 [batch, 3, 32, 48]"),
        (lambda: model("m.onnx", inputs=2), "say it with --map pixel_values=NAME"),
        (lambda: model("m.onnx", inputs=0), "the model takes none"),
    ],
    ids=["missing", "folder", "text", "empty", "size", "channels", "layout", "uint8", "int64", "two", "none"],
)
def test_a_model_that_does_not_fit(refused, make, words):
    make()
    assert words in refused(*EXPORT, "--model", "m.onnx")


COMMANDS = [["verify", "{}"], ["inspect", "{}"], ["run", "{}", "photo.png"], ["run", "{}", "photo.png", "-o", "o.npz"]]


@pytest.mark.parametrize("line", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("name", ["b.onnx", "b.pt"])
@pytest.mark.parametrize("content", ["missing", "text", "empty", "folder", 0.1, 0.5, 0.99, "model"])
def test_files_that_are_no_artifact(refused, files, photo, folder, line, name, content):
    whole = (folder / name.replace("b", "a")).read_bytes()
    if content == "model":
        model(name)
    elif content == "folder":
        (folder / name).mkdir()
    elif content != "missing":
        data = {"text": b"some text\n", "empty": b""}.get(content)
        (folder / name).write_bytes(whole[: int(len(whole) * content)] if data is None else data)
    assert refused(*(part.format(name) for part in line)).startswith(f"{name}: ")


@pytest.mark.parametrize("line", [COMMANDS[0], COMMANDS[2]], ids=" ".join)
@pytest.mark.parametrize("name", ["a.onnx", "a.pt"])
def test_an_artifact_whose_graph_is_damaged(refused, files, photo, folder, line, name):
    """The Plan can be read; what runs it cannot."""
    if name == "a.onnx":
        damaged = onnx.load(name)
        del damaged.graph.node[0]
        onnx.save(damaged, name)
    else:
        with zipfile.ZipFile(name) as archive:
            entries = {entry: archive.read(entry) for entry in archive.namelist()}
        with zipfile.ZipFile(name, "w") as archive:
            for entry, data in entries.items():
                archive.writestr(entry, data.replace(b"def forward", b"def f(rward"))
    own = ["--backend", "onnx" if name == "a.onnx" else "torchscript"]
    assert refused(*(part.format(name) for part in line), *own).startswith(f"{name}: ")


@pytest.mark.parametrize("make", ["missing", "text", "empty", "folder", "truncated"])
@pytest.mark.parametrize(
    "line", [["run", "a.onnx"], ["run", "a.onnx", "-o", "o.npz"], ["verify", "a.onnx"]], ids=" ".join
)
def test_files_that_are_no_image(refused, files, photo, folder, line, make):
    path = folder / "b.png"
    if make == "folder":
        path.mkdir()
    elif make != "missing":
        whole = (folder / photo).read_bytes()
        path.write_bytes({"text": b"some text", "empty": b"", "truncated": whole[: len(whole) // 2]}[make])
    flags = line[2:]
    assert "b.png" in refused(*line[:2], photo, "b.png", *flags)


def test_run_names_every_image_that_is_missing(refused, files, photo):
    assert refused("run", "a.onnx", "b.png", photo, "c.png") == "no such image file: b.png, c.png"


def test_run_of_images_that_make_no_batch(refused, done, folder):
    done("vit.json", "-o", "a.onnx", "--set", "do_resize=false", "--no-verify")
    for i in range(2):
        Image.fromarray(noise(37 + i, 53)).save(folder / f"{i}.png")
    assert "which cannot be one batch" in refused("run", "a.onnx", "0.png", "1.png", "-o", "o.npz")


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("o.npy", "o.npy: expected a name that ends in .npz"),
        ("o", "expected a name that ends in .npz"),
        ("missing/o.npz", "cannot be written"),
        ("folder.npz", "cannot be written"),
    ],
)
def test_an_output_of_run_that_cannot_be_written(refused, files, photo, folder, output, words):
    (folder / "folder.npz").mkdir()
    assert words in refused("run", "a.onnx", photo, "-o", output)


@pytest.mark.parametrize(("name", "backend"), [("a.onnx", "torchscript"), ("a.pt", "onnx")])
@pytest.mark.parametrize("line", [["verify", "{}"], ["run", "{}", "photo.png"]], ids=" ".join)
def test_a_backend_that_does_not_fit_the_file(refused, files, photo, line, name, backend):
    assert f"backend {backend!r} needs" in refused(*(part.format(name) for part in line), "--backend", backend)


def test_an_unknown_backend(refused, files, photo):
    assert "invalid choice: 'tensorrt'" in refused("run", "a.onnx", photo, "--backend", "tensorrt")
