"""Families under reference torchvision, and the keys that all of them read."""

import pytest
import transformers

import exporter
from models.families import FAMILIES

from .families import check, config

WITH_BOTH = [name for name, family in FAMILIES.items() if family.has_pil and family.has_torchvision]


@pytest.mark.parametrize("name", WITH_BOTH)
def test_reference_torchvision(name, tmp_path):
    # Smaller images reach the padding of the crop; torch's own kernel fails on a side of one pixel.
    check_torchvision(name, tmp_path, ((480, 640), (131, 97), (31, 33), (40, 800)))


@pytest.mark.slow
@pytest.mark.parametrize("name", WITH_BOTH)
def test_reference_torchvision_at_more_sizes(name, tmp_path):
    check_torchvision(name, tmp_path, ((640, 480), (97, 131), (221, 224), (1080, 810), (800, 40), (2000, 1500)))


def check_torchvision(name, tmp_path, sizes):
    processor = getattr(transformers, f"{name}ImageProcessor")(**config(name))
    processor.save_pretrained(tmp_path)
    plan = exporter.trace(tmp_path, reference="torchvision")
    check(processor, plan, sizes, name)


@pytest.mark.parametrize(
    "overrides",
    [
        {"size": 40, "crop_size": {"height": 47, "width": 39}},
        {"size": {"height": 33, "width": 47}, "resample": 1, "crop_size": 40},
        {"do_resize": False, "crop_size": {"height": 100, "width": 122}},
        {"do_normalize": False, "rescale_factor": 0.0078},
        {"do_rescale": False},
        {"rescale_factor": 1 / 127.5, "image_mean": [0.1, 0.2, 0.3], "image_std": [0.3, 0.2, 0.1]},
    ],
    ids=str,
)
def test_options_under_reference_torchvision(overrides, tmp_path):
    processor = transformers.CLIPImageProcessor(**overrides)
    processor.save_pretrained(tmp_path)
    plan = exporter.trace(tmp_path, reference="torchvision")
    check(processor, plan, ((97, 131), (131, 97), (60, 60), (45, 300)), "CLIP")


@pytest.mark.parametrize(
    "overrides",
    [
        {"size": {"shortest_edge": 50}},
        {"size": {"shortest_edge": 50, "longest_edge": 70}, "resample": 1},
        {"size": {"max_height": 50, "max_width": 40}, "resample": 4},
        {"size": {"height": 33, "width": 47}, "resample": 5},
        {"size": {"height": 33, "width": 47}, "resample": 0, "do_center_crop": True, "crop_size": 40},
        {"do_resize": False, "do_center_crop": True, "crop_size": {"height": 90, "width": 121}},
        {"do_resize": False, "do_center_crop": False},
        {"do_rescale": False},
        {"do_normalize": False},
        {"do_rescale": False, "do_normalize": False},
        {"rescale_factor": 1 / 127.5, "image_mean": 0.25, "image_std": [0.1, 0.2, 0.3]},
        {"size": {"height": 20, "width": 30}, "do_center_crop": False, "do_pad": True, "pad_size": 64},
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["CLIP", "ViT", "EfficientNet"])
def test_options_of_the_shared_pipeline(name, overrides, tmp_path):
    processor = getattr(transformers, f"{name}ImageProcessorPil")(**overrides)
    processor.save_pretrained(tmp_path)
    plan = exporter.trace(tmp_path)
    check(processor, plan, ((97, 131), (131, 97), (60, 60), (45, 300)), name)
