"""Center crop to a share of the short side in torch."""

# mypy: disable-error-code="attr-defined"
# torch.jit.is_scripting, as in resize_torch.
from typing import List

import torch
from torch import Tensor, nn

from .. import arrays
from .. import geometry as _geometry
from .center_crop_torch import crop
from .crop_share import CropShare
from .interpolate_torch import check_result

geometry = arrays.reload(_geometry, "torch")


class CropShareModule(nn.Module):
    """``[N, C, H, W]`` to ``[N, C, h, w]``."""

    def __init__(self, step: CropShare) -> None:
        super().__init__()
        self.parts: List[int]
        self.wholes: List[int]
        self.parts, self.wholes, self.rule, self.black = step.settings

    def forward(self, image: Tensor) -> Tensor:
        top, left, height, width = geometry.share_box(
            image.shape[2], image.shape[3], self.parts, self.wholes, self.rule, self.black
        )
        checked = False
        if not torch.jit.is_scripting():  # noqa: SIM102  as in resize_torch
            if torch.compiler.is_compiling():
                torch._check(height >= 1)
                torch._check(width >= 1)
                checked = True
        if not checked:
            check_result(height, width)
        return crop(image, top, left, height, width)
