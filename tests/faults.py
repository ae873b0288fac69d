"""Ways to damage bytes and JSON, the same for a seed each time."""

import io
import json
import signal
from contextlib import contextmanager

import numpy as np
from PIL import Image

from .helpers import noise

EDGES = [0, 1, 0x7F, 0x80, 0xFF]

VALUES = [
    *(None, True, False, 0, 1, -1, 2, 3, 7, 255, 256, 65_535, 65_536, 2**31, 2**63, 2**64, 10**30),
    *(0.0, -0.0, 0.5, 1e-300, 1e300, float("inf"), float("-inf"), float("nan")),
    *("", "x", "résumé\u0000", "pillow12.1", "bilinear", "resize", "center_crop", "uint8", "height"),
    *([], {}, [0], [[]], [1, 2, 3], {"op": "resize"}, {"height": 5, "width": 7}, {"shortest_edge": 9}, [0.5, 0.5, 0.5]),
]
"""What anything in a JSON document is replaced by."""


def damaged(data, rng):
    """A copy of bytes, cut, flipped, overwritten, or with a part of it removed, repeated or put in another place."""
    data, size = bytearray(data), len(data)
    start, length = int(rng.integers(size)), int(rng.integers(1, 65))
    kind = rng.integers(7)
    if kind == 0:
        del data[start:]
    elif kind == 1:
        for position in rng.integers(0, size, rng.integers(1, 9)):
            data[position] ^= 1 << int(rng.integers(8))
    elif kind == 2:
        data[start] = EDGES[rng.integers(len(EDGES))]
    elif kind == 3:
        data[start : start + length] = rng.bytes(length)
    elif kind == 4:
        del data[start : start + length]
    elif kind == 5:
        data[start:start] = data[start : start + length]
    else:
        source = int(rng.integers(size))
        data[start : start + length] = data[source : source + length]
    return bytes(data)


def mutated(document, rng):
    """A copy of a JSON document with one to three of its values replaced, left out, renamed or given twice."""
    document = json.loads(json.dumps(document))
    for _ in range(rng.integers(1, 4)):
        places = list(_places(document))
        if not places:
            break
        parent, key = places[rng.integers(len(places))]
        kind = rng.integers(6)
        if kind == 0:
            del parent[key]
        elif kind == 1 and isinstance(parent, list):
            parent.insert(int(rng.integers(len(parent) + 1)), json.loads(json.dumps(parent[key])))
        elif kind == 1:
            parent[f"{key}_"] = parent.pop(key)
        elif kind == 2:
            other, at = places[rng.integers(len(places))]
            parent[key] = json.loads(json.dumps(other[at]))
        elif kind == 3 and type(parent[key]) in (int, float):
            parent[key] += int(rng.integers(-3, 4))
        else:
            parent[key] = json.loads(json.dumps(VALUES[rng.integers(len(VALUES))]))
    return document


def _places(document):
    """``(container, key)`` of every value in it."""
    for key in list(document) if isinstance(document, dict) else range(len(document)):
        yield document, key
        if isinstance(document[key], (dict, list)):
            yield from _places(document[key])


def encoded_images():
    """Small images by a name that says how they are encoded."""
    pixels = Image.fromarray(noise(23, 31))
    exif = Image.Exif()
    exif[0x0112] = 6
    alpha = pixels.copy()
    alpha.putalpha(Image.fromarray(noise(23, 31, 1)[..., 0]))
    grays = Image.fromarray((noise(23, 31, 2)[..., 0].astype(np.uint16) * 257).astype(np.uint16))
    frames = [Image.fromarray(noise(23, 31, seed)).quantize(16) for seed in range(3)]
    return {
        "png": _encoded(pixels, "PNG"),
        "png rgba": _encoded(alpha, "PNG"),
        "png palette": _encoded(frames[0], "PNG", transparency=3),
        "png 16": _encoded(grays, "PNG"),
        "jpeg": _encoded(pixels, "JPEG", exif=exif),
        "jpeg 444": _encoded(pixels, "JPEG", subsampling=0),
        "jpeg progressive": _encoded(pixels, "JPEG", progressive=True, restart_marker_blocks=2),
        "jpeg gray": _encoded(pixels.convert("L"), "JPEG"),
        "jpeg cmyk": _encoded(pixels.convert("CMYK"), "JPEG"),
        "webp": _encoded(alpha, "WEBP"),
        "webp lossless": _encoded(pixels, "WEBP", lossless=True, exif=exif),
        "gif": _encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], transparency=2),
        "tiff": _encoded(pixels, "TIFF", exif=exif),
        "tiff lzw": _encoded(alpha, "TIFF", compression="tiff_lzw"),
        "bmp": _encoded(pixels, "BMP"),
    }


def _encoded(image, format, **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


@contextmanager
def at_most(seconds):
    """Fails where the block takes longer."""

    def expired(*_):
        raise AssertionError(f"took more than {seconds} seconds")

    before = signal.signal(signal.SIGALRM, expired)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
