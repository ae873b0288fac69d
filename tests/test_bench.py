"""The bench command: its rows, its figures on a clock of our own, what peers give, and what it refuses."""

import functools
import gc
import importlib.util
import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from PIL import Image

import exporter
from exporter import bench, bench_device, bench_threads, chart, cli, peers, report, timing
from exporter.jpegs import photo
from runtime import BackendUnavailable, InputError, Plan, artifact
from runtime.ops import CenterCrop, FlipChannels, Pad, Resize
from runtime.ops.size import Size
from runtime.preprocessor import Preprocessor, load

from .command import ran, ran_badly, ran_well
from .helpers import INSTALLED_ORDER, assert_equal, make_plan, noise

PIL, TORCHVISION = peers.MAIN
WAYS = {PIL, TORCHVISION, "torchvision v2", "ONNX Resize", "Pillow resize"}
CLIP = {"size": {"shortest_edge": 24}, "crop_size": 20}
BINDS = hasattr(os, "sched_setaffinity")
AVAILABLE = len(os.sched_getaffinity(0)) if BINDS else os.cpu_count()


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Each test is in a folder of its own; calls are few."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bench, "LEAD_SECONDS", 0.0)
    monkeypatch.setattr(timing, "MOST_PAUSES", 0)
    monkeypatch.setattr(bench, "WARMUP", 1)
    return tmp_path


@pytest.fixture
def command(capfd):
    return functools.partial(ran, capfd, "bench")


@pytest.fixture
def done(capfd):
    return functools.partial(ran_well, capfd, "bench")


@pytest.fixture
def refused(capfd, monkeypatch):
    """The one line that is said where the input is bad; nothing is timed or written."""

    def run(*arguments):
        monkeypatch.setattr(bench, "_times", lambda *_: pytest.fail("timed"))
        before = sorted(Path().iterdir())
        line, out = ran_badly(capfd, "bench", *arguments)
        assert out == []
        assert sorted(Path().iterdir()) == before
        return line

    return run


@pytest.fixture
def files():
    """``a.onnx`` and ``a.pt``."""
    plan = exporter.trace("clip-vit-base-patch32", **CLIP)
    exporter.to_onnx(plan, "a.onnx")
    exporter.to_torchscript(plan, "a.pt")
    return plan


@pytest.fixture
def fused(folder):
    """A file with a model in it."""
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 20, 20])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])
    nodes = [helper.make_node("GlobalAveragePool", ["x"], ["p"]), helper.make_node("Flatten", ["p"], ["y"])]
    graph = helper.make_graph(nodes, "mean", [image], [out])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), "m.onnx")
    exporter.to_onnx(exporter.trace("clip-vit-base-patch32", **CLIP), "fused.onnx", "m.onnx")
    return "fused.onnx"


def runnable(path):
    """Names of the backends that run a file here."""
    names = []
    for name in timing.BACKENDS[1:]:
        try:
            names.append(load(path, name).backend)
        except BackendUnavailable:
            continue
    return names


def cells(line):
    """Of a printed table, whose columns are two spaces apart at least."""
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


# What is printed


@pytest.mark.parametrize("name", ["a.onnx", "a.pt"])
def test_the_table_has_a_row_for_each_backend_and_each_peer(done, files, name):
    out = done(name, "--size", "37x53", "--size", "41", "--rounds", 2)
    assert out[0] == f"{name}: CLIP, reference {INSTALLED_ORDER}, auto is {load(name).backend}"
    assert "torch " in out[3] and "python 3." in out[3]
    for size in ("37x53", "41x41"):
        (start,) = (i for i, line in enumerate(out) if line.startswith(size))
        assert cells(out[start]) == [size, "median ms", "min ms", f"x {PIL}", f"x {TORCHVISION}", "equal"]
        ours = runnable(name)
        rows = [cells(line) for line in out[start + 1 : start + 1 + len(ours) + len(WAYS)]]
        assert {row[0]: row[1] for row in rows} == dict.fromkeys(ours, "ours") | dict.fromkeys(WAYS, "peer")
        for row in rows:
            assert float(row[2]) >= float(row[3]) > 0
            assert len(row) == (7 if row[1] == "ours" else 5)
            assert row[1] == "peer" or row[-1] == "yes"
        ends = {row[0]: row[-1] for row in rows}
        assert ends[PIL] == "yes"
        assert ends["Pillow resize"] == "not compared"
        assert re.fullmatch(r"\d+\.\d\d % of values differ, by [\d.e-]+ at most", ends["ONNX Resize"])
    wrong = {"a.onnx": "torchscript", "a.pt": "onnx"}[name]
    assert [line for line in out if line.startswith(f"left out: backend '{wrong}' needs ")]


