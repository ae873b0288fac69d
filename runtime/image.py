"""Anything to RGB, as transformers reads it. What the reference refuses is an ``InputError``."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import decode
from .decode import MAX_PIXELS, MODES, check_pixels
from .errors import InputError
from .floats import to_levels
from .ops import ConvertRGB, InferLayout
from .threads import PIECE_COST, spread

Array = np.ndarray[Any, Any]

KINDS = "a PIL image, a uint8 array or tensor, encoded bytes, a path, or a list of these"

LAYOUTS = (None, "channels_first", "channels_last")
"""Of ``input_data_format``, transformers' ``ChannelDimension``."""

__all__ = ["KINDS", "LAYOUTS", "MAX_PIXELS", "MODES", "Reader", "to_arrays"]


def to_arrays(images: Any, convert: bool, channels: int = 3) -> list[Array]:
    """:meth:`Reader.read` for a Plan of so many channels that converts to RGB or does not."""
    return Reader(convert, channels).read(images)


@dataclass(frozen=True)
class Reader:
    """How a Plan's images are read.

    Attributes:
        convert: whether the Plan converts to RGB; without it, other modes are refused, as the reference fails on them.
        channels: 1, 3 or 4: what the Plan takes.
        share: whether PIL images may be given as views of their own memory, in which a pixel takes four bytes.
        torchvision: whether transparency in arrays is composited as transformers' torchvision classes do.
        infer: whether it is read as transformers' older classes do: a PIL image of three rows is taken for one with
            its channels first (:class:`.InferLayout`), and arrays have 1 or 3 channels, and are not converted.
        layout: of arrays, one of :data:`LAYOUTS`; None tells them apart as the reference does, by which axis is as
            long as channels can be, the first axis winning (image_utils.py:292). PIL images and files know theirs.
        scaled: ``do_rescale=False``: all images are float arrays in [0, 1]; of them :func:`.to_levels` is given.
        normalized: for :func:`.to_levels`.
        max_pixels: of an image, checked before it is decoded; by default :data:`MAX_PIXELS`.
    """

    convert: bool
    channels: int = 3
    share: bool = False
    torchvision: bool = False
    infer: bool = False
    layout: str | None = None
    scaled: bool = False
    normalized: bool = False
    max_pixels: int | None = None

    def read(self, images: Any, check: Callable[[Array], None] | None = None) -> list[Array]:
        """A flat list of uint8 ``[H, W, channels]`` arrays; files and the like are decoded in parallel.

        Args:
            images: a PIL image; a NumPy array or torch tensor ``[H, W, C]``, ``[C, H, W]``, or a batch of them with
                one more axis; encoded bytes; a path; or a list of these, sizes and kinds mixed, nested once at most.
                Lists in a list may be empty (image_utils.py:206), but some image there must be.
            check: raises ``InputError`` for an image that cannot be taken.

        Raises:
            InputError: for everything else, naming the position in a list.
        """
        if not isinstance(images, (list, tuple)):
            return _checked(self._split(images), check)
        leaves = list(_leaves(images))
        if not leaves:
            raise InputError("expected at least one image, got an empty list")
        # The same object twice is read once: two threads must not load one PIL image.
        slow = {id(leaf): leaf for _, leaf in leaves if _is_slow(leaf)}
        ready = _all_of(self._split, list(slow.values())) if len(slow) > 1 else {}
        result: list[Array] = []
        for position, leaf in leaves:
            try:
                found = ready.get(id(leaf))
                if isinstance(found, InputError):
                    raise found
                result += _checked(self._split(leaf) if found is None else found, check)
            except InputError as error:
                reason = error
                for i in reversed(position):
                    reason = InputError(str(reason), position=i)
                raise reason from error
        return result

    def _split(self, image: Any) -> list[Array]:
        """Of anything but a list."""
        if isinstance(image, (list, tuple)):
            raise InputError("lists may be nested once, got a third level")
        if isinstance(image, (str, os.PathLike, bytes, bytearray, memoryview)):
            self._check_kind("an encoded image")
            return [self._inferred(decode.decode(image, self.channels, self.share, self.max_pixels))]
        if _is_a(image, "PIL.Image", "Image"):
            self._check_kind("a PIL image")
            return [self._inferred(self._from_pil(image))]
        if _is_a(image, "torch", "Tensor"):
            image = self._from_tensor(image)
        if not isinstance(image, np.ndarray):
            raise InputError(f"expected {KINDS}, got {type(image).__name__}")
        if image.ndim == 4 and not len(image):
            raise InputError(f"expected at least one image, got shape {image.shape}")
        return [self._from_array(single) for single in (image if image.ndim == 4 else [image])]

    def _check_kind(self, name: str) -> None:
        if self.scaled:
            raise InputError(f"do_rescale=False: expected floats in [0, 1], got {name}; leave out do_rescale")

    def _inferred(self, image: Array) -> Array:
        """What the older classes take a PIL image for."""
        if not self.infer or self.layout == "channels_last":
            return image
        if self.layout is not None:
            raise InputError("input_data_format='channels_first': a PIL image has its channels last")
        return InferLayout().reference(image)

    def _from_pil(self, image: Any) -> Array:
        """A PIL image as it is: no EXIF rotation (image_processing_backends.py:462)."""
        check_pixels(image.width, image.height, self.max_pixels)
        try:
            if self.convert:
                image = _to_rgb(image)
            elif image.mode != MODES[self.channels]:
                mode = MODES[self.channels]
                raise InputError(
                    f"expected an image of mode {mode}, got {image.mode}: this Plan does not convert; use"
                    f" image.convert({mode!r}), or export with do_convert_rgb=true where the processor has that key"
                )
            return decode.pixels(image, self.share)
        except InputError:
            raise
        except Exception as error:  # a lazy image decodes here
            raise InputError(f"not an image that Pillow can read ({error})") from error

    def _from_tensor(self, image: Any) -> Array:
        """A torch tensor's values, on the CPU."""
        name = str(image.dtype).removeprefix("torch.")
        if name not in ("uint8", "float16", "float32", "float64"):
            raise InputError(self._expected(name))
        array: Array = image.detach().cpu().numpy()
        return array

    def _expected(self, dtype: str) -> str:
        """Of values that cannot be taken."""
        if self.scaled:
            return f"do_rescale=False: expected floats in [0, 1], got {dtype}"
        if dtype.startswith(("float", "bfloat")):
            return (
                f"expected uint8 values, got {dtype}: pass floats in [0, 1] with do_rescale=False, as to transformers,"
                " and levels of 0 to 255 as uint8"
            )
        return f"expected uint8 values, got {dtype}: pass levels of 0 to 255 as uint8"

    def _from_array(self, image: Array) -> Array:
        """``[H, W, C]`` or ``[C, H, W]`` to uint8 ``[H, W, channels]``."""
        if image.dtype not in ((np.float16, np.float32, np.float64) if self.scaled else (np.uint8,)):
            raise InputError(self._expected(str(image.dtype)))
        if image.ndim != 3:
            raise InputError(f"expected 3 axes, [H, W, C] or [C, H, W], got shape {image.shape}")
        known = (1, 3) if self.infer else tuple(MODES)
        if self.layout == "channels_first" or (self.layout is None and image.shape[0] in known):
            image = np.moveaxis(image, 0, -1)
        elif self.layout is None and image.shape[2] not in known:
            raise InputError(f"expected 1, 3 or 4 channels first or last, got shape {image.shape}")
        height, width, found = image.shape
        check_pixels(width, height, self.max_pixels)
        convert = self.convert and not self.infer
        if found != self.channels and not (convert and found in MODES):
            raise InputError(
                f"expected {self.channels} channels, got {found}: this Plan does not convert; export with"
                " do_convert_rgb=true where the processor has that key"
                if found in MODES
                else f"expected 1, 3 or 4 channels, got {found} in shape {image.shape}, {self.layout}"
            )
        if convert:
            image = ConvertRGB().reference_torchvision(image) if self.torchvision else ConvertRGB().reference(image)
        return to_levels(image, self.normalized) if self.scaled else image


