"""What a call returns: a dict of tensors with attribute access."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any


class Features(dict[str, Any]):
    """Output tensors by name, as transformers' ``BatchFeature``: ``out["pixel_values"]`` is ``out.pixel_values``.

    As there, outputs are found by name alone: a number or a slice is a ``KeyError`` (feature_extraction_utils.py:85).
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
        """The outputs: this dict itself."""
        return self

    def copy(self) -> Features:
        return copy.copy(self)

    def __or__(self, other: Mapping[str, Any]) -> Features:  # type: ignore[override]
        return Features({**self, **other}) if isinstance(other, Mapping) else NotImplemented

    def __ror__(self, other: Mapping[str, Any]) -> Features:  # type: ignore[override]
        return Features({**other, **self}) if isinstance(other, Mapping) else NotImplemented

    def to(self, device: Any = None, dtype: Any = None, non_blocking: bool = False) -> Features:
        """Puts the torch tensors, in lists and tuples too, on ``device``, the floating ones as ``dtype``.

        Other values stay as they are. It changes these features, and returns them, as transformers does
        (feature_extraction_utils.py:213).

        Args:
            device: as ``torch.Tensor.to`` has it, or a dtype in its place.
            dtype: of the floating tensors.
            non_blocking: whether a copy from pinned memory may still run at the return.

        Raises:
            ValueError: ``device`` is neither.
            TypeError: two dtypes.
        """
        if type(device).__name__ == "dtype":
            if dtype is not None:
                raise TypeError(f"expected one dtype, got {device} and {dtype}")
            device, dtype = None, device
        if not (device is None or isinstance(device, (str, int)) or type(device).__name__ == "device"):
            raise ValueError(f"expected a device or a dtype of torch, got {device!r}")

        def moved(value: Any) -> Any:
            if type(value) in (list, tuple):
                return type(value)(map(moved, value))
            if not hasattr(value, "is_floating_point"):  # no tensor
                return value
            floating = dtype if value.is_floating_point() else None
            return value.to(device=device, dtype=floating, non_blocking=non_blocking)

        self.update({name: moved(value) for name, value in self.items()})
        return self
