"""Center crop in torch, where no resize comes before it."""

import torch.nn.functional as F
from torch import Tensor, nn

from .. import arrays
from .. import geometry as _geometry
from .center_crop import CenterCrop

geometry = arrays.reload(_geometry, "torch")


class CenterCropModule(nn.Module):
    """``[N, C, H, W]`` to ``[N, C, height, width]``."""

    def __init__(self, step: CenterCrop) -> None:
        super().__init__()
        self.height, self.width, self.rule = step.height, step.width, step.rule

    def forward(self, image: Tensor) -> Tensor:
        top = geometry.crop_offset(image.shape[2], self.height, self.rule)
        left = geometry.crop_offset(image.shape[3], self.width, self.rule)
        bottom, right = self.height - image.shape[2] + top, self.width - image.shape[3] + left
        # A negative amount of padding crops.
        return F.pad(image, [-left, right, -top, bottom])
