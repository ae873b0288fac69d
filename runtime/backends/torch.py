"""A Plan as torch modules."""

import ctypes
from collections.abc import Iterator, Sequence
from typing import Any, Dict

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import InputError
from ..lowering import Kernel, Resample, lower
from ..ops import CenterCrop, FlipChannels, Interpolate, Pad, ResizeOpenCV
from ..ops.arithmetic import Arithmetic
from ..ops.arithmetic_torch import arithmetic
from ..ops.center_crop_torch import CenterCropModule
from ..ops.flip_channels_torch import FlipChannelsModule
from ..ops.interpolate_torch import InterpolateModule
from ..ops.pad_torch import PadModule
from ..ops.resize_opencv_torch import ResizeOpenCVModule
from ..ops.resize_torch import ResampleModule
from ..ops.table import Table
from ..ops.table_torch import TableModule
from ..plan import Plan


class Preprocess(nn.Module):
    """uint8 ``[N, H, W, C]`` or ``[N, C, H, W]`` to a dict of tensors.

    A batch whose second axis has the length of C is read as channels first, as transformers reads arrays.
    """

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.kernels = nn.Sequential(*to_modules(lower(plan.steps, plan.channels)))
        self.channels = plan.channels

    def forward(self, images: Tensor) -> Dict[str, Tensor]:
        if images.dim() != 4 or images.dtype != torch.uint8:
            raise ValueError("expected uint8 images [N, H, W, C] or [N, C, H, W]")
        if images.shape[1] != self.channels:
            images = images.permute(0, 3, 1, 2)
        if images.shape[1] != self.channels:
            raise ValueError(f"expected {self.channels} channels, first or last")
        return {"pixel_values": self.kernels(images)}


def to_modules(kernels: Sequence[Kernel]) -> Iterator[nn.Module]:
    """The modules that run ``kernels``; one runs a resize and the table behind it."""
    for i, kernel in enumerate(kernels):
        behind = kernels[i + 1] if i + 1 < len(kernels) else None
        if isinstance(kernel, Resample):
            yield ResampleModule(kernel, behind if isinstance(behind, Table) else None)
        elif not (isinstance(kernel, Table) and i > 0 and isinstance(kernels[i - 1], Resample)):
            yield to_module(kernel)


def to_module(kernel: Kernel) -> nn.Module:
    """The module that runs one kernel."""
    match kernel:
        case Resample():
            return ResampleModule(kernel)
        case ResizeOpenCV():
            return ResizeOpenCVModule(kernel)
        case Interpolate():
            return InterpolateModule(kernel)
        case CenterCrop():
            return CenterCropModule(kernel)
        case Table():
            return TableModule(kernel)
        case Arithmetic():
            return arithmetic(kernel)
        case Pad():
            return PadModule(kernel)
        case FlipChannels():
            return FlipChannelsModule()


class TorchBackend:
    """Runs a module, built or scripted, without gradients."""

    def __init__(self, module: Any, plan: Plan, device: Any = None) -> None:
        self.output_names = plan.outputs
        self._device = torch.device(device or "cpu")
        self._module = module.to(self._device).eval()

    def run(self, images: np.ndarray[Any, Any]) -> dict[str, Tensor]:
        if not images.flags.writeable:  # as those of a PIL image, which torch warns of
            images = _writeable(images)
        # Channels first, so that the module need not guess.
        batch = torch.from_numpy(images).to(self._device).permute(0, 3, 1, 2)
        try:
            with torch.no_grad():  # inference_mode's tensors could not be trained on
                result: dict[str, Tensor] = self._module(batch)
        except (ValueError, RuntimeError, torch.jit.Error) as error:
            reason = str(error).strip().splitlines()[-1]
            raise InputError(f"torch failed on images of shape {images.shape}: {reason}") from error
        return result


def _writeable(images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The same memory under a name that may write to it, which nothing here does."""
    images = np.ascontiguousarray(images)
    memory: Any = (ctypes.c_uint8 * images.nbytes).from_address(images.ctypes.data)
    memory.owner = images  # keeps it alive
    return np.frombuffer(memory, np.uint8).reshape(images.shape)
