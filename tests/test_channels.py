"""Grayscale and RGBA images: Plans for 1 and 4 channels."""

import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers import ViTImageProcessorPil

import exporter
import runtime
from exporter.cli import main
from runtime import InputError, UnsupportedConfig
from runtime.ops import CenterCrop, ConvertRGB, FlipChannels, Normalize, Pad, Rescale
from runtime.ops.alpha import premultiplied, straight
from runtime.ops.resize import FILTERS, Resize
from runtime.ops.size import Size
from runtime.plan import Plan

from .helpers import INSTALLED_ORDER, assert_equal, assert_everywhere, first, make_plan, noise, sides

MODES = {1: "L", 4: "RGBA"}


def picture(height, width, channels, seed=0):
    """Noise; of RGBA a third is all clear or all opaque."""
    image = noise(height, width, seed, channels)
    if channels == 4:
        generator = np.random.default_rng((height, width, seed))
        extreme = generator.choice([0, 255], (height, width))
        image[..., 3] = np.where(generator.random((height, width)) < 0.3, extreme, image[..., 3])
    return image


def as_pil(image):
    return Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)


def resized(image, height, width, filter, **more):
    """Pillow itself, which multiplies colours with their opacity meanwhile."""
    assert as_pil(image).mode == MODES[image.shape[2]]
    result = np.asarray(as_pil(image).resize((width, height), FILTERS[filter], **more))
    return result.reshape(height, width, -1)


def step(filter, height, width, **more):
    return Resize(Size(height=height, width=width), filter, INSTALLED_ORDER, **more)


@pytest.mark.parametrize("channels", MODES)
@pytest.mark.parametrize("filter", FILTERS)
@settings(max_examples=25)
@given(height=sides(150), width=sides(150))
def test_equals_pillow_at_any_size(channels, filter, height, width):
    image = picture(height, width, channels)
    plan = make_plan(step(filter, 19, 26), channels=channels)
    assert_everywhere(plan, image, first(resized(image, 19, 26, filter)))


@pytest.mark.parametrize("channels", MODES)
@pytest.mark.parametrize("before", [(8, 8), (8, 9), (90, 8), (8, 90), (300, 200)])
def test_one_pass_or_none(channels, before):
    """An image that has the size already keeps its pixels, those that transparency would change too."""
    image = picture(*before, channels)
    assert_everywhere(
        make_plan(step("bicubic", 8, 8), channels=channels), image, first(resized(image, 8, 8, "bicubic"))
    )


@pytest.mark.parametrize("channels", MODES)
def test_reducing_gap(channels):
    for before in ((300, 200), (97, 401), (12, 12)):
        image = picture(*before, channels)
        plan = make_plan(step("bicubic", 12, 12, reducing_gap=2.0), channels=channels)
        assert_everywhere(plan, image, first(resized(image, 12, 12, "bicubic", reducing_gap=2.0)))


@pytest.mark.parametrize("channels", MODES)
@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
@pytest.mark.parametrize("before", [(40, 61), (61, 40), (9, 9), (24, 24)])
def test_all_steps(channels, layout, before):
    numbers = [0.5, 0.25, 0.125, 0.375]
    normalize = Normalize(tuple(numbers[:channels]), tuple(reversed(numbers[4 - channels :])))
    shortest = Resize(Size(shortest_edge=24), "lanczos", INSTALLED_ORDER)
    steps = (shortest, CenterCrop(20, 28), Rescale(1 / 255), normalize, Pad(Size(height=30, width=30), (1.5,)))
    images = np.stack([picture(*before, channels, seed) for seed in range(2)])
    assert_everywhere(make_plan(*steps, channels=channels, layout=layout), images)
    assert_everywhere(make_plan(CenterCrop(20, 28), channels=channels), images)


def test_torchvisions_channels_are_alike():
    """No transparency there: four channels give what each gives alone."""
    image = picture(40, 50, 4)
    resize = Resize(Size(height=13, width=17), "bicubic", "pillow12.1", "torchvision")
    alone = [resize.reference(image[..., i : i + 1]) for i in range(4)]
    assert_everywhere(make_plan(resize, channels=4), image, first(np.concatenate(alone, axis=-1)))


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_opacity_is_pillows(seed):
    image = picture(64, 64, 4, seed)
    pillow = as_pil(image).convert("RGBa")
    assert_equal(premultiplied(image), np.asarray(pillow), "RGBa")
    assert_equal(straight(np.asarray(pillow)), np.asarray(pillow.convert("RGBA")), "RGBA")


