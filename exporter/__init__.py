"""Exports image preprocessing: ``trace`` a config, then ``to_onnx``, ``to_torchscript`` or ``to_module``."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

    from runtime.plan import Plan

__all__ = ["register_transformers", "save_config", "to_module", "to_onnx", "to_torchscript", "trace", "verify"]


def _check_siblings() -> None:
    """``models`` and ``runtime`` are common names: a user's own ``models.py`` would hide ours."""
    here = Path(__file__).parent.parent
    for name in ("models", "runtime"):
        spec = importlib.util.find_spec(name)
        places = [*(spec.submodule_search_locations or [spec.origin or "built in"])] if spec else []
        expected = here / name
        if not any(Path(place) == expected for place in places):
            raise ImportError(
                f"export-preprocessor needs its package {name!r} at {expected}, but Python finds"
                f" {places[0] if places else 'none'}: rename yours, or run from another folder"
            )


_check_siblings()

# After the check, which explains a hidden sibling.
from .save import save_config  # noqa: E402
from .trace import trace  # noqa: E402
from .verify import verify  # noqa: E402


def to_module(plan: Plan, *, output: str | None = None, differentiable: bool = False) -> nn.Module:
    """``plan`` as a module: uint8 ``[N, H, W, 3]`` or ``[N, 3, H, W]`` to a dict of tensors.

    It runs eagerly, under ``torch.compile(module, fullgraph=True, dynamic=True)``, which compiles once for all sizes,
    and in ``torch.jit.script`` and ``torch.export``. :class:`runtime.backends.torch.Preprocess` says what ``.to()``
    does.

    Args:
        plan: what to do.
        output: gives that output's tensor alone, such as ``pixel_values``, for ``nn.Sequential(module, model)``.
        differentiable: takes floats of 0 to 255 and passes gradients to them, for adversarial examples and inversion.
            This is not exact: :class:`runtime.backends.differentiable.Differentiable` says how near it is.

    Raises:
        BackendUnavailable: torch is not installed.
        UnsupportedConfig: ``differentiable`` for a Plan with a step that has no gradient.
        ValueError: ``output`` is none of the Plan's.
    """
    _need("torch")
    from runtime.backends.differentiable import Differentiable
    from runtime.backends.torch import Preprocess, Selected

    if output is not None and output not in plan.outputs:
        raise ValueError(f"output: expected one of {', '.join(plan.outputs)}, got {output!r}")
    module = Differentiable(plan) if differentiable else Preprocess(plan)
    return (module if output is None else Selected(module, output)).eval()


def to_onnx(
    plan: Plan,
    path: str | os.PathLike[str],
    model: Any = None,
    *,
    opset: int | None = None,
    postprocess: str = "auto",
    map: Mapping[str, str] | None = None,
) -> None:
    """See :func:`exporter.onnx.to_onnx`."""
    _need("onnx")
    from . import onnx as exporting

    exporting.to_onnx(plan, path, model, opset=opset, postprocess=postprocess, map=map)


def to_torchscript(
    plan: Plan, path: str | os.PathLike[str], model: Any = None, *, map: Mapping[str, str] | None = None
) -> None:
    """See :func:`exporter.torchscript.to_torchscript`."""
    _need("torch")
    from . import torchscript

    torchscript.to_torchscript(plan, path, model, map=map)


def register_transformers(
    name: str = "export-preprocessor", *, reference: str = "pillow", strict: bool = False
) -> None:
    """See :func:`exporter.transformers.register`."""
    from .transformers import register

    register(name, reference=reference, strict=strict)


def _need(package: str) -> None:
    from runtime.errors import BackendUnavailable

    if importlib.util.find_spec(package) is None:
        raise BackendUnavailable(f"this export needs {package}: pip install 'export-preprocessor[export]'")
