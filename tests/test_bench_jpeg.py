"""``bench --from jpeg``: its rows, whom each image is given to, what images it makes up, and what it refuses."""

import collections
import functools
import gc
import importlib.metadata
import io
import json
import sys
import threading
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from PIL import Image, JpegImagePlugin

import exporter
from exporter import bench_jpeg, cli, jpegs, peers, timing
from exporter.bench_jpeg import PEERS, Opened, Row, Way
from runtime import InputError, Plan, artifact, load
from runtime.ops import CenterCrop, Resize
from runtime.ops.size import Size

from .command import ran, ran_badly, ran_well
from .helpers import INSTALLED_ORDER, assert_equal, make_plan, noise
from .soak import alone

PIL, TORCHVISION = peers.MAIN
NAMES = [
    PIL, f"{PIL}, in a pool", TORCHVISION, f"{TORCHVISION}, in a pool", f"{TORCHVISION}, decode_jpeg",
    f"{TORCHVISION}, decode_jpeg, in a pool",
]  # fmt: skip
CLIP = {"size": {"shortest_edge": 24}, "crop_size": 20}
COUNT = 7
MEMORY = bench_jpeg._memory


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Each test is in a folder of its own; images are few and small, and no process is started."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(timing, "MOST_PAUSES", 0)
    monkeypatch.setattr(jpegs, "COUNT", COUNT)
    monkeypatch.setattr(jpegs, "SIDES", (30, 90))
    monkeypatch.setattr(bench_jpeg, "LEAD", 1)
    monkeypatch.setattr(bench_jpeg, "_memory", lambda way, *_: 1_000_000 * (1 + len(way.name)))
    return tmp_path


@pytest.fixture
def command(capfd):
    return functools.partial(ran, capfd, "bench")


@pytest.fixture
def done(capfd):
    return functools.partial(ran_well, capfd, "bench", "--from", "jpeg")


@pytest.fixture
def refused(capfd, monkeypatch):
    """The one line that is said where the input is bad; nothing is timed."""

    def run(*arguments):
        monkeypatch.setattr(bench_jpeg, "_round", lambda *_: pytest.fail("timed"))
        line, out = ran_badly(capfd, "bench", *arguments)
        assert out == []
        return line

    return run


@pytest.fixture
def clip():
    plan = exporter.trace("clip-vit-base-patch32", **CLIP)
    exporter.to_onnx(plan, "a.onnx")
    return plan


def jpeg(height, width, seed=0, **options):
    file = io.BytesIO()
    Image.fromarray(noise(height, width, seed)).save(file, "JPEG", **options)
    return file.getvalue()


def cells(line):
    """Of a printed table, whose columns are two spaces apart at least."""
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


# What is printed


def test_the_tables(done, clip):
    out = done("a.onnx", "--rounds", 2, "--batch", 3)
    auto = load("a.onnx").backend
    assert out[0] == f"a.onnx: CLIP, reference {INSTALLED_ORDER}, auto is {auto}"
    assert out[4].startswith(f"from {COUNT} JPEGs (made up, ")
    assert out[4].endswith(" on average) to the tensor, 3 a call; 2 rounds")
    start = out.index("") + 1
    assert cells(out[start]) == [
        "all images", "images/s", "ms/image", f"x {PIL}", f"x {TORCHVISION}", "x fastest peer", "MB", "equal",
    ]  # fmt: skip
    rows = [cells(line) for line in out[start + 1 : start + 9]]
    assert [row[:2] for row in rows] == [[auto, "ours"], [f"{auto}, map", "ours"], *([name, "peer"] for name in NAMES)]
    for row in rows[:2]:
        assert len(row) == 9
        assert float(row[6]) <= min(map(float, row[4:6]))
        assert row[-1] == "yes"
    for name, row in zip(NAMES, rows[2:], strict=True):
        assert row[-2] == str(1 + len(name))
        assert (row[-1] == "yes") == name.startswith(PIL)
    assert out[start + 9] == ""
    latencies = [cells(line) for line in out[start + 10 : start + 15]]
    heads = ["single images, ms", "1 client p50", "1 client p99", "8 clients p50", "8 clients p99"]
    assert latencies[0] == heads
    assert [row[0] for row in latencies[1:]] == [auto, *NAMES[::2]]
    for row in latencies[1:]:
        alone, slowest, *together = map(float, row[2:])
        assert 0 < alone <= slowest
        assert 0 < together[0] <= together[1]
    assert len(out) == start + 15


