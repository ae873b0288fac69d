"""Keras' resize as ONNX nodes. No runtime has an FMA among its operators: here it is a float64 sum, rounded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import taps
from ..arrays.onnx import Formulas, Image
from .resize_keras import ResizeKeras

BLOCKS = {"uint8": 8, "float32": 32}
"""Columns that become rows at a time: a ``Transpose`` of whole rows leaves the cache, and takes ten times as long."""


def lower(g: Any, formulas: Formulas, step: ResizeKeras, image: Image) -> Image:
    """Adds ``step`` to the graph ``g``; the pixels are uint8 ``[N, C, H, W]``."""
    height, width = step.fixed_size
    if step.filter == "nearest":
        pixels = image.pixels
        for axis, (size, new) in enumerate(((image.height, height), (image.width, width)), 2):
            pixels = g.node("Gather", pixels, g.cast(formulas.taps.nearest(size, new), "int64"), axis=axis)
        return image._replace(pixels=pixels, height=height, width=width)
    resize = _antialiased if step.antialias else _point
    low, high = g.value(0, "float32"), g.value(255, "float32")
    floats = resize(g, formulas, step, image)
    pixels = g.cast(g.node("Round", g.node("Clip", floats, low, high)), "uint8")
    return image._replace(pixels=pixels, height=height, width=width)


def _point(g: Any, formulas: Formulas, step: ResizeKeras, image: Image) -> Any:
    """Without antialiasing: float32 ``[N, C, height, width]``."""
    height, width = step.fixed_size
    joins = step.joins(image.channels)
    fused = joins or step.filter == "bicubic"
    with g.scope("height"):
        rows = formulas.taps.point_taps(image.height, height, step.filter, fused)
        index = g.node("Concat", *(g.cast(index, "int64") for index, _ in rows), axis=0)
        lines = image._replace(pixels=g.node("Gather", image.pixels, index, axis=2), height=len(rows) * height)
        downs = [g.node("Unsqueeze", weight, g.constant([1], "int64")) for _, weight in rows]
    with g.scope("width"):
        columns = formulas.taps.point_taps(image.width, width, step.filter, fused)
        lines = _turned(g, formulas, lines)
        samples = [
            (g.cast(g.node("Gather", lines.pixels, g.cast(index, "int64"), axis=2), "float32"), weight)
            for index, weight in columns
        ]
        if not joins:
            weighted = [(sample, g.node("Unsqueeze", weight, g.constant([1], "int64"))) for sample, weight in samples]
            samples = [(_sum(g, weighted), None)]
        lines = lines._replace(height=width)
        backs = [_turned(g, formulas, lines._replace(pixels=sample)).pixels for sample, _ in samples]
    with g.scope("sum"):
        parts = [
            (_rows(g, back, i * height, height), down, across)
            for i, down in enumerate(downs)
            for back, (_, across) in zip(backs, samples, strict=True)
        ]
        if not joins:
            return _sum(g, [(part, down) for part, down, _ in parts])
        return _sum(g, [(part, g.cast(down * across, "float32")) for part, down, across in parts])


def _rows(g: Any, pixels: Any, first: int, count: int) -> Any:
    bounds = (g.constant([n], "int64") for n in (first, first + count, 2))
    return g.node("Slice", pixels, *bounds)


def _turned(g: Any, formulas: Formulas, image: Image) -> Image:
    """Rows as columns; what was a row may come out with more pixels behind it."""
    block = BLOCKS[image.pixels.dtype]
    width = formulas.geometry.ceil_to(image.width, block)
    padded = g.node("Pad", image.pixels, g.shape(0, 0, 0, 0, 0, 0, 0, width - image.width))
    blocks = g.node("Reshape", padded, g.shape(-1, image.height, width // block, block))
    blocks = g.node("Reshape", g.node("Transpose", blocks, perm=[0, 2, 1, 3]), g.shape(-1, image.height, block))
    turned = g.node("Transpose", blocks, perm=[0, 2, 1])
    pixels = g.node("Reshape", turned, g.shape(-1, image.channels, width, image.height))
    return image._replace(pixels=pixels, height=width, width=image.height)


def _sum(g: Any, samples: Sequence[tuple[Any, Any]]) -> Any:
    """Of products, in torch's order: the second one is rounded, and the others are added to it without."""
    first, second, *rest = samples
    total = second[0] * g.cast(second[1], "float32")
    for sample, weight in (first, *rest):
        total = _add_product(g, total, sample, weight)
    return total


def _add_product(g: Any, total: Any, sample: Any, weight: Any) -> Any:
    """An FMA: ``total`` and ``sample`` are float32, ``weight`` holds float32 numbers."""
    return g.cast(g.cast(sample, "float64") * g.cast(weight, "float64") + g.cast(total, "float64"), "float32")


def _antialiased(g: Any, formulas: Formulas, step: ResizeKeras, image: Image) -> Any:
    """With antialiasing: float32 ``[N, C, height, width]``."""
    height, width = step.fixed_size
    with g.scope("width"):
        columns = _turned(g, formulas, image)
        floats = g.cast(columns.pixels, "float32")
        floats = _pass(g, formulas, floats, image.width, width, step.filter)
        lines = _turned(g, formulas, columns._replace(pixels=floats, height=width)).pixels
    with g.scope("height"):
        return _pass(g, formulas, lines, image.height, height, step.filter)


def _pass(g: Any, formulas: Formulas, pixels: Any, n_in: Any, n_out: int, filter: str) -> Any:
    """float32 ``[N, C, n_in or more, columns]`` to ``[N, C, n_out, columns]``."""
    low, apart, behind, joined = formulas.taps.antialiased_taps(n_in, n_out, filter)
    flat, last = g.constant([-1], "int64"), g.value(n_in, "int64") - 1
    starts = [g.node("Reshape", g.cast(first, "int64"), flat) for first in (low, behind)]
    weights = g.cast(apart, "float32")

    def samples(first: Any, i: Any) -> Any:
        return g.node("Gather", pixels, g.node("Min", first + i, last), axis=2)

    def add(i: Any, total: Any) -> Any:
        index = g.node("Reshape", i, g.constant([1], "int64"))
        return total + samples(starts[0], i) * g.node("Gather", weights, index, axis=1)

    nothing = samples(starts[0], g.value(0, "int64")) * g.value(0, "float32")
    total = g.loop(g.size(weights, 1), nothing, add, "samples")
    for i in range(taps.GROUP - 1):
        weight = g.node("Gather", joined, g.constant([i], "int64"), axis=1)
        total = _add_product(g, total, samples(starts[1], g.value(i, "int64")), weight)
    return total
