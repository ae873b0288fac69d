"""The weights of a resize in torch: computed in a script, kept in eager code."""

# mypy: disable-error-code="attr-defined"
# torch.jit.is_scripting, as in resize_torch.
import functools
from typing import Any, List, Tuple

import torch
from torch import Tensor

from .. import arrays
from .. import geometry as _geometry
from .. import resample as _resample
from ..arrays import torch as torch_arrays

resample = arrays.reload(_resample, "torch", xp=torch_arrays)


def axis_weights(
    axis: List[int], filter: str, support: float, kind: str, device: torch.device
) -> Tuple[List[int], Tensor]:
    """Window starts and weights, as ``block_weights``, of an axis: sizes before and after, offset, count, factor.

    The weights, float64 ``[blocks, block, window]`` on ``device``, are divided by 2**22: those of an output sum to 1.
    No starts where the axis stays as it is.
    """
    unchanged: List[int] = []
    if axis[0] == axis[1] and axis[1] == axis[3] and axis[4] == 1:
        return unchanged, torch.empty([0, 0, 0], dtype=torch.float64, device=device)
    if not torch.jit.is_scripting():
        return eager_weights(axis, filter, support, kind, device)
    start, weights = resample.block_weights(axis[0], axis[1], axis[2], axis[3], filter, support, kind, factor=axis[4])
    starts: List[int] = start.long().tolist()
    return starts, (weights * (1.0 / 4194304.0)).to(device, non_blocking=device.type == "cuda")


def eager_weights(
    axis: List[int], filter: str, support: float, kind: str, device: torch.device
) -> Tuple[List[int], Tensor]:
    """:func:`axis_weights` in blocks of the size that is fastest here; kept unless large."""
    n_in, n_out, _, count, factor = axis
    samples = _geometry.reduced(n_in, factor)
    block = 8
    while block < 32 and 2 * block * samples <= 64 * n_out:
        block *= 2
    small = (count + block) * _resample.window_size(samples, n_out, support, block) <= 2**18
    make: Any = _kept_weights if small and computes() else _kept_weights.__wrapped__
    starts, weights = make(tuple(axis), filter, support, kind, block, device)
    return starts, weights


def computes() -> bool:
    """Whether tensors have memory: not under a FakeTensorMode, of whose tensors nothing may be kept."""
    return type(torch.empty(0, device="cpu")) is Tensor


@functools.lru_cache(maxsize=64)  # 128 MiB if all were as large as may be
def _kept_weights(
    axis: Tuple[int, ...], filter: str, support: float, kind: str, block: int, device: Any
) -> Tuple[List[int], Tensor]:
    # In NumPy, which no setting of torch touches.
    n_in, n_out, offset, count, factor = axis
    start, weights = _resample.block_weights(n_in, n_out, offset, count, filter, support, kind, block, factor)
    # A copy that blocks would wait for all that the GPU has to do before it.
    on_device = torch.from_numpy(weights / 2**22).to(device, non_blocking=device.type == "cuda")
    return start.astype(int).tolist(), on_device
