"""Files are written whole or not at all."""

import os

import pytest

from exporter.atomic import atomic
from runtime import ArtifactError


def test_atomic_moves_the_file_when_done(tmp_path):
    path = tmp_path / "file.onnx"
    with atomic(path) as temporary:
        assert temporary.parent.parent == tmp_path
        assert temporary.name == path.name
        temporary.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_atomic_replaces(tmp_path):
    path = tmp_path / "file.onnx"
    path.write_text("old")
    with atomic(str(path)) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("existing", [True, False])
def test_atomic_leaves_nothing_behind_on_an_error(error, existing, tmp_path):
    path = tmp_path / "file.onnx"
    if existing:
        path.write_text("old")

    def write():
        with atomic(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        write()
    assert [(p, p.read_text()) for p in tmp_path.iterdir()] == ([(path, "old")] if existing else [])


@pytest.mark.skipif(os.name != "posix", reason="permission bits")
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600), (0o002, 0o664)])
def test_atomic_honours_the_umask(umask, mode, tmp_path):
    before = os.umask(umask)
    try:
        with atomic(tmp_path / "file"):
            pass
        assert os.umask(umask) == umask, "the umask was changed"
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == mode


@pytest.mark.parametrize("folder", ["missing", "file"])
def test_atomic_needs_a_folder(folder, tmp_path):
    (tmp_path / "file").touch()

    def write():
        with atomic(tmp_path / folder / "file.onnx"):
            pytest.fail("there is no such folder")

    with pytest.raises(ArtifactError, match=f"{folder}/file.onnx: cannot be written .N"):
        write()


def test_atomic_does_not_replace_a_folder(tmp_path):
    (tmp_path / "out.onnx").mkdir()

    def write():
        with atomic(tmp_path / "out.onnx"):
            pass

    with pytest.raises(ArtifactError, match=r"out.onnx: cannot be written .Is a directory"):
        write()
    assert [path.name for path in tmp_path.iterdir()] == ["out.onnx"]
