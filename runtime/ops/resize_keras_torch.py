"""Keras' resize in torch, by the same kernels: eager, scripted, and as one custom op under ``torch.compile``."""

# mypy: disable-error-code="attr-defined"
# torch.jit.is_scripting, as in resize_torch.
from typing import Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .interpolate_torch import host_op
from .resize_keras import ResizeKeras


def resize_keras(image: Tensor, height: int, width: int, filter: str, antialias: bool) -> Tensor:
    """uint8 ``[N, C, H, W]`` to uint8 ``[N, C, height, width]``, contiguous.

    It runs on the CPU: the kernels of other devices differ in the last bits, and then by 1 level.
    """
    batch, channels = image.shape[0], image.shape[1]
    floats = image.cpu().to(torch.float32)
    size = [height, width]
    if filter == "nearest":
        result = F.interpolate(floats, size=size, mode="nearest-exact")
    elif channels > 3 and not antialias:  # torch has a kernel for those
        result = F.interpolate(
            floats.contiguous(memory_format=torch.channels_last), size=size, mode=filter, align_corners=False
        )
    elif antialias and width == 1:
        # Of a single plane, torch 2.15 gives every row of such a result the first one's weights.
        planes = torch.cat([floats, floats], 1).contiguous(memory_format=torch.channels_last)
        result = F.interpolate(planes, size=size, mode=filter, align_corners=False, antialias=True)[:, :channels]
    else:
        # One channel an image: of three, torch takes positions otherwise where it has one thread.
        planes = floats.reshape(batch * channels, 1, image.shape[2], image.shape[3]).contiguous()
        result = F.interpolate(planes, size=size, mode=filter, align_corners=False, antialias=antialias)
    pixels = result.reshape(batch, channels, height, width).clamp(0, 255).round()
    return pixels.to(torch.uint8).to(image.device).contiguous()


# As in resize_torch: no recompilation for another size; and torch's own kernels, which torch.compile would replace.
resize_keras_op = host_op("resize_keras", resize_keras)


@resize_keras_op.register_fake
def _(image: Tensor, height: int, width: int, *settings: object) -> Tensor:
    return image.new_empty([image.shape[0], image.shape[1], height, width])


class ResizeKerasModule(nn.Module):
    """uint8 ``[N, C, H, W]`` to uint8 ``[N, C, height, width]``."""

    def __init__(self, step: ResizeKeras) -> None:
        super().__init__()
        height, width = step.fixed_size
        self.settings: Tuple[int, int, str, bool] = (height, width, step.filter, step.antialias)

    def forward(self, image: Tensor) -> Tensor:
        if not torch.jit.is_scripting():  # noqa: SIM102  as in resize_torch
            if torch.compiler.is_compiling():
                compiled: Tensor = resize_keras_op(image, *self.settings)
                return compiled
        return resize_keras(image, *self.settings)
