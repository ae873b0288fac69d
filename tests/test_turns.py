"""Lists of encoded images, each decoded and run by one thread; and whose turn it is when many threads call."""

import gc
import io
import os
import signal
import subprocess
import sys
import threading
import time
import weakref

import numpy as np
import pytest
import torch
from PIL import Image

from runtime import InputError, Preprocessor, load, rows, threads, turns
from runtime import decode as decoding
from runtime.backends.numba import NumbaBackend
from runtime.ops import CenterCrop, ConvertRGB, Normalize, PadToLargest, Rescale, Resize
from runtime.ops.size import Size
from runtime.rows import Rows
from runtime.turns import Turns

from .forks import exit_code, forks
from .helpers import assert_equal, make_plan, noise, write_artifacts

RESIZE = Resize(Size(shortest_edge=20), "bicubic", "pillow13")
VALUES = (Rescale(1 / 255), Normalize((0.48, 0.45, 0.41), (0.27, 0.26, 0.28)))
PLANS = {
    "one size": make_plan(ConvertRGB(), RESIZE, CenterCrop(16, 18), *VALUES),
    "padded": make_plan(ConvertRGB(), RESIZE, *VALUES, PadToLargest("pixel_mask")),
    "torchvision": make_plan(
        ConvertRGB(), Resize(Size(height=20, width=30), "bilinear", "pillow12.1", "torchvision"), *VALUES
    ),
}
BACKENDS = ("pil", "numba", "onnx")
ARRAYS = [noise(21 + 7 * (i % 5), 30 + 11 * (i % 3), i) for i in range(9)]


def encoded(array, format="PNG"):
    file = io.BytesIO()
    Image.fromarray(array).save(file, format)
    return file.getvalue()


FILES = [encoded(array) for array in ARRAYS]


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """A Plan's file in a backend."""
    kept = {}

    def open_(name, backend):
        if name not in kept:
            kept[name] = write_artifacts(PLANS[name], tmp_path_factory.mktemp("plan"))
        return load(kept[name][backend], backend)

    return open_


@pytest.fixture
def four(monkeypatch):
    """A pool of four threads, whatever the machine has."""
    pool = threads._Pool()
    pool.threads = pool.cpus = 4
    pool.turns = Turns(5)
    monkeypatch.setattr(threads, "_pool", pool)
    return pool


# --- Encoded images one by one


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", PLANS)
def test_a_list_of_files_equals_its_arrays(name, backend, opened, four, tmp_path):
    pre, expected = opened(name, backend), Preprocessor(PLANS[name], "pil")(ARRAYS)
    paths = [tmp_path / f"{i}.png" for i in range(len(FILES))]
    for path, data in zip(paths, FILES, strict=True):
        path.write_bytes(data)
    kinds = {
        "bytes": FILES,
        "paths": paths,
        "texts": [str(path) for path in paths],
        "lazy": [Image.open(io.BytesIO(data)) for data in FILES],
        "of files": [Image.open(path) for path in paths],
        "tuple": tuple(map(bytearray, FILES)),
        "mixed": [paths[0], FILES[1], memoryview(FILES[2]), Image.open(paths[3]), *FILES[4:]],
    }
    for kind, images in kinds.items():
        result = pre(images)
        assert list(result) == list(expected)
        for key, value in expected.items():
            assert_equal(result[key], value, f"{kind}, {key}")
    tensors = pre(FILES, return_tensors="pt")
    lists = pre(FILES, return_tensors=None)
    for key, value in expected.items():
        assert type(tensors[key]) is torch.Tensor
        assert_equal(tensors[key].numpy(), value, key)
        assert type(lists[key]) is list
    for row, want in zip(lists[PLANS[name].output], expected[PLANS[name].output], strict=True):
        assert_equal(row, want, "a list's row")


