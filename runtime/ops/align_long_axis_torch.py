"""Turn an image by 90 degrees in torch: eager, scripted, and as one custom op under ``torch.compile``."""

# mypy: disable-error-code="attr-defined"
# torch.jit.is_scripting, as in resize_torch.
import torch
from torch import Tensor, nn

from .. import arrays
from .. import geometry as _geometry
from .align_long_axis import AlignLongAxis

geometry = arrays.reload(_geometry, "torch")


def align_long_axis(image: Tensor, portrait: bool) -> Tensor:
    """``[N, C, H, W]`` to ``[N, C, h, w]``, of any dtype."""
    height, _ = geometry.aligned(image.shape[2], image.shape[3], portrait)
    return image if height == image.shape[2] else image.rot90(3, [2, 3])


# As in resize_torch: no recompilation for the other orientation.
@torch.library.custom_op("export_preprocessor::align_long_axis", mutates_args=())
def align_long_axis_op(image: Tensor, portrait: bool) -> Tensor:
    """:func:`align_long_axis`, contiguous and a tensor of its own."""
    return align_long_axis(image, portrait).clone(memory_format=torch.contiguous_format)


@align_long_axis_op.register_fake
def _(image: Tensor, portrait: bool) -> Tensor:
    context = torch.library.get_ctx()
    return image.new_empty([*image.shape[:2], context.new_dynamic_size(), context.new_dynamic_size()])


class AlignLongAxisModule(nn.Module):
    """``[N, C, H, W]`` to ``[N, C, h, w]``, of any dtype."""

    def __init__(self, step: AlignLongAxis) -> None:
        super().__init__()
        self.portrait = step.portrait

    def forward(self, image: Tensor) -> Tensor:
        if not torch.jit.is_scripting():  # noqa: SIM102  as in resize_torch
            if torch.compiler.is_compiling():
                compiled: Tensor = align_long_axis_op(image, self.portrait)
                return compiled
        return align_long_axis(image, self.portrait)
