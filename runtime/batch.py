"""The results of single images as one batch, in the form that a caller asks for."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from .errors import BackendUnavailable, InputError
from .features import Features


def convert(output: dict[str, Any], return_tensors: str | None) -> Features:
    """A batch as NumPy arrays (``np``), torch tensors (``pt``), or lists of arrays (``None``)."""
    if return_tensors == "pt":
        try:
            import torch
        except ImportError as error:
            raise BackendUnavailable("return_tensors='pt' needs torch: pip install torch") from error
        return Features({k: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for k, v in output.items()})
    arrays = {k: v if isinstance(v, np.ndarray) else v.cpu().numpy() for k, v in output.items()}
    return Features(arrays if return_tensors == "np" else {k: list(v) for k, v in arrays.items()})


def stack(
    results: Sequence[dict[str, Any]], names: Sequence[str], padded: Collection[str], return_tensors: str | None
) -> Features:
    """The outputs ``names`` of single images as one batch, in the order of the images.

    Those in ``padded`` get zeros at the bottom and the right, up to the largest.

    Raises:
        InputError: others differ in size.
    """
    columns = {name: [result[name] for result in results] for name in names}
    for name, values in columns.items():
        if name in padded:
            height, width = (max(value.shape[axis] for value in values) for axis in (-2, -1))
            columns[name] = [_pad(value, height, width) for value in values]
            continue
        shapes = {tuple(value.shape) for value in values}
        if return_tensors is not None and len(shapes) > 1:
            raise InputError(
                f"{name}: these images give sizes {', '.join(map(str, sorted(shapes)))}, which cannot be one batch;"
                " pass images of one size, or return_tensors=None for a list"
            )
    if return_tensors is None:
        return Features(
            {k: [v if isinstance(v, np.ndarray) else v.cpu().numpy() for v in c] for k, c in columns.items()}
        )
    stacked: dict[str, Any] = {}
    for name, values in columns.items():
        if isinstance(values[0], np.ndarray):
            stacked[name] = np.stack(values)
        else:
            import torch

            stacked[name] = torch.stack(values)
    return convert(stacked, return_tensors)


def _pad(value: Any, height: int, width: int) -> Any:
    """``[..., H, W]`` to ``[..., height, width]``, an array or a tensor."""
    bottom, right = height - value.shape[-2], width - value.shape[-1]
    if isinstance(value, np.ndarray):
        return np.pad(value, [(0, 0)] * (value.ndim - 2) + [(0, bottom), (0, right)])
    import torch

    return torch.nn.functional.pad(value, [0, right, 0, bottom])
