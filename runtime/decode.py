"""Encoded images to pixels: Pillow's, by a faster decoder where one gives the same."""

from __future__ import annotations

import base64
import errno
import functools
import importlib.util
import io
import os
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from .errors import BackendUnavailable, InputError
from .files import is_device
from .lazy import check_format
from .ops.size import MOST_PIXELS
from .shared_pixels import shared_pixels

Array = np.ndarray[Any, Any]

MAX_PIXELS = MOST_PIXELS
"""Largest image that is decoded, in pixels: twice Pillow's own warning limit, where Pillow itself refuses."""

MODES = {1: "L", 3: "RGB", 4: "RGBA"}
"""PIL's mode for each number of channels."""

ORIENTATION = 0x0112
"""The EXIF tag."""

LONGEST_SIDE = 262_144
"""Of an image, in pixels: the weights of a resize take a kilobyte for each of them."""

START_OF_SCAN, END_OF_IMAGE = b"\xff\xda", b"\xff\xd9"
"""Of a JPEG's markers."""

MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
"""Of a JPEG, but those that may stand among a scan's data."""

WITHOUT_LENGTH = (b"\xff\x01", b"\xff\xd8")
"""Of a JPEG's other markers."""

JPEGS = ("JPEG", "MPO")
"""Formats, by Pillow's names."""

MOST_BYTES, MOST_BYTES_A_PIXEL = 1 << 26, 3
"""Of a JPEG's file: metadata and what stands behind the image; and for each pixel that an image may have."""

MOST_SCANS = 100
"""Of a JPEG, each of which passes over all of its pixels; encoders write a dozen."""

METHODS = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
"""Pillow's name for what makes an image upright, by its EXIF orientation."""

LONGEST_NAME = 255
"""Characters, of a file in most file systems."""

SAMPLINGS = (0, 1, 2)
"""Of the colours in a JPEG, as Pillow numbers them: 4:4:4, 4:2:2 and 4:2:0."""


def decode(source: Any, channels: int = 3, share: bool = False, max_pixels: int | None = None) -> Array:
    """A file or encoded bytes: upright by its EXIF tag, then RGB, alpha dropped (image_utils.py:474).

    Of an animation it is the first frame. For one or four channels, grayscale or RGBA by Pillow's conversion instead:
    there the reference takes no files. Pillow's decoders, JPEG 2000's aside, let other threads run.

    Args:
        source: a path, bytes, or a text ``data:image/...;base64,...``.
        channels: 1, 3 or 4.
        share: whether the result may be a view of Pillow's memory, in which a pixel takes four bytes.
        max_pixels: as of :func:`check_pixels`. Pillow's own limit, ``PIL.Image.MAX_IMAGE_PIXELS``, holds besides.

    Returns:
        uint8 ``[H, W, channels]``.

    Raises:
        InputError: no such file, nothing that Pillow reads, or more pixels than are allowed.
    """
    if importlib.util.find_spec("PIL") is None:
        raise BackendUnavailable("reading image files needs Pillow: pip install pillow")
    from PIL import Image, UnidentifiedImageError

    given = source
    try:
        if isinstance(source, str) and source.startswith("data:image/"):
            source = base64.decodebytes(source.split(",")[1].encode())  # image_utils.py:499
        if _is_path(source) and is_device(source):  # which may be waited for
            raise InputError(f"{_name(source)}: a pipe or a device, not a file")
        with Image.open(source if _is_path(source) else io.BytesIO(source)) as image:
            check_pixels(image.width, image.height, max_pixels)
            check_format(image)
            jpeg = _jpeg(image, source, max_pixels) if image.format in JPEGS else None
            fast = _fast(image, jpeg) if jpeg is not None and channels == 3 else None
            if fast is not None:
                return fast
            upright = _upright(image)
            return pixels(upright if upright.mode == MODES[channels] else upright.convert(MODES[channels]), share)
    except InputError:
        raise
    except Image.DecompressionBombError as error:
        raise InputError(f"the image is too large: {error}") from error
    # Pillow's decoders raise about anything on bad data: SyntaxError, struct.error, IndexError, ...
    except Exception as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOENT, errno.ENAMETOOLONG):
            raise InputError(f"no such image file: {_name(given)}{_advice(str(given))}") from error
        reason = "" if isinstance(error, UnidentifiedImageError) else f" ({getattr(error, 'strerror', None) or error})"
        raise InputError(f"{_name(given)}: not an image that Pillow can read{reason}") from error


def _upright(image: Any) -> Any:
    """As ``PIL.ImageOps.exif_transpose`` turns it, which besides writes its EXIF data anew, and may fail with that."""
    from PIL import Image

    image.load()  # which may bring the tag
    method = METHODS.get(image.getexif().get(ORIENTATION, 1))
    return image if method is None else image.transpose(Image.Transpose[method])


def pixels(image: Any, share: bool) -> Array:
    """uint8 ``[H, W, C]`` of a PIL image of any of :data:`MODES`; with ``share`` a view where Pillow allows one."""
    view = shared_pixels(image) if share and image.mode == "RGB" else None
    return np.asarray(image).reshape(image.height, image.width, -1) if view is None else view


