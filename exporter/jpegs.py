"""The images of ``bench --from jpeg``: its caller's, or made up."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from runtime.decode import decode
from runtime.errors import InputError

if TYPE_CHECKING:
    from PIL import Image

COUNT = 256
"""How many images are made up, and how many are read at most."""

SIDES, SHAPES = (320, 1920), (1, 4 / 3, 3 / 2, 16 / 9)
"""Of those made up: the shorter and the longest longer side, and how many times the shorter side it is."""

QUALITIES, SAMPLINGS = (75, 95), (0, 2, 2, 2)
"""What they are encoded with: the range of Pillow's ``quality``, and its ``subsampling``: 4:4:4 or 4:2:0."""

SUFFIXES = (".jpg", ".jpeg")
START = b"\xff\xd8\xff"


def read(paths: Sequence[str | os.PathLike[str]]) -> list[bytes]:
    """The bytes of JPEG files, and of those in folders and below; of more than :data:`COUNT`, so many.

    Raises:
        InputError: there is none, or one that is no JPEG or cannot be decoded.
    """
    files = [file for path in paths for file in _files(Path(path))]
    count = min(len(files), COUNT)
    encoded = []
    for file in (files[i * len(files) // count] for i in range(count)):
        decode(file)  # says what is wrong with it
        encoded.append(file.read_bytes())
        if not encoded[-1].startswith(START):
            raise InputError(f"{file}: not a JPEG")
    return encoded


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
    if not files:
        raise InputError(f"{path}: no file in it ends in {' or '.join(SUFFIXES)}")
    return files


def made_up(size: tuple[int, int] | None = None) -> Iterator[bytes]:
    """Parts of one :func:`.bench.photo` in sizes as photographs have them, the same ones each time.

    Args:
        size: (height, width) of all; by default the longer side is anything in :data:`SIDES`, its logarithm evenly.
    """
    side = max(SIDES if size is None else size)
    scene = photo(side, side)
    generator = np.random.default_rng(0)
    for _ in range(COUNT):
        longer = round(float(np.exp(generator.uniform(*np.log(SIDES)))))
        sides = longer, round(longer / generator.choice(SHAPES))
        height, width = size or generator.permutation(sides).tolist()
        left, top = (int(generator.integers(most + 1)) for most in (side - width, side - height))
        quality, sampling = int(generator.integers(*QUALITIES, endpoint=True)), int(generator.choice(SAMPLINGS))
        file = io.BytesIO()
        scene.crop((left, top, left + width, top + height)).save(file, "JPEG", quality=quality, subsampling=sampling)
        yield file.getvalue()


def photo(height: int, width: int, seed: int = 0) -> Image.Image:
    """An RGB image like a photograph: noise whose amplitude falls with its frequency, alike in the three channels."""
    from PIL import Image

    generator = np.random.default_rng((height, width, seed))
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = 1.0
    channels = []
    for _ in range(4):  # brightness, and the colors
        spectrum = np.fft.rfft2(generator.standard_normal((height, width))) / frequency**1.2
        plane = np.fft.irfft2(spectrum, (height, width))
        channels.append((plane - plane.mean()) / (plane.std() or 1.0))
    pixels = np.stack([118 + 50 * channels[0] + 20 * color for color in channels[1:]], axis=-1)
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))


def opened(encoded: bytes, mode: str = "RGB") -> Image.Image:
    """As Pillow's users decode a photograph: upright, and of ``mode``."""
    from PIL import Image, ImageOps

    image = Image.open(io.BytesIO(encoded))
    ImageOps.exif_transpose(image, in_place=True)
    return image if image.mode == mode else image.convert(mode)


def summary(encoded: Sequence[bytes]) -> dict[str, Any]:
    """How many, and how large they are: bytes and megapixels on average, and the (height, width) of two of them."""
    from PIL import Image

    sizes = sorted((Image.open(io.BytesIO(data)).size[::-1] for data in encoded), key=lambda size: size[0] * size[1])
    return {
        "count": len(encoded), "megapixels": sum(h * w for h, w in sizes) / len(sizes) / 1e6,
        "bytes": sum(map(len, encoded)) // len(encoded), "smallest": list(sizes[0]), "largest": list(sizes[-1]),
    }  # fmt: skip
