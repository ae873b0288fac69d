"""A loaded artifact: images in, tensors out."""

from __future__ import annotations

import importlib.util
import os
from typing import Any

import numpy as np

from . import artifact
from .backends import Backend
from .errors import BackendUnavailable, InputError
from .features import Features
from .image import to_arrays
from .lowering import check_size, lower
from .ops import ConvertRGB
from .plan import Plan

BACKENDS = ("auto", "onnx", "numba", "torch", "torchscript", "pil")


def load(path: str | os.PathLike[str], backend: str = "auto", device: Any = None) -> Preprocessor:
    """Loads an artifact that ``export-preprocessor`` wrote.

    Args:
        path: an ``.onnx`` or a ``.pt`` file.
        backend: ``onnx`` runs an ``.onnx`` file in onnxruntime and ``torchscript`` a ``.pt`` file in torch;
            ``numba``, ``torch`` and ``pil`` rebuild the Plan in either. ``auto`` is the fastest that gives the file's
            bits: ``numba`` where it is installed, else the file's own; with a ``device``, torch.
        device: for the torch backends, such as ``cuda``; the others run on the CPU.

    Raises:
        ArtifactError: the file is missing, damaged, or does not fit the backend.
        BackendUnavailable: the backend's package is not installed.
        ValueError: an unknown backend.
    """
    if backend not in BACKENDS:
        raise ValueError(f"backend: expected one of {', '.join(BACKENDS)}, got {backend!r}")
    plan, fused = artifact.read(path)
    return Preprocessor(plan, backend, path=path, fused=fused, device=device)


