"""A Plan in floats, for gradients with respect to the image: near the exact module, and not equal to it."""

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import geometry, interpolation, resample
from ..errors import UnsupportedConfig
from ..lowering import Branched, Kernel, Resample, lower
from ..ops import (
    Cast,
    Clamp,
    CropMargin,
    Grayscale,
    Interpolate,
    Normalize,
    Quantize,
    Rescale,
    ResizeKeras,
    ResizeOpenCV,
    ResizeSmoothed,
    ScaleOffset,
)
from ..ops.arithmetic import Arithmetic
from ..ops.arithmetic_torch import ClampModule
from ..ops.grayscale import WEIGHTS
from ..ops.interpolate_torch import InterpolateModule
from ..ops.resize_torch import ResampleModule, axes
from ..ops.step import Step
from ..ops.table import Table
from ..plan import Plan
from .torch import Preprocess, channels_first, to_module

Array = np.ndarray[Any, Any]


class Differentiable(Preprocess):
    """Floats of 0 to 255, ``[N, H, W, C]`` or ``[N, C, H, W]``, to a dict of tensors that pass gradients back.

    It is **not exact**. Of uint8 pixels :class:`Preprocess` gives the reference's bits; this leaves out the rounding to
    whole levels, after each pass of a resize and of its weights, because rounding has no gradient. Before rescaling,
    a resize is off by at most half a level and half of the largest sum of an output's absolute weights: 1 level for
    bilinear, box and hamming, 1.2 for bicubic and 1.3 for lanczos, and 0 for nearest; one more resize, or Pillow's
    average of blocks before it, adds as much. What is clipped to 0 … 255, as in Pillow, has no gradient.

    Outputs have the input's dtype (float32, or float64), but for a Plan that casts to float16. It runs eagerly:
    ``torch.compile`` leaves it as it is.
    """

    def __init__(self, plan: Plan) -> None:
        problems = list(_without_gradient(lower(plan.steps, plan.channels)))
        if problems:
            raise UnsupportedConfig(problems)
        super().__init__(plan, to_modules)

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def forward(self, images: Tensor) -> dict[str, Tensor]:
        if images.dim() != 4 or images.dtype not in (torch.float32, torch.float64):
            raise ValueError("expected images of float32 or float64 [N, H, W, C] or [N, C, H, W], 0 to 255")
        return self.run(channels_first(images, self.channels))

    def extra_repr(self) -> str:
        return "not exact: without rounding, for gradients"


def _without_gradient(kernels: Sequence[Kernel]) -> Iterator[str]:
    """What is wrong with each kernel that passes no gradient on."""
    for kernel in kernels:
        if isinstance(kernel, Branched):
            yield from _without_gradient(kernel.kernels)
        elif isinstance(kernel, (CropMargin, Quantize)):
            yield f"differentiable: '{kernel}' has no gradient"
        elif isinstance(kernel, Resample) and kernel.alpha:
            yield f"differentiable: '{kernel.resize}' of transparent images is not written for gradients"


def to_modules(kernels: Sequence[Kernel]) -> Iterator[nn.Module]:
    """The modules that run ``kernels`` without outputs, ``[N, C, H, W]`` of floats to the same."""
    for kernel in kernels:
        match kernel:
            case Table() | Arithmetic():
                yield from map(_pointwise, kernel.steps)
            case Resample():
                yield Resized(kernel)
            case ResizeOpenCV():
                yield Blended(kernel)
            case ResizeSmoothed():
                yield Smoothed(kernel)
            case ResizeKeras():
                yield Interpolated(kernel)
            case Interpolate():
                yield InterpolateModule(kernel)
            case Grayscale():
                yield Gray()
            case _:  # these move pixels, and run on floats as they are
                yield to_module(kernel)


def _pointwise(step: Step) -> nn.Module:
    match step:
        case Rescale():
            return Affine([float(step.factor)], [-float(step.offset)])
        case ScaleOffset():
            return Affine(step.scale, step.offset)
        case Normalize():
            pairs = list(zip(step.mean, step.std, strict=True))
            return Affine([1.0 / std for _, std in pairs], [-mean / std for mean, std in pairs])
        case Clamp():
            return Clamped(step)
        case _:
            assert isinstance(step, Cast)
            return Rounded(step)


