"""Outputs as large as the images, which stay lists; and families that take more than one image."""

import json

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

import exporter
from runtime import load

from .families import assert_outputs, threads
from .helpers import noise, write_artifacts

MIXED = [(97, 131), (131, 97), (60, 60), (97, 131)]
ALIKE = [(60, 70), (60, 70)]


def images(sizes):
    return [Image.fromarray(noise(*size, seed)) for seed, size in enumerate(sizes)]


def trace(folder, name, reference, **config):
    file = folder / "preprocessor_config.json"
    file.write_text(json.dumps({"image_processor_type": f"{name}ImageProcessor", **config}))
    return exporter.trace(file, reference=reference)


@pytest.mark.parametrize("sizes", [MIXED, ALIKE], ids=["mixed", "alike"])
def test_original_images_are_a_list(sizes, tmp_path):
    """UVDoc's, in every form that transformers gives."""
    config = {"size": {"height": 60, "width": 50}}
    plan = trace(tmp_path, "UVDoc", "torchvision", **config)
    with threads(2):
        want = transformers.UVDocImageProcessor(**config)(images(sizes), return_tensors="pt")
    assert isinstance(want["original_images"], list)
    for backend, path in write_artifacts(plan, tmp_path).items():
        pre = load(path, backend)
        for form, kind in (("np", np.ndarray), ("pt", torch.Tensor), (None, np.ndarray)):
            got = pre(images(sizes), return_tensors=form)
            assert [type(image) for image in got["original_images"]] == [kind] * len(sizes)
            assert isinstance(got["original_images"], list)
            for image, expected in zip(got["original_images"], want["original_images"], strict=True):
                assert np.array_equal(np.asarray(image), expected.numpy()), backend
            values = {"pixel_values": np.stack([np.asarray(value) for value in got["pixel_values"]])}
            assert_outputs(values, {"pixel_values": want["pixel_values"].numpy()}, plan.bound, backend)


@pytest.mark.parametrize("reference", ["pillow", "torchvision"])
@pytest.mark.parametrize("name", ["EfficientLoFTR", "LightGlue", "SuperGlue"])
def test_pairs_of_mixed_sizes(name, reference, tmp_path):
    config = {"size": {"height": 60, "width": 50}}
    plan = trace(tmp_path, name, reference, **config)
    processor = getattr(transformers, f"{name}ImageProcessor{'Pil' if reference == 'pillow' else ''}")(**config)
    many = images([*MIXED, *ALIKE])
    cases = {"a pair": many[:2], "pairs": [many[:2], many[2:4], many[4:]]}
    path = write_artifacts(plan, tmp_path)["onnx"]
    for backend in ("onnx", "torch", "pil"):
        pre = load(path, backend)
        for what, pairs in cases.items():
            got = pre(pairs)
            assert_outputs(
                got, dict(processor(pairs, return_tensors="np")), 0, f"{name}, {reference}, {backend}, {what}"
            )


@pytest.mark.parametrize("reference", ["pillow", "torchvision"])
def test_the_trimap_is_the_transparency(reference, tmp_path):
    """VitMatte's second input, put into the image by Pillow."""
    plan = trace(tmp_path, "VitMatte", reference)
    assert plan.channels == 4
    processor = getattr(transformers, f"VitMatteImageProcessor{'Pil' if reference == 'pillow' else ''}")()
    image, trimap = images([(60, 70)])[0], Image.fromarray(noise(60, 70, 9)[..., 0])
    want = processor(image, trimaps=trimap, return_tensors="np")
    image.putalpha(trimap)
    for backend, path in write_artifacts(plan, tmp_path).items():
        assert_outputs(load(path, backend)(image), dict(want), 0, f"{reference}, {backend}")
