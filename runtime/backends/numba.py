"""A Plan in integers compiled by numba: no other package at run time, and no work but the pixels that are kept."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np

from .. import geometry
from ..errors import BackendUnavailable
from ..lowering import Resample, compiled_part, lower
from ..ops import ConvertRGB, ImageSize, InferLayout, resize_numba
from ..ops.table import Table
from ..plan import Plan
from ..reference import run_batch

Array = np.ndarray[Any, Any]


class NumbaBackend:
    """Runs a leading resize, its crop and the table behind them compiled, and every other step as its reference."""

    def __init__(self, plan: Plan) -> None:
        if importlib.util.find_spec("numba") is None:
            raise _unavailable("it is not installed")
        self.output_names = plan.outputs
        self._output, self._resize = plan.output, resize_numba.resize
        self._steps = [step for step in plan.steps if not isinstance(step, (ConvertRGB, InferLayout))]
        self._first: Resample | None = None
        self._sizes: list[ImageSize] = []
        kernels = lower(plan.steps, plan.channels)
        part = compiled_part(kernels, plan.channels)
        if part is not None:
            before, self._first = part
            behind = kernels[before + 1 :]
            table = behind[0] if behind and isinstance(behind[0], Table) else Table(())
            try:
                resize_numba.kernel()
            except ImportError as error:  # a numba that refuses the installed NumPy says so in its error
                raise _unavailable(error) from error
            self._table = table.values()
            self._sizes = [step for step in self._steps[:before] if isinstance(step, ImageSize)]
            self._steps = self._steps[before + 1 + (self._first.crop is not None) + len(table.steps) :]

    def run(self, images: Array) -> dict[str, Array]:
        """uint8 ``[N, H, W, 3]``, in any layout, to a batch of each output. Safe in many threads."""
        return self.run_each(list(images))

    def run_each(self, images: list[Array]) -> dict[str, Array]:
        """As :class:`.Backend` says: the results are written into one batch, and images of one size run as one."""
        return self.run_into(images, None)

    def run_into(self, images: list[Array], out: Array | None) -> dict[str, Array]:
        """As :class:`.Backend` says."""
        if self._first is not None:
            step = self._first.resize
            batch = self._resize(images, self._axes, step.kernel, step.support, step.weights, self._table, out=out)
            sizes = {size.name: np.stack([size.size_of(image) for image in images]) for size in self._sizes}
            if not self._steps:
                return {self._output: batch, **sizes}
            result = run_batch(self._steps, list(np.moveaxis(batch, 1, -1)), self._output)
            return {self._output: result.pop(self._output), **sizes, **result}
        return run_batch(self._steps, images, self._output)

    def _axes(self, height: int, width: int) -> tuple[list[int], list[int], bool]:
        """As :data:`runtime.ops.resize_numba.Axes`."""
        assert self._first is not None
        step, crop = self._first.resize, self._first.crop
        kept, rule = ([0, 0], "") if crop is None else ([crop.height, crop.width], crop.rule)
        return geometry.both_axes(height, width, *step.output_size(height, width), step.order, kept, rule, 0.0)


def _unavailable(why: object) -> BackendUnavailable:
    return BackendUnavailable(f"backend 'numba' needs numba: pip install 'export-preprocessor[fast]' ({why})")
