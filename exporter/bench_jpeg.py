"""Times an artifact beside transformers, from JPEGs of mixed sizes to finished tensors: ``bench --from jpeg``.

Every way decodes the same bytes, on as many threads and CPUs. In a round each way gets all images in calls of a batch;
then each image in a call of its own, from one client; then those from several clients at once, each of which asks for
its next image when it has the last. The order of the ways changes as :func:`.timing.orders` says, and figures are of
all rounds. What memory a way takes shows in a process of its own.
"""

from __future__ import annotations

import collections
import functools
import gc
import itertools
import multiprocessing
import os
import re
import statistics
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from runtime import artifact
from runtime.errors import InputError
from runtime.image import MODES
from runtime.plan import Plan
from runtime.preprocessor import Preprocessor, load

from . import jpegs, peers, timing
from .bench_threads import bounded, bounded_when_loaded
from .verify import Progress

ROUNDS, BATCH = 5, 32
"""By default, and images a call."""

CLIENTS, TURNS, LEAD = 8, 2, 4
"""How many ask at once, how often for each image in a round, and how many images come before, untimed."""


@dataclass(frozen=True)
class Way:
    """How encoded images become tensors; :func:`opened` opens it, in any process.

    Attributes:
        name: for people.
        backend: of ours; empty for a peer.
        peer: one of :data:`.peers.MAIN`; empty for ours.
        decoder: of a peer, one of :data:`DECODERS`.
        spread: whether threads share the work: ours by ``map``, a peer by single images in a pool.
    """

    name: str
    backend: str = ""
    peer: str = ""
    decoder: str = ""
    spread: bool = False


PEERS = tuple(
    Way(f"{peer}{', decode_jpeg' * (decoder != 'Pillow')}{', in a pool' * spread}", "", peer, decoder, spread)
    for peer, decoder in (*((peer, "Pillow") for peer in peers.MAIN), (peers.TRANSFORMERS_TORCHVISION, "torchvision"))
    for spread in (False, True)
)


@dataclass(frozen=True)
class Opened:
    """A way that can be run.

    Attributes:
        call: encoded images to their tensors.
        run: all images to the results of calls, one after the other.
        batch: images that ``run`` gives a call.
    """

    call: Callable[[list[bytes]], Any]
    run: Callable[[list[bytes]], Iterable[Any]]
    batch: int


@dataclass
class Row:
    """One way's figures.

    Attributes:
        way: which one.
        times: of all images, one a round, in seconds.
        alone, together: of images by one client and by several, in seconds; none where threads share the work.
        memory: most bytes above those of the process that has loaded all; None where the system does not tell.
        values, differing, largest: as of :class:`.bench.Row`, of all images.
    """

    way: Way
    times: list[float] = field(default_factory=list)
    alone: list[float] = field(default_factory=list)
    together: list[float] = field(default_factory=list)
    memory: int | None = None
    values: int = 0
    differing: int = 0
    largest: float | None = None

    @property
    def median(self) -> float:
        """Seconds for all images."""
        return statistics.median(self.times)

    @property
    def equal(self) -> bool | None:
        return not self.differing if self.values else None


@dataclass(frozen=True)
class Result:
    """What :func:`measure` found.

    Attributes:
        header: everything that the figures depend on; the keys before ``rows`` in :meth:`to_json`.
        rows: one a way, ours first.
        left_out: a line for each way that was not timed, with the reason.
    """

    header: dict[str, Any]
    rows: tuple[Row, ...]
    left_out: tuple[str, ...] = ()

    def faster(self, row: Row) -> dict[str, float]:
        """How many times faster one of our rows is than each peer, by the medians."""
        others = [other for other in self.rows if other.way.peer]
        return {other.way.name: other.median / row.median for other in others} if row.way.backend else {}

    def to_json(self) -> dict[str, Any]:
        """As JSON holds it::

            {"file" to "versions" as of :class:`.bench.Result`, without "warmup",
             "images": {"made_up": bool, "count": int, "megapixels": float, "bytes": int, "smallest": [int, int],
                "largest": [int, int]},
             "clients": int,
             "rows": [{"name": str, "kind": "ours" | "peer", "times_s": [float], "median_s": float,
                "ms_per_image": float, "images_per_s": float, "times_faster": {peer: float}, "equal": bool | null,
                "values": int, "differing": int, "largest_difference": float | null, "memory_mb": float | null,
                "alone": null | {"calls": int, "p50_ms": float, "p99_ms": float}, "together": null | {the same}}],
             "left_out": [str]}

        ``megapixels`` and ``bytes`` are an image's, on average.
        """
        return {**self.header, "rows": [self._row(row) for row in self.rows], "left_out": list(self.left_out)}

    def _row(self, row: Row) -> dict[str, Any]:
        count = self.header["images"]["count"]
        return {
            "name": row.way.name, "kind": "ours" if row.way.backend else "peer", "times_s": row.times,
            "median_s": row.median, "ms_per_image": row.median / count * 1000, "images_per_s": count / row.median,
            "times_faster": self.faster(row), "equal": row.equal, "values": row.values, "differing": row.differing,
            "largest_difference": row.largest, "memory_mb": None if row.memory is None else row.memory / 1e6,
            "alone": latency(row.alone) if row.alone else None,
            "together": latency(row.together) if row.together else None,
        }  # fmt: skip