def test_json_has_every_field(done, files):
    (text,) = done("a.onnx", "--size", "37x53", "--rounds", 3, "--batch", 2, "--threads", 1, "--json")
    data = json.loads(text)
    assert {key: type(value) for key, value in data.items()} == {
        "file": str, "family": str, "reference": str, "fused": bool, "auto": str, "rounds": int, "warmup": int,
        "batch": int, "threads": int, "cpu": str, "cpus": list if BINDS else type(None), "cpus_total": int,
        "others_busy": float if Path("/proc/stat").exists() else type(None), "versions": dict, "sizes": list,
        "cuda": type(data["cuda"]), "left_out": list,
    }  # fmt: skip
    assert (data["file"], data["family"], data["reference"]) == ("a.onnx", "CLIP", INSTALLED_ORDER)
    assert (data["rounds"], data["batch"], data["threads"]) == (3, 2, 1)
    assert not BINDS or len(data["cpus"]) == 1
    assert (data["cuda"] is None) == (not torch.cuda.is_available())
    assert data["versions"]["torch"] == importlib.metadata.version("torch")
    (size,) = data["sizes"]
    assert (size["height"], size["width"]) == (37, 53)
    rows = {row["name"]: row for row in size["rows"]}
    assert set(rows) == {*runnable("a.onnx"), *WAYS}
    for name, row in rows.items():
        assert set(row) == {
            "name", "kind", "median_ms", "min_ms", "times_ms", "times_faster", "equal", "values", "differing",
            "largest_difference",
        }  # fmt: skip
        assert (row["kind"] == "peer") == (name in WAYS)
        assert sorted(row["times_ms"])[1] == pytest.approx(row["median_ms"])
        assert min(row["times_ms"]) == row["min_ms"] > 0
        assert len(row["times_ms"]) == 3
        assert set(row["times_faster"]) == (set() if name in WAYS else {PIL, TORCHVISION})
        assert row["values"] == (0 if name == "Pillow resize" else 2 * 3 * 20 * 20)
        assert row["equal"] == (None if name == "Pillow resize" else row["differing"] == 0)
    assert all(rows[name]["equal"] for name in (*runnable("a.onnx"), PIL))
    assert rows["ONNX Resize"]["equal"] is False
    assert 0 < rows["ONNX Resize"]["differing"] < 2400
    assert rows["ONNX Resize"]["largest_difference"] > 0


def test_without_peers_there_is_nothing_to_be_faster_than(done, files):
    out = done("a.onnx", "--size", "37x53", "--rounds", 2, "--no-peers", "--backend", "pil", "--backend", "auto")
    start = out.index("") + 1
    table = [cells(line) for line in out[start : start + 3]]
    assert table[0] == ["37x53", "median ms", "min ms", "equal"]
    assert [row[0] for row in table[1:]] == [load("a.onnx").backend, "pil"]
    assert not [line for line in out if "left out" in line]


