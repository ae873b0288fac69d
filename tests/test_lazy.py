"""PIL images that are decoded when they are used: by many threads, from one file, frame by frame, or not at all."""

import io
import os
import struct
import tarfile
import threading
import time

import numpy as np
import pytest
from PIL import Image, ImageFile, ImageSequence

from runtime import InputError, Plan, lazy
from runtime.ops import ConvertRGB, Rescale, Resize
from runtime.ops.size import Size
from runtime.preprocessor import Preprocessor

from .faults import at_most
from .forks import exit_code, forks
from .helpers import assert_equal, make_plan, noise

RESIZE = Resize(Size(height=20, width=24), "bilinear", "pillow13")
PLAN = make_plan(ConvertRGB(), RESIZE, Rescale(1 / 255))
FRAMES = [noise(30, 40, seed) for seed in range(6)]


def encoded(image, format="PNG", **options):
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, format, **options)
    return file.getvalue()


def opened(image, format="PNG", **options):
    return Image.open(io.BytesIO(encoded(image, format, **options)))


def animation(format, frames=FRAMES, **options):
    first, *rest = [Image.fromarray(frame) for frame in frames]
    return opened(first, format, save_all=True, append_images=rest, **options)


# --- Images in images


def iptc(data):
    """A record that says that it has 16 x 16 gray pixels, around another file."""

    def field(a, b, value):
        return bytes([0x1C, a, b]) + struct.pack(">H", len(value)) + value

    head = field(3, 60, b"\1\0") + field(3, 20, b"\0\x10") + field(3, 30, b"\0\x10") + field(3, 120, b"\5")
    parts = [field(8, 10, data[i : i + 30_000]) for i in range(0, len(data), 30_000)]
    return head + b"".join(parts) + field(2, 0, b"x")


def blp(data):
    """A texture that says the same, around a JPEG."""
    places = struct.pack("<16I", 160, *[0] * 15) + struct.pack("<16I", len(data), *[0] * 15)
    return b"BLP1" + struct.pack("<IIIIiI", 0, 0, 16, 16, 0, 0) + places + struct.pack("<I", 0) + data


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 50 50\n%%EndComments\nshowpage\n%%EOF\n"
HIDDEN = {
    "IPTC": lambda: iptc(encoded(noise(300, 400))),
    "BLP": lambda: blp(encoded(noise(16, 16), "JPEG")),
    "PostScript": lambda: EPS,
    "PostScript in IPTC": lambda: iptc(EPS),
}


@pytest.mark.parametrize("name", HIDDEN)
def test_what_is_in_a_file_is_not_opened(name, tmp_path, monkeypatch):
    """What it holds has a size of its own, and may be a program."""
    data, pre = HIDDEN[name](), Preprocessor(PLAN, "pil", max_pixels=1000 if "IPTC" in name else 3000)
    (tmp_path / "image").write_bytes(data)
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("decoded"))
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *_, **__: pytest.fail("run"))
    format = name.rpartition(" ")[2]
    with Image.open(io.BytesIO(data)) as in_memory, Image.open(tmp_path / "image") as on_disk:
        for image in (data, tmp_path / "image", in_memory, on_disk):
            with pytest.raises(InputError, match=f"^expected an image, got {format}, "):
                pre(image)


def test_what_the_caller_decoded_is_taken():
    record = Image.open(io.BytesIO(iptc(encoded(noise(16, 16).mean(2).astype(np.uint8)))))
    record.load()
    pixels = np.asarray(record)
    assert_equal(
        Preprocessor(PLAN, "pil")(record).pixel_values,
        Preprocessor(PLAN, "pil")(pixels[..., None]).pixel_values,
        "IPTC",
    )


def icns(data):
    """Icons whose mode is known once they are decoded: Pillow says RGBA before."""
    return b"icns" + struct.pack(">I", 16 + len(data)) + b"ic07" + struct.pack(">I", 8 + len(data)) + data


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_modes_that_change_when_an_image_is_decoded(mode, channels):
    """Without conversion, it is the mode of the pixels that counts."""
    data = icns(encoded(Image.fromarray(noise(128, 128)).convert(mode)))
    assert Image.open(io.BytesIO(data)).mode == "RGBA"
    pre = Preprocessor(Plan((RESIZE, Rescale(1 / 255)), "pillow13", channels=channels), "numba")
    loaded = Image.open(io.BytesIO(data))
    loaded.load()
    if loaded.mode == {1: "L", 3: "RGB", 4: "RGBA"}[channels]:
        assert_equal(pre(Image.open(io.BytesIO(data))).pixel_values, pre(loaded).pixel_values, mode)
        return
    for image in (Image.open(io.BytesIO(data)), loaded):
        with pytest.raises(InputError, match=f"^expected an image of mode .*, got {loaded.mode}: "):
            pre(image)