def latency(times: Sequence[float]) -> dict[str, float]:
    """What half of the calls and what 99 of 100 take at most."""
    p50, p99 = (1000 * float(value) for value in np.percentile(times, (50, 99)))
    return {"calls": len(times), "p50_ms": p50, "p99_ms": p99}


def measure(
    path: str | os.PathLike[str],
    images: Sequence[str | os.PathLike[str]] = (),
    backends: Sequence[str] = (),
    rounds: int | None = None,
    threads: int | None = None,
    batch: int | None = None,
    with_peers: bool = True,
    progress: Progress | None = None,
) -> Result:
    """Times a file's backends and transformers' classes.

    A file with a model in it is timed alone, and its outputs are not compared: peers have no model.

    Args:
        path: an artifact.
        images: JPEG files, and folders of them; without, :mod:`.jpegs` makes them up.
        backends: to time; by default what ``auto`` is.
        rounds: to time, :data:`ROUNDS` by default.
        threads: as of :func:`.bench.measure`.
        batch: how many images a call gets, :data:`BATCH` by default.
        with_peers: whether to time what is not ours.
        progress: called before each part with its number, their count and its name.

    Raises:
        ArtifactError: the file cannot be read.
        BackendUnavailable: one of ``backends`` does not run it.
        InputError: a number out of range; no images, or one that cannot be read or that the Plan refuses.
    """
    rounds, batch = ROUNDS if rounds is None else rounds, BATCH if batch is None else batch
    for name, number in (("rounds", rounds), ("batch", batch)):
        if number < 1:
            raise InputError(f"{name}: expected at least 1, got {number}")
    plan, fused = artifact.read(path)
    if plan.group:
        raise InputError(f"{os.fspath(path)}: takes a {plan.group} in place of an image; leave out --from jpeg")
    with bounded(threads) as (threads, cpus), timing.quiet():
        ours, auto, left_out = timing.opened(path, backends or ("auto",))
        ways = [Way(f"{name}{', map' * spread}", name, spread=spread) for name in ours for spread in (False, True)]
        unfit = peers.unfit(plan, fused)
        left_out += [unfit] if with_peers and unfit else []
        ways += PEERS if with_peers and not unfit else ()
        steps = _numbered(progress, 1 + (rounds + 2) * len(ways))
        steps("reading images")
        encoded = jpegs.read(images) if images else list(jpegs.made_up(plan.input_size))
        expected = None if fused else _expected(plan, encoded)
        rows, running = [], []
        for way in ways:
            steps(f"comparing {way.name}")
            try:
                found = opened(way, path, plan, threads, batch)
                with bounded_when_loaded(threads):
                    rows.append(Row(way, **_compared(found, encoded, expected)))
                running.append(found)
            except Exception as error:
                if way.backend:
                    raise
                left_out.append(f"{way.name}: {peers.reason_of(error)}")  # each package refuses in its own way
        before = timing.busy()
        with timing.uncollected():
            for i in itertools.chain.from_iterable(timing.orders(len(rows), rounds)):
                steps(rows[i].way.name)
                _round(rows[i], running[i], encoded, threads)
        others_busy = timing.others_busy(before, timing.busy())
        for row in rows:
            steps(f"memory of {row.way.name}")
            row.memory = _memory(row.way, path, threads, batch, encoded)
    header = timing.header(
        path, plan, fused, auto=auto, rounds=rounds, batch=batch, threads=threads, cpus=cpus,
        others_busy=others_busy, images={"made_up": not images, **jpegs.summary(encoded)}, clients=CLIENTS,
    )  # fmt: skip
    return Result(header, tuple(rows), tuple(left_out))


def _numbered(progress: Progress | None, total: int) -> Callable[[str], None]:
    """Names the next part."""
    numbers = itertools.count()
    return lambda name: None if progress is None else progress(next(numbers), total, name)


def opened(way: Way, path: str | os.PathLike[str], plan: Plan, threads: int, batch: int) -> Opened:
    """Opens a way.

    Raises:
        LeftOut: a peer cannot do what the Plan does.
    """
    if way.backend:
        loaded = load(path, way.backend)
        kind = "pt" if loaded.backend.startswith("torch") else "np"
        call: Callable[[list[bytes]], Any] = lambda images: loaded(images, return_tensors=kind)  # noqa: E731
        if way.spread:
            return Opened(call, lambda images: loaded.map(images, batch, threads, return_tensors=kind), batch)
    else:
        run, decode = peers.made(way.peer, plan), DECODERS[way.decoder]
        call = lambda images: run([decode(image) for image in images])  # noqa: E731
        if way.spread:
            return Opened(call, lambda images: _pooled(call, images, threads), 1)
    return Opened(call, lambda images: map(call, _parts(images, batch)), batch)