def test_json_has_every_field(done, clip):
    (text,) = done("a.onnx", "--rounds", 3, "--batch", 3, "--threads", 1, "--json", "--backend", "pil")
    data = json.loads(text)
    assert list(data) == [
        "file", "family", "reference", "fused", "auto", "rounds", "batch", "threads", "cpus", "others_busy", "images",
        "clients", "cpu", "cpus_total", "versions", "rows", "left_out",
    ]  # fmt: skip
    assert (data["rounds"], data["batch"], data["threads"], data["clients"]) == (3, 3, 1, 8)
    assert data["auto"] == load("a.onnx").backend
    assert data["versions"]["simplejpeg"] == importlib.metadata.version("simplejpeg")
    images = data["images"]
    assert {key: type(value) for key, value in images.items()} == {
        "made_up": bool, "count": int, "megapixels": float, "bytes": int, "smallest": list, "largest": list,
    }  # fmt: skip
    assert images["made_up"] and images["count"] == COUNT
    rows = {row["name"]: row for row in data["rows"]}
    assert list(rows) == ["pil", "pil, map", *NAMES]
    for name, row in rows.items():
        assert len(row["times_s"]) == 3
        assert sorted(row["times_s"])[1] == row["median_s"] > 0
        assert row["ms_per_image"] == pytest.approx(row["median_s"] * 1000 / COUNT)
        assert row["images_per_s"] == pytest.approx(COUNT / row["median_s"])
        assert (row["kind"] == "peer") == (name in NAMES)
        times = {peer: rows[peer]["median_s"] / row["median_s"] for peer in NAMES}
        assert row["times_faster"] == ({} if row["kind"] == "peer" else pytest.approx(times))
        assert row["values"] == COUNT * 3 * 20 * 20
        assert row["equal"] == (row["differing"] == 0) == (name in ("pil", "pil, map", *NAMES[:2]))
        assert row["equal"] == (row["largest_difference"] == 0)
        assert row["memory_mb"] == 1 + len(name)
        spread = name in ("pil, map", *NAMES[1::2])
        for who, calls in (("alone", 3 * COUNT), ("together", 3 * bench_jpeg.TURNS * COUNT)):
            assert row[who] is None if spread else 0 < row[who]["p50_ms"] <= row[who]["p99_ms"]
            assert spread or row[who]["calls"] == calls


def test_without_peers(done, clip):
    out = done("a.onnx", "--rounds", 1, "--no-peers", "--backend", "pil", "--backend", "numba")
    start = out.index("") + 1
    assert cells(out[start]) == ["all images", "images/s", "ms/image", "MB", "equal"]
    assert [cells(line)[0] for line in out[start + 1 : start + 5]] == ["pil", "pil, map", "numba", "numba, map"]
    assert not [line for line in out if "left out" in line]


def test_progress_is_a_line_on_a_terminal(clip, monkeypatch, capfd):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    arguments = ["bench", "a.onnx", "--from", "jpeg", "--no-peers", "--backend", "pil", "--rounds", "2"]
    assert cli.main(arguments) == 0
    lines = [line.removeprefix("\033[K") for line in capfd.readouterr().err.split("\r")[1:]]
    assert lines[:3] == ["timing 1/9: reading images", "timing 2/9: comparing pil", "timing 3/9: comparing pil, map"]
    assert {line.split(": ")[1] for line in lines[3:7]} == {"pil", "pil, map"}
    assert lines[7:] == ["timing 8/9: memory of pil", "timing 9/9: memory of pil, map", ""]


