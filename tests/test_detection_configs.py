"""Configs of detectors and segmenters that are refused, and what only one of OWLv2's classes takes."""

import json

import pytest
import transformers

import exporter
from runtime import UnsupportedConfig

from .families import check

CROP = {"do_center_crop": True, "crop_size": None}
REFUSED = [
    ("Detr", "pillow", {"size": {"shortest_edge": 800}}, "size: expected one of the key sets {height, width}, "),
    ("Detr", "pillow", {"size": {"longest_edge": 800}}, "size: expected one of the key sets "),
    ("Detr", "pillow", {"size": 800, "max_size": None}, "size: expected one of the key sets "),
    ("Detr", "pillow", {"pad_size": {"shortest_edge": 9}}, "pad_size: expected height and width"),
    ("Detr", "pillow", CROP, "crop_size: expected a size, for do_center_crop is on"),
    ("Yolos", "torchvision", {"size": {"shortest_edge": 800}}, "size: expected one of the key sets "),
    ("RTDetr", "pillow", {"size": 640}, "size: expected an integer, .*, got 640"),
    ("Mask2Former", "pillow", {"size": 800}, "size: expected one of the key sets "),
    ("Mask2Former", "pillow", {"size_divisor": -1}, "size_divisor: expected an integer from 0 to 65535, got -1"),
    ("MaskFormer", "torchvision", {"size_divisor": None}, "size_divisor: expected an integer from 0 to 65535"),
    ("OneFormer", "pillow", CROP, "crop_size: expected a size"),
    ("Vilt", "pillow", {"size": {"height": 9, "width": 9}}, "size: expected one of the key sets {shortest_edge}, "),
    ("Vilt", "pillow", {"size_divisor": 0}, "size_divisor: expected an integer from 1 to 65535, got 0"),
    ("Vilt", "torchvision", CROP, "crop_size: expected a size"),
    ("BridgeTower", "pillow", {"crop_size": 288}, "crop_size: expected .*{shortest_edge}"),
    ("Segformer", "pillow", CROP, "crop_size: expected a size"),
    ("SegGpt", "pillow", CROP, "crop_size: expected a size"),
    ("Sam", "pillow", {"size": {"height": 9, "width": 9}}, "size: expected one of the key sets {longest_edge}, "),
    ("Sam", "pillow", {"mask_size": "9"}, "mask_size: expected an integer, "),
    ("Sam2", "torchvision", {"mask_size": [9]}, "mask_size: expected an integer, "),
    ("Sapiens2", "torchvision", {"do_pad": True, "size": {"shortest_edge": 9}}, "size: expected height and width"),
    ("RfDetr", "torchvision", {"rescale_factor": 1}, "rescale_factor: expected a float, "),
    ("RfDetr", "torchvision", {"do_rescale": False}, "do_rescale: expected true, for torch does not normalize uint8"),
    ("RfDetr", "torchvision", {"resample": 0}, "filter: expected one of bilinear, bicubic, got 'nearest'"),
    ("Owlv2", "pillow", {"do_rescale": False}, "do_rescale: expected true, for the blur of uint8 is not supported"),
    ("Owlv2", "pillow", {"rescale": False}, "do_rescale: expected true, "),
    ("Owlv2", "pillow", {"size": 3}, "size: expected height and width of at least 4 pixels, got 3x3"),
    ("Owlv2", "torchvision", {"rescale_factor": 1}, "rescale_factor: expected a float, "),
    ("Owlv2", "torchvision", {"do_pad": False}, "do_pad: expected true, for torchvision's blur"),
    ("Owlv2", "torchvision", {"do_resize": False}, "do_resize: expected true, without which transformers' torchvision"),
]


def traced(folder, name, config, reference):
    file = folder / "preprocessor_config.json"
    file.write_text(json.dumps({"image_processor_type": f"{name}ImageProcessor", **config}))
    return exporter.trace(file, reference=reference)


@pytest.mark.parametrize(("name", "reference", "config", "message"), REFUSED, ids=str)
def test_a_refusal_names_the_key(name, reference, config, message, tmp_path):
    with pytest.raises(UnsupportedConfig, match=f"^{message}"):
        traced(tmp_path, name, config, reference)


@pytest.mark.parametrize(
    "config", [{"do_resize": False}, {"do_pad": False, "size": 50}, {"rescale": True, "size": 50}], ids=str
)
def test_what_only_owlv2s_pil_class_takes(config, tmp_path):
    processor = transformers.Owlv2ImageProcessorPil(**config)
    sizes = ((97, 131), (131, 97), (60, 60), (45, 300))
    assert check(processor, traced(tmp_path, "Owlv2", config, "pillow"), sizes, f"Owlv2 {config}") == 4


def test_float16_is_padded_after_the_cast(tmp_path):
    file = tmp_path / "preprocessor_config.json"
    file.write_text('{"image_processor_type": "DetrImageProcessor"}')
    steps = exporter.trace(file, dtype="float16").steps
    assert [str(step) for step in steps[-2:]] == ["cast to float16", str(exporter.trace(file).steps[-1])]
