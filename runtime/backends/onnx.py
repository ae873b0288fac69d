"""An ONNX artifact in onnxruntime."""

from __future__ import annotations

import os
import threading
from collections import Counter, OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ArtifactError, BackendUnavailable, InputError
from ..plan import Plan

Array = np.ndarray[Any, Any]
Size = tuple[int, int]

REPEATS = 3
"""Images of one size after which that size gets a session of its own."""

SESSIONS = 8
"""Sizes that keep a session of their own: those used last."""


class OnnxBackend:
    """Runs the file itself: the Plan only says how its input is laid out.

    The file computes the resampling weights of whatever size comes. A size that comes again and again gets a session
    with this size fixed, in which onnxruntime has folded the weights into constants: the same graph, so the same bits.
    It is opened in the background, and not where a model is fused behind, whose weights it would hold twice.
    """

    def __init__(self, path: str | os.PathLike[str], plan: Plan, fused: bool = False) -> None:
        self._path = os.fspath(path)
        # Kept, so that a session opened later is of the same file even where the path holds another by then.
        self._model: bytes | str = self._path if fused else Path(path).read_bytes()
        self._session = self._open()
        names = [value.name for value in self._session.get_inputs()]
        if names != ["images"]:
            raise ArtifactError(f"{self._path}: expected the one input 'images', got {', '.join(names)}")
        self.output_names = tuple(value.name for value in self._session.get_outputs())
        self._channels_first = plan.layout == "NCHW"
        self._fixed: OrderedDict[Size, Any] = OrderedDict()
        self._seen: Counter[Size] = Counter()
        self._lock = threading.Lock()
        self._repeats = float("inf") if fused else REPEATS

    def _open(self, size: Size | None = None) -> Any:
        try:
            import onnxruntime
        except ImportError as error:
            raise BackendUnavailable("backend 'onnx' needs onnxruntime: pip install onnxruntime") from error
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # a failing node is raised below, and need not be printed too
        for name, length in zip(("height", "width"), size or (), strict=False):
            options.add_free_dimension_override_by_name(name, length)
        try:
            return onnxruntime.InferenceSession(self._model, options, providers=["CPUExecutionProvider"])
        # onnxruntime raises classes of its own that have no common base but Exception.
        except Exception as error:
            raise ArtifactError(f"{self._path}: onnxruntime cannot load it ({_first_line(error)})") from error

    def run(self, images: Array) -> dict[str, Array]:
        session = self._session_for((images.shape[1], images.shape[2]))
        if self._channels_first:
            images = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
        try:
            values = session.run(None, {"images": images})
        except Exception as error:
            raise InputError(f"onnxruntime failed on images of shape {images.shape}: {_first_line(error)}") from error
        return dict(zip(self.output_names, values, strict=True))

    def _session_for(self, size: Size) -> Any:
        with self._lock:
            if size in self._fixed:
                self._fixed.move_to_end(size)
                return self._fixed[size]
            self._seen[size] += 1
            if self._seen[size] == self._repeats:
                threading.Thread(target=self._fix, args=(size,), daemon=True).start()
            if len(self._seen) > 100 * SESSIONS:  # a stream of sizes that never repeat
                self._seen.clear()
        return self._session

    def _fix(self, size: Size) -> None:
        """Opens the session of one size."""
        session = self._open(size)
        with self._lock:
            self._fixed[size] = session
            if len(self._fixed) > SESSIONS:
                forgotten, _ = self._fixed.popitem(last=False)
                del self._seen[forgotten]


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