# What is equal


@pytest.mark.parametrize("reference", ["pillow", "torchvision"])
def test_peers_give_the_bits_of_their_reference(reference):
    exporter.to_onnx(exporter.trace("clip-vit-base-patch32", reference=reference, **CLIP), "a.onnx")
    Path("photos").mkdir()
    options = [{}, {"subsampling": 0}, {"progressive": True}, {"quality": 95}]
    for i, option in enumerate(options):
        Path(f"photos/{i}.jpg").write_bytes(jpeg(37 + 10 * i, 90 - 11 * i, i, **option))
    turned, gray = Image.Exif(), Image.fromarray(noise(40, 50)[..., 0])
    turned[0x0112] = 6
    Path("photos/turned.jpeg").write_bytes(jpeg(33, 60, exif=turned.tobytes()))
    gray.save("photos/gray.jpg")
    result = bench_jpeg.measure("a.onnx", ["photos"], rounds=1, batch=4)
    assert not result.header["images"]["made_up"]
    assert result.left_out == ()
    equal = {row.way.name for row in result.rows if row.equal}
    other = PIL if reference == "torchvision" else TORCHVISION
    assert equal == {row.way.name for row in result.rows if not row.way.name.startswith(other)}


def test_padding_follows_the_batch():
    """Results are compared with the reference in calls of the same images."""
    exporter.to_onnx(exporter.trace("detr-resnet-50", size={"shortest_edge": 20, "longest_edge": 40}), "a.onnx")
    result = bench_jpeg.measure("a.onnx", rounds=1, batch=3, backends=["pil"])
    shares = {row.way.name: row.differing / row.values for row in result.rows}
    assert [name for name, share in shares.items() if share == 0] == ["pil", "pil, map", PIL, f"{PIL}, in a pool"]
    # Images by themselves are not padded to others, and are compared as such.
    values = {row.way.name: row.values for row in result.rows}
    assert values[f"{PIL}, in a pool"] < values[PIL]


def test_differences_of_all_calls_are_counted():
    encoded = [jpeg(9, 8), jpeg(9, 8, 1), jpeg(9, 8, 2)]
    right = np.arange(12, dtype=np.float32).reshape(1, 3, 2, 2)
    wrong = right + np.float32([[[0.0, 0.5], [0.0, 0.0]]])
    expected = lambda batch: [{"pixel_values": right}] * 3  # noqa: E731
    found = bench_jpeg._compared(Opened(None, lambda _: iter([right, wrong, right]), 1), encoded, expected)
    assert found == {"values": 36, "differing": 3, "largest": 0.5}
    found = bench_jpeg._compared(Opened(None, lambda _: iter([right, wrong[0], right]), 1), encoded, expected)
    assert found == {"values": 36, "differing": 12, "largest": None}
    with pytest.raises(ValueError, match="shorter"):
        bench_jpeg._compared(Opened(None, lambda _: iter([right]), 1), encoded, expected)


def test_a_peer_that_fails(done, clip, monkeypatch):
    def broken(plan, height, width):
        raise RuntimeError("kaput\nand more")

    monkeypatch.setitem(peers.PEERS, PIL, ((), broken))
    monkeypatch.setitem(peers.PEERS, TORCHVISION, (("nowhere",), broken))
    out = done("a.onnx", "--rounds", 1, "--backend", "pil")
    assert [line for line in out if line.startswith("left out")] == [
        *(f"left out: {name}: RuntimeError: kaput" for name in NAMES[:2]),
        *(f"left out: {name}: LeftOut: not installed: nowhere" for name in NAMES[2:]),
    ]
    assert cells(out[out.index("") + 1]) == ["all images", "images/s", "ms/image", "MB", "equal"]