def test_neither_torch_nor_transformers_is_loaded_for_nothing(files):
    code = (
        "import sys; from exporter import bench; bench.LEAD_SECONDS = 0; from exporter.cli import main;"
        "code = main(['bench', 'a.onnx', '--no-peers', '--backend', 'pil', '--rounds', '1', '--size', '9']);"
        "assert not {'torch', 'transformers', 'matplotlib'} & set(sys.modules); sys.exit(code)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "pil  ours" in ran.stdout


def test_a_fused_file_is_timed_alone(done, fused):
    (text,) = done(fused, "--size", "37x53", "--rounds", 2, "--json")
    data = json.loads(text)
    (row,) = data["sizes"][0]["rows"]
    assert (row["name"], row["kind"], row["equal"], row["times_faster"]) == ("onnx", "ours", None, {})
    assert "peers: the file holds a model, and they do not" in data["left_out"]
    assert "a file with a model in it needs backend 'onnx', not 'pil'" in data["left_out"]
    assert "then the model in it" in done(fused, "--size", "37x53", "--rounds", 1)[0]


def test_progress_is_a_line_on_a_terminal(files, monkeypatch, capfd):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert cli.main(["bench", "a.onnx", "--no-peers", "--backend", "pil", "--size", "9", "--rounds", "2"]) == 0
    out, err = capfd.readouterr()
    assert [line.removeprefix("\033[K") for line in err.split("\r")[1:]] == [
        "timing 1/3: loading what is timed", "timing 1/3: 9x9", "timing 2/3: 9x9", "timing 3/3: 9x9", "",
    ]  # fmt: skip
    assert "\033" not in out


# How it is measured


class Clock:
    """Time that calls and sleep spend; a thread of a pool spins until ``spinning``."""

    now = spinning = 0.0

    def perf_counter(self):
        return self.now

    def process_time(self):
        return min(self.now, self.spinning)

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(bench, "time", clock)
    monkeypatch.setattr(timing, "time", clock)
    return clock


def test_times_are_those_of_one_settled_call_a_round(clock, monkeypatch):
    monkeypatch.setattr(bench, "LEAD_SECONDS", 0.05)
    log = []

    def way(name, first, later):
        def run(images):
            assert not gc.isenabled()
            clock.now += later if log and log[-1] == name else first  # the first call after another way's
            log.append(name)
            return images

        return run

    images = [Image.new("RGB", (3, 2))]
    seen = []
    got = bench._times(
        [way("a", 9.0, 0.01), way("b", 9.0, 0.002)], images, 5, lambda *call: seen.append(call), number=1, count=2
    )
    assert gc.isenabled()
    assert got == [pytest.approx((0.01,) * 5), pytest.approx((0.002,) * 5)]
    assert seen == [(6 + i, 12, "2x3") for i in range(6)]
    # At least so many calls, and at least so long.
    assert log[:3] == ["a"] * 3


def test_the_lead_lasts_its_time_and_its_calls(clock, monkeypatch):
    calls = []

    def run(images):
        clock.now += 0.01
        calls.append(clock.now)

    for seconds, count, expected in ((0.045, 1, 5), (0.0, 3, 3), (0.005, 1, 1)):
        monkeypatch.setattr(bench, "LEAD_SECONDS", seconds)
        monkeypatch.setattr(bench, "LEAD_CALLS", count)
        calls.clear()
        bench._times([run], [Image.new("RGB", (1, 1))], 1, None, 0, 1)
        assert len(calls) == (bench.WARMUP + 1) * (expected + 1)


@pytest.mark.parametrize(("spinning", "most", "slept"), [(0.0, 20, 1), (0.035, 20, 5), (9.0, 20, 20)])
def test_pools_fall_asleep_before_a_call(clock, monkeypatch, spinning, most, slept):
    monkeypatch.setattr(timing, "MOST_PAUSES", most)
    monkeypatch.setattr(bench, "LEAD_CALLS", 1)
    clock.spinning = spinning
    starts = []
    bench._times([lambda images: starts.append(clock.now)], [Image.new("RGB", (1, 1))], 1, None, 0, 1)
    assert starts[0] == pytest.approx(slept * timing.PAUSE)


def test_an_unsteady_machine_is_told_of(capsys):
    header = {
        "file": "a", "family": "", "reference": "", "fused": False, "auto": None, "rounds": 3, "batch": 1,
        "threads": 1, "cpu": "x", "cpus": None, "cpus_total": 1, "others_busy": None, "versions": {},
    }  # fmt: skip
    shaky, steady = bench.Row("pil", True, (0.001, 0.002, 0.002)), bench.Row("onnx", True, (0.001, 0.00105, 0.002))
    for rows, told in (((shaky, shaky, steady), True), ((shaky, steady, steady), False)):
        report.timings(bench.Result(header, (bench.Table(1, 1, (steady,)), bench.Table(1, 1, rows))))
        out = capsys.readouterr().out
        assert ("the machine was not steady: half of the medians are 2.00 times their minima" in out) == told


def test_gc_is_on_again_after_an_error(files):
    def fail(images):
        raise InputError("no")

    with pytest.raises(InputError):
        bench._times([fail], [], 1, None, 0, 1)
    assert gc.isenabled()


@pytest.mark.parametrize("count", range(1, 11))
def test_each_way_follows_each_other_equally_often(count):
    rounds = timing.orders(count, 2 * count)
    assert all(sorted(order) == list(range(count)) for order in rounds)
    pairs = [pair for order in rounds for pair in itertools.pairwise(order)]
    assert {pairs.count(pair) for pair in itertools.permutations(range(count), 2)} == ({2} if count > 1 else set())


def test_medians_minima_and_what_is_faster():
    ours, main = bench.Row("onnx", True, (0.004, 0.001, 0.002)), bench.Row(PIL, False, (0.009, 0.003, 0.005))
    other = bench.Row("torchvision v2", False, (0.001,))
    table = bench.Table(1, 1, (ours, main, other))
    assert (ours.median, ours.least) == (2.0, 1.0)
    assert table.faster(ours) == {PIL: 2.5}
    assert table.faster(main) == {}


def test_a_difference_is_counted_and_sized():
    want = {"pixel_values": np.float32([[1, 2, 3, 4]])}
    assert timing.compare(want, np.float32([[1, 2, 3, 4]])) == (4, 0, 0.0)
    assert timing.compare(want, torch.tensor([[1.0, 2.5, 3, 3]])) == (4, 2, 1.0)
    assert timing.compare(want, {"pixel_values": np.float64([[1, 2, 3, 4]])}) == (4, 4, None)
    assert timing.compare(want, np.float32([1, 2])) == (4, 4, None)
    row = bench.Row("x", True, (1.0,), 4, 4, None)
    assert report._equal(row) == "100.00 % of values differ, another shape or dtype"


def test_others_that_kept_the_cpus_busy():
    assert timing.others_busy((10.0, 4.0, 100.0), (15.0, 6.0, 102.0)) == pytest.approx(1.5)
    assert timing.others_busy((10.0, 4.0, 100.0), (11.0, 6.0, 102.0)) == 0
    assert timing.others_busy(None, None) is None


def test_a_photo_is_the_same_each_time_and_unlike_the_next():
    first, again, other = photo(37, 53), photo(37, 53), photo(37, 53, 1)
    assert (first.size, first.mode) == ((53, 37), "RGB")
    assert first.tobytes() == again.tobytes() != other.tobytes()
    assert photo(1, 1).size == (1, 1)
    pixels = np.asarray(photo(240, 320)).astype(float)
    # Neighbors are alike, as in photographs and not in noise, and the channels too.
    assert np.corrcoef(pixels[:, 1:].ravel(), pixels[:, :-1].ravel())[0, 1] > 0.85
    assert np.corrcoef(pixels[..., 0].ravel(), pixels[..., 1].ravel())[0, 1] > 0.5


# Threads


@pytest.mark.skipif(not BINDS, reason="the system binds no CPUs")
def test_threads_are_bounded_inside_and_as_before_outside():
    import onnxruntime

    before = os.sched_getaffinity(0), os.environ["OMP_NUM_THREADS"], onnxruntime.SessionOptions, torch.get_num_threads()
    model = exporter.onnx.build(make_plan(CenterCrop(2, 2))).SerializeToString()
    with bench_threads.bounded(1) as (threads, cpus), bench_threads.bounded_when_loaded(threads):
        assert (threads, len(cpus)) == (1, 1)
        assert os.sched_getaffinity(0) == set(cpus)
        assert os.environ["OMP_NUM_THREADS"] == "1"
        assert torch.get_num_threads() == 1
        session = onnxruntime.InferenceSession(model, onnxruntime.SessionOptions(), providers=["CPUExecutionProvider"])
        assert session.get_session_options().intra_op_num_threads == 1
    with bench_threads.bounded(AVAILABLE) as (threads, _), bench_threads.bounded_when_loaded(threads):
        assert torch.get_num_threads() == AVAILABLE
    after = os.sched_getaffinity(0), os.environ["OMP_NUM_THREADS"], onnxruntime.SessionOptions, torch.get_num_threads()
    assert after == before


def test_what_was_not_set_is_not_set_after(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS")
    with bench_threads.bounded(1):
        assert os.environ["OMP_NUM_THREADS"] == "1"
    assert "OMP_NUM_THREADS" not in os.environ


def test_two_threads_by_default():
    with bench_threads.bounded(None) as (threads, _):
        assert threads == min(2, AVAILABLE)


def test_cpus_are_of_different_cores_first(tmp_path):
    for cpu, siblings in enumerate(("0,4", "1,5", "2,6", "3,7") * 2):
        (tmp_path / f"cpu{cpu}" / "topology").mkdir(parents=True)
        (tmp_path / f"cpu{cpu}" / "topology" / "thread_siblings_list").write_text(f"{siblings}\n")
    assert bench_threads.choose(2, range(8), tmp_path) == [0, 1]
    assert bench_threads.choose(2, [0, 4, 5, 6], tmp_path) == [0, 5]
    assert bench_threads.choose(5, range(8), tmp_path) == [0, 1, 2, 3, 4]
    assert bench_threads.choose(2, [3, 1, 8], tmp_path / "missing") == [1, 3]


# Peers


def compared(plan, height, width, batch=1):
    """Shares of differing values by peer, on noise."""
    images = [Image.fromarray(noise(height, width, seed)) for seed in range(batch)]
    want = Preprocessor(plan, "pil")(images)
    found, left_out = peers.find(plan, height, width)
    shares = {}
    for peer in found:
        result = peer.run(images)
        if peer.whole:
            values, differing, _ = timing.compare(want, result)
            shares[peer.name] = differing / values
    return shares, left_out


@pytest.mark.parametrize(
    ("source", "overrides"),
    [
        ("vit-base-patch16-224", {"size": {"height": 32, "width": 24}}),
        ("clip-vit-base-patch32", CLIP),
        ("clip-vit-base-patch32", {"size": 24, "crop_size": {"height": 40, "width": 31}}),
        ("convnext-tiny-224", {"size": {"shortest_edge": 28}}),
        ("convnext-base-384", {}),
        ("efficientnet-b0", {"size": {"height": 20, "width": 20}, "resample": 2}),
        ("efficientnet-b0", {"size": {"height": 20, "width": 20}, "resample": 2, "rescale_offset": True}),
        ("efficientnet-b0", {"size": {"height": 20, "width": 20}, "resample": 3, "include_top": False}),
        ("chameleon-7b", {"size": {"shortest_edge": 40}, "crop_size": 40}),
        ("clip-vit-base-patch32", {**CLIP, "do_pad": True, "pad_size": {"height": 30, "width": 25}}),
        ("clip-vit-base-patch32", {**CLIP, "do_rescale": False}),
        ("clip-vit-base-patch32", {**CLIP, "do_normalize": False}),
        ("vit-base-patch16-224", {"do_resize": False, "do_rescale": False, "do_normalize": False}),
        ("clip-vit-base-patch32", {**CLIP, "rescale_factor": 1 / 127.5, "image_mean": [0.1, 0.2, 0.3]}),
    ],
    ids=str,
)
def test_transformers_gives_our_bits(source, overrides):
    for height, width in ((37, 53), (90, 41)):
        shares, _ = compared(exporter.trace(source, **overrides), height, width, batch=2)
        assert shares[PIL] == 0
        shares, _ = compared(exporter.trace(source, reference="torchvision", **overrides), height, width, batch=2)
        assert shares[TORCHVISION] == 0


def test_the_other_references_are_other_bits():
    clip = exporter.trace("clip-vit-base-patch32", **CLIP)
    shares, left_out = compared(clip, 37, 53)
    assert left_out == []
    assert shares[PIL] == 0
    assert all(shares[name] > 0 for name in (TORCHVISION, "torchvision v2", "ONNX Resize"))
    shares, _ = compared(exporter.trace("clip-vit-base-patch32", reference="torchvision", **CLIP), 37, 53)
    assert shares["torchvision v2"] == 0
    assert shares[PIL] > 0


def test_half_precision_is_rounded_for_peers_too():
    for reference, name in (("pillow", PIL), ("torchvision", TORCHVISION)):
        plan = exporter.trace("clip-vit-base-patch32", reference=reference, dtype="float16", **CLIP)
        shares, _ = compared(plan, 37, 53)
        assert shares[name] == 0
        assert set(shares) == WAYS - {"Pillow resize"}


def test_pillow_alone_is_one_resize():
    image = Image.fromarray(noise(37, 53))
    plan = exporter.trace("clip-vit-base-patch32", **CLIP)
    (pillow,) = (peer for peer in peers.find(plan, 37, 53)[0] if not peer.whole)
    (got,) = pillow.run([image])
    assert_equal(np.asarray(got), plan.steps[1].reference(np.asarray(image)), "resized")
    gap = Resize(Size(height=5, width=7), "bicubic", INSTALLED_ORDER, reducing_gap=1.0)
    (pillow,) = peers.find(make_plan(gap), 37, 53)[0]
    assert_equal(np.asarray(pillow.run([image])[0]), gap.reference(np.asarray(image)), "reduced and resized")


def test_a_config_is_the_plans_own():
    plan = exporter.trace("clip-vit-base-patch32", **CLIP)
    config = peers.config_of(plan)
    assert config == {key: value for key, value in plan.config.items() if key != "image_processor_type"}
    assert config["do_rescale"] and config["size"] and "crop_size" in config


def test_a_plan_without_a_config():
    with pytest.raises(peers.LeftOut, match="the Plan is not made of a config of transformers"):
        peers.config_of(make_plan(CenterCrop(4, 4), family="ViT"))


def test_a_peer_that_cannot_is_left_out_with_the_reason():
    plan = make_plan(CenterCrop(8, 9), FlipChannels(), Pad(Size(height=12, width=10), (3.0,)))
    shares, left_out = compared(plan, 37, 53)
    assert shares == {"torchvision v2": 0, "ONNX Resize": 0}
    reason = "the Plan is not made of a config of transformers"
    assert left_out == [f"{PIL}: {reason}", f"{TORCHVISION}: {reason}", "Pillow resize: the Plan has no resize"]
    lanczos = make_plan(Resize(Size(height=8, width=9), "lanczos", "pillow13"), family="ViT")
    assert compared(lanczos, 37, 53)[1][2:] == ["ONNX Resize: the operator has no filter 'lanczos'"]
    gap = make_plan(Resize(Size(height=8, width=9), "bicubic", "pillow13", reducing_gap=2.0))
    assert compared(gap, 37, 53)[1][2:] == [
        "torchvision v2: it has no reducing_gap", "ONNX Resize: the operator has no reducing_gap",
    ]  # fmt: skip
    point = make_plan(Resize(Size(height=8, width=9), "bilinear", "pillow12.1", "torchvision", antialias=False))
    shares, left_out = compared(point, 37, 53)
    assert left_out[2:] == ["Pillow resize: it always antialiases"]
    assert shares["torchvision v2"] == 0
    vit = exporter.trace("vit-base-patch16-224")
    pi0 = Plan(vit.steps, INSTALLED_ORDER, "Tipsv2", config=vit.config)
    assert f"{PIL}: transformers has no Tipsv2ImageProcessorPil" in compared(pi0, 37, 53)[1]


def test_a_package_that_is_missing(done, files, monkeypatch):
    real = importlib.util.find_spec
    hidden = {"transformers", "torchvision"}
    monkeypatch.setattr(peers.importlib.util, "find_spec", lambda name: None if name in hidden else real(name))
    out = done("a.onnx", "--size", "37x53", "--rounds", 1)
    lines = [line for line in out if line.startswith("left out: t")]
    assert lines == [
        f"left out: {PIL}: not installed: transformers",
        f"left out: {TORCHVISION}: not installed: transformers, torchvision",
        "left out: torchvision v2: not installed: torchvision",
    ]
    assert cells(next(line for line in out if line.startswith("37x53"))) == ["37x53", "median ms", "min ms", "equal"]


def test_a_peer_that_fails_and_one_that_warns(done, files, monkeypatch):
    import logging
    import warnings

    def fails(images):
        raise RuntimeError("kaput\nand more")

    def warns(images):
        warnings.warn("old", FutureWarning, stacklevel=1)
        logging.getLogger("transformers").warning("slow")
        return Image.new("RGB", (1, 1))

    ways = {"broken": lambda *_: fails, "loud": lambda *_: warns, "odd": lambda *_: 1 / 0}
    monkeypatch.setattr(peers, "PEERS", {name: ((), make) for name, make in ways.items()})
    out = done("a.onnx", "--backend", "pil", "--size", "9", "--size", "11", "--rounds", 1)
    assert [line for line in out if line.startswith("left out")] == [
        "left out: odd: ZeroDivisionError: division by zero", "left out: broken: RuntimeError: kaput",
    ]  # fmt: skip
    assert [cells(line)[-1] for line in out if line.startswith("loud")] == [
        "100.00 % of values differ, another shape or dtype"
    ] * 2
    logging.getLogger("transformers").setLevel(logging.WARNING)
    assert logging.getLogger("transformers").isEnabledFor(logging.WARNING)


# The chart


def test_the_chart_is_a_png_with_both_colors(done, files):
    pytest.importorskip("matplotlib")
    out = done("a.onnx", "--size", "37x53", "--size", "41", "--rounds", 1, "--plot", "a.png")
    assert out[-1] == "wrote a.png"
    with Image.open("a.png") as image:
        assert image.format == "PNG"
        assert image.width > image.height > 300
        colors = {color for _, color in image.convert("RGB").getcolors(2**24)}
    assert {tuple(bytes.fromhex(color[1:])) for color in (chart.OURS, chart.PEER, chart.INK)} <= colors
    (text,) = done("a.onnx", "--size", "9", "--rounds", 1, "--no-peers", "--plot", "b.png", "--json")
    assert json.loads(text)["sizes"]
    with Image.open("b.png") as image:
        image.verify()


def test_without_matplotlib(refused, files, monkeypatch):
    monkeypatch.setattr(chart.importlib.util, "find_spec", lambda name: None)
    assert refused("a.onnx", "--plot", "a.png") == "drawing a chart needs matplotlib: pip install matplotlib"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a.svg", "a.svg: expected a name that ends in .png"),
        ("a", "a: expected a name that ends in .png"),
        ("no/a.png", "no/a.png: cannot be written"),
    ],
)
def test_a_chart_that_cannot_be_written_is_said_first(refused, files, name, words):
    assert refused("a.onnx", "--plot", name).startswith(words)


