"""ConvertRGB against transformers: every mode of Pillow, and arrays of one, three and four channels."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from transformers.image_processing_backends import TorchvisionBackend
from transformers.image_transforms import convert_to_rgb
from transformers.image_utils import ChannelDimension

from runtime import InputError, Plan, Preprocessor
from runtime.image import to_arrays
from runtime.ops import ConvertRGB, Rescale

from ..helpers import assert_equal, first, make_plan, noise, write_artifacts


def palette_with_transparency(transparency):
    image = Image.fromarray(noise(9, 11)).quantize(8)
    image.info["transparency"] = transparency
    return image


def rgb_with_transparency():
    image = Image.fromarray(noise(9, 11))
    image.info["transparency"] = image.getpixel((3, 4))
    return image


IMAGES = {
    **{
        mode: Image.fromarray(noise(9, 11, channels=4), "RGBA").convert(mode)
        for mode in ("L", "LA", "1", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "F", "I", "P", "PA", "RGBa")
    },
    "La": Image.fromarray(noise(9, 11, channels=4), "RGBA").convert("LA").convert("La"),
    "I;16": Image.fromarray(np.random.default_rng(0).integers(0, 2**16, (9, 11)).astype(np.uint16)),
    "P, one transparent color": palette_with_transparency(3),
    "P, an alpha a color": palette_with_transparency(bytes(range(0, 256, 32))),
    "L, one transparent level": Image.fromarray(noise(9, 11)[..., 0] // 64),
    "RGB, one transparent color": rgb_with_transparency(),
}
IMAGES["L, one transparent level"].info["transparency"] = 2


@pytest.mark.parametrize("name", IMAGES)
def test_pil_images_equal_transformers(name):
    image = IMAGES[name]
    try:
        expected = convert_to_rgb(image, return_numpy=True)
    except ValueError:  # Pillow has no such conversion
        with pytest.raises(InputError, match="not an image that Pillow can read"):
            to_arrays(image, convert=True)
        assert name == "La"
        return
    assert_equal(np.asarray(ConvertRGB().reference_pil(image)), expected, "reference")
    (converted,) = to_arrays(image, convert=True)
    assert_equal(converted, expected, name)


def test_the_images_are_of_the_modes_named():
    assert {name: image.mode for name, image in IMAGES.items()} == {name: name.split(",")[0] for name in IMAGES}


@pytest.mark.parametrize("channels", [1, 3, 4])
@given(height=st.integers(1, 20), width=st.integers(1, 20), channels_first=st.booleans())
def test_arrays_equal_transformers(channels, height, width, channels_first):
    image = noise(height, width, channels=channels)
    expected = convert_to_rgb(image, return_numpy=True, input_data_format=ChannelDimension.LAST)
    assert_equal(ConvertRGB().reference(image), expected, "reference")
    given_image = np.moveaxis(image, -1, 0) if channels_first else image
    if channels_first or height not in (1, 3, 4):
        (converted,) = to_arrays(given_image, convert=True)
        assert_equal(converted, expected, "to_rgb")


def test_every_alpha_and_value():
    value, alpha = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8))
    image = np.stack([value, value[::-1], value.T, alpha], axis=-1)
    expected = convert_to_rgb(image, return_numpy=True, input_data_format=ChannelDimension.LAST)
    assert_equal(ConvertRGB().reference(image), expected, "reference")


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_arrays_equal_transformers_torchvision_classes(channels):
    value, alpha = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8))
    image = np.stack([value, value[::-1], value.T, alpha], axis=-1)[..., -channels:]
    theirs = TorchvisionBackend.convert_to_rgb(None, torch.from_numpy(image).permute(2, 0, 1), ChannelDimension.FIRST)
    expected = theirs.permute(1, 2, 0).numpy()
    assert_equal(ConvertRGB().reference_torchvision(image), expected, "reference")
    plan = Plan((ConvertRGB(),), reference="torchvision")
    for given_image in (image, torch.from_numpy(image)):
        assert_equal(Preprocessor(plan, "pil")(given_image).pixel_values, first(expected), "call")
    differing = (expected != ConvertRGB().reference(image)).sum()
    assert (differing > 0) == (channels == 4), "Pillow's classes round where torchvision's cut"


def test_transparency_is_white():
    clear = np.zeros((5, 6, 4), np.uint8)
    for image in (clear, Image.fromarray(clear, "RGBA")):
        (converted,) = to_arrays(image, convert=True)
        assert converted.tolist() == np.full((5, 6, 3), 255).tolist()


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory):
    return write_artifacts(make_plan(ConvertRGB(), Rescale(1 / 255)), tmp_path_factory.mktemp("convert"))


@pytest.mark.parametrize("backend", ["pil", "torch", "torchscript", "onnx"])
def test_every_backend_converts(backend, artifacts):
    plan = make_plan(ConvertRGB(), Rescale(1 / 255))
    images = [image for name, image in IMAGES.items() if name != "La"]
    arrays = [noise(9, 11, channels=channels) for channels in (1, 3, 4)]
    converted = [convert_to_rgb(image, return_numpy=True) for image in images + arrays]
    result = Preprocessor(plan, backend, path=artifacts[backend])(images + arrays)
    assert_equal(result.pixel_values, Rescale(1 / 255).reference(first(*converted)), backend)
