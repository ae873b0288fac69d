"""Machine code that is kept on disk: it is found by the next process, and nothing else is taken for it."""

import ctypes
import importlib.machinery
import importlib.util
import os
import sys
import threading
import types
from pathlib import Path

import pytest

from runtime import machine_code

pytest.importorskip("numba")
llvm = pytest.importorskip("llvmlite.binding")

pytestmark = pytest.mark.skipif(llvm.get_object_format() != "ELF", reason="numba keeps its code itself")

ADDED = 'define i64 @"c.added"(i64 %x) {{ %y = add i64 %x, {} ret i64 %y }}\n'
ERRORS = "declare void @nowhere()\ndefine i64 @errors() { call void @nowhere() ret i64 1 }\n"
CALLS = 'declare i64 @nowhere(i64)\ndefine i64 @"c.added"(i64 %x) { %y = call i64 @nowhere(i64 %x) ret i64 %y }'
READS = '@nowhere = external global i64\ndefine i64 @"c.added"(i64 %x) { %y = load i64, ptr @nowhere ret i64 %y }'


class Compiler:
    """A module that gives what numba would have compiled."""

    def __init__(self, monkeypatch, source):
        self.text, self.sources, self.asked = ADDED.format(1) + ERRORS, [source], []
        self.numbas = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(lambda x: x + 1000)
        monkeypatch.setitem(sys.modules, "made_up", self)

    def compiled(self, cache):
        self.asked.append(cache)
        place = ctypes.cast(self.numbas, ctypes.c_void_p).value
        return types.SimpleNamespace(native_name="c.added", inspect_llvm=lambda: self.text, address=place)

    def __call__(self):
        """41 and what the code adds, which is 1; 1000 where it is numba's own."""
        place = machine_code.address("added", "made_up", self.sources)
        return ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(place)(41)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    path = tmp_path / "cache"
    monkeypatch.setattr(machine_code, "_folders", lambda: [path])
    return path


@pytest.fixture
def compiler(tmp_path, monkeypatch, folder):
    source = tmp_path / "source.py"
    source.write_text("what it follows from")
    return Compiler(monkeypatch, source)


def test_it_is_compiled_once(compiler, folder):
    before = os.umask(0)
    try:
        assert compiler() == 42
    finally:
        os.umask(before)
    (file,) = folder.iterdir()
    assert file.name.startswith("added-")
    compiler.text = "not read"
    assert compiler() == 42
    assert compiler.asked == [False]
    assert (folder.stat().st_mode & 0o777, file.stat().st_mode & 0o777) == (0o755, 0o644)


# --- What a file must be


