"""A Plan's steps as kernels: what the torch and ONNX backends run.

Two rewrites, both exact: a crop after a resize only computes the kept rows and columns, and a run of element-wise
steps on pixels becomes one table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from .ops import (
    Cast,
    CenterCrop,
    ConvertRGB,
    FlipChannels,
    Interpolate,
    Normalize,
    Pad,
    Resize,
    ResizeOpenCV,
    Step,
)
from .ops.arithmetic import Arithmetic
from .ops.table import Pointwise, Table


@dataclass(frozen=True)
class Resample:
    """A resize of which ``crop`` keeps the middle.

    Attributes:
        alpha: whether the last of four channels is transparency, with which Pillow multiplies the others meanwhile.
    """

    resize: Resize
    crop: CenterCrop | None
    alpha: bool = False


Kernel = Resample | ResizeOpenCV | Interpolate | CenterCrop | Table | Arithmetic | Pad | FlipChannels


def lower(steps: Sequence[Step], channels: int = 3) -> tuple[Kernel, ...]:
    """The kernels that run ``steps`` on images of ``channels``.

    Raises:
        ValueError: for an order of steps that no kernel runs, such as a resize of floats.
    """
    kernels: list[Kernel] = []
    for step in steps:
        if isinstance(step, Normalize) and len(step.mean) != channels:
            raise ValueError(f"'{step}' is for {len(step.mean)} channels, and the Plan is for {channels}")
        last = kernels[-1] if kernels else None
        dtype = output_dtype(kernels)
        if isinstance(step, ConvertRGB):
            if kernels:
                raise ValueError("convert_rgb must be the first step")
            if channels != 3:
                raise ValueError(f"convert_rgb gives 3 channels, and the Plan is for {channels}")
        elif isinstance(step, Pointwise):
            if isinstance(last, Table):
                kernels[-1] = Table((*last.steps, step), channels)
            elif isinstance(last, Arithmetic):
                kernels[-1] = Arithmetic((*last.steps, step))
            else:
                kernels.append(Table((step,), channels) if dtype == "uint8" else Arithmetic((step,)))
        elif isinstance(step, FlipChannels) and channels != 3:
            raise ValueError(f"'{step}' needs 3 channels, and the Plan is for {channels}")
        elif isinstance(step, (Resize, ResizeOpenCV)) and dtype != "uint8":
            raise ValueError(f"'{step}' works on uint8, but follows steps that give floats")
        elif isinstance(step, Interpolate) and dtype != "float32":
            raise ValueError(f"'{step}' works on float32, as a rescale gives, but comes on {dtype}")
        elif isinstance(step, Pad) and dtype == "uint8" and not 0 <= step.value <= 255:
            raise ValueError(f"value: expected 0 to 255, for '{step}' works on uint8, got {step.value}")
        elif isinstance(step, Resize):
            kernels.append(Resample(step, None, channels == 4 and step.premultiplies))
        elif isinstance(step, CenterCrop) and isinstance(last, Resample) and last.crop is None:
            kernels[-1] = replace(last, crop=step)
        else:
            kernels.append(step)
    return tuple(kernels)


def output_dtype(kernels: Sequence[Kernel]) -> str:
    """The dtype of the output's values: ``uint8``, ``float32`` or ``float16``."""
    steps = [step for kernel in kernels if isinstance(kernel, (Table, Arithmetic)) for step in kernel.steps]
    if not steps:
        return "uint8"
    return steps[-1].dtype if isinstance(steps[-1], Cast) else "float32"


def check_size(kernels: Sequence[Kernel], height: int, width: int) -> tuple[int, int]:
    """The output's (height, width); ``InputError`` where a kernel cannot take the image's size."""
    for kernel in kernels:
        if isinstance(kernel, Resample):
            height, width = kernel.resize.output_size(height, width)
            if kernel.crop is not None:
                height, width = kernel.crop.height, kernel.crop.width
        elif isinstance(kernel, (ResizeOpenCV, Interpolate)):
            height, width = kernel.size.output_size(height, width)
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
        if isinstance(kernel, Resample) and kernel.crop is not None:
            height, width = kernel.crop.height, kernel.crop.width
        elif isinstance(kernel, (Resample, ResizeOpenCV, Interpolate)):
            size = kernel.resize.size if isinstance(kernel, Resample) else kernel.size
            if size.is_static:
                height, width = size.height, size.width
            elif height is not None and width is not None:
                height, width = size.output_size(height, width)
            else:
                height, width = None, None
        elif isinstance(kernel, (CenterCrop, Pad)):
            height, width = kernel.height, kernel.width
    return height, width
