"""A uint8 array as a torch tensor: no copy."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import torch

Array = np.ndarray[Any, Any]


def shared_tensor(images: Array) -> torch.Tensor:
    """A uint8 array's memory as a tensor. torch asks that one may write to it, which nothing here does."""
    if min(images.strides) < 0:
        images = images.copy()
    if images.flags.writeable:
        return torch.from_numpy(images)
    # All of the memory, so that the bytes between a PIL image's pixels count as the tensor's too.
    whole = images.base if isinstance(images.base, np.ndarray) else images
    if not whole.flags.forc:
        whole = images = images.copy()
    memory: Any = (ctypes.c_uint8 * whole.nbytes).from_address(whole.ctypes.data)
    memory.owner = whole  # keeps it alive
    offset = images.ctypes.data - whole.ctypes.data
    return torch.from_numpy(np.frombuffer(memory, np.uint8)).as_strided(images.shape, images.strides, offset)
