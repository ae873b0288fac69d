"""InferLayout against transformers' older classes."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from PIL import Image
from transformers import VideoLlavaImageProcessor, VivitImageProcessor
from transformers.image_utils import ChannelDimension, infer_channel_dimension_format

import exporter
from runtime import InputError, Preprocessor
from runtime.ops import InferLayout, Rescale

from ..helpers import assert_equal, make_plan, noise, sides


@given(height=sides(9).filter(lambda side: side > 1), width=sides(9))
@settings(max_examples=60)
def test_reads_as_transformers_does(height, width):
    image = noise(height, width)
    is_first = infer_channel_dimension_format(image) == ChannelDimension.FIRST
    expected = np.moveaxis(image, 0, -1) if is_first else image
    assert is_first == (height == 3)
    assert_equal(InferLayout().reference(image), expected, "reference")


@pytest.mark.parametrize("backend", ["pil", "numba", "torch"])
def test_it_runs_where_images_are_read(backend):
    preprocess = Preprocessor(make_plan(InferLayout(), Rescale(0.5)), backend)
    for height in (2, 3, 4):
        image = noise(height, 7)
        expected = Rescale(0.5).reference(np.moveaxis(image, 0, -1) if height == 3 else image)
        assert_equal(preprocess(Image.fromarray(image))["pixel_values"], np.moveaxis(expected, -1, 0)[None], backend)


@pytest.mark.parametrize("width", [2, 4, 500])
def test_one_row_is_refused(width):
    with pytest.raises(InputError, match=f"an image of 1x{width}: transformers reads its row as its only channel"):
        Preprocessor(make_plan(InferLayout()), "pil")(Image.fromarray(noise(1, width)))


@pytest.mark.parametrize("channels", [1, 4])
def test_other_channels_are_refused(channels):
    with pytest.raises(ValueError, match=f"is for 3 channels, and the Plan is for {channels}"):
        make_plan(InferLayout(), channels=channels)


def test_it_comes_before_what_works_on_pixels():
    with pytest.raises(ValueError, match="infer_layout must come before what works on pixels"):
        make_plan(Rescale(0.5), InferLayout())


OLDER = {"Vivit": VivitImageProcessor, "VideoLlava": VideoLlavaImageProcessor}
ARRAYS = [
    (3, 33, 3), (3, 3, 33), (3, 3, 3), (4, 33, 3), (3, 33, 4), (33, 4, 3), (3, 4, 33), (1, 33, 3), (4, 3, 33),
    (33, 40, 3), (3, 40, 33), (4, 4, 3), (33, 40, 4), (33, 40, 1), (1, 40, 33), (2, 33, 40),
]  # fmt: skip
ROWS = [(3, 33), (4, 33), (30, 3), (1, 33), (3, 3)]


@pytest.mark.parametrize("layout", [None, "channels_first", "channels_last"])
@pytest.mark.parametrize("name", OLDER)
def test_arrays_and_pil_images_as_the_older_classes_read_them(name, layout, tmp_path):
    file = tmp_path / "preprocessor_config.json"
    file.write_text(json.dumps({"image_processor_type": f"{name}ImageProcessor"}))
    plan = exporter.trace(file)
    ours, theirs = Preprocessor(plan, "pil"), OLDER[name]()
    options = {} if layout is None else {"input_data_format": layout}
    images = [noise(*shape[:2], channels=shape[2]) for shape in ARRAYS]
    images += [Image.fromarray(noise(*size)) for size in ROWS]
    compared = 0
    for image in images:
        given = [image] if plan.group else image
        what = f"{name}, {layout}, {getattr(image, 'shape', image)}"
        try:
            want = np.asarray(theirs(given, return_tensors="np", **options)[plan.output])
        except Exception:  # transformers raises about anything
            with pytest.raises(InputError):
                ours(given, **options)
            continue
        if isinstance(image, Image.Image) and layout == "channels_first":
            with pytest.raises(InputError, match="'channels_first': a PIL image has its channels last"):
                ours(given, **options)
            continue
        assert_equal(ours(given, **options)[plan.output], want, what)
        compared += 1
    assert compared >= 3
