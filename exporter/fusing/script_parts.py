"""A fused TorchScript file taken apart, as :class:`exporter.fusing.parts.Parts` takes an ONNX file apart."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from runtime import artifact
from runtime.backends.torchscript import named
from runtime.errors import ArtifactError, InputError
from runtime.fusion import Fusion
from runtime.plan import Plan

Array = np.ndarray[Any, Any]


class ScriptParts:
    """The two halves of a fused file, which it has under names of their own."""

    def __init__(self, path: Path, plan: Plan) -> None:
        self.fusion = artifact.fusion(path) or Fusion()
        self.inputs: list[onnx.ValueInfoProto] = []
        self._axes = (0, 3, 1, 2) if plan.layout == "NHWC" else (0, 1, 2, 3)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch.jit's deprecation
            self._module: Any = torch.jit.load(str(path), map_location="cpu").eval()  # type: ignore[no-untyped-call]
        if not hasattr(self._module, "finish"):
            raise ArtifactError(f"{path}: its metadata does not fit its module; export it again")

    def preprocess(self, images: Array) -> dict[str, Array]:
        """As of :class:`Parts`."""
        values = self._run(self._module.preprocess, torch.from_numpy(images).permute(self._axes))
        return {name: values[name] for name in self.fusion.values}

    def finish(self, outputs: Mapping[str, Array], images: Array, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """As of :class:`Parts`."""
        values = {name: torch.from_numpy(np.ascontiguousarray(outputs[name])) for name in self.fusion.values}
        return self._run(self._module.finish, values)

    def _run(self, function: Any, argument: Any) -> dict[str, Array]:
        try:
            with torch.no_grad(), torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
                return {name: value.numpy() for name, value in named(function(argument)).items()}
        except (ValueError, RuntimeError, torch.jit.Error) as error:
            raise InputError(str(error).strip().splitlines()[-1][:200]) from error
