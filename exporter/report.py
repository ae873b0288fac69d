"""What the command prints: steps, tables, progress and labels."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from runtime.ops import Resize
from runtime.plan import Plan

from .verify import Row


def plan(value: Plan) -> None:
    """The steps that were understood."""
    print(f"{value.source}: {value.family}, reference {value.reference}, input {value.layout}")
    for number, step in enumerate(value.steps, 1):
        print(f" {number}. {step}")


def progress(done: int, total: int, name: str) -> None:
    """One line on a terminal, written over; nothing elsewhere."""
    if sys.stderr.isatty():
        print(f"\r\033[Kverifying {done + 1}/{total}: {name}", end="", file=sys.stderr, flush=True)


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


def presets(rows: Sequence[tuple[str, Plan, str]]) -> None:
    """Names, families, sizes and filters."""
    lines = [("name", "family", "resize", "filter", "checkpoint")]
    for name, value, checkpoint in rows:
        resize = next(step for step in value.steps if isinstance(step, Resize))
        lines.append((name, value.family, str(resize.size), resize.filter, checkpoint))
    widths = [max(len(line[i]) for line in lines) for i in range(5)]
    for line in lines:
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip())
