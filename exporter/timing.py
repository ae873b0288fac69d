"""What benchmarks share: whom they time, in what order, in what peace, and on what machine."""

from __future__ import annotations

import contextlib
import gc
import importlib.metadata
import logging
import os
import platform
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from runtime.errors import BackendUnavailable
from runtime.plan import Plan
from runtime.preprocessor import BACKENDS, Preprocessor, load

PAUSE, MOST_PAUSES = 0.01, 20
"""Seconds to sleep at a time until no thread spins: OpenMP's do for 10 ms after a call, onnxruntime's for 40."""

PACKAGES = ("numpy", "pillow", "onnxruntime", "torch", "torchvision", "transformers", "numba", "simplejpeg")


def opened(path: str | os.PathLike[str], names: Sequence[str]) -> tuple[dict[str, Preprocessor], str | None, list[str]]:
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


def compare(expected: Any, got: Any) -> tuple[int, int, float | None]:
    """A row's ``values``, ``differing`` and ``largest``."""
    if expected is None:
        return 0, 0, None
    name = next(iter(expected))  # the image
    want, have = expected[name], np.asarray(got[name] if hasattr(got, "keys") else got)
    if (have.shape, have.dtype) != (want.shape, want.dtype):
        return want.size, want.size, None
    return want.size, int(np.count_nonzero(have != want)), float(np.abs(have.astype(np.float64) - want).max())


# --- Order and peace


def orders(count: int, rounds: int) -> list[list[int]]:
    """The order of each round, so that each of ``count`` ways follows each other one equally often.

    A zigzag, rotated from round to round and turned around after each full turn: Williams' design.
    """
    zigzag = [(i + 1) // 2 if i % 2 else -(i // 2) for i in range(count)]
    turned = [zigzag, zigzag[::-1]]
    return [[(number + step) % count for step in turned[number // count % 2]] for number in range(rounds)]


def settle() -> None:
    """Sleeps until the process uses a tenth of a CPU at most."""
    for _ in range(MOST_PAUSES):
        spent = time.process_time()
        time.sleep(PAUSE)
        if time.process_time() - spent <= PAUSE / 10:
            return


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the log lines and warnings of the peers."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Without the garbage collector: the more libraries a process has loaded, the longer it holds up a call of any."""
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


# --- The machine


def header(path: str | os.PathLike[str], plan: Plan, fused: bool, **more: Any) -> dict[str, Any]:
    """What figures depend on: the file, the machine, the packages, and ``more``."""
    return {
        "file": os.fspath(path), "family": plan.family, "reference": plan.reference, "fused": fused, **more,
        "cpu": _cpu(), "cpus_total": os.cpu_count() or 1, "versions": _versions(),
    }  # fmt: skip


def busy() -> tuple[float, float, float] | None:
    """Seconds of all CPUs, those of this process, and of the clock; None where the system does not tell."""
    try:
        counts = [int(word) for word in Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]]
    except (OSError, ValueError):
        return None
    idle = counts[3] + counts[4]
    own = os.times()
    return (sum(counts) - idle) / os.sysconf("SC_CLK_TCK"), own.user + own.system, time.perf_counter()


def others_busy(before: tuple[float, float, float] | None, after: tuple[float, float, float] | None) -> float | None:
    """CPUs that others kept busy between two times of :func:`busy`."""
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
