"""Resize, and the crop behind it, in torch: eager, scripted, and as one custom op under ``torch.compile``."""

from typing import List

import torch
from torch import Tensor, nn

from .. import arrays
from .. import geometry as _geometry
from .. import resample as _resample
from ..arrays import torch as torch_arrays
from ..lowering import Resample

geometry = arrays.reload(_geometry, "torch")
resample = arrays.reload(_resample, "torch", xp=torch_arrays)


def rows(image: Tensor, new_height: int, top: int, count: int, filter: str, support: float, kind: str) -> Tensor:
    """The vertical pass: rows ``top … top + count`` of uint8 ``[N, C, H, W]`` resized to ``new_height`` rows.

    Sums are float64: integers of 30 bits are exact there in any order, and neither a matmul precision flag nor
    autocast touches them.
    """
    batch, channels, height, width = image.shape
    start, weights = resample.block_weights(height, new_height, top, count, filter, support, kind)
    weights = weights.to(image.device)
    blocks, block, window = weights.shape
    starts: List[int] = start.long().tolist()
    sums = torch.empty([batch, channels, blocks, block, width], dtype=torch.float64, device=image.device)
    for i, first in enumerate(starts):
        sums[:, :, i] = torch.matmul(weights[i], image[:, :, first : first + window].to(torch.float64))
    pixels = torch.floor((sums + 2097152.0) * (1.0 / 4194304.0)).clamp_(0.0, 255.0).to(torch.uint8)
    return pixels.reshape(batch, channels, blocks * block, width)[:, :, :count]


def columns(image: Tensor, new_width: int, left: int, count: int, filter: str, support: float, kind: str) -> Tensor:
    """The horizontal pass, as :func:`rows`."""
    batch, channels, height, width = image.shape
    start, weights = resample.block_weights(width, new_width, left, count, filter, support, kind)
    weights = weights.transpose(1, 2).contiguous().to(image.device)
    blocks, window, block = weights.shape
    starts: List[int] = start.long().tolist()
    sums = torch.empty([batch, channels, height, blocks, block], dtype=torch.float64, device=image.device)
    for i, first in enumerate(starts):
        sums[:, :, :, i] = torch.matmul(image[:, :, :, first : first + window].to(torch.float64), weights[i])
    pixels = torch.floor((sums + 2097152.0) * (1.0 / 4194304.0)).clamp_(0.0, 255.0).to(torch.uint8)
    return pixels.reshape(batch, channels, height, blocks * block)[:, :, :, :count]


def resize(
    image: Tensor,
    rule: str,
    numbers: List[int],
    filter: str,
    support: float,
    order: str,
    weights: str,
    crop: List[int],
    crop_rule: str,
) -> Tensor:
    """uint8 ``[N, C, H, W]`` to uint8 ``[N, C, h, w]``, both passes. ``crop`` is (height, width), or zeros."""
    height, width = image.shape[2], image.shape[3]
    new_height, new_width = geometry.output_size(height, width, rule, numbers[0], numbers[1])
    if new_height < 1 or new_width < 1:
        raise ValueError("the size rule leaves no pixel of this image")
    top, left, kept_height, kept_width = 0, 0, new_height, new_width
    if crop[0] > 0:
        kept_height, kept_width = crop[0], crop[1]
        top = geometry.crop_offset(new_height, kept_height, crop_rule)
        left = geometry.crop_offset(new_width, kept_width, crop_rule)
    image = image.contiguous()
    if geometry.vertical_first(height, width, new_height, new_width, order):
        image = rows(image, new_height, top, kept_height, filter, support, weights)
        image = columns(image, new_width, left, kept_width, filter, support, weights)
    else:
        image = columns(image, new_width, left, kept_width, filter, support, weights)
        image = rows(image, new_height, top, kept_height, filter, support, weights)
    return image.contiguous()


# torch.compile sees one op without guards on the size: no recompilation for another size, order of passes or rule.
resize_op = torch.library.custom_op("export_preprocessor::resize", resize, mutates_args=())


@resize_op.register_fake
def _(
    image: Tensor,
    rule: str,
    numbers: List[int],
    filter: str,
    support: float,
    order: str,
    weights: str,
    crop: List[int],
    crop_rule: str,
) -> Tensor:
    sizes: List[int | torch.SymInt]
    if crop[0] > 0:
        sizes = [*crop]
    elif rule == "height, width":
        sizes = [*numbers]
    else:
        context = torch.library.get_ctx()
        sizes = [context.new_dynamic_size(), context.new_dynamic_size()]
    return image.new_empty([image.shape[0], image.shape[1], *sizes])


class ResampleModule(nn.Module):
    """uint8 ``[N, C, H, W]`` to uint8 ``[N, C, h, w]``."""

    def __init__(self, kernel: Resample) -> None:
        super().__init__()
        step, crop = kernel.resize, kernel.crop
        self.rule, first, second = step.size.rule
        self.numbers: List[int] = [first, second]
        self.filter, self.support, self.order, self.weights = step.filter, step.support, step.order, step.weights
        self.crop_rule = crop.rule if crop else "pil"
        self.crop: List[int] = [crop.height, crop.width] if crop else [0, 0]

    def forward(self, image: Tensor) -> Tensor:
        # Two conditions, as TorchScript leaves out the inner one only behind this alone.
        if not torch.jit.is_scripting():  # noqa: SIM102
            if torch.compiler.is_compiling():
                compiled: Tensor = resize_op(
                    image,
                    self.rule,
                    self.numbers,
                    self.filter,
                    self.support,
                    self.order,
                    self.weights,
                    self.crop,
                    self.crop_rule,
                )
                return compiled
        return resize(
            image,
            self.rule,
            self.numbers,
            self.filter,
            self.support,
            self.order,
            self.weights,
            self.crop,
            self.crop_rule,
        )
