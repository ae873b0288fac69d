"""Threads for compiled code, which runs without the interpreter's lock."""

from __future__ import annotations

import collections
import contextlib
import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from .turns import Turns, cpus

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

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
        self.cpus = cpus()
        self.threads = min(self.cpus, MOST_THREADS)
        self.turns = Turns(self.cpus + 1)  # one more, so that no CPU waits while a thread does
        self._executor: ThreadPoolExecutor | None = None

    def submit(self, work: Callable[[], None]) -> Future[None]:
        with self.lock:
            if self._executor is None:
                from concurrent.futures import ThreadPoolExecutor

                self._executor = ThreadPoolExecutor(self.threads - 1, "export-preprocessor")
        return self._executor.submit(work)


_pool = _Pool()


def restart() -> None:
    """Other threads, as many as the process may use CPUs by now; work in the others goes on."""
    global _pool
    _pool = _Pool()


if hasattr(os, "register_at_fork"):  # a child has none of its parent's threads, and may have one's lock
    os.register_at_fork(after_in_child=restart)


def turn() -> Turns:
    """To work in: ``with turn(): …``. What waits for a turn of another thread must not be in it."""
    return _pool.turns


def alone() -> bool:
    """Whether no other thread has a turn."""
    return _pool.turns.taken < 2


def spread(band: Callable[[int, int], None], rows: int, cost: int, most: int | None = None) -> None:
    """Runs ``band`` on ranges of ``rows`` rows.

    It takes as many threads as pay at ``cost`` nanoseconds of work, ``most`` at most.
    """
    pool = _pool
    # This thread's own CPU, and those on which nobody else has a turn.
    idle = max(pool.cpus, pool.threads) - max(0, pool.turns.taken - 1)
    threads = max(1, min(pool.threads, idle, cost // BAND_COST, rows, pool.threads if most is None else most))
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
