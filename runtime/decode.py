"""Encoded images to pixels: Pillow's, by a faster decoder where one gives the same."""

from __future__ import annotations

import functools
import importlib.util
import io
import os
from pathlib import Path
from typing import Any

import numpy as np

from .errors import BackendUnavailable, InputError
from .shared_pixels import shared_pixels

Array = np.ndarray[Any, Any]

MAX_PIXELS = 178_956_970
"""Largest image that is decoded, in pixels: twice Pillow's own warning limit, where Pillow itself refuses."""

MODES = {1: "L", 3: "RGB", 4: "RGBA"}
"""PIL's mode for each number of channels."""

ORIENTATION = 0x0112
"""The EXIF tag."""

SAMPLINGS = (0, 1, 2)
"""Of the colours in a JPEG, as Pillow numbers them: 4:4:4, 4:2:2 and 4:2:0."""


def decode(source: Any, channels: int = 3, share: bool = False, max_pixels: int | None = None) -> Array:
    """A file or encoded bytes: upright by its EXIF tag, then RGB, alpha dropped (image_utils.py:474).

    Of an animation it is the first frame. For one or four channels, grayscale or RGBA by Pillow's conversion instead:
    there the reference takes no files.

    Args:
        source: a path, or bytes.
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
    from PIL import Image, ImageOps

    try:
        with Image.open(source if _is_path(source) else io.BytesIO(source)) as image:
            check_pixels(image.width, image.height, max_pixels)
            fast = _fast(image, source) if channels == 3 else None
            if fast is not None:
                return fast
            ImageOps.exif_transpose(image, in_place=True)
            return pixels(image if image.mode == MODES[channels] else image.convert(MODES[channels]), share)
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"no such image file: {source}{_advice(source)}") from error
    except Image.DecompressionBombError as error:
        raise InputError(f"the image is too large: {error}") from error
    # Pillow's decoders raise about anything on bad data: SyntaxError, struct.error, IndexError, ...
    except Exception as error:
        name = source if _is_path(source) else "the bytes"
        raise InputError(f"{name}: not an image that Pillow can read ({error})") from error


def pixels(image: Any, share: bool) -> Array:
    """uint8 ``[H, W, C]`` of a PIL image of any of :data:`MODES`; with ``share`` a view where Pillow allows one."""
    view = shared_pixels(image) if share and image.mode == "RGB" else None
    return np.asarray(image).reshape(image.height, image.width, -1) if view is None else view


def check_pixels(width: int, height: int, max_pixels: int | None = None) -> None:
    """Raises ``InputError`` for no pixel, or more than ``max_pixels``, by default :data:`MAX_PIXELS`."""
    most = MAX_PIXELS if max_pixels is None else max_pixels
    if width < 1 or height < 1:
        raise InputError(f"expected at least 1x1 pixels, got {height}x{width}")
    if width * height > most:
        raise InputError(f"expected at most {most} pixels, got {height}x{width}")


def _is_path(source: Any) -> bool:
    return isinstance(source, (str, os.PathLike))


def _advice(source: Any) -> str:
    """What to pass in place of the texts that transformers fetches or decodes itself (image_utils.py:474)."""
    text = str(source)
    if text.startswith(("http://", "https://")):
        return "; download it, and pass the bytes"
    return "; pass base64.b64decode() of what follows the comma" if text.startswith("data:image/") else ""


# --- simplejpeg


def _fast(image: Any, source: Any) -> Array | None:
    """uint8 ``[H, W, 3]`` of a JPEG that Pillow has opened; None where Pillow has to decode it.

    What simplejpeg so much as warns of is Pillow's to judge.
    """
    if image.format not in ("JPEG", "MPO") or not _has_samplings(image):
        return None
    simplejpeg = _simplejpeg()
    if simplejpeg is None:
        return None
    turn = TURNS.get(image.getexif().get(ORIENTATION, 1))
    try:
        array: Array = simplejpeg.decode_jpeg(Path(source).read_bytes() if _is_path(source) else source)
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
    except ImportError:  # or a build that refuses the installed NumPy
        return None
    from PIL import Image

    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (37, 53, 3), np.uint8))
    options: list[dict[str, Any]] = [{"subsampling": n, "progressive": p} for n in SAMPLINGS for p in (False, True)]
    for image, option in [*((noise, option) for option in options), (noise.convert("L"), {})]:
        file = io.BytesIO()
        image.save(file, "JPEG", **option)
        with Image.open(file) as reopened:
            same = np.array_equal(simplejpeg.decode_jpeg(file.getvalue()), np.asarray(reopened.convert("RGB")))
        if not same:
            return None
    return simplejpeg