def test_no_damage_reaches_llvm(compiler, folder, monkeypatch):
    """Truncated, longer, any bit flipped: it is compiled anew, and the file is mended."""
    compiler()
    (file,) = folder.iterdir()
    right, loaded, given = file.read_bytes(), machine_code._loaded, []
    monkeypatch.setattr(machine_code, "_loaded", lambda *args: (given.append(args[-1]), loaded(*args))[1])
    damaged = [right[:n] for n in (0, 1, 31, 32, 33, len(right) // 2, len(right) - 1)]
    damaged += [right + b"\0", bytes(len(right)), right[32:], right * 2]
    for bit in range(0, 8 * len(right), 8 * len(right) // 50 + 1):
        flipped = bytearray(right)
        flipped[bit // 8] ^= 1 << bit % 8
        damaged.append(bytes(flipped))
    for count, content in enumerate(damaged, 2):
        file.write_bytes(content)
        assert compiler() == 42
        assert len(compiler.asked) == count
        assert file.read_bytes() == right
    assert set(given) == {right[32:]}


def test_no_larger_file_is_read(compiler, folder, monkeypatch):
    compiler()
    (file,) = folder.iterdir()
    monkeypatch.setattr(machine_code, "LARGEST", file.stat().st_size - 1)
    compiler()
    assert len(compiler.asked) == 2


def test_a_file_of_another_function_under_its_name(compiler, folder, tmp_path):
    compiler()
    (file,) = folder.iterdir()
    compiler.text = ADDED.format(2)
    compiler.sources[0].write_text("what another follows from")
    assert compiler() == 43
    (other,) = set(folder.iterdir()) - {file}
    other.replace(file)
    compiler.text = ADDED.format(1)
    compiler.sources[0].write_text("what it follows from")
    assert compiler() == 42
    assert len(compiler.asked) == 3


OTHERS = {
    "Python": lambda m, source: m.setattr(sys, "version", "4.0"),
    "llvmlite": lambda m, source: m.setattr("llvmlite.__version__", "9.0"),
    "the machine": lambda m, source: m.setattr(os, "uname", lambda: types.SimpleNamespace(machine="other")),
    "the processor": lambda m, source: m.setattr(llvm, "get_host_cpu_name", lambda: "x86-64-v2"),
    "its features": lambda m, source: m.setattr(llvm, "get_host_cpu_features", lambda: llvm.FeatureMap(sse2=True)),
    "numba's processor": lambda m, source: m.setenv("NUMBA_CPU_NAME", "generic"),
    "numba's features": lambda m, source: m.setenv("NUMBA_CPU_FEATURES", ""),
    "a source": lambda m, source: source.write_text("something else"),
    "this module": lambda m, source: m.setattr(machine_code, "__file__", str(source)),
}


@pytest.mark.parametrize("what", OTHERS)
def test_code_of_another_origin_is_not_taken(what, compiler, folder, monkeypatch):
    compiler()
    OTHERS[what](monkeypatch, compiler.sources[0])
    for _ in range(2):
        assert compiler() == 42
        assert compiler.asked == [False, False]
    assert len(list(folder.iterdir())) == 2


def test_another_numba_compiles_anew(compiler, folder, monkeypatch, tmp_path):
    compiler()
    find, package = importlib.util.find_spec, tmp_path / "numba" / "__init__.py"
    package.parent.mkdir()
    other = importlib.util.spec_from_file_location("numba", package)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: other if name == "numba" else find(name))
    for count, version in enumerate(("9.0", "9.1"), 2):
        package.with_name("_version.py").write_text(version)
        for _ in range(2):
            assert compiler() == 42
            assert len(compiler.asked) == count
    assert len(list(folder.iterdir())) == 3


def test_generic_code_has_no_features_of_this_processor(monkeypatch):
    monkeypatch.delenv("NUMBA_CPU_FEATURES", raising=False)
    monkeypatch.setenv("NUMBA_CPU_NAME", "generic")
    assert machine_code._processor(llvm) == ("generic", "")
    monkeypatch.setenv("NUMBA_CPU_FEATURES", "+sse2")
    assert machine_code._processor(llvm) == ("generic", "+sse2")
    monkeypatch.delenv("NUMBA_CPU_NAME")
    assert machine_code._processor(llvm) == (llvm.get_host_cpu_name(), "+sse2")
    monkeypatch.delenv("NUMBA_CPU_FEATURES")
    assert machine_code._processor(llvm)[1] == llvm.get_host_cpu_features().flatten()


# --- Who may have written it


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666])
def test_a_file_that_others_can_write_to(mode, compiler, folder):
    compiler()
    (file,) = folder.iterdir()
    file.chmod(mode)
    assert compiler() == 42
    assert len(compiler.asked) == 2
    assert file.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o1777])
def test_a_folder_that_others_can_write_to(mode, compiler, folder):
    """Nothing is read from it, and nothing written."""
    compiler()
    folder.chmod(mode)
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    for count in (2, 3):
        assert compiler() == 42
        assert len(compiler.asked) == count
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


@pytest.mark.parametrize("what", ["the file", "the folder"])
def test_a_link_to_it(what, compiler, folder):
    """It may have been made by another user, and lead to a file of this one's."""
    compiler()
    (path,) = folder.iterdir() if what == "the file" else [folder]
    moved = path.rename(folder.parent / "moved")
    path.symlink_to(moved)
    assert compiler() == 42
    assert len(compiler.asked) == 2


def status(owner, mode):
    return os.stat_result((mode, 0, 0, 1, owner, 0, 0, 0, 0, 0))


