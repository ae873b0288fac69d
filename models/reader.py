"""Typed access to a config's keys, collecting every problem instead of stopping at the first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from runtime.ops.normalize import FLOAT32_MAX
from runtime.ops.resize import FILTERS
from runtime.ops.size import FORMS, Size

FILTER_NAMES = {number: name for name, number in FILTERS.items()}

KNOWN_FORMS = (*FORMS, {"longest_edge"}, {"min_pixels", "max_pixels"})
"""The key sets that transformers loads (image_processing_utils.py:528); its generic resize runs :data:`FORMS` only."""


class Reader:
    """The values of one config; :attr:`problems` says what is wrong with them, each with the key's path."""

    def __init__(self, values: Mapping[str, Any], default_to_square: bool, channels: int = 3) -> None:
        self.values = values
        self.default_to_square = default_to_square
        self.channels = channels
        self.problems: list[str] = []

    def problem(self, key: str, expected: str) -> None:
        self.problems.append(f"{key}: expected {expected}, got {_short(self.values.get(key))}")

    def flag(self, key: str) -> bool:
        """A switch; null is off."""
        value = self.values.get(key)
        if value is not None and not isinstance(value, bool):
            self.problem(key, "true, false or null")
        return value is True

    def number(self, key: str) -> float:
        value = _finite(self.values.get(key))
        if value is None:
            self.problem(key, "a finite number")
            return 1.0
        return value

    def per_channel(self, key: str, nonzero: bool = False) -> tuple[float, ...]:
        """One number for all channels, or one for each."""
        value = self.values.get(key)
        items = value if isinstance(value, (list, tuple)) else [value] * self.channels
        numbers = [number for item in items if (number := _finite(item)) is not None]
        if len(items) != self.channels or len(numbers) != self.channels:
            each = (
                "three of them (red, green, blue)"
                if self.channels == 3
                else f"one for each of {self.channels} channels"
            )
            self.problem(key, f"a finite number, or {each}")
            return (1.0,) * self.channels
        if nonzero and not all(np.float32(number) for number in numbers):
            self.problem(key, "numbers other than 0 in float32, to divide by")
            return (1.0,) * self.channels
        return tuple(numbers)

    def filter(self) -> str:
        value = self.values.get("resample")
        if isinstance(value, bool) or not isinstance(value, int) or value not in FILTER_NAMES:
            names = ", ".join(f"{number} ({name})" for number, name in sorted(FILTER_NAMES.items()))
            self.problem("resample", f"one of {names}")
            return "nearest"
        return FILTER_NAMES[value]

    def size(self, key: str = "size") -> Size:
        """A size in any form that transformers takes (image_processing_utils.py:545-639)."""
        value = self.values.get(key)
        if isinstance(value, int) and not isinstance(value, bool):
            square = self.default_to_square or key != "size"
            value = {"height": value, "width": value} if square else {"shortest_edge": value}
        elif isinstance(value, (list, tuple)) and len(value) == 2:
            value = {"height": value[0], "width": value[1]}
        forms = ", ".join("{" + ", ".join(sorted(form)) + "}" for form in FORMS)
        if not isinstance(value, Mapping):
            self.problem(key, f"an integer, [height, width], or one of the key sets {forms}")
        elif set(value) not in FORMS:  # its nulls counted, which transformers then ignores
            known = set(value) in KNOWN_FORMS
            self.problem(key, f"one of the key sets {forms}" + (" (no rule of this family reads the others)" * known))
        else:
            try:
                return Size(**value)
            except ValueError as error:
                self.problems.append(f"{key}{': ' if str(error).startswith('expected') else '.'}{error}")
        return Size(height=1, width=1)

    def loadable_size(self, key: str) -> None:
        """Notes a size that transformers cannot load, which fails there even where no step reads it."""
        value = self.values.get(key)
        fits = (
            value is None
            or (isinstance(value, int) and not isinstance(value, bool))
            or (isinstance(value, (list, tuple)) and len(value) >= 2)
            or (isinstance(value, Mapping) and set(value) in KNOWN_FORMS)
        )
        if not fits and not any(problem.startswith(key) for problem in self.problems):
            self.problem(key, "an integer, [height, width], or a known set of keys")

    def exact_size(self, key: str) -> tuple[int, int]:
        """A size of the form (height, width)."""
        before = len(self.problems)
        size = self.size(key)
        if size.height is None or size.width is None:
            if len(self.problems) == before:
                self.problem(key, "height and width")
            return 1, 1
        return size.height, size.width


def _finite(value: Any) -> float | None:
    """The number as a float; None for what is no number, or none that a float32 holds."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if abs(value) <= FLOAT32_MAX else None  # false for NaN


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def nearest(word: str, words: Sequence[str]) -> str:
    """`` (did you mean 'x'?)`` for a near name, else nothing."""
    import difflib

    lowered = {w.lower(): w for w in words}
    found = difflib.get_close_matches(word.lower(), list(lowered), 1, 0.6)
    return f" (did you mean {lowered[found[0]]!r}?)" if found else ""
