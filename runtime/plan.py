"""The Plan: what a config means, as a tuple of typed steps. It is all that passes between the packages."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from .errors import ArtifactError, InputError
from .formats import FORMAT, upgraded
from .frozen import FrozenJson
from .groups import GROUPS
from .lowering import Kernel, check_size, lower, output_names
from .ops import STEPS, Branch, Step
from .ops.size import Size
from .postprocess import POSTPROCESSORS
from .registry import name_of

if TYPE_CHECKING:
    from .postprocess import Postprocess

REFERENCES = ("pillow13", "pillow12.2", "pillow12.1", "torchvision")

TEXTS = ("reference", "family", "source", "layout", "output", "group", "architecture", "problem_type")

NAME = re.compile(r"[A-Za-z]\w*", re.ASCII)
"""Of an output."""

FLOAT16_STEP = 2.0**-10
"""How far neighbours in float16 are apart, times the larger one."""


@dataclass(frozen=True)
class Plan:
    """A preprocessing pipeline from images to named tensors.

    Attributes:
        steps: run in order; each one's dataclass says what it does.
        reference: whose bits every backend gives, one of :data:`REFERENCES`; but see :attr:`bound`.
        family: transformers' name of the processor, such as ``CLIP``.
        source: where the config came from, for people.
        layout: of the artifact's input, ``NHWC`` or ``NCHW``.
        output: the name of the image in the outputs.
        group: of what :class:`runtime.Preprocessor` takes: ``pair`` of images, ``video`` for lists of frames, or empty
            for images. It stacks their outputs, ``[batch, images, ...]``; an artifact itself runs a batch of images.
        labels: a classifier's class names by index; empty where unknown.
        channels: of the images: 3 for RGB, 1 for grayscale (PIL's mode ``L``), 4 for ``RGBA``.
        input_size: (height, width) of every image where the artifact is made for one size, which makes it faster.
        config: what the steps were made of, as a ``preprocessor_config.json`` says it; no backend reads it. Empty where
            the source was not one of transformers'.
        architecture: the model's class as the ``config.json`` beside it says, such as ``ViTForImageClassification``.
        problem_type: of a classifier, as there; empty where it does not say.
        postprocess: what a file with a model in it does with the model's outputs; ``None`` leaves them as they are.
    """

    steps: tuple[Step, ...]
    reference: str
    family: str = ""
    source: str = ""
    layout: str = "NHWC"
    output: str = "pixel_values"
    group: str = ""
    labels: tuple[str, ...] = field(default=(), repr=False)
    channels: int = 3
    input_size: tuple[int, int] | None = None
    config: Mapping[str, Any] = field(default=FrozenJson({}), repr=False)
    architecture: str = ""
    problem_type: str = ""
    postprocess: Postprocess | None = None

    def __post_init__(self) -> None:
        if self.reference not in REFERENCES:
            raise ValueError(f"reference: expected one of {', '.join(REFERENCES)}, got {self.reference!r}")
        if self.layout not in ("NHWC", "NCHW"):
            raise ValueError(f"layout: expected NHWC or NCHW, got {self.layout!r}")
        if self.group not in GROUPS:
            raise ValueError(f"group: expected one of {', '.join(map(repr, GROUPS))}, got {self.group!r}")
        if len(set(self.outputs)) < len(self.outputs) or not all(NAME.fullmatch(name) for name in self.outputs):
            raise ValueError(f"outputs: expected different names, of letters and _, got {', '.join(self.outputs)}")
        if type(self.channels) is not int or self.channels not in (1, 3, 4):
            raise ValueError(f"channels: expected 1, 3 or 4, got {self.channels!r}")
        object.__setattr__(self, "config", FrozenJson(self.config))
        kernels = lower(self.steps, self.channels)
        if self.input_size is not None:
            self._check_input_size(kernels)

    def _check_input_size(self, kernels: Sequence[Kernel]) -> None:
        size = self.input_size
        if not isinstance(size, tuple) or len(size) != 2 or not all(type(n) is int and n > 0 for n in size):
            raise ValueError(f"input_size: expected (height, width) in pixels, got {size!r}")
        try:
            check_size(kernels, *size)
        except InputError as error:
            raise ValueError(f"input_size: {error}") from error

    def __str__(self) -> str:
        return "\n".join(f"{i}. {step}" for i, step in enumerate(self.steps, 1))

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the output tensors, the image's first."""
        return (self.output, *output_names(self.steps))

    @property
    def bound(self) -> float:
        """How far backends may differ, times the largest absolute value: 0 where all give the same bits."""
        steps = tuple(_all_steps(self.steps))
        bound = max((step.bound for step in steps), default=0.0)
        # What differs at all may round to neighbours.
        return max(bound, FLOAT16_STEP) if bound and any(step.gives == "float16" for step in steps) else bound

    def to_json(self) -> str:
        """The Plan as JSON with its format number; :meth:`from_json` gives an equal Plan back."""
        values: dict[str, Any] = {"format": FORMAT, **{f.name: getattr(self, f.name) for f in fields(self)}}
        values["config"] = dict(self.config)
        values["postprocess"] = None if self.postprocess is None else _plain(self.postprocess)
        return json.dumps({**values, "steps": [_plain(step) for step in self.steps]}, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """Raises ``ArtifactError`` for anything that :meth:`to_json` did not write."""
        try:
            data = json.loads(text)
            version = data["format"]
            if type(version) is not int or not 1 <= version <= FORMAT:
                raise ArtifactError(
                    f"the Plan has format {version!r}, this release reads 1 to {FORMAT}: update the package"
                )
            data = upgraded(data)
            del data["format"]
            lists = {name: data.pop(name) for name in ("steps", "labels")}
            size = data.pop("input_size")
            config, postprocess = data.pop("config"), data.pop("postprocess")
            numbers = {"channels": data.pop("channels"), "input_size": tuple(size) if isinstance(size, list) else size}
            texts = {name: data.pop(name) for name in TEXTS}
            if data:
                raise ValueError(f"unknown keys {', '.join(data)}")
            if not all(isinstance(value, list) for value in lists.values()):
                raise ValueError("steps and labels: expected lists")
            if not isinstance(config, dict):
                raise ValueError("config: expected an object")
            if not all(isinstance(value, str) for value in (*texts.values(), *lists["labels"])):
                raise ValueError("expected strings")
            steps = tuple(_step(item) for item in lists["steps"])
            behind = None if postprocess is None else _from_plain(postprocess, POSTPROCESSORS)
            return cls(steps, labels=tuple(lists["labels"]), config=config, postprocess=behind, **numbers, **texts)
        except KeyError as error:
            raise ArtifactError(f"the Plan in the file cannot be read: it lacks {error}") from error
        except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise ArtifactError(f"the Plan in the file cannot be read: {error}") from error


def _all_steps(steps: Sequence[Step]) -> Iterator[Step]:
    """The steps, and those of their branches."""
    for step in steps:
        yield step
        if isinstance(step, Branch):
            yield from _all_steps(step.steps)


def _plain(step: Step | Postprocess) -> dict[str, Any]:
    """A step as JSON takes it."""
    values = {f.name: getattr(step, f.name) for f in fields(step)}
    if isinstance(step, Branch):
        values["steps"] = [_plain(inner) for inner in step.steps]
    sizes = {key: value.to_json() for key, value in values.items() if isinstance(value, Size)}
    return {"op": name_of(type(step)), **values, **sizes}


def _step(item: Any) -> Step:
    step: Step = _from_plain(item, STEPS)
    return step


def _from_plain(item: Any, kinds: Mapping[str, Any]) -> Any:
    """One of ``kinds`` from its JSON, every field checked against the dataclass."""
    if not isinstance(item, dict):
        raise ValueError(f"steps: expected objects, got {item!r}")
    values = dict(item)
    name = values.pop("op")
    if not isinstance(name, str) or name not in kinds:
        raise ValueError(f"op: expected one of {', '.join(kinds)}, got {name!r}")
    kind = kinds[name]
    if set(values) != {f.name for f in fields(kind)}:
        expected = ", ".join(f.name for f in fields(kind)) or "none"
        raise ValueError(f"{name}: expected the keys {expected}, got {', '.join(values) or 'none'}")
    return kind(**{f.name: _field(f"{name}.{f.name}", str(f.type), values[f.name]) for f in fields(kind)})


def _field(path: str, kind: str, value: Any) -> Any:
    """One field's value from its JSON; ``kind`` is its annotation."""
    if kind == "Size" and isinstance(value, dict):
        return Size(**value)
    if kind == "tuple[Step, ...]" and isinstance(value, list):
        return tuple(_step(item) for item in value)
    if kind == "str" and isinstance(value, str):
        return value
    if kind == "bool" and isinstance(value, bool):
        return value
    if kind == "int" and type(value) is int:
        return value
    if kind == "float" and type(value) in (int, float):
        return float(value)
    if kind == "tuple[float, ...]" and isinstance(value, list) and all(type(n) in (int, float) for n in value):
        return tuple(float(n) for n in value)
    raise ValueError(f"{path}: expected {kind}, got {value!r}")
