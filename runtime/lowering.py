"""A Plan's steps as kernels: what the torch and ONNX backends run.

Two rewrites, both exact: a crop after a resize only computes the kept rows and columns, and a run of element-wise
steps on pixels becomes one table.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import ModuleType

from .ops import Branch, Cast, CenterCrop, ChannelsLast, ImageSize, Resize, Step
from .ops.arithmetic import Arithmetic
from .ops.table import Table
from .registry import name_of


@dataclass(frozen=True)
class Resample(Step):
    """A resize of which ``crop`` keeps the middle.

    Attributes:
        alpha: whether the last of four channels is transparency, with which Pillow multiplies the others meanwhile.
    """

    resize: Resize
    crop: CenterCrop | None
    alpha: bool = False

    @property
    def fixed_size(self) -> tuple[int, int] | None:
        """(height, width) of the result where that is the same for all images."""
        return self.crop.fixed_size if self.crop else self.resize.size.fixed

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of the result; ``InputError`` for an image that it cannot take."""
        size = self.resize.output_size(height, width)
        return self.crop.output_size(*size) if self.crop else size


@dataclass(frozen=True)
class Branched(Step):
    """A second result, called ``name``, from the image so far."""

    name: str
    kernels: tuple[Kernel, ...]


Kernel = Step
"""A step of a Plan, or what stands for several: :class:`Resample`, a table, arithmetic, :class:`Branched`."""


def implementation(kernel: Kernel, kind: str) -> ModuleType:
    """The file that runs ``kernel`` in ``torch`` or ``onnx``, beside the kernel's own and named after it."""
    return importlib.import_module(f".ops.{file_of(kernel)}_{kind}", __package__)


def file_of(kernel: Kernel) -> str:
    """The name of its file."""
    return "resize" if isinstance(kernel, Resample) else name_of(type(kernel))


def lower(steps: Sequence[Step], channels: int = 3, dtype: str = "uint8") -> tuple[Kernel, ...]:
    """The kernels that run ``steps`` on images of ``channels`` and ``dtype``.

    Raises:
        ValueError: for an order of steps that no kernel runs, such as a resize of floats.
    """
    start = dtype
    kernels: list[Kernel] = []
    for step in steps:
        behind = [kernels.pop()] if kernels and isinstance(kernels[-1], ChannelsLast) else []
        if behind and not isinstance(step, Cast):
            raise ValueError("channels_last must be the last step, but for a cast")
        last = kernels[-1] if kernels else None
        dtype = output_dtype(kernels, start)
        if last is not None and last.final:
            raise ValueError(f"{name_of(type(last))} must be the last step")
        step.check(channels, dtype)
        if step.reading:
            if kernels:
                raise ValueError(f"{name_of(type(step))} must come before what works on pixels")
        elif step.pointwise:
            if isinstance(last, Table):
                kernels[-1] = Table((*last.steps, step), channels)
            elif isinstance(last, Arithmetic):
                kernels[-1] = Arithmetic((*last.steps, step))
            else:
                kernels.append(Table((step,), channels) if dtype == "uint8" else Arithmetic((step,)))
        elif isinstance(step, Resize):
            kernels.append(Resample(step, None, channels == 4 and step.premultiplies))
        elif isinstance(step, CenterCrop) and isinstance(last, Resample) and last.crop is None:
            kernels[-1] = replace(last, crop=step)
        elif isinstance(step, Branch):
            kernels.append(Branched(step.name, lower(step.steps, channels, dtype)))
        else:
            kernels.append(step)
        kernels += behind
    return tuple(kernels)


def output_dtype(kernels: Sequence[Kernel], start: str = "uint8") -> str:
    """The dtype of the output's values: ``uint8``, ``float32``, ``float16`` or ``int64``; ``start`` is the image's."""
    return next((kernel.gives for kernel in reversed(kernels) if kernel.gives), start)


def compiled_part(kernels: Sequence[Kernel], channels: int) -> tuple[int, Resample] | None:
    """The resize that backend ``numba`` compiles, and how many kernels come before it, which only look at the size.

    Its code is for RGB, and averages no blocks before.
    """
    for i, kernel in enumerate(kernels):
        if isinstance(kernel, Resample) and channels == 3 and not kernel.resize.reducing_gap:
            return i, kernel
        if not isinstance(kernel, ImageSize):
            break
    return None


def one_by_one(kernels: Sequence[Kernel]) -> bool:
    """Whether the size of the result follows from the pixels, so that images of one size are no batch."""
    return any(kernel.by_pixels or (isinstance(kernel, Branched) and one_by_one(kernel.kernels)) for kernel in kernels)


def output_names(steps: Sequence[Step]) -> tuple[str, ...]:
    """Names of the outputs besides the image itself."""
    return tuple(name for step in steps for name in step.beside)


def check_size(kernels: Sequence[Kernel], height: int, width: int) -> tuple[int, int]:
    """The output's (height, width); ``InputError`` where a kernel cannot take the image's size."""
    for kernel in kernels:
        if kernel.by_pixels:
            break  # what follows is known when the pixels are
        if isinstance(kernel, Branched):
            check_size(kernel.kernels, height, width)
        elif (output_size := getattr(kernel, "output_size", None)) is not None:
            height, width = output_size(height, width)
    return height, width


def static_size(
    kernels: Sequence[Kernel], height: int | None = None, width: int | None = None
) -> tuple[int | None, int | None]:
    """The output's (height, width) where all images get the same, for images of a known size or of any."""
    for kernel in kernels:
        if kernel.by_pixels:
            height, width = None, None
        if (output_size := getattr(kernel, "output_size", None)) is not None:
            if height is not None and width is not None:
                height, width = output_size(height, width)
            else:
                height, width = getattr(kernel, "fixed_size", None) or (None, None)
    return height, width
