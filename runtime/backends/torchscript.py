"""A TorchScript artifact. torch deprecates TorchScript: everything that reads it is in this file."""

from __future__ import annotations

import os
import warnings
from typing import Any

import numpy as np
import torch

from ..errors import ArtifactError
from ..plan import Plan
from .torch import TorchBackend


class TorchScriptBackend(TorchBackend):
    """Runs the file itself."""

    def __init__(self, path: str | os.PathLike[str], plan: Plan, device: Any = None) -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                module = torch.jit.load(os.fspath(path), map_location="cpu")  # type: ignore[no-untyped-call]
        except (RuntimeError, ValueError) as error:
            raise ArtifactError(
                f"{os.fspath(path)}: torch cannot load it ({str(error).splitlines()[0][:200]})"
            ) from error
        super().__init__(module, plan, device)

    def run(self, images: np.ndarray[Any, Any]) -> dict[str, torch.Tensor]:
        # Optimized, the first two calls take 9 seconds and 300 MB, and those behind no less time than without.
        with torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
            return super().run(images)