def test_a_fused_file_is_timed_alone(done, clip):
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 20, 20])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])
    nodes = [helper.make_node("GlobalAveragePool", ["x"], ["p"]), helper.make_node("Flatten", ["p"], ["y"])]
    graph = helper.make_graph(nodes, "mean", [image], [out])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), "m.onnx")
    exporter.to_onnx(clip, "fused.onnx", "m.onnx")
    data = json.loads("".join(done("fused.onnx", "--rounds", 1, "--json")))
    assert [(row["name"], row["equal"], row["times_faster"]) for row in data["rows"]] == [
        ("onnx", None, {}), ("onnx, map", None, {}),
    ]  # fmt: skip
    assert data["left_out"] == ["peers: the file holds a model, and they do not"]


@pytest.mark.parametrize("channels", [1, 4])
def test_a_file_for_other_channels(done, channels):
    plan = exporter.trace("vit-base-patch16-224", channels=channels, size=20, image_mean=0.5, image_std=0.5)
    exporter.to_onnx(plan, "a.onnx")
    data = json.loads("".join(done("a.onnx", "--rounds", 1, "--json")))
    assert all(row["equal"] is True and row["kind"] == "ours" for row in data["rows"])
    assert data["left_out"] == [f"peers: they are set up for RGB, and the Plan is for {channels} channels"]


def test_a_file_for_images_of_one_size(done, refused):
    exporter.to_onnx(exporter.trace("clip-vit-base-patch32", input_size=(37, 95), **CLIP), "a.onnx")
    data = json.loads("".join(done("a.onnx", "--rounds", 1, "--json", "--no-peers")))
    assert data["images"]["smallest"] == data["images"]["largest"] == [37, 95]
    Path("b.jpg").write_bytes(jpeg(30, 40))
    line = refused("a.onnx", "--from", "jpeg", "--images", "b.jpg", "--no-peers")
    assert "takes images of 37x95 pixels only, got 30x40" in line


# How it is measured


class Clock:
    """Time that calls take."""

    now = 0.0

    def perf_counter(self):
        return self.now

    process_time = perf_counter

    def sleep(self, seconds):
        self.now += seconds


def opened(clock, log, torch_threads):
    def call(images):
        clock.now += 0.25
        log.append(("call", tuple(images), threading.current_thread() is threading.main_thread()))
        torch_threads.append(torch.get_num_threads())

    def run(images):
        torch_threads.append(torch.get_num_threads())
        for image in images:
            clock.now += 1.0
            log.append(("run", image))
            yield image

    return Opened(call, run, 1)


def test_a_round(monkeypatch):
    clock, log, torch_threads = Clock(), [], []
    monkeypatch.setattr(timing, "time", clock)
    monkeypatch.setattr(bench_jpeg, "time", clock)
    monkeypatch.setattr(bench_jpeg, "CLIENTS", 1)  # the clock has no lock
    row, images = Row(Way("x", "pil")), [b"a", b"b", b"c"]
    for _ in range(2):
        bench_jpeg._round(row, opened(clock, log, torch_threads), images, 2)
    assert (row.times, row.median) == ([3.0, 3.0], 3.0)
    assert (row.alone, row.together) == ([0.25] * 6, [0.25] * 12)
    order = [entry[1] if entry[0] == "run" else entry[1][0] for entry in log]
    assert order == [*b"abc"[:0], *[b"a", b"b", b"c"], *[b"a", b"a", b"b", b"c"], b"a", *[b"a", b"b", b"c"] * 2] * 2
    # torch has one thread where calls run side by side, and its own are given back.
    assert torch_threads == ([2] + [2] * 4 + [1] * 7) * 2
    assert torch.get_num_threads() == 1
    log.clear()
    torch_threads.clear()
    row = Row(Way("x, map", "pil", spread=True))
    bench_jpeg._round(row, opened(clock, log, torch_threads), images, 2)
    assert (row.times, row.alone, row.together) == ([3.0], [], [])
    assert torch_threads == [1]


