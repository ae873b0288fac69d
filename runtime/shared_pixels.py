"""An RGB image's pixels where Pillow keeps them: no copy.

Pillow stores an RGB pixel in four bytes, and shows them by the Arrow C data interface (since 11.3, for images in one
block of memory). The structure below is that interface's ``ArrowArray``, which its specification fixes.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


class _ArrowArray(ctypes.Structure):
    pass


_ArrowArray._fields_ = [
    ("length", ctypes.c_int64),
    ("null_count", ctypes.c_int64),
    ("offset", ctypes.c_int64),
    ("n_buffers", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("buffers", ctypes.POINTER(ctypes.c_void_p)),
    ("children", ctypes.POINTER(ctypes.POINTER(_ArrowArray))),
    ("dictionary", ctypes.c_void_p),
    ("release", ctypes.c_void_p),
    ("private_data", ctypes.c_void_p),
]

_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype = ctypes.c_void_p
_pointer.argtypes = [ctypes.py_object, ctypes.c_char_p]


def shared_pixels(image: Any) -> Array | None:
    """uint8 ``[H, W, 3]``, read-only, pixels four bytes apart, of a PIL image in mode RGB; None where it cannot be.

    The array keeps the memory alive, and shows what is done to the image later.
    """
    try:
        _, capsule = image.__arrow_c_array__()
    # An older Pillow; or an image in several blocks of memory.
    except (AttributeError, ValueError, MemoryError):
        return None
    pixels = _ArrowArray.from_address(_pointer(capsule, b"arrow_array"))
    if pixels.length != image.width * image.height or pixels.offset or pixels.n_children != 1:
        return None
    values = pixels.children[0].contents
    if values.length != 4 * pixels.length or values.offset or values.n_buffers != 2:
        return None
    memory = (ctypes.c_uint8 * values.length).from_address(values.buffers[1])
    memory.owner = capsule  # its destructor gives the memory back
    view = np.frombuffer(memory, np.uint8).reshape(image.height, image.width, 4)[..., :3]
    view.flags.writeable = False
    return view
