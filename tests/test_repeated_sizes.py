"""A size that repeats gets an onnxruntime session of its own: faster, and the same bits."""

import pickle
import threading
import time

import numpy as np
import pytest

import exporter
from runtime import load
from runtime.backends import onnx as backend

from .helpers import assert_equal, noise


@pytest.fixture
def loaded(tmp_path):
    exporter.to_onnx(exporter.trace("clip-vit-base-patch32", size=40, crop_size=32), tmp_path / "clip.onnx")
    return load(tmp_path / "clip.onnx")


def sizes_of(loaded):
    return list(loaded._run._fixed)


def wait_for(loaded, *sizes):
    """Until the sessions of these sizes are open."""
    until = time.monotonic() + 60
    while not set(sizes) <= set(sizes_of(loaded)):
        assert time.monotonic() < until, f"{sizes_of(loaded)} are open, {sizes} were expected"
        time.sleep(0.01)


def test_the_third_image_of_a_size_opens_its_session(loaded):
    want = load(loaded._path, backend="pil")(noise(60, 45)).pixel_values
    for _ in range(backend.REPEATS - 1):
        assert_equal(loaded(noise(60, 45)).pixel_values, want, "before")
    assert sizes_of(loaded) == []
    loaded(noise(60, 45))
    wait_for(loaded, (60, 45))
    assert_equal(loaded(noise(60, 45)).pixel_values, want, "after")
    batch = loaded([noise(60, 45)] * 3 + [noise(45, 60)]).pixel_values
    assert_equal(batch[:3], np.concatenate([want] * 3), "a batch, and another size beside it")


def test_only_the_sizes_used_last_are_kept(loaded):
    for side in range(50, 51 + backend.SESSIONS):
        for _ in range(backend.REPEATS):
            loaded(noise(side, 45))
        wait_for(loaded, (side, 45))
    assert len(sizes_of(loaded)) == backend.SESSIONS
    assert (50, 45) not in sizes_of(loaded)
    for _ in range(backend.REPEATS):
        loaded(noise(50, 45))
    wait_for(loaded, (50, 45))


def test_many_threads_while_sessions_open(loaded):
    shapes = [(60, 45), (45, 60), (50, 50), (33, 70)]
    reference = load(loaded._path, backend="pil")
    want = {shape: reference(noise(*shape)).pixel_values for shape in shapes}
    wrong = []

    def work(offset):
        for i in range(40):
            shape = shapes[(i + offset) % len(shapes)]
            if not np.array_equal(loaded(noise(*shape)).pixel_values, want[shape]):
                wrong.append(shape)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    wait_for(loaded, *shapes)


def test_a_file_that_is_replaced_stays_what_was_loaded(loaded):
    want = loaded(noise(60, 45)).pixel_values
    exporter.to_onnx(exporter.trace("clip-vit-base-patch32", size=50, crop_size=30), loaded._path)
    for _ in range(backend.REPEATS):
        loaded(noise(60, 45))
    wait_for(loaded, (60, 45))
    assert_equal(loaded(noise(60, 45)).pixel_values, want, "after")
    assert pickle.loads(pickle.dumps(loaded))(noise(60, 45)).pixel_values.shape == (1, 3, 30, 30)
