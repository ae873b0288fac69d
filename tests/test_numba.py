"""Backend ``numba`` gives the bits of backend ``pil``, from any memory, in any number of threads, and reads no byte
outside the image."""

import ctypes
import functools
import mmap
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from runtime import BackendUnavailable, InputError, machine_code
from runtime import threads as pools
from runtime.backends.pil import PilBackend
from runtime.lowering import check_size, lower
from runtime.ops import Cast, CenterCrop, Normalize, Rescale, Resize
from runtime.ops.resize import FILTERS, ORDERS, TORCHVISION_FILTERS
from runtime.ops.size import Size
from runtime.resample import SUPPORT, block_weights

from .forks import exit_code
from .helpers import assert_equal, make_plan, noise, sides
from .test_backends import PIPELINES, pipelines

numba = pytest.importorskip("numba")

from runtime.backends.numba import NumbaBackend  # noqa: E402
from runtime.ops import resize_llvm, resize_numba  # noqa: E402

VALUES = (Rescale(1 / 255), Normalize((0.48, 0.45, 0.41), (0.27, 0.26, 0.28)))
KINDS = [(filter, order, "pillow") for filter in FILTERS for order in ORDERS]
KINDS += [(filter, "pillow12.1", "torchvision") for filter in TORCHVISION_FILTERS]
FORK = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
SINGLE = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # Python 3.12 warns where threads run


@pytest.fixture(params=[1, 5], ids=["one thread", "five threads"])
def threads(request, monkeypatch):
    """As many threads a call, for the smallest images too: the borders of the bands are anywhere."""
    pool = pools._Pool()
    pool.threads = request.param
    monkeypatch.setattr(pools, "_pool", pool)
    monkeypatch.setattr(pools, "BAND_COST", 1)


def rgbx(images):
    """The same pixels 4 bytes apart; the fourth is one that must not count."""
    padded = np.full((*images.shape[:3], 4), 255, np.uint8)
    padded[..., :3] = images
    return padded[..., :3]


def planar(images):
    """The same pixels, channel by channel."""
    return np.moveaxis(np.moveaxis(images, -1, 1).copy(), 1, -1)


def check(plan, images, what=""):
    """Pixels 3 and 4 bytes apart and in planes, against ``pil``."""
    expected = PilBackend(plan).run(images)["pixel_values"]
    run = NumbaBackend(plan).run
    for form in (images, rgbx(images), planar(images)):
        outputs = run(form)
        assert tuple(outputs) == plan.outputs
        values = outputs["pixel_values"]
        assert values.flags.c_contiguous
        assert values.flags.writeable
        assert_equal(values, expected, f"{what} at {form.shape}, strides {form.strides}")


# --- Values


def random_sizes(rng, count):
    """(height, width) of both orientations: 1 pixel, odd, square, long."""
    for _ in range(count):
        height, width = (int(rng.choice([1, 2, 3, 17, rng.integers(1, 40), rng.integers(1, 400)])) for _ in range(2))
        yield height, width


@pytest.mark.parametrize(("filter", "order", "weights"), KINDS)
def test_resize(filter, order, weights, threads):
    rng = np.random.default_rng([*filter.encode(), *order.encode(), *weights.encode()])
    for height, width in [*random_sizes(rng, 10), (97, 97), (390, 21), (30, 350)]:
        new_height, new_width = (int(rng.choice([1, n, rng.integers(1, 130)])) for n in (height, width))
        size = Size(height=min(new_height, 200), width=min(new_width, 200))
        check(make_plan(Resize(size, filter, order, weights), *VALUES), noise(height, width)[None], filter)


@pytest.mark.parametrize(("filter", "order", "weights"), KINDS)
def test_resize_and_crop(filter, order, weights, threads):
    rng = np.random.default_rng([*filter.encode(), *order.encode(), *weights.encode(), 1])
    shapes = [*rng.integers(1, 200, (5, 2)).tolist(), [300, 40], [33, 33], [1, 1]]
    for (height, width), rule in zip(shapes, ["pil", "torchvision"] * 4, strict=True):
        crop = CenterCrop(*rng.integers(1, 90, 2).tolist(), rule)
        resize = Resize(Size(shortest_edge=int(rng.integers(1, 60))), filter, order, weights)
        check(make_plan(resize, crop, *VALUES), noise(height, width)[None], f"{filter}, {crop}")


