"""Machine code that is kept on disk, so that only a process which has to compile it imports the compiler.

numba's import takes longer than all else that loading an artifact does, and numba's own cache needs that import too.
Here LLVM makes an object file of what numba compiled, and a later process has LLVM alone put it into memory.

What such a file holds will be run. It is taken only from a folder and a file that nobody but this user and root can
write to, and only with the checksum of its code and of all that the code was made from: LLVM ends the process where an
object is damaged or refers to what is not there.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import struct
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

LARGEST = 2**20
"""Bytes of a file that are read; code is a hundredth of that."""

_alive: list[Any] = []
"""What holds the code that was loaded, to the end of the process: a thread may be in it at any time."""


def address(name: str, module: str, sources: Sequence[Path]) -> int:
    """Where a C function lies in memory: from a file, or else compiled, and then in a file for the next process.

    Args:
        name: of the function, and of its files.
        module: full name of that whose ``compiled`` gives numba's ``CFunc``. It is imported where it has to compile;
            the argument says whether numba is to keep the code in its own cache, which is so where nothing is here.
        sources: the files that the code follows from.

    Raises:
        ImportError: numba is not installed, or cannot be imported where it has to compile.
        Exception: whatever ``compiled`` raises.
    """
    numba = importlib.util.find_spec("numba")
    if numba is None:
        raise ModuleNotFoundError("No module named 'numba'", name="numba")
    llvm = _imported("llvmlite.binding")
    # Only in 64-bit ELF does `_complete` know its way; llvmlite 0.44 brought the passes of `_object`.
    if llvm.get_object_format() != "ELF" or sys.maxsize < 2**32 or not hasattr(llvm, "create_pass_builder"):
        return _numbas(_imported(module).compiled(True))
    try:
        key = _key(_processor(llvm), [Path(__file__), *sources, Path(numba.origin or "").with_name("_version.py")])
    except (OSError, ValueError):  # no files, as in an archive
        return _numbas(_imported(module).compiled(True))
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    paths = [folder / f"{name}-{key.hex()[:16]}.bin" for folder in _folders()]
    for path in paths:
        with contextlib.suppress(OSError):
            return _loaded(llvm, name, _read(path, key))
    function = _imported(module).compiled(False)
    try:
        code = _object(llvm, name, function)
        place = _loaded(llvm, name, code) if _complete(llvm, code) else 0
    except Exception:  # the compilers' interfaces change; what numba has compiled runs all the same
        place = 0
    if not place:
        return _numbas(function)
    for path in paths:
        with contextlib.suppress(OSError):
            _write(path, key, code)
            break
    return place


def _imported(module: str) -> Any:
    """A module; ``ImportError`` if that fails: packages that do not fit each other raise errors of any class."""
    try:
        return importlib.import_module(module)
    except Exception as error:
        raise ImportError(str(error)) from error


def _numbas(function: Any) -> int:
    """Where numba put its function."""
    _alive.append(function)
    return int(function.address)


# --- What code follows from


def _processor(llvm: Any) -> tuple[str, str]:
    """Name and features of the processor that code is for: this one's, or what numba's variables say instead."""
    name = os.environ.get("NUMBA_CPU_NAME", llvm.get_host_cpu_name())
    features = "" if name.lower() == "generic" else llvm.get_host_cpu_features().flatten()
    return name, os.environ.get("NUMBA_CPU_FEATURES", features)


def _key(processor: tuple[str, str], sources: Sequence[Path]) -> bytes:
    """A checksum of all that code follows from; the last source is numba's version, much sooner than its metadata."""
    import llvmlite

    made_by = sys.version, llvmlite.__version__, sys.platform, os.uname().machine, *processor
    digest = hashlib.sha256(repr(made_by).encode())
    for source in sources:
        digest.update(hashlib.sha256(source.read_bytes()).digest())
    return digest.digest()


# --- LLVM


def _object(llvm: Any, name: str, function: Any) -> bytes:
    """An object file of numba's function, by another name."""
    module = llvm.parse_assembly(function.inspect_llvm())
    for value in (*module.functions, *module.global_variables):
        if not value.is_declaration and value.name != function.native_name:
            value.linkage = "internal"
    module.get_function(function.native_name).name = name
    target = llvm.Target.from_triple(llvm.get_process_triple())
    machine = target.create_target_machine(*_processor(llvm), opt=3, jit=True)
    # Now that nothing else is visible, what reports errors that cannot occur goes, and with it all calls of Python.
    passes = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=3))
    passes.getModulePassManager().run(module, passes)
    return bytes(machine.emit_object(module))


def _complete(llvm: Any, code: bytes) -> bool:
    """Whether an object file, in 64-bit ELF, refers to nothing that is not in it."""
    for section in llvm.ObjectFileRef.from_data(code).sections():
        if section.name() == b".symtab":
            _, *symbols = struct.iter_unpack("=IBBHQQ", section.data())  # the first stands for none
            return all(defined_in for _, _, _, defined_in, _, _ in symbols)
    return False


def _loaded(llvm: Any, name: str, code: bytes) -> int:
    """Where an object file's function lies in memory; ``OSError`` where the system allows no such memory."""
    llvm.check_jit_execution()
    machine = llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine(jit=True)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    _alive.append(engine)
    return int(engine.get_function_address(name))


# --- Files


def _folders() -> list[Path]:
    """Where files may lie: where numba's would."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    folders = os.environ.get("NUMBA_CACHE_DIR"), Path(__file__).with_name("__pycache__"), f"{cache}/export-preprocessor"
    paths = [Path(os.path.expanduser(folder)) for folder in folders if folder]  # noqa: PTH111 - pathlib's needs a home
    return [path for path in paths if path.is_absolute()]


def _read(path: Path, key: bytes) -> bytes:
    """The code in a file.

    Raises:
        OSError: there is none, or somebody else may have written it, or it is damaged or of another key.
    """
    _check_owner(path.parent.lstat())
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
        _check_owner(os.fstat(file.fileno()))
        content = file.read(LARGEST)
    checksum, code = content[:32], content[32:]
    if checksum != hashlib.sha256(key + code).digest():
        raise OSError(f"{path} is damaged")
    return code


def _write(path: Path, key: bytes, code: bytes) -> None:
    """Writes a file, whole or not at all, for all to read; ``OSError`` where that cannot be, or would not be read."""
    path.parent.mkdir(0o755, parents=True, exist_ok=True)
    _check_owner(path.parent.lstat())
    part = path.with_name(f"{path.name}.{os.urandom(8).hex()}")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), "wb") as file:
            file.write(hashlib.sha256(key + code).digest() + code)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _check_owner(status: os.stat_result) -> None:
    """Raises ``PermissionError`` where others than this user and root can write; so does a link, which all can."""
    if status.st_uid not in (0, os.geteuid()) or status.st_mode & 0o022:
        raise PermissionError("others can write there")
