"""The steps a Plan is made of: one file an op, holding its frozen dataclass and its reference.

``<op>_torch.py`` holds the ``nn.Module`` and ``<op>_onnx.py`` the lowering, where the op needs one: element-wise ops
(rescale, normalize, cast) need neither, for :mod:`.table` makes 256-entry tables of their references.
"""

from __future__ import annotations

from .cast import Cast
from .center_crop import CenterCrop
from .convert_rgb import ConvertRGB
from .flip_channels import FlipChannels
from .normalize import Normalize
from .pad import Pad
from .rescale import Rescale
from .resize import Resize

Step = ConvertRGB | Resize | CenterCrop | Rescale | Normalize | Cast | Pad | FlipChannels

STEPS: dict[str, type[Step]] = {
    "convert_rgb": ConvertRGB,
    "resize": Resize,
    "center_crop": CenterCrop,
    "rescale": Rescale,
    "normalize": Normalize,
    "cast": Cast,
    "pad": Pad,
    "flip_channels": FlipChannels,
}
"""The name of every step in a Plan's JSON."""

__all__ = [
    "STEPS",
    "Cast",
    "CenterCrop",
    "ConvertRGB",
    "FlipChannels",
    "Normalize",
    "Pad",
    "Rescale",
    "Resize",
    "Step",
]
