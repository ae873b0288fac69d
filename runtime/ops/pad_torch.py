"""Pad in torch."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .pad import Pad


class PadModule(nn.Module):
    """``[N, C, H, W]`` to ``[N, C, height, width]``."""

    def __init__(self, step: Pad) -> None:
        super().__init__()
        self.height, self.width, self.value = step.height, step.width, float(step.value)

    def forward(self, image: Tensor) -> Tensor:
        bottom, right = self.height - image.shape[2], self.width - image.shape[3]
        if not torch.jit.is_scripting():  # noqa: SIM102  as in resize_torch
            if torch.compiler.is_compiling():
                # torch.compile may know the sizes only when it runs, and then raises RuntimeError.
                torch._check(bottom >= 0)
                torch._check(right >= 0)
                return F.pad(image, [0, right, 0, bottom], value=self.value)
        if bottom < 0 or right < 0:
            raise ValueError("pad_size is smaller than the image")
        return F.pad(image, [0, right, 0, bottom], value=self.value)
