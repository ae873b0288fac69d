"""Every kind of input, and every kind of bad one."""

import io
import pathlib
import sys
import types

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers.image_utils import ChannelDimension, infer_channel_dimension_format, load_image

import runtime.decode
from runtime import InputError, Preprocessor
from runtime.image import to_arrays
from runtime.lowering import check_size, lower
from runtime.ops import ConvertRGB, Pad, Resize
from runtime.ops.size import Size

from .helpers import assert_equal, first, make_plan, noise

PIXELS = noise(6, 5)
BATCH = np.stack([noise(6, 5, seed) for seed in range(3)])


def encode(image, format="PNG", **options):
    file = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(file, format, **options)
    return file.getvalue()


PNG = encode(PIXELS)


def loaded_by_transformers(path):
    with Image.open(path) as image:
        return np.asarray(load_image(image))


@pytest.fixture
def png(tmp_path):
    path = tmp_path / "image.png"
    path.write_bytes(PNG)
    return path


# --- Kinds


@pytest.mark.parametrize("convert", [True, False])
@pytest.mark.parametrize(
    "image",
    [
        Image.fromarray(PIXELS),
        PIXELS,
        PIXELS.transpose(2, 0, 1),
        PIXELS[::-1][::-1],
        np.asfortranarray(PIXELS),
        torch.from_numpy(PIXELS),
        torch.from_numpy(PIXELS).permute(2, 0, 1),
        torch.nn.Parameter(torch.from_numpy(PIXELS), requires_grad=False),
        PNG,
        bytearray(PNG),
        memoryview(PNG),
        [PIXELS],
        (Image.fromarray(PIXELS),),
        [[PNG]],
        PIXELS[None],
        [PIXELS[None]],
    ],
    ids=lambda image: f"{type(image).__module__}.{type(image).__name__}{list(getattr(image, 'shape', []))}",
)
def test_one_image_of_any_kind(image, convert):
    (rgb,) = to_arrays(image, convert)
    assert_equal(rgb, PIXELS, "to_rgb")
    plan = make_plan(ConvertRGB()) if convert else make_plan()
    assert_equal(Preprocessor(plan, "pil")(image).pixel_values, first(PIXELS), "call")


def test_a_path_as_text_or_path(png):
    for path in (png, str(png), pathlib.PurePath(png)):
        (rgb,) = to_arrays(path, convert=False)
        assert_equal(rgb, PIXELS, repr(path))


def test_pil_images_of_other_packages():
    # An image plugin's own subclass of PIL.Image.Image lives in that plugin's module.
    class PluginImage(Image.Image):
        pass

    image = PluginImage()
    image.__dict__.update(Image.fromarray(PIXELS).__dict__)
    assert isinstance(image, Image.Image)
    (rgb,) = to_arrays(image, convert=True)
    assert_equal(rgb, PIXELS, "a subclass")


def test_an_image_whose_mode_changes_as_it_loads():
    class Late(Image.Image):
        """As some plugins, which know the mode from the pixels alone."""

        def load(self):
            if self.mode == "RGB":
                gray = Image.fromarray(PIXELS[..., 0])
                self.im, self._mode = gray.im, gray.mode
            return super().load()

    def late():
        image = Late()
        image.__dict__.update(Image.fromarray(PIXELS).__dict__)
        return image

    (rgb,) = to_arrays(late(), convert=True)
    assert_equal(rgb, np.asarray(ConvertRGB().reference_pil(late())), "as the reference")
    assert_equal(rgb, np.repeat(PIXELS[..., :1], 3, axis=-1), "its gray")


@pytest.mark.parametrize(
    "batch", [BATCH, BATCH.transpose(0, 3, 1, 2), torch.from_numpy(BATCH), list(BATCH), [list(BATCH)]], ids=type
)
def test_batches(batch):
    assert_equal(np.stack(to_arrays(batch, convert=False)), BATCH, "to_rgb")
    assert_equal(Preprocessor(make_plan(), "pil")(batch).pixel_values, first(*BATCH), "call")


