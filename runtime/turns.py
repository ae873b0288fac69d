"""Who works when more threads call than there are CPUs: each image in its turn, those that came first first.

Threads that share the CPUs evenly all finish late, and each has a decoded image in memory meanwhile. In turns most
calls take less time, the slowest ones far less, and none takes more; nor is a thread's place in the caches lost.
"""

from __future__ import annotations

import collections
import os
import sys
import threading

PATIENCE = 1.0
"""Seconds that a thread waits to be called before it looks itself: an interrupted thread may have called nobody."""


class Turns:
    """At most so many threads at once; the others wait in a line. A context manager that is not to be nested.

    An interrupt comes between any two steps, so what a thread has here is known by the thread: a turn that it kept is
    its own when it comes again, and those that wait look for themselves after :data:`PATIENCE`.
    """

    def __init__(self, count: int) -> None:
        self._lock = threading.Lock()
        self._line: collections.deque[threading.Lock] = collections.deque()
        self._count = count
        self._owners: set[int] = set()

    @property
    def taken(self) -> int:
        return len(self._owners)

    def __enter__(self) -> None:
        me, mine = threading.get_ident(), threading.Lock()
        mine.acquire()
        try:
            with self._lock:
                self._owners.discard(me)
                if not self._line and len(self._owners) < self._count:
                    self._owners.add(me)
                    return
                self._line.append(mine)
            while not self._take(me, mine, mine.acquire(timeout=PATIENCE)):
                pass
        except BaseException:  # the main thread is interrupted
            self._leave(me, mine)
            raise

    def __exit__(self, *error: object) -> None:
        self._leave(threading.get_ident())

    def _take(self, me: int, mine: threading.Lock, called: bool) -> bool:
        """Whether there is a turn for who waits in the line."""
        with self._lock:
            if not called:
                self._owners.intersection_update(sys._current_frames())  # the others' threads have ended
                if self._line and not self._line[0].locked():  # who was called has not come
                    self._line.popleft()
            if mine not in self._line:
                self._line.appendleft(mine)
            if len(self._owners) >= self._count:
                return False
            self._line.remove(mine)
            self._owners.add(me)
            self._call()
            return True

    def _leave(self, me: int, mine: threading.Lock | None = None) -> None:
        with self._lock:
            self._owners.discard(me)
            if mine is not None and mine in self._line:
                self._line.remove(mine)
            self._call()

    def _call(self) -> None:
        """Wakes whoever is first in the line, where there is a turn."""
        if self._line and len(self._owners) < self._count and self._line[0].locked():
            self._line[0].release()


def cpus() -> int:
    """How many this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS and Windows
    return len(affinity(0)) if affinity else os.cpu_count() or 1
