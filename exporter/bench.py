"""Times an artifact beside other ways to the same tensor, in one process.

Every way has one timed call a round, from a decoded PIL image to the finished tensor, the garbage collector off; the
figures are medians and minima of the rounds. What disturbs the machine hits all ways alike, and the order changes so
that each one follows every other. No way pays for the one before it: threads of a pool go on spinning after a call, and
the first calls of the next library take up to twice their time, which no user of one library sees. So they are left to
fall asleep, and some calls that are not timed come before the one that is.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runtime import artifact
from runtime.errors import InputError
from runtime.image import MAX_PIXELS, MODES
from runtime.lowering import check_size, lower
from runtime.plan import Plan
from runtime.preprocessor import Preprocessor

from . import timing
from .bench_threads import bounded, bounded_when_loaded
from .jpegs import photo
from .peers import MAIN, Peer, Run, find, reason_of
from .verify import Progress

if TYPE_CHECKING:
    from PIL import Image

SIZES = ((480, 640), (1080, 1920))
ROUNDS, WARMUP = 31, 3
LEAD_SECONDS, LEAD_CALLS = 0.025, 2
"""What runs untimed before each timed call, at least: in some 10 ms, calls come to take what they take alone."""


@dataclass(frozen=True)
class Row:
    """One way on one size of image.

    Attributes:
        name: of the backend or the peer.
        ours: whether it is a backend.
        times: of each round's call, in seconds.
        values: how many the result has; 0 where it is not compared.
        differing: how many are not the reference's; all of them where the shapes or the dtypes differ.
        largest: the largest difference; None where values cannot be compared one by one.
    """

    name: str
    ours: bool
    times: tuple[float, ...]
    values: int = 0
    differing: int = 0
    largest: float | None = None

    @property
    def median(self) -> float:
        """Milliseconds."""
        return statistics.median(self.times) * 1000

    @property
    def least(self) -> float:
        """Milliseconds."""
        return min(self.times) * 1000

    @property
    def equal(self) -> bool | None:
        return not self.differing if self.values else None


@dataclass(frozen=True)
class Table:
    """All ways on images of one size."""

    height: int
    width: int
    rows: tuple[Row, ...]

    def main(self) -> list[Row]:
        """The rows that the others are measured against."""
        return [row for row in self.rows if not row.ours and row.name in MAIN]

    def faster(self, row: Row) -> dict[str, float]:
        """How many times faster one of our rows is than each main peer, by the medians."""
        return {other.name: other.median / row.median for other in self.main()} if row.ours else {}


@dataclass(frozen=True)
class Result:
    """What :func:`measure` found.

    Attributes:
        header: everything that the figures depend on; the keys before ``sizes`` in :meth:`to_json`.
        tables: one a size of image.
        device: of :mod:`.bench_device`, or None.
        left_out: a line for each way that was not timed, with the reason.
    """

    header: dict[str, Any]
    tables: tuple[Table, ...]
    device: dict[str, Any] | None = None
    left_out: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As JSON holds it::

            {"file": str, "family": str, "reference": str, "fused": bool, "auto": str | null, "rounds": int,
             "warmup": int, "batch": int, "threads": int, "cpu": str, "cpus": [int] | null, "cpus_total": int,
             "others_busy": float | null, "versions": {package: str},
             "sizes": [{"height": int, "width": int, "rows": [
                {"name": str, "kind": "ours" | "peer", "median_ms": float, "min_ms": float, "times_ms": [float],
                 "times_faster": {main peer: float}, "equal": bool | null, "values": int, "differing": int,
                 "largest_difference": float | null}]}],
             "cuda": null | {"name": str, "batch": int, "copy_gb_per_s": float, "rows": [
                {"height": int, "width": int, "name": str, "median_ms": float, "min_ms": float, "gb_per_s": float,
                 "equal": bool}]},
             "left_out": [str]}

        ``cpus`` is null where a process cannot be bound to CPUs, and ``equal`` where a result is of another kind.
        ``others_busy`` is how many CPUs other processes kept busy meanwhile; null where the system does not tell.
        """
        sizes = [
            {"height": table.height, "width": table.width, "rows": [_row(table, row) for row in table.rows]}
            for table in self.tables
        ]
        return {**self.header, "sizes": sizes, "cuda": self.device, "left_out": list(self.left_out)}


def _row(table: Table, row: Row) -> dict[str, Any]:
    return {
        "name": row.name, "kind": "ours" if row.ours else "peer", "median_ms": row.median, "min_ms": row.least,
        "times_ms": [seconds * 1000 for seconds in row.times], "times_faster": table.faster(row), "equal": row.equal,
        "values": row.values, "differing": row.differing, "largest_difference": row.largest,
    }  # fmt: skip


