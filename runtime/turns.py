"""Who works when more threads call than there are CPUs: each image in its turn, those that came first first.

Threads that share the CPUs evenly all finish late, and each has a decoded image in memory meanwhile. In turns most
calls take less time, the slowest ones far less, and none takes more; nor is a thread's place in the caches lost.
"""

from __future__ import annotations

import collections
import os
import threading


class Turns:
    """At most so many threads at once; the others wait in a line. A context manager that is not to be nested."""

    def __init__(self, count: int) -> None:
        self._lock = threading.Lock()
        self._line: collections.deque[threading.Lock] = collections.deque()
        self._count, self.taken = count, 0

    def __enter__(self) -> None:
        with self._lock:
            if self.taken < self._count:
                self.taken += 1
                return
            mine = threading.Lock()
            mine.acquire()
            self._line.append(mine)
        try:
            mine.acquire()  # until whoever is done hands its turn on
        except BaseException:  # the main thread is interrupted
            with self._lock:
                waiting = mine in self._line
                if waiting:
                    self._line.remove(mine)
            if not waiting:
                self.__exit__()
            raise

    def __exit__(self, *error: object) -> None:
        with self._lock:
            if self._line:
                self._line.popleft().release()
            else:
                self.taken -= 1


def cpus() -> int:
    """How many this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS and Windows
    return len(affinity(0)) if affinity else os.cpu_count() or 1
