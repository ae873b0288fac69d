"""Times an artifact beside other ways to the same tensor, in one process.

Every way has one timed call a round, from a decoded PIL image to the finished tensor, the garbage collector off; the
figures are medians and minima of the rounds. What disturbs the machine hits all ways alike, and the order changes so
that each one follows every other. No way pays for the one before it: threads of a pool go on spinning after a call, and
the first calls of the next library take up to twice their time, which no user of one library sees. So they are left to
fall asleep, and some calls that are not timed come before the one that is.
"""

from __future__ import annotations

import contextlib
import gc
import importlib.metadata
import logging
import os
import platform
import statistics
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from runtime import artifact
from runtime.errors import BackendUnavailable, InputError
from runtime.image import MAX_PIXELS, MODES
from runtime.lowering import check_size, lower
from runtime.plan import Plan
from runtime.preprocessor import BACKENDS, Preprocessor, load

from .bench_threads import bounded, bounded_when_loaded
from .peers import MAIN, Peer, Run, find, reason_of
from .verify import Progress

if TYPE_CHECKING:
    from PIL import Image

SIZES = ((480, 640), (1080, 1920))
ROUNDS, WARMUP = 31, 3
LEAD_SECONDS, LEAD_CALLS = 0.025, 2
"""What runs untimed before each timed call, at least: in some 10 ms, calls come to take what they take alone."""

PAUSE, MOST_PAUSES = 0.01, 20
"""Seconds to sleep at a time until no thread spins: OpenMP's do for 10 ms after a call, onnxruntime's for 40."""

PACKAGES = ("numpy", "pillow", "onnxruntime", "torch", "torchvision", "transformers", "numba")


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
    with bounded(threads) as (threads, cpus), _quiet():
        ours, auto, left_out = _open(path, backends)
        if with_peers and fused:
            left_out.append("peers: the file holds a model, and they do not")
        before = _busy()
        for number, (height, width) in enumerate(sizes):
            images: list[Any] = [photo(height, width, seed).convert(MODES[plan.channels]) for seed in range(batch)]
            images = [[image, image] for image in images] if plan.group == "pair" else images
            others: list[Peer] = []
            if with_peers and not fused:
                others, reasons = find(plan, height, width)
                left_out += reasons
            expected = None if fused else Preprocessor(plan, "pil")(images)
            ways = [*(Peer(name, _call(loaded)) for name, loaded in ours.items()), *others]
            with bounded_when_loaded(threads):
                results = {}
                for i, way in enumerate(ways):
                    try:
                        results[i] = _compare(expected if way.whole else None, way.run(images))
                    except Exception as error:
                        if i < len(ours):
                            raise
                        left_out.append(f"{way.name}: {reason_of(error)}")  # each package refuses in its own way
                times = _times([ways[i].run for i in results], images, rounds, progress, number, len(sizes))
            rows = [Row(ways[i].name, i < len(ours), t, *results[i]) for i, t in zip(results, times, strict=True)]
            tables.append(Table(height, width, tuple(rows)))
        others_busy = _others(before, _busy())
        with bounded_when_loaded(threads):
            device = _device(plan, ours, sizes, rounds, batch, with_peers)
    header = {
        "file": os.fspath(path), "family": plan.family, "reference": plan.reference, "fused": fused, "auto": auto,
        "rounds": rounds, "warmup": WARMUP, "batch": batch, "threads": threads, "cpu": _cpu(), "cpus": cpus,
        "cpus_total": os.cpu_count() or 1, "others_busy": others_busy, "versions": _versions(),
    }  # fmt: skip
    return Result(header, tuple(tables), device, tuple(dict.fromkeys(left_out)))


def _open(path: str | os.PathLike[str], names: Sequence[str]) -> tuple[dict[str, Preprocessor], str | None, list[str]]:
    """What runs the file by its backend's name, the one that ``auto`` is, and why others do not."""
    loaded: dict[str, Preprocessor] = {}
    left_out: list[str] = []
    auto = None
    for name in dict.fromkeys(("auto", *(names or BACKENDS))):
        try:
            preprocessor = load(path, name)
        except BackendUnavailable as error:
            if name in names:
                raise
            left_out.append(str(error))
            continue
        if name == "auto":
            auto = preprocessor.backend
        if not names or name in names:
            loaded.setdefault(preprocessor.backend, preprocessor)
    if not loaded:
        raise BackendUnavailable("; ".join(dict.fromkeys(left_out)))
    return loaded, auto, left_out