def test_every_opacity_and_colour():
    colour, alpha = (values.astype(np.uint8) for values in np.mgrid[:256, :256])
    image = np.stack([colour, colour, colour, alpha], axis=-1)
    for mode, got in (("RGBa", premultiplied(image)),):
        assert_equal(got, np.asarray(Image.fromarray(image).convert(mode)), mode)
    raw = Image.frombytes("RGBa", (256, 256), image.tobytes())  # colours above their opacity too
    assert_equal(straight(image), np.asarray(raw.convert("RGBA")), "RGBA")


@pytest.fixture
def gray(tmp_path):
    config = {"image_processor_type": "ViTImageProcessor", "size": 20, "image_mean": [0.4], "image_std": [0.3]}
    (tmp_path / "gray.json").write_text(json.dumps(config))
    return tmp_path / "gray.json"


@pytest.mark.parametrize("given_as", ["pil", "hwc", "chw", "batch"])
def test_grayscale_equals_transformers(gray, given_as):
    plan = exporter.trace(gray, channels=1)
    exporter.to_onnx(plan, gray.parent / "gray.onnx")
    image = picture(31, 45, 1)
    forms = {"pil": as_pil(image), "hwc": image, "chw": image.transpose(2, 0, 1), "batch": image[None]}
    reference = ViTImageProcessorPil(size=20, image_mean=[0.4], image_std=[0.3])
    expected = reference(image.transpose(2, 0, 1), return_tensors="np", input_data_format="channels_first")
    for backend in ("pil", "onnx", "torch", "numba"):
        got = runtime.load(gray.parent / "gray.onnx", backend)(forms[given_as]).pixel_values
        assert_equal(got, expected["pixel_values"], backend)


def test_one_number_stands_for_all_channels(gray):
    plan = exporter.trace(gray, channels=4, image_mean=0.5, image_std=[0.1, 0.2, 0.3, 0.4])
    assert plan.steps[-1] == Normalize((0.5,) * 4, (0.1, 0.2, 0.3, 0.4))


@pytest.mark.parametrize(("channels", "mode"), MODES.items())
def test_files_are_converted(gray, channels, mode):
    exporter.to_onnx(exporter.trace(gray, channels=channels, image_mean=0.5, image_std=0.5), gray.parent / "a.onnx")
    file = io.BytesIO()
    photo = Image.fromarray(noise(30, 40))
    photo.save(file, "PNG")
    loaded = runtime.load(gray.parent / "a.onnx", "onnx")
    assert_equal(loaded(file.getvalue()).pixel_values, loaded(photo.convert(mode)).pixel_values, mode)


@pytest.mark.parametrize("channels", MODES)
@pytest.mark.parametrize("image", [noise(20, 30), Image.fromarray(noise(20, 30)), noise(20, 30)[..., :2]])
def test_other_images_are_refused(channels, image):
    exporter_plan = make_plan(CenterCrop(9, 9), channels=channels)
    loaded = runtime.preprocessor.Preprocessor(exporter_plan, "pil")
    with pytest.raises(InputError, match="expected"):
        loaded(image)


@pytest.mark.parametrize("channels", [0, 2, 5, True, 3.0, "3", None])
def test_other_numbers_are_refused(channels):
    with pytest.raises(ValueError, match="channels: expected 1, 3 or 4"):
        Plan((CenterCrop(9, 9),), "pillow13", channels=channels)


@pytest.mark.parametrize("channels", MODES)
@pytest.mark.parametrize("other", [ConvertRGB(), FlipChannels(), Normalize((0.0,) * 3, (1.0,) * 3)])
def test_steps_for_rgb_are_refused(channels, other):
    with pytest.raises(ValueError, match=f"Plan is for {channels}"):
        make_plan(other, channels=channels)


def test_means_and_stds_pair_up():
    with pytest.raises(ValueError, match="mean and std: expected as many of each"):
        Normalize((0.0,), (1.0, 1.0, 1.0))


def test_command(gray, capsys):
    path = gray.parent / "gray.onnx"
    assert main([str(gray), "--channels", "1", "-o", str(path)]) == 0
    assert runtime.load(path).plan.channels == 1
    assert main(["verify", str(path)]) == 0
    assert main([str(gray), "--channels", "2", "-o", str(path)]) == 2
    capsys.readouterr()
    assert main([str(gray), "--channels", "4", "-o", str(path)]) == 2
    assert "image_mean: expected a finite number, or one for each of 4 channels" in capsys.readouterr().err
    with pytest.raises(UnsupportedConfig, match="is for 3 channels, and the Plan is for"):
        exporter.trace("clip-vit-base-patch32", channels=1, image_mean=0.5, image_std=0.5)
