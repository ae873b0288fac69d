"""A file's sessions: for calls that are alone and for others, for all shapes and for single ones."""

from __future__ import annotations

import collections
import functools
import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from ..threads import alone
from .opener import THREADS, Opener

REPEATS = 8
"""Calls with images of one shape before it gets a session of its own, which takes about as long as 50 calls save.

Where there are as many sessions as may be, it takes so many calls since one of them was used, which gives way.
"""

MOST_SESSIONS = 4
MOST_SHAPES = 1024

COMPANY = 8
"""Calls beside others before there are sessions for such calls."""


class Sessions:
    """Of one file. A call that is alone takes all CPUs. Calls beside each other take one each, in sessions of one
    thread: they would share the threads of another session, and wait for each other there.

    Attributes:
        first: the session for all shapes and all CPUs.
    """

    def __init__(self, opener: Opener, model: str | bytes, layout: str, several: bool) -> None:
        """Opens the first one.

        Args:
            opener: opens them.
            model: the file, or what is in it.
            layout: of its images.
            several: whether there may be others.
        """
        self._new = functools.partial(Shapes, opener, model, layout)
        self._alone = self._new({}) if several else None
        self.first = opener.open(model) if self._alone is None else self._alone.any
        self._choose = opener.leaves_threads
        self._beside: Shapes | None = None
        self._company, self._lock = 0, threading.Lock()

    def session(self, shape: tuple[int, ...]) -> Any:
        """The session for a call with images of ``shape``."""
        if self._alone is None:
            return self.first
        if not self._choose or alone():
            return self._alone.session(shape)
        if self._beside is None and self._lock.acquire(blocking=False):
            try:
                self._company += 1
                if self._beside is None and self._company >= COMPANY:
                    self._beside = self._new({THREADS: 1})
            finally:
                self._lock.release()
        return (self._beside or self._alone).session(shape)


class Shapes:
    """Sessions for the shapes that come again and again: their weights are computed once, when the session opens.

    The values are the same. Shapes that come as often as others, but are more than there may be sessions, do not drive
    each other out: opening sessions would take longer than all else.

    Attributes:
        any: the session for all shapes.
    """

    def __init__(self, opener: Opener, model: str | bytes, layout: str, options: Mapping[str, Any]) -> None:
        """Opens that for all shapes; ``options`` are those of all of them, where the caller does not give others."""
        self._opener, self._model, self._options = opener, model, {**opener.shared_memory(), **options}
        # Or it would plan its memory anew for each shape, and keep as much as all of them together take.
        self.any = opener.open(model, **{"enable_mem_pattern": False, **self._options})
        self._names = ["batch", *("height" if c == "H" else "width" if c == "W" else "" for c in layout[1:])]
        self._lock = threading.Lock()
        self._calls = 0
        self._seen: dict[tuple[int, ...], collections.deque[int]] = {}
        self._used: dict[tuple[int, ...], int] = {}
        self._sessions: OrderedDict[tuple[int, ...], Any] = OrderedDict()

    def session(self, shape: tuple[int, ...]) -> Any:
        """The session for ``shape``; that for all where it came too seldom, or another thread is opening one."""
        # Opening takes some 60 ms: other threads go on with the session for all shapes meanwhile.
        if not self._lock.acquire(blocking=False):
            return self._sessions.get(shape, self.any)
        try:
            self._calls += 1
            if shape in self._sessions:
                self._sessions.move_to_end(shape)
                self._used[shape] = self._calls
                return self._sessions[shape]
            seen = self._seen.setdefault(shape, collections.deque(maxlen=REPEATS))
            seen.append(self._calls)
            idle = next(iter(self._sessions)) if len(self._sessions) >= MOST_SESSIONS else None
            if len(seen) < REPEATS or (idle is not None and seen[0] < self._used[idle]):
                if len(self._seen) > MOST_SHAPES:
                    self._seen.clear()
                return self.any
            del self._seen[shape]
            sizes = {name: size for name, size in zip(self._names, shape, strict=True) if name}
            self._sessions[shape] = self._opener.open(self._model, sizes, **self._options)
            self._used[shape] = self._calls
            if idle is not None:
                del self._sessions[idle], self._used[idle]
            return self._sessions[shape]
        finally:
            self._lock.release()