def test_images_of_several_sizes_of_result_are_no_batch():
    plan = make_plan(ConvertRGB(), RESIZE, *VALUES)
    for backend in ("pil", "numba"):
        pre = Preprocessor(plan, backend)
        with pytest.raises(InputError, match="these images give sizes"):
            pre(FILES)
        rows = pre(FILES, return_tensors=None).pixel_values
        for row, array in zip(rows, ARRAYS, strict=True):
            assert_equal(row, pre(array).pixel_values[0], backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_out_is_filled(backend, opened, four, monkeypatch):
    pre = opened("one size", backend)
    expected = pre(ARRAYS).pixel_values
    whole = np.full((11, *expected.shape[1:]), 7, np.float32)
    result = pre(FILES, out=whole[1:10])
    assert result.pixel_values.ctypes.data == whole[1:].ctypes.data
    assert_equal(whole[1:10], expected, backend)
    assert (whole[[0, 10]] == 7).all()
    strided = np.full((9, 3, 16, 36), 7, np.float32)[..., ::2]
    assert_equal(pre(FILES, out=strided).pixel_values, expected, backend)
    wrong = [np.empty(shape, np.float32) for shape in ((8, 3, 16, 18), (9, 3, 16, 17), (9,), ())]
    for buffer in (*wrong, np.empty(expected.shape)):
        with pytest.raises(InputError, match=r"^out: pixel_values: expected float32 \(9, 3, 16, 18\), got float"):
            pre(FILES, out=buffer)


def test_numba_writes_rows_where_they_stay(four, monkeypatch):
    given, run_into = [], NumbaBackend.run_into
    monkeypatch.setattr(
        NumbaBackend, "run_into", lambda self, images, out: given.append(out) or run_into(self, images, out)
    )
    pre = Preprocessor(PLANS["one size"], "numba")
    out = np.empty((9, 3, 16, 18), np.float32)
    pre(FILES, out=out)
    step = out[0].nbytes
    assert sorted(row.ctypes.data for row in given) == [out.ctypes.data + i * step for i in range(9)]
    given.clear()
    result = pre(FILES).pixel_values
    placed = [row for row in given if row is not None]
    assert len(placed) >= len(FILES) - 4  # those that began before any was done know no batch
    assert {(row.ctypes.data - result.ctypes.data) % step for row in placed} == {0}


def test_images_that_lie_in_the_output(four):
    """They are all decoded before anything is written over them."""
    four.threads = 1
    pre = Preprocessor(PLANS["one size"], "numba")
    out = np.empty((2, 3, 16, 18), np.float32)
    size = out.nbytes // 2
    out.view(np.uint8).reshape(2, -1)[:, :] = 0
    memory = out.reshape(-1).view(np.uint8)
    files = [encoded(noise(20, 21, seed), "JPEG") for seed in range(2)]
    for i, data in enumerate(files):
        at = (1 - i) * size  # each in the other's place
        memory[at : at + len(data)] = np.frombuffer(data, np.uint8)
    views = [memoryview(memory)[(1 - i) * size :][: len(data)] for i, data in enumerate(files)]
    expected = pre(files).pixel_values
    assert_equal(pre(views, out=out).pixel_values, expected, "in its own memory")


def test_few_decoded_images_are_in_memory(four, monkeypatch):
    alive, most, lock = 0, [], threading.Lock()
    decode = decoding.decode

    def count(by):
        nonlocal alive
        with lock:
            alive += by
            most.append(alive)

    def tracked(*args):
        array = decode(*args)
        count(1)
        weakref.finalize(array, count, -1)
        return array

    monkeypatch.setattr(decoding, "decode", tracked)
    pre = Preprocessor(PLANS["one size"], "pil")
    expected = pre(ARRAYS * 4).pixel_values
    gc.disable()
    try:
        result = pre([bytes(bytearray(data)) for data in FILES * 4]).pixel_values
    finally:
        gc.enable()
    assert_equal(result, expected, "all")
    assert len(most) == 2 * 36
    assert 1 <= max(most) <= 4
    assert alive == 0


def test_sizes_that_follow_from_all_images_are_checked_first(four):
    size = Size(line_height=20, line_width=40, max_line_width=300)
    pre = Preprocessor(make_plan(ConvertRGB(), Resize(size, "bilinear", "pillow13"), *VALUES), "pil")
    images = [encoded(noise(20, 41)), encoded(noise(20, 77, 1))]
    for return_tensors in ("np", None):
        with pytest.raises(InputError, match="these images would be 41, 77 pixels wide"):
            pre(images, return_tensors=return_tensors)


def test_one_object_is_read_once(monkeypatch):
    read, decode = [], decoding.decode
    monkeypatch.setattr(decoding, "decode", lambda *args: read.append(args[0]) or decode(*args))
    pre = Preprocessor(PLANS["one size"], "pil")
    result = pre([FILES[0], FILES[1], FILES[0]]).pixel_values
    assert_equal(result, pre([ARRAYS[0], ARRAYS[1], ARRAYS[0]]).pixel_values, "twice")
    assert sorted(map(FILES.index, read)) == [0, 1]


@pytest.mark.parametrize("backend", ["pil", "numba"])
def test_the_first_bad_image_is_named(backend, four):
    pre = Preprocessor(PLANS["one size"], backend)
    bad = [*FILES[:3], b"bad", *FILES[3:6], b"worse", b"", *FILES[6:]]
    for _ in range(20):
        with pytest.raises(InputError, match=r"^image 3: the bytes: not an image that Pillow can read") as caught:
            pre(bad)
        assert caught.value.position == 3
    with pytest.raises(InputError, match=r"^image 5: the bytes"):
        list(pre.map(bad[2:3] + FILES[:4] + bad[7:], batch_size=3))
    small = Preprocessor(PLANS["one size"], backend, max_pixels=24 * 40)
    with pytest.raises(InputError, match=r"^image 1: expected at most 960 pixels"):
        small([FILES[0], FILES[4], FILES[9 - 1]])


def test_errors_of_ours_and_of_others(four):
    done = []

    def work(i):
        if i in (4, 6, 7):
            raise {4: InputError("four"), 6: RuntimeError("six"), 7: InputError("seven")}[i]
        done.append(i)

    for _ in range(20):
        with pytest.raises(InputError, match=r"^image 4: four$"):
            rows.for_each(40, work)
    assert set(range(4)) | {5} >= set(done) - {5} - set(range(8, 40))
    first, both = threading.Event(), threading.Barrier(2)

    def late(i):
        both.wait(10)
        if i == 1:
            first.wait(10)
            time.sleep(0.1)
            raise InputError("late")
        first.set()
        raise InputError("first")

    with pytest.raises(InputError, match=r"^image 0: first$"):
        rows.for_each(2, late)
    with pytest.raises(RuntimeError, match=r"^six$"):
        rows.for_each(7, lambda i: work(i) if i != 4 else None)
    started = []
    four.threads = 1

    def fails(i):
        started.append(i)
        raise ValueError(i)

    with pytest.raises(ValueError, match="0"):
        rows.for_each(30, fails)
    assert started == [0]
    rows.for_each(0, fails)


# --- Rows of a batch


def test_rows_in_any_order():
    found = Rows(3, (), {})
    values = np.arange(12, dtype=np.float32).reshape(3, 1, 4)
    assert found.place("x", 1) is None
    for i in (2, 0, 1):
        found.put(i, {"x": values[i], "y": values[i].astype(np.uint8)})
    batches = found.batches()
    assert_equal(batches["x"], values[:, 0], "x")
    assert_equal(batches["y"], values[:, 0].astype(np.uint8), "y")
    assert [result["x"].base is not None for result in found.results()] == [True] * 3


def test_rows_in_given_memory():
    memory = np.zeros((2, 3), np.float32)
    found = Rows(2, (), {"x": memory, "y": None})
    assert found.place("x", 1).ctypes.data == memory[1:].ctypes.data
    assert found.place("y", 1) is None
    found.place("x", 1)[:] = 5
    found.put(1, {"x": found.place("x", 1)})
    found.put(0, {"x": np.full((1, 3), 4, np.float32)})
    assert found.batches()["x"] is memory
    assert memory.tolist() == [[4] * 3, [5] * 3]


@pytest.mark.parametrize("other", [np.zeros((1, 4), np.float32), np.zeros((1, 3)), np.zeros((1, 3, 1), np.float32)])
def test_rows_that_are_no_batch(other):
    first = np.ones((1, 3), np.float32)
    found = Rows(2, (), {})
    found.put(0, {"x": first})
    found.put(1, {"x": other})
    assert found.batches() is None
    got = [result["x"] for result in found.results()]
    assert_equal(got[0], first[0], "first")
    assert_equal(got[1], other[0], "other")
    found = Rows(2, ("x",), {})
    found.put(0, {"x": first})
    found.put(1, {"x": first})
    assert found.batches() is None


# --- Turns


def waiting(turns, count):
    for _ in range(1000):
        if len(turns._line) == count:
            return
        time.sleep(0.005)
    pytest.fail(f"{len(turns._line)} wait, not {count}")


def test_those_that_came_first_are_first():
    turns, order = Turns(1), []

    def work(name):
        with turns:
            order.append(name)

    workers = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    with turns:
        for i, worker in enumerate(workers):
            worker.start()
            waiting(turns, i + 1)
        assert (order, turns.taken) == ([], 1)
    for worker in workers:
        worker.join(10)
    assert (order, turns.taken) == ([*range(6)], 0)


def test_at_most_so_many_at_once():
    turns, inside, most, lock = Turns(3), 0, [], threading.Lock()

    def work():
        nonlocal inside
        for _ in range(50):
            with turns:
                with lock:
                    inside += 1
                    most.append(inside)
                time.sleep(0)
                with lock:
                    inside -= 1

    workers = [threading.Thread(target=work) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert max(most) == 3
    assert (turns.taken, len(turns._line)) == (0, 0)


def test_an_error_ends_a_turn():
    turns = Turns(1)
    with pytest.raises(RuntimeError), turns:
        raise RuntimeError
    assert turns.taken == 0


@pytest.mark.parametrize("handed", [False, True])
def test_who_is_interrupted_leaves_the_line(handed, monkeypatch):
    """While it waits: before it is called, or just behind that."""
    turns = Turns(1)
    turns._owners.add(0)

    def take(*given):
        if handed:
            turns._leave(0)
        raise KeyboardInterrupt

    monkeypatch.setattr(turns, "_take", take)
    monkeypatch.setattr("runtime.turns.PATIENCE", 0.01)
    with pytest.raises(KeyboardInterrupt):
        turns.__enter__()
    assert len(turns._line) == 0
    assert turns._owners == (set() if handed else {0})
    monkeypatch.undo()
    turns._leave(0)
    with turns:
        assert turns.taken == 1


INTERRUPTED = """
import random, signal, sys, threading, time
from runtime.turns import Turns

turns, done = Turns(1), threading.Event()
signal.signal(signal.SIGALRM, signal.default_int_handler)
random.seed(0)

def work():
    while not done.is_set():
        with turns:
            count[0] += 1

def call():
    with turns:
        pass

count, others = [0], [threading.Thread(target=work, daemon=True) for _ in range(int(sys.argv[1]))]
for other in others:
    other.start()
interrupts = left = 0
end = time.monotonic() + float(sys.argv[2])
while time.monotonic() < end:
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, 2e-4))
        while True:
            call()
    except KeyboardInterrupt:
        interrupts += 1
    signal.setitimer(signal.ITIMER_REAL, 0)
    left += threading.get_ident() in turns._owners
done.set()
for other in others:
    other.join(20)
    assert not other.is_alive()
call()
assert (turns.taken, len(turns._line)) == (0, 0), (turns._owners, turns._line)
assert interrupts > 20, interrupts
print(left)
"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs a timer")
@pytest.mark.parametrize("others", [0, 3])
def test_an_interrupt_at_any_step_stops_nobody(others):
    """In a process of its own: the main thread's turns are interrupted hundreds of times, and other threads go on."""
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, str(others), "3"], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert others or int(done.stdout) > 0  # some did come where a turn is kept


def test_a_turn_that_was_kept_is_the_threads_own():
    turns = Turns(1)
    turns.__enter__()
    with turns:
        assert turns.taken == 1
    assert turns.taken == 0


def kept(turns, monkeypatch):
    """Turns as threads leave them that are interrupted and end: each with a turn, and one with a place in the line."""
    monkeypatch.setattr("runtime.turns.PATIENCE", 0.05)
    for _ in range(turns._count):
        thread = threading.Thread(target=turns.__enter__)
        thread.start()
        thread.join()
    turns._owners = set(range(-turns._count, 0))  # no thread's: idents may be used again
    turns._line.append(threading.Lock())


@pytest.mark.parametrize("count", [1, 3])
def test_what_threads_left_that_ended_is_nobodys(count, monkeypatch):
    turns, passed = Turns(count), []
    kept(turns, monkeypatch)

    def work():
        with turns:
            passed.append(turns.taken)

    workers = [threading.Thread(target=work) for _ in range(5)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(20)
    assert len(passed) == 5
    assert max(passed) <= count
    assert (turns.taken, len(turns._line)) == (0, 0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_calls_take_turns(backend, opened, four, monkeypatch):
    """One a call or an image."""
    pre, taken = opened("one size", backend), []

    class Counted(Turns):
        def __enter__(self):
            super().__enter__()
            taken.append(self.taken)

    four.turns = Counted(5)
    lazy = lambda: Image.open(io.BytesIO(FILES[0]))  # noqa: E731
    for images, count in (
        (FILES[0], 1), (ARRAYS[0], 1), ([FILES[0]], 1), (ARRAYS, 1), (FILES, 9), ([*FILES[:2], ARRAYS[0]], 1),
        (lazy(), 1), ([lazy(), lazy()], 2), ([[FILES[0]], [FILES[1]]], 1), (torch.from_numpy(ARRAYS[0]), 1),
    ):  # fmt: skip
        taken.clear()
        pre(images)
        assert len(taken) == count
        assert four.turns.taken == 0


@pytest.mark.parametrize("count", [1, 2])
def test_files_take_a_turn_when_they_are_read(count, four, tmp_path, monkeypatch):
    """And none while they wait for a disk."""
    pre, seen = Preprocessor(PLANS["one size"], "pil"), []
    for name, data in zip("ab", FILES, strict=False):
        (tmp_path / name).write_bytes(data)
    a, b = tmp_path / "a", tmp_path / "b"
    check, run = decoding.check_format, type(pre._run).run
    monkeypatch.setattr(
        decoding, "check_format", lambda image: (seen.append(("read", four.turns.taken)), check(image))[1]
    )
    monkeypatch.setattr(
        type(pre._run), "run", lambda self, images: (seen.append(("run", four.turns.taken)), run(self, images))[1]
    )
    four.turns = Turns(1)
    for images in ((a, str(a), [a], [a, ARRAYS[0]]), ([a, b], [str(b), a]))[count - 1]:
        seen.clear()
        pre(images)
        # Of two files, one may be read while the other is run.
        assert {taken for what, taken in seen if what == "run"} == {1}
        assert count > 1 or ("read", 0) in seen
        assert four.turns.taken == 0


def test_files_are_read_while_others_work(four, tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(FILES[0])
    pre, is_read, done = Preprocessor(PLANS["one size"], "pil"), threading.Event(), []
    read = decoding.pixels
    monkeypatch.setattr(decoding, "pixels", lambda *given: (read(*given), is_read.set())[0])
    four.turns = Turns(1)
    with four.turns:
        thread = threading.Thread(target=lambda: done.append(pre(tmp_path / "a")))
        thread.start()
        assert is_read.wait(10)
        thread.join(0.05)
        assert not done
    thread.join()
    assert_equal(done[0].pixel_values, pre(ARRAYS[0]).pixel_values, "read first, run in its turn")


def test_other_backends_take_no_turns(four):
    pre = Preprocessor(PLANS["one size"], "torch")
    four.turns = Turns(1)
    with four.turns:
        assert pre(FILES).pixel_values.shape == (9, 3, 16, 18)


@pytest.mark.parametrize(("taken", "used"), [(0, 4), (1, 4), (2, 3), (3, 2), (4, 1), (5, 1)])
def test_work_is_spread_on_what_is_idle(taken, used, four, monkeypatch):
    four.turns._owners = set(range(taken))
    others, submit, rows = [], four.submit, []
    monkeypatch.setattr(four, "submit", lambda work: others.append(work) or submit(work))
    threads.spread(lambda start, stop: rows.extend(range(start, stop)), 50, 100 * threads.BAND_COST)
    assert len(others) == used - 1
    assert sorted(rows) == [*range(50)]


@forks
def test_a_child_has_turns_of_its_own():
    pre = Preprocessor(PLANS["one size"], "pil")
    pool = threads._pool
    pool.turns._owners = set(range(pool.cpus + 1))
    try:
        assert exit_code(lambda: pre(FILES[0]).pixel_values.shape == (1, 3, 16, 18)) == 0
    finally:
        pool.turns._owners.clear()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system binds no CPUs")
def test_cpus_are_counted_anew():
    before, pool = os.sched_getaffinity(0), threads._pool
    try:
        os.sched_setaffinity(0, {min(before)})
        threads.restart()
        assert (threads._pool.cpus, threads._pool.threads) == (1, 1)
    finally:
        os.sched_setaffinity(0, before)
        threads._pool = pool
    assert turns.cpus() == len(before)
