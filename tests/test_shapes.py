"""Sessions of their own for the shapes that come again and again."""

import contextlib
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image

import exporter
import runtime
from runtime import threads
from runtime.backends import sessions as backend
from runtime.backends.opener import ARENA, SHARED, THREADS
from runtime.errors import ArtifactError

from .helpers import assert_equal, noise


@pytest.fixture
def path(tmp_path):
    exporter.to_onnx(exporter.trace("clip-vit-base-patch32"), tmp_path / "clip.onnx")
    return tmp_path / "clip.onnx"


def sessions(loaded):
    return list(loaded._run._sessions._alone._sessions)


def test_a_shape_gets_a_session_when_it_comes_often(path):
    loaded = runtime.load(path, backend="onnx")
    image, other = noise(40, 61), noise(61, 40)
    expected = [runtime.load(path, backend="pil")(i).pixel_values for i in (image, other)]
    for call in range(2 * backend.REPEATS):
        assert_equal(loaded(image).pixel_values, expected[0], call)
        assert sessions(loaded) == ([(1, 40, 61, 3)] if call + 1 >= backend.REPEATS else [])
    assert_equal(loaded(other).pixel_values, expected[1], "another size")
    assert len(sessions(loaded)) == 1


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
def test_the_session_is_for_its_batch_and_layout(layout, tmp_path):
    plan = exporter.trace("vit-base-patch16-224", layout=layout)
    exporter.to_onnx(plan, tmp_path / "vit.onnx")
    loaded = runtime.load(tmp_path / "vit.onnx", backend="onnx")
    for batch in (1, 3):
        images = np.stack([noise(31, 50, seed) for seed in range(batch)])
        expected = runtime.load(tmp_path / "vit.onnx", backend="pil")(images).pixel_values
        for call in range(backend.REPEATS + 2):
            assert_equal(loaded(images).pixel_values, expected, (batch, call))
    assert len(sessions(loaded)) == 2


def test_the_least_recently_used_gives_way(path, monkeypatch):
    monkeypatch.setattr(backend, "REPEATS", 1)
    monkeypatch.setattr(backend, "MOST_SESSIONS", 2)
    loaded = runtime.load(path, backend="onnx")
    for height in (10, 11, 10, 12):
        loaded(noise(height, 10))
    assert [shape[1] for shape in sessions(loaded)] == [10, 12]


def test_shapes_that_come_alike_do_not_drive_each_other_out(path, monkeypatch):
    monkeypatch.setattr(backend, "REPEATS", 3)
    monkeypatch.setattr(backend, "MOST_SESSIONS", 2)
    loaded = runtime.load(path, backend="onnx")
    opened, original = [], backend.Opener.open
    monkeypatch.setattr(backend.Opener, "open", lambda self, *a, **b: (opened.append(a[1]), original(self, *a, **b))[1])
    for _ in range(12):
        for height in (10, 11, 12):
            loaded(noise(height, 10))
    assert [sizes["height"] for sizes in opened] == [10, 11]
    # Once the others stay away, it is worth one; its last call was behind theirs.
    for call in range(2):
        assert [shape[1] for shape in sessions(loaded)] == [10, 11], call
        loaded(noise(12, 10))
    assert [shape[1] for shape in sessions(loaded)] == [11, 12]
    # And of those that it stands beside, the one that was used last stays.
    loaded(noise(11, 10))
    for _ in range(3):
        loaded(noise(13, 10))
    assert [shape[1] for shape in sessions(loaded)] == [11, 13]
    assert len(loaded._run._sessions._alone._used) == 2


def test_counts_do_not_grow_for_ever(path, monkeypatch):
    monkeypatch.setattr(backend, "MOST_SHAPES", 3)
    loaded = runtime.load(path, backend="onnx")
    for height in range(10, 20):
        loaded(noise(height, 10))
    assert len(loaded._run._sessions._alone._seen) <= 3


def test_threads_open_one_session_and_all_get_the_same_bits(path, monkeypatch):
    """One for each of two shapes, of calls alone and of others, and two for all shapes."""
    opened = []
    original = backend.Opener.open
    monkeypatch.setattr(backend.Opener, "open", lambda self, *a, **b: (opened.append(a), original(self, *a, **b))[1])
    loaded = runtime.load(path, backend="onnx")
    images = [noise(30, 40), noise(41, 30)]
    expected = [runtime.load(path, backend="pil")(image).pixel_values for image in images]
    wrong = []

    def work(number):
        for _ in range(3 * backend.REPEATS):
            if not np.array_equal(loaded(images[number % 2]).pixel_values, expected[number % 2]):
                wrong.append(number)

    workers = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in workers:
        thread.start()
    for thread in workers:
        thread.join()
    assert not wrong
    beside = loaded._run._sessions._beside
    assert len(sessions(loaded)) <= 2
    assert len(opened) == 1 + len(sessions(loaded)) + (0 if beside is None else 1 + len(beside._sessions))


def test_the_file_may_be_gone_or_another_by_then(path):
    loaded = runtime.load(path, backend="onnx")
    image = noise(40, 61)
    expected = loaded(image).pixel_values
    path.write_bytes(b"another file")
    for _ in range(backend.REPEATS):
        assert_equal(loaded(image).pixel_values, expected, "after the file changed")
    assert len(sessions(loaded)) == 1
    with pytest.raises(ArtifactError):
        runtime.load(path, backend="onnx")


