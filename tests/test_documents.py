"""What document families refuse, and their text lines in batches."""

import json

import numpy as np
import pytest
import transformers
from PIL import Image

import exporter
from models.families import FAMILIES
from runtime import InputError, UnsupportedConfig, load

from .families import assert_outputs, check, threads
from .helpers import noise, write_artifacts

CROP = {"do_center_crop": True, "crop_size": 40}
OCR, MARGIN = {"apply_ocr": False}, {"do_crop_margin": False}

FAILING = [
    ("LayoutLMv2", "pillow", {**OCR, "do_rescale": True}, "rescale_factor: expected a value, for do_rescale is on"),
    (
        "LayoutLMv2",
        "pillow",
        {**OCR, "do_normalize": True, "image_mean": 0},
        "image_std: expected a value, for do_norma",
    ),
    (
        "LayoutLMv2",
        "torchvision",
        {**OCR, "do_center_crop": True},
        "crop_size: expected a size, for do_center_crop is on",
    ),
    ("LayoutLMv3", "pillow", {**OCR, **CROP}, "do_center_crop: transformers' PIL class fails on it"),
    ("Donut", "pillow", {"size": {"shortest_edge": 50}}, "size: expected height and width"),
    ("Donut", "torchvision", {"size": {"max_height": 50, "max_width": 50}}, "size: expected height and width"),
    ("Donut", "pillow", {"size": 50, "resample": None}, "resample: expected one of"),
    ("Nougat", "pillow", {**MARGIN, "size": {"shortest_edge": 50}}, "size: expected height and width"),
    ("Nougat", "pillow", {**MARGIN, "do_center_crop": True}, "crop_size: expected a size, for do_center_crop is on"),
    ("Nougat", "torchvision", {**MARGIN, "do_align_long_axis": True}, "do_align_long_axis: transformers' torchvision"),
    ("PPFormulaNet", "torchvision", {**MARGIN, "size": [9, 8], "do_align_long_axis": True}, "do_align_long_axis: "),
    ("TextNet", "pillow", {"size": {"height": 50, "width": 50}}, "size: expected one of the key sets {shortest_edge}"),
    ("TextNet", "torchvision", {"size_divisor": 0}, "size_divisor: expected an integer from 1 to 65535, got 0"),
    ("PPDocLayoutV2", "torchvision", {"resample": 1}, r"resample: expected 2 \(bilinear\) or 3 \(bicubic\), got 1"),
    ("PPDocLayoutV3", "torchvision", {"resample": None}, "resample: expected one of"),
    ("PPDocLayoutV4", "torchvision", {"resample": 1}, r"resample: expected 2 \(bilinear\) or 3 \(bicubic\), got 1"),
    ("PPLCNet", "torchvision", {"size_divisor": 0}, "size_divisor: expected an integer from 1 to 65535, got 0"),
    ("PPLCNet", "torchvision", {"resize_short": 0}, "resize_short: expected an integer from 1 to 65535, got 0"),
    (
        "PPOCRV5ServerDet",
        "torchvision",
        {"do_resize": False},
        "do_resize: expected true, for transformers fails without",
    ),
    (
        "PPOCRV5ServerDet",
        "torchvision",
        {"limit_type": "both"},
        "limit_type: expected one of max, min, resize_long, got",
    ),
    (
        "PPOCRV5ServerDet",
        "torchvision",
        {"do_center_crop": True},
        "crop_size: expected a size, for do_center_crop is on",
    ),
    ("PPOCRV5ServerRec", "torchvision", {"max_image_width": None}, "max_image_width: expected an integer from 1 to"),
    ("PPOCRV5ServerRec", "torchvision", {"pad_size": [40, 320]}, "pad_size: expected the height of size, 48, got"),
    ("PPOCRV6SmallRec", "torchvision", {"size": {"shortest_edge": 48}}, "size: expected height and width"),
    ("SLANeXt", "torchvision", {"resample": None}, "resample: expected a filter, for do_resize is on"),
    ("SLANeXt", "torchvision", {"size": {"shortest_edge": 512}}, "size: expected height and width"),
]
"""Keys with which transformers fails too."""

