"""Lists of encoded images, decoded in threads: their order, their errors, and what must not be read at once."""

import io
import threading

import numpy as np
import pytest
from PIL import Image

import runtime.threads
from runtime import InputError, decode
from runtime.image import to_arrays

from .helpers import assert_equal, noise
from .test_decode import BY_PILLOW, NOISE, by_pillow, encoded


@pytest.fixture
def two_threads(monkeypatch):
    """A pool as on two CPUs."""
    pool = runtime.threads._Pool()
    pool.threads = 2
    monkeypatch.setattr(runtime.threads, "_pool", pool)
    yield
    if pool._executor is not None:
        pool._executor.shutdown()


def sources(tmp_path):
    path = tmp_path / "image.png"
    path.write_bytes(BY_PILLOW["PNG"])
    return {
        "bytes": [encoded(quality=quality) for quality in (50, 60, 70, 80)],
        "paths": [path, str(path), path.parent / ".." / path.parent.name / path.name],
        "PIL images not read yet": [Image.open(io.BytesIO(encoded(quality=quality))) for quality in (50, 60, 70)],
    }


@pytest.mark.parametrize("name", ["bytes", "paths", "PIL images not read yet"])
@pytest.mark.usefixtures("two_threads")
def test_lists_are_decoded_by_two_threads_at_once(name, tmp_path, monkeypatch):
    images = sources(tmp_path)[name]
    expected = [to_arrays(image, convert=True)[0] for image in sources(tmp_path)[name]]
    together = threading.Barrier(2, timeout=60)  # broken where one thread does it all
    seen = set()
    pixels = decode.pixels

    def meeting(*args):
        if threading.get_ident() not in seen:
            seen.add(threading.get_ident())
            together.wait()
        return pixels(*args)

    monkeypatch.setattr(decode, "pixels", meeting)
    monkeypatch.setattr(decode, "_simplejpeg", lambda: None)
    for i, (got, want) in enumerate(zip(to_arrays(images, convert=True), expected, strict=True)):
        assert_equal(got, want, f"{name}, {i}")
    assert len(seen) == 2


@pytest.mark.usefixtures("two_threads")
def test_order_is_kept_in_mixed_and_nested_lists():
    arrays = [noise(20 + i, 30, i) for i in range(12)]
    images = [
        [array, encoded(Image.fromarray(array), "PNG"), Image.open(io.BytesIO(encoded(Image.fromarray(array), "PNG")))]
        for array in arrays
    ]
    for given_images in (images, [image for group in images for image in group]):
        got = to_arrays(given_images, convert=True)
        for i, image in enumerate(got):
            assert_equal(image, arrays[i // 3], f"image {i}")


@pytest.mark.usefixtures("two_threads")
def test_the_first_error_is_raised():
    good = encoded()
    for _ in range(20):
        with pytest.raises(InputError, match=r"^image 2: the bytes: not an image") as raised:
            to_arrays([good, noise(5, 6), b"bad", good, b"", None], convert=True)
        assert raised.value.position == 2
    with pytest.raises(InputError, match=r"^image 1: expected a PIL image, .*NoneType"):
        to_arrays([good, None, b"bad"], convert=True)
    with pytest.raises(InputError, match=r"^image 1: image 0: the bytes: not an image"):
        to_arrays([[good, good], [b"bad", good]], convert=True)


@pytest.mark.usefixtures("two_threads")
def test_one_object_several_times_is_read_once(monkeypatch):
    read, decoder = [], decode.decode
    monkeypatch.setattr(decode, "decode", lambda source, *args: read.append(len(source)) or decoder(source, *args))
    data = encoded()
    lazy = Image.open(io.BytesIO(encoded(format="PNG")))
    got = to_arrays([data, lazy] * 10, convert=True)
    assert read == [len(data)]
    for i, image in enumerate(got):
        assert_equal(image, by_pillow(data) if i % 2 == 0 else np.asarray(NOISE), f"image {i}")


class Archive(io.BytesIO):
    """What a PIL image may be read from, and another as well."""


def of_one_file():
    file = io.BytesIO(encoded(format="PNG"))
    return [Image.open(file), Image.open(file)]


@pytest.mark.parametrize(
    "images",
    [of_one_file, lambda: [Image.open(Archive(encoded(format="PNG"))) for _ in range(2)]],
    ids=["one file", "archives"],
)
@pytest.mark.usefixtures("two_threads")
def test_images_that_may_share_a_file_are_read_in_the_callers_thread(images, monkeypatch):
    seen = []
    pixels = decode.pixels
    monkeypatch.setattr(decode, "pixels", lambda *args: seen.append(threading.get_ident()) or pixels(*args))
    # The encoded images keep both threads at work.
    data = [encoded(NOISE.rotate(angle), "PNG") for angle in range(8)]
    pil = images()
    got = to_arrays([*data[:4], *pil, *data[4:]], convert=True)
    for array in got[4:6]:
        assert_equal(array, np.asarray(NOISE), "pixels")
    assert len(seen) == 10
    assert seen[8:] == [threading.get_ident()] * 2


@pytest.mark.usefixtures("two_threads")
def test_many_threads_decode_lists_at_once():
    images = [encoded(Image.fromarray(noise(30 + i, 40, i))) for i in range(8)]
    expected = [by_pillow(image) for image in images]
    wrong = []

    def work():
        for _ in range(10):
            for got, want in zip(to_arrays(images, convert=True), expected, strict=True):
                if not np.array_equal(got, want):
                    wrong.append(got)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
