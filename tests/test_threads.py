"""One loaded object in many threads and in child processes, by fork and by spawn: always the same bits."""

import gc
import multiprocessing
import os
import pickle
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

import exporter
from runtime import ArtifactError, load
from runtime.ops import CenterCrop, ConvertRGB, Normalize, Rescale, Resize
from runtime.ops.size import Size

from .families import threads
from .forks import exit_code, forks
from .helpers import make_plan, noise

PLAN = make_plan(
    ConvertRGB(),
    Resize(Size(shortest_edge=64), "bicubic", "pillow13"),
    CenterCrop(60, 60),
    Rescale(1 / 255),
    Normalize((0.48, 0.46, 0.41), (0.27, 0.26, 0.28)),
)
BACKENDS = {"onnx": "plan.onnx", "numba": "plan.onnx", "torch": "plan.pt", "torchscript": "plan.pt", "pil": "plan.pt"}
"""For a child process; it takes 3 at most, and hangs where a thread is missing."""

IMAGES = [noise(90 + 37 * (i % 4), 120 + 23 * (i % 3), i) for i in range(12)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    exporter.to_onnx(PLAN, folder / "plan.onnx")
    exporter.to_torchscript(PLAN, folder / "plan.pt")
    return folder


@pytest.fixture(scope="module")
def expected(folder):
    pil = load(folder / "plan.onnx", "pil")
    return [pil(image).pixel_values for image in IMAGES]


@pytest.fixture(params=BACKENDS)
def pre(request, folder):
    return load(folder / BACKENDS[request.param], request.param)


def differing(pre, expected, calls, seed=0):
    """Calls of one, two or three images whose result is not what it should be."""
    rng, wrong = np.random.default_rng(seed), 0
    for _ in range(calls):
        chosen = rng.integers(len(IMAGES), size=rng.integers(1, 4))
        got = pre([IMAGES[i] for i in chosen]).pixel_values
        wrong += not np.array_equal(got, np.concatenate([expected[i] for i in chosen]))
    return wrong


def shared_by_threads(pre, expected, calls):
    """Differing results of 8 threads that share the object."""
    start = threading.Barrier(8)

    def work(seed):
        start.wait()
        return differing(pre, expected, calls, seed)

    with ThreadPoolExecutor(8) as pool:
        return sum(pool.map(work, range(8)))


def test_eight_threads(pre, expected):
    assert shared_by_threads(pre, expected, 12) == 0


@pytest.mark.slow
def test_eight_threads_thousands_of_calls(pre, expected):
    assert shared_by_threads(pre, expected, 1000) == 0


@pytest.mark.slow
def test_memory_stays_flat(pre, expected):
    """Behind the first calls, which fill caches; sizes that come seldom, refused images and lists among them."""
    statm, page = Path("/proc/self/statm"), os.sysconf("SC_PAGE_SIZE")
    if not statm.exists():
        pytest.skip("needs /proc")
    rng, levels = np.random.default_rng(0), []
    for _ in range(6):
        assert differing(pre, expected, 400) == 0
        for _ in range(100):
            pre(noise(*rng.integers(1, 200, 2).tolist()))
            with pytest.raises(ValueError, match="not an image that Pillow can read"):
                pre(b"no image")
        gc.collect()
        levels.append(int(statm.read_text().split()[1]) * page)
    assert levels[-1] - levels[1] < 24 * 2**20, [level // 2**20 for level in levels]


# --- Processes


@forks
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.parametrize("used", ["before", "while", "not"])
def test_a_forked_child_uses_the_object(pre, used, expected):
    """The parent has used it, threads of the parent are using it, or nobody has; torch's own threads run too."""
    large = noise(900, 1200)
    with threads(2):
        want = load_pil(pre)([large] * 3).pixel_values
        stop = threading.Event()

        def busy():
            while not stop.is_set():
                pre([large] * 3)

        others = [threading.Thread(target=busy) for _ in range(2 if used == "while" else 0)]
        for thread in others:
            thread.start()
        try:
            for _ in range(0 if used == "not" else 10):
                pre([large] * 3)
            code = exit_code(
                lambda: differing(pre, expected, 10) == 0 and np.array_equal(pre([large] * 3).pixel_values, want)
            )
        finally:
            stop.set()
            for thread in others:
                thread.join()
        assert code == 0
        assert np.array_equal(pre([large] * 3).pixel_values, want), "in the parent"


def load_pil(pre):
    return load(pre._file.path, "pil")


@forks
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_forked_child_opens_the_file_and_drops_the_parents_object(backend, folder, expected):
    held = [load(folder / BACKENDS[backend], backend)]
    differing(held[0], expected, 12)

    def work():
        held.clear()
        gc.collect()
        return differing(load(folder / BACKENDS[backend], backend), expected, 12) == 0

    assert exit_code(work) == 0


def given_by(pre, indices):
    """In a worker: the bytes of what it gives."""
    return [pre(IMAGES[i]).pixel_values.tobytes() for i in indices]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_pool_of_processes(pre, method, expected, monkeypatch):
    """The object is pickled for each task."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent))  # where a spawned worker finds this file
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} here")
    differing(pre, expected, 5)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method)) as pool:
        results = [pool.submit(given_by, pre, range(i, i + 3)) for i in range(0, 12, 3)]
        got = [data for result in results for data in result.result(timeout=180)]
    assert got == [values.tobytes() for values in expected]


def test_a_pickle_needs_its_file(pre, folder, tmp_path):
    path = tmp_path / Path(pre._file.path).name
    path.write_bytes(Path(pre._file.path).read_bytes())
    data = pickle.dumps(load(path, pre.backend))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ArtifactError):
        pickle.loads(data)
    path.unlink()
    with pytest.raises(ArtifactError, match="cannot be read"):
        pickle.loads(data)


@forks
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_needs_the_fused_file(tmp_path):
    """Its sessions are opened again there; the parent's model is not held in memory for that."""
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.Flatten()).eval()
    path = tmp_path / "fused.onnx"
    exporter.to_onnx(PLAN, path, module)
    pre = load(path)
    (want,) = pre(IMAGES[0]).values()
    assert exit_code(lambda: np.array_equal(next(iter(pre(IMAGES[0]).values())), want)) == 0
    exporter.to_onnx(make_plan(*PLAN.steps[1:]), path, module)

    def refused():
        try:
            pre(IMAGES[0])
        except ArtifactError as error:
            return "is not the file that was loaded" in str(error)
        return False

    assert exit_code(refused) == 0
    assert np.array_equal(next(iter(pre(IMAGES[0]).values())), want), "in the parent"
