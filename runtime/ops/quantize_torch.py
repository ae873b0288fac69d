"""Quantize in torch."""

# mypy: disable-error-code="attr-defined"
# torch.jit.is_scripting, as in resize_torch.
from typing import List

import torch
from torch import Tensor, nn

from .. import arrays
from .. import colours as _colours
from ..arrays import torch as torch_arrays
from .quantize import CHUNK, Quantize

colours = arrays.reload(_colours, "torch", xp=torch_arrays)


def quantize(image: Tensor, palette: Tensor, single: bool, fused: bool, chunk: int) -> Tensor:
    """Float32 ``[N, 3, H, W]`` to int64 ``[N, H * W]``; ``palette`` is that of :meth:`.Quantize.arrays`."""
    pixels = image.to(torch.float64).permute(0, 2, 3, 1).reshape(-1, 3)
    nearest: List[Tensor] = []
    for part in torch.split(pixels, max(1, chunk // palette.shape[1])):
        red, green, blue = part.unsqueeze(2).unbind(1)
        far = colours.distances(red, green, blue, palette.unbind(0), single, fused)
        nearest.append(far.argmin(1))
    return torch.cat(nearest).reshape(image.shape[0], image.shape[2] * image.shape[3])


# A custom op, as torch.compile may fuse a product with a sum, and leaves out a cast to float32 and back.
quantize_op = torch.library.custom_op("export_preprocessor::quantize", quantize, mutates_args=())


@quantize_op.register_fake
def _(image: Tensor, *settings: object) -> Tensor:
    return image.new_empty([image.shape[0], image.shape[2] * image.shape[3]], dtype=torch.int64)


class QuantizeModule(nn.Module):
    """Float32 ``[N, 3, H, W]`` to int64 ``[N, H * W]``."""

    palette: Tensor

    def __init__(self, step: Quantize) -> None:
        super().__init__()
        self.register_buffer("palette", torch.from_numpy(step.arrays()), persistent=False)
        self.single, self.fused, self.chunk = step.single, step.fused, CHUNK

    def forward(self, image: Tensor) -> Tensor:
        if not torch.jit.is_scripting():  # noqa: SIM102  as in resize_torch
            if torch.compiler.is_compiling():
                compiled: Tensor = quantize_op(image, self.palette, self.single, self.fused, self.chunk)
                return compiled
        return quantize(image, self.palette, self.single, self.fused, self.chunk)
