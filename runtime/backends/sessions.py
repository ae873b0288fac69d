"""onnxruntime's sessions: the caller's providers and options, and the sessions of single shapes."""

from __future__ import annotations

import os
import re
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import ArtifactError, BackendUnavailable

REPEATS = 8
"""Calls with images of one shape before it gets a session of its own, which takes about as long as 50 calls save."""

MOST_SESSIONS = 4
MOST_SHAPES = 1024

UNKNOWN = re.compile(r"([\w.]+:\w+)\(-?\d+\) is not a registered function/op")
"""What onnxruntime says of an operator of somebody else."""

_open: weakref.WeakSet[Any] = weakref.WeakSet()
_inherited: list[Any] = []


def _after_fork() -> None:
    """A child never closes its parent's sessions: it would wait for threads that it does not have."""
    _inherited.extend(_open)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@dataclass(frozen=True)
class Opener:
    """Opens sessions of a file.

    Attributes:
        path: of the file, for messages.
        providers: as onnxruntime takes them: names, or pairs of a name and its options; the CPU where none are given.
        session_options: attributes of ``onnxruntime.SessionOptions`` and, under their names with dots, entries of a
            session's config, all by name; or such an object.
    """

    path: str
    providers: Sequence[Any] | None = None
    session_options: Any = None

    @property
    def repeatable(self) -> bool:
        """Whether more sessions can be opened: an object of options cannot be copied for them."""
        return self.session_options is None or isinstance(self.session_options, Mapping)

    def open(self, model: str | bytes, sizes: Mapping[str, int] | None = None) -> Any:
        """A session; ``sizes`` fixes dimensions of the input by name, and onnxruntime folds what follows from them.

        Raises:
            BackendUnavailable: onnxruntime, or a provider in it, is missing or does not start.
            ArtifactError: onnxruntime cannot load the model.
            ValueError: providers or options that it does not know.
        """
        try:
            import onnxruntime
        except ImportError as error:
            raise BackendUnavailable("backend 'onnx' needs onnxruntime: pip install onnxruntime") from error
        providers = self._known_providers(onnxruntime.get_available_providers())
        options = self._options(onnxruntime.SessionOptions)
        for name, size in (sizes or {}).items():
            options.add_free_dimension_override_by_name(name, size)
        try:
            # Its own fallback, when it opens and later too, would go on with the CPU.
            session = onnxruntime.InferenceSession(model, options, providers=providers, enable_fallback=0)
        # onnxruntime raises classes of its own that have no common base but Exception.
        except Exception as error:
            unknown = UNKNOWN.search(str(error))
            if unknown is not None:
                raise ArtifactError(
                    f"{self.path}: onnxruntime does not know the model's operator {unknown[1]} without its library:"
                    " register that in a session of your own; --no-verify writes the file without running it"
                ) from error
            raise ArtifactError(f"{self.path}: onnxruntime cannot load it ({first_line(error)})") from error
        _open.add(session)
        missing = [name for name in map(_name_of, providers) if name not in session.get_providers()]
        if missing:
            raise BackendUnavailable(
                f"{', '.join(missing)}: onnxruntime has it, but it does not start on this machine; without providers="
                " the CPU runs the file"
            )
        return session

    def _known_providers(self, available: Sequence[str]) -> list[Any]:
        """The caller's, each of which is in the installed onnxruntime."""
        if self.providers is None:
            return ["CPUExecutionProvider"]
        if isinstance(self.providers, (str, bytes)) or not isinstance(self.providers, Sequence) or not self.providers:
            raise ValueError(f"providers: expected a list of names, or of pairs with options, got {self.providers!r}")
        missing = [name for name in map(_name_of, self.providers) if name not in available]
        if missing:
            raise BackendUnavailable(
                f"{', '.join(missing)}: not in the installed onnxruntime, which has {', '.join(available)}: for CUDA,"
                " pip install onnxruntime-gpu"
            )
        return list(self.providers)

    def _options(self, new: Callable[[], Any]) -> Any:
        """The caller's, on top of those that suit a session which others stand beside."""
        if not self.repeatable:
            if not isinstance(self.session_options, new):  # type: ignore[arg-type]
                kind = type(self.session_options).__name__
                raise ValueError(f"session_options: expected a dict or an onnxruntime.SessionOptions, got {kind}")
            return self.session_options
        options = new()
        options.log_severity_level = 4  # a failing node is raised, and need not be printed too
        # A session's threads would spin on after a call, in the way of another session's.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        for name, value in (self.session_options or {}).items():
            try:
                if isinstance(name, str) and "." in name:
                    options.add_session_config_entry(name, value if isinstance(value, str) else str(value))
                elif isinstance(getattr(new, str(name), None), property):
                    setattr(options, name, value)
                else:
                    raise ValueError("onnxruntime.SessionOptions has no such attribute")
            except (TypeError, ValueError, RuntimeError) as error:
                raise ValueError(f"session_options: {name}={value!r}: {first_line(error)}") from error
        return options


class Shapes:
    """Sessions for the shapes that come again and again: their weights are computed once, when the session opens.

    The values are the same. The least recently used shape gives way.
    """

    def __init__(self, opener: Opener, model: Any, layout: str) -> None:
        self._opener, self._model = opener, model
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
            self._sessions[shape] = self._opener.open(self._model, sizes)
            if len(self._sessions) > MOST_SESSIONS:
                self._sessions.popitem(last=False)
            return self._sessions[shape]
        finally:
            self._lock.release()


def first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__


def _name_of(provider: Any) -> str:
    """Of a name, or of a pair with options."""
    pair = isinstance(provider, tuple) and len(provider) == 2 and isinstance(provider[1], Mapping)
    name = provider[0] if pair else provider
    if not isinstance(name, str):
        raise ValueError(f"providers: expected a list of names, or of pairs with options, got {provider!r}")
    return name
