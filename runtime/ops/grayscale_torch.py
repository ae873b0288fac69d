"""Grayscale in torch."""

# mypy: disable-error-code="attr-defined"
# torch.jit.is_scripting, as in resize_torch.
from typing import List

import numpy as np
import torch
from torch import Tensor, nn

from .grayscale import WEIGHTS, Grayscale

FLOAT32_WEIGHTS = [float(np.float32(weight)) for weight in WEIGHTS]


def weighted(image: Tensor, weights: List[float], fused: bool) -> Tensor:
    """The weighted sum, float32 ``[N, H, W]``, of ``[N, 3, H, W]``; ``weights`` are numbers that a float32 holds."""
    gray = (image[:, 0].to(torch.float64) * weights[0]).to(torch.float32)
    for i in range(1, 3):
        product = image[:, i].to(torch.float64) * weights[i]
        if not fused:
            product = product.to(torch.float32).to(torch.float64)
        gray = (product + gray.to(torch.float64)).to(torch.float32)
    return gray


def grayscale(image: Tensor, weights: List[float], fused: bool) -> Tensor:
    """``[N, 3, H, W]``, uint8 or float32, to the same."""
    gray = weighted(image, weights, fused)
    equal = (image[:, :1] == image).flatten(1).all(1).reshape(-1, 1, 1, 1)
    return torch.where(equal, image, gray.to(image.dtype).unsqueeze(1)).contiguous()


# A custom op, as torch.compile may leave out a cast to float32 and back.
grayscale_op = torch.library.custom_op("export_preprocessor::grayscale", grayscale, mutates_args=())


@grayscale_op.register_fake
def _(image: Tensor, *settings: object) -> Tensor:
    return image.new_empty(image.shape)


class GrayscaleModule(nn.Module):
    """``[N, 3, H, W]`` to the same."""

    def __init__(self, step: Grayscale) -> None:
        super().__init__()
        self.weights: List[float] = FLOAT32_WEIGHTS
        self.fused = step.fused

    def forward(self, image: Tensor) -> Tensor:
        if not torch.jit.is_scripting():  # noqa: SIM102  as in resize_torch
            if torch.compiler.is_compiling():
                compiled: Tensor = grayscale_op(image, self.weights, self.fused)
                return compiled
        return grayscale(image, self.weights, self.fused)