# --- Calls beside others

ANY = {"enable_mem_pattern": False, SHARED: "1", "shape": False}


@pytest.fixture
def opened(monkeypatch):
    """The options of every session that is opened."""
    found, original = [], backend.Opener.open

    def open_(self, model, sizes=None, **ours):
        found.append({**ours, "shape": sizes is not None})
        return original(self, model, sizes, **ours)

    monkeypatch.setattr(backend.Opener, "open", open_)
    return found


@contextlib.contextmanager
def company(count):
    """While so many others have turns."""
    owners, others = threads.turn()._owners, {-1 - i for i in range(count)}
    owners |= others
    try:
        yield
    finally:
        owners -= others


def test_calls_beside_others_get_sessions_of_one_thread(path, opened, monkeypatch):
    loaded, image = runtime.load(path, backend="onnx"), noise(40, 61)
    expected = runtime.load(path, backend="pil")(image).pixel_values
    one = {THREADS: 1}
    for call in range(backend.COMPANY + backend.REPEATS + 1):
        with company(1):
            assert_equal(loaded(image).pixel_values, expected, call)
        if call == backend.COMPANY - 2:
            assert opened == [ANY]
    # In the meantime the shape has come often enough.
    assert opened == [ANY, one | ANY, one | {SHARED: "1", "shape": True}]
    assert not sessions(loaded)
    assert_equal(loaded(image).pixel_values, expected, "alone again")
    assert sessions(loaded) == [(1, 40, 61, 3)], "the calls before count"


def test_a_list_of_files_is_calls_beside_each_other(path, opened, tmp_path, monkeypatch):
    pool = threads._Pool()
    pool.threads = pool.cpus = 2
    monkeypatch.setattr(threads, "_pool", pool)
    monkeypatch.setattr(backend, "COMPANY", 1)
    files, meet = [], threading.Barrier(2, timeout=30)
    for i in range(2):
        Image.fromarray(noise(40, 50 + i)).save(tmp_path / f"{i}.png")
        files.append((tmp_path / f"{i}.png").read_bytes())
    loaded = runtime.load(path, backend="onnx")
    expected = runtime.load(path, backend="pil")(files).pixel_values
    run = loaded._run.run
    monkeypatch.setattr(loaded._run, "run", lambda images: (meet.wait(), run(images))[1])
    assert_equal(loaded(files).pixel_values, expected, "files")
    assert opened == [ANY, {THREADS: 1} | ANY]


@pytest.mark.parametrize(
    "given",
    [
        lambda: {"session_options": {THREADS: 2}},
        lambda: {"session_options": onnxruntime.SessionOptions()},
        lambda: {"providers": ["CPUExecutionProvider"]},
    ],
    ids=["threads", "an object", "providers"],
)
def test_what_the_caller_asks_for_is_kept(given, path, monkeypatch):
    monkeypatch.setattr(backend, "COMPANY", 1)
    loaded = runtime.load(path, **given())
    for _ in range(2):
        with company(2):
            loaded(noise(40, 61))
    assert loaded._run._sessions._beside is None


def test_other_threads_do_not_wait_for_a_session(path, monkeypatch):
    monkeypatch.setattr(backend, "COMPANY", 1)
    loaded, image = runtime.load(path, backend="onnx"), noise(40, 61)
    expected = loaded(image).pixel_values
    with company(1), loaded._run._sessions._lock:  # as the thread that opens it has
        assert_equal(loaded(image).pixel_values, expected, "with that for all CPUs")
    assert loaded._run._sessions._beside is None
    with company(1):
        assert_equal(loaded(image).pixel_values, expected, "with one of its own")
    assert loaded._run._sessions._beside is not None


# --- Memory


@pytest.mark.parametrize(
    ("given", "shares"),
    [
        ({}, True),
        ({"session_options": {THREADS: 1}}, True),
        ({"session_options": {ARENA: True}}, False),
        ({"session_options": {ARENA: False}}, False),
        ({"providers": ["CPUExecutionProvider"]}, False),
    ],
)
def test_sessions_share_an_arena_where_the_caller_has_no_say(given, shares, path, monkeypatch):
    monkeypatch.setattr(backend, "REPEATS", 1)
    made, make = [], onnxruntime.InferenceSession

    def session(model, options, **more):
        try:
            made.append(options.get_session_config_entry(SHARED))
        except RuntimeError:  # there is no such entry
            made.append("0")
        return make(model, options, **more)

    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    runtime.load(path, "onnx", **given)(noise(40, 61))
    assert made == ["1" if shares else "0"] * 2


FORK = """
import os, sys
from runtime.backends.opener import Opener
show = lambda: print(len(Opener("a").shared_memory()), flush=True)
if sys.argv[1] == "used":
    Opener("a").shared_memory()
child = os.fork() or show() or os._exit(0)
os.waitpid(child, 0)
show()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.parametrize(("used", "shares"), [("used", "0"), ("", "1")])
def test_a_fork_has_an_arena_of_its_own(used, shares):
    """Its parent's may be locked."""
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", FORK, used], capture_output=True, text=True, cwd=root, check=True)
    assert done.stdout.split() == [shares, "1"]
