"""A loaded artifact: images in, tensors out."""

from __future__ import annotations

import importlib.util
import os
from typing import Any, overload

import numpy as np

from . import artifact, batch
from .backends import Backend
from .errors import ArtifactError, BackendUnavailable, InputError
from .features import Features
from .groups import regroup, to_groups
from .image import to_arrays
from .lowering import check_size, compiled_part, lower, one_by_one
from .ops import Branch, ConvertRGB, InferLayout, Interpolate, PadToLargest, Resize
from .plan import Plan

BACKENDS = ("auto", "onnx", "numba", "torch", "torchscript", "pil")


def load(path: str | os.PathLike[str], backend: str = "auto", device: Any = None) -> Preprocessor:
    """Loads an artifact that ``export-preprocessor`` wrote.

    Args:
        path: an ``.onnx`` or a ``.pt`` file.
        backend: ``onnx`` runs an ``.onnx`` file in onnxruntime and ``torchscript`` a ``.pt`` file in torch;
            ``numba``, ``torch`` and ``pil`` rebuild the Plan in either. ``auto`` is the fastest that gives the file's
            bits: ``numba`` where it is installed and the Plan begins with a resize of pixels, else the file's own;
            with a ``device``, torch.
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
        self._kernels = lower(plan.steps, plan.channels)
        self.backend = self._fastest(scripted) if backend == "auto" else backend
        self._convert = any(isinstance(step, ConvertRGB) for step in plan.steps)
        self._layouts = [step for step in plan.steps if isinstance(step, InferLayout)]
        last = plan.steps[-1] if plan.steps else None
        self._padded = (plan.output, last.mask) if isinstance(last, PadToLargest) else ()
        # As large as the images, so that transformers never makes one tensor of them (image_processing_uvdoc.py:86).
        self._lists = tuple(step.name for step in plan.steps if isinstance(step, Branch) and not step.steps)
        resizes = (step.size for step in plan.steps if isinstance(step, (Interpolate, Resize)))
        self._of_batch = next((size for size in resizes if size.is_of_batch), None)
        self._one_by_one = one_by_one(self._kernels)
        self._run = self._open(scripted)
        self._each = getattr(self._run, "run_each", None)
        self.output_names = self._run.output_names

    def _fastest(self, scripted: bool) -> str:
        """What ``auto`` stands for."""
        if scripted and self._device is not None:
            return "torchscript"
        if self._device is not None and not self._fused:
            return "torch"
        compiles = compiled_part(self._kernels, self.plan.channels) is not None
        if compiles and not self._fused and importlib.util.find_spec("numba") is not None:
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

    @overload
    def __call__(
        self, images: Any, y: None = None, sample_weight: Any = None, *, return_tensors: str | None = "np"
    ) -> Features: ...

    @overload
    def __call__(
        self, images: Any, y: Any, sample_weight: None = None, *, return_tensors: str | None = "np"
    ) -> tuple[Features, Any]: ...

    @overload
    def __call__(
        self, images: Any, y: Any, sample_weight: Any, *, return_tensors: str | None = "np"
    ) -> tuple[Features, Any, Any]: ...

    def __call__(
        self, images: Any, y: Any = None, sample_weight: Any = None, *, return_tensors: str | None = "np"
    ) -> Features | tuple[Features, Any] | tuple[Features, Any, Any]:
        """Processes one image or a list of them, and hands on what belongs to them.

        Args:
            images: a PIL image, a uint8 array or tensor (HWC or CHW), encoded bytes, a path, or a list of these in
                mixed sizes. One image gives a batch of one. Where :attr:`runtime.Plan.group` says so, pairs of images
                or the frames of a video in place of one image: ``[image, image]``, or a list of such lists.
            y: labels. They come back unchanged beside the result, ``(result, y)``, as from Keras Hub's preprocessors.
            sample_weight: the same, behind the labels: ``(result, y, sample_weight)``; without labels it is dropped.
            return_tensors: ``np`` for NumPy arrays, ``pt`` for torch tensors, ``None`` for lists of NumPy arrays,
                one an image.

        Raises:
            InputError: an image that cannot be processed, or images whose outputs differ in size and so cannot be
                stacked; or text lines whose widths differ, which transformers would stretch to one.
        """
        if return_tensors not in ("np", "pt", None):
            raise ValueError(f"return_tensors: expected 'np', 'pt' or None, got {return_tensors!r}")
        if not self.plan.group:
            result = self._process(images, return_tensors)
        else:
            groups = to_groups(images, self.plan.group)
            result = regroup(self._process(groups, return_tensors), [len(group) for group in groups], return_tensors)
        if y is None:
            return result
        return (result, y) if sample_weight is None else (result, y, sample_weight)

    def predict(self, images: Any, **options: Any) -> Any:
        """What a file with a model and post-processing in it finds in images, as plain Python.

        Args:
            images: as of a call.
            options: of the post-processing's ``result``, such as ``threshold`` for objects or ``top_k`` for classes.

        Returns:
            Of each image in a list what ``result`` of :attr:`runtime.Plan.postprocess` says; of a single image, that.

        Raises:
            ArtifactError: there is no post-processing in the file.
            InputError: an image that cannot be processed.
        """
        post = self.plan.postprocess
        if post is None:
            raise ArtifactError(
                f"{self._path or 'this Plan'}: no post-processing in it, so there is nothing to predict; export it with"
                " --model, and --postprocess where config.json does not say what the model is for"
            )
        outputs = self(images, return_tensors=None)
        rows = [dict(zip(outputs, row, strict=True)) for row in zip(*outputs.values(), strict=True)]
        results = [post.result(row, self.plan.labels, **options) for row in rows]
        return results[0] if len(results) == 1 and not isinstance(images, (list, tuple)) else results

    def _process(self, images: Any, return_tensors: str | None) -> Features:
        """A call's images, one after the other."""
        arrays = to_arrays(images, self._convert, self.plan.channels, share=self._each is not None)
        for layout in self._layouts:
            arrays = [layout.reference(array) for array in arrays]
        groups: dict[tuple[int, ...], list[int]] = {}
        for i, array in enumerate(arrays):
            if self.plan.input_size not in (None, array.shape[:2]):
                raise InputError(
                    f"this artifact takes images of {'x'.join(map(str, self.plan.input_size))} pixels only, got"
                    f" {array.shape[0]}x{array.shape[1]}: export it without --input-size"
                )
            check_size(self._kernels, *array.shape[:2])
            # Copying images into one batch takes longer than compiled code runs.
            key = array.shape if self._each is None else check_size(self._kernels[:1], *array.shape[:2])
            groups.setdefault((i,) if self._one_by_one else key, []).append(i)
        if self._of_batch is not None:
            batch.check_one_size(self._of_batch, {array.shape[:2] for array in arrays})
        results: list[dict[str, Any]] = [{} for _ in arrays]
        for members in groups.values():
            output = self._run_group([arrays[i] for i in members])
            if len(groups) == 1:
                return batch.convert({name: output[name] for name in self.output_names}, return_tensors, self._lists)
            for position, i in enumerate(members):
                results[i] = {name: value[position] for name, value in output.items()}
        return batch.stack(results, self.output_names, self._padded, return_tensors, self._lists)

    def _run_group(self, images: list[np.ndarray[Any, Any]]) -> dict[str, Any]:
        """A batch of each output."""
        if self._each is not None:
            output: dict[str, Any] = self._each(images)
            return output
        return self._run.run(images[0][None] if len(images) == 1 else np.stack(images))
