"""The size of the image so far in torch."""

from typing import Dict

import torch
from torch import Tensor, nn

from .image_size import ImageSize


class ImageSizeModule(nn.Module):
    """``[N, C, H, W]`` stays as it is; the outputs get ``[N, 2]``."""

    def __init__(self, step: ImageSize) -> None:
        super().__init__()
        self.name, self.dtype = step.name, getattr(torch, step.dtype)

    def forward(self, image: Tensor, outputs: Dict[str, Tensor]) -> Tensor:
        sizes = [
            torch.full([image.shape[0]], size, dtype=self.dtype, device=image.device)
            for size in (image.shape[2], image.shape[3])
        ]
        outputs[self.name] = torch.stack(sizes, 1)
        return image
