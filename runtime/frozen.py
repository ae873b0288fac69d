"""A JSON object that stays as it is."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any


class FrozenJson(Mapping[str, Any]):
    """A JSON object that can be hashed and pickled, and not be changed: every look at a value gives a new copy.

    Raises ``ValueError`` and ``TypeError`` for what JSON cannot hold, NaN and infinity among it.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._text = json.dumps(dict(values), allow_nan=False, sort_keys=True)

    def __getitem__(self, key: str) -> Any:
        return json.loads(self._text)[key]

    def __iter__(self) -> Iterator[str]:
        return iter(json.loads(self._text))

    def __len__(self) -> int:
        return len(json.loads(self._text))

    def __eq__(self, other: object) -> bool:
        return self._text == other._text if isinstance(other, FrozenJson) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return self._text
