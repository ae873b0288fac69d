"""The Plan: what a config means, as a tuple of typed steps. It is all that passes between the packages."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from .errors import ArtifactError
from .lowering import lower
from .ops import STEPS, Step
from .ops.size import Size

FORMAT = 1
"""The number in a Plan's JSON; raised when a reader of the old form would misread the new one."""

REFERENCES = ("pillow13", "pillow12.2", "pillow12.1", "torchvision")

_NAMES = {step: name for name, step in STEPS.items()}


@dataclass(frozen=True)
class Plan:
    """A preprocessing pipeline from RGB images to named tensors.

    Attributes:
        steps: run in order; each one's dataclass says what it does.
        reference: whose bits every backend gives, one of :data:`REFERENCES`.
        family: transformers' name of the processor, such as ``CLIP``.
        source: where the config came from, for people.
        layout: of the artifact's input, ``NHWC`` or ``NCHW``.
        outputs: names of the output tensors.
        labels: a classifier's class names by index; empty where unknown.
    """

    steps: tuple[Step, ...]
    reference: str
    family: str = ""
    source: str = ""
    layout: str = "NHWC"
    outputs: tuple[str, ...] = ("pixel_values",)
    labels: tuple[str, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if self.reference not in REFERENCES:
            raise ValueError(f"reference: expected one of {', '.join(REFERENCES)}, got {self.reference!r}")
        if self.layout not in ("NHWC", "NCHW"):
            raise ValueError(f"layout: expected NHWC or NCHW, got {self.layout!r}")
        if self.outputs != ("pixel_values",):
            raise ValueError(f"outputs: expected pixel_values, got {self.outputs!r}")
        lower(self.steps)

    def __str__(self) -> str:
        return "\n".join(f"{i}. {step}" for i, step in enumerate(self.steps, 1))

    def to_json(self) -> str:
        """The Plan as JSON with its format number; :meth:`from_json` gives an equal Plan back."""
        steps = [{"op": _NAMES[type(step)], **_plain(step)} for step in self.steps]
        rest = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "steps"}
        return json.dumps({"format": FORMAT, **rest, "steps": steps}, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """Raises ``ArtifactError`` for anything that :meth:`to_json` did not write."""
        try:
            data = json.loads(text)
            version = data.pop("format")
            if version != FORMAT:
                raise ArtifactError(f"the Plan has format {version!r}, this release reads {FORMAT}: update the package")
            steps = tuple(_step(item) for item in data.pop("steps"))
            outputs, labels = tuple(data.pop("outputs")), tuple(data.pop("labels"))
            if not all(isinstance(v, str) for v in (*data.values(), *outputs, *labels)):
                raise ValueError("expected strings")
            return cls(steps, outputs=outputs, labels=labels, **data)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ArtifactError(f"the Plan in the file cannot be read: {error}") from error


def _plain(step: Step) -> dict[str, Any]:
    return {key: Size(**v).to_json() if key == "size" else v for key, v in asdict(step).items()}


def _step(item: Mapping[str, Any]) -> Step:
    """One step from its JSON, every field checked against the dataclass."""
    values = dict(item)
    kind = STEPS[values.pop("op")]
    for f in fields(kind):
        if f.name not in values:
            raise ValueError(f"{_NAMES[kind]} lacks {f.name}")
        value = values[f.name]
        expected: tuple[type, ...] = {"float": (int, float), "int": (int,), "str": (str,), "Size": (dict,)}.get(
            str(f.type), (list,)
        )
        numbers = value if isinstance(value, list) else [value]
        if not isinstance(value, expected) or any(isinstance(n, (bool, list)) for n in numbers):
            raise ValueError(f"{_NAMES[kind]}.{f.name}: expected {f.type}, got {value!r}")
        if isinstance(value, list):
            values[f.name] = tuple(float(n) for n in value)
        elif isinstance(value, dict):
            values[f.name] = Size(**value)
    return kind(**values)
