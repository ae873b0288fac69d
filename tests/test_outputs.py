"""What outputs are called, and their dtypes."""

import numpy as np
import pytest

import exporter
from runtime import Preprocessor, UnsupportedConfig

from .helpers import noise

COLOURS = [[0.9, 0.6, 0.4], [-0.6, 0.0, 0.5]]


def trace(tmp_path, name, **options):
    file = tmp_path / "preprocessor_config.json"
    file.write_text(f'{{"image_processor_type": "{name}ImageProcessor"}}')
    return exporter.trace(file, **options)


@pytest.mark.parametrize(
    ("name", "config", "outputs"),
    [
        ("CLIP", {}, ("pixel_values",)),
        ("VideoLlava", {}, ("pixel_values_images",)),
        ("ImageGPT", {"clusters": COLOURS}, ("input_ids",)),
        ("ImageGPT", {"do_color_quantize": False}, ("pixel_values",)),
        ("DeepseekVLHybrid", {}, ("pixel_values", "high_res_pixel_values")),
        ("Flava", {}, ("pixel_values",)),
        ("Flava", {"return_codebook_pixels": True}, ("pixel_values", "codebook_pixel_values")),
    ],
    ids=str,
)
def test_names(name, config, outputs, tmp_path):
    assert trace(tmp_path, name, **config).outputs == outputs


@pytest.mark.parametrize(
    ("name", "config", "dtypes"),
    [
        ("DeepseekVLHybrid", {"size": 20, "high_res_size": 30}, {"pixel_values", "high_res_pixel_values"}),
        ("Flava", {"size": 20, "return_codebook_pixels": True}, {"pixel_values", "codebook_pixel_values"}),
        ("Detr", {"size": {"height": 20, "width": 30}}, {"pixel_values"}),
        ("ImageGPT", {"size": 20, "clusters": COLOURS}, set()),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_dtype_is_that_of_every_image(name, config, dtypes, tmp_path):
    wide, narrow = trace(tmp_path, name, **config), trace(tmp_path, name, dtype="float16", **config)
    want, got = (Preprocessor(plan, "pil")(noise(40, 50)) for plan in (wide, narrow))
    assert set(got) == set(want)
    for output, value in want.items():
        expected = value.astype(np.float16) if output in dtypes else value
        assert got[output].dtype == expected.dtype
        assert np.array_equal(got[output], expected)


@pytest.mark.parametrize("name", ["VideoLlava", "Vivit"])
def test_a_class_without_torchvision(name, tmp_path):
    with pytest.raises(UnsupportedConfig, match=f"no torchvision class for {name}: use pillow"):
        trace(tmp_path, name, reference="torchvision")
    assert trace(tmp_path, name).reference.startswith("pillow")