class Preprocessor:
    """Images to the tensors that a model takes. May be called from many threads, and pickled (by its file).

    Attributes:
        plan: what the artifact does.
        backend: what runs it.
        output_names: keys of a call's result.
    """

    def __init__(
        self,
        plan: Plan,
        backend: str,
        path: str | os.PathLike[str] | None = None,
        fused: bool = False,
        device: Any = None,
    ) -> None:
        scripted = path is not None and artifact.is_torchscript(path)
        self.plan = plan
        self._path, self._fused, self._device = path, fused, device
        self.backend = self._fastest(scripted) if backend == "auto" else backend
        self._convert = any(isinstance(step, ConvertRGB) for step in plan.steps)
        self._kernels = lower(plan.steps, plan.channels)
        self._run = self._open(scripted)
        self.output_names = self._run.output_names

    def _fastest(self, scripted: bool) -> str:
        """What ``auto`` stands for."""
        if scripted and self._device is not None:
            return "torchscript"
        if self._device is not None and not self._fused:
            return "torch"
        if not self._fused and importlib.util.find_spec("numba") is not None:
            return "numba"
        return "torchscript" if scripted else "onnx"

    def _open(self, scripted: bool) -> Backend:
        if self._device is not None and self.backend in ("onnx", "numba", "pil"):
            raise BackendUnavailable(
                f"backend {self.backend!r} runs on the CPU only: leave out device={self._device!r}"
            )
        if self._fused and self.backend != "onnx":
            raise BackendUnavailable(f"a file with a model in it needs backend 'onnx', not {self.backend!r}")
        if self.backend == "pil":
            from .backends.pil import PilBackend

            return PilBackend(self.plan)
        if self.backend == "numba":
            from .backends.numba import NumbaBackend

            return NumbaBackend(self.plan)
        if self.backend == "onnx":
            if scripted or self._path is None:
                raise BackendUnavailable("backend 'onnx' needs an .onnx file; this is a .pt file")
            from .backends.onnx import OnnxBackend

            return OnnxBackend(self._path, self.plan, self._fused)
        if self.backend == "torchscript" and (not scripted or self._path is None):
            raise BackendUnavailable("backend 'torchscript' needs a .pt file; this is an .onnx file")
        try:
            import torch  # noqa: F401
        except ImportError as error:
            raise BackendUnavailable(f"backend {self.backend!r} needs torch: pip install torch") from error
        if self.backend == "torchscript":
            from .backends.torchscript import TorchScriptBackend

            assert self._path is not None
            return TorchScriptBackend(self._path, self.plan, self._device)
        from .backends.torch import Preprocess, TorchBackend

        return TorchBackend(Preprocess(self.plan), self.plan, self._device)

    def __repr__(self) -> str:
        return f"<Preprocessor {self.plan.family} {self.backend}: {', '.join(self.output_names)}>"

    def __reduce__(self) -> tuple[Any, ...]:
        if self._path is None:
            return Preprocessor, (self.plan, self.backend)
        return load, (self._path, self.backend, self._device)

    def __call__(self, images: Any, return_tensors: str | None = "np") -> Features:
        """Processes one image or a list of them.

        Args:
            images: a PIL image, a uint8 array or tensor (HWC or CHW), encoded bytes, a path, or a list of these in
                mixed sizes. One image gives a batch of one.
            return_tensors: ``np`` for NumPy arrays, ``pt`` for torch tensors, ``None`` for lists of NumPy arrays,
                one an image.

        Raises:
            InputError: an image that cannot be processed, or images whose outputs differ in size and so cannot be
                stacked.
        """
        if return_tensors not in ("np", "pt", None):
            raise ValueError(f"return_tensors: expected 'np', 'pt' or None, got {return_tensors!r}")
        arrays = to_arrays(images, self._convert, self.plan.channels, self.backend == "numba")
        groups: dict[tuple[int, ...], list[int]] = {}
        for i, array in enumerate(arrays):
            if self.plan.input_size not in (None, array.shape[:2]):
                raise InputError(
                    f"this artifact takes images of {'x'.join(map(str, self.plan.input_size))} pixels only, got"
                    f" {array.shape[0]}x{array.shape[1]}: export it without --input-size"
                )
            check_size(self._kernels, *array.shape[:2])
            # Compiled code gains nothing from a batch, and copying the images into one takes longer than it runs.
            groups.setdefault((i,) if self.backend == "numba" else array.shape, []).append(i)
        results: list[dict[str, Any]] = [{} for _ in arrays]
        for members in groups.values():
            batch = arrays[members[0]][None] if len(members) == 1 else np.stack([arrays[i] for i in members])
            output = self._run.run(batch)
            if len(groups) == 1:
                return _convert({name: output[name] for name in self.output_names}, return_tensors)
            for position, i in enumerate(members):
                results[i] = {name: value[position] for name, value in output.items()}
        return _stack(results, self.output_names, return_tensors)


def _convert(output: dict[str, Any], return_tensors: str | None) -> Features:
    """A batch in the asked-for form."""
    if return_tensors == "pt":
        try:
            import torch
        except ImportError as error:
            raise BackendUnavailable("return_tensors='pt' needs torch: pip install torch") from error
        return Features({k: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for k, v in output.items()})
    arrays = {k: v if isinstance(v, np.ndarray) else v.cpu().numpy() for k, v in output.items()}
    return Features(arrays if return_tensors == "np" else {k: list(v) for k, v in arrays.items()})


def _stack(results: list[dict[str, Any]], names: tuple[str, ...], return_tensors: str | None) -> Features:
    """The images of several groups as one batch, in the order they came in."""
    columns = {name: [result[name] for result in results] for name in names}
    for name, values in columns.items():
        shapes = {tuple(value.shape) for value in values}
        if return_tensors is not None and len(shapes) > 1:
            raise InputError(
                f"{name}: these images give sizes {', '.join(map(str, sorted(shapes)))}, which cannot be one batch;"
                " pass images of one size, or return_tensors=None for a list"
            )
    if return_tensors is None:
        return Features(
            {k: [v if isinstance(v, np.ndarray) else v.cpu().numpy() for v in c] for k, c in columns.items()}
        )
    stacked: dict[str, Any] = {}
    for name, values in columns.items():
        if isinstance(values[0], np.ndarray):
            stacked[name] = np.stack(values)
        else:
            import torch

            stacked[name] = torch.stack(values)
    return _convert(stacked, return_tensors)
