"""What a new process pays before its first result."""

import json

import pytest

import exporter
from exporter import bench_start
from exporter.cli import main
from runtime import ArtifactError, InputError

FAST = "pil"


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("start") / "vit.onnx"
    exporter.to_onnx(exporter.trace("vit-base-patch16-224"), path)
    return path


def test_stages(file):
    pil, script = bench_start.measure(file, [FAST, "torchscript"], 2)
    assert (pil.backend, pil.problem, len(pil.times)) == (FAST, "", 2)
    assert all(len(stages) == len(bench_start.STAGES) and min(stages) > 0 for stages in pil.times)
    assert (script.times, script.medians) == ((), ())
    assert script.problem == "backend 'torchscript' needs a .pt file; this is an .onnx file"


def test_medians():
    start = bench_start.Start(FAST, ((1.0,) * 5, (3.0,) * 5, (0.5,) * 5))
    assert start.medians == (1000.0,) * 5
    stages = dict.fromkeys(bench_start.STAGES, 1000.0)
    assert start.to_json() == {"backend": FAST, "problem": "", "rounds": 3, "median_ms": stages}


def test_command(file, capsys):
    main(["bench", str(file), "--from", "start", "--backend", FAST, "--backend", "torchscript", "--rounds", "1"])
    first, heads, line, left_out = capsys.readouterr().out.splitlines()
    assert first == "a process of its own each time, medians of 1 in ms"
    assert all(stage in heads for stage in bench_start.STAGES)
    assert line.split()[0] == FAST
    assert len(line.split()) == 1 + len(bench_start.STAGES)
    assert left_out.startswith("left out: torchscript: backend 'torchscript' needs a .pt file")


def test_json(file, capsys):
    main(["bench", str(file), "--from", "start", "--backend", FAST, "--rounds", "1", "--json"])
    (row,) = json.loads(capsys.readouterr().out)
    assert row["rounds"] == 1
    assert row["median_ms"].keys() == set(bench_start.STAGES)


@pytest.mark.parametrize("rounds", [0, -1])
def test_rounds(rounds, file):
    with pytest.raises(InputError, match=f"rounds: expected a number above 0, got {rounds}"):
        bench_start.measure(file, [FAST], rounds)


def test_what_is_no_artifact(tmp_path):
    with pytest.raises(ArtifactError, match="cannot be read"):
        bench_start.measure(tmp_path / "missing.onnx")


@pytest.mark.parametrize(
    "flags", [["--images", "x"], ["--size", "9"], ["--threads", "1"], ["--batch", "2"], ["--plot", "x.png"]]
)
def test_flags_of_other_benchmarks(flags, file, capsys):
    assert main(["bench", str(file), "--from", "start", *flags]) != 0
    assert f"{flags[0]}: has no meaning with --from start" in capsys.readouterr().err
