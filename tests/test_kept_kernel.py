"""The kernel of backend ``numba`` from a file of machine code, from numba's own cache, and from neither."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("numba")
llvm = pytest.importorskip("llvmlite.binding")

pytestmark = pytest.mark.skipif(llvm.get_object_format() != "ELF", reason="numba keeps its code itself")

SCRIPT = """
import hashlib, pathlib, sys
import llvmlite.binding as llvm
import numpy as np
from runtime import Plan, machine_code
from runtime.backends.numba import NumbaBackend
from runtime.ops import Resize
from runtime.ops.size import Size

machine_code._folders = lambda: [pathlib.Path(sys.argv[1])]
if len(sys.argv) > 2:
    llvm.get_object_format = lambda: "MachO"
run = NumbaBackend(Plan((Resize(Size(height=64, width=64), "bicubic", "pillow13"),), "pillow13")).run
images = (np.arange(3 * 90 * 80, dtype=np.uint32) * 2654435761 >> 13).astype(np.uint8).reshape(1, 90, 80, 3)
print(hashlib.sha256(run(images)["pixel_values"]).hexdigest(), "numba" in sys.modules)
"""


def pixels(cache, *arguments, **environment):
    """Of a fresh interpreter: a checksum of them, and whether it has imported numba."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(cache), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "NUMBA_CACHE_DIR": str(cache), **environment},
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    values, numba = done.stdout.split()
    return values, numba == "True"


def test_the_kernel_is_kept(tmp_path):
    """The second process does not import numba."""
    cache = tmp_path / "cache"
    values, numba = pixels(cache)
    assert numba
    (file,) = cache.iterdir()
    assert file.stat().st_size < 2**16
    assert pixels(cache) == (values, False)


@pytest.mark.slow
def test_the_kernel_elsewhere(tmp_path):
    """For any processor; from numba's own cache, empty, full and damaged; and with no cache at all: the same pixels."""
    cache, blocked = tmp_path / "cache", tmp_path / "file"
    values, _ = pixels(cache)
    for expected in (True, False):
        assert pixels(cache, NUMBA_CPU_NAME="generic") == (values, expected)
    assert len(list(cache.iterdir())) == 2
    for _ in range(2):
        assert pixels(cache, "numba's") == (values, True)
    for suffix in (".nbc", ".nbi"):
        files = list(cache.rglob(f"*{suffix}"))
        assert files
        for file in files:
            file.write_bytes(b"damaged")
        assert pixels(cache, "numba's") == (values, True)
    blocked.write_text("")
    for arguments in ((), ("numba's",)):
        assert pixels(blocked / "folder", *arguments) == (values, True)