def _to_rgb(image: Any) -> Any:
    """As :class:`.ConvertRGB` does it, but an image that is RGB already, which Pillow would copy."""
    if image.mode == "RGB" and image.info.get("transparency") is None:
        image.load()  # which may change the mode
        return image if image.mode == "RGB" else image.convert("RGB")
    return ConvertRGB().reference_pil(image)


def _checked(arrays: list[Array], check: Callable[[Array], None] | None) -> list[Array]:
    if check is not None:
        for array in arrays:
            check(array)
    return arrays


def _leaves(images: Sequence[Any]) -> Any:
    """``(position, image)`` of all in a list, a list in it taken apart; ``position`` has an index a level."""
    for i, image in enumerate(images):
        if isinstance(image, (list, tuple)):
            yield from (((i, j), nested) for j, nested in enumerate(image))
        else:
            yield (i,), image


def _is_a(value: Any, module: str, name: str) -> bool:
    """Whether ``value`` is of a class in a module that is not imported here: where it is not loaded, nothing is."""
    loaded = sys.modules.get(module)
    return loaded is not None and isinstance(value, getattr(loaded, name))


def _is_slow(image: Any) -> bool:
    """Whether reading an image takes another thread's time: it is encoded, or Pillow has not decoded it yet."""
    if isinstance(image, (str, os.PathLike, bytes, bytearray, memoryview)):
        return True
    return _is_a(image, "PIL.Image", "Image") and bool(getattr(image, "tile", None))


def _all_of(read: Callable[[Any], list[Array]], images: list[Any]) -> dict[int, list[Array] | InputError]:
    """What each image gives, or why it gives nothing, by the image's ``id``."""
    found: dict[int, list[Array] | InputError] = {}

    def band(start: int, stop: int) -> None:
        for image in images[start:stop]:
            try:
                found[id(image)] = read(image)
            except InputError as error:
                found[id(image)] = error

    spread(band, len(images), len(images) * PIECE_COST)
    return found