# What is refused


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("a.onnx --rounds 0", "rounds: expected at least 1, got 0"),
        ("a.onnx --rounds x", "argument --rounds: invalid int value: 'x'"),
        ("a.onnx --batch 0", "batch: expected at least 1, got 0"),
        ("a.onnx --threads 0", f"threads: expected 1 to {AVAILABLE}, the CPUs that this process may use, got 0"),
        ("a.onnx --threads 9999", f"threads: expected 1 to {AVAILABLE}, the CPUs that this process may use, got 9999"),
        ("a.onnx --size 5y7", "--size: expected N or HEIGHTxWIDTH"),
        ("a.onnx --size 0x7", "size: expected 1 to 178956970 pixels, got 0x7"),
        ("a.onnx --size 99999x99999", "size: expected 1 to 178956970 pixels, got 99999x99999"),
        ("a.onnx --backend tensorrt", "argument --backend: invalid choice: 'tensorrt'"),
        ("a.onnx --backend torchscript", "backend 'torchscript' needs a .pt file"),
        ("a.pt --backend onnx", "backend 'onnx' needs an .onnx file"),
        ("b.onnx", "b.onnx: cannot be read"),
        ("b.txt", "b.txt: not an"),
        ("", "the following arguments are required: FILE"),
    ],
)
def test_bad_input_is_one_line(refused, files, arguments, words):
    Path("b.txt").write_text("some text\n")
    assert refused(*arguments.split()).startswith(words)


