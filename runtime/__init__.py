"""Runs preprocessing artifacts: ``runtime.load("vit.onnx")(image)``.

Importing this needs NumPy alone; Pillow, onnxruntime and torch are imported by the backend that asks for them.
"""

from __future__ import annotations

from .errors import (
    ArtifactError,
    BackendUnavailable,
    InputError,
    ParityError,
    PreprocessorError,
    UnsupportedConfig,
)
from .features import Features
from .plan import Plan
from .preprocessor import Preprocessor, load

__all__ = [
    "ArtifactError",
    "BackendUnavailable",
    "Features",
    "InputError",
    "ParityError",
    "Plan",
    "Preprocessor",
    "PreprocessorError",
    "UnsupportedConfig",
    "load",
]
