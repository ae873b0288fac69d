"""Anything to RGB: the only place that decodes. What the reference refuses is an ``InputError``."""

from __future__ import annotations

import importlib.util
import io
import os
import sys
from typing import Any

import numpy as np

from .errors import BackendUnavailable, InputError
from .ops import ConvertRGB
from .shared_pixels import shared_pixels

Array = np.ndarray[Any, Any]

MAX_PIXELS = 178_956_970
"""Largest image that is decoded, in pixels: twice Pillow's own warning limit, where Pillow itself refuses."""

MODES = {1: "L", 3: "RGB", 4: "RGBA"}
"""PIL's mode for each number of channels."""

KINDS = "a PIL image, a uint8 array or tensor, encoded bytes, a path, or a list of these"


def to_arrays(images: Any, convert: bool, channels: int = 3, share: bool = False) -> list[Array]:
    """A flat list of uint8 ``[H, W, channels]`` arrays.

    Args:
        images: a PIL image; a uint8 NumPy array or torch tensor ``[H, W, C]``, ``[C, H, W]``, or a batch of them with
            one more axis; encoded bytes; a path; or a list of these, sizes mixed, nested once at most.
        convert: whether the Plan converts to RGB; without it, other modes are refused, as the reference fails on them.
        channels: 1, 3 or 4: what the Plan takes.
        share: whether PIL images may be given as views of their own memory, in which a pixel takes four bytes.

    Raises:
        InputError: for everything else, naming the position in a list.
    """
    if isinstance(images, (list, tuple)):
        if not images:
            raise InputError("expected at least one image, got an empty list")
        result: list[Array] = []
        for i, image in enumerate(images):
            if isinstance(image, (list, tuple)) and any(isinstance(nested, (list, tuple)) for nested in image):
                raise InputError(f"image {i}: lists may be nested once, got a third level")
            try:
                result += to_arrays(image, convert, channels, share)
            except InputError as error:
                raise InputError(f"image {i}: {error}") from error
        return result
    if isinstance(images, (str, os.PathLike)):
        return [_open(images, channels, share)]
    if isinstance(images, (bytes, bytearray, memoryview)):
        return [_open(io.BytesIO(images), channels, share)]
    if _is_a(images, "PIL.Image", "Image"):
        return [_from_pil(images, convert, channels, share)]
    if _is_a(images, "torch", "Tensor"):
        images = _from_tensor(images)
    if isinstance(images, np.ndarray):
        if images.ndim == 4 and not len(images):
            raise InputError(f"expected at least one image, got shape {images.shape}")
        if images.ndim == 4:
            return [_from_array(image, convert, channels) for image in images]
        return [_from_array(images, convert, channels)]
    raise InputError(f"expected {KINDS}, got {type(images).__name__}")


def _is_a(value: Any, module: str, name: str) -> bool:
    """Whether ``value`` is of a class in a module that is not imported here: where it is not loaded, nothing is."""
    loaded = sys.modules.get(module)
    return loaded is not None and isinstance(value, getattr(loaded, name))


def _from_tensor(image: Any) -> Array:
    """A torch tensor's values, on the CPU."""
    if str(image.dtype) != "torch.uint8":
        raise InputError(f"expected uint8 values, got {str(image.dtype).removeprefix('torch.')}")
    array: Array = image.detach().cpu().numpy()
    return array


def _open(source: Any, channels: int, share: bool) -> Array:
    """A file or encoded bytes: upright by its EXIF tag, then RGB, alpha dropped (image_utils.py:474).

    For one or four channels, grayscale or RGBA by Pillow's conversion instead: there the reference takes no files.
    """
    _need_pillow()
    from PIL import Image, ImageOps

    try:
        with Image.open(source) as image:
            _check_pixels(image.width, image.height)
            return _pixels(ImageOps.exif_transpose(image).convert(MODES[channels]), share)
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"no such image file: {source}") from error
    except Image.DecompressionBombError as error:
        raise InputError(f"the image is too large: {error}") from error
    # Pillow's decoders raise about anything on bad data: SyntaxError, struct.error, IndexError, ...
    except Exception as error:
        name = source if isinstance(source, (str, os.PathLike)) else "the bytes"
        raise InputError(f"{name}: not an image that Pillow can read ({error})") from error


def _from_pil(image: Any, convert: bool, channels: int, share: bool) -> Array:
    """A PIL image as it is: no EXIF rotation (image_processing_backends.py:462)."""
    _check_pixels(image.width, image.height)
    try:
        if convert:
            image = ConvertRGB().reference_pil(image)
        elif image.mode != MODES[channels]:
            raise InputError(
                f"expected an image of mode {MODES[channels]}, got {image.mode}: this Plan does not convert; use"
                f" image.convert({MODES[channels]!r}), or export with do_convert_rgb=true where the processor has that"
                " key"
            )
        return _pixels(image, share)
    except InputError:
        raise
    except Exception as error:  # a lazy image decodes here
        raise InputError(f"not an image that Pillow can read ({error})") from error


def _pixels(image: Any, share: bool) -> Array:
    """uint8 ``[H, W, C]`` of an image of any of :data:`MODES`."""
    view = shared_pixels(image) if share and image.mode == "RGB" else None
    return np.asarray(image).reshape(image.height, image.width, -1) if view is None else view


def _from_array(image: Array, convert: bool, channels: int) -> Array:
    """uint8 ``[H, W, C]`` or ``[C, H, W]``, told apart as the reference does (image_utils.py:292)."""
    if image.dtype != np.uint8:
        raise InputError(f"expected uint8 values, got {image.dtype}")
    if image.ndim != 3:
        raise InputError(f"expected 3 axes, [H, W, C] or [C, H, W], got shape {image.shape}")
    if image.shape[0] in (1, 3, 4):
        image = np.moveaxis(image, 0, -1)
    elif image.shape[2] not in (1, 3, 4):
        raise InputError(f"expected 1, 3 or 4 channels first or last, got shape {image.shape}")
    height, width, found = image.shape
    _check_pixels(width, height)
    if convert:
        return ConvertRGB().reference(image)
    if found != channels:
        raise InputError(
            f"expected {channels} channels, got {found}: this Plan does not convert; export with do_convert_rgb=true"
            " where the processor has that key"
        )
    return image


def _check_pixels(width: int, height: int) -> None:
    if width < 1 or height < 1:
        raise InputError(f"expected at least 1x1 pixels, got {height}x{width}")
    if width * height > MAX_PIXELS:
        raise InputError(f"expected at most {MAX_PIXELS} pixels, got {height}x{width}")


def _need_pillow() -> None:
    if importlib.util.find_spec("PIL") is None:
        raise BackendUnavailable("reading image files needs Pillow: pip install pillow")