def test_rounds_are_not_collected(clip, monkeypatch):
    seen = []

    def round(row, *_):
        seen.append((row.way.name, gc.isenabled()))
        row.times.append(1.0)
        assert len(seen) < 5, "enough"

    monkeypatch.setattr(bench_jpeg, "_round", round)
    bench_jpeg.measure("a.onnx", backends=["pil"], rounds=2, with_peers=False)
    assert sorted(seen) == [("pil", False)] * 2 + [("pil, map", False)] * 2
    assert gc.isenabled()
    with pytest.raises(AssertionError, match="enough"):
        bench_jpeg.measure("a.onnx", backends=["pil"], rounds=2, with_peers=False)
    assert gc.isenabled()


def test_clients_share_the_images():
    seen, at_once, inside = collections.Counter(), [], 0
    lock = threading.Lock()
    met = threading.Barrier(4)

    def call(images):
        nonlocal inside
        with lock:
            inside += 1
            at_once.append(inside)
        if threading.current_thread() is not threading.main_thread():
            met.wait(10)  # as many as there are clients
        with lock:
            inside -= 1
            seen[images[0]] += 1

    images = [bytes([i]) for i in range(8)]
    times = bench_jpeg._latencies(call, images * 2, 4)
    assert (len(times), max(at_once)) == (16, 4)
    assert seen == {image: 3 if image == images[0] else 2 for image in images}  # one comes before, untimed


def test_a_client_that_fails():
    def call(images):
        if threading.current_thread() is not threading.main_thread():
            raise InputError("no")

    with pytest.raises(InputError, match="no"):
        bench_jpeg._latencies(call, [b"a", b"b"], 2)


def test_results_are_dropped_as_they_come():
    alive = []

    class Result:
        def __init__(self):
            assert alive == []
            alive.append(self)

        def drop(self):
            alive.remove(self)

    def run(images):
        for _ in images:
            result = Result()
            yield result
            result.drop()

    bench_jpeg._run(Opened(None, run, 1), [b"a", b"b", b"c"])
    assert alive == []


def test_percentiles():
    times = [i / 1000 for i in range(101)]
    assert bench_jpeg.latency(times) == {"calls": 101, "p50_ms": 50.0, "p99_ms": 99.0}


@pytest.mark.parametrize("way", [Way("pil", "pil"), Way("pil, map", "pil", spread=True), *PEERS], ids=lambda w: w.name)
def test_each_way_runs_all_images_in_their_order(way, clip):
    plan, _ = artifact.read("a.onnx")
    encoded = [jpeg(20 + 5 * i, 60 - 3 * i, i) for i in range(5)]
    with timing.quiet():
        found = bench_jpeg.opened(way, "a.onnx", plan, 2, 2)
        results = [np.asarray(r["pixel_values"] if hasattr(r, "keys") else r) for r in found.run(encoded)]
        one = [
            np.asarray(r["pixel_values"] if hasattr(r, "keys") else r)[0]
            for r in map(found.call, ([e] for e in encoded))
        ]
    sizes = [1] * 5 if way.peer and way.spread else [2, 2, 1]
    assert found.batch == sizes[0]
    assert [len(result) for result in results] == sizes
    for i, row in enumerate(np.concatenate(results)):
        assert_equal(row, one[i], f"image {i}")


def test_tensors_of_backends_in_torch(clip):
    plan, _ = artifact.read("a.onnx")
    for backend, kind in (("torch", torch.Tensor), ("pil", np.ndarray)):
        for spread in (False, True):
            found = bench_jpeg.opened(Way("x", backend, spread=spread), "a.onnx", plan, 1, 2)
            (result,) = found.run([jpeg(30, 40)])
            assert type(result.pixel_values) is kind


# Memory