def measure(
    path: str | os.PathLike[str],
    sizes: Sequence[tuple[int, int]] | None = None,
    backends: Sequence[str] = (),
    rounds: int = ROUNDS,
    threads: int | None = None,
    batch: int = 1,
    with_peers: bool = True,
    progress: Progress | None = None,
) -> Result:
    """Times a file's backends and the installed peers.

    A file with a model in it is timed alone, and its outputs are not compared: peers have no model.

    Args:
        path: an artifact.
        sizes: of the images, (height, width); :data:`SIZES` by default, or the one that the file is made for.
        backends: to time; by default all that run the file.
        rounds: to time, after a few to warm up.
        threads: for every library that has a pool; 2 by default, where the process may use so many CPUs.
        batch: how many images a call gets.
        with_peers: whether to time what is not ours.
        progress: called before each round with its number, their count and its name.

    Raises:
        ArtifactError: the file cannot be read.
        BackendUnavailable: one of ``backends`` does not run it.
        InputError: a number out of range, or a size that the Plan refuses.
    """
    for name, number in (("rounds", rounds), ("batch", batch)):
        if number < 1:
            raise InputError(f"{name}: expected at least 1, got {number}")
    plan, fused = artifact.read(path)
    sizes = sizes or (SIZES if plan.input_size is None else (plan.input_size,))
    for height, width in sizes:
        if height < 1 or width < 1 or height * width > MAX_PIXELS:
            raise InputError(f"size: expected 1 to {MAX_PIXELS} pixels, got {height}x{width}")
        check_size(lower(plan.steps, plan.channels), height, width)
    tables = []
    if progress is not None:
        progress(0, len(sizes) * (WARMUP + rounds), "loading what is timed")
    with bounded(threads) as (threads, cpus), timing.quiet():
        ours, auto, left_out = timing.opened(path, backends)
        before = timing.busy()
        for number, (height, width) in enumerate(sizes):
            images: list[Any] = [photo(height, width, seed).convert(MODES[plan.channels]) for seed in range(batch)]
            images = [[image, image] for image in images] if plan.group == "pair" else images
            others: list[Peer] = []
            if with_peers:
                others, reasons = find(plan, height, width, fused)
                left_out += reasons
            expected = None if fused else Preprocessor(plan, "pil")(images)
            ways = [*(Peer(name, _call(loaded)) for name, loaded in ours.items()), *others]
            with bounded_when_loaded(threads):
                results = {}
                for i, way in enumerate(ways):
                    try:
                        results[i] = timing.compare(expected if way.whole else None, way.run(images))
                    except Exception as error:
                        if i < len(ours):
                            raise
                        left_out.append(f"{way.name}: {reason_of(error)}")  # each package refuses in its own way
                times = _times([ways[i].run for i in results], images, rounds, progress, number, len(sizes))
            rows = [Row(ways[i].name, i < len(ours), t, *results[i]) for i, t in zip(results, times, strict=True)]
            tables.append(Table(height, width, tuple(rows)))
        others_busy = timing.others_busy(before, timing.busy())
        with bounded_when_loaded(threads):
            device = _device(plan, ours, sizes, rounds, batch, with_peers)
    found = timing.header(
        path, plan, fused, auto=auto, rounds=rounds, warmup=WARMUP, batch=batch, threads=threads, cpus=cpus,
        others_busy=others_busy,
    )  # fmt: skip
    return Result(found, tuple(tables), device, tuple(dict.fromkeys(left_out)))


def _call(loaded: Preprocessor) -> Run:
    kind = "pt" if loaded.backend.startswith("torch") else "np"
    return lambda images: loaded(images, return_tensors=kind)


def _times(
    runs: Sequence[Run], images: list[Image.Image], rounds: int, progress: Progress | None, number: int, count: int
) -> list[tuple[float, ...]]:
    """Seconds of each way's calls; ``number`` of ``count`` is the size's."""
    times: list[list[float]] = [[] for _ in runs]
    total = WARMUP + rounds
    with timing.uncollected():
        for i, order in enumerate(timing.orders(len(runs), total)):
            if progress is not None:
                progress(number * total + i, count * total, f"{images[0].height}x{images[0].width}")
            for way in order:
                timing.settle()
                run, calls, begin = runs[way], 0, time.perf_counter()
                while calls < LEAD_CALLS or time.perf_counter() - begin < LEAD_SECONDS:
                    run(images)
                    calls += 1
                start = time.perf_counter()
                result = run(images)
                times[way].append(time.perf_counter() - start)
                del result  # freed outside of the time
    return [tuple(seconds[WARMUP:]) for seconds in times]


def _device(
    plan: Plan, ours: dict[str, Preprocessor], sizes: Sequence[tuple[int, int]], rounds: int, batch: int, peers: bool
) -> dict[str, Any] | None:
    """The figures of a CUDA device, where there is one and backend ``torch`` is timed."""
    if "torch" not in ours:
        return None
    import torch

    if not torch.cuda.is_available():
        return None
    from .bench_device import measure as measure_device

    return measure_device(plan, sizes, rounds, batch, peers)