# --- Threads


@pytest.fixture
def slow(monkeypatch):
    """Other threads run before and behind each decoding."""
    read = ImageFile.ImageFile.load

    def load(self):
        time.sleep(0.002)
        result = read(self)
        time.sleep(0.002)
        return result

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "TIFF", "WEBP"])
@pytest.mark.parametrize("backend", ["numba", "pil"])
def test_one_image_in_many_batches(format, backend, slow):
    pre = Preprocessor(PLAN, backend)
    for repetition in range(4):
        image = opened(noise(60, 80, repetition), format)
        want = pre(np.asarray(opened(noise(60, 80, repetition), format).convert("RGB"))).pixel_values[0]
        for batch in pre.map([image] * 12, batch_size=2, workers=3):
            for row in batch.pixel_values:
                assert_equal(row, want, format)


def test_one_image_in_many_calls(slow):
    pre, wrong = Preprocessor(PLAN, "pil"), []
    for repetition in range(5):
        image, want = opened(noise(60, 80, repetition)), pre(noise(60, 80, repetition)).pixel_values

        def call(image=image, want=want):
            try:
                if not np.array_equal(pre(image).pixel_values, want):
                    wrong.append("pixels")
            except InputError as error:
                wrong.append(error)

        calls = [threading.Thread(target=call) for _ in range(6)]
        for thread in calls:
            thread.start()
        for thread in calls:
            thread.join()
    assert not wrong


class Slow(io.BytesIO):
    """A file from which other threads may read between a seek and a read."""

    def read(self, *size):
        time.sleep(0.001)
        return super().read(*size)


def test_two_images_of_one_file():
    pre = Preprocessor(PLAN, "pil")
    parts = [encoded(noise(60, 80, 0), "BMP"), encoded(noise(60, 80, 1), "BMP")]
    for _ in range(5):
        file = Slow(b"".join(parts))
        images = []
        for start in (0, len(parts[0])):
            file.seek(start)
            images.append(Image.open(file))
        # A BMP knows where its pixels are in the file, counted from the first byte of all.
        images[1].tile = [tile._replace(offset=tile.offset + len(parts[0])) for tile in images[1].tile]
        got = list(pre.map(images, batch_size=1, workers=2))
        for i, batch in enumerate(got):
            assert_equal(batch.pixel_values, pre(noise(60, 80, i)).pixel_values, f"image {i}")


@pytest.mark.parametrize("format", ["PNG", "BMP"])
def test_images_of_one_archive(format):
    """Each has a file object of its own, and all read from one."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for i in range(8):
            member = encoded(noise(60, 80, i), format)
            entry = tarfile.TarInfo(str(i))
            entry.size = len(member)
            archive.addfile(entry, io.BytesIO(member))
    pre = Preprocessor(PLAN, "pil")
    want = pre([noise(60, 80, i) for i in range(8)]).pixel_values
    for _ in range(3):
        with tarfile.open(fileobj=Slow(data.getvalue())) as archive:
            images = [Image.open(archive.extractfile(member)) for member in archive]
            got = list(pre.map(images, batch_size=1, workers=3))
        assert_equal(np.concatenate([batch.pixel_values for batch in got]), want, format)


def test_an_image_whose_file_changes_while_it_is_decoded(monkeypatch):
    """As a WebP's does: another thread waits for the image, not for a file."""
    pre, image, got = Preprocessor(PLAN, "pil"), opened(noise(60, 80), "WEBP"), []
    want = pre(encoded(noise(60, 80), "WEBP")).pixel_values
    other = threading.Thread(target=lambda: got.append(pre(image).pixel_values))
    load = ImageFile.ImageFile.load

    def slow(self):
        if threading.current_thread() is not other and other.ident is None:
            other.start()
            other.join(0.2)
            assert other.is_alive()
        return load(self)

    monkeypatch.setattr(ImageFile.ImageFile, "load", slow)
    got.append(pre(image).pixel_values)
    other.join()
    assert other.ident is not None
    for pixels in got:
        assert_equal(pixels, want, "WEBP")
    assert len(got) == 2