class Affine(nn.Module):
    """``[N, C, H, W]`` times ``scale`` plus ``offset``, one number or one for each channel."""

    scale: Tensor
    offset: Tensor

    def __init__(self, scale: Sequence[float], offset: Sequence[float]) -> None:
        super().__init__()
        for name, values in (("scale", scale), ("offset", offset)):
            tensor = torch.tensor(values, dtype=torch.float64, device="cpu").reshape(-1, 1, 1)
            self.register_buffer(name, tensor, persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        return (image * self.scale + self.offset).to(image.dtype)


class Clamped(ClampModule):
    """Any shape and dtype to the same."""

    def forward(self, image: Tensor) -> Tensor:
        return image.clamp(self.low, self.high)


class Rounded(nn.Module):
    """Any shape to float16; a cast to float32 leaves the dtype as it is."""

    def __init__(self, step: Cast) -> None:
        super().__init__()
        self.rounds = step.dtype == "float16"

    def forward(self, image: Tensor) -> Tensor:
        return image.to(torch.float16) if self.rounds else image


class Gray(nn.Module):
    """``[N, 3, H, W]`` to the same: the weighted sum in place of each channel."""

    def forward(self, image: Tensor) -> Tensor:
        total = sum(image[:, i : i + 1] * weight for i, weight in enumerate(WEIGHTS))
        return total.expand_as(image)  # type: ignore[union-attr]


# --- Resizes


class Resized(nn.Module):
    """Pillow's resize, and the crop behind it: ``[N, C, H, W]`` to ``[N, C, h, w]``."""

    def __init__(self, kernel: Resample) -> None:
        super().__init__()
        self.settings = ResampleModule(kernel).settings

    def forward(self, image: Tensor) -> Tensor:
        rule, numbers, filter, support, order, _, crop, crop_rule, gap, _ = self.settings
        size = image.shape[2], image.shape[3]
        rows, columns, vertical_first = axes(*size, rule, numbers, order, crop, crop_rule, gap)
        if rows[4] * columns[4] > 1:
            image = F.avg_pool2d(image, (rows[4], columns[4]), ceil_mode=True)
        for dim, axis in ((2, rows), (3, columns)) if vertical_first else ((3, columns), (2, rows)):
            if not (axis[0] == axis[1] == axis[3] and axis[4] == 1):
                image = multiply(image, dim, *_weights(tuple(axis), filter, support)).clamp(0, 255)
        return image


@functools.lru_cache(maxsize=16)  # an attack resizes one image many times
def _weights(axis: tuple[int, ...], filter: str, support: float) -> tuple[int, Array]:
    """The unrounded weights of an axis, as of :func:`.resize_weights_torch.axis_weights`, for :func:`multiply`."""
    n_in, n_out, offset, count, factor = axis
    start, values = resample.block_values(n_in, n_out, offset, count, filter, support, count, factor)
    return int(start[0]), values[0]


def multiply(image: Tensor, dim: int, start: int, weights: Array) -> Tensor:
    """``image`` with its axis ``dim`` from ``start`` on multiplied with ``weights`` ``[outputs, samples]``.

    In float64, which neither autocast nor a matmul precision flag rounds.
    """
    matrix = torch.from_numpy(weights).to(image.device, torch.float64, non_blocking=image.is_cuda)
    samples = image.narrow(dim, start, weights.shape[1]).to(torch.float64)
    result = matrix @ samples if dim == 2 else samples @ matrix.t()
    return result.to(image.dtype)


class Blended(nn.Module):
    """OpenCV's bilinear resize: ``[N, C, H, W]`` to ``[N, C, h, w]``."""

    def __init__(self, step: ResizeOpenCV) -> None:
        super().__init__()
        self.rule, self.numbers = step.size.rule

    def forward(self, image: Tensor) -> Tensor:
        size = geometry.output_size(image.shape[2], image.shape[3], self.rule, self.numbers)
        for dim, n_out in zip((2, 3), size, strict=True):
            left, right, weight = interpolation.fixed_point_weights(image.shape[dim], n_out)
            matrix = np.zeros((n_out, image.shape[dim]))
            outputs = np.arange(n_out)
            matrix[outputs, left.astype(int)] += 1 - weight / 2048
            matrix[outputs, right.astype(int)] += weight / 2048
            image = multiply(image, dim, 0, matrix)
        return image


class Smoothed(nn.Module):
    """A Gaussian blur and linear interpolation: ``[N, C, H, W]`` to ``[N, C, h, w]``."""

    def __init__(self, step: ResizeSmoothed) -> None:
        super().__init__()
        self.size, self.library, self.blur = step.fixed_size, step.library, step.blur

    def forward(self, image: Tensor) -> Tensor:
        block = max(self.size)
        both = interpolation.smoothed_axes(image.shape[2], image.shape[3], *self.size, self.library, self.blur, block)
        for dim, n_out, (start, weights) in zip((2, 3), self.size, both, strict=True):
            image = multiply(image, dim, int(start[0]), weights[0, :n_out])
        return image


class Interpolated(nn.Module):
    """Keras' resize: ``[N, C, H, W]`` to ``[N, C, h, w]``."""

    def __init__(self, step: ResizeKeras) -> None:
        super().__init__()
        self.size, self.filter, self.antialias = step.fixed_size, step.filter, step.antialias

    def forward(self, image: Tensor) -> Tensor:
        if self.filter == "nearest":
            return F.interpolate(image, size=self.size, mode="nearest-exact")
        result = F.interpolate(image, size=self.size, mode=self.filter, align_corners=False, antialias=self.antialias)
        return result.clamp(0, 255)