@pytest.mark.parametrize("rule", ["pil", "torchvision"])
@pytest.mark.parametrize("shape", [(40, 50), (400, 50), (1, 1), (3, 90)])
def test_crops_larger_than_the_image(shape, rule, threads):
    for order in ORDERS:
        plan = make_plan(Resize(Size(shortest_edge=9), "bicubic", order), CenterCrop(131, 70, rule), *VALUES)
        check(plan, noise(*shape)[None], order)


def test_padding_alone_in_a_band(threads):
    """The border of an image of 2 pixels is nearly all of the output."""
    plan = make_plan(Resize(Size(height=2, width=2), "bilinear", "pillow13"), CenterCrop(64, 64))
    check(plan, np.full((1, 9, 9, 3), 255, np.uint8))


@pytest.mark.parametrize("shape", [(1080, 1920), (1920, 1080), (2400, 300), (223, 225)])
@pytest.mark.parametrize("filter", ["nearest", "bilinear", "bicubic", "lanczos"])
def test_photograph_sizes(filter, shape):
    image = noise(*shape)[None]
    check(make_plan(Resize(Size(height=224, width=224), filter, "pillow13"), *VALUES), image, filter)
    check(make_plan(Resize(Size(shortest_edge=224), filter, "pillow13"), CenterCrop(224, 224), *VALUES), image, filter)


@pytest.mark.parametrize("value", [0, 255])
@pytest.mark.parametrize("filter", FILTERS)
def test_sums_at_their_largest(filter, value):
    """Weights of both signs on the pixels that make their sum the largest and the smallest."""
    image = np.full((1, 41, 43, 3), value, np.uint8)
    image[:, ::7, ::5] = 255 - value
    for size in (Size(height=9, width=11), Size(height=150, width=160)):
        check(make_plan(Resize(size, filter, "pillow13"), *VALUES), image, filter)


@pytest.mark.parametrize("filter", FILTERS)
def test_sums_fit_32_bits(filter):
    rng = np.random.default_rng(0)
    sizes = [*((a, b) for a in range(1, 12) for b in range(1, 70, 3)), *rng.integers(1, 900, (30, 2)).tolist()]
    for weights in ("pillow", "torchvision") if filter in TORCHVISION_FILTERS else ("pillow",):
        for n_in, n_out in sizes:
            _, values = block_weights(n_in, n_out, 0, n_out, filter, SUPPORT[filter], weights)
            assert np.abs(values).sum(axis=-1).max() < 1.6 * 2**22
            assert np.maximum(values, 0).sum(axis=-1).max() * 255 + 2**21 < 2**31


@pytest.mark.parametrize("last", [(), VALUES, (*VALUES, Cast("float16")), (Cast("float32"),)])
def test_dtypes(last, threads):
    plan = make_plan(Resize(Size(height=20, width=31), "bilinear", "pillow13"), *last)
    check(plan, noise(50, 40)[None])


@pytest.mark.parametrize("shape", [(117, 165), (165, 117), (31, 300), (640, 40)])
@pytest.mark.parametrize("name", PIPELINES)
def test_pipelines(name, shape, threads):
    check(make_plan(*PIPELINES[name]), np.stack([noise(*shape, seed) for seed in range(3)]), name)


@given(pipelines(), st.lists(st.tuples(sides(90), sides(90)), min_size=1, max_size=3))
@settings(max_examples=100)
def test_any_pipeline(steps, shapes):
    for shape in shapes:
        try:
            height, width = check_size(lower(steps), *shape)
        except InputError:
            continue
        assume(height * width < 50_000)
        check(make_plan(*steps), noise(*shape)[None])


