"""Sessions of their own for the shapes that come again and again."""

import threading

import numpy as np
import pytest

import exporter
import runtime
from runtime.backends import sessions as backend
from runtime.errors import ArtifactError

from .helpers import assert_equal, noise


@pytest.fixture
def path(tmp_path):
    exporter.to_onnx(exporter.trace("clip-vit-base-patch32"), tmp_path / "clip.onnx")
    return tmp_path / "clip.onnx"


def sessions(loaded):
    return list(loaded._run._shapes._sessions)


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


def test_counts_do_not_grow_for_ever(path, monkeypatch):
    monkeypatch.setattr(backend, "MOST_SHAPES", 3)
    loaded = runtime.load(path, backend="onnx")
    for height in range(10, 20):
        loaded(noise(height, 10))
    assert len(loaded._run._shapes._counts) <= 3


def test_threads_open_one_session_and_all_get_the_same_bits(path, monkeypatch):
    opened = []
    original = backend.Opener.open
    monkeypatch.setattr(backend.Opener, "open", lambda self, *args: (opened.append(args), original(self, *args))[1])
    loaded = runtime.load(path, backend="onnx")
    images = [noise(30, 40), noise(41, 30)]
    expected = [runtime.load(path, backend="pil")(image).pixel_values for image in images]
    wrong = []

    def work(number):
        for _ in range(3 * backend.REPEATS):
            if not np.array_equal(loaded(images[number % 2]).pixel_values, expected[number % 2]):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert 1 <= len(sessions(loaded)) <= 2
    assert len(opened) == 1 + len(sessions(loaded))


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
