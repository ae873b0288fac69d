"""The size forms of transformers' configs, and the output size each one gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .. import geometry
from ..errors import InputError

LONGEST_SIDE = 65_535
"""Larger sizes are refused: no model has one, and a typo should not allocate gigabytes."""

MOST_PIXELS = 178_956_970
"""Largest result of a resize, as large as the largest image: a very narrow image would ask for gigabytes."""

RULES = (
    ("height", "width"),
    ("shortest_edge",),
    ("shortest_edge", "longest_edge"),
    ("max_height", "max_width"),
    ("scaled_shortest_edge", "scaled_longest_edge"),
    ("half_up_shortest_edge", "half_up_longest_edge"),
    ("half_up_longest_edge",),
    ("rounded_longest_edge",),
    ("rounded_longest_edge", "min_edge"),
    ("truncated_longest_edge",),
    ("rounded_shortest_edge",),
    ("thumbnail_height", "thumbnail_width"),
    *((key, *rest) for key in ("limit_max", "limit_min", "limit_long") for rest in ((), ("max_side_limit",))),
    ("line_height", "line_width", "max_line_width"),
    ("fit_height", "fit_width"),
    ("cover_height", "cover_width"),
    ("min_height", "min_width"),
    ("square",),
    ("ratio_height", "ratio_width"),
    ("nearest_height", "nearest_width", "multiple", "per"),
    ("stretched_height", "stretched_width", "multiple", "per"),
    ("sqrt_margin",),
    ("past_multiple",),
    (),
)
"""The keys of each rule in :mod:`runtime.geometry`, in the order of its numbers."""

FORMS = tuple(set(rule) for rule in RULES[:4])
"""The key sets of configs, which are transformers' (``SizeDict``, image_utils.py:1034)."""

ROUNDING = ("floor_to", "ceil_to")
"""Keys that round what the others give to a multiple; the image's own size where they stand alone."""


def check_sides(sides: Mapping[str, Any]) -> None:
    """Raises ``ValueError`` where one of them is no length in pixels."""
    for key, value in sides.items():
        if type(value) is not int or not 1 <= value <= LONGEST_SIDE:
            raise ValueError(f"{key}: expected an integer from 1 to {LONGEST_SIDE}, got {value!r}")


@dataclass(frozen=True, init=False, repr=False)
class Size:
    """The keys of one of :data:`RULES`, and perhaps one of :data:`ROUNDING`, each with a number of pixels.

    ``Size(height=224, width=224)``; keys that are None count as not given.

    Attributes:
        numbers: the keys and their numbers, in the order of the rule.
    """

    numbers: tuple[tuple[str, int], ...]

    def __init__(self, **keys: int | None) -> None:
        given = {key: value for key, value in keys.items() if value is not None}
        rounding = [key for key in given if key in ROUNDING]
        rule = next((rule for rule in RULES if set(rule) == set(given) - set(rounding)), None)
        if rule is None or not given or len(rounding) > 1:
            forms = ", ".join("{" + ", ".join(sorted(form)) + "}" for form in FORMS)
            raise ValueError(f"expected one of the key sets {forms}, got {{{', '.join(given)}}}")
        check_sides(given)
        if rule == ("height", "width") and given["height"] * given["width"] > MOST_PIXELS:
            raise ValueError(f"expected at most {MOST_PIXELS} pixels, got {given['height']}x{given['width']}")
        object.__setattr__(self, "numbers", tuple((key, given[key]) for key in (*rule, *rounding)))

    def __repr__(self) -> str:
        return f"Size({', '.join(f'{key}={value}' for key, value in self.numbers)})"

    def get(self, key: str) -> int | None:
        """The number of ``key``; None where it is not one of the size's."""
        return self.to_json().get(key)

    def to_json(self) -> dict[str, int]:
        return dict(self.numbers)

    def __str__(self) -> str:
        if self.rule[0] == "height, width":
            return "x".join(str(value) for _, value in self.numbers)
        return ", ".join(f"{key} {value}" for key, value in self.numbers)

    @property
    def is_static(self) -> bool:
        """Whether every image gets the same size."""
        return self.numbers[0][0] == "height"

    @property
    def fixed(self) -> tuple[int, int] | None:
        """That size, (height, width)."""
        return self.output_size(1, 1) if self.is_static else None

    @property
    def is_of_batch(self) -> bool:
        """Whether transformers gives all images of a batch the size of the widest one's."""
        return self.numbers[0][0] == "line_height"

    @property
    def rule(self) -> tuple[str, list[int]]:
        """The last arguments of :func:`runtime.geometry.output_size`: the rule's name and its numbers."""
        return ", ".join(key for key, _ in self.numbers), [value for _, value in self.numbers]

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """What an image of ``height`` x ``width`` is resized to.

        Raises ``InputError`` where the rule leaves no pixel, or asks for too many.
        """
        new_height, new_width = geometry.output_size(height, width, *self.rule)
        if new_height < 1 or new_width < 1 or new_height * new_width > MOST_PIXELS:
            expected = f"at most {MOST_PIXELS} pixels" if new_height * new_width else "at least 1 pixel a side"
            raise InputError(
                f"an image of {height}x{width} would be resized to {new_height}x{new_width} by the rule"
                f" '{self}': expected {expected}"
            )
        return new_height, new_width
