"""A Plan in integers compiled by numba: no other package at run time, and no work but the pixels that are kept."""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import os
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import BackendUnavailable
from ..lowering import Resample, lower
from ..ops import ConvertRGB
from ..ops.table import Table
from ..plan import Plan

Array = np.ndarray[Any, Any]

MOST_THREADS = 8
"""Threads of one call; an image gains little from more."""

BAND_COST = 100_000
"""Nanoseconds of work that are worth a second thread: waking one takes about a third of that."""


class NumbaBackend:
    """Runs a leading resize, its crop and the table behind them compiled, and every other step as its reference."""

    def __init__(self, plan: Plan) -> None:
        try:
            from ..ops.resize_numba import ResampleTable
        except ImportError as error:  # a numba that refuses the installed NumPy says so in its error
            raise BackendUnavailable(
                f"backend 'numba' needs numba: pip install 'export-preprocessor[fast]' ({error})"
            ) from error
        self.output_names = plan.outputs
        self._steps = [step for step in plan.steps if not isinstance(step, ConvertRGB)]
        self._resample = None
        kernels = lower(plan.steps, plan.channels)
        first = kernels[0] if kernels else None
        # The compiled kernel is for RGB, and averages no blocks before.
        if isinstance(first, Resample) and plan.channels == 3 and not first.resize.reducing_gap:
            table = kernels[1] if len(kernels) > 1 and isinstance(kernels[1], Table) else Table(())
            self._resample = ResampleTable(first, table.values())
            done = 1 + (first.crop is not None) + len(table.steps)
            self._steps = self._steps[done:]

    def run(self, images: Array) -> dict[str, Array]:
        """uint8 ``[N, H, W, 3]``, pixels 3 or 4 bytes apart, to a batch of each output. Safe in many threads."""
        if self._resample is not None:
            batch = self._resample.run(images, spread)
            if not self._steps:
                return {"pixel_values": batch}
            images = np.moveaxis(batch, 1, -1)
        return {"pixel_values": np.stack([self._one(image) for image in images])}

    def _one(self, image: Array) -> Array:
        for step in self._steps:
            image = step.reference(image)
        return np.ascontiguousarray(np.moveaxis(image, -1, 0))


class _Pool:
    """Threads that all calls share, started by the first call that wants more than its own."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        affinity = getattr(os, "sched_getaffinity", None)  # not on macOS and Windows
        self.threads = min(len(affinity(0)) if affinity else os.cpu_count() or 1, MOST_THREADS)
        self._executor: concurrent.futures.ThreadPoolExecutor | None = None

    def submit(self, work: Callable[[], None]) -> concurrent.futures.Future[None]:
        with self.lock:
            if self._executor is None:
                self._executor = concurrent.futures.ThreadPoolExecutor(self.threads - 1, "export-preprocessor")
        return self._executor.submit(work)


_pool = _Pool()


def _after_fork() -> None:
    """A child has none of its parent's threads, and may have one's lock."""
    global _pool
    _pool = _Pool()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def spread(band: Callable[[int, int], None], rows: int, cost: int) -> None:
    """Runs ``band`` on ``rows`` rows, in as many threads as pay at ``cost`` nanoseconds of work."""
    pool = _pool
    bands = max(1, min(pool.threads, cost // BAND_COST, rows))
    todo = collections.deque((rows * i // bands, rows * (i + 1) // bands) for i in range(bands))

    def work() -> None:
        while True:
            try:
                start, stop = todo.popleft()
            except IndexError:
                return
            band(start, stop)

    futures = []
    with contextlib.suppress(RuntimeError):  # no thread can be started, as when the interpreter is on its way out
        for _ in range(bands - 1):
            futures.append(pool.submit(work))
    work()
    for future in futures:
        # One that still waits behind those of other calls has nothing left to do.
        if not future.cancel():
            future.result()
