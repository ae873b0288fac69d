"""As many threads for every library that is timed, on as many CPUs."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from runtime.errors import InputError
from runtime.threads import restart

THREADS = 2


@contextlib.contextmanager
def bounded(threads: int | None) -> Iterator[tuple[int, list[int] | None]]:
    """Inside, what is loaded and opened runs on ``threads`` threads; gives their number and the CPUs they are bound to.

    The calling thread is bound to as many CPUs, and the pools that it starts inherit this; ``OMP_NUM_THREADS`` says so
    to what reads it. onnxruntime counts the machine's cores whatever a process is bound to, and :func:`runtime.load`
    has no option for it: sessions that are opened inside get their own option. CPUs are None where the system does not
    bind (macOS, Windows).

    Raises:
        InputError: fewer threads than 1, or more than the process has CPUs.
    """
    binds = hasattr(os, "sched_setaffinity")
    allowed = os.sched_getaffinity(0) if binds else set(range(os.cpu_count() or 1))
    count = min(THREADS, len(allowed)) if threads is None else threads
    if not 1 <= count <= len(allowed):
        raise InputError(f"threads: expected 1 to {len(allowed)}, the CPUs that this process may use, got {threads}")
    chosen = choose(count, allowed) if binds else None
    variable = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = str(count)
    try:
        if chosen is not None:
            os.sched_setaffinity(0, chosen)
        restart()
        with _sessions_bounded(count):
            yield count, chosen
    finally:
        if chosen is not None:
            os.sched_setaffinity(0, allowed)
        restart()
        if variable is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = variable


def choose(count: int, allowed: Iterable[int], topology: Path = Path("/sys/devices/system/cpu")) -> list[int]:
    """``count`` CPUs, of different cores where there are enough: two threads of one core share its arithmetic."""
    cores: dict[str, int] = {}
    ranked = []
    for cpu in sorted(allowed):
        try:
            core = (topology / f"cpu{cpu}" / "topology" / "thread_siblings_list").read_text()
        except OSError:
            core = str(cpu)
        cores[core] = cores.get(core, 0) + 1
        ranked.append((cores[core], cpu))
    return sorted(cpu for _, cpu in sorted(ranked)[:count])


@contextlib.contextmanager
def _sessions_bounded(threads: int) -> Iterator[None]:
    """``onnxruntime.SessionOptions()`` has the number of threads set."""
    if importlib.util.find_spec("onnxruntime") is None:
        yield
        return
    import onnxruntime

    plain = onnxruntime.SessionOptions

    class Bounded(plain):  # type: ignore[misc, valid-type]
        def __init__(self) -> None:
            super().__init__()
            self.intra_op_num_threads = threads

    onnxruntime.SessionOptions = Bounded
    try:
        yield
    finally:
        onnxruntime.SessionOptions = plain


@contextlib.contextmanager
def bounded_when_loaded(threads: int) -> Iterator[None]:
    """The same for torch, where it is loaded by now."""
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
