"""Interpolate in torch: eager, scripted, and as one custom op under ``torch.compile``."""

# mypy: disable-error-code="attr-defined"
# torch.jit.is_scripting, as in resize_torch.
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, List, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import arrays
from .. import geometry as _geometry
from .interpolate import Interpolate

if TYPE_CHECKING:
    from torch._library.custom_ops import CustomOpDef

geometry = arrays.reload(_geometry, "torch")


def interpolate(
    image: Tensor, rule: str, numbers: List[int], filter: str, antialias: bool, align_corners: bool
) -> Tensor:
    """float32 ``[N, C, H, W]`` to float32 ``[N, C, h, w]``, contiguous.

    It runs on the CPU: the kernels of other devices differ in the last bits.
    """
    batch, channels = image.shape[0], image.shape[1]
    height, width = geometry.output_size(image.shape[2], image.shape[3], rule, numbers)
    check_result(height, width)
    # One channel an image: of three, torch takes positions otherwise where it has one thread. And contiguous, as
    # transformers has them: with antialiasing, torch 2.15 misreads other layouts.
    planes = image.cpu().reshape(batch * channels, 1, image.shape[2], image.shape[3]).contiguous()
    result = F.interpolate(planes, size=[height, width], mode=filter, align_corners=align_corners, antialias=antialias)
    return result.reshape(batch, channels, height, width).to(image.device)


def check_result(height: int, width: int) -> None:
    """Raises ``ValueError`` where a size rule leaves no pixel, or more than :data:`.size.MOST_PIXELS`."""
    if height < 1 or width < 1 or height * width > 178956970:  # TorchScript reads no global number
        raise ValueError("the size rule leaves no pixel of this image, or too many")


def host_op(name: str, run: Callable[..., Tensor]) -> "CustomOpDef":
    """``run`` as a custom op that no CUDA graph records: a replay would neither look at the pixels nor send weights.

    What is sent is kept a while only, and a replay would read that memory for ever.
    """
    tag = getattr(torch.Tag, "cudagraph_unsafe", None)  # of later releases; before, such a model needs another mode
    options: dict[str, Any] = {} if tag is None else {"tags": (tag,)}
    return torch.library.custom_op(f"export_preprocessor::{name}", run, mutates_args=(), **options)


# As in resize_torch: no recompilation for another size; and torch's own kernels, which torch.compile would replace.
interpolate_op = host_op("interpolate", interpolate)


@interpolate_op.register_fake
def _(image: Tensor, rule: str, numbers: List[int], *settings: object) -> Tensor:
    return image.new_empty([*image.shape[:2], *compiled_size(rule, numbers)])


def compiled_size(rule: str, numbers: List[int]) -> "list[int | torch.SymInt]":
    """The height and width that ``rule`` gives, as ``torch.compile`` knows them."""
    if rule == "height, width":
        return [*numbers]
    context = torch.library.get_ctx()
    return [context.new_dynamic_size(), context.new_dynamic_size()]


class InterpolateModule(nn.Module):
    """float32 ``[N, C, H, W]`` to float32 ``[N, C, h, w]``."""

    def __init__(self, step: Interpolate) -> None:
        super().__init__()
        rule, numbers = step.size.rule
        self.settings: Tuple[str, List[int], str, bool, bool] = (
            rule,
            numbers,
            step.filter,
            step.antialias,
            step.align_corners,
        )

    def forward(self, image: Tensor) -> Tensor:
        if not torch.jit.is_scripting():  # noqa: SIM102  as in resize_torch
            if torch.compiler.is_compiling():
                compiled: Tensor = interpolate_op(image, *self.settings)
                return compiled
        return interpolate(image, *self.settings)
