"""Every kind of input, and mixtures, given to us and to transformers: the same bits, or a refusal on purpose."""

import base64
import io
import json
import pathlib

import numpy as np
import pytest
import torch
import transformers
from PIL import Image, ImageCms
from transformers.image_utils import ChannelDimension, load_image, load_image_as_tensor
from transformers.utils import TensorType

import exporter
from runtime import InputError, Plan, Preprocessor
from runtime.image import to_arrays
from runtime.ops import ConvertRGB, ImageSize, Normalize, Rescale, Resize
from runtime.ops.size import Size

from .helpers import assert_equal, make_plan, noise

HEIGHT, WIDTH = 40, 33
RGB, OTHER = noise(HEIGHT, WIDTH), noise(17, 50)
LAYOUTS = (None, "channels_first", "channels_last")


SMALL = {"size": {"height": 24, "width": 20}}
CLIP = {"size": {"shortest_edge": 24}, "crop_size": 20}
PROCESSORS = {
    "converts": (transformers.CLIPImageProcessorPil, "CLIP", CLIP, "pillow"),
    "does not": (transformers.ViTImageProcessorPil, "ViT", SMALL, "pillow"),
    "torchvision": (transformers.CLIPImageProcessor, "CLIP", CLIP, "torchvision"),
    "torchvision does not": (transformers.ViTImageProcessor, "ViT", SMALL, "torchvision"),
}
"""transformers' class, the family, the config and the reference."""


def trace(family, config, folder, **options):
    file = folder / "preprocessor_config.json"
    file.write_text(json.dumps({"image_processor_type": f"{family}ImageProcessor", **config}))
    return exporter.trace(file, **options)


def made(row, folder):
    """The name of the row, transformers' class, and ours."""
    kind, family, config, reference = PROCESSORS[row]
    return row, kind(**config), Preprocessor(trace(family, config, folder, reference=reference), "numba")


@pytest.fixture(scope="module", params=PROCESSORS)
def both(request, tmp_path_factory):
    return made(request.param, tmp_path_factory.mktemp("config"))


def lab():
    profiles = (ImageCms.createProfile(name) for name in ("sRGB", "LAB"))
    return ImageCms.applyTransform(Image.fromarray(RGB), ImageCms.buildTransform(*profiles, "RGB", "LAB"))


def transparent(image, value):
    image.info["transparency"] = value
    return image