def test_a_size_that_the_plan_refuses(refused):
    exporter.to_onnx(make_plan(Pad(Size(height=8, width=8))), "pad.onnx")
    assert refused("pad.onnx", "--size", "8", "--size", "9x7") == "pad_size 8x8 is smaller than the image, 9x7"


def test_a_file_for_images_of_one_size(done, refused):
    exporter.to_onnx(exporter.trace("clip-vit-base-patch32", input_size=(37, 53), **CLIP), "one.onnx")
    (text,) = done("one.onnx", "--rounds", 1, "--json")
    (size,) = json.loads(text)["sizes"]
    assert (size["height"], size["width"]) == (37, 53)
    assert all(row["equal"] for row in size["rows"] if row["kind"] == "ours" or row["name"] == PIL)
    assert refused("one.onnx", "--size", "53x37").startswith("image 0: this artifact takes images of 37x53 pixels only")


@pytest.mark.parametrize("channels", [1, 4])
def test_a_file_for_other_channels(done, channels):
    plan = exporter.trace("vit-base-patch16-224", channels=channels, size=20, image_mean=0.5, image_std=0.5)
    exporter.to_onnx(plan, "a.onnx")
    result = json.loads("".join(done("a.onnx", "--size", "31x45", "--rounds", 2, "--json")))
    (size,) = result["sizes"]
    assert {row["name"] for row in size["rows"]} == set(runnable("a.onnx"))
    assert all(row["equal"] is True for row in size["rows"])
    assert any("peers: they are set up for RGB" in line for line in result["left_out"])


