"""What a call returns: a dict of tensors with attribute access."""

from __future__ import annotations

from typing import Any


class Features(dict[str, Any]):
    """Output tensors by name, as transformers' ``BatchFeature``: ``out["pixel_values"]`` is ``out.pixel_values``."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"no output is named {name!r}; there are: {', '.join(self)}") from None

    def to(self, device: Any = None, dtype: Any = None, non_blocking: bool = False) -> Features:
        """The torch tensors on ``device``, the floating ones as ``dtype``; other values stay as they are."""
        if dtype is None and type(device).__name__ == "dtype":
            device, dtype = None, device
        moved = Features(self)
        for name, value in self.items():
            if type(value).__module__.split(".")[0] == "torch":
                floating = dtype if value.is_floating_point() else None
                moved[name] = value.to(device=device, dtype=floating, non_blocking=non_blocking)
        return moved
