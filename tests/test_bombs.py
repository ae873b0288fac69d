"""Small files and small images that would become gigabytes, or take hours: refused, by limits that the caller sets."""

import io
import json
import re
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from exporter import cli
from runtime import InputError, decode
from runtime.decode import LONGEST_SIDE, MOST_SCANS, check_pixels, scans
from runtime.ops import Branch, CenterCrop, ConvertRGB, CropMargin, ImageSize, Pad, PadToLargest, Rescale, Resize
from runtime.ops.size import Size
from runtime.preprocessor import Preprocessor

from .faults import at_most
from .helpers import assert_equal, make_plan, noise

PLAN = make_plan(ConvertRGB(), Resize(Size(height=20, width=24), "bilinear", "pillow13"), Rescale(1 / 255))
SECONDS = 30

pytestmark = [
    pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning"),
    pytest.mark.filterwarnings("ignore:Image was not the expected size:UserWarning"),
]


# --- Files


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(height, width, *chunks, data=None):
    """A gray, black PNG."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    data = zlib.compress(bytes((width + 1) * height)) if data is None else data
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def encoded(format, height, width, **options):
    file = io.BytesIO()
    Image.new("L", (width, height)).save(file, format, **options)
    return file.getvalue()


def icon(data):
    """An icon that says that it has 16 x 16 pixels."""
    return struct.pack("<HHHBBBBHHII", 0, 1, 1, 16, 16, 0, 0, 1, 32, len(data), 22) + data


def tiff(height, width, **tags):
    """One whose strips or tiles are as large as they say."""
    data = zlib.compress(bytes(1000))
    known = {256: width, 257: height, 258: 8, 259: 8, 262: 1, 277: 1}
    places = {273: 8, 279: len(data)} if "rows" in tags else {324: 8, 325: len(data)}
    sizes = {278: tags["rows"]} if "rows" in tags else {322: tags["tile"], 323: tags["tile"]}
    entries = sorted({**known, **places, **sizes}.items())
    directory = b"".join(struct.pack("<HHII", key, 4, 1, value) for key, value in entries)
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", len(entries)) + directory + bytes(4)


def with_scans(count, height=40, width=50):
    """A progressive JPEG, its last scan again and again."""
    data = encoded("JPEG", height, width, progressive=True)
    start = data.rindex(b"\xff\xda")
    return data[:-2] + data[start:-2] * (count - scans(data)) + data[-2:]


def frames(count):
    data = encoded("GIF", 16, 16)
    start = data.index(b",")
    return data[:start] + data[start:-1] * count + data[-1:]


def with_a_tail(path, count):
    """A JPEG of 30 x 40, and behind it as many bytes, which take no room on the disk."""
    path.write_bytes(encoded("JPEG", 30, 40))
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size + count)
    return path


ZEROS = zlib.compress(bytes(2**27), 9)
LARGE = {
    "png": lambda: png(9000, 9000),
    "png, one line": lambda: png(1, 50_000_000),
    "png, one column": lambda: png(50_000_000, 1),
    "jpeg": lambda: encoded("JPEG", 9000, 9000),
    "webp": lambda: encoded("WEBP", 9000, 9000, lossless=True, quality=0, method=0),
    "bmp": lambda: b"BM" + struct.pack("<IHHIIIIHHIIIIII", 54, 0, 0, 54, 40, 9000, 9000, 1, 24, *[0] * 6),
    "ppm": lambda: b"P6 9000 9000 255\n",
    "tiff": lambda: tiff(9000, 9000, rows=9000),
    "icon": lambda: icon(png(9000, 9000)),
    "qoi": lambda: b"qoif" + struct.pack(">IIBB", 9000, 9000, 3, 0) + b"\xfe\0\0\0" * 5,
    "tga": lambda: struct.pack("<BBBHHBHHHHBB", 0, 0, 10, 0, 0, 0, 0, 0, 9000, 9000, 24, 0) + b"\xff\0\0\0" * 10,
}
"""More pixels than allowed."""
WRONG = {
    "a text": lambda: png(16, 16, chunk(b"zTXt", b"a\0\0" + ZEROS)),
    "an international text": lambda: png(16, 16, chunk(b"iTXt", b"a\0\1\0\0\0" + ZEROS)),
    "a profile": lambda: png(16, 16, chunk(b"iCCP", b"a\0\0" + ZEROS)),
    "a hundred texts": lambda: png(16, 16, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**6))) * 100),
    "a tile": lambda: tiff(16, 16, tile=30_000),
    "a strip": lambda: tiff(16, 16, rows=2**31),
    "scans": lambda: with_scans(5000),
    "a program": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 50 50\n%%EndComments\n/x {x} def x\n%%EOF\n",
}
"""A few pixels, and something else that is large."""
FINE = {
    "more data than pixels": lambda: png(16, 16, data=ZEROS),
    "frames": lambda: frames(100_000),
    "many texts": lambda: png(16, 16, *(chunk(b"tEXt", b"k%d\0x" % i) for i in range(10_000))),
}


@pytest.mark.parametrize("name", LARGE)
def test_more_pixels_than_allowed(name, tmp_path):
    data, pre = LARGE[name](), Preprocessor(PLAN, "pil", max_pixels=10**6)
    (tmp_path / "image").write_bytes(data)
    for image in (data, tmp_path / "image"):
        with at_most(SECONDS):
            with pytest.raises(InputError, match=r"^expected at most 1000000 pixels, got \d+x\d+$"):
                pre(image)
            with pytest.raises(InputError, match=r"^image 3: expected at most 1000000 pixels, got \d+x\d+$"):
                list(pre.map([noise(9, 9)] * 3 + [image], batch_size=2))


def test_a_jpegs_file_may_be_large_and_not_huge(tmp_path, monkeypatch):
    """A film behind a photograph, but not gigabytes."""
    pre = Preprocessor(PLAN, "pil", max_pixels=10**6)
    usual = pre(encoded("JPEG", 30, 40)).pixel_values
    assert_equal(pre(with_a_tail(tmp_path / "film", 2**26)).pixel_values, usual, "a film")
    huge, most = with_a_tail(tmp_path / "huge", 2**34), 2**26 + 3 * 10**6
    with at_most(SECONDS), pytest.raises(InputError, match=f"^expected a JPEG of at most {most} bytes, got more$"):
        pre(huge)
    monkeypatch.setattr(decode, "MOST_BYTES", 100)
    data = encoded("JPEG", 30, 40) + bytes(3 * 10**6)
    for image in (data, bytearray(data), memoryview(data)):
        with pytest.raises(InputError, match=r"^expected a JPEG of at most 3000100 bytes, got more$"):
            pre(image)
    assert_equal(Preprocessor(PLAN, "pil")(data).pixel_values, usual, "by default")


@pytest.mark.parametrize("name", WRONG)
def test_other_large_things(name):
    data = WRONG[name]()
    with at_most(SECONDS), pytest.raises(InputError):
        Preprocessor(PLAN, "numba")(data)


@pytest.mark.parametrize("name", FINE)
def test_what_only_looks_large(name):
    data = FINE[name]()
    with at_most(SECONDS):
        got = Preprocessor(PLAN, "numba")(data).pixel_values
    assert_equal(got, np.zeros((1, 3, 20, 24), np.float32), name)


MEASURED = """
import resource, sys, warnings
from pathlib import Path
from runtime import InputError, Plan
from runtime.preprocessor import Preprocessor
import numpy as np