def _parts(images: Sequence[Any], batch: int) -> Iterator[Any]:
    return (images[i : i + batch] for i in range(0, len(images), batch))


def _pooled(call: Callable[[list[bytes]], Any], images: list[bytes], threads: int) -> Iterator[Any]:
    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(call, _parts(images, 1))


def _by_torchvision(encoded: bytes) -> Any:
    """torchvision's own decoder, for what takes tensors."""
    import torch
    from torchvision.io import ImageReadMode, decode_jpeg

    data = torch.frombuffer(bytearray(encoded), dtype=torch.uint8)  # of what may be written to, or torch warns
    return decode_jpeg(data, ImageReadMode.RGB, apply_exif_orientation=True)


DECODERS: dict[str, Callable[[bytes], Any]] = {"Pillow": jpegs.opened, "torchvision": _by_torchvision}


# --- What is equal


def _expected(plan: Plan, encoded: list[bytes]) -> Callable[[int], list[Any]]:
    """The reference's results for all images, decoded by Pillow, in calls of so many."""
    reference, mode = Preprocessor(plan, "pil"), MODES[plan.channels]

    @functools.cache
    def expected(batch: int) -> list[Any]:
        return [reference([jpegs.opened(image, mode) for image in part]) for part in _parts(encoded, batch)]

    return expected


def _compared(found: Opened, encoded: list[bytes], expected: Callable[[int], list[Any]] | None) -> dict[str, Any]:
    """A :class:`Row`'s ``values``, ``differing`` and ``largest``."""
    wanted = [None] * -(-len(encoded) // found.batch) if expected is None else expected(found.batch)
    results = found.run(encoded)
    parts = [timing.compare(want, got) for want, got in zip(wanted, results, strict=True)]
    values, differing, largest = zip(*parts, strict=True)
    return {
        "values": sum(values), "differing": sum(differing), "largest": None if None in largest else max(largest),
    }  # fmt: skip


# --- Time


def _round(row: Row, found: Opened, encoded: list[bytes], threads: int) -> None:
    """Adds a round's times to a row. Where calls run side by side, torch takes one thread for each."""
    with bounded_when_loaded(1 if row.way.spread else threads):
        timing.settle()
        start = time.perf_counter()
        _run(found, encoded)
        row.times.append(time.perf_counter() - start)
    if row.way.spread:
        return
    with bounded_when_loaded(threads):
        row.alone += _latencies(found.call, encoded, 1)
    with bounded_when_loaded(1):
        row.together += _latencies(found.call, encoded * TURNS, CLIENTS)


def _run(found: Opened, encoded: list[bytes]) -> None:
    """Drops each result before the next one is made, as far as the way can."""
    collections.deque(found.run(encoded), maxlen=0)


def _latencies(call: Callable[[list[bytes]], Any], encoded: list[bytes], clients: int) -> list[float]:
    """Seconds of a call for each image, of so many clients together."""
    timing.settle()
    for image in encoded[:LEAD]:
        call([image])
    times: list[float] = []
    images, start = iter(encoded), threading.Barrier(clients)

    def ask() -> None:
        start.wait()
        for image in images:  # which all clients share
            begin = time.perf_counter()
            call([image])
            times.append(time.perf_counter() - begin)

    with ThreadPoolExecutor(clients) as pool:
        for client in [pool.submit(ask) for _ in range(clients)]:
            client.result()
    return times


# --- Memory


def _memory(way: Way, path: str | os.PathLike[str], threads: int, batch: int, encoded: list[bytes]) -> int | None:
    """Of a new process, which has nothing of the others' in its pools and caches."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(_growth, way, os.fspath(path), threads, batch, encoded).result()


def _growth(way: Way, path: str, threads: int, batch: int, encoded: list[bytes]) -> int | None:
    """Bytes by which all images raise the process's memory at most, its libraries loaded and one small image done."""
    with bounded(threads) as (threads, _), timing.quiet():
        found = opened(way, path, artifact.read(path)[0], threads, batch)
        with bounded_when_loaded(1 if way.spread else threads):
            found.call([min(encoded, key=len)])
            gc.collect()
            try:
                Path("/proc/self/clear_refs").write_text(
                    "5", encoding="ascii"
                )  # from here on, the peak is counted anew
                before = _resident("VmRSS")
                _run(found, encoded)
                return _resident("VmHWM") - before
            except OSError:
                return None


def _resident(name: str) -> int:
    """Bytes, of a line in Linux's account of the process."""
    text = Path("/proc/self/status").read_text(encoding="ascii")
    (kilobytes,) = re.findall(rf"^{name}:\s+(\d+) kB$", text, re.MULTILINE)
    return int(kilobytes) * 1024
