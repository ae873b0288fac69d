"""The steps a Plan is made of: one file an op, holding its frozen dataclass and its reference.

``<op>_torch.py`` holds the ``nn.Module``, called after the dataclass, and ``<op>_onnx.py`` the function ``lower``: they
are found by these names. Element-wise ops (rescale, normalize, clamp, cast …) need neither: :mod:`.table` makes
256-entry tables of them, and :mod:`.arithmetic` runs those on floats.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..registry import Registry
from .step import Step as Step

if TYPE_CHECKING:
    from .align_long_axis import AlignLongAxis as AlignLongAxis
    from .branch import Branch as Branch
    from .cast import Cast as Cast
    from .center_crop import CenterCrop as CenterCrop
    from .channels_last import ChannelsLast as ChannelsLast
    from .clamp import Clamp as Clamp
    from .convert_rgb import ConvertRGB as ConvertRGB
    from .crop_margin import CropMargin as CropMargin
    from .crop_share import CropShare as CropShare
    from .crop_to_ratio import CropToRatio as CropToRatio
    from .flip_channels import FlipChannels as FlipChannels
    from .grayscale import Grayscale as Grayscale
    from .image_size import ImageSize as ImageSize
    from .infer_layout import InferLayout as InferLayout
    from .interpolate import Interpolate as Interpolate
    from .normalize import Normalize as Normalize
    from .pad import Pad as Pad
    from .pad_to_largest import PadToLargest as PadToLargest
    from .quantize import Quantize as Quantize
    from .rescale import Rescale as Rescale
    from .resize import Resize as Resize
    from .resize_keras import ResizeKeras as ResizeKeras
    from .resize_opencv import ResizeOpenCV as ResizeOpenCV
    from .resize_smoothed import ResizeSmoothed as ResizeSmoothed
    from .scale_offset import ScaleOffset as ScaleOffset

STEPS: Registry[Step] = Registry(
    __name__,
    {
        "convert_rgb": "ConvertRGB",
        "infer_layout": "InferLayout",
        "align_long_axis": "AlignLongAxis",
        "resize": "Resize",
        "resize_opencv": "ResizeOpenCV",
        "interpolate": "Interpolate",
        "resize_keras": "ResizeKeras",
        "resize_smoothed": "ResizeSmoothed",
        "center_crop": "CenterCrop",
        "crop_to_ratio": "CropToRatio",
        "crop_margin": "CropMargin",
        "crop_share": "CropShare",
        "rescale": "Rescale",
        "scale_offset": "ScaleOffset",
        "normalize": "Normalize",
        "clamp": "Clamp",
        "cast": "Cast",
        "pad": "Pad",
        "flip_channels": "FlipChannels",
        "channels_last": "ChannelsLast",
        "grayscale": "Grayscale",
        "quantize": "Quantize",
        "image_size": "ImageSize",
        "pad_to_largest": "PadToLargest",
        "branch": "Branch",
    },
)
"""The name of every step in a Plan's JSON."""


def __getattr__(name: str) -> Any:
    return STEPS.attribute(name)