def test_memory_is_of_a_process_of_its_own(clip, monkeypatch):

    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("the system does not tell")
    large = jpeg(3000, 3000, quality=50)
    grown = MEMORY(Way("pil", "pil"), Path("a.onnx").absolute(), 1, 1, [jpeg(30, 40), large])
    assert 3 * 3000 * 3000 <= grown <= 20 * 3000 * 3000


def growth_of_blocks():
    """In a process of its own: what was called before, and the growth by the largest of three blocks."""
    called = []

    def run(images):
        for size in (10, 60, 1):
            block = np.ones(size << 20, np.uint8)
            yield block[:1].copy()
            del block

    bench_jpeg.opened = lambda *_: Opened(called.append, run, 1)
    kept = np.ones(200 << 20, np.uint8)
    grown = bench_jpeg._growth(Way("x", "pil"), "a.onnx", 1, 1, [b"long", b"s"])
    assert kept[-1]
    return called, grown


def test_growth_is_the_peak_above_what_is_loaded(monkeypatch, clip):
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("the system does not tell")
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent))  # where a spawned process finds this file
    called, grown = alone(growth_of_blocks)
    assert called == [[b"s"]]
    assert 58 << 20 <= grown <= 80 << 20  # the system counts pages of a thread in lots of 64
    monkeypatch.setattr(bench_jpeg, "opened", lambda *_: Opened(called.append, iter, 1))
    monkeypatch.setattr(bench_jpeg, "Path", lambda name: Path("/nowhere/else"))
    assert bench_jpeg._growth(Way("x", "pil"), "a.onnx", 1, 1, [b"s"]) is None


def test_what_is_not_known_is_empty(capsys):
    from exporter import report

    header = {
        "file": "a", "family": "", "reference": "", "fused": False, "auto": None, "rounds": 1, "batch": 1,
        "threads": 1, "cpu": "x", "cpus": None, "cpus_total": 1, "others_busy": None, "versions": {}, "clients": 8,
        "images": {"made_up": False, "count": 2, "megapixels": 1.0, "bytes": 9, "smallest": [1, 2], "largest": [3, 4]},
    }  # fmt: skip
    report.encoded(bench_jpeg.Result(header, (Row(Way("x", "pil"), [1.0], [0.5], [0.25], None, 5, 1, 0.5),)))
    out = capsys.readouterr().out.splitlines()
    assert (
        out[4]
        == "from 2 JPEGs (from files, 1x2 to 3x4, 1.00 megapixels and 0 kB on average) to the tensor, 1 a call; 1 round"
    )
    assert cells(out[8]) == ["x", "ours", "2", "500.00", "20.00 % of values differ, by 0.5 at most"]
    assert cells(out[11]) == ["x", "ours", "500.00", "500.00", "250.00", "250.00"]


# Images


def test_what_is_made_up_is_the_same_each_time(monkeypatch):
    monkeypatch.setattr(jpegs, "COUNT", 60)
    encoded = list(jpegs.made_up())
    assert encoded == list(jpegs.made_up())
    assert len(set(encoded)) == 60
    images = [Image.open(io.BytesIO(data)) for data in encoded]
    longer = [max(image.size) for image in images]
    assert 30 <= min(longer) < 35 < 80 < max(longer) <= 90
    nearest = {min(jpegs.SHAPES, key=lambda shape: abs(max(im.size) / min(im.size) - shape)) for im in images}
    assert nearest == set(jpegs.SHAPES)
    assert all(min(abs(max(im.size) / shape - min(im.size)) for shape in jpegs.SHAPES) <= 0.5 for im in images)
    assert {image.width > image.height for image in images} == {True, False}
    samplings = collections.Counter(JpegImagePlugin.get_sampling(image) for image in images)
    assert set(samplings) == {0, 2} and samplings[2] > samplings[0]
    assert len({tuple(map(tuple, image.quantization.values())) for image in images}) > 10
    assert [Image.open(io.BytesIO(data)).size for data in jpegs.made_up((20, 95))] == [(95, 20)] * 60