@pytest.mark.parametrize("mode", [0o100600, 0o100644, 0o040755])
def test_owners(mode, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    for owner in (0, 1000):
        machine_code._check_owner(status(owner, mode))
        for more in (0o020, 0o002):
            with pytest.raises(PermissionError):
                machine_code._check_owner(status(owner, mode | more))
    with pytest.raises(PermissionError):
        machine_code._check_owner(status(1001, mode))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(PermissionError):
        machine_code._check_owner(status(1000, mode))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize("what", ["the file", "the folder"])
def test_another_users(what, compiler, folder):
    compiler()
    (path,) = folder.iterdir() if what == "the file" else [folder]
    os.chown(path, 12345, 12345)
    assert compiler() == 42
    assert len(compiler.asked) == 2


# --- Where it lies


def test_the_first_place_that_can_be_written_to(compiler, tmp_path, monkeypatch):
    blocked, second, third = tmp_path / "file", tmp_path / "a" / "b", tmp_path / "c"
    blocked.write_text("no folder")
    monkeypatch.setattr(machine_code, "_folders", lambda: [blocked, blocked / "in it", second, third])
    for _ in range(2):
        assert compiler() == 42
    assert compiler.asked == [False]
    assert len(list(second.iterdir())) == 1
    assert not third.exists()


def test_nowhere_to_write(compiler, tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    for folders in ([], [blocked]):
        monkeypatch.setattr(machine_code, "_folders", lambda folders=folders: folders)
        assert compiler() == 42
    assert compiler.asked == [False, False]


@pytest.mark.parametrize("where", [(Path, "replace"), (os, "fdopen")])
def test_a_full_disk_leaves_nothing(where, compiler, folder, monkeypatch):
    def full(file, _):
        if isinstance(file, int):
            os.close(file)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(*where, full)
    assert compiler() == 42
    assert list(folder.iterdir()) == []


def test_many_at_once(compiler, folder):
    start, results = threading.Barrier(8), []

    def work():
        start.wait()
        results.extend(compiler() for _ in range(5))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [42] * 40
    assert len(list(folder.iterdir())) == 1


def test_places(monkeypatch):
    beside = Path(machine_code.__file__).with_name("__pycache__")
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/given")
    monkeypatch.setenv("XDG_CACHE_HOME", "/user")
    assert machine_code._folders() == [Path("/given"), beside, Path("/user/export-preprocessor")]
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert machine_code._folders() == [beside, Path("/home/somebody/.cache/export-preprocessor")]
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as where there is no home
    assert machine_code._folders() == [beside]


# --- What cannot be kept


@pytest.mark.parametrize("text", [CALLS, READS, "not LLVM's"])
def test_code_that_needs_something_else(text, compiler, folder):
    """LLVM would end the process: numba's own is taken."""
    compiler.text = text
    for count in (1, 2):
        assert compiler() == 1041
        assert compiler.asked == [False] * count
    assert not folder.exists()


def test_another_format_is_not_known(compiler, monkeypatch):
    code = machine_code._object(llvm, "added", compiler.compiled(False))
    assert machine_code._complete(llvm, code)
    triple = f"{llvm.get_process_triple().split('-')[0]}-apple-macosx"
    monkeypatch.setattr(llvm, "get_process_triple", lambda: triple)
    code = machine_code._object(llvm, "added", compiler.compiled(False))
    assert not machine_code._complete(llvm, code)


@pytest.mark.skipif(not llvm.get_process_triple().startswith("x86"), reason="the names are those of x86")
def test_code_is_for_the_processor(compiler, monkeypatch):
    ones = "declare i64 @llvm.ctpop.i64(i64)\n"
    compiler.text = ones + 'define i64 @"c.added"(i64 %x) { %y = call i64 @llvm.ctpop.i64(i64 %x) ret i64 %y }'
    sizes = []
    for name, features in (("generic", ""), ("generic", "+popcnt"), ("nehalem", "")):
        monkeypatch.setenv("NUMBA_CPU_NAME", name)
        monkeypatch.setenv("NUMBA_CPU_FEATURES", features)
        sizes.append(len(machine_code._object(llvm, "added", compiler.compiled(False))))
    assert sizes[0] > sizes[1] == sizes[2]


def test_where_no_memory_may_be_run(compiler, folder, monkeypatch):
    def refuse():
        raise OSError(13, "cannot allocate executable memory")

    compiler()
    monkeypatch.setattr(llvm, "check_jit_execution", refuse)
    assert compiler() == 1041


@pytest.mark.parametrize("why", ["not ELF", "llvmlite 0.43", "32 bits", "no sources", "numba in an archive"])
def test_where_numba_keeps_it(why, compiler, folder, monkeypatch):
    if why == "not ELF":
        monkeypatch.setattr(llvm, "get_object_format", lambda: "MachO")
    elif why == "llvmlite 0.43":
        monkeypatch.delattr(llvm, "create_pass_builder")
    elif why == "32 bits":
        monkeypatch.setattr(sys, "maxsize", 2**31 - 1)
    elif why == "numba in an archive":
        find, found = importlib.util.find_spec, importlib.machinery.ModuleSpec("numba", None)
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: found if name == "numba" else find(name))
    else:
        compiler.sources[0].unlink()
    assert compiler() == 1041
    assert compiler.asked == [True]
    assert machine_code._alive[-1].address
    assert not folder.exists()


def test_no_code_without_numba(compiler, folder, monkeypatch):
    compiler()
    monkeypatch.setitem(sys.modules, "numba", None)
    with pytest.raises(ModuleNotFoundError, match="No module named 'numba'"):
        compiler()


@pytest.mark.parametrize("error", [ImportError("needs NumPy 2.3 or less"), AttributeError("numpy.core"), OSError("no")])
def test_a_compiler_that_cannot_be_imported(error, folder, monkeypatch):
    def refuse(_):
        raise error

    monkeypatch.setattr(importlib, "import_module", lambda name: llvm if name.startswith("llvm") else refuse(name))
    with pytest.raises(ImportError, match=str(error)):
        machine_code.address("added", "made_up", [])