@pytest.mark.slow
@pytest.mark.parametrize(("filter", "order", "weights"), KINDS)
def test_many_sizes(filter, order, weights, threads):
    rng = np.random.default_rng([*filter.encode(), *order.encode(), *weights.encode(), 2])
    for height, width in random_sizes(rng, 200):
        new_height, new_width = (int(rng.choice([1, n, rng.integers(1, 300)])) for n in (height, width))
        resize = Resize(Size(height=min(new_height, 300), width=min(new_width, 300)), filter, order, weights)
        crop = CenterCrop(*rng.integers(1, 200, 2).tolist())
        for steps in ((resize, *VALUES), (resize, crop, *VALUES)):
            check(make_plan(*steps), noise(height, width)[None], filter)


def test_an_image_that_leaves_no_pixel():
    plan = make_plan(Resize(Size(max_height=10, max_width=10), "bilinear", "pillow13"), *VALUES)
    with pytest.raises(InputError, match="expected at least 1 pixel a side"):
        NumbaBackend(plan).run(noise(1, 200)[None])


# --- Memory

VIT = make_plan(*PIPELINES["ViT"])
CLIP = make_plan(*PIPELINES["CLIP"])


def views():
    images = np.stack([noise(61, 83, seed) for seed in range(4)])
    frozen = images.copy()
    frozen.flags.writeable = False
    one = np.broadcast_to(images[:1, :1, :1], (2, 9, 7, 3))
    return {
        "read-only": frozen,
        "every other image": images[::2],
        "cropped": images[:, 5:50, 7:60],
        "cropped RGBX": rgbx(images)[:, 5:50, 7:60],
        "upside down": images[:, ::-1],
        "mirrored": images[:, :, ::-1],
        "every other column": images[:, :, ::2],
        "every other row": images[:, ::2],
        "BGR": images[..., ::-1],
        "red alone": np.broadcast_to(images[..., :1], images.shape),
        "channels first": np.moveaxis(np.ascontiguousarray(np.moveaxis(images, -1, 1)), 1, -1),
        "Fortran": np.asfortranarray(images),
        "cropped channels first": planar(images)[:, 5:50, 7:60],
        "channels first, upside down": planar(images)[:, ::-1],
        "channels first, blue first": planar(images)[..., ::-1],
        "row by row of each channel": np.moveaxis(np.moveaxis(images, -1, 2).copy(), 2, -1),
        "gray, three times": np.broadcast_to(planar(images)[..., 1:2], images.shape),
        "16 columns": planar(images)[:, :, 3:19],
        "one pixel": images[:, ::61, ::83],
        "one pixel backwards": images[:1, 60::-61, 82::-83],
        "one pixel everywhere": one,
    }


@pytest.mark.parametrize("name", views())
def test_any_memory(name):
    images = views()[name]
    for plan in (VIT, CLIP):
        expected = PilBackend(plan).run(np.ascontiguousarray(images))["pixel_values"]
        assert_equal(NumbaBackend(plan).run(images)["pixel_values"], expected, name)


def in_child(function):
    """Its exit code, in a forked process."""
    return exit_code(lambda: function() or True)


