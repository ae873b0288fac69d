"""What the command prints: steps, tables, progress and labels."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from runtime.ops import Interpolate, Resize, ResizeKeras, ResizeOpenCV, ResizeSmoothed
from runtime.plan import Plan

from . import bench, bench_jpeg, bench_start
from .peers import MAIN
from .verify import Row

RESIZES = (Resize, ResizeKeras, ResizeOpenCV, ResizeSmoothed, Interpolate)


def plan(value: Plan) -> None:
    """The steps that were understood."""
    print(f"{value.source}: {value.family}, reference {value.reference}, input {value.layout}")
    for number, step in enumerate(value.steps, 1):
        print(f" {number}. {step}")


def progress(done: int, total: int, name: str, doing: str = "verifying") -> None:
    """One line on a terminal, written over; nothing elsewhere."""
    if sys.stderr.isatty():
        print(f"\r\033[K{doing} {done + 1}/{total}: {name}", end="", file=sys.stderr, flush=True)


def clear() -> None:
    """Removes the progress line."""
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)


def table(rows: Sequence[Row]) -> None:
    """Backends by sizes: values compared, and values differing."""
    clear()
    backends = list(dict.fromkeys(row.backend for row in rows))
    if not backends:
        return
    width = max(len("image"), *(len(row.image) for row in rows))
    print(f"{'image':<{width}}" + "".join(f"  {backend + ' compared':>20}  {'differing':>9}" for backend in backends))
    for start in range(0, len(rows), len(backends)):
        cells = rows[start : start + len(backends)]
        print(f"{cells[0].image:<{width}}" + "".join(f"  {_cells(row)}" for row in cells))
    values, bad = sum(row.values for row in rows), sum(abs(row.differing) for row in rows)
    print(f"{values} values compared, {bad or 'none'} differing")


def _cells(row: Row) -> str:
    if row.differing < 0:
        return f"{row.values:>20}  {'form':>9}"
    return f"{'refused by both':>20}  {0:>9}" if row.values == 0 else f"{row.values:>20}  {row.differing:>9}"


def top(image: str, outputs: Mapping[str, Any], labels: Sequence[str], count: int = 5) -> None:
    """The best classes of the output that has one score a label, with their softmax."""
    for scores in outputs.values():
        if scores.shape == (len(labels),):
            exponents = np.exp(scores.astype(np.float64) - scores.max())
            shares = exponents / exponents.sum()
            print(image)
            for i in np.argsort(-shares, kind="stable")[:count]:
                print(f" {shares[i]:7.2%}  {labels[i]}")


def prediction(image: str, result: Any) -> None:
    """What a model found in an image: a line a class or an object, or a line a tensor."""
    print(image)
    if isinstance(result, Mapping):
        for name, value in result.items():
            if isinstance(value, np.ndarray):
                print(f" {name}: {value.dtype} {list(value.shape)}{_range(value)}")
            elif isinstance(value, (str, float)):
                print(f" {name}: {value:.5g}" if isinstance(value, float) else f" {name}: {value}")
            elif isinstance(value, list) and all(isinstance(part, str) for part in value):
                print(f" {name}: {''.join(value)}")
        _shares(result)
        return
    for item in result:
        box = f"  {' '.join(f'{number:.1f}' for number in item['box'])}" if "box" in item else ""
        print(f" {item['score']:7.2%}  {item.get('label', 'found')}{box}")
    if not result:
        print(" nothing")


def _range(value: Any) -> str:
    return f", {value.min():.5g} to {value.max():.5g}" if value.dtype.kind == "f" and value.size else ""


def _shares(result: Mapping[str, Any]) -> None:
    """How much of a mask each class has, the largest first."""
    if "segmentation" not in result:
        return
    shares = {label: float(np.mean(result["segmentation"] == label)) for label in result["labels"]}
    for label in sorted(shares, key=lambda label: -shares[label]):
        print(f" {shares[label]:7.2%}  {result['labels'][label]}")


def presets(rows: Sequence[tuple[str, Plan, str]]) -> None:
    """Names, families, sizes and filters."""
    lines = [("name", "family", "resize", "filter", "checkpoint")]
    for name, value, checkpoint in rows:
        resize = next((step for step in value.steps if isinstance(step, RESIZES)), None)
        cells = (str(resize.size), getattr(resize, "filter", "bilinear")) if resize else ("none", "none")
        lines.append((name, value.family, *cells, checkpoint))
    widths = [max(len(line[i]) for line in lines) for i in range(5)]
    for line in lines:
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip())


STEADY = 1.2
"""Of a median by its minimum: on a quiet machine, most ways are well below."""


def timings(result: bench.Result) -> None:
    """What the figures depend on, a table a size of image, and what was left out."""
    header = result.header
    images = "an image" if header["batch"] == 1 else f"a list of {header['batch']} images"
    _about(header, f"from {images} decoded by Pillow to the tensor, again and again")
    print("x: how many times faster, by the medians")
    for table in result.tables:
        print()
        _lines(_timings(table), left=2)
    if result.device is not None:
        _device(result.device)
    notes = [f"left out: {line}" for line in result.left_out]
    spread = max(statistics.median(row.median / row.least for row in table.rows) for table in result.tables)
    if spread > STEADY:
        notes.append(f"the machine was not steady: half of the medians are {spread:.2f} times their minima; run again")
    if notes:
        print("", *notes, sep="\n")


def _about(header: Mapping[str, Any], what: str) -> None:
    """What figures depend on."""
    clear()
    then = ", then the model in it" if header["fused"] else ""
    auto = f", auto is {header['auto']}" if header["auto"] else ""
    cpus = f"; bound to {', '.join(f'CPU {cpu}' for cpu in header['cpus'])}" if header["cpus"] else ""
    print(f"{header['file']}: {header['family']}, reference {header['reference']}{then}{auto}")
    others = "" if header["others_busy"] is None else f"; others kept {header['others_busy']:.2f} CPUs busy"
    print(f"{header['cpu']}, {_count(header['cpus_total'], 'CPU')}{cpus}{others}")
    print(
        f"{_count(header['threads'], 'thread')}: torch and onnxruntime by their options, others by the CPUs they find"
    )
    print(", ".join(f"{name} {version}" for name, version in header["versions"].items()))
    print(f"{what}; {_count(header['rounds'], 'round')}")


def encoded(result: bench_jpeg.Result) -> None:
    """What the figures depend on, a table of all images together and one of single ones, and what was left out."""
    header, images = result.header, result.header["images"]
    made = "made up" if images["made_up"] else "from files"
    sizes = " to ".join("x".join(map(str, images[name])) for name in ("smallest", "largest"))
    _about(
        header,
        f"from {images['count']} JPEGs ({made}, {sizes}, {images['megapixels']:.2f} megapixels and"
        f" {images['bytes'] / 1000:.0f} kB on average) to the tensor, {header['batch']} a call",
    )
    print("x: how many times faster, by the medians; MB: most memory above that of the libraries, in its own process")
    _encoded_lines(result)
    _latency_lines(result)
    if result.left_out:
        print("", *(f"left out: {line}" for line in result.left_out), sep="\n")


def _encoded_lines(result: bench_jpeg.Result) -> None:
    count = result.header["images"]["count"]
    peers = [row for row in result.rows if row.way.peer]
    main = [row.way.name for row in peers if row.way.name in MAIN]
    heads = [f"x {name}" for name in main] + ["x fastest peer"] * bool(peers)
    lines = [("all images", "", "images/s", "ms/image", *heads, "MB", "equal")]
    for row in result.rows:
        faster, cells = result.faster(row), [""] * len(heads)
        if faster:
            cells = [f"{value:.2f}" for value in (*(faster[name] for name in main), min(faster.values()))]
        memory = "" if row.memory is None else f"{row.memory / 1e6:.0f}"
        lines.append((
            row.way.name, "peer" if row.way.peer else "ours", f"{count / row.median:.0f}",
            f"{row.median / count * 1000:.2f}", *cells, memory, _equal(row),
        ))  # fmt: skip
    print()
    _lines(lines, left=2)


def _latency_lines(result: bench_jpeg.Result) -> None:
    heads = [f"{who} {part}" for who in ("1 client", f"{result.header['clients']} clients") for part in ("p50", "p99")]
    lines = [("single images, ms", "", *heads)]
    for row in result.rows:
        if row.alone:
            cells = [
                latency[key]
                for latency in map(bench_jpeg.latency, (row.alone, row.together))
                for key in ("p50_ms", "p99_ms")
            ]
            lines.append((row.way.name, "peer" if row.way.peer else "ours", *(f"{cell:.2f}" for cell in cells)))
    print()
    _lines(lines, left=2)


def starts(results: Sequence[bench_start.Start]) -> None:
    """A line a backend, and what was left out."""
    done = [start for start in results if not start.problem]
    print(f"a process of its own each time, medians of {max(len(start.times) for start in results)} in ms")
    _lines([("", *bench_start.STAGES), *((s.backend, *(f"{ms:.0f}" for ms in s.medians)) for s in done)], left=1)
    for start in results:
        if start.problem:
            print(f"left out: {start.backend}: {start.problem}")


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + "s" * (number != 1)


def _timings(table: bench.Table) -> list[tuple[str, ...]]:
    main = [row.name for row in table.main()]
    heads = [f"x {name}" for name in main]
    lines: list[tuple[str, ...]] = [(f"{table.height}x{table.width}", "", "median ms", "min ms", *heads, "equal")]
    for row in table.rows:
        faster = table.faster(row)
        times = [f"{faster[name]:.2f}" if row.ours else "" for name in main]
        lines.append(
            (row.name, "ours" if row.ours else "peer", f"{row.median:.3f}", f"{row.least:.3f}", *times, _equal(row))
        )
    return lines


def _equal(row: bench.Row | bench_jpeg.Row) -> str:
    if row.equal is None:
        return "not compared"
    if row.equal:
        return "yes"
    by = "another shape or dtype" if row.largest is None else f"by {row.largest:.2g} at most"
    return f"{row.differing / row.values:.2%} of values differ, {by}".replace("%", " %")


def _device(device: Mapping[str, Any]) -> None:
    """Figures of a CUDA device."""
    copy = device["copy_gb_per_s"]
    print(f"\n{device['name']}, batches of {device['batch']} that are on it already; it copies {copy:.0f} GB/s")
    lines = [("size", "", "median ms", "min ms", "GB/s", "of copy", "equal")]
    for row in device["rows"]:
        lines.append((
            f"{row['height']}x{row['width']}", row["name"], f"{row['median_ms']:.3f}", f"{row['min_ms']:.3f}",
            f"{row['gb_per_s']:.0f}", f"{row['gb_per_s'] / copy:.0%}", "yes" if row["equal"] else "no",
        ))  # fmt: skip
    _lines(lines, left=2)


def _lines(lines: Sequence[Sequence[str]], left: int) -> None:
    """Columns of equal width: the first ``left`` and the last one flush left, the others right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = [
            f"{cell:<{width}}" if i < left or i == len(line) - 1 else f"{cell:>{width}}"
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())
