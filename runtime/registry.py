"""Classes by their names in JSON, each imported when it is first asked for: most Plans need few of them."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Registry(Mapping[str, type[T]], Generic[T]):
    """The classes of a package, one a file.

    Args:
        package: that of the files.
        classes: the class's name by that of its file, which is its name in JSON.
    """

    def __init__(self, package: str, classes: Mapping[str, str]) -> None:
        self._package, self._classes = package, classes
        self._files = {name: file for file, name in classes.items()}

    def __getitem__(self, name: str) -> type[T]:
        class_name = self._classes[name]
        kind: type[T] = getattr(importlib.import_module(f".{name}", self._package), class_name)
        return kind

    def __iter__(self) -> Iterator[str]:
        return iter(self._classes)

    def __len__(self) -> int:
        return len(self._classes)

    def __contains__(self, name: object) -> bool:
        return name in self._classes

    def attribute(self, name: str) -> type[T]:
        """The class of that name, for the package's ``__getattr__``; raises ``AttributeError``."""
        if name not in self._files:
            raise AttributeError(f"module {self._package!r} has no attribute {name!r}")
        return self[self._files[name]]


def name_of(kind: type[Any]) -> str:
    """That of a class in its registry."""
    return kind.__module__.rpartition(".")[2]
