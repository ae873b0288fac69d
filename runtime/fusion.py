"""What a file with a model in it says of the joint between preprocessing and model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from .errors import ArtifactError


@dataclass(frozen=True)
class Fusion:
    """The joint, and what the model was before.

    Attributes:
        values: names of the graph's values that hold the Plan's outputs, by output; those that the model takes.
        inputs: the model's names for its inputs, by output.
        batch: images that the file takes at once, where that is fixed.
        group: whether the model takes groups of images as one, so that a row of its outputs is a pair's or a video's.
        length: images in a group, where that is fixed.
        unbatched: whether the model takes a single image, so that its outputs have no axis for the batch.
        outputs: names of what a TorchScript model gives, in order; it has none itself.
        model: for people: its producer, opset, nodes, parameters, inputs and outputs.
    """

    values: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    batch: int | None = None
    group: bool = False
    length: int | None = None
    unbatched: bool = False
    outputs: tuple[str, ...] = ()
    model: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Fusion:
        """Raises ``ArtifactError`` for anything that :meth:`to_json` did not write."""
        try:
            data = json.loads(text)
            known = {f.name for f in fields(cls)}
            if not isinstance(data, dict) or not set(data) <= known:
                raise ValueError(f"expected an object with the keys {', '.join(sorted(known))}")
            result = cls(**{**data, "outputs": tuple(data.get("outputs", ()))})
            numbers, names = (result.batch, result.length), (result.values, result.inputs)
            if not all(value is None or (type(value) is int and value > 0) for value in numbers):
                raise ValueError(f"batch and length: expected counts, got {numbers}")
            if not all(isinstance(part, dict) for part in (*names, result.model)):
                raise ValueError("values, inputs and model: expected objects")
            if not all(isinstance(name, str) for part in names for pair in part.items() for name in pair):
                raise ValueError("values and inputs: expected names")
            if not all(isinstance(name, str) for name in result.outputs):
                raise ValueError("outputs: expected names")
            if not (isinstance(result.group, bool) and isinstance(result.unbatched, bool)):
                raise ValueError("group and unbatched: expected true or false")
        except (ValueError, TypeError, RecursionError) as error:
            raise ArtifactError(f"what the file says of its model cannot be read: {error}") from error
        return result
