"""Anything to RGB, as transformers reads it. What the reference refuses is an ``InputError``.

So is some of what it takes, for no Plan gives its tensor, or nobody wants it:

- Floats in [0, 1] without ``do_rescale=False``. It rescales them twice, to less than 1/255.
- Levels in other dtypes than uint8, where torchvision's classes are the reference: they resize each dtype by other
  sums; and everywhere those in bool, or that are no whole numbers.
- Without conversion, PIL images in YCbCr, HSV or LAB, which it takes for RGB; and gray ones and RGBA, of which some
  classes make tensors of 1 or 4 channels: those are Plans of their own (:attr:`runtime.Plan.channels`).
- Arrays ``[H, W]`` of gray, which its torchvision classes take in lists: an image's rows have two axes as well.
- Texts of base64 without ``data:image/`` before it, which may be anything, and addresses: nothing here reads from a
  network.

Some of what it refuses is taken, for it can mean but one thing: encoded bytes, ``pathlib``'s paths, lists that mix all
kinds, tensors on a device or in a graph of gradients, files whose EXIF data can be read but not written again.

Pillow reads files whichever the reference is. torchvision's classes read paths by ``torchvision.io``, which knows no
TIFF, BMP, ICO or AVIF, gives all frames of a GIF and other pixels where it is clear, keeps the 16 bits of a PNG, and
turns no WebP upright.
"""

from __future__ import annotations

import collections
import io
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import decode
from .decode import MAX_PIXELS, MODES, check_pixels
from .errors import InputError
from .floats import to_levels, whole_levels
from .lazy import alone, is_own
from .ops import ConvertRGB, InferLayout
from .threads import PIECE_COST, spread

Array = np.ndarray[Any, Any]

KINDS = "a PIL image, a uint8 array or tensor, encoded bytes, a path, or a list of these"

EXPORT = "export with do_convert_rgb=true where the processor has that key, or for 1 or 4 channels (--channels)"
"""What makes a Plan take other images."""

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
        convert: whether the Plan converts to RGB; without it, other modes are refused.
        channels: 1, 3 or 4: what the Plan takes.
        share: whether PIL images may be given as views of their own memory, in which a pixel takes four bytes.
        torchvision: whether transparency in arrays is composited as transformers' torchvision classes do.
        infer: whether it is read as transformers' older classes do: a PIL image of three rows is taken for one with
            its channels first (:class:`.InferLayout`), and arrays have 1 or 3 channels, and are not converted.
        whole: whether arrays of other dtypes are taken where they hold levels, see :func:`runtime.floats.takes_levels`.
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
    whole: bool = False
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
        # The same object twice is read once: two threads must not load one PIL image, nor two from one file.
        slow = _apart({id(leaf): leaf for _, leaf in leaves if _is_slow(leaf)})
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
        if _is_encoded(image):
            self._check_kind("an encoded image")
            return [self._inferred(decode.decode(image, self.channels, self.share, self.max_pixels))]
        if is_a(image, "PIL.Image", "Image"):
            self._check_kind("a PIL image")
            return [self._inferred(self._from_pil(image))]
        if is_a(image, "torch", "Tensor"):
            image = self._from_tensor(image)
        if not isinstance(image, np.ndarray):
            advice = "; pass its bytes, as read() gives them" if hasattr(image, "read") else ""
            raise InputError(f"expected {KINDS}, got {type(image).__name__}{advice}")
        image = np.asarray(image)  # not a masked array, whose functions mean other things
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
            with alone(image):
                if self.convert:
                    image = _to_rgb(image)
                else:
                    image.load()  # which may change the mode
            mode = MODES[self.channels]
            if image.mode != mode:
                raise InputError(
                    f"expected an image of mode {mode}, got {image.mode}: this Plan does not convert; use"
                    f" image.convert({mode!r}), or {EXPORT}"
                )
            return decode.pixels(image, self.share)
        except InputError:
            raise
        except Exception as error:  # a lazy image decodes here
            raise InputError(f"not an image that Pillow can read ({error})") from error

    def _from_tensor(self, image: Any) -> Array:
        """A torch tensor's values, on the CPU."""
        kind = "nested" if image.is_nested else "meta" if image.is_meta else str(image.layout).removeprefix("torch.")
        if kind != "strided":
            raise InputError(f"expected a dense tensor that holds values, got a {kind} one")
        name = str(image.dtype).removeprefix("torch.")
        if not hasattr(np, name):  # bfloat16, say
            raise InputError(self._expected(name))
        try:
            array: Array = image.numpy(force=True)
        except RuntimeError as error:  # a FakeTensor, or no memory for a copy
            raise InputError(f"expected a tensor that holds values ({error})") from error
        return array

    def _expected(self, dtype: str) -> str:
        """Of values that cannot be taken."""
        if self.scaled:
            return f"do_rescale=False: expected floats in [0, 1], got {dtype}"
        if dtype.startswith(("float", "bfloat")):
            return (
                f"expected uint8 values, got {dtype}: pass floats in [0, 1] with do_rescale=False to a Plan that"
                " rescales, as to transformers, and levels of 0 to 255 as uint8"
            )
        return f"expected uint8 values, got {dtype}: pass levels of 0 to 255 as uint8"

    def _from_array(self, image: Array) -> Array:
        """``[H, W, C]`` or ``[C, H, W]`` to uint8 ``[H, W, channels]``."""
        if self.scaled and image.dtype not in (np.float16, np.float32, np.float64):
            raise InputError(self._expected(str(image.dtype)))
        if not self.scaled and image.dtype != np.uint8:
            levels = whole_levels(image) if self.whole else None
            if levels is None:
                raise InputError(self._expected(str(image.dtype)))
            image = levels
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
                f"expected {self.channels} channels, got {found}: this Plan does not convert; {EXPORT}"
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


def is_a(value: Any, module: str, name: str) -> bool:
    """Whether ``value`` is of a class in a module that is not imported here: where it is not loaded, nothing is."""
    loaded = sys.modules.get(module)
    return isinstance(value, getattr(loaded, name, ()))  # another thread may be importing it


def _is_encoded(image: Any) -> bool:
    return isinstance(image, (str, os.PathLike, bytes, bytearray, memoryview))


def _is_slow(image: Any) -> bool:
    """Whether reading an image takes another thread's time: it is encoded, or Pillow has not decoded it yet."""
    return _is_encoded(image) or (is_a(image, "PIL.Image", "Image") and bool(getattr(image, "tile", None)))


def _apart(images: dict[int, Any]) -> dict[int, Any]:
    """Those that threads may read at once: encoded ones, and PIL images of which each has its file to itself."""
    files = {key: getattr(image, "fp", None) for key, image in images.items() if not _is_encoded(image)}
    count = collections.Counter(map(id, files.values()))
    own = {key for key, file in files.items() if is_own(file) and count[id(file)] == 1}
    return {key: image for key, image in images.items() if key not in files or key in own}


def are_apart(images: Any) -> bool:
    """Whether they are a list of some that take a thread's time each, and that threads may read at once."""
    if not isinstance(images, (list, tuple)) or len(images) < 2 or not all(map(_is_slow, images)):
        return False
    return len(_apart({id(image): image for image in images})) == len(images)


def are_in_memory(images: Any) -> bool:
    """Whether no image waits for a disk: neither paths, nor PIL images that are to be read from a file."""
    return all(
        isinstance(getattr(image, "fp", None), io.BytesIO)
        if _is_slow(image) and not _is_encoded(image)
        else not isinstance(image, (str, os.PathLike))
        for _, image in _leaves(images if isinstance(images, (list, tuple)) else [images])
    )


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
