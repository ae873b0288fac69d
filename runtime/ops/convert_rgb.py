"""Convert to RGB: transparency is composited onto white."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True)
class ConvertRGB:
    """Any PIL mode, or an array of 1, 3 or 4 channels, to RGB. It runs before the graph, which takes RGB only."""

    def __str__(self) -> str:
        return "convert to RGB, transparency onto white"

    def reference_pil(self, image: Image.Image) -> Image.Image:
        """image_transforms.py:759, for PIL images."""
        from PIL import Image

        if "A" in image.getbands() or image.info.get("transparency") is not None:
            image = image.convert("RGBA")
            white = Image.new("RGBA", image.size, (255, 255, 255, 255))
            image = Image.alpha_composite(white, image)
        return image.convert("RGB")

    def reference(self, image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """uint8 ``[H, W, 1 | 3 | 4]`` to uint8 ``[H, W, 3]`` (image_transforms.py:788)."""
        channels = image.shape[-1]
        if channels == 1:
            return np.repeat(image, 3, axis=-1)
        if channels == 4:
            alpha = image[..., 3:] / 255
            composite: np.ndarray[Any, Any] = np.round(alpha * image[..., :3] + (1 - alpha) * 255)
            return composite.astype(np.uint8)
        return image