def test_a_list_may_mix_kinds_and_sizes():
    small, large = noise(2, 7), noise(8, 9)
    images = [small, Image.fromarray(large), [PNG, torch.from_numpy(small)], BATCH]
    expected = [small, large, PIXELS, small, *BATCH]
    got = to_arrays(images, convert=False)
    assert len(got) == len(expected)
    for i, (image, pixels) in enumerate(zip(got, expected, strict=True)):
        assert_equal(image, pixels, f"image {i}")


@given(st.tuples(*[st.integers(1, 6)] * 3))
@settings(max_examples=200)
def test_the_layout_is_guessed_as_transformers_does(shape):
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    try:
        layout = infer_channel_dimension_format(image, num_channels=(1, 3, 4))
    except ValueError:
        with pytest.raises(InputError, match="expected 1, 3 or 4 channels first or last, got shape"):
            to_arrays(image, convert=True)
        return
    image = np.moveaxis(image, 0, -1) if layout == ChannelDimension.FIRST else image
    if image.shape[2] == 3:
        (rgb,) = to_arrays(image.transpose(2, 0, 1), convert=False)
        assert_equal(rgb, image, "to_rgb")
    (rgb,) = to_arrays(image.transpose(2, 0, 1), convert=True)
    assert_equal(rgb, ConvertRGB().reference(image), "to_rgb")


# --- Files


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
def test_files_are_turned_upright_and_pil_images_are_not(orientation, format, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(PIXELS, format, exif=exif)
    path = tmp_path / "image"
    path.write_bytes(data)
    upright = loaded_by_transformers(path)
    for source in (path, str(path), data):
        (rgb,) = to_arrays(source, convert=True)
        assert_equal(rgb, upright, f"{type(source).__name__}, orientation {orientation}")
    with Image.open(path) as image:
        (rgb,) = to_arrays(image, convert=True)
        assert_equal(rgb, np.array(image), "PIL")
    assert (upright.shape == rgb.shape) == (orientation <= 4)


MODES = {
    "PNG": ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"],
    "JPEG": ["L", "RGB", "CMYK"],
    "GIF": ["1", "L", "P"],
    "BMP": ["1", "L", "P", "RGB"],
    "TIFF": ["1", "L", "RGB", "RGBA", "CMYK", "I;16"],
    "WEBP": ["RGB", "RGBA"],
}


# Pillow's advice, which transformers does not follow either.
@pytest.mark.filterwarnings("ignore:Palette images with Transparency expressed in bytes:UserWarning")
@pytest.mark.parametrize("convert", [True, False])
@pytest.mark.parametrize(("format", "mode"), [(format, mode) for format, modes in MODES.items() for mode in modes])
def test_files_equal_transformers(format, mode, convert, tmp_path):
    # Alpha is dropped: transformers converts files before any step.
    if mode == "I;16":
        image = Image.fromarray(noise(16, 18, channels=1)[..., 0].astype(np.uint16) * 200)
    else:
        image = Image.fromarray(noise(16, 18, channels=4), "RGBA").convert(mode)
    path = tmp_path / "image"
    path.write_bytes(encode(image, format))
    expected = loaded_by_transformers(path)
    for source in (path, path.read_bytes()):
        (rgb,) = to_arrays(source, convert)
        assert_equal(rgb, expected, f"{format} {mode}")


def test_an_animation_gives_its_first_frame():
    frames = [Image.fromarray(noise(6, 5, seed)).quantize(16) for seed in range(3)]
    data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    (rgb,) = to_arrays(data, convert=True)
    assert_equal(rgb, np.asarray(frames[0].convert("RGB")), "GIF")


# --- Refusals


def refused(message, image, convert=True):
    """Refused by the function and by the call, with the same words."""
    with pytest.raises(InputError, match=message):
        to_arrays(image, convert)
    with pytest.raises(InputError, match=message):
        Preprocessor(make_plan(ConvertRGB()) if convert else make_plan(), "pil")(image)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (None, "expected a PIL image, .*, got NoneType"),
        (5, "expected a PIL image, .*, got int"),
        ({"image": PIXELS}, "expected a PIL image, .*, got dict"),
        (iter([PIXELS]), "expected a PIL image, .*, got list_iterator"),
        (np.uint8(3), "expected a PIL image, .*, got uint8"),
        (torch.device("cpu"), "expected .*, got "),
        ([], "expected at least one image, got an empty list"),
        ((), "expected at least one image, got an empty list"),
        ([[]], "expected at least one image, got an empty list"),
        ([PIXELS, None], "image 1: expected a PIL image, .*, got NoneType"),
        ([PIXELS, [PIXELS, b""]], "image 1: image 1: the bytes: not an image"),
        ([[[PIXELS]]], "image 0: image 0: lists may be nested once, got a third level"),
        (np.zeros((0, 6, 5, 3), np.uint8), "expected at least one image, got "),
        ([PIXELS, np.zeros((0, 6, 5, 3), np.uint8)], "image 1: expected at least one image, got "),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_image(image, message):
    refused(message, image)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.int64, np.int8, np.uint16, bool, object])
