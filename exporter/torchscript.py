"""A Plan as a TorchScript file. torch deprecates TorchScript: everything that writes it is in this file."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from runtime import artifact
from runtime.backends.torch import Preprocess
from runtime.backends.torchscript import named
from runtime.errors import ArtifactError
from runtime.fusion import Fusion
from runtime.plan import Plan

from .atomic import atomic

FLOATS = {torch.float16: "torch.float16", torch.bfloat16: "torch.bfloat16", torch.float64: "torch.float64"}
"""Dtypes of a model's weights that the image is rounded to, or widened."""


def to_torchscript(
    plan: Plan,
    path: str | os.PathLike[str],
    model: Any = None,
    *,
    map: Mapping[str, str] | None = None,
) -> None:
    """Writes ``plan`` as one TorchScript file, which ``torch.jit.load`` runs without this package.

    The module takes uint8 ``[N, H, W, 3]`` or ``[N, 3, H, W]`` and gives a dict of tensors, or what ``model`` gives.

    Args:
        plan: of :func:`exporter.trace`.
        path: the file; written whole or not at all.
        model: a scripted or traced module to put behind the preprocessing, or an ``nn.Module``, which is scripted; on
            the CPU. The image goes to its first parameter, other outputs of the Plan to those that have their names;
            the image is cast to the dtype of its weights. Of a Plan for pairs or videos, it gets groups of images,
            ``[groups, images, ...]``: pairs, or one video.
        map: the model's parameter for an output of the Plan, where it has another name.

    Raises:
        ArtifactError: the file cannot be written, or the model cannot be scripted or does not take what it gets.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit's deprecation
        if model is not None:
            _to_fused(plan, path, model, dict(map or {}))
            return
        if map:
            raise ArtifactError("map: says what a model's inputs are called: give a model too")
        _save(torch.jit.script(Preprocess(plan).eval()), path, {artifact.PLAN_ENTRY: plan.to_json()})


def _save(scripted: Any, path: str | os.PathLike[str], extra: dict[str, str]) -> None:
    with atomic(path) as temporary:
        torch.jit.save(scripted, str(temporary), _extra_files=extra)
        artifact.seal(temporary)


def _to_fused(plan: Plan, path: str | os.PathLike[str], model: Any, names: dict[str, str]) -> None:
    from .fusing.module import evaluating

    if not isinstance(model, nn.Module):
        raise ArtifactError(f"model: expected a torch.jit.ScriptModule or nn.Module, got {type(model).__name__}")
    with evaluating(model):  # also while it is saved
        scripted, fusion = _fused(plan, model, names)
        _save(scripted, path, {artifact.PLAN_ENTRY: plan.to_json(), artifact.FUSED_ENTRY: fusion.to_json()})


def _fused(plan: Plan, model: nn.Module, names: dict[str, str]) -> tuple[Any, Fusion]:
    """The module of both, and what the file says of it. ``finish`` is the part behind the preprocessing."""
    from .fusing.match import check_map
    from .fusing.module import examples, parameters_of

    check_map(names, plan.outputs)
    if any(tensor.device.type != "cpu" for tensor in (*model.parameters(), *model.buffers())):
        raise ArtifactError("the model is not on the CPU: call model.cpu() before")
    parameters = parameters_of(model, plan, names)
    try:
        behind = model if isinstance(model, torch.jit.ScriptModule) else torch.jit.script(model)
    except Exception as error:  # torch.jit raises errors of many classes
        raise ArtifactError(
            f"the model cannot be scripted ({_first_line(error)}): give what torch.jit.trace makes of it"
        ) from error

    class Fused(nn.Module):
        """Holds both; what runs them is added below. A class each time, as TorchScript adds to the class."""

        def __init__(self, preprocess: nn.Module, model: nn.Module) -> None:
            super().__init__()
            self.preprocess, self.model = preprocess, model

    scripted = torch.jit.script(Fused(Preprocess(plan).eval(), behind))
    scripted.define(_source(plan, model, parameters))
    scripted.define("def forward(self, images: Tensor):\n    return self.finish(self.preprocess(images))\n")
    scripted.eval()
    values = examples(model, plan, grouped=False)
    try:
        with torch.no_grad(), torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
            outputs = named(scripted.finish(values))
    except Exception as error:  # as above
        raise ArtifactError(f"the model fails on what the preprocessing gives: {_last_line(error)}") from error
    if not outputs:
        raise ArtifactError("the model gives no tensors: let its forward give a tensor, a tuple or a dict of them")
    summary = {
        "producer": f"torch {torch.__version__}",
        "parameters": sum(tensor.numel() for tensor in model.parameters()),
        "inputs": [{"name": name, **_plain(values[output])} for output, name in parameters.items()],
        "outputs": [{"name": name, **_plain(value)} for name, value in outputs.items()],
    }
    length = 2 if plan.group == "pair" else None
    taken = {name: name for name in parameters}
    return scripted, Fusion(taken, parameters, None, bool(plan.group), length, False, tuple(outputs), summary)


def _plain(value: torch.Tensor) -> dict[str, Any]:
    """For people; lengths are not known."""
    return {"dtype": str(value.dtype).removeprefix("torch."), "shape": [None] * value.dim()}


def _source(plan: Plan, model: nn.Module, parameters: Mapping[str, str]) -> str:
    """``finish``: the Plan's outputs to the model's result."""
    first = next((tensor.dtype for tensor in model.parameters() if tensor.is_floating_point()), torch.float32)
    lines, arguments = ["def finish(self, values: Dict[str, Tensor]):"], []
    for i, (name, parameter) in enumerate(parameters.items()):
        lines.append(f'    value_{i} = values["{name}"]')
        if first in FLOATS:
            lines.append(f"    if value_{i}.is_floating_point():")
            lines.append(f"        value_{i} = value_{i}.to({FLOATS[first]})")
        if plan.group:
            groups = "-1, 2" if plan.group == "pair" else "1, -1"
            lines.append(f"    value_{i} = value_{i}.reshape([{groups}] + list(value_{i}.shape[1:]))")
        arguments.append(f"{parameter}=value_{i}")
    return "\n".join([*lines, f"    return self.model({', '.join(arguments)})", ""])


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1][:200] if str(error).strip() else type(error).__name__
