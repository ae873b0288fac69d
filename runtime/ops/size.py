"""The size forms of transformers' configs, and the output size each one gives."""

from __future__ import annotations

from dataclasses import asdict, dataclass

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


@dataclass(frozen=True)
class Size:
    """One of the key sets in :data:`FORMS`, in pixels (transformers' ``SizeDict``, image_utils.py:1034)."""

    height: int | None = None
    width: int | None = None
    shortest_edge: int | None = None
    longest_edge: int | None = None
    max_height: int | None = None
    max_width: int | None = None

    def __post_init__(self) -> None:
        given = self.to_json()
        if set(given) not in FORMS:
            forms = ", ".join("{" + ", ".join(sorted(form)) + "}" for form in FORMS)
            raise ValueError(f"expected one of the key sets {forms}, got {{{', '.join(given)}}}")
        for key, value in given.items():
            if type(value) is not int or not 1 <= value <= LONGEST_SIDE:
                raise ValueError(f"{key}: expected an integer from 1 to {LONGEST_SIDE}, got {value!r}")

    def to_json(self) -> dict[str, int]:
        return {key: value for key, value in asdict(self).items() if value is not None}

    def __str__(self) -> str:
        if self.height is not None:
            return f"{self.height}x{self.width}"
        return ", ".join(f"{key} {value}" for key, value in self.to_json().items())

    @property
    def is_static(self) -> bool:
        """Whether every image gets the same size."""
        return self.height is not None

    @property
    def rule(self) -> tuple[str, int, int]:
        """The arguments of :func:`runtime.geometry.output_size`: the rule's name and its one or two numbers."""
        given = self.to_json()
        numbers = [*given.values(), 0]
        return ", ".join(given), numbers[0], numbers[1]
