"""torch's ``interpolate`` of floats as ONNX nodes.

No runtime has an FMA among its operators: here it is a float64 sum, rounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import taps
from ..arrays.onnx import Formulas
from .torch_sums import LANES_ORDER, ORDER, ROWS


def interpolated(
    g: Any,
    formulas: Formulas,
    pixels: Any,
    size: tuple[Any, Any],
    new_size: tuple[Any, Any],
    filter: str,
    antialias: bool,
    align_corners: bool = False,
    channels: Any = 3,
    channels_last: bool = False,
) -> Any:
    """:func:`runtime.ops.torch_sums.interpolated` of a batch.

    Args:
        g: the graph.
        formulas: over ``g``.
        pixels: float32 ``[N, C, H, W]``; without antialiasing, also uint8.
        size, new_size: height and width before and after; integers or scalars of the graph.
        filter, antialias, align_corners, channels_last: as there.
        channels: C; an integer or a scalar of the graph.

    Returns:
        float32 ``[N, C, height, width]``.
    """
    (n_rows, n_columns), (height, width) = size, new_size
    if antialias:
        with g.scope("width"):
            lines = _antialiased(g, formulas, turned(g, pixels), n_columns, width, filter, align_corners)
        with g.scope("height"):
            columns = 2 if channels_last else width
            return _antialiased(g, formulas, turned(g, lines), n_rows, height, filter, align_corners, columns)

    def separable() -> Any:
        fused = filter == "bicubic"
        return _separable(g, pixels, n_rows, height, *_taps(formulas, size, new_size, filter, align_corners, fused))

    def joined() -> Any:
        return _joined(g, pixels, *_taps(formulas, size, new_size, filter, align_corners, True), channels)

    joins = formulas.taps.joins(channels, height, width, filter, channels_last)
    if isinstance(joins, bool):
        return joined() if joins else separable()
    return g.branch(joins, joined, separable, "small_result")


def largest_channel(
    g: Any, formulas: Formulas, pixels: Any, size: tuple[Any, Any], new_size: tuple[Any, Any], channels: Any
) -> Any:
    """:func:`runtime.ops.torch_sums.largest_channel` of a batch: int64 ``[N, height, width]``.

    The arguments are those of :func:`interpolated`.
    """

    def of_small_result() -> Any:
        every = interpolated(g, formulas, pixels, size, new_size, "bilinear", False, channels=channels)
        return g.node("ArgMax", every, axis=1, keepdims=0, dtype="int64")

    def of_rows() -> Any:
        height, width = new_size
        rows, columns = _taps(formulas, size, new_size, "bilinear", False, False)
        lines, rows = _lines(g, pixels, size[0], height, rows, columns)
        blocks = (height + ROWS - 1) // ROWS

        def largest(i: Any) -> Any:
            first = i * ROWS
            places = g.node("Min", first + g.constant(range(ROWS), "int64"), g.value(height, "int64") - 1)
            some = [(g.node("Gather", place, places), g.node("Gather", weight, places)) for place, weight in rows]
            return g.node("ArgMax", _upright_sum(g, lines, some), axis=1, keepdims=0, dtype="int64")

        stacked = g.stack(g.value(blocks, "int64"), largest, "rows")  # [blocks, N, ROWS, width]
        joined = g.node("Transpose", stacked, perm=[1, 0, 2, 3])
        whole = g.node("Reshape", joined, g.shape(0, -1, width))
        return g.node("Slice", whole, g.constant([0], "int64"), g.shape(height), g.constant([1], "int64"))

    joins = formulas.taps.joins(channels, *new_size, "bilinear", False)
    if isinstance(joins, bool):
        return of_small_result() if joins else of_rows()
    return g.branch(joins, of_small_result, of_rows, "small_result")


def _taps(
    formulas: Formulas, size: tuple[Any, Any], new_size: tuple[Any, Any], filter: str, align_corners: bool, fused: bool
) -> tuple[Any, Any]:
    """The rows' and the columns'."""
    rows, columns = (
        formulas.taps.point_taps(n_in, n_out, filter, align_corners, fused)
        for n_in, n_out in zip(size, new_size, strict=True)
    )
    return rows, columns


def _separable(g: Any, pixels: Any, n_rows: Any, height: Any, rows: Any, columns: Any) -> Any:
    """The samples of each row that is read, and then the rows."""
    lines, rows = _lines(g, pixels, n_rows, height, rows, columns)
    with g.scope("height"):
        return _upright_sum(g, lines, rows)


def _lines(g: Any, pixels: Any, n_rows: Any, height: Any, rows: Any, columns: Any) -> tuple[Any, list[tuple[Any, Any]]]:
    """The rows that are read, interpolated; and where each sample of a result's row is among them, and its weight."""
    with g.scope("width"):
        # All rows, or copies of those that are read where these are fewer.
        copies = g.node("Concat", *(_index(g, index) for index, _ in rows), axis=0)
        n_copies = g.size(copies, 0)
        whole = n_copies >= n_rows
        every = g.node("Range", *g.common(0, g.node("Min", *g.common(n_copies, n_rows)), 1))
        read = g.node("Where", whole, every, g.node("Gather", copies, every), dtype="int64")
        columns_first = turned(g, g.node("Gather", pixels, read, axis=2))
        samples = [(_samples(g, columns_first, index), _upright(g, weight)) for index, weight in columns]
        lines = turned(g, _sum(g, [samples[i] for i in ORDER[: len(samples)]]))
    own = g.node("Range", *g.common(0, g.value(height), 1))
    places = [
        (g.node("Where", whole, _index(g, index), own + height * i, dtype="int64"), weight)
        for i, (index, weight) in enumerate(rows)
    ]
    return lines, [places[i] for i in ORDER[: len(places)]]


