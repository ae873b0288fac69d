"""The steps a Plan is made of: one file an op, holding its frozen dataclass and its reference.

``<op>_torch.py`` holds the ``nn.Module`` and ``<op>_onnx.py`` the lowering, where the op needs one: of element-wise ops
(rescale, normalize, clamp, cast), :mod:`.table` makes 256-entry tables, and :mod:`.arithmetic` runs those on floats.
"""

from __future__ import annotations

from .branch import Branch
from .cast import Cast
from .center_crop import CenterCrop
from .clamp import Clamp
from .convert_rgb import ConvertRGB
from .flip_channels import FlipChannels
from .image_size import ImageSize
from .interpolate import Interpolate
from .normalize import Normalize
from .pad import Pad
from .pad_to_largest import PadToLargest
from .rescale import Rescale
from .resize import Resize
from .resize_opencv import ResizeOpenCV

Resampler = Resize | ResizeOpenCV | Interpolate
Transform = ConvertRGB | Resampler | CenterCrop | Rescale | Normalize | Clamp | Cast | Pad | FlipChannels
"""What maps an image to an image."""

Step = Transform | ImageSize | PadToLargest | Branch

STEPS: dict[str, type[Step]] = {
    "convert_rgb": ConvertRGB,
    "resize": Resize,
    "resize_opencv": ResizeOpenCV,
    "interpolate": Interpolate,
    "center_crop": CenterCrop,
    "rescale": Rescale,
    "normalize": Normalize,
    "clamp": Clamp,
    "cast": Cast,
    "pad": Pad,
    "flip_channels": FlipChannels,
    "image_size": ImageSize,
    "pad_to_largest": PadToLargest,
    "branch": Branch,
}
"""The name of every step in a Plan's JSON."""

__all__ = [
    "STEPS",
    "Branch",
    "Cast",
    "CenterCrop",
    "Clamp",
    "ConvertRGB",
    "FlipChannels",
    "ImageSize",
    "Interpolate",
    "Normalize",
    "Pad",
    "PadToLargest",
    "Rescale",
    "Resize",
    "ResizeOpenCV",
    "Step",
    "Transform",
]
