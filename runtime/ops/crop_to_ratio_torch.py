"""Crop to an aspect ratio in torch."""

from torch import Tensor, nn

from .. import arrays
from .. import geometry as _geometry
from .crop_to_ratio import CropToRatio

geometry = arrays.reload(_geometry, "torch")


class CropToRatioModule(nn.Module):
    """``[N, C, H, W]`` to ``[N, C, h, w]``."""

    def __init__(self, step: CropToRatio) -> None:
        super().__init__()
        self.height, self.width = step.height, step.width

    def forward(self, image: Tensor) -> Tensor:
        height, width = geometry.cropped_to_ratio(image.shape[2], image.shape[3], self.height, self.width)
        top = geometry.crop_offset(image.shape[2], height)
        left = geometry.crop_offset(image.shape[3], width)
        return image.narrow(2, top, height).narrow(3, left, width)
