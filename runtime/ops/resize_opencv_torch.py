"""OpenCV's bilinear resize in torch: eager, scripted, and as one custom op under ``torch.compile``."""

# mypy: disable-error-code="attr-defined"
# torch.jit.is_scripting, as in resize_torch.
from typing import List

import torch
from torch import Tensor, nn

from .. import arrays
from .. import geometry as _geometry
from .. import interpolation as _interpolation
from ..arrays import torch as torch_arrays
from .interpolate_torch import check_result, compiled_size, host_op
from .resize_opencv import ResizeOpenCV

geometry = arrays.reload(_geometry, "torch")
interpolation = arrays.reload(_interpolation, "torch", xp=torch_arrays)


def blend_rows(image: Tensor, n_out: int) -> Tensor:
    """int32 ``[N, C, H, W]`` to ``[N, C, n_out, W]``, times 2048."""
    left, right, weight = interpolation.fixed_point_weights(image.shape[2], n_out)
    top = image.index_select(2, left.to(image.device, torch.int64, non_blocking=image.is_cuda))
    bottom = image.index_select(2, right.to(image.device, torch.int64, non_blocking=image.is_cuda))
    weight = weight.to(image.device, torch.int32, non_blocking=image.is_cuda).reshape(1, 1, -1, 1)
    blended: Tensor = top * (2048 - weight) + bottom * weight
    return blended


def resize_opencv(image: Tensor, rule: str, numbers: List[int]) -> Tensor:
    """uint8 ``[N, C, H, W]`` to uint8 ``[N, C, h, w]``, contiguous."""
    height, width = geometry.output_size(image.shape[2], image.shape[3], rule, numbers)
    check_result(height, width)
    rows = blend_rows(image.to(torch.int32), height)
    sums = blend_rows(rows.transpose(2, 3), width).transpose(2, 3)
    return ((sums + (1 << 21)) >> 22).to(torch.uint8).contiguous()


# As in resize_torch: no recompilation for another size.
resize_opencv_op = host_op("resize_opencv", resize_opencv)


@resize_opencv_op.register_fake
def _(image: Tensor, rule: str, numbers: List[int]) -> Tensor:
    return image.new_empty([*image.shape[:2], *compiled_size(rule, numbers)])


class ResizeOpenCVModule(nn.Module):
    """uint8 ``[N, C, H, W]`` to uint8 ``[N, C, h, w]``."""

    def __init__(self, step: ResizeOpenCV) -> None:
        super().__init__()
        self.rule: str
        self.numbers: List[int]
        self.rule, self.numbers = step.size.rule

    def forward(self, image: Tensor) -> Tensor:
        if not torch.jit.is_scripting():  # noqa: SIM102  as in resize_torch
            if torch.compiler.is_compiling():
                compiled: Tensor = resize_opencv_op(image, self.rule, self.numbers)
                return compiled
        return resize_opencv(image, self.rule, self.numbers)
