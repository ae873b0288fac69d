"""The steps a Plan is made of: one file an op, holding its frozen dataclass and its reference.

``<op>_torch.py`` holds the ``nn.Module``, called after the dataclass, and ``<op>_onnx.py`` the function ``lower``: they
are found by these names. Element-wise ops (rescale, normalize, clamp, cast …) need neither: :mod:`.table` makes
256-entry tables of them, and :mod:`.arithmetic` runs those on floats.
"""

from __future__ import annotations

from .align_long_axis import AlignLongAxis
from .branch import Branch
from .cast import Cast
from .center_crop import CenterCrop
from .channels_last import ChannelsLast
from .clamp import Clamp
from .convert_rgb import ConvertRGB
from .crop_margin import CropMargin
from .crop_share import CropShare
from .crop_to_ratio import CropToRatio
from .flip_channels import FlipChannels
from .grayscale import Grayscale
from .image_size import ImageSize
from .infer_layout import InferLayout
from .interpolate import Interpolate
from .normalize import Normalize
from .pad import Pad
from .pad_to_largest import PadToLargest
from .quantize import Quantize
from .rescale import Rescale
from .resize import Resize
from .resize_keras import ResizeKeras
from .resize_opencv import ResizeOpenCV
from .resize_smoothed import ResizeSmoothed
from .scale_offset import ScaleOffset

Resampler = Resize | ResizeKeras | ResizeOpenCV | ResizeSmoothed | Interpolate
Pointwise = Rescale | ScaleOffset | Normalize | Clamp | Cast
Rearranging = CropMargin | CropShare | CropToRatio | CenterCrop | Pad | FlipChannels | ChannelsLast
Reading = ConvertRGB | InferLayout
"""What is done where images are read, before the graph."""

Transform = Reading | AlignLongAxis | Resampler | Rearranging | Pointwise | Grayscale | Quantize
"""What maps an image to an image."""

Step = Transform | ImageSize | PadToLargest | Branch

STEPS: dict[str, type[Step]] = {
    "convert_rgb": ConvertRGB,
    "infer_layout": InferLayout,
    "align_long_axis": AlignLongAxis,
    "resize": Resize,
    "resize_opencv": ResizeOpenCV,
    "interpolate": Interpolate,
    "resize_keras": ResizeKeras,
    "resize_smoothed": ResizeSmoothed,
    "center_crop": CenterCrop,
    "crop_to_ratio": CropToRatio,
    "crop_margin": CropMargin,
    "crop_share": CropShare,
    "rescale": Rescale,
    "scale_offset": ScaleOffset,
    "normalize": Normalize,
    "clamp": Clamp,
    "cast": Cast,
    "pad": Pad,
    "flip_channels": FlipChannels,
    "channels_last": ChannelsLast,
    "grayscale": Grayscale,
    "quantize": Quantize,
    "image_size": ImageSize,
    "pad_to_largest": PadToLargest,
    "branch": Branch,
}
"""The name of every step in a Plan's JSON."""

__all__ = [
    "STEPS",
    "AlignLongAxis",
    "Branch",
    "Cast",
    "CenterCrop",
    "ChannelsLast",
    "Clamp",
    "ConvertRGB",
    "CropMargin",
    "CropShare",
    "CropToRatio",
    "FlipChannels",
    "Grayscale",
    "ImageSize",
    "InferLayout",
    "Interpolate",
    "Normalize",
    "Pad",
    "PadToLargest",
    "Quantize",
    "Rescale",
    "Resize",
    "ResizeKeras",
    "ResizeOpenCV",
    "ResizeSmoothed",
    "ScaleOffset",
    "Step",
    "Transform",
]