def test_only_uint8_values(dtype):
    refused(f"expected uint8 values, got {np.dtype(dtype)}", PIXELS.astype(dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.int32, torch.bool])
def test_only_uint8_tensors(dtype):
    refused("expected uint8 values, got ", torch.from_numpy(PIXELS).to(dtype))


def test_nan():
    refused("expected uint8 values, got float32", np.full((6, 5, 3), np.nan, np.float32))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((), r"expected 3 axes, .*, got shape \(\)"),
        ((6, 5), r"expected 3 axes, .*, got shape \(6, 5\)"),
        ((5,), r"expected 3 axes, .*, got shape \(5,\)"),
        ((1, 1, 6, 5, 3), r"expected 3 axes, .*, got shape \(1, 1, 6, 5, 3\)"),
        ((6, 5, 2), r"expected 1, 3 or 4 channels first or last, got shape \(6, 5, 2\)"),
        ((2, 6, 5), r"expected 1, 3 or 4 channels first or last, got shape \(2, 6, 5\)"),
        ((2, 6, 5, 2), r"expected 1, 3 or 4 channels first or last, got shape \(6, 5, 2\)"),
        ((0, 5, 3), "expected at least 1x1 pixels, got 0x5"),
        ((6, 0, 3), "expected at least 1x1 pixels, got 6x0"),
        ((0, 0, 3), "expected at least 1x1 pixels, got 0x0"),
        ((3, 0, 5), "expected at least 1x1 pixels, got 0x5"),
    ],
)
def test_shapes(shape, message):
    refused(message, np.zeros(shape, np.uint8))


@pytest.mark.parametrize("channels", [1, 4])
def test_other_channels_need_the_convert_step(channels):
    refused(f"expected 3 channels, got {channels}: .*do_convert_rgb", noise(6, 5, channels=channels), convert=False)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "1", "I;16", "F"])
