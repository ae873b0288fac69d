"""An ONNX artifact in onnxruntime."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import artifact
from ..errors import ArtifactError, InputError
from ..fusion import Fusion
from ..plan import Plan
from .opener import Opener, first_line
from .sessions import Sessions

Array = np.ndarray[Any, Any]


class Tensor(NamedTuple):
    """What a graph takes or gives; lengths that follow from images are texts, or None."""

    name: str
    shape: list[int | str | None]


class OnnxBackend:
    """Runs the file itself: the Plan only says how its input is laid out."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        plan: Plan,
        fused: bool = False,
        providers: Sequence[Any] | None = None,
        session_options: Any = None,
    ) -> None:
        self._path, self._plan, self._fused = os.fspath(path), plan, fused
        self._place = Path(path).absolute()  # a fork may be in another folder
        self._opener = Opener(self._path, providers, session_options)
        # Kept for the sessions to come, for the file may be another by then.
        self._model = None if fused else Path(path).read_bytes()
        self._start()
        inputs, defaults, outputs = self._signature()
        self._check_graph([value.name for value in inputs], inputs[0].shape if inputs else [], outputs)
        self.fusion = (artifact.fusion(path) if fused else None) or Fusion()
        self._check_batch(inputs[0].shape[0])
        self._inputs = inputs[1:]
        self._optional = {value.name for value in defaults}
        fixed = self.fusion.batch and self.fusion.batch // (self.fusion.length or 1 if self.fusion.group else 1)
        first = ("batch", "groups") if fixed is None else ("batch", "groups", fixed)
        self._batched = {value.name for value in (*self._inputs, *defaults) if value.shape and value.shape[0] in first}
        self.output_names = tuple(value.name for value in outputs)
        self._channels_first = plan.layout == "NCHW"

    def _signature(self) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """The graph's inputs, those that have a default, and its outputs."""
        session = self._sessions.first
        found = session.get_inputs(), session.get_overridable_initializers(), session.get_outputs()
        try:
            inputs, defaults, outputs = ([Tensor(v.name, v.shape) for v in values] for values in found)
        except UnicodeDecodeError as error:  # onnxruntime leaves texts as they are
            raise ArtifactError(f"{self._path}: damaged: a name in its graph is no text") from error
        return inputs, defaults if self._fused else [], outputs

    def _start(self) -> None:
        """Opens the file."""
        model = os.fspath(self._place) if self._model is None else self._model
        several = self._model is not None and self._opener.repeatable
        self._sessions = Sessions(self._opener, model, self._plan.layout, several)
        self._process = os.getpid()

    def _restart(self) -> None:
        """Opens it again behind a fork, where a session has no threads, and a lock may be held for ever."""
        if self._fused and artifact.read(self._place) != (self._plan, True):
            raise ArtifactError(f"{self._path}: is not the file that was loaded: load it in this process")
        self._start()

    def _check_graph(self, names: list[str], shape: Sequence[Any], outputs: Sequence[Tensor]) -> None:
        """Raises ``ArtifactError`` where the graph is not one of the Plan."""
        if names[:1] != ["images"] or (names[1:] and not self._fused):
            raise ArtifactError(f"{self._path}: expected the one input 'images', got {', '.join(names)}")
        plan = self._plan
        axes = dict(zip(plan.layout, shape, strict=False))
        sizes = plan.input_size or (axes.get("H"), axes.get("W"))
        if len(shape) != 4 or (axes["H"], axes["W"], axes["C"]) != (*sizes, plan.channels):
            raise ArtifactError(f"{self._path}: its Plan takes {_input_of(plan)}, and its graph {shape}")
        found = tuple(value.name for value in outputs)
        if not self._fused and found != plan.outputs:
            raise ArtifactError(
                f"{self._path}: its Plan gives {', '.join(plan.outputs)}, and its graph {', '.join(found)}"
            )

    def _check_batch(self, length: Any) -> None:
        """Raises ``ArtifactError`` where the graph takes ``length`` images, and its model others."""
        batch = 1 if self.fusion.unbatched else self.fusion.batch
        if batch not in (None, length):
            raise ArtifactError(f"{self._path}: its model takes {batch} images at a time, and its graph {length}")

    def run(self, images: Array) -> dict[str, Array]:
        return self.run_with(images, {}, ())

    def run_with(self, images: Array, inputs: Mapping[str, Any], rows: Sequence[int]) -> dict[str, Array]:
        """As :class:`.Backend` says of ``run``; ``inputs`` are those that a model in the file takes besides.

        Args:
            images: uint8 ``[N, H, W, C]``.
            inputs: by name; of those with the batch's axis first, ``rows`` are taken.
            rows: an index for each image, or for each group of images.

        Raises:
            InputError: onnxruntime fails, an input is missing, or the images are no whole number of the file's batches.
        """
        self._check(inputs)
        total = len(images)
        size = self.fusion.batch or total
        if total % size:
            raise InputError(f"the model in {self._path} takes {size} images at a time, got {total}")
        each = len(rows) * size // total
        parts = [
            self._run(images[i * size : (i + 1) * size], self._rows(inputs, rows[i * each : (i + 1) * each]))
            for i in range(total // size)
        ]
        if len(parts) == 1:
            return parts[0]
        for name, value in parts[0].items():
            if value.ndim == 0:
                raise InputError(f"{name}: the model gives it once for its {size} images: pass no more at a time")
        return {name: np.concatenate([part[name] for part in parts]) for name in self.output_names}

    def _check(self, inputs: Mapping[str, Any]) -> None:
        """Raises ``InputError`` where the model lacks an input, or does not know one."""
        expected = [value.name for value in self._inputs]
        missing = [name for name in expected if name not in inputs]
        unknown = [name for name in inputs if name not in (*expected, *self._optional)]
        if missing:
            raise InputError(
                f"the model in {self._path} takes {', '.join(missing)} besides images: pass inputs={{name: array}}"
            )
        if unknown:
            raise InputError(f"inputs: the model in {self._path} has no {', '.join(map(str, unknown))}")

    def _rows(self, inputs: Mapping[str, Any], rows: Sequence[int]) -> dict[str, Array]:
        """The inputs as arrays, of those with the batch's axis first only ``rows``."""
        found = {}
        for name, value in inputs.items():
            try:
                array = np.asarray(value)
            except Exception as error:  # ragged lists, or tensors on a device or in a graph of gradients
                raise InputError(f"inputs: {name}: expected an array ({error})") from error
            if name in self._batched:
                given = len(array) if array.ndim else 0
                if given <= max(rows, default=-1):
                    raise InputError(f"inputs: {name} has {given} rows, expected one for each image or group")
                array = array[list(rows)]
            found[name] = array
        return found

    def _run(self, images: Array, inputs: Mapping[str, Array]) -> dict[str, Array]:
        images = np.ascontiguousarray(images.transpose(0, 3, 1, 2) if self._channels_first else images)
        if self._process != os.getpid():
            self._restart()
        try:
            values = self._sessions.session(images.shape).run(None, {"images": images, **inputs})
        except Exception as error:
            raise InputError(f"onnxruntime failed on images of shape {images.shape}: {first_line(error)}") from error
        if self.fusion.unbatched:
            values = [value[None] for value in values]
        return dict(zip(self.output_names, values, strict=True))


def _input_of(plan: Plan) -> str:
    """For people."""
    sizes = {"N": "batch", "C": plan.channels, **dict(zip("HW", plan.input_size or ("height", "width"), strict=True))}
    return f"[{', '.join(str(sizes[axis]) for axis in plan.layout)}]"
