"""An ONNX artifact in onnxruntime."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from ..errors import ArtifactError, BackendUnavailable, InputError
from ..plan import Plan

Array = np.ndarray[Any, Any]


class OnnxBackend:
    """Runs the file itself: the Plan only says how its input is laid out."""

    def __init__(self, path: str | os.PathLike[str], plan: Plan) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise BackendUnavailable("backend 'onnx' needs onnxruntime: pip install onnxruntime") from error
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # a failing node is raised below, and need not be printed too
        try:
            self._session = onnxruntime.InferenceSession(os.fspath(path), options, providers=["CPUExecutionProvider"])
        # onnxruntime raises classes of its own that have no common base but Exception.
        except Exception as error:
            raise ArtifactError(f"{os.fspath(path)}: onnxruntime cannot load it ({_first_line(error)})") from error
        names = [value.name for value in self._session.get_inputs()]
        if names != ["images"]:
            raise ArtifactError(f"{os.fspath(path)}: expected the one input 'images', got {', '.join(names)}")
        self.output_names = tuple(value.name for value in self._session.get_outputs())
        self._channels_first = plan.layout == "NCHW"

    def run(self, images: Array) -> dict[str, Array]:
        if self._channels_first:
            images = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
        try:
            values = self._session.run(None, {"images": images})
        except Exception as error:
            raise InputError(f"onnxruntime failed on images of shape {images.shape}: {_first_line(error)}") from error
        return dict(zip(self.output_names, values, strict=True))


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
