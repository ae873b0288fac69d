"""What a fused file says of the model in it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from runtime import artifact
from runtime.errors import ArtifactError


@dataclass(frozen=True)
class ModelSummary:
    """A model as it was before it was fused.

    Attributes:
        producer: what made it, empty where it did not say.
        opset: versions by domain; empty for TorchScript.
        nodes: how many there are, those of graphs inside included; 0 for TorchScript.
        parameters: numbers among its weights.
        inputs: name, dtype and shape of each, and the output of the preprocessing that it takes, empty for an input of
            the file.
        outputs: name, dtype and shape of each.
    """

    producer: str
    opset: dict[str, int]
    nodes: int
    parameters: int
    inputs: tuple[tuple[str, str, str, str], ...]
    outputs: tuple[tuple[str, str, str], ...]

    def __str__(self) -> str:
        """A line, and one for each input and output."""
        domains = [f"opset {v}" if k == "ai.onnx" else f"{k} {v}" for k, v in self.opset.items()]
        counts = [f"{self.nodes} nodes"] if self.nodes else []
        parts = [self.producer, *domains, *counts, f"{self.parameters:,} parameters"]
        lines = [", ".join(part for part in parts if part)]
        for name, dtype, shape, source in self.inputs:
            origin = f"from {source}" if source else "an input of the file"
            lines.append(f"takes {name}: {dtype} {shape}".rstrip() + f", {origin}")
        lines += [f"gives {name}: {dtype} {shape}".rstrip() for name, dtype, shape in self.outputs]
        return "\n".join(lines)


def model_summary(path: str | os.PathLike[str]) -> ModelSummary | None:
    """Of a fused file; ``None`` where there is no model in it. Only the metadata is read, no weights.

    Raises:
        ArtifactError: the file cannot be read, or does not say what it should.
    """
    fusion = artifact.fusion(path)
    if fusion is None:
        return None
    sources = {name: output for output, name in fusion.inputs.items()}
    model = fusion.model
    try:
        inputs = [(str(i["name"]), str(i["dtype"]), _shape(i["shape"])) for i in model.get("inputs", ())]
        outputs = tuple((str(o["name"]), str(o["dtype"]), _shape(o["shape"])) for o in model.get("outputs", ()))
        return ModelSummary(
            str(model.get("producer", "")), {str(k): int(v) for k, v in model.get("opset", {}).items()},
            int(model.get("nodes", 0)), int(model.get("parameters", 0)),
            tuple((*value, sources.get(value[0], "")) for value in inputs), outputs,
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ArtifactError(f"{os.fspath(path)}: what it says of its model cannot be read ({error!r})") from error


def _shape(shape: Any) -> str:
    """As ``[batch, 3, 224, 224]``; empty where it is unknown."""
    return "" if shape is None else f"[{', '.join('?' if length is None else str(length) for length in shape)}]"
