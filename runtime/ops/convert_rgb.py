"""Convert to RGB: transparency is composited onto white."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from .step import Step

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True)
class ConvertRGB(Step):
    """Any PIL mode, or an array of 1, 3 or 4 channels, to RGB. It runs before the graph, which takes RGB only."""

    reading: ClassVar[bool] = True

    def __str__(self) -> str:
        return "convert to RGB, transparency onto white"

    @property
    def of_channels(self) -> int:
        return 3

    def reference_pil(self, image: Image.Image) -> Image.Image:
        """image_transforms.py:759, for PIL images."""
        from PIL import Image

        if "A" in image.getbands() or image.info.get("transparency") is not None:
            image = image.convert("RGBA")
            white = Image.new("RGBA", image.size, (255, 255, 255, 255))
            image = Image.alpha_composite(white, image)
        return image.convert("RGB")

    def reference(self, image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """``[H, W, 1 | 3 | 4]`` to ``[H, W, 3]``, uint8 or floats in [0, 1] (image_transforms.py:788)."""
        channels = image.shape[-1]
        if channels == 1:
            return np.repeat(image, 3, axis=-1)
        if channels == 4:
            white = 255 if image.dtype == np.uint8 else 1.0
            alpha = image[..., 3:] / white
            composite: np.ndarray[Any, Any] = alpha * image[..., :3] + (1 - alpha) * white
            return (np.round(composite) if image.dtype == np.uint8 else composite).astype(image.dtype)
        return image

    def reference_torchvision(self, image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """uint8 ``[H, W, 1 | 3 | 4]`` to uint8 ``[H, W, 3]``: in float32, and cut (image_processing_backends.py:156).

        The factors are those of torchvision's ``to_dtype``.
        """
        if image.shape[-1] != 4:
            return self.reference(image)
        scaled = image.astype(np.float32) * np.float32(1 / 255)
        composite: np.ndarray[Any, Any] = scaled[..., :3] * scaled[..., 3:] + (1 - scaled[..., 3:])
        return (composite * np.float32(255 + 1 - 1e-3)).astype(np.uint8)