RGBA = Image.fromarray(noise(HEIGHT, WIDTH, 1, channels=4), "RGBA")
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV", "I", "F")
PILLOW = {
    **{f"pil {mode}": RGBA.convert(mode) for mode in MODES},
    "pil La": RGBA.convert("LA").convert("La"),
    "pil LAB": lab(),
    "pil I;16B": Image.frombytes("I;16B", (WIDTH, HEIGHT), RGB[..., 0].astype(">u2").tobytes()),
    "pil I;16": Image.fromarray(noise(HEIGHT, WIDTH)[..., 0].astype(np.uint16) * 200),
    "pil P, transparent": transparent(Image.fromarray(RGB).quantize(16), 3),
    "pil P, alpha": transparent(Image.fromarray(RGB).quantize(16), bytes(range(0, 256, 16))),
    "pil L, transparent": transparent(Image.fromarray(RGB[..., 0] // 32), 2),
    "pil RGB, transparent": transparent(Image.fromarray(RGB // 128 * 255), (255, 0, 255)),
}
ARRAYS = {
    **{f"HWC of {n}": noise(HEIGHT, WIDTH, channels=n) for n in range(1, 6)},
    **{f"CHW of {n}": noise(HEIGHT, WIDTH, channels=n).transpose(2, 0, 1) for n in range(1, 6)},
    **{
        f"ambiguous {shape}": noise(*shape[:2], channels=shape[2])
        for shape in [(3, 33, 3), (3, 3, 3), (1, 33, 3), (3, 33, 4), (4, 33, 3), (4, 3, 3), (1, 3, 4), (3, 3, 33)]
    },
    "tensor HWC": torch.from_numpy(RGB),
    "tensor CHW": torch.from_numpy(RGB).permute(2, 0, 1),
    "tensor RGBA": torch.from_numpy(np.asarray(RGBA).copy()),
    "2 axes": RGB[..., 0],
    "5 axes": RGB[None, None],
}
LEVELS = {
    **{
        f"levels in {dtype}": RGB.astype(dtype) for dtype in ("uint16", ">i4", "int64", "float16", "float32", "float64")
    },
    "levels in int8": (RGB // 2).astype(np.int8),
    "tensor of levels in int64": torch.from_numpy(RGB).long(),
    "tensor of levels in float32": torch.from_numpy(RGB).float(),
}
OF_VALUES = {
    **LEVELS,
    "float64": RGB / 255,
    "half": torch.rand(3, HEIGHT, WIDTH).half(),
    "zeros and ones": (RGB > 100).astype(np.float32),
    "bool": RGB > 100,
    "bfloat16": torch.rand(3, HEIGHT, WIDTH).bfloat16(),
    "256": RGB.astype(np.int64) + 1,
    "-1": RGB.astype(np.int64) - 1,
    "nan": np.where(RGB == 0, np.nan, RGB),
    "object": RGB.astype(object),
}
PIL_RGB = Image.fromarray(RGB)
LISTS = {
    "list": [RGB, OTHER, RGB],
    "tuple": (PIL_RGB, Image.fromarray(OTHER)),
    "mixture": [PIL_RGB, OTHER, torch.from_numpy(RGB), OTHER.transpose(2, 0, 1), PIL_RGB],
    "batch": np.stack([RGB, RGB[::-1]]),
    "batch CHW": torch.from_numpy(np.stack([RGB, RGB[::-1]])).permute(0, 3, 1, 2),
    "list of batches": [np.stack([RGB, RGB]), OTHER[None]],
    "lists": [[PIL_RGB], [RGB, OTHER]],
    "lists, one empty": [[PIL_RGB], [], [RGB]],
    "image and list": [RGB, [OTHER]],
    "image and batch": [RGB, OTHER[None]],
    "no images": [],
    "no images in lists": [[], []],
    "lists of 2 axes": [[RGB[..., 0]]],
    "3 axes and 2": [RGB, RGB[..., 0]],
    "three levels": [[[RGB]]],
    "numbers": RGB.tolist(),
    "generator": (image for image in [RGB]),
    "image and none": [PIL_RGB, None],
    "none": None,
    "text": {"image": RGB},
    "bytes": b"",
}
KINDS = {**PILLOW, **ARRAYS, **OF_VALUES, **LISTS}

DEEP = ("pil YCbCr", "pil HSV", "pil LAB")
"""Modes of three bands that are not RGB: without conversion transformers takes them for it."""

ALWAYS = ("float64", "half", "zeros and ones", "bool")
OF_TORCHVISION = (*ALWAYS, *LEVELS, "bfloat16", "256", "-1", "nan")
REFUSED = {
    "converts": (*ALWAYS, "object"),
    "does not": (*DEEP, *ALWAYS, "object"),
    "torchvision": (*OF_TORCHVISION, "lists of 2 axes", "3 axes and 2"),
    "torchvision does not": (*DEEP, "pil F", *OF_TORCHVISION),
}
"""What transformers takes and we do not, for the reasons that ``runtime.image`` gives."""

TAKEN = ("image and list", "image and batch")
"""What we take and transformers does not."""


def outcome(run):
    try:
        return np.asarray(run()["pixel_values"]), None
    except Exception as error:  # transformers raises about anything
        return None, error


@pytest.mark.filterwarnings("ignore:Palette images with Transparency expressed in bytes:UserWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_the_bits_or_a_refusal(kind, both):
    row, theirs, ours = both
    compared = 0
    for layout in LAYOUTS if kind in ARRAYS or kind in ("pil RGB", "batch") else (None,):
        options = {} if layout is None else {"input_data_format": layout}
        want, reason = outcome(lambda: theirs(KINDS[kind], return_tensors="np", **options))  # noqa: B023
        got, error = outcome(lambda: ours(KINDS[kind], **options))  # noqa: B023
        what = f"{kind}, {row}, {layout}"
        assert error is None or type(error) is InputError, what
        if want is None:
            assert (got is not None) == (kind in TAKEN), f"{what}: transformers says {reason!r}"
        else:
            assert (got is None) == (kind in REFUSED[row]), f"{what}: {error}"
        if want is not None and got is not None:
            assert_equal(got, want, what)
            compared += 1
    converted = row == "converts" and kind in PILLOW and kind != "pil La"  # which Pillow itself makes no RGB of
    if converted or (row in ("converts", "does not") and kind in LEVELS):
        assert compared


def test_rgba_arrays_differ_between_the_references(tmp_path):
    # Pillow's classes round what torchvision's cut.
    image = np.asarray(RGBA)
    results = [
        Preprocessor(Plan((ConvertRGB(),), reference), "pil")(image).pixel_values
        for reference in ("pillow13", "torchvision")
    ]
    assert (results[0] != results[1]).any()


@pytest.mark.parametrize("layout", ["channels_middle", "", "NHWC", 0, False])
def test_unknown_layouts(layout):
    with pytest.raises(ValueError, match=f"input_data_format: expected 'channels_first' .*, got {layout!r}"):
        Preprocessor(make_plan(), "pil")(RGB, input_data_format=layout)


def test_the_names_of_transformers(both):
    row, theirs, ours = both
    for layout in ChannelDimension:
        image = RGB if layout == ChannelDimension.LAST else RGB.transpose(2, 0, 1)
        want = theirs(image, return_tensors=TensorType.PYTORCH, input_data_format=layout)["pixel_values"]
        got = ours(image, return_tensors=TensorType.PYTORCH, input_data_format=layout)["pixel_values"]
        assert type(got) is type(want) is torch.Tensor
        assert_equal(got, want, row)


# --- Levels in other dtypes than uint8


@pytest.mark.parametrize("kind", LEVELS)
def test_levels_are_levels_in_any_dtype(kind):
    image = LEVELS[kind]
    pixels = np.asarray(image).astype(np.uint8)
    for steps in ((RESIZE, Rescale(1 / 255)), (ConvertRGB(), ImageSize("sizes"), RESIZE), (Rescale(1 / 127.5),)):
        pre = Preprocessor(make_plan(*steps), "pil")
        assert_equal(pre(image).pixel_values, pre(pixels).pixel_values, f"{kind}, {steps}")


RESIZE = Resize(Size(height=9, width=8), "bilinear", "pillow13")


@pytest.mark.parametrize(
    "plan",
    [
        make_plan(),
        make_plan(Normalize((0.5,) * 3, (0.5,) * 3)),
        make_plan(Resize(Size(height=9, width=8), "bilinear", "pillow12.1", "torchvision"), Rescale(1 / 255)),
        Plan((Rescale(1 / 255),), "torchvision"),
    ],
    ids=str,
)
def test_plans_that_take_uint8_alone(plan):
    # The dtype would show in the result.
    for image in LEVELS.values():
        with pytest.raises(InputError, match="expected uint8 values, got "):
            Preprocessor(plan, "pil")(image)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_floats_of_one_level(value):
    image = np.full((5, 6, 3), value, np.float32)
    pre = Preprocessor(make_plan(RESIZE), "pil")
    if value:
        with pytest.raises(InputError, match=r"got float32: pass floats in \[0, 1\] with do_rescale=False"):
            pre(image)
        image[0, 0, 0] = 2  # so they are no floats in [0, 1]
    assert_equal(pre(image).pixel_values, pre(image.astype(np.uint8)).pixel_values, str(value))


def test_a_masked_arrays_values_count(both):
    image = np.ma.masked_array(RGB, RGB > 100)
    _, theirs, ours = both
    assert_equal(ours(image).pixel_values, theirs(image, return_tensors="np")["pixel_values"], "masked")
    assert type(to_arrays(image, convert=False)[0]) is np.ndarray  # others' functions mean other things


# --- Files


def encoded(image, format, **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def animation(format):
    frames = [Image.fromarray(noise(HEIGHT, WIDTH, seed)) for seed in range(3)]
    frames = [frame.quantize(16) for frame in frames] if format == "GIF" else frames
    more = {"lossless": True} if format == "WEBP" else {}
    return encoded(frames[0], format, save_all=True, append_images=frames[1:], duration=50, **more)


def oriented(number, format):
    exif = Image.Exif()
    exif[0x0112] = number
    return encoded(PIL_RGB, format, exif=exif)


def cmyk_by_adobe():
    """A CMYK JPEG with Adobe's marker, whose levels are inverted."""
    return encoded(RGBA.convert("CMYK"), "JPEG")


FILES = {
    **{f"{format} of {n}": oriented(n, format) for format in ("JPEG", "PNG", "WEBP", "TIFF") for n in range(1, 9)},
    **{f"animated {format}": animation(format) for format in ("GIF", "WEBP", "PNG", "TIFF")},
    **{f"JPEG, sampling {n}": encoded(PIL_RGB, "JPEG", subsampling=n) for n in range(3)},
    "JPEG, progressive": encoded(PIL_RGB, "JPEG", progressive=True),
    "JPEG, gray": encoded(PIL_RGB.convert("L"), "JPEG"),
    "JPEG, progressive gray": encoded(PIL_RGB.convert("L"), "JPEG", progressive=True),
    "JPEG, RGB": encoded(PIL_RGB, "JPEG", keep_rgb=True),
    "JPEG, CMYK": cmyk_by_adobe(),
    "JPEG, progressive CMYK": encoded(RGBA.convert("CMYK"), "JPEG", progressive=True),
    "JPEG, restarts": encoded(PIL_RGB, "JPEG", restart_marker_rows=1),
    "MPO": encoded(PIL_RGB, "MPO", save_all=True, append_images=[Image.fromarray(RGB[::-1])]),
    **{f"PNG, {mode}": encoded(RGBA.convert(mode), "PNG") for mode in ("1", "L", "LA", "P", "RGBA")},
    "PNG, I;16": encoded(PILLOW["pil I;16"], "PNG"),
    "PNG, transparent color": encoded(PIL_RGB, "PNG", transparency=tuple(map(int, RGB[0, 0]))),
    "PNG, transparent palette": encoded(PIL_RGB.quantize(16), "PNG", transparency=3),
    "GIF, transparent": encoded(PIL_RGB.quantize(16), "GIF", transparency=3),
    **{f"TIFF, {mode}": encoded(RGBA.convert(mode), "TIFF") for mode in ("1", "L", "LA", "RGBA", "CMYK", "F")},
    "WEBP, RGBA": encoded(RGBA, "WEBP", lossless=True),
    **{f"AVIF of {n}": oriented(n, "AVIF") for n in (1, 6)},
    "AVIF, RGBA": encoded(RGBA, "AVIF"),
    "WEBP, lossy": encoded(PIL_RGB, "WEBP", quality=50),
    "PNG, a default image before the animation": encoded(
        PIL_RGB, "PNG", save_all=True, append_images=[Image.fromarray(RGB[::-1])], default_image=True
    ),
    **{f"TIFF, {name}": encoded(PIL_RGB, "TIFF", compression=name) for name in ("tiff_lzw", "tiff_deflate", "jpeg")},
    "BMP": encoded(PIL_RGB, "BMP"),
    "ICO": encoded(RGBA, "ICO", sizes=[(32, 32)]),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Palette images with Transparency expressed in bytes:UserWarning")
@pytest.mark.parametrize("name", FILES)
def test_files_equal_load_image(name, tmp_path):
    path = tmp_path / "image"
    path.write_bytes(FILES[name])
    with Image.open(path) as image:
        want = np.asarray(load_image(image))
    for source in (
        path,
        str(path),
        pathlib.PurePath(path),
        f"data:image/any;base64,{base64.b64encode(FILES[name]).decode()}",
        FILES[name],
        bytearray(FILES[name]),
        memoryview(FILES[name]),
    ):
        for convert in (True, False):
            (got,) = to_arrays(source, convert)
            assert_equal(got, want, f"{name}, {type(source).__name__}")


@pytest.mark.filterwarnings("ignore:The image decoding and encoding capabilities of TorchVision:DeprecationWarning")
def test_orientation_counts_for_files_alone(both, tmp_path):
    """transformers turns paths upright, in load_image, and PIL images not."""
    row, theirs, ours = both
    for number in range(1, 9):
        path = tmp_path / f"{number}.png"
        path.write_bytes(FILES[f"PNG of {number}"])
        want = theirs(str(path), return_tensors="np")["pixel_values"]
        assert_equal(ours(path).pixel_values, want, f"{row}, a path of {number}")
        with Image.open(path) as image:
            as_it_lies = theirs(image, return_tensors="np")["pixel_values"]
            assert_equal(ours(image).pixel_values, as_it_lies, f"{row}, a PIL image of {number}")
        assert np.array_equal(want, as_it_lies) == (number == 1)


@pytest.mark.filterwarnings("ignore:The image decoding and encoding capabilities of TorchVision:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:Palette images with Transparency expressed in bytes:UserWarning")
@pytest.mark.parametrize("name", FILES)
def test_files_that_torchvision_reads_otherwise(name, tmp_path):
    """What ``runtime.image`` says of the paths that transformers' torchvision classes read."""
    path = tmp_path / "image"
    path.write_bytes(FILES[name])
    (ours,) = to_arrays(path, convert=True)
    try:
        theirs = load_image_as_tensor(str(path)).permute(1, 2, 0).numpy()
    except RuntimeError:
        assert name.startswith(("TIFF", "BMP", "ICO", "AVIF", "animated"))
        return
    same = theirs.shape == ours.shape and np.array_equal(theirs, ours)
    turned = {f"WEBP of {n}" for n in range(2, 9)}
    assert same == (name not in {*turned, "PNG, I;16", "GIF, transparent"})


def test_a_list_of_all_kinds(both, tmp_path):
    row, theirs, ours = both
    path = tmp_path / "image"
    path.write_bytes(FILES["JPEG of 6"])
    images = [RGB, PIL_RGB, path, torch.from_numpy(OTHER), FILES["PNG of 3"], OTHER.transpose(2, 0, 1), str(path)]
    upright = load_image(str(path))
    known = [RGB, PIL_RGB, upright, OTHER, Image.fromarray(RGB[::-1, ::-1]), OTHER, upright]
    assert_equal(ours(images).pixel_values, theirs(known, return_tensors="np")["pixel_values"], row)
