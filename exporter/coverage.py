"""What is supported, read from the registry: the table of the README."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from models.config import to_steps
from models.families import FAMILIES
from models.family import Family
from models.refused import REFUSED
from runtime.errors import UnsupportedConfig
from runtime.plan import Plan


@dataclass(frozen=True)
class Row:
    """One processor of transformers.

    Attributes:
        family: its name.
        model_types: of the models that use it.
        kind: ``exact``, ``bounded``, ``partly`` (its defaults are refused) or ``refused``.
        note: how far values may be off; which key to set; or why it is refused.
    """

    family: str
    model_types: tuple[str, ...]
    kind: str
    note: str = ""


def coverage() -> tuple[Row, ...]:
    """Every processor of transformers 5.23, supported or not, by name."""
    rows = [_row(family) for family in FAMILIES.values()]
    rows += [Row(refused.name, refused.model_types, "refused", refused.reason) for refused in REFUSED.values()]
    return tuple(sorted(rows, key=lambda row: row.family.lower()))


def _row(family: Family) -> Row:
    reference, channels = "pillow13" if family.has_pil else "torchvision", family.channels or 3
    try:
        steps = to_steps(family, {}, {}, reference, channels=channels)
    except UnsupportedConfig as error:
        return Row(family.name, family.model_types, "partly", str(error))
    bound = Plan(steps, reference, channels=channels).bound
    if bound:
        return Row(family.name, family.model_types, "bounded", f"{bound:g}")
    return Row(family.name, family.model_types, "exact")


def markdown() -> str:
    """:func:`coverage` as the README has it."""
    words = {"exact": "exact", "partly": "exact, once the key is set that the message names"}
    groups: dict[str, list[Row]] = {text: [] for text in words.values()}
    for row in sorted(coverage(), key=lambda row: row.kind == "refused"):
        bounded = f"within {row.note} of torch's floats, times the largest"
        text = words.get(row.kind) or (bounded if row.kind == "bounded" else f"refused: {row.note}")
        groups.setdefault(text, []).append(row)
    lines = [_line(text, rows) for text, rows in groups.items() if rows]
    return "\n".join(["| | families of transformers 5.23 | model types |", "|---|---|---|", *lines])


def _line(text: str, rows: Sequence[Row]) -> str:
    model_types = sorted(model_type for row in rows for model_type in row.model_types)
    return f"| {text} | {len(rows)}: {', '.join(row.family for row in rows)} | {', '.join(model_types)} |"