class Fenced:
    """Memory between two pages that may not be touched."""

    def __init__(self, size):
        page = mmap.PAGESIZE
        self.size = -(-size // page) * page
        self.map = mmap.mmap(-1, self.size + 2 * page)
        self.memory = np.frombuffer(self.map, np.uint8)
        protect = ctypes.CDLL(None, use_errno=True).mprotect
        protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        for start in (0, self.size + page):
            assert protect(self.memory.ctypes.data + start, page, 0) == 0, os.strerror(ctypes.get_errno())
        self.memory = self.memory[page : page + self.size]

    def place(self, images, at_end):
        """A copy of the images at one end of the memory, with their strides."""
        reach = sum((n - 1) * step for n, step in zip(images.shape, images.strides, strict=True)) + 1
        start = self.size - reach if at_end else 0
        view = np.lib.stride_tricks.as_strided(self.memory[start:], images.shape, images.strides)
        view[:] = images
        return view


@FORK
@SINGLE
def test_the_fence_stops_a_read():
    fenced = Fenced(1)
    assert in_child(lambda: ctypes.string_at(fenced.memory.ctypes.data + fenced.size, 1)) < 0
    assert in_child(lambda: ctypes.string_at(fenced.memory.ctypes.data - 1, 1)) < 0


@FORK
@SINGLE
def test_no_byte_outside_the_image_is_read():
    shapes = [(1, 1), (1, 2), (2, 1), (7, 1), (1, 7), (5, 6), (60, 3), (300, 2), (3, 300), (61, 83), (250, 20)]
    steps = [
        Resize(Size(height=13, width=11), "bicubic", "pillow13"),
        Resize(Size(height=40, width=5), "lanczos", "pillow12.1"),
        Resize(Size(shortest_edge=6), "nearest", "pillow13"),
        Resize(Size(height=1, width=400), "mks2021", "pillow13"),
    ]
    plans = [make_plan(step, *more) for step in steps for more in (VALUES, (CenterCrop(9, 9), *VALUES))]
    runs = [(PilBackend(plan).run, NumbaBackend(plan).run) for plan in plans]
    fenced = Fenced(2 * 4 * 83 * 61)

    def read():
        for shape in shapes:
            images = np.stack([noise(*shape, seed) for seed in range(2)])
            for pil, run in runs:
                expected = pil(images)["pixel_values"]
                for form in (images, rgbx(images), planar(images)):
                    for at_end in (False, True):
                        assert np.array_equal(run(fenced.place(form, at_end))["pixel_values"], expected)

    assert in_child(read) == 0


@pytest.mark.parametrize("filter", FILTERS)
def test_windows_are_the_weights(filter):
    """And they never go back, though a filter's zeros at their borders are left out."""
    for n_in, n_out in [(1, 1), (2, 6), (6, 2), (1, 50), (50, 1), (31, 84), (84, 31), (640, 100), (60, 60)]:
        for offset, count in [(0, n_out), (n_out // 3, n_out // 2 + 1), (-4, n_out + 9), (-50, 20)]:
            first, taps, weights, begin, end, _ = resize_numba.windows(
                n_in, n_out, offset, count, filter, SUPPORT[filter], "pillow"
            )
            start, values = block_weights(n_in, n_out, offset, count, filter, SUPPORT[filter])
            expected, got = np.zeros((2, count, n_in), np.int64)
            for i in range(count):
                block, within = divmod(i, values.shape[1])
                low = int(start[block])
                expected[i, low : low + values.shape[2]] = values[block, within]
                got[i, first[i] : first[i] + taps[i]] = weights[i, : taps[i]]
                assert not weights[i, taps[i] :].any()
            assert np.array_equal(got, expected)
            assert np.array_equal(taps == 0, ~expected.any(axis=1))
            assert (np.diff(first[taps > 0]) >= 0).all()
            columns = expected.any(axis=0).nonzero()[0]
            assert (begin, end) == ((columns[0], columns[-1] + 1) if len(columns) else (0, 0))


def test_sizes_that_repeat_cost_nothing():
    rule = "bicubic", SUPPORT["bicubic"], "pillow"
    first = resize_numba.windows(480, 224, 0, 224, *rule)
    assert resize_numba.windows(480, 224, 0, 224, *rule) is first
    long = resize_numba.windows(40_000, 8, 0, 8, *rule)
    assert resize_numba.windows(40_000, 8, 0, 8, *rule) is not long


# --- Threads and processes


def mixed(seeds):
    """Backends and images of many sizes, with what ``pil`` gives."""
    result = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        plan = (VIT, CLIP, make_plan(*PIPELINES["DETR"]))[seed % 3]
        images = noise(*rng.integers(20, 700, 2).tolist(), seed)[None]
        result.append((NumbaBackend(plan).run, images, PilBackend(plan).run(images)["pixel_values"]))
    return result


def run_in_threads():
    cases = mixed(range(6))

    def work(thread):
        for i in range(20):
            run, images, expected = cases[(thread + i) % len(cases)]
            assert_equal(run(images)["pixel_values"], expected, f"thread {thread}")

    with ThreadPoolExecutor(8) as executor:
        list(executor.map(work, range(8)))


def test_many_threads_at_once(threads):
    run_in_threads()


@FORK
@SINGLE
def test_after_a_fork(threads):
    ((run, images, expected),) = mixed([1])
    run(images)  # the pool of the parent runs

    def child():
        assert pools._pool._executor is None
        for _ in range(3):
            assert np.array_equal(run(images)["pixel_values"], expected)
        run_in_threads()

    # Held at the moment of the fork, as by another thread of the parent.
    with pools._pool.lock:
        assert in_child(child) == 0
    assert_equal(run(images)["pixel_values"], expected, "the parent")


def test_where_no_thread_can_be_started(threads, monkeypatch):
    def refuse(*_):
        raise RuntimeError("can't start new thread")

    ((run, images, expected),) = mixed([2])
    monkeypatch.setattr(pools._Pool, "submit", refuse)
    assert_equal(run(images)["pixel_values"], expected, "no threads")


def test_busy_threads_are_not_waited_for(threads):
    """The pool's threads are taken: the call does all the work itself."""
    ((run, images, expected),) = mixed([1])
    free = threading.Event()
    at_last = threading.Timer(20, free.set)
    at_last.start()
    taken = [pools._pool.submit(lambda: free.wait() and None) for _ in range(pools._pool.threads - 1)]
    assert_equal(run(images)["pixel_values"], expected, "busy")
    assert not any(future.done() for future in taken)
    at_last.cancel()
    free.set()


def test_an_error_in_a_thread_reaches_the_caller(threads):
    def band(start, stop):
        raise OSError(f"rows {start} to {stop}")

    with pytest.raises(OSError, match=r"rows \d+ to \d+"):
        pools.spread(band, 100, 100)


def python(code, **environment):
    """Runs code in a fresh interpreter: what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout


SCRIPT = """
import atexit, hashlib, threading
import numpy as np
from runtime import Plan, threads
from runtime.backends.numba import NumbaBackend
from runtime.ops import Resize
from runtime.ops.size import Size

run = NumbaBackend(Plan((Resize(Size(height=64, width=64), "bicubic", "pillow13"),), "pillow13")).run
threads._pool.threads, threads.BAND_COST = 4, 1
images = (np.arange(3 * 90 * 80, dtype=np.uint32) * 2654435761 >> 13).astype(np.uint8).reshape(1, 90, 80, 3)

def show():
    print(hashlib.sha256(run(images)["pixel_values"]).hexdigest())
"""


def test_the_interpreter_exits():
    """With the pool idle, and with a call that comes after it has shut down."""
    ((pixels, again),) = [python(SCRIPT + "atexit.register(show)\nshow()\n").split()]
    assert pixels == again


def test_without_numbas_cache(monkeypatch):
    """Where it is numba that keeps the code, a disk that cannot be written to costs the compilation, and no more."""
    cfunc, asked = numba.cfunc, []

    def full_disk(*args, **options):
        asked.append(options["cache"])
        if asked[-1]:
            raise OSError(28, "No space left on device")
        return cfunc(*args, **options)

    monkeypatch.setattr(numba, "cfunc", full_disk)
    monkeypatch.setattr(machine_code, "address", lambda *_: machine_code._numbas(resize_llvm.compiled(True)))
    monkeypatch.setattr(resize_numba, "kernel", functools.cache(resize_numba.kernel.__wrapped__))
    check(VIT, noise(50, 60)[None])
    assert asked == [True, False]


def test_missing_numba(monkeypatch):
    """Its code on disk does not stand for it, and no plan runs without."""
    monkeypatch.setitem(sys.modules, "numba", None)
    for plan in (VIT, make_plan(*VALUES)):
        with pytest.raises(BackendUnavailable, match=r"'export-preprocessor\[fast\]' \(it is not installed\)"):
            NumbaBackend(plan)


def test_a_numba_that_refuses_what_is_installed(monkeypatch, tmp_path):
    """Where it would have to compile."""
    monkeypatch.setattr(machine_code, "_folders", lambda: [tmp_path])
    monkeypatch.setattr(resize_numba, "kernel", resize_numba.kernel.__wrapped__)
    monkeypatch.setitem(sys.modules, "runtime.ops.resize_llvm", None)
    with pytest.raises(BackendUnavailable, match=r"\[fast\]' \(import of runtime.ops.resize_llvm halted"):
        NumbaBackend(VIT)