def test_other_modes_need_the_convert_step(mode):
    refused(f"expected an image of mode RGB, got {mode}: .*do_convert_rgb", Image.new(mode, (5, 6)), convert=False)


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (0, 0)])
def test_pil_images_without_pixels(size):
    refused(f"expected at least 1x1 pixels, got {size[1]}x{size[0]}", Image.new("RGB", size))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the bytes: not an image that Pillow can read"),
        (b"a text, no image", "the bytes: not an image that Pillow can read$"),
        (PNG[:8], "the bytes: not an image that Pillow can read"),
        (PNG[: len(PNG) // 2], "the bytes: not an image that Pillow can read .*truncated"),
        (encode(noise(60, 50), "JPEG")[:800], "the bytes: not an image that Pillow can read .*truncated"),
    ],
)
def test_bad_bytes(data, message, tmp_path):
    refused(message, data)
    path = tmp_path / "bad.png"
    path.write_bytes(data)
    refused(message.replace("the bytes", str(path)), path)
    refused(message.replace("the bytes", str(path)), str(path))


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP"])
def test_any_truncation_or_flipped_bit_is_an_image_or_an_input_error(format):
    data = encode(noise(16, 18), format)
    rng = np.random.default_rng(0)
    damaged = [data[:length] for length in range(0, len(data), 16)]
    for position in rng.integers(0, len(data), 300):
        flipped = bytearray(data)
        flipped[position] ^= 1 << int(rng.integers(8))
        damaged.append(bytes(flipped))
    refusals = 0
    for piece in damaged:
        try:
            (rgb,) = to_arrays(piece, convert=True)
        except InputError:
            refusals += 1
        else:
            assert rgb.dtype == np.uint8
            assert rgb.shape[2] == 3
    assert refusals > 0


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (
            lambda: torch.from_numpy(PIXELS).to_sparse(),
            "expected a dense tensor that holds values, got a sparse_coo one",
        ),
        (lambda: torch.zeros(6, 5).to_sparse_csr(), "expected a dense tensor that holds values, got a sparse_csr one"),
        (lambda: torch.zeros(3, 6, 5, device="meta"), "expected a dense tensor that holds values, got a meta one"),
        (
            lambda: torch.nested.nested_tensor([torch.zeros(2)], layout=torch.jagged),
            "expected a dense .* got a nested one",
        ),
        (lambda: torch.quantize_per_tensor(torch.rand(3, 6, 5), 0.1, 0, torch.quint8), "expected uint8 .* got quint8"),
        (lambda: torch.zeros(3, 6, 5, dtype=torch.complex64).conj(), "expected uint8 values, got complex64"),
    ],
    ids=range(6),
)
@pytest.mark.filterwarnings("ignore:.*(prototype stage|beta state|deprecated):")
def test_tensors_that_hold_no_pixels(tensor, message):
    refused(message, tensor())
    refused("image 1: " + message, [PIXELS, tensor()])


def test_while_another_thread_imports_torch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", types.ModuleType("torch"))
    (rgb,) = to_arrays(PIXELS, convert=False)
    assert_equal(rgb, PIXELS, "an array")


def test_open_files_are_told_of_their_bytes(png):
    with png.open("rb") as file:
        refused("got BufferedReader; pass its bytes, as read.. gives them", file)
    refused("got BytesIO; pass its bytes", io.BytesIO(PNG))


def test_a_truncated_file_that_pillow_opened(tmp_path):
    path = tmp_path / "image.png"
    path.write_bytes(PNG[: len(PNG) // 2])
    for convert in (True, False):
        with Image.open(path) as image:
            refused("not an image that Pillow can read .*truncated", image, convert)


def test_missing_files_and_folders(tmp_path):
    refused(f"no such image file: {tmp_path}/missing.png", tmp_path / "missing.png")
    refused(f"no such image file: {tmp_path}/missing.png", str(tmp_path / "missing.png"))
    refused(rf"^{tmp_path}: not an image that Pillow can read \(Is a directory\)$", tmp_path)
    refused("not an image that Pillow can read .*null", "image\0.png")


@pytest.mark.parametrize("image", [PIXELS, torch.from_numpy(PIXELS), Image.fromarray(PIXELS), PNG], ids=type)
def test_images_of_too_many_pixels(image, monkeypatch):
    monkeypatch.setattr(runtime.decode, "MAX_PIXELS", 29)
    refused("expected at most 29 pixels, got 6x5", image)
    monkeypatch.setattr(runtime.decode, "MAX_PIXELS", 30)
    assert len(to_arrays(image, convert=True)) == 1


def test_pillows_own_limit(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    refused("the image is too large: .*30 pixels", PNG)


def test_a_narrow_image_may_not_ask_for_gigabytes():
    # 60,000 pixels, and three thousand million behind the resize.
    kernels = lower((Resize(Size(shortest_edge=224), "bicubic", "pillow13"),))
    with pytest.raises(InputError, match="expected at most"):
        check_size(kernels, 1, 60_000)


def test_sizes_that_the_plan_cannot_take():
    with pytest.raises(InputError, match="pad_size 4x4 is smaller than the image, 6x5"):
        Preprocessor(make_plan(Pad(Size(height=4, width=4))), "pil")(PIXELS)
    step = Resize(Size(max_height=4, max_width=4), "bilinear", "pillow13")
    with pytest.raises(InputError, match="expected at least 1 pixel a side"):
        Preprocessor(make_plan(step), "pil")(noise(2, 300))
