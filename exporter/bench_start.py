"""Times what a new process pays before its first result: imports, loading, the first call."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from runtime import artifact
from runtime.errors import InputError
from runtime.preprocessor import BACKENDS

ROUNDS = 11

STAGES = ("python and numpy", "import runtime", "load", "first call", "second call")

SIZE = (480, 640)
"""(height, width) of the image of the calls, where the artifact is not for one size."""

CHILD = """
import json, sys, time
began = float(sys.argv[4])
import numpy
times = [time.time() - began, time.perf_counter()]
import runtime
times.append(time.perf_counter())
try:
    pre = runtime.load(sys.argv[1], sys.argv[2])
except runtime.BackendUnavailable as error:
    sys.exit(str(error))
times.append(time.perf_counter())
image = numpy.zeros(json.loads(sys.argv[3]), "uint8")
for _ in range(2):
    pre([image])
    times.append(time.perf_counter())
print(json.dumps([times[0], *(b - a for a, b in zip(times[1:], times[2:]))]))
"""


@dataclass(frozen=True)
class Start:
    """The stages of one backend's processes.

    Attributes:
        backend: its name.
        times: of each process, the seconds of each of :data:`STAGES`.
        problem: why there are none; empty where there are.
    """

    backend: str
    times: tuple[tuple[float, ...], ...] = ()
    problem: str = ""

    @property
    def medians(self) -> tuple[float, ...]:
        """Milliseconds of each stage."""
        return tuple(statistics.median(stage) * 1000 for stage in zip(*self.times, strict=True))

    def to_json(self) -> dict[str, Any]:
        """``{"backend": str, "problem": str, "rounds": int, "median_ms": {stage: float}}``; none with a problem."""
        medians = dict(zip(STAGES, self.medians, strict=False))
        return {"backend": self.backend, "problem": self.problem, "rounds": len(self.times), "median_ms": medians}


def measure(path: str | os.PathLike[str], backends: Sequence[str] = (), rounds: int | None = None) -> list[Start]:
    """The stages of every backend, each in ``rounds`` processes; what disturbs the machine hits all alike.

    Args:
        path: of an artifact.
        backends: all by default.
        rounds: :data:`ROUNDS` by default; before them comes one that is not counted, in which caches fill.

    Raises:
        ArtifactError: as :func:`runtime.load`.
        InputError: fewer rounds than 1.
    """
    plan, _ = artifact.read(path)
    rounds = ROUNDS if rounds is None else rounds
    if rounds < 1:
        raise InputError(f"rounds: expected a number above 0, got {rounds}")
    names = list(dict.fromkeys(backends)) or [name for name in BACKENDS if name != "auto"]
    shape = json.dumps([*(plan.input_size or SIZE), plan.channels])
    starts = {name: Start(name) for name in names}
    for number in range(rounds + 1):
        for name, start in starts.items():
            if start.problem:
                continue
            command = [sys.executable, "-c", CHILD, os.fspath(path), name, shape, repr(time.time())]
            child = subprocess.run(command, capture_output=True, text=True, check=False)
            if child.returncode:
                starts[name] = Start(name, problem=child.stderr.strip().rpartition("\n")[2])
            elif number:
                stages = tuple(json.loads(child.stdout.splitlines()[-1]))
                starts[name] = Start(name, (*start.times, stages))
    return list(starts.values())
