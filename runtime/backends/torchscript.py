"""A TorchScript artifact. torch deprecates TorchScript: everything that reads it is in this file."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from .. import artifact
from ..errors import ArtifactError
from ..fusion import Fusion
from ..plan import Plan
from .torch import TorchBackend


class TorchScriptBackend(TorchBackend):
    """Runs the file itself."""

    def __init__(self, path: str | os.PathLike[str], plan: Plan, device: Any = None) -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                module = torch.jit.load(os.fspath(path), map_location="cpu")  # type: ignore[no-untyped-call]
        except Exception as error:  # its unpickler raises about anything on bad data
            reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
            raise ArtifactError(f"{os.fspath(path)}: torch cannot load it ({reason})") from error
        super().__init__(module, plan, device)
        fusion = artifact.fusion(path)
        self.fusion = fusion or Fusion()
        self._fused = fusion is not None
        if fusion is not None:
            self.output_names = fusion.outputs

    def run(self, images: np.ndarray[Any, Any]) -> dict[str, torch.Tensor]:
        # Optimized, the first two calls take 9 seconds and 300 MB, and those behind no less time than without.
        with torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
            result = super().run(images)
        outputs = named(result) if self._fused else result
        if tuple(outputs) != self.output_names:
            raise ArtifactError(f"the file says that it gives {', '.join(self.output_names)}: got {', '.join(outputs)}")
        return outputs


def named(result: Any, name: str = "output") -> dict[str, torch.Tensor]:
    """The tensors in what a module gives: under a dict's keys; ``output_0`` and so on in a tuple; else ``output``."""
    if isinstance(result, torch.Tensor):
        return {name: result}
    found: dict[str, torch.Tensor] = {}
    if isinstance(result, Mapping):
        for key, value in result.items():
            found.update(named(value, str(key)))
    elif isinstance(result, (tuple, list)):
        for i, value in enumerate(result):
            found.update(named(value, f"{name}_{i}"))
    return found