def _call(loaded: Preprocessor) -> Run:
    kind = "pt" if loaded.backend.startswith("torch") else "np"
    return lambda images: loaded(images, return_tensors=kind)


def _compare(expected: Any, got: Any) -> tuple[int, int, float | None]:
    """A :class:`Row`'s ``values``, ``differing`` and ``largest``."""
    if expected is None:
        return 0, 0, None
    name = next(iter(expected))  # the image
    want, have = expected[name], np.asarray(got[name] if hasattr(got, "keys") else got)
    if (have.shape, have.dtype) != (want.shape, want.dtype):
        return want.size, want.size, None
    return want.size, int(np.count_nonzero(have != want)), float(np.abs(have.astype(np.float64) - want).max())


def orders(count: int, rounds: int) -> list[list[int]]:
    """The order of each round, so that each of ``count`` ways follows each other one equally often.

    A zigzag, rotated from round to round and turned around after each full turn: Williams' design.
    """
    zigzag = [(i + 1) // 2 if i % 2 else -(i // 2) for i in range(count)]
    turned = [zigzag, zigzag[::-1]]
    return [[(number + step) % count for step in turned[number // count % 2]] for number in range(rounds)]


def _times(
    runs: Sequence[Run], images: list[Image.Image], rounds: int, progress: Progress | None, number: int, count: int
) -> list[tuple[float, ...]]:
    """Seconds of each way's calls; ``number`` of ``count`` is the size's."""
    times: list[list[float]] = [[] for _ in runs]
    total = WARMUP + rounds
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        for i, order in enumerate(orders(len(runs), total)):
            if progress is not None:
                progress(number * total + i, count * total, f"{images[0].height}x{images[0].width}")
            for way in order:
                _settle()
                run, calls, begin = runs[way], 0, time.perf_counter()
                while calls < LEAD_CALLS or time.perf_counter() - begin < LEAD_SECONDS:
                    run(images)
                    calls += 1
                start = time.perf_counter()
                result = run(images)
                times[way].append(time.perf_counter() - start)
                del result  # freed outside of the time
    finally:
        if enabled:
            gc.enable()
    return [tuple(seconds[WARMUP:]) for seconds in times]


def _settle() -> None:
    """Sleeps until the process uses a tenth of a CPU at most."""
    for _ in range(MOST_PAUSES):
        spent = time.process_time()
        time.sleep(PAUSE)
        if time.process_time() - spent <= PAUSE / 10:
            return


def photo(height: int, width: int, seed: int = 0) -> Image.Image:
    """An RGB image like a photograph: noise whose amplitude falls with its frequency, alike in the three channels."""
    from PIL import Image

    generator = np.random.default_rng((height, width, seed))
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = 1.0
    channels = []
    for _ in range(4):  # brightness, and the colors
        spectrum = np.fft.rfft2(generator.standard_normal((height, width))) / frequency**1.2
        plane = np.fft.irfft2(spectrum, (height, width))
        channels.append((plane - plane.mean()) / (plane.std() or 1.0))
    pixels = np.stack([118 + 50 * channels[0] + 20 * color for color in channels[1:]], axis=-1)
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the log lines and warnings of the peers."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def _busy() -> tuple[float, float, float] | None:
    """Seconds of all CPUs, those of this process, and of the clock; None where the system does not tell."""
    try:
        counts = [int(word) for word in Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]]
    except (OSError, ValueError):
        return None
    idle = counts[3] + counts[4]
    own = os.times()
    return (sum(counts) - idle) / os.sysconf("SC_CLK_TCK"), own.user + own.system, time.perf_counter()


def _others(before: tuple[float, float, float] | None, after: tuple[float, float, float] | None) -> float | None:
    """CPUs that others kept busy between two times of :func:`_busy`."""
    if before is None or after is None:
        return None
    everyone, own, clock = (late - early for early, late in zip(before, after, strict=True))
    return max(everyone - own, 0.0) / clock


def _cpu() -> str:
    """The processor's name, as far as the system tells it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _versions() -> dict[str, str]:
    """Of Python and of what is installed of :data:`PACKAGES`."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


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
