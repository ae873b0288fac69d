"""Decoding by simplejpeg and in threads: Pillow's pixels and Pillow's errors."""

import io
import sys
import threading
import types

import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

import runtime.threads
from runtime import InputError, decode
from runtime.image import to_arrays

from .helpers import assert_equal, noise, sides

NOISE = Image.fromarray(noise(61, 50))


def encoded(image=NOISE, format="JPEG", **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def by_pillow(data):
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def oriented(number):
    exif = Image.Exif()
    exif[decode.ORIENTATION] = number
    return encoded(exif=exif)


@pytest.fixture
def decoded(monkeypatch):
    """What simplejpeg has decoded, in bytes."""
    package = decode._simplejpeg()
    assert package is simplejpeg
    calls = []
    spy = types.SimpleNamespace(decode_jpeg=lambda data: calls.append(len(data)) or simplejpeg.decode_jpeg(data))
    monkeypatch.setattr(decode, "_simplejpeg", lambda: spy)
    return calls


BY_SIMPLEJPEG = {
    **{f"sampling {n}": encoded(subsampling=n) for n in decode.SAMPLINGS},
    **{f"progressive {n}": encoded(subsampling=n, progressive=True) for n in decode.SAMPLINGS},
    **{f"orientation {n}": oriented(n) for n in range(1, 9)},
    "gray": encoded(NOISE.convert("L")),
    "progressive gray": encoded(NOISE.convert("L"), progressive=True),
    "not YCbCr": encoded(keep_rgb=True),
    "optimized": encoded(optimize=True),
    "restarts": encoded(restart_marker_blocks=2),
    "worst quality": encoded(quality=1),
    "best quality": encoded(quality=100),
    "a frame of several": encoded(format="MPO", save_all=True, append_images=[NOISE.rotate(90)]),
    "bytes behind the end": encoded() + b"more",
}
BY_PILLOW = {
    "CMYK": encoded(NOISE.convert("CMYK")),
    "progressive CMYK": encoded(NOISE.convert("CMYK"), progressive=True),
    **{f"sampling {n}": simplejpeg.encode_jpeg(np.asarray(NOISE), colorsubsampling=n) for n in ("440", "411")},
    "PNG": encoded(format="PNG"),
}


@pytest.mark.parametrize("name", BY_SIMPLEJPEG)
def test_simplejpeg_decodes_what_it_was_compared_on(name, decoded, tmp_path):
    data = BY_SIMPLEJPEG[name]
    path = tmp_path / "image.jpg"
    path.write_bytes(data)
    for source in (data, bytearray(data), memoryview(data), path, str(path)):
        assert_equal(decode.decode(source), by_pillow(data), f"{name}, {type(source).__name__}")
    assert decoded == [len(data)] * 5


@pytest.mark.parametrize("name", BY_PILLOW)
def test_pillow_decodes_the_rest(name, decoded):
    assert_equal(decode.decode(BY_PILLOW[name]), by_pillow(BY_PILLOW[name]), name)
    assert not decoded


def test_other_channels_are_pillows(decoded):
    with Image.open(io.BytesIO(BY_SIMPLEJPEG["sampling 2"])) as image:
        for channels, mode in ((1, "L"), (4, "RGBA")):
            expected = np.asarray(image.convert(mode)).reshape(*image.size[::-1], channels)
            assert_equal(decode.decode(BY_SIMPLEJPEG["sampling 2"], channels), expected, mode)
    assert not decoded


@given(
    height=sides(80),
    width=sides(80),
    subsampling=st.sampled_from(decode.SAMPLINGS),
    progressive=st.booleans(),
    gray=st.booleans(),
    quality=st.integers(1, 100),
    orientation=st.integers(1, 8),
)
@settings(max_examples=150)
def test_any_jpeg(height, width, gray, orientation, **options):
    exif = Image.Exif()
    exif[decode.ORIENTATION] = orientation
    image = Image.fromarray(noise(height, width))
    data = encoded(image.convert("L") if gray else image, exif=exif, **options)
    assert_equal(decode.decode(data), by_pillow(data), f"{height}x{width}, {options}")


def outcome(data):
    try:
        return decode.decode(data).tolist()
    except InputError as error:
        return str(error)


@pytest.mark.filterwarnings("ignore:Truncated File Read:UserWarning")
@pytest.mark.parametrize("name", ["sampling 2", "progressive 0", "gray", "orientation 6", "restarts"])
def test_damage_ends_as_with_pillow_alone(name, monkeypatch):
    data = BY_SIMPLEJPEG[name]
    rng = np.random.default_rng(0)
    damaged = [data[:length] for length in range(0, len(data), 211)]
    for position in rng.integers(0, len(data), 60):
        flipped = bytearray(data)
        flipped[position] ^= 1 << int(rng.integers(8))
        damaged.append(bytes(flipped))
    with_both = [outcome(piece) for piece in damaged]
    monkeypatch.setattr(decode, "_simplejpeg", lambda: None)
    alone = [outcome(piece) for piece in damaged]
    for i, (got, want) in enumerate(zip(with_both, alone, strict=True)):
        same = got == want or (isinstance(got, str) and isinstance(want, str) and "0x" in want)  # an object's address
        assert same, f"{name}, piece {i}"
    assert any(isinstance(want, str) for want in alone)
    assert any(isinstance(want, list) for want in alone)


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "simplejpeg", None)
    assert decode._simplejpeg.__wrapped__() is None
    monkeypatch.setattr(decode, "_simplejpeg", decode._simplejpeg.__wrapped__)
    for name, data in BY_SIMPLEJPEG.items():
        assert_equal(decode.decode(data), by_pillow(data), name)