def most_pixels(max_pixels: int | None) -> int:
    """How many an image may have where the caller said so, or nothing."""
    return MAX_PIXELS if max_pixels is None else max_pixels


def check_pixels(width: int, height: int, max_pixels: int | None = None) -> None:
    """Raises ``InputError`` for no pixel, more than ``max_pixels``, by default :data:`MAX_PIXELS`, or a long side."""
    most = most_pixels(max_pixels)
    if width < 1 or height < 1:
        raise InputError(f"expected at least 1x1 pixels, got {height}x{width}")
    if width * height > most:
        raise InputError(f"expected at most {most} pixels, got {height}x{width}")
    if max(width, height) > LONGEST_SIDE:
        raise InputError(f"expected sides of at most {LONGEST_SIDE} pixels, got {height}x{width}")


def _jpeg(image: Any, source: Any, max_pixels: int | None) -> Any:
    """The bytes of an opened JPEG; ``InputError`` where they are far too many, or could take hours to decode."""
    most = MOST_BYTES + MOST_BYTES_A_PIXEL * most_pixels(max_pixels)
    data = source
    if _is_path(source):
        position = image.fp.tell()
        image.fp.seek(0)
        data = image.fp.read(most + 1)
        image.fp.seek(position)
    elif not isinstance(source, bytes):
        data = bytes(source)
    if len(data) > most:
        raise InputError(f"expected a JPEG of at most {most} bytes, got more")
    if data.count(START_OF_SCAN) > MOST_SCANS and scans(data) > MOST_SCANS:
        raise InputError(f"expected a JPEG of at most {MOST_SCANS} scans, got more")
    return data


def scans(data: bytes) -> int:
    """How many scans a JPEG has: what stands behind its end, such as a film, is not looked at."""
    count, position = 0, len(START_OF_SCAN)
    while (found := MARKER.search(data, position)) is not None and found[0] != END_OF_IMAGE:
        count += found[0] == START_OF_SCAN
        position = found.end()
        if found[0] not in WITHOUT_LENGTH:
            position += int.from_bytes(data[position : position + 2], "big")
    return count


def _is_path(source: Any) -> bool:
    return isinstance(source, (str, os.PathLike))


def _name(source: Any) -> str:
    """Of a source, for errors: a text may hold megabytes."""
    text = str(source) if _is_path(source) else "the bytes"
    return text if len(text) <= LONGEST_NAME else f"{text[:60]}... ({len(text)} characters)"


def _advice(text: str) -> str:
    """What to pass in place of the texts that transformers fetches, or decodes on trial (image_utils.py:474)."""
    if text.startswith(("http://", "https://")):
        return "; download it, and pass the bytes"
    return "; pass base64.b64decode() of base64" if len(text) > LONGEST_NAME else ""


# --- simplejpeg


def _fast(image: Any, data: bytes) -> Array | None:
    """uint8 ``[H, W, 3]`` of a JPEG that Pillow has opened; None where Pillow has to decode it.

    What simplejpeg so much as warns of is Pillow's to judge.
    """
    if not _has_samplings(image):
        return None
    simplejpeg = _simplejpeg()
    if simplejpeg is None:
        return None
    turn = TURNS.get(image.getexif().get(ORIENTATION, 1))
    try:
        array: Array = simplejpeg.decode_jpeg(data)
    except (ValueError, OSError):
        return None
    if array.shape != (image.height, image.width, 3):
        return None
    return array if turn is None else np.ascontiguousarray(turn(array))


def _has_samplings(image: Any) -> bool:
    """Whether it is a JPEG of the kinds that are compared in :func:`_simplejpeg`."""
    from PIL.JpegImagePlugin import get_sampling

    return image.mode == "L" or (image.mode == "RGB" and get_sampling(image) in SAMPLINGS)


TURNS = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: pixels[::-1].swapaxes(0, 1),
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: pixels[:, ::-1].swapaxes(0, 1),
}
"""What makes an image upright, by its EXIF orientation."""


@functools.cache
def _simplejpeg() -> Any:
    """The package, where it is installed and gives Pillow's pixels; else None.

    Both bring a libjpeg-turbo of their own; a Pillow built with another libjpeg gives other pixels.
    """
    try:
        import simplejpeg

        return simplejpeg if all(_decodes_as_pillow(simplejpeg, data) for data in _samples()) else None
    except Exception:  # not installed, or a build that fails with the installed NumPy
        return None


def _decodes_as_pillow(simplejpeg: Any, data: bytes) -> bool:
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        return np.array_equal(simplejpeg.decode_jpeg(data), np.asarray(image.convert("RGB")))


def _samples() -> Iterator[bytes]:
    """JPEGs in which the builds of libjpeg differ, if they do: upsampling, and the smoothing of scans left out."""
    from PIL import Image

    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (37, 53, 3), np.uint8))
    options: list[dict[str, Any]] = [{"subsampling": n, "progressive": p} for n in SAMPLINGS for p in (False, True)]
    for image, option in [*((noise, option) for option in options), (noise.convert("L"), {})]:
        file = io.BytesIO()
        image.save(file, "JPEG", **option)
        data = file.getvalue()
        yield data
        if option.get("progressive"):
            scans = data.split(START_OF_SCAN)
            yield START_OF_SCAN.join(scans[:3]) + END_OF_IMAGE
