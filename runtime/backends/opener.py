"""How onnxruntime opens a session: with the caller's providers and options."""

from __future__ import annotations

import functools
import os
import re
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import ArtifactError, BackendUnavailable

DEFAULTS = {
    "log_severity_level": 4,  # a failing node is raised, and need not be printed too
    "session.force_spinning_stop": "1",  # a session's threads would spin on after a call, in the way of another's
}
"""Options that suit a session which others stand beside."""

THREADS, ARENA, SHARED = "intra_op_num_threads", "enable_cpu_mem_arena", "session.use_env_allocators"

UNKNOWN = re.compile(r"([\w.]+:\w+)\(-?\d+\) is not a registered function/op")
"""What onnxruntime says of an operator of somebody else."""

_open: weakref.WeakSet[Any] = weakref.WeakSet()
_inherited: list[Any] = []
_locked = False


def _after_fork() -> None:
    """A child never closes its parent's sessions: it would wait for threads that it does not have."""
    global _locked
    _locked = _share_memory.cache_info().currsize > 0
    _inherited.extend(_open)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _onnxruntime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise BackendUnavailable("backend 'onnx' needs onnxruntime: pip install onnxruntime") from error
    return onnxruntime


@functools.cache
def _share_memory() -> None:
    """Registers an arena for sessions that ask for one; those of others keep theirs."""
    onnxruntime = _onnxruntime()
    place = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    # Without a limit, and as each session's own arena is otherwise: growing to exact sizes takes far longer.
    onnxruntime.create_and_register_allocator(place, onnxruntime.OrtArenaCfg(0, 0, -1, -1))


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

    @property
    def leaves_threads(self) -> bool:
        """Whether the caller has no say in how many threads a session has."""
        return self.repeatable and self.providers is None and THREADS not in (self.session_options or {})

    def shared_memory(self) -> dict[str, str]:
        """Options for sessions that take their memory from one arena; none where the caller has a say in that.

        An arena keeps what was taken from it, so that each of several sessions would hold as much as its largest calls
        took. A fork may leave its parent's arena locked for ever: its sessions have their own.
        """
        if _locked or self.providers is not None or not self.repeatable or ARENA in (self.session_options or {}):
            return {}
        _share_memory()
        return {SHARED: "1"}

    def open(self, model: str | bytes, sizes: Mapping[str, int] | None = None, **ours: Any) -> Any:
        """A session.

        Args:
            model: a file, or what is in it.
            sizes: fix dimensions of the input by name; onnxruntime folds what follows from them.
            ours: options, where the caller does not give them.

        Raises:
            BackendUnavailable: onnxruntime, or a provider in it, is missing or does not start.
            ArtifactError: onnxruntime cannot load the model.
            ValueError: providers or options that it does not know.
        """
        onnxruntime = _onnxruntime()
        providers = self._known_providers(onnxruntime.get_available_providers())
        options = self._options(onnxruntime.SessionOptions, ours)
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

    def _options(self, new: Callable[[], Any], ours: Mapping[str, Any]) -> Any:
        """The caller's, on top of ours."""
        if not self.repeatable:
            if not isinstance(self.session_options, new):  # type: ignore[arg-type]
                kind = type(self.session_options).__name__
                raise ValueError(f"session_options: expected a dict or an onnxruntime.SessionOptions, got {kind}")
            return self.session_options
        options = new()
        for name, value in {**DEFAULTS, **ours, **(self.session_options or {})}.items():
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


def first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__


def _name_of(provider: Any) -> str:
    """Of a name, or of a pair with options."""
    pair = isinstance(provider, tuple) and len(provider) == 2 and isinstance(provider[1], Mapping)
    name = provider[0] if pair else provider
    if not isinstance(name, str):
        raise ValueError(f"providers: expected a list of names, or of pairs with options, got {provider!r}")
    return name
