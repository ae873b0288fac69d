"""An ONNX artifact in onnxruntime."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ArtifactError, BackendUnavailable, InputError
from ..plan import Plan

Array = np.ndarray[Any, Any]

REPEATS = 8
"""Calls with images of one shape before it gets a session of its own, which takes about as long as 50 calls save."""

MOST_SESSIONS = 4
MOST_SHAPES = 1024


class OnnxBackend:
    """Runs the file itself: the Plan only says how its input is laid out."""

    def __init__(self, path: str | os.PathLike[str], plan: Plan, fused: bool = False) -> None:
        self._path = os.fspath(path)
        self._session = self._open(self._path)
        names = [value.name for value in self._session.get_inputs()]
        if names != ["images"]:
            raise ArtifactError(f"{self._path}: expected the one input 'images', got {', '.join(names)}")
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
            raise ArtifactError(f"{self._path}: onnxruntime cannot load it ({_first_line(error)})") from error

    def run(self, images: Array) -> dict[str, Array]:
        images = np.ascontiguousarray(images.transpose(0, 3, 1, 2) if self._channels_first else images)
        session = self._session if self._shapes is None else self._shapes.session(images.shape) or self._session
        try:
            values = session.run(None, {"images": images})
        except Exception as error:
            raise InputError(f"onnxruntime failed on images of shape {images.shape}: {_first_line(error)}") from error
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