def test_a_backend_that_fused_files_have_not(refused, fused):
    assert refused(fused, "--backend", "torch").startswith("a file with a model in it needs backend 'onnx'")


def test_a_file_that_nothing_here_runs(refused, fused, monkeypatch):
    def unavailable(path, backend="auto"):
        raise BackendUnavailable("onnxruntime is not installed")

    monkeypatch.setattr(timing, "load", unavailable)
    assert refused(fused) == "onnxruntime is not installed"


# On a device


def test_the_device_part_on_the_cpu(capsys):
    plan = exporter.trace("clip-vit-base-patch32", reference="torchvision", **CLIP)
    data = bench_device.measure(plan, [(37, 53), (60, 41)], 2, 2, True, device="cpu", copied=2**20)
    assert {key: type(value) for key, value in data.items()} == {
        "name": str, "batch": int, "copy_gb_per_s": float, "rows": list,
    }  # fmt: skip
    assert [(row["height"], row["width"], row["name"]) for row in data["rows"]] == [
        (37, 53, "torch"), (37, 53, TORCHVISION), (60, 41, "torch"), (60, 41, TORCHVISION),
    ]  # fmt: skip
    for row in data["rows"]:
        assert row["equal"]
        moved = 2 * 3 * (row["height"] * row["width"] + 4 * 20 * 20)
        assert row["gb_per_s"] == pytest.approx(moved / row["median_ms"] / 1e6)
        assert row["median_ms"] >= row["min_ms"] > 0
    report._device(data)
    out = capsys.readouterr().out.splitlines()
    assert out[1].startswith("cpu, batches of 2 that are on it already; it copies ")
    assert cells(out[2]) == ["size", "median ms", "min ms", "GB/s", "of copy", "equal"]
    assert [cells(line)[0] for line in out[3:]] == ["37x53", "37x53", "60x41", "60x41"]
    unknown = make_plan(CenterCrop(4, 4))
    (row,) = bench_device.measure(unknown, [(9, 9)], 1, 1, True, device="cpu", copied=8)["rows"]
    assert row["name"] == "torch"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda(done, files):
    (text,) = done("a.onnx", "--size", "37x53", "--rounds", 2, "--json")
    rows = json.loads(text)["cuda"]["rows"]
    assert [row["name"] for row in rows] == ["torch", TORCHVISION]
    assert rows[0]["equal"]


def test_a_file_of_any_name_from_python(files):
    Path("a.onnx").rename("a.bin")
    result = bench.measure("a.bin", [(9, 9)], ["pil"], 1, 1, with_peers=False)
    assert result.header["family"] == artifact.read("a.bin")[0].family
    assert [row.name for row in result.tables[0].rows] == ["pil"]
