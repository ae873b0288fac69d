"""The kernel that numba compiles (:mod:`.resize_numba`) on torch tensors, which torch does not see."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import resize_numba

Array = np.ndarray[Any, Any]

IDENTITY = np.repeat(np.arange(256, dtype=np.uint8)[None], 3, axis=0)


def resize(
    image: Tensor,
    rows: list[int],
    columns: list[int],
    filter: str,
    support: float,
    kind: str,
    vertical_first: bool,
    table: Tensor | None,
) -> Tensor:
    """:func:`.resize_torch.resize_axes` of uint8 ``[N, 3, H, W]`` on a CPU, not averaged before, in any layout."""
    arrays = list(image.detach().permute(0, 2, 3, 1).numpy())
    return resize_each(arrays, lambda *_: (rows, columns, vertical_first), filter, support, kind, table)


def resize_each(
    images: list[Array], axes: resize_numba.AxesOf, filter: str, support: float, kind: str, table: Tensor | None
) -> Tensor:
    """:func:`.resize_numba.resize` in as many threads as torch would run, at most."""
    if table is None:
        return torch.from_numpy(
            resize_numba.resize(images, axes, filter, support, kind, IDENTITY, torch.get_num_threads())
        )
    # As bits, since NumPy has no bfloat16.
    bits = table.detach().contiguous().view(torch.uint8).numpy().view(f"u{table.element_size()}")
    values = resize_numba.resize(images, axes, filter, support, kind, bits, torch.get_num_threads())
    return torch.from_numpy(values.view(np.uint8)).view(table.dtype)