warnings.simplefilter("ignore")
pre = Preprocessor(Plan.from_json(sys.argv[2]), "pil", max_pixels=10**6)
pre(np.zeros((800, 900, 3), np.uint8))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        pre(path)
        print(path.name, "was taken")
    except InputError:
        pass
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_memory_is_not_taken(tmp_path):
    """In a process of its own: of images that have 81 to 243 megabytes. But an icon, which Pillow decodes early."""
    pytest.importorskip("resource")
    every = {**LARGE, **WRONG}
    for name in every.keys() - {"icon", "a tile"}:
        (tmp_path / name).write_bytes(every[name]())
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, tmp_path, PLAN.to_json()], capture_output=True, text=True, check=True
    )
    (megabytes,) = done.stdout.split()
    assert int(megabytes) < 60


# --- Scans of a JPEG


def test_scans_are_counted():
    assert scans(encoded("JPEG", 40, 50)) == 1
    assert scans(with_scans(MOST_SCANS)) == MOST_SCANS
    assert scans(with_scans(5000)) == 5000


def test_as_many_scans_as_allowed():
    image = with_scans(MOST_SCANS)
    assert Preprocessor(PLAN, "numba")(image).pixel_values.shape == (1, 3, 20, 24)
    with pytest.raises(InputError, match="expected a JPEG of at most 100 scans, got more"):
        Preprocessor(PLAN, "numba")(with_scans(MOST_SCANS + 1))


