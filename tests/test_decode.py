"""Decoding by simplejpeg: Pillow's pixels and Pillow's errors."""

import base64
import io
import struct
import sys
import types

import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile, ImageOps

from runtime import InputError, decode

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


def cut(data, scans):
    """A progressive JPEG that ends after so many scans, which is allowed: libjpeg smooths what is missing."""
    parts = data.split(decode.START_OF_SCAN)
    assert len(parts) > scans + 1
    return decode.START_OF_SCAN.join(parts[: scans + 1]) + decode.END_OF_IMAGE


ARITHMETIC = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABQODxIPDRQSEBIXFRQYHjIhHhwcHj0sLiQySUBMS0dARkVQWnNiUFVtVkVGZIhlbXd7gYKBTmCNl4x9"
    "lnN+gXz/2wBDARUXFx4aHjshITt8U0ZTfHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHz/yQARCAAJAAsD"
    "ASIAAhEBAxEB/8wACgAQEAUBEBEF/9oADAMBAAIRAxEAPwDOKb8DY9AFu73nv6tskDAMZKqKMUvvSEG76DEb2YnUM1wp1D9NMHqgzoy3hZQO7FRO"
    "T73sqnuQoO4E2nYxqw7ngPptLgDv0kO/NhL75pN73fcw7MD/2Q=="
)
"""11x9 pixels, coded in arithmetic by cjpeg, which Pillow reads and does not write."""

ENTRIES = [
    (0x0100, 2, 4, b"abc\0"),  # the width, in letters
    (decode.ORIENTATION, 3, 1, b"\0\6\0\0"),
]
ILL_TYPED = (
    b"Exif\0\0MM\0*" + struct.pack(">IH", 8, 2) + b"".join(struct.pack(">HHI4s", *e) for e in ENTRIES) + bytes(4)
)
"""EXIF data that Pillow reads, but does not write."""

BY_SIMPLEJPEG = {
    **{f"sampling {n}": encoded(subsampling=n) for n in decode.SAMPLINGS},
    **{f"progressive {n}": encoded(subsampling=n, progressive=True) for n in decode.SAMPLINGS},
    **{f"orientation {n}": oriented(n) for n in range(1, 9)},
    "arithmetic": ARITHMETIC,
    **{f"progressive to scan {n}": cut(encoded(progressive=True), n) for n in (1, 2, 5)},
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


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("package", [True, False])
def test_exif_data_that_cannot_be_written(format, package, monkeypatch):
    if not package:
        monkeypatch.setattr(decode, "_simplejpeg", lambda: None)
    data = encoded(format=format, exif=ILL_TYPED)
    with pytest.raises((struct.error, TypeError)):
        by_pillow(data)
    with Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(image.transpose(Image.Transpose.ROTATE_270))
    assert_equal(decode.decode(data), expected, format)


@pytest.mark.parametrize("number", range(10))
@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_pillows_images_are_turned_as_pillow_turns_them(number, format):
    exif = Image.Exif()
    exif[decode.ORIENTATION] = number
    for mode in ("RGB", "P", "L"):
        data = encoded(NOISE.convert(mode), format, exif=exif)
        assert_equal(decode.decode(data), by_pillow(data), mode)


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


@pytest.mark.parametrize("name", ["sampling 2", "progressive 0", "orientation 6", "arithmetic", "PNG"])
def test_truncated_files_where_pillow_is_told_to_load_them(name, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    data = {**BY_SIMPLEJPEG, **BY_PILLOW}[name]
    loaded = 0
    for share in (0.5, 0.9, 0.99):
        piece = data[: int(len(data) * share)]
        try:
            want = by_pillow(piece)
        except (OSError, SyntaxError):
            with pytest.raises(InputError):
                decode.decode(piece)
            continue
        assert_equal(decode.decode(piece), want, f"{name}, {share}")
        loaded += 1
    assert loaded


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "simplejpeg", None)
    assert decode._simplejpeg.__wrapped__() is None
    monkeypatch.setattr(decode, "_simplejpeg", decode._simplejpeg.__wrapped__)
    for name, data in BY_SIMPLEJPEG.items():
        assert_equal(decode.decode(data), by_pillow(data), name)


def is_gray(data):
    array = simplejpeg.decode_jpeg(data)
    return (array[..., 0] == array[..., 1]).all()


@pytest.mark.parametrize(
    "off",
    [
        is_gray,
        lambda data: not is_gray(data),
        lambda data: data.count(decode.START_OF_SCAN) == 2,
        lambda data: data.count(decode.START_OF_SCAN) > 2,
    ],
    ids=["gray", "color", "smoothed", "progressive"],
)
def test_a_package_with_other_pixels_is_not_used(off, monkeypatch):
    def other(data):
        return simplejpeg.decode_jpeg(data) ^ off(data)

    monkeypatch.setitem(sys.modules, "simplejpeg", types.SimpleNamespace(decode_jpeg=other))
    assert decode._simplejpeg.__wrapped__() is None
    monkeypatch.setitem(sys.modules, "simplejpeg", simplejpeg)
    assert decode._simplejpeg.__wrapped__() is simplejpeg


@pytest.mark.parametrize("error", [ValueError, RuntimeError, TypeError])
def test_a_package_that_fails_is_not_used(error, monkeypatch):
    def broken(data):
        raise error("a build of another day")

    monkeypatch.setitem(sys.modules, "simplejpeg", types.SimpleNamespace(decode_jpeg=broken))
    assert decode._simplejpeg.__wrapped__() is None


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
    ("text", "message"),
    [
        (
            "https://example.org/cat.jpg",
            "no such image file: https://example.org/cat.jpg; download it, and pass the bytes",
        ),
        (
            "http://example.org/cat.jpg",
            "no such image file: http://example.org/cat.jpg; download it, and pass the bytes",
        ),
        ("cat.jpg", "no such image file: cat.jpg"),
        ("c" * 255, f"no such image file: {'c' * 255}"),
        ("A" * 256, f"no such image file: {'A' * 60}... (256 characters); pass base64.b64decode() of base64"),
        ("data:image/png;base64,AAAA", "data:image/png;base64,AAAA: not an image that Pillow can read"),
        (
            "data:image/png;base64,A",
            "data:image/png;base64,A: not an image that Pillow can read (Invalid base64-encoded",
        ),
        ("data:image/png", "data:image/png: not an image that Pillow can read (list index out of range)"),
        (
            f"data:image/png;base64,{'A' * 400}",
            f"data:image/png;base64,{'A' * 38}... (422 characters): not an image that Pillow can read",
        ),
    ],
    ids=range(9),
)
def test_texts_that_are_no_paths(text, message):
    with pytest.raises(InputError) as raised:
        decode.decode(text)
    assert str(raised.value).startswith(message)
    assert len(str(raised.value)) < 320
