"""``Preprocessor.map``: large sets, batch by batch, in a few threads."""

import itertools
import sys
import threading
import time
import tracemalloc

import numpy as np
import pytest
import torch
from PIL import Image

from runtime import BackendUnavailable, Features, InputError, Plan, Preprocessor
from runtime.ops import CenterCrop, ConvertRGB, PadToLargest, Rescale, Resize
from runtime.ops.size import Size

from .helpers import assert_equal, make_plan, noise

RESIZE = Resize(Size(shortest_edge=20), "bicubic", "pillow13")
PLAN = make_plan(ConvertRGB(), RESIZE, CenterCrop(16, 18), Rescale(1 / 255))
PADDED = make_plan(ConvertRGB(), RESIZE, Rescale(1 / 255), PadToLargest("pixel_mask"))
BACKENDS = ("pil", "numba", "torch")


def images(count):
    return [noise(21 + 7 * (i % 5), 30 + 11 * (i % 3), i) for i in range(count)]


class Counted:
    """An iterable that knows how many were taken."""

    def __init__(self, values):
        self.values, self.taken = values, 0

    def __iter__(self):
        for value in self.values:
            self.taken += 1
            yield value


def workers():
    """Threads of maps that run."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("export-preprocessor-map")]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("count", "batch_size", "threads"), [(10, 3, 1), (10, 5, 2), (3, 32, 2), (1, 1, 4), (9, 1, 3)])
def test_batches_equal_calls_in_order(backend, count, batch_size, threads):
    for plan in (PLAN, PADDED):
        pre = Preprocessor(plan, backend)
        given = images(count)
        expected = [pre(given[i : i + batch_size]) for i in range(0, count, batch_size)]
        got = list(pre.map(given, batch_size=batch_size, workers=threads))
        assert len(got) == len(expected)
        for number, (batch, want) in enumerate(zip(got, expected, strict=True)):
            assert type(batch) is Features
            assert list(batch) == list(want)
            for name in want:
                assert_equal(batch[name], want[name], f"{backend}, batch {number}, {name}")
    assert not workers()


def test_one_by_one(monkeypatch):
    pre = Preprocessor(PLAN, "pil")
    given = images(7)
    rows = np.concatenate([batch.pixel_values for batch in pre.map(given, batch_size=3)])
    for i, image in enumerate(given):
        assert_equal(rows[i], pre(image).pixel_values[0], f"image {i}")


def test_any_iterable_of_any_kind(tmp_path):
    pre = Preprocessor(PLAN, "numba")
    given = images(6)
    for i, image in enumerate(given):
        Image.fromarray(image).save(tmp_path / f"{i}.png")
    expected = pre(given).pixel_values
    paths = sorted(tmp_path.iterdir())
    kinds = {
        "list": given,
        "tuple": tuple(given),
        "generator": (image for image in given),
        "iterator": iter(given),
        "paths": paths,
        "glob": iter(paths),
        "bytes": (path.read_bytes() for path in paths),
        "pil": map(Image.open, paths),
        "tensors": [torch.from_numpy(image) for image in given],
        "dict views": dict(enumerate(given)).values(),
    }
    for name, iterable in kinds.items():
        batches = list(pre.map(iterable, batch_size=4))
        assert_equal(np.concatenate([batch.pixel_values for batch in batches]), expected, name)
    same = [noise(30, 40, seed) for seed in range(3)]
    batches = list(pre.map(np.stack(same), batch_size=2))
    assert_equal(np.concatenate([batch.pixel_values for batch in batches]), pre(same).pixel_values, "array")


def test_options_are_a_calls():
    pre = Preprocessor(PLAN, "pil")
    (tensors,) = pre.map(images(2), return_tensors="pt")
    assert type(tensors.pixel_values) is torch.Tensor
    (lists,) = pre.map(images(2), return_tensors=None)
    assert type(lists.pixel_values) is list
    plan = make_plan(RESIZE, CenterCrop(16, 18), Rescale(1 / 255))
    pre = Preprocessor(plan, "pil")
    ambiguous = noise(3, 50)
    (last,) = pre.map([ambiguous], input_data_format="channels_last")
    assert_equal(last.pixel_values, pre(Image.fromarray(ambiguous)).pixel_values, "input_data_format")
    floats = np.random.default_rng(0).random((30, 40, 3))
    (scaled,) = pre.map([floats], do_rescale=False)
    assert_equal(scaled.pixel_values, pre(floats, do_rescale=False).pixel_values, "do_rescale")


@pytest.mark.parametrize("group", ["pair", "video"])
def test_groups(group):
    pre = Preprocessor(Plan(PLAN.steps, "pillow13", group=group), "pil")
    groups = [[noise(30, 40, i), noise(50, 30, i)] for i in range(5)]
    got = list(pre.map(groups, batch_size=2))
    assert [len(batch.pixel_values) for batch in got] == [2, 2, 1]
    assert_equal(np.concatenate([batch.pixel_values for batch in got]), pre(groups).pixel_values, group)


def test_nothing_comes_of_nothing():
    for empty in ([], iter(()), np.zeros((0, 5, 6, 3), np.uint8)):
        assert list(Preprocessor(PLAN, "pil").map(empty)) == []
    assert not workers()


# --- Bounds


@pytest.mark.parametrize(("batch_size", "threads"), [(1, 1), (3, 1), (4, 2), (2, 5)])
def test_reading_ahead_is_bounded(batch_size, threads):
    counted = Counted(images(5) * 12)
    stream = Preprocessor(PLAN, "pil").map(counted, batch_size=batch_size, workers=threads)
    assert counted.taken == 0, "nothing is taken before it is asked for"
    for number, _ in enumerate(stream, 1):
        assert counted.taken == min((number + threads) * batch_size, 60)
    assert counted.taken == 60


def test_an_endless_iterable():
    endless = (noise(21, 30, i) for i in itertools.count())
    stream = Preprocessor(PLAN, "pil").map(endless, batch_size=2)
    assert len(list(itertools.islice(stream, 5))) == 5
    stream.close()
    assert not workers()


def test_batches_run_while_the_caller_has_one():
    pre = Preprocessor(PLAN, "pil")
    stream = pre.map(images(12), batch_size=2, workers=2)
    next(stream)
    started = threading.Event()
    assert len(workers()) == 2
    deadline = time.monotonic() + 30
    # The next result is there without being asked for.
    while stream.gi_frame.f_locals["pending"][0][1].running() and time.monotonic() < deadline:
        started.wait(0.01)
    assert stream.gi_frame.f_locals["pending"][0][1].done()
    stream.close()


def test_closed_early():
    stream = Preprocessor(PLAN, "pil").map(images(30), batch_size=2, workers=3)
    next(stream)
    assert workers()
    stream.close()
    assert not workers()
    with pytest.raises(StopIteration):
        next(stream)


def test_dropped_early():
    for _ in Preprocessor(PLAN, "pil").map(images(30), batch_size=2, workers=3):
        break
    assert not workers()


def test_never_started():
    stream = Preprocessor(PLAN, "pil").map(images(30), batch_size=2, workers=3)
    assert not workers()
    stream.close()


@pytest.mark.slow
def test_memory_is_flat():
    pre = Preprocessor(PLAN, "numba")
    pre(noise(200, 300))
    given = (noise(200, 300, i % 7) for i in range(4000))
    peaks = []
    tracemalloc.start()
    try:
        for number, _ in enumerate(pre.map(given, batch_size=16, workers=2), 1):
            if number % 50 == 0:
                peaks.append(tracemalloc.get_traced_memory()[1])
                tracemalloc.reset_peak()
        end = time.monotonic() + 20  # a thread of the kernel lets go of its last work when it next runs
        while tracemalloc.get_traced_memory()[0] > 2**18 and time.monotonic() < end:
            time.sleep(0.1)
        left, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(peaks) == 5
    # Four batches of images are alive at most, one of them being read, and as many results: how many, time decides.
    assert max(peaks) < 5 * 16 * (200 * 300 * 3 + 3 * 16 * 18 * 4) + 2**21
    assert left < 2**18  # the last result, which is 2**16, and no sixty bytes an image


# --- Errors


@pytest.mark.parametrize("position", [0, 1, 4, 6])
def test_errors_name_the_image(position):
    given = images(7)
    given[position] = b"no image"
    stream = Preprocessor(PLAN, "pil").map(given, batch_size=3, workers=2)
    before = [len(next(stream).pixel_values) for _ in range(position // 3)]  # the batches before it come first
    assert before == [3] * (position // 3)
    with pytest.raises(InputError, match=f"^image {position}: the bytes: not an image") as raised:
        next(stream)
    assert raised.value.position == position
    assert not workers()


def test_errors_of_sizes_name_the_image():
    plan = Plan(PLAN.steps, "pillow13", input_size=(21, 30))
    given = [noise(21, 30)] * 5 + [noise(30, 21)]
    with pytest.raises(InputError, match=r"^image 5: this artifact takes images of 21x30 pixels only, got 30x21"):
        list(Preprocessor(plan, "pil").map(given, batch_size=2))


def test_errors_of_batches_name_the_images():
    pre = Preprocessor(make_plan(RESIZE), "pil")
    given = [noise(30, 40)] * 4 + [noise(30, 60)]
    with pytest.raises(InputError, match=r"^images 3 to 4: pixel_values: these images give sizes"):
        list(pre.map(given, batch_size=3))


class Broken(Exception):
    pass


@pytest.mark.parametrize("good", [0, 1, 3, 4, 7])
def test_what_the_iterable_raises_comes_behind_its_images(good):
    def broken():
        yield from images(good)
        raise Broken("the disk")

    pre, got = Preprocessor(PLAN, "pil"), []
    with pytest.raises(Broken, match="the disk"):
        got.extend(pre.map(broken(), batch_size=3, workers=2))
    expected = images(good)
    rows = np.concatenate([batch.pixel_values for batch in got]) if got else np.zeros(0)
    assert len(rows) == good
    if good:
        assert_equal(rows, pre(expected).pixel_values, "before")
    assert not workers()


def test_other_errors_come_as_they_are(monkeypatch):
    pre = Preprocessor(PLAN, "pil")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(BackendUnavailable, match="needs torch"):
        list(pre.map([noise(30, 40)], return_tensors="pt"))
    assert not workers()


@pytest.mark.parametrize("name", ["batch_size", "workers"])
@pytest.mark.parametrize("value", [0, -1, 1.5, None, True, "2"])
def test_arguments_are_checked_at_once(name, value):
    with pytest.raises(ValueError, match=f"{name}: expected a number above 0, got {value!r}"):
        Preprocessor(PLAN, "pil").map([noise(30, 40)], **{name: value})


@pytest.mark.parametrize(
    "value",
    ["image.png", b"data", 5, None, Image.new("RGB", (3, 4)), np.uint8(3), np.array(3), torch.tensor(3)],
    ids=["path", "bytes", "int", "none", "PIL", "NumPy's int", "array", "tensor"],
)
def test_what_is_no_iterable_of_images(value):
    with pytest.raises(
        InputError, match=r"expected a list or another iterable of images(, got|: iteration over a 0-d) "
    ):
        Preprocessor(PLAN, "pil").map(value)


def test_unknown_options():
    with pytest.raises(TypeError, match="unexpected keyword argument 'out'"):
        Preprocessor(PLAN, "pil").map([], out=None)


# --- Progress


def test_progress_is_on_standard_error_when_asked(capsys):
    pre = Preprocessor(PLAN, "pil")
    assert len(list(pre.map(images(7), batch_size=3))) == 3
    assert capsys.readouterr() == ("", "")
    assert len(list(pre.map(images(7), batch_size=3, progress=True))) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert "7/7" in err
    assert "image" in err
    list(pre.map(iter(images(7)), progress=True))  # of unknown length
    assert "7image" in capsys.readouterr().err


class Endless(torch.utils.data.IterableDataset):
    def __iter__(self):
        return iter(images(7))


def test_a_loader_of_unknown_length(capsys):
    loader = torch.utils.data.DataLoader(Endless(), batch_size=None)
    with pytest.raises(TypeError, match="has no len"):
        len(loader)
    for progress in (False, True):
        batches = list(Preprocessor(PLAN, "pil").map(loader, batch_size=3, progress=progress))
        assert [len(batch.pixel_values) for batch in batches] == [3, 3, 1]
    assert "7image" in capsys.readouterr().err


def test_progress_needs_tqdm(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with pytest.raises(BackendUnavailable, match="progress=True needs tqdm: pip install tqdm"):
        Preprocessor(PLAN, "pil").map(images(2), progress=True)
