"""What a call returns: a dict of tensors with attribute access."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from .errors import BackendUnavailable


class Features(dict[str, Any]):
    """Output tensors by name, as transformers' ``BatchFeature``: ``out["pixel_values"]`` is ``out.pixel_values``.

    As there, outputs are found by name alone: a number or a slice is a ``KeyError`` (feature_extraction_utils.py:85).
    It is a ``dict`` where that is a ``UserDict``, so that it goes wherever a dict does.
    """

    def __getitem__(self, name: str) -> Any:
        if not isinstance(name, str):
            raise KeyError(f"outputs are found by their names, {', '.join(self)}; got {name!r}")
        return super().__getitem__(name)

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"no output is named {name!r}; there are: {', '.join(self)}") from None

    @property
    def data(self) -> dict[str, Any]:
        """The outputs: this dict itself. Others can take their place."""
        return self

    @data.setter
    def data(self, outputs: Mapping[str, Any]) -> None:
        outputs = dict(outputs)
        self.clear()
        self.update(outputs)

    def popitem(self) -> tuple[str, Any]:
        """Takes the first output, as a ``UserDict`` does."""
        for name in self:
            return name, self.pop(name)
        raise KeyError("there are no outputs")

    def copy(self) -> Features:
        return copy.copy(self)

    def __or__(self, other: Mapping[str, Any]) -> Features:  # type: ignore[override]
        return Features({**self, **other}) if isinstance(other, Mapping) else NotImplemented

    def __ror__(self, other: Mapping[str, Any]) -> Features:  # type: ignore[override]
        return Features({**other, **self}) if isinstance(other, Mapping) else NotImplemented

    def convert_to_tensors(self, tensor_type: Any = None, skip_tensor_conversion: Collection[str] = ()) -> Features:
        """Makes NumPy arrays (``np``) or torch tensors (``pt``) of numbers and lists of them; with ``None`` nothing.

        It changes these features, and returns them (feature_extraction_utils.py:158). Texts, and lists of them, stay.

        Args:
            tensor_type: as ``return_tensors`` of a call.
            skip_tensor_conversion: outputs that stay as they are.

        Raises:
            ValueError: another ``tensor_type``; or a list of different sizes, of which transformers makes arrays of
                objects where it can.
            BackendUnavailable: there is no torch for ``pt``.
        """
        if tensor_type not in ("np", "pt", None):
            raise ValueError(f"tensor_type: expected 'np', 'pt' or None, got {tensor_type!r}")
        for name, value in self.items():
            if tensor_type is not None and name not in (skip_tensor_conversion or ()) and _is_numeric(value):
                self[name] = _one_tensor(name, value, tensor_type)
        return self

    def to(self, device: Any = None, dtype: Any = None, non_blocking: bool = False, **options: Any) -> Features:
        """Puts the torch tensors, in lists and tuples too, on ``device``, the floating ones as ``dtype``.

        Other values stay as they are. It changes these features, and returns them, as transformers does
        (feature_extraction_utils.py:215).

        Args:
            device: as ``torch.Tensor.to`` has it, or a dtype in its place.
            dtype: of the floating tensors.
            non_blocking: whether a copy from pinned memory may still run at the return.
            options: further ones of ``torch.Tensor.to``, such as ``memory_format``, for the floating tensors.

        Raises:
            ValueError: ``device`` is neither.
            TypeError: two dtypes.
        """
        if type(device).__name__ == "dtype":
            if isinstance(dtype, bool):  # as torch reads `to(dtype, non_blocking)`
                dtype, non_blocking = None, dtype
            if dtype is not None:
                raise TypeError(f"expected one dtype, got {device} and {dtype}")
            device, dtype = None, device
        if not (device is None or isinstance(device, (str, int)) or type(device).__name__ == "device"):
            raise ValueError(f"expected a device or a dtype of torch, got {device!r}")

        def moved(value: Any) -> Any:
            if isinstance(value, (list, tuple)):
                named = hasattr(value, "_fields")
                return type(value)(*map(moved, value)) if named else type(value)(map(moved, value))
            if not hasattr(value, "is_floating_point"):  # no tensor
                return value
            more = {"dtype": dtype, **options} if value.is_floating_point() else {}
            return value.to(device=device, non_blocking=non_blocking, **more)

        self.update({name: moved(value) for name, value in self.items()})
        return self


def _is_numeric(value: Any) -> bool:
    """Whether tensors can be made of it: numbers, arrays and tensors, and lists that begin with one."""
    if isinstance(value, (list, tuple)):
        return not value or _is_numeric(value[0])
    return isinstance(value, (int, float, np.number, np.ndarray)) or hasattr(value, "is_floating_point")


def _one_tensor(name: str, value: Any, kind: str) -> Any:
    """All of a list as one array, or one torch tensor."""
    try:
        return _tensor(value) if kind == "pt" else _array(value)
    except ImportError as error:
        raise BackendUnavailable("tensor_type='pt' needs torch: pip install torch") from error
    except (ValueError, TypeError, RuntimeError) as error:
        raise ValueError(f"{name}: cannot be one tensor: {error}") from error


def _array(value: Any) -> Any:
    if isinstance(value, (list, tuple)) and value:
        return np.stack([_array(item) for item in value])
    return np.asarray(value)


def _tensor(value: Any) -> Any:
    import torch

    if isinstance(value, (list, tuple)) and value:
        return torch.stack([_tensor(item) for item in value])
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value)
    return value if torch.is_tensor(value) else torch.tensor(value)
