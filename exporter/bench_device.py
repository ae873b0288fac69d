"""Times a Plan on a CUDA device, its images there already, against the device's own copy."""

from __future__ import annotations

import contextlib
import functools
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from runtime.backends.torch import Preprocess
from runtime.plan import Plan

from .peers import TRANSFORMERS_TORCHVISION, LeftOut, on_device

WARMUP = 3
COPIED = 2**30
"""Bytes of the copy: far more than a cache holds."""


def measure(
    plan: Plan, sizes: Sequence[tuple[int, int]], rounds: int, batch: int, with_peers: bool, device: str = "cuda",
    copied: int = COPIED,
) -> dict[str, Any]:  # fmt: skip
    """The value of ``cuda`` in :meth:`exporter.bench.Result.to_json`.

    Its bytes count once: those of the uint8 images, read, and those of the result, written.

    Args:
        plan: of the file.
        sizes: of the images, (height, width).
        rounds: to time.
        batch: images a call.
        with_peers: whether to time transformers too.
        device: of torch.
        copied: bytes of the copy that shows what the device's memory gives.
    """
    on_cuda = device.startswith("cuda")
    source = torch.zeros(copied, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    copy = _times(lambda: target.copy_(source), rounds, on_cuda)
    reference, module = Preprocess(plan).eval(), Preprocess(plan).eval().to(device)
    ways: dict[str, Callable[[Any], Any]] = {"torch": lambda batch: module(batch)[plan.output]}
    if with_peers:
        with contextlib.suppress(LeftOut, ImportError):  # named among those that are left out on the CPU
            peer = on_device(plan, device)
            ways[TRANSFORMERS_TORCHVISION] = lambda batch: peer([*batch])
    rows = []
    for height, width in sizes:
        pixels = np.random.default_rng((height, width)).integers(0, 256, (batch, 3, height, width), np.uint8)
        images = torch.from_numpy(pixels).to(device)
        for name, way in ways.items():
            with torch.no_grad():
                result = way(images)
                times = _times(functools.partial(way, images), rounds, on_cuda)
                equal = torch.equal(result.cpu(), reference(torch.from_numpy(pixels))[plan.output])
            median, moved = statistics.median(times), images.nbytes + result.nbytes
            rows.append(
                {
                    "height": height, "width": width, "name": name, "median_ms": median * 1000,
                    "min_ms": min(times) * 1000, "gb_per_s": moved / median / 1e9, "equal": equal,
                }
            )  # fmt: skip
    return {
        "name": torch.cuda.get_device_name(device) if on_cuda else device, "batch": batch,
        "copy_gb_per_s": 2 * copied / statistics.median(copy) / 1e9, "rows": rows,
    }  # fmt: skip


def _times(run: Callable[[], Any], rounds: int, on_cuda: bool) -> list[float]:
    """Seconds of each call, until the device is done."""
    times = []
    for _ in range(WARMUP + rounds):
        start = time.perf_counter()
        run()
        if on_cuda:
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return times[WARMUP:]
