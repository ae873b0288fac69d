"""A loaded artifact: images in, tensors out."""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast, overload

import numpy as np

from . import artifact, batch, floats
from .backends.choice import File, fastest, opened
from .buffers import Buffers
from .errors import ArtifactError, InputError
from .features import Features
from .fusion import Fusion
from .groups import regroup, to_groups
from .image import LAYOUTS, Reader
from .lowering import check_size, lower, one_by_one
from .ops import Branch, ConvertRGB, InferLayout, Interpolate, PadToLargest, Resize
from .plan import Plan
from .stream import stream

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
        max_pixels: largest image that a call takes, checked before it is decoded; 178,956,970 by default. Files beyond
            Pillow's own ``PIL.Image.MAX_IMAGE_PIXELS`` draw its warning, and beyond twice that are refused as well.
        providers: for onnxruntime, in its form: names, or pairs of a name and a dict of options; backend ``auto`` is
            ``onnx`` then. All must start, or the file is not loaded: nothing falls back to the CPU, but for nodes that
            a provider does not know. By default it is the CPU, where every bit is tested; others may round floats in
            their own way: give CUDA ``{"use_tf32": 0}``, for in TF32 not even pixels are exact.
        session_options: for onnxruntime: a dict of attributes of ``SessionOptions``, and of config entries by their
            names with dots, such as ``{"intra_op_num_threads": 1}``, which the sessions of single shapes get as well;
            or a ``SessionOptions``, which cannot be copied or pickled: one session runs all shapes then.

    Raises:
        ArtifactError: the file is missing, damaged, or does not fit the backend; or its Plan and its graph were not
            written together, as their checksum shows.
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


