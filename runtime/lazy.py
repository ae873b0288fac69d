"""PIL images that Pillow has opened and not decoded: one thread at a time decodes one, or reads from its file."""

from __future__ import annotations

import contextlib
import io
import os
import threading
from collections.abc import Iterator
from typing import Any

from .errors import InputError

COUNT = 64
"""Locks of each kind: images and files share them by their numbers, and those that meet wait for each other."""

PROGRAMS = ("EPS",)
"""Formats, by Pillow's names, that it decodes by running them."""

CONTAINERS = ("BLP", "IPTC")
"""Formats of which Pillow opens another image when it decodes them: only that one knows how large it is."""

_images: list[threading.Lock] = []
_files: list[threading.Lock] = []


def _restart() -> None:
    _images[:] = [threading.Lock() for _ in range(COUNT)]
    _files[:] = [threading.Lock() for _ in range(COUNT)]


_restart()
if hasattr(os, "register_at_fork"):  # a child may have a lock of its parent's threads
    os.register_at_fork(after_in_child=_restart)


def check_format(image: Any) -> None:
    """Raises ``InputError`` where decoding an opened image would run a program, or open what nothing has checked."""
    if image.format in PROGRAMS:
        raise InputError("expected an image, got PostScript, a program which Pillow runs in Ghostscript")
    if image.format in CONTAINERS:
        raise InputError(f"expected an image, got {image.format}, which holds another: open and load() it by Pillow")


@contextlib.contextmanager
def alone(image: Any) -> Iterator[None]:
    """While an image is decoded: no other thread works on it, or on one of the same file or archive.

    Raises:
        InputError: as of :func:`check_format`.
    """
    if not hasattr(image, "fp"):  # it never was encoded
        yield
        return
    with _images[_number(image)]:
        file = image.fp
        if file is None:  # it is decoded
            yield
            return
        if getattr(image, "tile", None):
            check_format(image)
        with _files[_number(file) if is_own(file) else 0]:
            yield


def is_own(file: Any) -> bool:
    """Whether an image has what it reads from to itself; others, such as a part of an archive, may share it."""
    return type(file) in (io.BytesIO, io.BufferedReader)


def _number(value: Any) -> int:
    """By its address; multiplied, since neighbours are a multiple of some power of two apart."""
    return (object.__hash__(value) * 0x9E3779B97F4A7C15 & 2**64 - 1) * COUNT >> 64


def still(image: Any, most: int) -> Any:
    """A copy of an animation's frame, for whoever iterates over it moves on; every other image as it is.

    The frames that Pillow's iterator gives are one object. One of more than ``most`` pixels is not decoded here.
    """
    if isinstance(image, (list, tuple)):
        copies = [still(member, most) for member in image]
        same = all(copy is member for copy, member in zip(copies, image, strict=True))
        return image if same else copies if isinstance(image, list) else tuple(copies)
    try:
        return image.copy() if image.width * image.height <= most and image.is_animated else image
    except Exception:  # no image of Pillow's, or one of a single frame; or a damaged one, which is said when it is read
        return image