@pytest.mark.parametrize("off", ["gray", "color"])
def test_a_package_with_other_pixels_is_not_used(off, monkeypatch):
    def other(data):
        array = simplejpeg.decode_jpeg(data)
        is_gray = (array[..., 0] == array[..., 1]).all()
        return array ^ 1 if is_gray == (off == "gray") else array

    monkeypatch.setitem(sys.modules, "simplejpeg", types.SimpleNamespace(decode_jpeg=other))
    assert decode._simplejpeg.__wrapped__() is None
    monkeypatch.setitem(sys.modules, "simplejpeg", simplejpeg)
    assert decode._simplejpeg.__wrapped__() is simplejpeg


def test_another_shape_than_pillows_is_not_used(monkeypatch):
    other = types.SimpleNamespace(decode_jpeg=lambda data: np.zeros((5, 6, 3), np.uint8))
    monkeypatch.setattr(decode, "_simplejpeg", lambda: other)
    assert_equal(decode.decode(encoded()), by_pillow(encoded()), "the pixels")


def test_size_limits_come_before_decoding(decoded, monkeypatch):
    monkeypatch.setattr(decode, "MAX_PIXELS", 61 * 50 - 1)
    with pytest.raises(InputError, match="expected at most 3049 pixels, got 61x50"):
        decode.decode(encoded())
    assert not decoded


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("https://example.org/cat.jpg", "download it, and pass the bytes"),
        ("http://example.org/cat.jpg", "download it, and pass the bytes"),
        ("data:image/png;base64,AAAA", r"pass base64\.b64decode\(\) of what follows the comma"),
    ],
)
def test_texts_that_transformers_takes_besides_paths(text, advice):
    with pytest.raises(InputError, match=f"^no such image file: {text}; {advice}"):
        decode.decode(text)


# --- In threads


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
def test_one_object_several_times_is_read_once(decoded):
    data = encoded()
    lazy = Image.open(io.BytesIO(encoded(format="PNG")))
    got = to_arrays([data, lazy] * 10, convert=True)
    assert decoded == [len(data)]
    for i, image in enumerate(got):
        assert_equal(image, by_pillow(data) if i % 2 == 0 else np.asarray(NOISE), f"image {i}")


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