def test_files_and_folders():
    for name in ("a/x.jpg", "a/b/y.JPEG", "a/z.png", "a/v.txt", "c.jpg", "w"):
        Path(name).parent.mkdir(exist_ok=True, parents=True)
        Path(name).write_bytes(jpeg(9, 10, len(name)) + name.encode())
    (Path("a") / "folder.jpg").mkdir()
    tails = [data[data.rindex(b"\xff\xd9") + 2 :].decode() for data in jpegs.read(["c.jpg", "a", "w"])]
    assert tails == ["c.jpg", "a/b/y.JPEG", "a/x.jpg", "w"]


def test_of_more_files_some_are_read(monkeypatch):
    for i in range(10):
        Path(f"{i}.jpg").write_bytes(jpeg(9, 10) + bytes([i]))
    for count, taken in ((3, [0, 3, 6]), (7, [0, 1, 2, 4, 5, 7, 8]), (10, [*range(10)]), (99, [*range(10)])):
        monkeypatch.setattr(jpegs, "COUNT", count)
        assert [data[-1] for data in jpegs.read(["."])] == taken


def test_summary():
    images = [jpeg(30, 40), jpeg(60, 10), jpeg(20, 50)]
    assert jpegs.summary(images) == {
        "count": 3, "megapixels": pytest.approx(2800 / 3e6), "bytes": sum(map(len, images)) // 3, "smallest": [60, 10],
        "largest": [30, 40],
    }  # fmt: skip


# What is refused


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--rounds 0", "rounds: expected at least 1, got 0"),
        ("--batch 0", "batch: expected at least 1, got 0"),
        ("--threads 0", "threads: expected 1 to "),
        ("--size 30", "--size: is for images of one size: leave out --from jpeg"),
        ("--plot a.png", "--plot: is for images of one size: leave out --from jpeg"),
        ("--backend torchscript", "backend 'torchscript' needs a .pt file"),
        ("--images no.jpg", "no such image file: no.jpg"),
        ("--images a.png", "a.png: not a JPEG"),
        ("--images cut.jpg", "cut.jpg: not an image that Pillow can read (image file is truncated"),
        ("--images text.jpg", "text.jpg: not an image that Pillow can read"),
        ("--images empty", "empty: no file in it ends in .jpg or .jpeg"),
    ],
)
def test_bad_input_is_one_line(refused, clip, arguments, words):
    Image.fromarray(noise(9, 10)).save("a.png")
    Path("cut.jpg").write_bytes(jpeg(90, 100)[:-400])
    Path("text.jpg").write_text("some text\n")
    Path("empty").mkdir()
    assert refused("a.onnx", "--from", "jpeg", *arguments.split()).startswith(words)


def test_flags_that_belong_together(refused, clip):
    assert refused("a.onnx", "--images", "a.jpg") == ("--images: says which JPEGs to start from: give --from jpeg too")
    assert refused("a.onnx", "--from", "png").startswith("argument --from: invalid choice: 'png'")


def test_a_file_for_pairs(refused):
    steps = Resize(Size(height=8, width=9), "bilinear", "pillow13"), CenterCrop(4, 4)
    exporter.to_onnx(Plan(steps, "pillow13", group="pair"), "pairs.onnx")
    words = "pairs.onnx: takes a pair in place of an image; leave out --from jpeg"
    assert refused("pairs.onnx", "--from", "jpeg") == words


def test_a_file_that_refuses_an_image(refused):
    exporter.to_onnx(make_plan(CenterCrop(4, 4)), "rgb.onnx")
    Path("a.jpg").write_bytes(jpeg(9, 10))
    assert bench_jpeg.measure("rgb.onnx", ["a.jpg"], rounds=1, with_peers=False).rows[0].equal
