"""The figures of a :class:`exporter.bench.Result` as a bar chart. matplotlib is imported when asked for."""

from __future__ import annotations

import importlib
import importlib.util
import os
from pathlib import Path
from typing import Any

from runtime.errors import ArtifactError, BackendUnavailable

from .bench import Result, Row, Table

OURS, PEER, INK, QUIET = "#1f6feb", "#b4bcc8", "#1c2128", "#6e7781"


def check(path: str | os.PathLike[str]) -> None:
    """Says before anything is timed what would stop the drawing.

    Raises:
        ArtifactError: the name does not end in ``.png``.
        BackendUnavailable: matplotlib is not installed.
    """
    if Path(path).suffix != ".png":
        raise ArtifactError(f"{os.fspath(path)}: expected a name that ends in .png")
    if importlib.util.find_spec("matplotlib") is None:
        raise BackendUnavailable("drawing a chart needs matplotlib: pip install matplotlib")


def draw(result: Result, path: str | os.PathLike[str]) -> None:
    """Writes a PNG: a panel a size of image, a bar a way, the fastest on top; bars start at 0, so lengths compare."""
    figures: Any = importlib.import_module("matplotlib.figure")
    patches: Any = importlib.import_module("matplotlib.patches")
    header = result.header
    bars, count = max(len(table.rows) for table in result.tables), len(result.tables)
    height = 1.5 + 0.4 * bars
    figure = figures.Figure((max(6.4 * count, 8), height), dpi=150, facecolor="white", layout="constrained")
    figure.get_layout_engine().set(rect=(0, 0.32 / height, 1, 1 - 0.82 / height), wspace=0.04)
    (panels,) = figure.subplots(1, count, squeeze=False)
    for panel, table in zip(panels, result.tables, strict=True):
        _panel(panel, table)
    batch = "" if header["batch"] == 1 else f", {header['batch']} images a call"
    figure.text(
        0.012, 1 - 0.14 / height, f"{Path(header['file']).name}: from decoded image to tensor{batch}", va="top",
        fontsize=13, color=INK, fontweight="bold",
    )  # fmt: skip
    versions = (f"{name} {version}" for name, version in header["versions"].items() if name != "python")
    figure.text(
        0.012, 0.1 / height,
        f"{header['family']}, reference {header['reference']}; medians of {header['rounds']} rounds,"
        f" {header['threads']} thread{'s' * (header['threads'] > 1)} of {header['cpu']}\n{', '.join(versions)}",
        fontsize=7.5, color=QUIET, linespacing=1.4,
    )  # fmt: skip
    handles = [patches.Patch(color=OURS, label="this artifact"), patches.Patch(color=PEER, label="others")]
    figure.legend(
        handles=handles, loc="upper right", bbox_to_anchor=(0.995, 1 - 0.4 / height), ncols=2, frameon=False,
        fontsize=9.5, labelcolor=INK, handlelength=1, handleheight=1,
    )  # fmt: skip
    figure.savefig(path, format="png")


def _panel(panel: Any, table: Table) -> None:
    rows = sorted(table.rows, key=lambda row: row.median, reverse=True)
    values = [row.median for row in rows]
    bars = panel.barh([row.name for row in rows], values, color=[OURS if r.ours else PEER for r in rows], height=0.7)
    panel.bar_label(bars, [_label(row) for row in rows], padding=4, fontsize=9, color=INK)
    panel.set_title(f"{table.height}x{table.width}", loc="left", fontsize=10.5, color=INK)
    panel.set_xlim(0, max(values) * 1.42)
    panel.set_ylim(-0.5, len(rows) - 0.5)
    panel.spines[["top", "right", "bottom", "left"]].set_visible(False)
    panel.tick_params(axis="both", length=0, labelsize=9.5, labelcolor=INK)
    panel.xaxis.set_visible(False)


def _label(row: Row) -> str:
    """The time, and what one must know beside it."""
    digits = 2 if row.median < 10 else 1
    kind = {True: "", False: " (other values)", None: "" if row.ours else " (resize only)"}[row.equal]
    return f"{row.median:.{digits}f} ms{kind}"