BEYOND = [
    ("LayoutLMv2", "pillow", {}, "apply_ocr: runs Tesseract, which no graph can; set it to false"),
    ("LayoutLMv3", "torchvision", {}, "apply_ocr: runs Tesseract, which no graph can; set it to false"),
    ("PPDocLayoutV2", "torchvision", {"resample": 0}, r"resample: expected 2 \(bilinear\) or 3 \(bicubic\), got 0"),
    ("PPDocLayoutV4", "torchvision", {"rescale_factor": -1.0}, "rescale_factor: expected no number below 0"),
    ("PPOCRV5ServerDet", "torchvision", {"max_side_limit": 0.5}, "max_side_limit: expected an integer from 1 to 65535"),
    ("PPOCRV5ServerRec", "torchvision", {"pad_size": [49, 320]}, "pad_size: expected the height of size, 48, got"),
    ("PPOCRV5ServerRec", "torchvision", CROP, "do_pad: expected false, for do_center_crop is on"),
    (
        "PPOCRV6SmallRec",
        "torchvision",
        {"do_resize": False},
        "do_pad: expected false, for do_center_crop is on or do_re",
    ),
]
"""Keys with which it does what no graph of ours does."""


def processor(name, reference, config):
    suffix = "Pil" if reference != "torchvision" else ""
    return getattr(transformers, f"{name}ImageProcessor{suffix}").from_dict(config)  # as from a file: nulls count


def trace(folder, name, reference, config):
    file = folder / "preprocessor_config.json"
    file.write_text(json.dumps({"image_processor_type": f"{name}ImageProcessor", **config}))
    return exporter.trace(file, reference=reference)


@pytest.mark.parametrize(("name", "reference", "config", "message"), [*FAILING, *BEYOND], ids=str)
def test_refused(name, reference, config, message, tmp_path):
    with pytest.raises(UnsupportedConfig, match=message):
        trace(tmp_path, name, reference, config)


@pytest.mark.parametrize(("name", "reference", "config", "message"), FAILING, ids=str)
def test_transformers_fails_too(name, reference, config, message):
    try:
        processor(name, reference, config)(Image.fromarray(noise(40, 61)), return_tensors="np")
    except Exception:  # of any class
        return
    pytest.fail("transformers takes it")


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("Nougat", {**MARGIN, "size": {"height": 20, "width": 35}, "do_align_long_axis": True}),
        ("Donut", {"size": [60, 90], "resample": 0}),  # a thumbnail of the filter 0 is bicubic
        ("Donut", {"size": [60, 90], "resample": 5}),
    ],
    ids=str,
)
def test_what_only_the_pil_class_takes(name, config, tmp_path):
    plan = trace(tmp_path, name, "pillow", config)
    sizes = ((97, 131), (131, 97), (60, 60), (45, 300))
    assert check(processor(name, "pillow", config), plan, sizes, name) == len(sizes)


LINES = [name for name, family in FAMILIES.items() if "max_image_width" in family.own_keys]


@pytest.fixture(scope="module", params=LINES)
def lines(request, tmp_path_factory):
    """transformers' processor of text lines, and ours in every backend."""
    folder = tmp_path_factory.mktemp(request.param)
    plan = trace(folder, request.param, "torchvision", {})
    loaded = [load(path, backend) for backend, path in write_artifacts(plan, folder).items()]
    return processor(request.param, "torchvision", {}), loaded


@pytest.mark.parametrize("return_tensors", ["np", None])
def test_lines_of_other_widths_are_refused(lines, return_tensors):
    _, loaded = lines
    images = [noise(30, 200), noise(40, 61), noise(30, 200)]
    for run in loaded:
        with pytest.raises(
            InputError, match="would be 74, 320 pixels wide, but transformers stretches all of a batch to"
        ):
            run(images, return_tensors=return_tensors)


def test_lines_of_one_width_may_have_other_sizes(lines):
    transformers_, loaded = lines
    images = [noise(30, 250), noise(60, 500), noise(30, 250, 1), noise(6, 50)]
    with threads(2):
        want = {
            name: np.asarray(value)
            for name, value in transformers_([*map(Image.fromarray, images)], return_tensors="np").items()
        }
    for run in loaded:
        assert_outputs(run(images), want, run.plan.bound, run.backend)