def test_a_film_behind_a_photograph_is_no_scan():
    """As telephones append it."""
    data = encoded("JPEG", 40, 50)
    film = data + b"\xff\xda\0\x02" * 5000
    assert scans(film) == 1
    assert_equal(Preprocessor(PLAN, "numba")(film).pixel_values, Preprocessor(PLAN, "pil")(data).pixel_values, "film")


@pytest.mark.parametrize("between", [b"\xff\x01", b"\xff\xff\xff", b"\0\0", b"\xff\x01\xff\x01"])
def test_scans_do_not_hide(between):
    """Behind markers without a length, fill bytes or garbage, which libjpeg skips."""
    data = with_scans(300)
    assert scans(data.replace(b"\xff\xda", between + b"\xff\xda")) == 300


def test_segments_are_skipped():
    """A preview in a photograph's EXIF, say, whose own scans do not count."""
    data, preview = encoded("JPEG", 40, 50), with_scans(200, 8, 8)
    segment = b"\xff\xe1" + struct.pack(">H", len(preview) + 2) + preview
    assert scans(data[:2] + segment + data[2:]) == 1


# --- Long sides


def test_the_longest_side():
    check_pixels(LONGEST_SIDE, 3)
    check_pixels(3, LONGEST_SIDE)
    for size in ((LONGEST_SIDE + 1, 3), (3, LONGEST_SIDE + 1)):
        with pytest.raises(InputError, match="expected sides of at most 262144 pixels, got "):
            check_pixels(*size)


@pytest.mark.parametrize("backend", ["pil", "numba", "torch"])
def test_long_sides(backend):
    """Whose weights would take gigabytes, and do not at the limit."""
    pre, long = Preprocessor(PLAN, backend), LONGEST_SIDE + 1
    for image in (
        *(np.broadcast_to(np.uint8(7), shape) for shape in ((long, 5, 3), (5, long, 3), (3, 5, long))),
        torch.tensor(7, dtype=torch.uint8).expand(5, long, 3),
        *(Image.new("L", size) for size in ((long, 2), (2, long))),
        png(1, long),
    ):
        with (
            at_most(SECONDS),
            pytest.raises(InputError, match=r"^expected sides of at most 262144 pixels, got \d+x\d+$"),
        ):
            pre(image)


# --- What images become


def limited(*steps, most=10_000, backend="pil", **fields):
    return Preprocessor(make_plan(*steps, **fields), backend, max_pixels=most)


RESIZE = Resize(Size(shortest_edge=90), "bilinear", "pillow13")


