"""Which backend runs a file, and how it is opened."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .. import artifact
from ..errors import BackendUnavailable
from ..lowering import Kernel, compiled_part
from ..plan import Plan
from . import Backend


@dataclass(frozen=True)
class File:
    """What is to be run, and where.

    Attributes:
        path: of the artifact; ``None`` for a Plan alone.
        fused: whether there is a model in it.
        device: of the torch backends, such as ``cuda``.
        providers, session_options: of backend ``onnx``, as :class:`.sessions.Opener` has them.
    """

    path: str | os.PathLike[str] | None
    fused: bool
    device: Any = None
    providers: Sequence[Any] | None = None
    session_options: Any = None

    @property
    def for_onnxruntime(self) -> bool:
        """Whether there is anything that only backend ``onnx`` has."""
        return self.providers is not None or self.session_options is not None

    @property
    def scripted(self) -> bool:
        """Whether it is a TorchScript file."""
        return self.path is not None and artifact.is_torchscript(self.path)


def fastest(plan: Plan, kernels: Sequence[Kernel], file: File) -> str:
    """What ``auto`` stands for: the fastest backend that gives the file's bits."""
    scripted = file.scripted
    if file.for_onnxruntime:
        return "onnx"
    if scripted and file.device is not None:
        return "torchscript"
    if file.device is not None and not file.fused:
        return "torch"
    compiles = compiled_part(kernels, plan.channels) is not None
    if compiles and not file.fused and importlib.util.find_spec("numba") is not None:
        return "numba"
    return "torchscript" if scripted else "onnx"


def opened(name: str, plan: Plan, file: File) -> Backend:
    """The backend of that name.

    Raises:
        BackendUnavailable: its package is missing, or it does not run such a file or on such a device.
        ArtifactError: the file is damaged.
        ValueError: a device, providers or options that do not exist.
    """
    if file.device is not None and name in ("onnx", "numba", "pil"):
        raise BackendUnavailable(f"backend {name!r} runs on the CPU only: leave out device={file.device!r}")
    if file.for_onnxruntime and name != "onnx":
        raise BackendUnavailable(f"backend {name!r} has no providers and session_options: those are onnxruntime's")
    scripted = file.scripted
    own = "torchscript" if scripted else "onnx"
    if file.fused and name != own:
        raise BackendUnavailable(f"a file with a model in it needs backend {own!r}, not {name!r}")
    if name == "pil":
        from .pil import PilBackend

        return PilBackend(plan)
    if name == "numba":
        from .numba import NumbaBackend

        return NumbaBackend(plan)
    if name == "onnx":
        if scripted or file.path is None:
            raise BackendUnavailable("backend 'onnx' needs an .onnx file; this is a .pt file")
        from .onnx import OnnxBackend

        return OnnxBackend(file.path, plan, file.fused, file.providers, file.session_options)
    if name == "torchscript" and (not scripted or file.path is None):
        raise BackendUnavailable("backend 'torchscript' needs a .pt file; this is an .onnx file")
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise BackendUnavailable(f"backend {name!r} needs torch: pip install torch") from error
    if name == "torchscript":
        from .torchscript import TorchScriptBackend

        assert file.path is not None
        return TorchScriptBackend(file.path, plan, file.device)
    from .torch import Preprocess, TorchBackend

    return TorchBackend(Preprocess(plan), plan, file.device)