@forks
def test_a_child_waits_for_no_lock_of_its_parents():
    image, pre = opened(noise(30, 40)), Preprocessor(PLAN, "pil")
    locks = [*lazy._images, *lazy._files]
    for lock in locks:
        lock.acquire()
    try:
        assert exit_code(lambda: pre(image).pixel_values.shape == (1, 3, 20, 24)) == 0
    finally:
        for lock in locks:
            lock.release()


def test_images_share_few_locks_evenly():
    numbers = {lazy._number(image) for image in [Image.new("L", (1, 1)) for _ in range(500)]}
    assert numbers <= set(range(lazy.COUNT))
    assert len(numbers) > lazy.COUNT / 2


# --- Animations


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
@pytest.mark.parametrize("batch_size", [1, 4])
def test_frames_stay_what_they_were(format, batch_size):
    """Pillow's iterator gives one object, and moves it on."""
    options = {"lossless": True} if format == "WEBP" else {}
    want = [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(animation(format, **options))]
    assert len({frame.tobytes() for frame in want}) == len(FRAMES)
    pre = Preprocessor(PLAN, "numba")
    got = list(pre.map(ImageSequence.Iterator(animation(format, **options)), batch_size=batch_size))
    assert_equal(np.concatenate([batch.pixel_values for batch in got]), pre(want).pixel_values, format)


def test_pairs_of_frames():
    pre = Preprocessor(Plan(PLAN.steps, "pillow13", group="pair"), "pil")
    want = [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(animation("PNG"))]
    frames = (ImageSequence.Iterator(animation("PNG")) for _ in range(2))
    got = list(pre.map(zip(*frames, strict=True), batch_size=2))
    expected = pre([[frame, frame] for frame in want]).pixel_values
    assert_equal(np.concatenate([batch.pixel_values for batch in got]), expected, "pairs")


def test_what_is_copied():
    moving, still = animation("GIF"), opened(noise(30, 40))
    most = 30 * 40
    for image in (still, noise(9, 9), b"bytes", "text", None, [still, b"bytes"], (still,), Image.new("L", (3, 4))):
        assert lazy.still(image, most) is image
    assert lazy.still(moving, most) is not moving
    assert lazy.still(moving, most - 1) is moving
    assert type(lazy.still([moving, still], most)) is list
    copy, same = lazy.still((moving, still), most)
    assert copy is not moving
    assert same is still


def test_large_animations_are_not_decoded(monkeypatch):
    image = animation("PNG")
    monkeypatch.setattr(type(image), "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(InputError, match=r"^image 0: expected at most 999 pixels, got 30x40$"):
        list(Preprocessor(PLAN, "pil", max_pixels=999).map([image]))


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP"])
def test_a_damaged_animation_is_an_input_error(format):
    first, *rest = [Image.fromarray(frame) for frame in FRAMES]
    data = encoded(first, format, save_all=True, append_images=rest)
    problems = []
    for end in range(60, len(data), len(data) // 9):
        try:
            image = Image.open(io.BytesIO(data[:end]))
        except Exception:
            continue
        try:
            for batch in Preprocessor(PLAN, "pil").map(ImageSequence.Iterator(image), batch_size=1):
                assert batch.pixel_values.shape == (1, 3, 20, 24)
        except InputError as error:
            problems.append(str(error))
        except (OSError, EOFError, SyntaxError, ValueError, IndexError):  # the iterator's own
            pass
    assert all(problem.startswith("image ") for problem in problems)


# --- Files


@pytest.mark.skipif(not os.path.exists("/dev/ptmx"), reason="needs a terminal")  # noqa: PTH110  it is no file
def test_a_device_is_not_waited_for():
    for path in ("/dev/ptmx", "/dev/zero", "/dev/null"):
        with at_most(10), pytest.raises(InputError, match=f"^{path}: a pipe or a device, not a file$"):
            Preprocessor(PLAN, "pil")(path)
