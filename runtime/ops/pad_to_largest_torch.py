"""Pad to the largest image of a batch in torch: the mask."""

from typing import Dict

import torch
from torch import Tensor, nn

from .pad_to_largest import PadToLargest


class PadToLargestModule(nn.Module):
    """``[N, C, H, W]`` stays as it is; the outputs get the mask, ``[N, H, W]``."""

    def __init__(self, step: PadToLargest) -> None:
        super().__init__()
        self.mask = step.mask

    def forward(self, image: Tensor, outputs: Dict[str, Tensor]) -> Tensor:
        if self.mask:
            shape = [image.shape[0], image.shape[2], image.shape[3]]
            outputs[self.mask] = torch.ones(shape, dtype=torch.int64, device=image.device)
        return image
