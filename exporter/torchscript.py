"""A Plan as a TorchScript file. torch deprecates TorchScript: everything that writes it is in this file."""

from __future__ import annotations

import os
import warnings

import torch

from runtime import artifact
from runtime.backends.torch import Preprocess
from runtime.plan import Plan


def to_torchscript(plan: Plan, path: str | os.PathLike[str]) -> None:
    """Writes ``plan`` as one TorchScript file, which ``torch.jit.load`` runs without this package.

    The module takes uint8 ``[N, H, W, 3]`` or ``[N, 3, H, W]`` and gives a dict of tensors.

    Raises:
        ArtifactError: the file cannot be written.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit's deprecation
        scripted = torch.jit.script(Preprocess(plan).eval())
        with artifact.atomic(path) as temporary:
            torch.jit.save(scripted, str(temporary), _extra_files={artifact.PLAN_ENTRY: plan.to_json()})
