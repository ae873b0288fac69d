"""The formulas as ONNX nodes. ``g`` is the exporter's graph builder; onnx itself is not imported here."""

from __future__ import annotations

from typing import Any, NamedTuple

from .. import colours, geometry, interpolation, resample, taps
from . import bind


class Image(NamedTuple):
    """An image on its way through the graph: ``pixels`` in ``layout``; sizes are integers or scalars.

    ``shape`` is that of the pixels behind the batch's, where it is not channels, height and width any more.
    ``outputs`` are the graph's outputs besides: name, value, and the sizes behind the batch's.
    """

    pixels: Any
    height: Any
    width: Any
    layout: str = "NCHW"
    channels: int = 3
    shape: tuple[Any, ...] = ()
    outputs: tuple[tuple[str, Any, tuple[Any, ...]], ...] = ()


def in_layout(g: Any, image: Image, layout: str) -> Image:
    """``image`` with its channels first or last."""
    if image.layout == layout:
        return image
    order = [0, 3, 1, 2] if layout == "NCHW" else [0, 2, 3, 1]
    return image._replace(pixels=g.node("Transpose", image.pixels, perm=order, name=layout), layout=layout)


def zero_unless(g: Any, condition: Any, name: str) -> Any:
    """The integer 0, to be added to a size; where ``condition`` holds, the graph fails at a node called ``name``."""
    return g.node("Gather", g.constant([0], "int64"), g.cast(condition, "int64"), name=name)


def bounded(g: Any, height: Any, width: Any, most: int, name: str) -> tuple[Any, Any]:
    """The sizes; the graph fails at a node called ``name`` where they leave no pixel, or more than ``most``."""
    if isinstance(height, int) and isinstance(width, int):
        return height, width
    pixels = height * width
    zero = zero_unless(g, g.node("Or", pixels < 1, pixels > most), name)
    return (height, width + zero) if isinstance(height, int) else (height + zero, width)  # a known side stays known


class Formulas:
    """The formulas of :mod:`runtime.geometry` and of the modules of weights, over the values of one graph.

    Sizes are Python integers or int64 scalars of the graph; arithmetic on integers alone happens now, not in the file.
    """

    def __init__(self, g: Any) -> None:
        numbers = {
            "xp": Arrays(g),
            "min": lambda a, b: _scalar(g, "Min", min, a, b),
            "max": lambda a, b: _scalar(g, "Max", max, a, b),
            "int": lambda a: int(a) if isinstance(a, (int, float)) else g.cast(a, "int64"),
            "round": lambda a: round(a) if isinstance(a, (int, float)) else g.node("Round", a),
            "pick": lambda c, a, b: _pick(g, c, a, b, "int64"),
            "pick_float": lambda c, a, b: _pick(g, c, a, b, "float64"),
        }
        self.geometry = bind(geometry, **numbers)
        self.resample = bind(resample, geometry=self.geometry, **numbers)
        self.interpolation = bind(interpolation, **numbers)
        self.colours = bind(colours, **numbers)
        self.taps = bind(
            taps,
            point_position=self.interpolation.point_position,
            is_small=self.interpolation.is_small,
            **numbers,
        )


def _pick(g: Any, condition: Any, yes: Any, no: Any, dtype: str) -> Any:
    if isinstance(condition, bool):
        return yes if condition else no
    return g.node("Where", condition, *g.common(yes, no), dtype=dtype)


def _scalar(g: Any, op: str, static: Any, a: Any, b: Any) -> Any:
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return static(a, b)
    return g.node(op, *g.common(a, b))


class Arrays:
    """The array namespace: float64 tensors of the graph."""

    def __init__(self, g: Any) -> None:
        self.g = g

    def scalar(self, n: Any) -> Any:
        return self.g.value(n, "float64")

    def float32(self, x: Any) -> Any:
        return self.g.cast(self.g.cast(x, "float32"), "float64")

    def quotient32(self, n: Any, divisor: Any) -> Any:
        if isinstance(divisor, int) and divisor == 1:  # any size is exact
            return self.scalar(n)
        return self.float32(self.scalar(n) / self.scalar(divisor))

    def reciprocal(self, x: Any) -> Any:
        # As -(-1 / x): onnxruntime makes a division of 1 / x * y, which rounds once instead of twice.
        return self.g.node("Neg", self.scalar(-1) / x)

    def arange(self, n: Any) -> Any:
        return self.g.node("Range", self.scalar(0), self.scalar(n), self.scalar(1))

    def reshape(self, x: Any, shape: list[Any]) -> Any:
        return self.g.node("Reshape", x, self.g.shape(*shape))

    def clip(self, x: Any, low: Any, high: Any) -> Any:
        return self.g.node("Clip", x, low, high)

    def maximum(self, x: Any, y: Any) -> Any:
        return self.g.node("Max", x, y)

    def where(self, condition: Any, x: Any, y: Any) -> Any:
        return self.g.node("Where", condition, self.scalar(x), self.scalar(y), dtype="float64")

    def floor(self, x: Any) -> Any:
        return self.g.node("Floor", x)

    def trunc(self, x: Any) -> Any:
        return self.g.cast(self.g.cast(x, "int64"), "float64")

    def abs(self, x: Any) -> Any:
        return self.g.node("Abs", x)

    def sin(self, x: Any) -> Any:
        return self.g.node("Sin", x)

    def cos(self, x: Any) -> Any:
        return self.g.node("Cos", x)

    def exp2(self, x: Any) -> Any:
        return self.g.node("Pow", self.scalar(2), x)

    def largest(self, x: Any) -> Any:
        return self.g.node("ReduceMax", x, keepdims=0)

    def cumsum(self, x: Any) -> Any:
        return self.g.node("CumSum", x, self.g.constant(-1, "int64"))

    def running_total(self, x: Any) -> Any:
        return self.g.node("Gather", self.cumsum(x), self.g.constant([-1], "int64"), axis=2)

    def running_total32(self, x: Any) -> Any:
        sums = self.cumsum(self.g.cast(x, "float32"))
        return self.g.cast(self.g.node("Gather", sums, self.g.constant([-1], "int64"), axis=-1), "float64")

    def first(self, x: Any) -> Any:
        return self.g.node("Gather", x, self.g.constant([0], "int64"), axis=1)

    def take(self, x: Any, index: Any) -> Any:
        return self.g.node("Gather", x, self.g.cast(index, "int64"))
