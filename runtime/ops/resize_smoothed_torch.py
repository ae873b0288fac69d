"""Resize floats with a Gaussian blur before linear interpolation in torch."""

# mypy: disable-error-code="attr-defined"
# torch.jit.is_scripting, as in resize_torch.
import torch
from torch import Tensor, nn

from .. import arrays
from .. import geometry as _geometry
from .. import interpolation as _interpolation
from ..arrays import torch as torch_arrays
from .interpolate_torch import host_op
from .resize_smoothed import ResizeSmoothed

geometry = arrays.reload(_geometry, "torch")
interpolation = arrays.reload(_interpolation, "torch", xp=torch_arrays, pick=geometry.pick)


def resize_smoothed(image: Tensor, new_height: int, new_width: int, library: str, blur: bool) -> Tensor:
    """float32 ``[N, C, H, W]`` to float32 ``[N, C, h, w]``, contiguous."""
    block = 8  # outputs that share a window of the input
    axes = interpolation.smoothed_axes(image.shape[2], image.shape[3], new_height, new_width, library, blur, block)
    image = rows(image, axes[0][0], axes[0][1], new_height)
    image = rows(image.transpose(2, 3), axes[1][0], axes[1][1], new_width)
    return image.transpose(2, 3).contiguous()


def rows(image: Tensor, start: Tensor, weights: Tensor, n_out: int) -> Tensor:
    """``[N, C, H, W]`` to ``[N, C, n_out, W]``."""
    blocks, block, window = weights.shape
    batch, channels, _, width = image.shape
    index = (start.reshape(-1, 1) + torch_arrays.arange(window)).to(
        image.device, torch.int64, non_blocking=image.is_cuda
    )
    weights = weights.to(image.device, non_blocking=image.is_cuda)
    result = torch.empty([batch, channels, blocks * block, width], dtype=torch.float32, device=image.device)
    step = blocks if image.is_cuda else 1  # one window stays in a CPU's cache
    for i in range(0, blocks, step):
        part = index[i : i + step]
        windows = image.index_select(2, part.reshape(-1)).reshape(batch, channels, part.shape[0], window, width)
        # Factors of float32 would be rounded under autocast, and where a flag of the process allows TF32 or bfloat16.
        sums = torch.matmul(weights[i : i + step], windows.to(torch.float64))
        result[:, :, i * block : (i + step) * block] = sums.reshape(batch, channels, part.shape[0] * block, width)
    return result[:, :, :n_out]


# As in resize_torch: no recompilation for another size.
resize_smoothed_op = host_op("resize_smoothed", resize_smoothed)


@resize_smoothed_op.register_fake
def _(image: Tensor, new_height: int, new_width: int, library: str, blur: bool) -> Tensor:
    return image.new_empty([*image.shape[:2], new_height, new_width])


class ResizeSmoothedModule(nn.Module):
    """float32 ``[N, C, H, W]`` to float32 ``[N, C, h, w]``."""

    def __init__(self, step: ResizeSmoothed) -> None:
        super().__init__()
        self.height, self.width = step.fixed_size
        self.library, self.blur = step.library, step.blur

    def forward(self, image: Tensor) -> Tensor:
        if not torch.jit.is_scripting():  # noqa: SIM102  as in resize_torch
            if torch.compiler.is_compiling():
                compiled: Tensor = resize_smoothed_op(image, self.height, self.width, self.library, self.blur)
                return compiled
        return resize_smoothed(image, self.height, self.width, self.library, self.blur)
