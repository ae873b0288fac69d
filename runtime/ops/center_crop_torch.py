"""Center crop in torch, where no resize comes before it."""

import torch.nn.functional as F
from torch import Tensor, nn

from .. import arrays
from .. import geometry as _geometry
from .center_crop import CenterCrop

geometry = arrays.reload(_geometry, "torch")


def crop(image: Tensor, top: int, left: int, height: int, width: int) -> Tensor:
    """``[N, C, H, W]`` to ``[N, C, height, width]``, with zeros for what lies outside."""
    bottom, right = height - image.shape[2] + top, width - image.shape[3] + left
    # A negative amount of padding crops.
    return F.pad(image, [-left, right, -top, bottom])


class CenterCropModule(nn.Module):
    """``[N, C, H, W]`` to ``[N, C, height, width]``."""

    def __init__(self, step: CenterCrop) -> None:
        super().__init__()
        self.height, self.width, self.rule = step.height, step.width, step.rule

    def forward(self, image: Tensor) -> Tensor:
        top = geometry.crop_offset(image.shape[2], self.height, self.rule)
        left = geometry.crop_offset(image.shape[3], self.width, self.rule)
        return crop(image, top, left, self.height, self.width)
