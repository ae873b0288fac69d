"""An ONNX artifact in onnxruntime."""

from __future__ import annotations

import os
import re
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..artifact import FUSED_KEY
from ..errors import ArtifactError, BackendUnavailable, InputError
from ..fusion import Fusion
from ..plan import Plan

Array = np.ndarray[Any, Any]

REPEATS = 8
"""Calls with images of one shape before it gets a session of its own, which takes about as long as 50 calls save."""

UNKNOWN = re.compile(r"([\w.]+:\w+)\(-?\d+\) is not a registered function/op")
"""What onnxruntime says of an operator of somebody else."""

MOST_SESSIONS = 4
MOST_SHAPES = 1024


class OnnxBackend:
    """Runs the file itself: the Plan only says how its input is laid out."""

    def __init__(self, path: str | os.PathLike[str], plan: Plan, fused: bool = False) -> None:
        self._path = os.fspath(path)
        self._session = self._open(self._path)
        inputs = self._session.get_inputs()
        names = [value.name for value in inputs]
        if names[:1] != ["images"] or (names[1:] and not fused):
            raise ArtifactError(f"{self._path}: expected the one input 'images', got {', '.join(names)}")
        metadata = self._session.get_modelmeta().custom_metadata_map
        self.fusion = Fusion.from_json(metadata[FUSED_KEY]) if fused else Fusion()
        self._inputs = inputs[1:]
        defaults = self._session.get_overridable_initializers() if fused else []
        self._optional = {value.name for value in defaults}
        fixed = self.fusion.batch and self.fusion.batch // (self.fusion.length or 1 if self.fusion.group else 1)
        first = ("batch", "groups") if fixed is None else ("batch", "groups", fixed)
        self._batched = {value.name for value in (*self._inputs, *defaults) if value.shape and value.shape[0] in first}
        self.output_names = tuple(value.name for value in self._session.get_outputs())
        self._channels_first = plan.layout == "NCHW"
        self._shapes = None if fused else Shapes(self._open, Path(path).read_bytes(), plan.layout)

    def _open(self, model: str | bytes, sizes: dict[str, int] | None = None) -> Any:
        """A session; ``sizes`` fixes dimensions of the input by name, and onnxruntime folds what follows from them."""
        try:
            import onnxruntime
        except ImportError as error:
            raise BackendUnavailable("backend 'onnx' needs onnxruntime: pip install onnxruntime") from error
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # a failing node is raised below, and need not be printed too
        # A session's threads would spin on after a call, in the way of another session's.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        for name, size in (sizes or {}).items():
            options.add_free_dimension_override_by_name(name, size)
        try:
            return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        # onnxruntime raises classes of its own that have no common base but Exception.
        except Exception as error:
            unknown = UNKNOWN.search(str(error))
            if unknown is not None:
                raise ArtifactError(
                    f"{self._path}: onnxruntime does not know the model's operator {unknown[1]} without its library:"
                    " register that in a session of your own; --no-verify writes the file without running it"
                ) from error
            raise ArtifactError(f"{self._path}: onnxruntime cannot load it ({_first_line(error)})") from error

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
            raise InputError(f"inputs: the model in {self._path} has no {', '.join(unknown)}")

    def _rows(self, inputs: Mapping[str, Any], rows: Sequence[int]) -> dict[str, Array]:
        """The inputs as arrays, of those with the batch's axis first only ``rows``."""
        found = {}
        for name, value in inputs.items():
            array = np.asarray(value)
            if name in self._batched:
                if len(array) <= max(rows, default=-1):
                    raise InputError(f"inputs: {name} has {len(array)} rows, expected one for each image or group")
                array = array[list(rows)]
            found[name] = array
        return found

    def _run(self, images: Array, inputs: Mapping[str, Array]) -> dict[str, Array]:
        images = np.ascontiguousarray(images.transpose(0, 3, 1, 2) if self._channels_first else images)
        session = self._session if self._shapes is None else self._shapes.session(images.shape) or self._session
        try:
            values = session.run(None, {"images": images, **inputs})
        except Exception as error:
            raise InputError(f"onnxruntime failed on images of shape {images.shape}: {_first_line(error)}") from error
        if self.fusion.unbatched:
            values = [value[None] for value in values]
        return dict(zip(self.output_names, values, strict=True))


class Shapes:
    """Sessions for the shapes that come again and again: their weights are computed once, when the session opens.

    The values are the same. The least recently used shape gives way.
    """

    def __init__(self, open: Any, model: bytes, layout: str) -> None:
        self._open, self._model = open, model
        self._names = ["batch", *("height" if c == "H" else "width" if c == "W" else "" for c in layout[1:])]
        self._lock = threading.Lock()
        self._counts: dict[tuple[int, ...], int] = {}
        self._sessions: OrderedDict[tuple[int, ...], Any] = OrderedDict()

    def session(self, shape: tuple[int, ...]) -> Any:
        """The session for ``shape``, or ``None`` where it came too seldom or another thread is opening one."""
        # Opening takes some 60 ms: other threads go on with the session for all shapes meanwhile.
        if not self._lock.acquire(blocking=False):
            return self._sessions.get(shape)
        try:
            if shape in self._sessions:
                self._sessions.move_to_end(shape)
                return self._sessions[shape]
            count = self._counts[shape] = self._counts.get(shape, 0) + 1
            if count < REPEATS:
                if len(self._counts) > MOST_SHAPES:
                    self._counts.clear()
                return None
            del self._counts[shape]
            sizes = {name: size for name, size in zip(self._names, shape, strict=True) if name}
            self._sessions[shape] = self._open(self._model, sizes)
            if len(self._sessions) > MOST_SESSIONS:
                self._sessions.popitem(last=False)
            return self._sessions[shape]
        finally:
            self._lock.release()


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
