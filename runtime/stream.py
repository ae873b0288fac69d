"""Large sets of images, batch by batch in a few threads: :meth:`runtime.Preprocessor.map`."""

from __future__ import annotations

import collections
import concurrent.futures
import itertools
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import Any

from .decode import most_pixels
from .errors import BackendUnavailable, InputError
from .features import Features
from .lazy import still

Call = Callable[[list[Any]], Features]


def stream(
    call: Call, images: Iterable[Any], batch_size: int, workers: int, progress: bool, max_pixels: int | None = None
) -> Iterator[Features]:
    """What ``call`` gives for each ``batch_size`` of the images, in their order; the arguments are checked at once.

    Frames of an animation larger than ``max_pixels``, by default :data:`.decode.MAX_PIXELS`, are not decoded here.
    """
    for name, number in (("batch_size", batch_size), ("workers", workers)):
        if type(number) is not int or number < 1:
            raise ValueError(f"{name}: expected a number above 0, got {number!r}")
    if isinstance(images, (str, bytes, bytearray, memoryview)) or not hasattr(type(images), "__iter__"):
        raise InputError(f"expected a list or another iterable of images, got {type(images).__name__}")
    try:
        iterator = iter(images)
    except TypeError as error:  # an array without axes
        raise InputError(f"expected a list or another iterable of images: {error}") from error
    most = most_pixels(max_pixels)
    stills = (still(image, most) for image in iterator)
    return _batches(call, stills, batch_size, workers, _bar(images) if progress else None)


def _batches(call: Call, images: Iterator[Any], batch_size: int, workers: int, bar: Any) -> Iterator[Features]:
    """The images are taken in the caller's thread; while it has a batch, ``workers`` others are in work or ready."""
    executor = concurrent.futures.ThreadPoolExecutor(workers, "export-preprocessor-map")
    pending: collections.deque[tuple[int, concurrent.futures.Future[Features]]] = collections.deque()
    failure: Exception | None = None
    start, more = 0, True
    try:
        while True:
            while more and len(pending) <= workers:
                batch, failure = _take(images, batch_size)
                more = len(batch) == batch_size
                if batch:
                    pending.append((len(batch), executor.submit(_called, call, batch, start)))
                    start += len(batch)
            if not pending:
                break
            count, future = pending.popleft()
            result = future.result()
            if bar is not None:
                bar.update(count)
            yield result
            del future, result  # which the caller may have dropped
        if failure is not None:
            raise failure
    finally:
        executor.shutdown(cancel_futures=True)
        if bar is not None:
            bar.close()


def _take(images: Iterator[Any], count: int) -> tuple[list[Any], Exception | None]:
    """Up to so many; and what the iterable raised, which waits until the batches before it are out."""
    batch: list[Any] = []
    try:
        batch.extend(itertools.islice(images, count))
    except Exception as error:
        return batch, error
    return batch, None


def _called(call: Call, batch: list[Any], start: int) -> Features:
    """The result; errors count the images from the first of all."""
    try:
        return call(batch)
    except InputError as error:
        if error.position is None:
            raise InputError(f"images {start} to {start + len(batch) - 1}: {error.reason}") from error
        raise InputError(error.reason, position=start + error.position) from error


def _bar(images: Iterable[Any]) -> Any:
    """A progress bar on standard error."""
    try:
        from tqdm import tqdm
    except ImportError as error:
        raise BackendUnavailable("progress=True needs tqdm: pip install tqdm") from error
    try:
        total = len(images) if isinstance(images, Sized) else None
    except TypeError:  # torch's loader has a length only where its data set has
        total = None
    return tqdm(total=total, unit="image")
