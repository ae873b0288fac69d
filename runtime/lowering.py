"""A Plan's steps as kernels: what the torch and ONNX backends run.

Two rewrites, both exact: a crop after a resize only computes the kept rows and columns, and a run of element-wise
steps becomes one table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .ops import CenterCrop, ConvertRGB, FlipChannels, Pad, Resize, Step
from .ops.table import Pointwise, Table


@dataclass(frozen=True)
class Resample:
    """A resize of which ``crop`` keeps the middle."""

    resize: Resize
    crop: CenterCrop | None


Kernel = Resample | CenterCrop | Table | Pad | FlipChannels


def lower(steps: Sequence[Step]) -> tuple[Kernel, ...]:
    """The kernels that run ``steps`` on RGB images.

    Raises:
        ValueError: for an order of steps that no kernel runs, such as a resize of floats.
    """
    kernels: list[Kernel] = []
    for step in steps:
        last = kernels[-1] if kernels else None
        floats = any(isinstance(kernel, Table) for kernel in kernels)
        if isinstance(step, ConvertRGB):
            if kernels:
                raise ValueError("convert_rgb must be the first step")
        elif isinstance(step, Pointwise):
            if isinstance(last, Table):
                kernels[-1] = Table((*last.steps, step))
            elif floats:
                raise ValueError(f"'{step}' works on uint8, but follows other steps on floats")
            else:
                kernels.append(Table((step,)))
        elif isinstance(step, (Resize, CenterCrop)) and floats:
            raise ValueError(f"'{step}' works on uint8, but follows steps that give floats")
        elif isinstance(step, Pad) and not floats and not 0 <= step.value <= 255:
            raise ValueError(f"value: expected 0 to 255, for '{step}' works on uint8, got {step.value}")
        elif isinstance(step, Resize):
            kernels.append(Resample(step, None))
        elif isinstance(step, CenterCrop) and isinstance(last, Resample) and last.crop is None:
            kernels[-1] = Resample(last.resize, step)
        else:
            kernels.append(step)
    return tuple(kernels)


def check_size(kernels: Sequence[Kernel], height: int, width: int) -> tuple[int, int]:
    """The output's (height, width); ``InputError`` where a kernel cannot take the image's size."""
    for kernel in kernels:
        if isinstance(kernel, Resample):
            height, width = kernel.resize.output_size(height, width)
            if kernel.crop is not None:
                height, width = kernel.crop.height, kernel.crop.width
        elif isinstance(kernel, CenterCrop):
            height, width = kernel.height, kernel.width
        elif isinstance(kernel, Pad):
            kernel.check(height, width)
            height, width = kernel.height, kernel.width
    return height, width


def static_size(
    kernels: Sequence[Kernel], height: int | None = None, width: int | None = None
) -> tuple[int | None, int | None]:
    """The output's (height, width) where all images get the same, for images of a known size or of any."""
    for kernel in kernels:
        if isinstance(kernel, Resample):
            if kernel.crop is not None:
                height, width = kernel.crop.height, kernel.crop.width
            elif kernel.resize.size.is_static:
                height, width = kernel.resize.output_size(1, 1)
            elif height is not None and width is not None:
                height, width = kernel.resize.output_size(height, width)
            else:
                height, width = None, None
        elif isinstance(kernel, (CenterCrop, Pad)):
            height, width = kernel.height, kernel.width
    return height, width
