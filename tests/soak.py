"""Uses a file for as long as one likes, as a busy and badly treated server would, and says what memory it takes:

``python -m tests.soak vit.onnx --backend numba --minutes 10``
"""

import argparse
import concurrent.futures
import ctypes
import gc
import io
import multiprocessing
import os
import statistics
import threading
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

import runtime

THREADS = 8
SMALLEST, LARGEST = 20, 700
"""Pixels of an image's side."""

CANVAS = np.random.default_rng(0).integers(0, 256, (LARGEST, LARGEST, 3), np.uint8)
LAST = {"input_data_format": "channels_last"}

trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
"""Of glibc."""


class Level(NamedTuple):
    """What the process holds: megabytes of memory, open files, and threads of the system."""

    memory: float
    files: int
    threads: int


def level():
    gc.collect()
    if trim is not None:
        trim(0)  # what the allocator keeps is noise, of tens of megabytes where eight threads were at work
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    files, threads = (len(list(Path("/proc/self", name).iterdir())) for name in ("fd", "task"))
    return Level(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, files, threads)


def encoded(image, format):
    file = io.BytesIO()
    Image.fromarray(image).save(file, format)
    return file.getvalue()


class Soak:
    """A loaded object, and calls of all kinds."""

    def __init__(self, pre):
        self.pre = pre
        self.known = [CANVAS[: 64 + 32 * i, : 96 + 16 * i] for i in range(4)]
        self.expected = [{name: np.array(value) for name, value in pre(image).items()} for image in self.known]
        formats = ("JPEG", "JPEG", "PNG", "WEBP")
        self.files = [encoded(CANVAS[: 150 + 40 * i, : 300 - 30 * i], format) for i, format in enumerate(formats)]
        self.problems = []

    def call(self, rng):
        """One call: sizes that never came before, files, mixed lists, memory to write into, and what is no image."""
        height, width = (int(n) for n in rng.integers(SMALLEST, LARGEST, 2))
        image, kind = CANVAS[:height, :width], int(rng.integers(10))
        if kind < 4:
            self.pre(image, **LAST)
        elif kind == 4:
            self.pre(self.files[rng.integers(len(self.files))])
        elif kind == 5:
            self.pre([image.copy(), self.files[0], Image.fromarray(image)], return_tensors=None, **LAST)
        elif kind == 6:
            number = int(rng.integers(len(self.known)))
            out = {name: np.empty_like(value) for name, value in self.expected[number].items()}
            self.compare(self.pre(self.known[number], out=out), number)
        elif kind == 7:
            batches = self.pre.map([CANVAS[:90, : 60 + i] for i in range(6)], batch_size=4, return_tensors=None)
            next(batches)
            batches.close()  # with work under way
        elif kind == 8:
            try:
                self.pre([image, (b"no image", np.zeros((3, 3)), None, CANVAS[:0])[rng.integers(4)]], **LAST)
                self.problems.append("what is no image was taken")
            except runtime.InputError:
                pass
        else:
            number = int(rng.integers(len(self.known)))
            for _ in range(4):
                self.compare(self.pre(self.known[number]), number)

    def compare(self, result, number):
        for name, value in self.expected[number].items():
            if not np.array_equal(result[name], value):
                self.problems.append(f"{name} of image {number} differs")

    def round(self, seed, calls):
        """So many calls in each of the threads; what the process holds behind them."""

        def work(number):
            rng = np.random.default_rng((seed, number))
            try:
                for _ in range(calls):
                    self.call(rng)
            except Exception as error:
                self.problems.append(repr(error))

        threads = [threading.Thread(target=work, args=(i,)) for i in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return level()


def soaked(path, backend, rounds, calls):
    """What the process holds behind each round of calls of a file."""
    soak = Soak(runtime.load(path, backend))
    levels = [soak.round(seed, calls) for seed in range(rounds)]
    assert not soak.problems, soak.problems[:5]
    return levels


def loaded(path, backend, count):
    """What the process holds behind each tenth of so many loads of a file, each of which makes one image."""
    levels = []
    for i in range(count):
        runtime.load(path, backend)(CANVAS[:60, :50])
        if i % (count // 10) == 0:
            levels.append(level())
    return levels


def alone(work, *arguments):
    """What the work gives in a process of its own: in this one, memory moves for what other tests left there.

    It has one arena, for those of many threads keep what each had at most, which takes many rounds to show.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MALLOC_ARENA_MAX", "1")  # of glibc
        with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
            return process.submit(work, *arguments).result()


def growth(levels):
    """Megabytes between the second quarter of the rounds and the last one: the first fills caches."""
    quarter = len(levels) // 4
    early, late = levels[quarter : 2 * quarter], levels[-quarter:]
    return statistics.median(one.memory for one in late) - statistics.median(one.memory for one in early)


def main():
    parser = argparse.ArgumentParser(description="Uses a file from 8 threads and shows the memory that it takes.")
    parser.add_argument("file")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--minutes", type=float, default=1.0)
    options = parser.parse_args()
    soak, levels, start = Soak(runtime.load(options.file, options.backend)), [], time.monotonic()
    while time.monotonic() - start < 60 * options.minutes or len(levels) < 8:
        levels.append(soak.round(len(levels), 40))
        print(f"{THREADS * 40 * len(levels):9,} calls  {levels[-1].memory:7.1f} MB  {levels[-1]}", flush=True)
    print(f"{soak.pre}: {growth(levels):+.1f} MB; {len(soak.problems)} problems {soak.problems[:3]}")
    return 1 if soak.problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
