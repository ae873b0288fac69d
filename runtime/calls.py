"""How the images of a call become its outputs: one by one, or in batches of one size."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numpy as np

from . import batch
from .backends import Backend
from .buffers import Buffers
from .errors import InputError
from .features import Features
from .fusion import Fusion
from .image import Reader, are_apart, are_in_memory
from .limits import check_results
from .lowering import check_size, lower, one_by_one
from .ops import Branch, PadToLargest
from .ops.size import Size
from .plan import Plan
from .rows import Rows, for_each
from .threads import turn

Array = np.ndarray[Any, Any]
Found = TypeVar("Found")


@dataclass(frozen=True)
class Call:
    """What a call was asked for, besides the images."""

    return_tensors: str | None
    inputs: Mapping[str, Any] | None
    reader: Reader
    buffers: Buffers | None


class Runner:
    """Runs a backend on the images of calls. Safe in many threads.

    Attributes:
        padded: outputs that are padded to the largest of a batch.
        lists: outputs that are never a batch.
        of_batch: the rule of a size that follows from all images of a batch; None where none does.
        each: the backend's ``run_each``; None where it has none.
        fusion: what is known of a model in the file.
    """

    def __init__(self, plan: Plan, backend: Backend, by_turns: bool, max_pixels: int | None) -> None:
        """Of what is opened.

        Args:
            plan: what ``backend`` does.
            by_turns: whether it computes on this machine's CPUs, image by image.
            max_pixels: as of :func:`runtime.load`.
        """
        self.plan, self.backend, self._by_turns, self._max_pixels = plan, backend, by_turns, max_pixels
        last = plan.steps[-1] if plan.steps else None
        self.padded = (plan.output, last.mask) if isinstance(last, PadToLargest) else ()
        # As large as the images, so that transformers never makes one tensor of them (image_processing_uvdoc.py:86).
        self.lists = tuple(step.name for step in plan.steps if isinstance(step, Branch) and not step.steps)
        sizes = (getattr(step, "size", None) for step in plan.steps)
        self.of_batch = next((size for size in sizes if isinstance(size, Size) and size.is_of_batch), None)
        self._kernels = lower(plan.steps, plan.channels)
        self._one_by_one = one_by_one(self._kernels)
        self.each = getattr(backend, "run_each", None)
        self.fusion: Fusion = getattr(backend, "fusion", Fusion())

    def run(self, images: Any, call: Call) -> Features:
        """A call's images."""
        if not self._by_turns:
            return self._together(self._arrays(images, call.reader), call)
        if self.of_batch is None and are_apart(images):
            return self._apart(images, call)
        return self._in_turn(images, call, lambda arrays: self._together(arrays, call))

    def _in_turn(self, images: Any, call: Call, run: Callable[[list[Array]], Found]) -> Found:
        """Reads images and runs them in a turn; what waits for a disk gets one when it is read."""
        if not are_in_memory(images):
            arrays = self._arrays(images, call.reader)
            with turn():
                return run(arrays)
        with turn():
            return run(self._arrays(images, call.reader))

    def _apart(self, images: Sequence[Any], call: Call) -> Features:
        """Encoded images: each is decoded and run by one thread."""
        into, name = getattr(self.backend, "run_into", None), self.plan.output
        # Not where an image that is still to be decoded may lie.
        direct = call.buffers is not None and not any(isinstance(image, (bytearray, memoryview)) for image in images)
        given = call.buffers.target(name, ()) if call.buffers is not None and direct else None
        found = Rows(len(images), (*self.padded, *self.lists), {name: given})

        def run(i: int, array: Array) -> None:
            found.put(i, self.backend.run(array[None]) if into is None else into([array], found.place(name, i)))

        for_each(len(images), lambda i: self._in_turn(images[i], call, lambda arrays: run(i, arrays[0])))
        batches = found.batches()
        if batches is not None:
            output = {key: batches[key] for key in self.backend.output_names}
            return batch.convert(output, len(images), call.return_tensors, self.lists)
        forms = call.return_tensors, self.lists, self._max_pixels
        return batch.stack(found.results(), self.backend.output_names, self.padded, *forms)

    def _together(self, arrays: list[Array], call: Call) -> Features:
        """A call's images, in batches of one size."""
        groups: dict[tuple[int, ...], list[int]] = {}
        for i, array in enumerate(arrays):
            # Copying images into one batch takes longer than compiled code runs.
            key = array.shape if self.each is None else check_size(self._kernels[:1], *array.shape[:2])
            groups.setdefault((i,) if self._one_by_one else key, []).append(i)
        if self.of_batch is not None:
            batch.check_one_size(self.of_batch, {array.shape[:2] for array in arrays})
        results: list[dict[str, Any]] = [{} for _ in arrays]
        for members in groups.values():
            output = self._run_group([arrays[i] for i in members], call, members)
            if len(groups) == 1:
                output = {name: output[name] for name in self.backend.output_names}
                return batch.convert(output, len(members), call.return_tensors, self.lists)
            for i, result in zip(members, batch.split(output, len(members), call.return_tensors), strict=True):
                results[i] = result
        forms = call.return_tensors, self.lists, self._max_pixels
        return batch.stack(results, self.backend.output_names, self.padded, *forms)

    def run_groups(self, groups: list[list[Any]], call: Call) -> Features:
        """Pairs or videos for a model that takes them whole: a row of its outputs is a group's."""
        length = self.fusion.length
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
            if len(batches) == 1:
                return batch.convert(output, len(rows), call.return_tensors)
            for i, result in zip(rows, batch.split(output, len(rows), call.return_tensors), strict=True):
                results[i] = result
        return batch.stack(results, self.backend.output_names, (), call.return_tensors)

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
        height, width = array.shape[:2]
        check_size(self._kernels, height, width)
        if self._max_pixels is not None:
            check_results(self.plan.steps, height, width, self._max_pixels)

    def _run_group(self, images: list[Array], call: Call, rows: Sequence[int]) -> dict[str, Any]:
        """A batch of each output; ``rows`` are those of the call's ``inputs`` that belong to the images."""
        inputs = call.inputs
        if self.each is not None and not inputs:
            into = getattr(self.backend, "run_into", None)
            if into is None or call.buffers is None:
                return cast("dict[str, Any]", self.each(images))
            return cast("dict[str, Any]", into(images, call.buffers.target(self.plan.output, images)))
        stacked = images[0][None] if len(images) == 1 else np.stack(images)
        if not inputs:
            return self.backend.run(stacked)
        run_with: Callable[..., dict[str, Any]] | None = getattr(self.backend, "run_with", None)
        if run_with is None:
            raise InputError("inputs: only a model in an .onnx file takes more than images")
        return run_with(stacked, inputs, rows)