def _upright_sum(g: Any, lines: Any, rows: Sequence[tuple[Any, Any]]) -> Any:
    """Rows of the result from the interpolated ones."""
    return _sum(g, [(g.node("Gather", lines, place, axis=2), _upright(g, weight)) for place, weight in rows])


def _joined(g: Any, pixels: Any, rows: Any, columns: Any, channels: Any) -> Any:
    """The four samples of a bilinear result, each with one weight."""
    samples = []
    for row, down in rows:
        columns_first = turned(g, g.node("Gather", pixels, _index(g, row), axis=2))
        for column, across in columns:
            weight = g.cast(_upright(g, down) * across, "float32")
            samples.append((turned(g, _samples(g, columns_first, column)), weight))
    lanes = channels // taps.LANES * taps.LANES
    if isinstance(lanes, int) and not lanes:
        return _sum(g, [samples[i] for i in ORDER])
    parts = []
    for order, first, last in ((LANES_ORDER, 0, lanes), (ORDER, lanes, channels)):
        bounds = [g.shape(n) for n in (first, last, 1)]
        parts.append(_sum(g, [(g.node("Slice", samples[i][0], *bounds), samples[i][1]) for i in order]))
    return g.node("Concat", *parts, axis=1)


def _index(g: Any, index: Any) -> Any:
    return g.cast(index, "int64")


def _samples(g: Any, columns_first: Any, index: Any) -> Any:
    """The columns at ``index``, as float32."""
    return g.cast(g.node("Gather", columns_first, _index(g, index), axis=2), "float32")


def _upright(g: Any, vector: Any) -> Any:
    """``[n]`` as ``[n, 1]``."""
    return g.node("Unsqueeze", vector, g.constant([1], "int64"))


def turned(g: Any, pixels: Any) -> Any:
    """Rows as columns."""
    return g.node("Transpose", pixels, perm=[0, 1, 3, 2])


def _sum(g: Any, samples: Sequence[tuple[Any, Any]]) -> Any:
    """Of products: the first one is rounded, and the others are added to it without."""
    first, *rest = samples
    total = first[0] * g.cast(first[1], "float32")
    for sample, weight in rest:
        total = _add_product(g, total, sample, weight)
    return total


def _add_product(g: Any, total: Any, sample: Any, weight: Any) -> Any:
    """An FMA: ``total`` and ``sample`` are float32, ``weight`` holds float32 numbers."""
    return g.cast(g.cast(sample, "float64") * g.cast(weight, "float64") + g.cast(total, "float64"), "float32")


def _antialiased(
    g: Any, formulas: Formulas, pixels: Any, n_in: Any, n_out: Any, filter: str, align_corners: bool, columns: Any = 2
) -> Any:
    """float32 ``[N, C, n_in, …]`` to ``[N, C, n_out, …]``; ``columns`` as of :func:`.taps.antialiased_taps`."""
    low, apart, behind, joined = formulas.taps.antialiased_taps(n_in, n_out, filter, align_corners, columns)
    last, one = g.value(n_in, "int64") - 1, g.constant([1], "int64")

    def sample(first: Any, weights: Any, i: Any) -> tuple[Any, Any]:
        index = g.node("Squeeze", _index(g, first), one) + i
        weight = g.node("Gather", weights, g.node("Reshape", i, one), axis=1)
        return g.node("Gather", pixels, g.node("Min", index, last), axis=2), weight

    def product(i: Any) -> Any:
        samples, weight = sample(low, apart, i)
        return samples * g.cast(weight, "float32")

    def add_apart(i: Any, total: Any) -> Any:
        return total + product(i + 1)

    def add_joined(i: Any, total: Any) -> Any:
        return _add_product(g, total, *sample(behind, joined, i))

    total = g.loop(g.size(apart, 1) - 1, product(g.value(0)), add_apart, "apart")
    return g.loop(g.size(joined, 1), total, add_joined, "joined")
