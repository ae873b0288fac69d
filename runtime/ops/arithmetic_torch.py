"""Element-wise steps on floats in torch."""

# mypy: disable-error-code="attr-defined"
# torch.jit.is_scripting, as in resize_torch.
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .arithmetic import Arithmetic
from .cast import Cast
from .clamp import Clamp
from .normalize import Normalize
from .rescale import Rescale
from .scale_offset import ScaleOffset
from .step import Step


def normalize(image: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """``[N, C, H, W]`` to float32; ``mean`` and ``std`` are float32 ``[C, 1, 1]``."""
    return ((image.to(torch.float32) - mean) / std).contiguous()


def rescale(image: Tensor, factor: float, offset: float, wide: bool) -> Tensor:
    """Any shape to float32: the product in float64 where ``wide``."""
    result = (image.to(torch.float64 if wide else torch.float32) * factor).to(torch.float32)
    return (result - offset).contiguous()


def scale_offset(image: Tensor, scale: Tensor, offset: Tensor) -> Tensor:
    """``[N, C, H, W]`` to float32; ``scale`` and ``offset`` are float32 ``[C, 1, 1]``."""
    return (image.to(torch.float32) * scale + offset).contiguous()


def cast(image: Tensor, dtype: torch.dtype) -> Tensor:
    """Any shape to ``dtype``, as a tensor of its own."""
    return image.to(dtype, copy=True).contiguous()


# Custom ops, as torch.compile may fuse a product with a difference, takes quotients otherwise on a GPU, and leaves out
# a cast to float16 before a step in float32.
normalize_op = torch.library.custom_op("export_preprocessor::normalize", normalize, mutates_args=())
rescale_op = torch.library.custom_op("export_preprocessor::rescale", rescale, mutates_args=())
scale_offset_op = torch.library.custom_op("export_preprocessor::scale_offset", scale_offset, mutates_args=())
cast_op = torch.library.custom_op("export_preprocessor::cast", cast, mutates_args=())


@normalize_op.register_fake
@rescale_op.register_fake
@scale_offset_op.register_fake
def _(image: Tensor, *settings: object) -> Tensor:
    return image.new_empty(image.shape, dtype=torch.float32)


@cast_op.register_fake
def _(image: Tensor, dtype: torch.dtype) -> Tensor:
    return image.new_empty(image.shape, dtype=dtype)


def per_channel(values: Sequence[float]) -> Tensor:
    """float32 ``[C, 1, 1]``, on the CPU under any default device: nothing fills it again as a checkpoint does."""
    return torch.tensor(values, dtype=torch.float32, device="cpu").reshape(-1, 1, 1)


class NormalizeModule(nn.Module):
    """``[N, C, H, W]`` to float32."""

    mean: Tensor
    std: Tensor

    def __init__(self, step: Normalize) -> None:
        super().__init__()
        for name, values in (("mean", step.mean), ("std", step.std)):
            self.register_buffer(name, per_channel(values), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        if not torch.jit.is_scripting():  # noqa: SIM102  as in resize_torch
            if torch.compiler.is_compiling():
                compiled: Tensor = normalize_op(image, self.mean, self.std)
                return compiled
        return normalize(image, self.mean, self.std)


class RescaleModule(nn.Module):
    """Any shape to float32."""

    def __init__(self, step: Rescale) -> None:
        super().__init__()
        self.factor, self.offset, self.wide = float(step.factor), float(step.offset), step.precision == "float64"

    def forward(self, image: Tensor) -> Tensor:
        if not torch.jit.is_scripting():  # noqa: SIM102  as in resize_torch
            if torch.compiler.is_compiling():
                compiled: Tensor = rescale_op(image, self.factor, self.offset, self.wide)
                return compiled
        return rescale(image, self.factor, self.offset, self.wide)


class ScaleOffsetModule(nn.Module):
    """``[N, C, H, W]`` to float32."""

    scale: Tensor
    offset: Tensor

    def __init__(self, step: ScaleOffset) -> None:
        super().__init__()
        for name, values in (("scale", step.scale), ("offset", step.offset)):
            self.register_buffer(name, per_channel(values), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        if not torch.jit.is_scripting():  # noqa: SIM102  as in resize_torch
            if torch.compiler.is_compiling():
                compiled: Tensor = scale_offset_op(image, self.scale, self.offset)
                return compiled
        return scale_offset(image, self.scale, self.offset)


class ClampModule(nn.Module):
    """Any shape to float32."""

    def __init__(self, step: Clamp) -> None:
        super().__init__()
        self.low, self.high = float(step.low), float(step.high)

    def forward(self, image: Tensor) -> Tensor:
        return image.to(torch.float32).clamp(self.low, self.high)


class CastModule(nn.Module):
    """Any shape to a dtype."""

    def __init__(self, step: Cast) -> None:
        super().__init__()
        self.dtype: torch.dtype = getattr(torch, step.dtype)

    def forward(self, image: Tensor) -> Tensor:
        if not torch.jit.is_scripting():  # noqa: SIM102  as in resize_torch
            if torch.compiler.is_compiling():
                compiled: Tensor = cast_op(image, self.dtype)
                return compiled
        return image.to(self.dtype)


class ArithmeticModule(nn.Sequential):
    """The modules of ``kernel``'s steps, one after the other."""

    def __init__(self, kernel: Arithmetic) -> None:
        super().__init__(*(_module(step) for step in kernel.steps))


def _module(step: Step) -> nn.Module:
    match step:
        case Normalize():
            return NormalizeModule(step)
        case Rescale():
            return RescaleModule(step)
        case ScaleOffset():
            return ScaleOffsetModule(step)
        case Clamp():
            return ClampModule(step)
        case _:
            assert isinstance(step, Cast)
            return CastModule(step)
