"""An ``nn.Module`` as an ONNX file that the preprocessing can be put in front of."""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from runtime.backends.torchscript import named
from runtime.errors import ArtifactError, BackendUnavailable, InputError
from runtime.lowering import lower, one_by_one
from runtime.plan import Plan
from runtime.preprocessor import Preprocessor

from ..onnx import OPSET
from .data import LARGEST
from .match import images

EXAMPLES = ((64, 48), (480, 640), (1080, 810), (8, 8))
"""Sizes of the image that a module is traced with: the first that the Plan takes."""

FRAMES = 8
"""Of a video, where the module's config does not say."""


def export(module: nn.Module, plan: Plan, path: Path, names: Mapping[str, str], opset: int | None) -> None:
    """Writes ``module`` in evaluation mode, its inputs called as the Plan's outputs; its batch is open where it can be.

    A tensor that it gives is called ``output``, those of a tuple ``output_0`` and so on, those of a dict by their keys.

    Args:
        names: the parameter of ``forward`` for an output of the Plan, where it has another name. The image goes to the
            first parameter where none has its name; others are left out then.

    Raises:
        ArtifactError: it needs more than the Plan gives, gives no tensors, or torch cannot export it.
        BackendUnavailable: onnxscript is not installed.
    """
    if importlib.util.find_spec("onnxscript") is None:
        raise BackendUnavailable("exporting a module needs onnxscript: pip install onnxscript")
    size = sum(tensor.nbytes for tensor in (*module.parameters(), *module.buffers()))
    options = {
        "dynamo": True, "verbose": False, "external_data": size > LARGEST,
        "opset_version": OPSET if opset is None else max(opset, OPSET),
    }  # fmt: skip
    with evaluating(module), torch.no_grad():
        inputs = examples(module, plan)
        parameters = parameters_of(module, plan, names)
        inputs = {name: value for name, value in inputs.items() if name in parameters}
        flat = Flat(module, list(parameters.values()))
        one = {name: value if plan.group else value[:1] for name, value in inputs.items()}
        several = not one_by_one(lower(plan.steps, plan.channels))
        attempts = [(inputs, (_dynamic(plan, inputs),))] if several else []
        for i, (values, shapes) in enumerate([*attempts, (one, None)]):
            try:
                _export(flat, values, path, shapes, options)
                return
            except ArtifactError:
                if i == len(attempts):
                    raise


def _export(module: Flat, inputs: Mapping[str, Tensor], path: Path, shapes: Any, options: Mapping[str, Any]) -> None:
    """``torch.onnx.export`` without its warnings and messages; ``shapes`` are the open axes."""
    try:
        outputs = module.named(*inputs.values())
    except Exception as error:  # whatever the module raises
        raise ArtifactError(f"the module fails on what the preprocessing gives: {_first_line(error)}") from error
    if not outputs:
        raise ArtifactError("the module gives no tensors: let its forward give a tensor, a tuple or a dict of them")
    with warnings.catch_warnings(), _quiet("torch.onnx", "onnxscript", "onnx_ir", "torch.export"):
        warnings.simplefilter("ignore")
        try:
            torch.onnx.export(
                module, tuple(inputs.values()), str(path), input_names=list(inputs), output_names=list(outputs),
                dynamic_shapes=shapes, **options,
            )  # fmt: skip
        except Exception as error:  # the exporter's errors have no common base but Exception
            raise ArtifactError(
                f"torch cannot export the module ({_first_line(error)}): export it to ONNX yourself, and give that file"
            ) from error


@contextlib.contextmanager
def _quiet(*names: str) -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextlib.contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Every part of ``module`` in evaluation mode, and as it was afterwards."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


class Flat(nn.Module):
    """A module that takes its inputs in order, and gives its tensors as a tuple."""

    def __init__(self, module: nn.Module, parameters: list[str]) -> None:
        super().__init__()
        self.module, self.parameter_names = module, parameters

    def named(self, *values: Tensor) -> dict[str, Tensor]:
        """The tensors by name."""
        return named(self.module(**dict(zip(self.parameter_names, values, strict=True))))

    def forward(self, *values: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.named(*values).values())


def parameters_of(module: nn.Module, plan: Plan, names: Mapping[str, str]) -> dict[str, str]:
    """The parameter of ``forward`` for each output of the Plan that it takes, as :func:`export` says.

    Raises:
        ArtifactError: it needs others.
    """
    plain = _parameters(module)
    known = {parameter.name for parameter in plain}
    for left, right in names.items():
        if left in plan.outputs and right not in known:
            raise ArtifactError(f"map: the module's forward has no {right!r} for {left}; it has {', '.join(known)}")
    found = {left: names.get(left, left) for left in plan.outputs if names.get(left, left) in known}
    if not set(found) & images(plan):
        first = next((p.name for p in plain if p.name not in found.values()), None)
        if first is None:
            raise ArtifactError("the module's forward has no parameter for the image")
        found = {plan.output: first, **found}
    needed = [p.name for p in plain if p.default is p.empty and p.name not in found.values()]
    if needed:
        raise ArtifactError(
            f"the module's forward needs {', '.join(needed)} too, but the preprocessing gives"
            f" {', '.join(plan.outputs)}: give an ONNX file, which may have other inputs"
        )
    return found


def _parameters(module: nn.Module) -> list[inspect.Parameter]:
    """Those of ``forward``."""
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    forward: Any = module.forward
    if not isinstance(module, torch.jit.ScriptModule):
        return [p for p in inspect.signature(forward).parameters.values() if p.kind in kinds]
    return [
        inspect.Parameter(
            a.name, kinds[1], default=a.default_value if a.has_default_value() else inspect.Parameter.empty
        )
        for a in forward.schema.arguments[1:]
    ]


def examples(module: nn.Module, plan: Plan, grouped: bool = True) -> dict[str, Tensor]:
    """The Plan's outputs on noise, of two images or groups, in the module's dtype; ``grouped``: with an axis more."""
    config = getattr(module, "config", None)
    length = 2 if plan.group == "pair" else getattr(config, "num_frames", None) or FRAMES
    number = 2 * length if plan.group else 1 if one_by_one(lower(plan.steps, plan.channels)) else 2
    outputs = None
    for height, width in [plan.input_size] if plan.input_size else EXAMPLES:
        shape = (number, height, width, plan.channels)
        with contextlib.suppress(InputError):
            outputs = Preprocessor(plan, "pil")._run.run(np.random.default_rng(0).integers(0, 256, shape, np.uint8))
            break
    if outputs is None:
        raise ArtifactError("the preprocessing takes none of the sizes that a module is traced with: give an ONNX file")
    first = next(iter(module.parameters()), None)
    found = {}
    for name, value in outputs.items():
        tensor = torch.from_numpy(np.ascontiguousarray(value))
        if plan.group and grouped:
            tensor = tensor.reshape(2, length, *tensor.shape[1:])
        if first is not None:
            tensor = tensor.to(first.device)
            if tensor.is_floating_point() and first.is_floating_point():
                tensor = tensor.to(first.dtype)
        found[name] = tensor
    return found


def _dynamic(plan: Plan, inputs: Mapping[str, Tensor]) -> tuple[dict[int, Any], ...]:
    """The open axes of each input: the batch, and those that follow the image's size."""
    from ..onnx import preprocess

    axis, ahead = torch.export.Dim.DYNAMIC, 1 if plan.group else 0
    lengths = {output.name: output.shape for output in preprocess(plan)[1]}
    return tuple(
        {0: axis, **{i + ahead: axis for i, n in enumerate(lengths[name]) if i and isinstance(n, str)}}
        for name in inputs
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
