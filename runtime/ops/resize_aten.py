"""torch's own kernel for uint8 on CPUs, on images as they lie in memory."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def run_kernel(kernel: Any, image: Tensor, rows: list[int], columns: list[int]) -> Tensor:
    """:func:`.resize_torch.resize_both` by torch's kernel, for 3 or 4 channels: all of the image, cropped after."""
    wanted = image.shape[1]
    image = whole_pixels(image)
    batch, channels, height, width = image.shape
    size = [rows[1], columns[1]]
    result = torch.empty([batch, *size, channels], dtype=torch.uint8, device=image.device).permute(0, 3, 1, 2)
    # Only with the channels last, in and out, is the kernel fast and does it take every size.
    last = image.is_contiguous(memory_format=torch.channels_last)
    images = batch if last else max(1, 2**23 // (channels * height * width))
    for i in range(0, batch, images):
        part = image[i : i + images]
        if not last:
            part = torch.stack(part.unbind(1), -1).permute(0, 3, 1, 2)  # faster than contiguous()
        kernel.out(part, size, False, None, None, out=result[i : i + images])
    (_, _, top, kept_height, _), (_, _, left, kept_width, _) = rows, columns
    bottom, right = top + kept_height - rows[1], left + kept_width - columns[1]
    if top < 0 or left < 0 or bottom > 0 or right > 0:  # larger than the image
        return F.pad(result[:, :wanted], [-left, right, -top, bottom])
    return result[:, :wanted, top : top + kept_height, left : left + kept_width]


def whole_pixels(image: Tensor) -> Tensor:
    """``[N, 3, H, W]`` whose pixels lie four bytes apart, as Pillow's do, with the fourth byte: ``[N, 4, H, W]``."""
    batch, channels, height, width = image.shape
    apart = [4 * width * height, 1, 4 * width, 4]
    if channels != 3 or list(image.stride())[batch == 1 :] != apart[batch == 1 :]:
        return image
    if image.untyped_storage().nbytes() < image.storage_offset() + batch * apart[0]:
        return image
    return image.as_strided([batch, 4, height, width], apart)