@pytest.mark.parametrize("backend", ["pil", "numba", "torch"])
@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        ((RESIZE,), "90x180 by 'resize to shortest_edge 90, bilinear'"),
        ((RESIZE, CenterCrop(9, 9)), "90x180 by 'resize to shortest_edge 90, bilinear'"),
        ((ImageSize("sizes"), Rescale(0.5), Pad(Size(square=60))), "120x120 by 'pad to square 60 with 0'"),
        ((Branch("large", (RESIZE,)), CenterCrop(9, 9)), "90x180 by 'resize to shortest_edge 90, bilinear'"),
        ((Branch("small", (CenterCrop(9, 9),)), RESIZE), "90x180 by 'resize to shortest_edge 90, bilinear'"),
    ],
)
def test_results_are_limited(backend, steps, reason):
    pre = limited(*steps, backend=backend)
    message = rf"an image of \d+x\d+ would become one of {re.escape(reason)}: expected at most 10000 pixels"
    with pytest.raises(InputError, match=f"^{message}$"):
        pre(noise(40, 80))
    with pytest.raises(InputError, match=f"^image 2: {message}$"):
        list(pre.map([noise(40, 41), noise(41, 40), noise(40, 80)], return_tensors=None))
    assert limited(*steps, backend=backend, most=22_500)(noise(40, 80), return_tensors=None)
    assert Preprocessor(make_plan(*steps), backend)(noise(40, 80), return_tensors=None)


def test_what_all_images_become_is_the_plans_own():
    for step in (
        Resize(Size(height=200, width=300), "box", "pillow13"),
        CenterCrop(200, 300),
        Pad(Size(height=200, width=300)),
    ):
        assert limited(step)(noise(40, 80)).pixel_values.shape == (1, 3, 200, 300)


def test_behind_pixels_the_limit_is_that_of_all():
    """A caller's is checked as far as sizes follow from sizes."""
    page = np.full((50, 90, 3), 255, np.uint8)
    page[20:22, 30:40] = 0
    assert limited(CropMargin(True), RESIZE)(page).pixel_values.shape == (1, 3, 90, 450)
    with pytest.raises(InputError, match="an image of 50x90 would become one of 90x162"):
        limited(RESIZE, CropMargin(True))(page)


def test_images_are_not_padded_to_more():
    pre = limited(PadToLargest("mask"))
    assert pre([noise(90, 100), noise(100, 90)]).pixel_values.shape == (2, 3, 100, 100)
    with pytest.raises(
        InputError, match="pixel_values: these images would be padded to 5000x5000: expected at most 10000"
    ):
        pre([noise(2, 5000), noise(5000, 2)])
    with pytest.raises(InputError, match="would be padded to 200000x200000: expected at most 178956970 pixels"):
        Preprocessor(make_plan(PadToLargest()), "pil")([noise(1, 200_000)[:, :, :], noise(200_000, 1)], **LAST)


LAST = {"input_data_format": "channels_last"}


@pytest.mark.parametrize("size", [(1, 3400), (3400, 1)])
def test_a_crop_is_all_that_is_computed(size):
    """But by Pillow, of an image that a rule stretches to 170 megapixels."""
    steps = Resize(Size(shortest_edge=224), "bicubic", "pillow13"), CenterCrop(224, 224)
    for backend in ("numba", "torch"):
        with at_most(2):
            Preprocessor(make_plan(*steps), backend)(noise(*size), **LAST)


# --- The command


def test_the_command_has_the_limit(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "large.png").write_bytes(png(100, 101))
    (tmp_path / "small.png").write_bytes(png(100, 100))
    (tmp_path / "p.json").write_text(json.dumps({"image_processor_type": "ViTImageProcessor", "size": 32}))
    assert cli.main(["p.json", "-o", "p.onnx", "--no-verify"]) == 0
    assert cli.main(["run", "p.onnx", "small.png", "--max-pixels", "10000"]) == 0
    capsys.readouterr()
    assert cli.main(["run", "p.onnx", "small.png", "large.png", "--max-pixels", "10000"]) == 2
    assert capsys.readouterr().err == "export-preprocessor: image 1: expected at most 10000 pixels, got 100x101\n"
    assert cli.main(["run", "p.onnx", "small.png", "--max-pixels", "0"]) == 2
    assert "--max-pixels: expected a number above 0, got 0" in capsys.readouterr().err
