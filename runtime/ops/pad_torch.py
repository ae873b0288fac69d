"""Pad in torch."""

# mypy: disable-error-code="attr-defined"
# torch.jit.is_scripting, as in resize_torch.
from typing import Dict, List

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import arrays
from .. import geometry as _geometry
from .. import resample as _resample
from ..arrays import torch as torch_arrays
from .pad import Pad

geometry = arrays.reload(_geometry, "torch")
resample = arrays.reload(_resample, "torch", xp=torch_arrays)


class PadModule(nn.Module):
    """``[N, C, H, W]`` to ``[N, C, h, w]``, and the mask ``[N, h, w]`` into the outputs."""

    def __init__(self, step: Pad) -> None:
        super().__init__()
        self.rule: str
        self.numbers: List[int]
        self.rule, self.numbers = step.size.rule
        self.values: List[float] = [float(v) for v in (step.value if len(set(step.value)) > 1 else step.value[:1])]
        self.centered, self.mode, self.once, self.mask = step.centered, step.mode, step.once, step.mask

    def forward(self, image: Tensor, outputs: Dict[str, Tensor]) -> Tensor:
        height, width = image.shape[2], image.shape[3]
        new_height, new_width = geometry.output_size(height, width, self.rule, self.numbers)
        excess = 0
        if self.once:
            edge = self.mode == "symmetric"
            rows_excess = geometry.excess(height, new_height, self.centered, edge)
            excess = max(rows_excess, geometry.excess(width, new_width, self.centered, edge))
        checked = False
        if not torch.jit.is_scripting():  # noqa: SIM102  as in resize_torch
            if torch.compiler.is_compiling():
                # torch.compile may know the sizes only when it runs, and then raises RuntimeError.
                torch._check(new_height >= height)
                torch._check(new_width >= width)
                torch._check(excess <= 0)
                checked = True
        if not checked and (new_height < height or new_width < width):
            raise ValueError("pad_size is smaller than the image")
        if not checked and excess > 0:
            raise ValueError("the image is too small to be mirrored")
        top = geometry.pad_offset(height, new_height, self.centered)
        left = geometry.pad_offset(width, new_width, self.centered)
        margins = [left, new_width - width - left, top, new_height - height - top]
        if self.mode != "constant":
            if not checked and self.mode == "reflect" and max(margins[:2]) < width and max(margins[2:]) < height:
                return F.pad(image, margins, mode="reflect")  # mirrors once; several times as fast
            rows = resample.border(height, new_height, top, self.mode)
            columns = resample.border(width, new_width, left, self.mode)
            image = image.index_select(2, rows.to(image.device, torch.int64, non_blocking=image.is_cuda))
            return image.index_select(3, columns.to(image.device, torch.int64, non_blocking=image.is_cuda))
        if self.mask:
            ones = torch.ones([image.shape[0], height, width], dtype=torch.int64, device=image.device)
            outputs[self.mask] = F.pad(ones, margins)
        if len(self.values) == 1:
            return F.pad(image, margins, value=self.values[0])
        padded: List[Tensor] = []
        for i, value in enumerate(self.values):
            padded.append(F.pad(image[:, i], margins, value=value))
        return torch.stack(padded, 1)
