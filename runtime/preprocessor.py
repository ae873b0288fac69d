"""A loaded artifact: images in, tensors out."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, overload

import numpy as np

from . import artifact, floats
from .backends.choice import File, fastest, opened
from .buffers import Buffers
from .calls import Call, Runner
from .errors import ArtifactError, InputError
from .features import Features
from .groups import regroup, to_groups
from .image import LAYOUTS, Reader
from .lowering import lower
from .ops import ConvertRGB, InferLayout
from .plan import Plan

Array = np.ndarray[Any, Any]

BACKENDS = ("auto", "onnx", "numba", "torch", "torchscript", "pil")


def load(
    path: str | os.PathLike[str],
    backend: str = "auto",
    device: Any = None,
    *,
    max_pixels: int | None = None,
    providers: Sequence[Any] | None = None,
    session_options: Any = None,
) -> Preprocessor:
    """Loads an artifact that ``export-preprocessor`` wrote.

    Args:
        path: an ``.onnx`` or a ``.pt`` file.
        backend: ``onnx`` runs an ``.onnx`` file in onnxruntime and ``torchscript`` a ``.pt`` file in torch;
            ``numba``, ``torch`` and ``pil`` rebuild the Plan in either. ``auto`` is the fastest that gives the file's
            bits: ``numba`` where it is installed and the Plan begins with a resize of pixels, else the file's own;
            with a ``device``, torch.
        device: for the torch backends, such as ``cuda``; the others run on the CPU.
        max_pixels: largest image that a call takes, checked before it is decoded (icons are decoded as Pillow opens
            them), and largest that it may become, but in steps that give all images one size; 178,956,970 by default,
            and 262,144 a side. Files beyond Pillow's own ``PIL.Image.MAX_IMAGE_PIXELS`` draw its warning, and beyond
            twice that are refused as well.
        providers: for onnxruntime, in its form: names, or pairs of a name and a dict of options; backend ``auto`` is
            ``onnx`` then. All must start, or the file is not loaded: nothing falls back to the CPU, but for nodes that
            a provider does not know. By default it is the CPU, where every bit is tested; others may round floats in
            their own way: give CUDA ``{"use_tf32": 0}``, for in TF32 not even pixels are exact.
        session_options: for onnxruntime: a dict of attributes of ``SessionOptions``, and of config entries by their
            names with dots, such as ``{"intra_op_num_threads": 1}``, which the sessions of single shapes get as well;
            or a ``SessionOptions``, which cannot be copied or pickled: one session runs all shapes then.

    Raises:
        ArtifactError: the file is missing, damaged, or does not fit the backend; or its Plan and its graph were not
            written together, as their checksum shows. Of a model's weights in an .onnx file, only the lengths
            are looked at.
        BackendUnavailable: the backend's package, the device or a provider is missing.
        ValueError: an unknown backend, or another argument that cannot be used.
    """
    if backend not in BACKENDS:
        raise ValueError(f"backend: expected one of {', '.join(BACKENDS)}, got {backend!r}")
    plan, fused = artifact.read(path)
    return Preprocessor(
        plan,
        backend,
        path=path,
        fused=fused,
        device=device,
        max_pixels=max_pixels,
        providers=providers,
        session_options=session_options,
    )


def _reopened(plan: Plan, path: Path, backend: str, device: Any, **options: Any) -> Preprocessor:
    """What was pickled; ``ArtifactError`` where the file has another Plan by now."""
    again = load(path, backend, device, **options)
    if again.plan != plan:
        raise ArtifactError(f"{path}: is not the file that was pickled: load it anew")
    return again


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
        *,
        max_pixels: int | None = None,
        providers: Sequence[Any] | None = None,
        session_options: Any = None,
    ) -> None:
        if max_pixels is not None and (type(max_pixels) is not int or max_pixels < 1):
            raise ValueError(f"max_pixels: expected a number above 0, got {max_pixels!r}")
        file = File(path, fused, device, providers, session_options)
        self._place = None if path is None else Path(path).absolute()  # a pickle may be opened in another folder
        self.plan = plan
        self._file, self._max_pixels = file, max_pixels
        self.backend = fastest(plan, lower(plan.steps, plan.channels), file) if backend == "auto" else backend
        self._run = opened(self.backend, plan, file)
        on_cpu = self.backend in ("numba", "onnx", "pil") and not fused and providers is None
        self._runner = Runner(plan, self._run, on_cpu, max_pixels)
        self._reader = Reader(
            any(isinstance(step, ConvertRGB) for step in plan.steps),
            plan.channels,
            share=self._runner.each is not None,
            torchvision=plan.reference == "torchvision",
            infer=any(isinstance(step, InferLayout) for step in plan.steps),
            whole=floats.takes_levels(plan),
            normalized=floats.normalizes_next(plan),
            max_pixels=max_pixels,
        )
        self.output_names = self._run.output_names

    def __repr__(self) -> str:
        return f"<Preprocessor {self.plan.family} {self.backend}: {', '.join(self.output_names)}>"

    def __reduce__(self) -> tuple[Any, ...]:
        file = self._file
        if self._place is None:
            return functools.partial(Preprocessor, max_pixels=self._max_pixels), (self.plan, self.backend)
        options: dict[str, Any] = {"providers": file.providers, "session_options": file.session_options}
        again = functools.partial(_reopened, max_pixels=self._max_pixels, **options)
        return again, (self.plan, self._place, self.backend, file.device)

    @overload
    def __call__(
        self,
        images: Any,
        y: None = None,
        sample_weight: Any = None,
        *,
        return_tensors: str | None = "np",
        inputs: Mapping[str, Any] | None = None,
        input_data_format: str | None = None,
        do_rescale: bool | None = None,
        out: Any = None,
    ) -> Features: ...

    @overload
    def __call__(
        self,
        images: Any,
        y: Any,
        sample_weight: None = None,
        *,
        return_tensors: str | None = "np",
        inputs: Mapping[str, Any] | None = None,
        input_data_format: str | None = None,
        do_rescale: bool | None = None,
        out: Any = None,
    ) -> tuple[Features, Any]: ...

    @overload
    def __call__(
        self,
        images: Any,
        y: Any,
        sample_weight: Any,
        *,
        return_tensors: str | None = "np",
        inputs: Mapping[str, Any] | None = None,
        input_data_format: str | None = None,
        do_rescale: bool | None = None,
        out: Any = None,
    ) -> tuple[Features, Any, Any]: ...

    def __call__(
        self,
        images: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        return_tensors: str | None = "np",
        inputs: Mapping[str, Any] | None = None,
        input_data_format: str | None = None,
        do_rescale: bool | None = None,
        out: Any = None,
    ) -> Features | tuple[Features, Any] | tuple[Features, Any, Any]:
        """Processes one image or a list of them, and hands on what belongs to them.

        Args:
            images: a PIL image, a uint8 array or tensor (HWC or CHW), encoded bytes, a path or a ``data:image/`` text,
                or a list of these in mixed sizes, or a list of such lists, which is flattened. One image gives a batch
                of one. Files and bytes are turned upright by their EXIF tag, converted to RGB and stripped of alpha,
                as transformers does with paths (image_utils.py:474); a PIL image is taken as it lies, as there. Of an
                animation it is the frame that Pillow shows, the first one of a file. Where the reference is
                transformers' PIL class, arrays may hold their levels in other dtypes, too
                (:func:`runtime.floats.takes_levels`); what else it takes and this does not, or the other way round,
                :mod:`runtime.image` says. Where :attr:`runtime.Plan.group` says so, pairs of images or the frames of a
                video in place of one image: ``[image, image]``, or a list of such lists.
            y: labels. They come back unchanged beside the result, ``(result, y)``, as from Keras Hub's preprocessors.
            sample_weight: the same, behind the labels: ``(result, y, sample_weight)``; without labels it is dropped.
            return_tensors: ``np`` for NumPy arrays, ``pt`` for torch tensors, ``None`` for lists of NumPy arrays,
                one an image, as transformers' PIL classes give them; of its torchvision classes, which give lists of
                tensors, or one tensor where they pad, they hold the values.
            inputs: what a model in the file takes besides images, by name, as arrays; a row an image where the model
                has the batch's axis first.
            input_data_format: ``channels_first`` or ``channels_last``: how arrays and tensors lie. Without it that
                is told by the length of their axes, the first axis winning, as transformers does (image_utils.py:292).
            do_rescale: ``False`` takes float arrays in [0, 1] in place of uint8, where the Plan resizes with Pillow
                first and rescales by 1/255 next: transformers then resizes by way of uint8, see
                :mod:`runtime.floats`. Anything else must be what the Plan does.
            out: memory for the outputs: a dict of arrays or torch tensors by name, or one where there is one output;
                of the shape and dtype of the whole batch. They are filled and returned, the others made as usual;
                what they hold after an error is undefined.
                ``numba`` writes an image's output there directly where it is contiguous; other backends copy it. With
                tensors among them, ``return_tensors`` is ``pt``.

        Raises:
            InputError: an image that cannot be processed, or images whose outputs differ in size and so cannot be
                stacked; or text lines whose widths differ, which transformers would stretch to one; or images that
                are no whole number of the batches or groups that a model in the file takes; or ``inputs`` that it does
                not take; or ``do_rescale`` or ``out`` that do not fit.
            ValueError: an unknown ``return_tensors``, ``input_data_format`` or ``do_rescale``.
        """
        if not isinstance(return_tensors, (str, type(None))) or return_tensors not in ("np", "pt", None):
            raise ValueError(f"return_tensors: expected 'np', 'pt' or None, got {return_tensors!r}")
        if inputs is not None and not isinstance(inputs, Mapping):
            raise InputError(f"inputs: expected a dict of arrays by name, got {type(inputs).__name__}")
        buffers = None if out is None else Buffers(out, self.output_names, self._runner.lists)
        if buffers is not None and return_tensors is None:
            raise ValueError("return_tensors: expected 'np' or 'pt' with out, got None")
        form = "pt" if buffers is not None and buffers.tensors else return_tensors
        call = Call(form, inputs, self._reader_for(input_data_format, do_rescale), buffers)
        if not self.plan.group:
            result = self._runner.run(images, call)
        else:
            groups = to_groups(images, self.plan.group)
            if self._runner.fusion.group:
                result = self._runner.run_groups(groups, call)
            else:
                result = regroup(self._runner.run(groups, call), [len(group) for group in groups], form)
        if buffers is not None:
            result = buffers.fill(result)
        if y is None:
            return result
        return (result, y) if sample_weight is None else (result, y, sample_weight)

    def map(
        self,
        images: Iterable[Any],
        batch_size: int = 32,
        workers: int = 2,
        progress: bool = False,
        *,
        return_tensors: str | None = "np",
        input_data_format: str | None = None,
        do_rescale: bool | None = None,
    ) -> Iterator[Features]:
        """Processes any number of images: a generator over the results of batches, in order.

        Decoding and processing run in threads while the caller uses a result. At most ``workers`` batches are in work
        or ready then, so memory does not grow with the number of images.

        Args:
            images: an iterable of what a call takes as one image, or as one pair or video; images are taken in the
                caller's thread, as they are needed.
            batch_size: images a batch; the last one may be smaller. Each is what a call gives for the list of its
                images, which are thus padded to the largest of a batch where the Plan pads so.
            workers: threads. Each batch's decoding takes further ones.
            progress: whether a bar on standard error shows how many images are done, by ``tqdm``.
            return_tensors, input_data_format, do_rescale: as of a call.

        Raises:
            InputError: as a call, naming the image's position in ``images``; the batches before it come first.
            BackendUnavailable: there is no tqdm for ``progress``.
            ValueError: ``batch_size`` or ``workers`` below 1.
        """

        def call(batch: list[Any]) -> Features:
            return self(
                batch,
                return_tensors=return_tensors,
                input_data_format=input_data_format,
                do_rescale=do_rescale,
            )

        from .stream import stream  # with the standard library's pools, which calls do without

        return stream(call, images, batch_size, workers, progress, self._max_pixels)

    def predict(self, images: Any, *, inputs: Mapping[str, Any] | None = None, **options: Any) -> Any:
        """What a file with a model and post-processing in it finds in images, as plain Python.

        Args:
            images, inputs: as of a call.
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
                f"{self._file.path or 'this Plan'}: no post-processing in it, so there is nothing to predict; export it"
                " with --model, and --postprocess where config.json does not say what the model is for"
            )
        if not set(post.outputs) <= set(self.output_names):
            names = f"gives {', '.join(self.output_names)}, and not {', '.join(post.outputs)}"
            raise ArtifactError(f"{self._file.path or 'this Plan'}: {names}")
        outputs = self(images, return_tensors=None, inputs=inputs)
        rows = [dict(zip(outputs, row, strict=True)) for row in zip(*outputs.values(), strict=True)]
        results = [post.result(row, self.plan.labels, **options) for row in rows]
        return results[0] if len(results) == 1 and not isinstance(images, (list, tuple)) else results

    def _reader_for(self, layout: str | None, do_rescale: bool | None) -> Reader:
        """Reads a call's images."""
        if not isinstance(layout, (str, type(None))) or layout not in LAYOUTS:
            raise ValueError(f"input_data_format: expected 'channels_first' or 'channels_last', got {layout!r}")
        if not isinstance(do_rescale, (bool, np.bool_, type(None))):
            raise ValueError(f"do_rescale: expected True, False or None, got {do_rescale!r}")
        scaled = do_rescale is not None and bool(do_rescale) != floats.rescales(self.plan)
        if scaled and do_rescale:
            raise InputError("do_rescale=True: this Plan does not rescale; export with do_rescale=true")
        if scaled and not floats.takes_floats(self.plan):
            raise InputError(
                "do_rescale=False: only a Plan that resizes with Pillow first and rescales by 1/255 next takes floats;"
                " pass uint8 images, or export with do_rescale=false"
            )
        if layout is None and not scaled:
            return self._reader
        return replace(self._reader, layout=layout, scaled=scaled)
