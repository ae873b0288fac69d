"""A caller's own memory for the outputs: ``out`` of a call."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from .errors import InputError
from .features import Features
from .image import is_a

Array = np.ndarray[Any, Any]


class Buffers:
    """Arrays or torch tensors by the outputs' names.

    Attributes:
        given: as they came.
        tensors: whether there are torch tensors among them.
    """

    def __init__(self, out: Any, names: Sequence[str], lists: Collection[str] = ()) -> None:
        """Takes a dict, or one buffer where there is one output.

        Args:
            out: C-contiguous or not, but writable, and every value in a place of its own.
            names: of all outputs; those not in ``out`` are made as without it.
            lists: those which come as a list, and cannot be given.

        Raises:
            InputError: an unknown name, or what is no such buffer.
        """
        if not isinstance(out, Mapping):
            if len(names) > 1:
                raise InputError(f"out: expected a dict of buffers for {', '.join(names)}, got {type(out).__name__}")
            out = {names[0]: out}
        for name, buffer in out.items():
            if name not in names:
                raise InputError(f"out: no output is named {name!r}; there are: {', '.join(names)}")
            if name in lists:
                raise InputError(f"out: {name} is a list of tensors, which no buffer holds")
            reason = _problem(buffer)
            if reason:
                raise InputError(f"out: {name}: {reason}")
        self.given = dict(out)
        self.tensors = any(not isinstance(buffer, np.ndarray) for buffer in out.values())
        self._arrays = {name: _as_array(buffer) for name, buffer in out.items()}
        for (a, one), (b, other) in itertools.combinations(self._arrays.items(), 2):
            if one is not None and other is not None and np.may_share_memory(one, other):
                raise InputError(f"out: {a} and {b} share memory")

    def target(self, name: str, images: Sequence[Array]) -> Array | None:
        """Memory that the output can be written into as it is made; None where it has to be copied.

        That is contiguous memory in which none of the images lies.
        """
        array = self._arrays.get(name)
        if array is None or not array.flags.c_contiguous:
            return None
        return None if any(np.may_share_memory(array, image) for image in images) else array

    def fill(self, features: Mapping[str, Any]) -> Features:
        """The features, with the buffers in place of the outputs that they now hold.

        Raises:
            InputError: a shape or dtype differs, or it cannot be written into.
        """
        for name, buffer in self.given.items():
            got, expected = _form(buffer), _form(features[name])
            if got != expected:
                raise InputError(f"out: {name}: expected {expected}, got {got}")
        for name, buffer in self.given.items():
            try:
                _fill(buffer, features[name])
            except Exception as error:  # tensors that only look like memory raise about anything
                raise InputError(f"out: {name}: cannot be written into ({str(error).strip()[:200]})") from error
        return Features({**features, **self.given})


def _fill(buffer: Any, value: Any) -> None:
    """Copies the value, where it does not lie there already."""
    if isinstance(buffer, np.ndarray):
        array = _as_array(value)
        if array is None or array.ctypes.data != buffer.ctypes.data:
            np.copyto(buffer, value.cpu().numpy() if array is None else array)
        return
    import torch

    tensor = torch.from_numpy(value) if isinstance(value, np.ndarray) else value
    if tensor.data_ptr() != buffer.data_ptr():
        buffer.detach().copy_(tensor)


def _as_array(value: Any) -> Array | None:
    """A tensor on the CPU as an array of the same memory; None for one that NumPy cannot show."""
    if isinstance(value, np.ndarray):
        return np.asarray(value)  # of a masked array, its memory
    try:
        array: Array = value.detach().numpy()
    except (TypeError, RuntimeError):  # on another device, or in bfloat16
        return None
    return array


def _form(value: Any) -> str:
    """The dtype and the shape of an array or a tensor, for comparing and for reading."""
    return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"


def _problem(buffer: Any) -> str:
    """Why it cannot be written into; empty where it can."""
    if isinstance(buffer, np.ndarray):
        if not buffer.flags.writeable:
            return "the array is read-only"
        shape, steps, size = buffer.shape, buffer.strides, buffer.itemsize
    elif is_a(buffer, "torch", "Tensor"):
        kind = "nested" if buffer.is_nested else str(buffer.layout).removeprefix("torch.")
        if kind != "strided":
            return f"expected a dense tensor, got a {kind} one"
        shape, steps, size = tuple(buffer.shape), buffer.stride(), 1
    else:
        return f"expected an array or a torch tensor, got {type(buffer).__name__}"
    if 0 in shape:
        return ""
    reach = size - 1
    for step, count in sorted((abs(step), count) for step, count in zip(steps, shape, strict=True) if count > 1):
        if step <= reach:
            return "some of its values lie in one place"
        reach += step * (count - 1)
    return ""
