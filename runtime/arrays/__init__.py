"""One source for every backend: array namespaces, and :func:`bind`, which runs a formula over another one.

:mod:`runtime.geometry` and :mod:`runtime.resample` are plain Python over NumPy. A backend gets *the same functions*
over its own arrays and numbers, so sizes and weights are written once and cannot drift.
"""

from __future__ import annotations

import importlib.util
import sys
from types import FunctionType, ModuleType, SimpleNamespace
from typing import Any


def bind(module: ModuleType, **names: Any) -> Any:
    """The functions of ``module``, looking up ``names`` (such as ``xp``, ``min``, ``int``) before its own globals."""
    scope = dict(module.__dict__)
    for name, item in module.__dict__.items():
        if isinstance(item, FunctionType) and item.__module__ == module.__name__:
            scope[name] = FunctionType(item.__code__, scope, name, item.__defaults__)
    scope.update(names)
    return SimpleNamespace(**scope)


def reload(module: ModuleType, suffix: str, **names: Any) -> Any:
    """As :func:`bind`, but a real module of its own: TorchScript and torch.compile look functions up by module."""
    name = f"{module.__name__}_{suffix}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, module.__file__)
        assert spec is not None and spec.loader is not None
        copy = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(copy)
        vars(copy).update(names)
        sys.modules[name] = copy
    return sys.modules[name]
