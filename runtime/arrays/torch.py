"""The array namespace of the formulas in torch, scriptable: float64 throughout, on the CPU.

The CPU because its ``sin`` and its running sums are the same everywhere; weights are small, and copied after.
"""

from typing import List

import torch
from torch import Tensor, abs, cos, exp2, floor, maximum, sin, trunc, where  # noqa: A004

__all__ = [
    "abs", "arange", "clip", "cos", "cumsum", "exp2", "first", "float32", "floor", "largest", "maximum",
    "quotient32", "reciprocal", "reshape", "running_total", "scalar", "sin", "take", "trunc", "where",
]  # fmt: skip


Array = Tensor
Number = Tensor


def scalar(n: int) -> Tensor:
    return torch.scalar_tensor(n, dtype=torch.float64, device="cpu")


def float32(x: Tensor) -> Tensor:
    return x.to(torch.float32).to(torch.float64)


def quotient32(n: int, divisor: int) -> Tensor:
    return scalar(n).div(divisor).to(torch.float32).to(torch.float64)


def reciprocal(x: Tensor) -> Tensor:
    return 1.0 / x


def arange(n: int) -> Tensor:
    return torch.arange(n, dtype=torch.float64, device="cpu")


def reshape(x: Tensor, shape: List[int]) -> Tensor:
    return x.reshape(shape)


def clip(x: Tensor, low: Tensor, high: Tensor) -> Tensor:
    return torch.clamp(x, low, high)


def cumsum(x: Tensor) -> Tensor:
    return torch.cumsum(x, 0)


def running_total(x: Tensor) -> Tensor:
    return torch.cumsum(x, -1)[:, :, -1:]


def first(x: Tensor) -> Tensor:
    return x[:, :1]


def take(x: Tensor, index: Tensor) -> Tensor:
    return x[index.long()]


def largest(x: Tensor) -> Tensor:
    return torch.max(x)
