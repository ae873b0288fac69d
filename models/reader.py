"""Typed access to a config's keys, collecting every problem instead of stopping at the first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any

import numpy as np

from runtime.ops.normalize import FLOAT32_MAX
from runtime.ops.resize import FILTERS
from runtime.ops.size import FORMS, LONGEST_SIDE, MOST_PIXELS, Size

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
        self._paths: Mapping[str, str] = {}

    def under(self, prefix: str) -> Reader:
        """The same config for a second image, whose keys start with ``prefix``: they stand in for those without it."""
        paths = {key.removeprefix(prefix): key for key in self.values if key.startswith(prefix)}
        own = {key: self.values[path] for key, path in paths.items()}
        reader = Reader({**self.values, **own}, self.default_to_square, self.channels)
        reader.problems, reader._paths = self.problems, paths
        return reader

    def problem(self, key: str, expected: str) -> None:
        self._note(key, f": expected {expected}, got {short(self.values.get(key))}")

    def _note(self, key: str, text: str) -> None:
        problem = self._paths.get(key, key) + text
        if problem not in self.problems:  # as two images may share a key
            self.problems.append(problem)

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

    def integer(self, key: str, least: int) -> int:
        value = self.values.get(key)
        if type(value) is not int or not least <= value <= LONGEST_SIDE:
            self.problem(key, f"an integer from {least} to {LONGEST_SIDE}")
            return least
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

    def triples(self, key: str) -> tuple[float, ...]:
        """A list of lists of three numbers, end to end."""
        value = self.values.get(key)
        rows = value if isinstance(value, (list, tuple)) else []
        numbers = [_finite(item) for row in rows if isinstance(row, (list, tuple)) and len(row) == 3 for item in row]
        finite = tuple(number for number in numbers if number is not None)
        if not rows or len(finite) < 3 * len(rows):
            self.problem(key, "a list of colours, each three finite numbers")
            return (0.0,) * 3
        return finite

    def filter(self) -> str:
        value = self.values.get("resample")
        if isinstance(value, bool) or not isinstance(value, int) or value not in FILTER_NAMES:
            names = ", ".join(f"{number} ({name})" for number, name in sorted(FILTER_NAMES.items()))
            self.problem("resample", f"one of {names}")
            return "bilinear"
        return FILTER_NAMES[value]

    def size(self, key: str = "size") -> Size:
        """A size in any of the forms of :class:`~runtime.ops.size.Size`."""
        given = self.size_keys(key)
        return Size(**given) if given else Size(height=1, width=1)

    def size_keys(self, key: str = "size", forms: Sequence[Set[str]] = FORMS) -> dict[str, int]:
        """A size by its keys, one of ``forms``; empty where it is none, which is a problem.

        ``forms`` are among :data:`KNOWN_FORMS`; nulls are left out, as transformers ignores them.
        """
        value = self.values.get(key)
        loaded = size_keys(value, self.default_to_square or key != "size")
        given = {name: edge for name, edge in loaded.items() if edge is not None}
        if set(given) not in forms:
            text = ", ".join("{" + ", ".join(sorted(form)) + "}" for form in forms)
            if isinstance(value, Mapping):
                expected = f"one of the key sets {text}" + (
                    " (no rule of this family reads the others)" if loaded else ""
                )
            else:
                expected = f"an integer, [height, width], or one of the key sets {text}"
            self.problem(key, expected)
            return {}
        for name, edge in given.items():
            most = MOST_PIXELS if name.endswith("pixels") else LONGEST_SIDE
            if type(edge) is not int or not 1 <= edge <= most:
                self._note(key, f".{name}: expected an integer from 1 to {most}, got {short(edge)}")
                return {}
        if given.get("height", 1) * given.get("width", 1) > MOST_PIXELS:
            self._note(key, f": expected at most {MOST_PIXELS} pixels, got {given['height']}x{given['width']}")
            return {}
        return given

    def loadable_size(self, key: str) -> None:
        """Notes a size that transformers cannot load, which fails there even where no step reads it."""
        value = self.values.get(key)
        if value is None or size_keys(value, True) or any(problem.startswith(key) for problem in self.problems):
            return
        self.problem(key, "an integer, [height, width], or a known set of keys")

    def exact_size(self, key: str) -> tuple[int, int]:
        """A size of the form (height, width)."""
        before = len(self.problems)
        size = self.size(key).fixed
        if size is None and len(self.problems) == before:
            self.problem(key, "height and width")
        return size or (1, 1)


def size_keys(value: Any, square: bool) -> Mapping[str, Any]:
    """What transformers makes of a size (``get_size_dict``, image_processing_utils.py:540-639); empty where it raises.

    An integer is a square, or the shortest edge; a list is height and width, whatever comes after them.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return {"height": value, "width": value} if square else {"shortest_edge": value}
    if isinstance(value, (list, tuple)) and len(value) >= 2:
        return {"height": value[0], "width": value[1]}
    return value if isinstance(value, Mapping) and set(value) in KNOWN_FORMS else {}


def _finite(value: Any) -> float | None:
    """The number as a float; None for what is no number, or none that a float32 holds."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if abs(value) <= FLOAT32_MAX else None  # false for NaN


def short(value: Any) -> str:
    """A value for a message, cut where it is long."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def nearest(word: str, words: Sequence[str]) -> str:
    """`` (did you mean 'x'?)`` for a near name, else nothing."""
    found = nearest_of(word, words)
    return f" (did you mean {found!r}?)" if found else ""


def nearest_of(word: str, words: Sequence[str], least: float = 0.6) -> str | None:
    """The word that is most alike, whatever the case, with a ratio (difflib's) of ``least`` or more."""
    import difflib

    lowered = {w.lower(): w for w in words}
    found = difflib.get_close_matches(word.lower(), list(lowered), 1, least)
    return lowered[found[0]] if found else None