@dataclass(frozen=True)
class _Call:
    """What a call was asked for, besides the images."""

    return_tensors: str | None
    inputs: Mapping[str, Any] | None
    reader: Reader
    buffers: Buffers | None


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
        self.plan = plan
        self._file, self._max_pixels = file, max_pixels
        self._kernels = lower(plan.steps, plan.channels)
        self.backend = fastest(plan, self._kernels, file) if backend == "auto" else backend
        last = plan.steps[-1] if plan.steps else None
        self._padded = (plan.output, last.mask) if isinstance(last, PadToLargest) else ()
        # As large as the images, so that transformers never makes one tensor of them (image_processing_uvdoc.py:86).
        self._lists = tuple(step.name for step in plan.steps if isinstance(step, Branch) and not step.steps)
        resizes = (step.size for step in plan.steps if isinstance(step, (Interpolate, Resize)))
        self._of_batch = next((size for size in resizes if size.is_of_batch), None)
        self._one_by_one = one_by_one(self._kernels)
        self._run = opened(self.backend, plan, file)
        self._each = getattr(self._run, "run_each", None)
        self._reader = Reader(
            any(isinstance(step, ConvertRGB) for step in plan.steps),
            plan.channels,
            share=self._each is not None,
            torchvision=plan.reference == "torchvision",
            infer=any(isinstance(step, InferLayout) for step in plan.steps),
            normalized=floats.normalizes_next(plan),
            max_pixels=max_pixels,
        )
        self._fusion: Fusion = getattr(self._run, "fusion", Fusion())
        self.output_names = self._run.output_names

    def __repr__(self) -> str:
        return f"<Preprocessor {self.plan.family} {self.backend}: {', '.join(self.output_names)}>"

    def __reduce__(self) -> tuple[Any, ...]:
        file = self._file
        if file.path is None:
            return functools.partial(Preprocessor, max_pixels=self._max_pixels), (self.plan, self.backend)
        options: dict[str, Any] = {"providers": file.providers, "session_options": file.session_options}
        again = functools.partial(load, max_pixels=self._max_pixels, **options)
        return again, (file.path, self.backend, file.device)

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
            images: a PIL image, a uint8 array or tensor (HWC or CHW), encoded bytes, a path, or a list of these in
                mixed sizes, or a list of such lists, which is flattened. One image gives a batch of one. Files and
                bytes are turned upright by their EXIF tag, converted to RGB and stripped of alpha, as transformers
                does with paths (image_utils.py:474); a PIL image is taken as it lies, as there. Of an animation it is
                the frame that Pillow shows, the first one of a file. Where :attr:`runtime.Plan.group` says so, pairs
                of images or the frames of a video in place of one image: ``[image, image]``, or a list of such lists.
            y: labels. They come back unchanged beside the result, ``(result, y)``, as from Keras Hub's preprocessors.
            sample_weight: the same, behind the labels: ``(result, y, sample_weight)``; without labels it is dropped.
            return_tensors: ``np`` for NumPy arrays, ``pt`` for torch tensors, ``None`` for lists of NumPy arrays,
                one an image.
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
            ValueError: an unknown ``return_tensors`` or ``input_data_format``.
        """
        if return_tensors not in ("np", "pt", None):
            raise ValueError(f"return_tensors: expected 'np', 'pt' or None, got {return_tensors!r}")
        buffers = None if out is None else Buffers(out, self.output_names, self._lists)
        if buffers is not None and return_tensors is None:
            raise ValueError("return_tensors: expected 'np' or 'pt' with out, got None")
        form = "pt" if buffers is not None and buffers.tensors else return_tensors
        call = _Call(form, inputs, self._reader_for(input_data_format, do_rescale), buffers)
        if not self.plan.group:
            result = self._process(images, call)
        else:
            groups = to_groups(images, self.plan.group)
            if self._fusion.group:
                result = self._process_groups(groups, call)
            else:
                result = regroup(self._process(groups, call), [len(group) for group in groups], form)
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

        return stream(call, images, batch_size, workers, progress)

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
        outputs = self(images, return_tensors=None, inputs=inputs)
        rows = [dict(zip(outputs, row, strict=True)) for row in zip(*outputs.values(), strict=True)]
        results = [post.result(row, self.plan.labels, **options) for row in rows]
        return results[0] if len(results) == 1 and not isinstance(images, (list, tuple)) else results

    def _reader_for(self, layout: str | None, do_rescale: bool | None) -> Reader:
        """Reads a call's images."""
        if layout not in LAYOUTS:
            raise ValueError(f"input_data_format: expected 'channels_first' or 'channels_last', got {layout!r}")
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

    def _process(self, images: Any, call: _Call) -> Features:
        """A call's images, one after the other."""
        arrays = self._arrays(images, call.reader)
        groups: dict[tuple[int, ...], list[int]] = {}
        for i, array in enumerate(arrays):
            # Copying images into one batch takes longer than compiled code runs.
            key = array.shape if self._each is None else check_size(self._kernels[:1], *array.shape[:2])
            groups.setdefault((i,) if self._one_by_one else key, []).append(i)
        if self._of_batch is not None:
            batch.check_one_size(self._of_batch, {array.shape[:2] for array in arrays})
        results: list[dict[str, Any]] = [{} for _ in arrays]
        for members in groups.values():
            output = self._run_group([arrays[i] for i in members], call, members)
            if len(groups) == 1:
                output = {name: output[name] for name in self.output_names}
                return batch.convert(output, call.return_tensors, self._lists)
            for position, i in enumerate(members):
                results[i] = {name: value[position] for name, value in output.items()}
        return batch.stack(results, self.output_names, self._padded, call.return_tensors, self._lists)

    def _process_groups(self, groups: list[list[Any]], call: _Call) -> Features:
        """Pairs or videos for a model that takes them whole: a row of its outputs is a group's."""
        length = self._fusion.length
        batches: dict[tuple[int, ...], list[int]] = {}
        images = iter(self._arrays(groups, call.reader))
        arrays = [list(itertools.islice(images, len(group))) for group in groups]
        for i, members in enumerate(arrays):
            shapes = {array.shape for array in members}
            if len(shapes) > 1:
                sizes = ", ".join(f"{height}x{width}" for height, width, _ in sorted(shapes))
                raise InputError(f"the model in the file takes a {self.plan.group} of images of one size, got {sizes}")
            if length not in (None, len(members)):
                raise InputError(f"the model in the file takes {length} images a {self.plan.group}, got {len(members)}")
            batches.setdefault((i,) if length is None else members[0].shape, []).append(i)
        results: list[dict[str, Any]] = [{} for _ in groups]
        for rows in batches.values():
            output = self._run_group([array for i in rows for array in arrays[i]], call, rows)
            for position, i in enumerate(rows):
                results[i] = {name: value[position] for name, value in output.items()}
        return batch.stack(results, self.output_names, (), call.return_tensors)

    def _arrays(self, images: Any, reader: Reader) -> list[Array]:
        """Images as uint8 ``[H, W, C]``, all of sizes that the Plan takes."""
        return reader.read(images, self._check_size)

    def _check_size(self, array: Array) -> None:
        """Raises ``InputError`` where the Plan cannot take an image of its size."""
        if self.plan.input_size not in (None, array.shape[:2]):
            raise InputError(
                f"this artifact takes images of {'x'.join(map(str, self.plan.input_size))} pixels only, got"
                f" {array.shape[0]}x{array.shape[1]}: export it without --input-size"
            )
        check_size(self._kernels, *array.shape[:2])

    def _run_group(self, images: list[Array], call: _Call, rows: Sequence[int]) -> dict[str, Any]:
        """A batch of each output; ``rows`` are those of the call's ``inputs`` that belong to the images."""
        inputs = call.inputs
        if self._each is not None and not inputs:
            into = getattr(self._run, "run_into", None)
            if into is None or call.buffers is None:
                return cast("dict[str, Any]", self._each(images))
            return cast("dict[str, Any]", into(images, call.buffers.target(self.plan.output, images)))
        stacked = images[0][None] if len(images) == 1 else np.stack(images)
        if not inputs:
            return self._run.run(stacked)
        run_with: Callable[..., dict[str, Any]] | None = getattr(self._run, "run_with", None)
        if run_with is None:
            raise InputError("inputs: only a model in an .onnx file takes more than images")
        return run_with(stacked, inputs, rows)
