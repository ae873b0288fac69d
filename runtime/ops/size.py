"""The size forms of transformers' configs, and the output size each one gives."""

from __future__ import annotations

from dataclasses import dataclass

from .. import geometry
from ..errors import InputError

LONGEST_SIDE = 65_535
"""Larger sizes are refused: no model has one, and a typo should not allocate gigabytes."""

MOST_PIXELS = 178_956_970
"""Largest result of a resize, as large as the largest image: a very narrow image would ask for gigabytes."""

FORMS = (
    {"height", "width"},
    {"shortest_edge"},
    {"shortest_edge", "longest_edge"},
    {"max_height", "max_width"},
)
"""The key sets of configs."""

OTHER_FORMS: tuple[set[str], ...] = (
    {"scaled_shortest_edge", "scaled_longest_edge"},
    {"half_up_shortest_edge", "half_up_longest_edge"},
    {"half_up_longest_edge"},
    {"rounded_longest_edge"},
    {"rounded_longest_edge", "min_edge"},
    {"truncated_longest_edge"},
    {"rounded_shortest_edge"},
    {"thumbnail_height", "thumbnail_width"},
    *({key, *rest} for key in ("limit_max", "limit_min", "limit_long") for rest in ((), ("max_side_limit",))),
    {"line_height", "line_width", "max_line_width"},
    {"fit_height", "fit_width"},
    {"cover_height", "cover_width"},
    {"min_height", "min_width"},
    {"square"},
    {"ratio_height", "ratio_width"},
    {"nearest_height", "nearest_width", "multiple", "per"},
    {"stretched_height", "stretched_width", "multiple", "per"},
    {"sqrt_margin"},
    {"past_multiple"},
    set(),
)
"""Rules under names that no config has: see :mod:`runtime.geometry`."""

ROUNDING = ("floor_to", "ceil_to")
"""Keys that round what the others give to a multiple; the image's own size where they stand alone."""


@dataclass(frozen=True)
class Size:
    """One of the key sets in :data:`FORMS` and :data:`OTHER_FORMS`, in pixels, and perhaps one of :data:`ROUNDING`.

    Those of configs are transformers' (``SizeDict``, image_utils.py:1034).
    """

    height: int | None = None
    width: int | None = None
    shortest_edge: int | None = None
    longest_edge: int | None = None
    max_height: int | None = None
    max_width: int | None = None
    scaled_shortest_edge: int | None = None
    scaled_longest_edge: int | None = None
    half_up_shortest_edge: int | None = None
    half_up_longest_edge: int | None = None
    rounded_longest_edge: int | None = None
    min_edge: int | None = None
    truncated_longest_edge: int | None = None
    rounded_shortest_edge: int | None = None
    thumbnail_height: int | None = None
    thumbnail_width: int | None = None
    limit_max: int | None = None
    limit_min: int | None = None
    limit_long: int | None = None
    max_side_limit: int | None = None
    line_height: int | None = None
    line_width: int | None = None
    max_line_width: int | None = None
    fit_height: int | None = None
    fit_width: int | None = None
    cover_height: int | None = None
    cover_width: int | None = None
    min_height: int | None = None
    min_width: int | None = None
    square: int | None = None
    ratio_height: int | None = None
    ratio_width: int | None = None
    nearest_height: int | None = None
    nearest_width: int | None = None
    stretched_height: int | None = None
    stretched_width: int | None = None
    multiple: int | None = None
    per: int | None = None
    sqrt_margin: int | None = None
    past_multiple: int | None = None
    floor_to: int | None = None
    ceil_to: int | None = None

    def __post_init__(self) -> None:
        given = self.to_json()
        rounding = [key for key in given if key in ROUNDING]
        if not given or len(rounding) > 1 or set(given) - set(rounding) not in (*FORMS, *OTHER_FORMS):
            forms = ", ".join("{" + ", ".join(sorted(form)) + "}" for form in FORMS)
            raise ValueError(f"expected one of the key sets {forms}, got {{{', '.join(given)}}}")
        for key, value in given.items():
            if type(value) is not int or not 1 <= value <= LONGEST_SIDE:
                raise ValueError(f"{key}: expected an integer from 1 to {LONGEST_SIDE}, got {value!r}")

    def to_json(self) -> dict[str, int]:
        return {key: value for key, value in vars(self).items() if value is not None}

    def __str__(self) -> str:
        if self.height is not None:
            return f"{self.height}x{self.width}"
        return ", ".join(f"{key} {value}" for key, value in self.to_json().items())

    @property
    def is_static(self) -> bool:
        """Whether every image gets the same size."""
        return self.height is not None

    @property
    def fixed(self) -> tuple[int, int] | None:
        """That size, (height, width)."""
        return self.output_size(1, 1) if self.is_static else None

    @property
    def is_of_batch(self) -> bool:
        """Whether transformers gives all images of a batch the size of the widest one's."""
        return self.line_height is not None

    @property
    def rule(self) -> tuple[str, list[int]]:
        """The last arguments of :func:`runtime.geometry.output_size`: the rule's name and its numbers."""
        given = self.to_json()
        return ", ".join(given), list(given.values())

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
