"""Crop the margin in torch: eager, scripted, and as one custom op under ``torch.compile``."""

# mypy: disable-error-code="attr-defined"
# torch.jit.is_scripting, as in resize_torch.
from typing import List

import torch
from torch import Tensor, nn

from .. import arrays
from .. import resample as _resample
from ..arrays import torch as torch_arrays
from .crop_margin import CropMargin
from .grayscale_torch import FLOAT32_WEIGHTS, weighted
from .interpolate_torch import host_op

resample = arrays.reload(_resample, "torch", xp=torch_arrays)


def crop_margin(image: Tensor, pillow: bool, weights: List[float]) -> Tensor:
    """uint8 ``[1, 3, H, W]`` to uint8 ``[1, 3, h, w]``; ``weights`` are torchvision's of each channel."""
    if image.shape[0] != 1:
        raise ValueError("crop_margin gives each image a size of its own: pass one image at a time")
    if pillow:
        pixels = image[0].to(torch.float64)
        levels = resample.luma(pixels[0], pixels[1], pixels[2])
    else:
        levels = weighted(image, weights, True)[0].floor()
    low, high = levels.min(), levels.max()
    dark = (levels - low) / (high - low) * 255.0 < 200.0  # NaN, so none, where all are equal
    if not bool(dark.any()):
        return image
    rows, columns = dark.any(1).nonzero(), dark.any(0).nonzero()
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    left, right = int(columns[0]), int(columns[-1]) + 1
    return image[:, :, top:bottom, left:right]


def own_crop_margin(image: Tensor, pillow: bool, weights: List[float]) -> Tensor:
    """:func:`crop_margin`, contiguous and a tensor of its own."""
    return crop_margin(image, pillow, weights).clone(memory_format=torch.contiguous_format)


crop_margin_op = host_op("crop_margin", own_crop_margin)


@crop_margin_op.register_fake
def _(image: Tensor, *settings: object) -> Tensor:
    context = torch.library.get_ctx()
    return image.new_empty([*image.shape[:2], context.new_dynamic_size(), context.new_dynamic_size()])


class CropMarginModule(nn.Module):
    """uint8 ``[1, 3, H, W]`` to uint8 ``[1, 3, h, w]``."""

    def __init__(self, step: CropMargin) -> None:
        super().__init__()
        self.pillow = step.pillow
        self.weights: List[float] = FLOAT32_WEIGHTS

    def forward(self, image: Tensor) -> Tensor:
        if not torch.jit.is_scripting():  # noqa: SIM102  as in resize_torch
            if torch.compiler.is_compiling():
                compiled: Tensor = crop_margin_op(image, self.pillow, self.weights)
                return compiled
        return crop_margin(image, self.pillow, self.weights)
