"""Encoded images one by one: a thread reads one, runs it and writes its row of the batch before it takes the next.

So no more decoded images are in memory than threads, and each goes on while it is in a cache.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from .errors import InputError
from .threads import PIECE_COST, spread

Array = np.ndarray[Any, Any]


def for_each(count: int, work: Callable[[int], None]) -> None:
    """Calls ``work`` with each index in some thread. Of what it raises, the first index's error comes out.

    Raises:
        InputError: with the index as its position.
    """
    lock = threading.Lock()
    failed, failure = count, None

    def band(start: int, stop: int) -> None:
        nonlocal failed, failure
        for i in range(start, stop):
            if i > failed:
                return
            try:
                work(i)
            except Exception as error:
                with lock:
                    if i < failed:
                        failed, failure = i, error

    spread(band, count, count * PIECE_COST)
    if isinstance(failure, InputError):
        raise InputError(str(failure), position=failed) from failure
    if failure is not None:
        raise failure


class Rows:
    """The outputs of images that are done in any order, as batches; where that cannot be, image by image."""

    def __init__(self, count: int, apart: Collection[str], given: Mapping[str, Array | None]) -> None:
        """Starts without a row.

        Args:
            count: of images.
            apart: outputs that get no batch.
            given: memory for batches, which is used where it has the shape and the dtype.
        """
        self._count, self._apart, self._lock = count, apart, threading.Lock()
        self._batches = {
            name: array for name, array in given.items() if array is not None and array.shape[:1] == (count,)
        }
        self._results: list[dict[str, Array]] = [{} for _ in range(count)]
        self._whole = True

    def place(self, name: str, i: int) -> Array | None:
        """``[1, ...]``, where an output of image ``i`` belongs; None before any image is done."""
        found = self._batches.get(name)
        return None if found is None else found[i : i + 1]

    def put(self, i: int, outputs: Mapping[str, Array]) -> None:
        """Takes the outputs of image ``i``, each ``[1, ...]``, and perhaps in its place already."""
        for name, value in outputs.items():
            self._results[i][name] = value[0]
            if name in self._apart:
                self._whole = False
                continue
            with self._lock:
                if name not in self._batches:
                    self._batches[name] = np.empty((self._count, *value.shape[1:]), value.dtype)
            row = self._batches[name][i : i + 1]
            if (row.shape, row.dtype) != (value.shape, value.dtype):
                self._whole = False
                continue
            if row.ctypes.data != value.ctypes.data:
                row[:] = value
            self._results[i][name] = row[0]

    def batches(self) -> dict[str, Array] | None:
        """All outputs; None where one has no batch."""
        return self._batches if self._whole else None

    def results(self) -> list[dict[str, Array]]:
        """The outputs of each image."""
        return self._results
