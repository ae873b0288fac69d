"""Threads for compiled code, which runs without the interpreter's lock."""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import os
import threading
from collections.abc import Callable

MOST_THREADS = 8
"""Threads of one call; an image gains little from more."""

BAND_COST = 100_000
"""Nanoseconds of work that are worth a second thread: waking one takes about a third of that."""

PIECE_COST = 1_000_000
"""Nanoseconds of work that are worth a piece of their own, so that a thread that is held up holds up no other."""


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


def spread(band: Callable[[int, int], None], rows: int, cost: int, most: int | None = None) -> None:
    """Runs ``band`` on ranges of ``rows`` rows.

    It takes as many threads as pay at ``cost`` nanoseconds of work, ``most`` at most.
    """
    pool = _pool
    threads = max(1, min(pool.threads, cost // BAND_COST, rows, pool.threads if most is None else most))
    bands = threads if threads == 1 else max(threads, min(rows, cost // PIECE_COST))
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
        for _ in range(threads - 1):
            futures.append(pool.submit(work))
    work()
    for future in futures:
        # One that still waits behind those of other calls has nothing left to do.
        if not future.cancel():
            future.result()
