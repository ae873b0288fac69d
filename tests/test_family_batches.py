"""Lists of images of mixed sizes, padded to the largest of them as transformers pads them, masks too."""

import json

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

import exporter
from models.config import output_name, to_steps
from models.families import FAMILIES
from runtime import InputError, Plan, Preprocessor, UnsupportedConfig, load
from runtime.ops import PadToLargest

from .families import assert_outputs, config, grouped, threads
from .helpers import assert_equal, noise, write_artifacts

SIZES = ((97, 131), (131, 97), (97, 131), (40, 110))
"""No image is the largest in both directions, and two are of one size but not neighbours."""


def pads_to_largest(name):
    """Whether the family's defaults do, where a graph can stand for them."""
    family = FAMILIES[name]
    try:
        steps = to_steps(family, {}, {}, "pillow13" if family.has_pil else "torchvision")
    except UnsupportedConfig:
        return False
    return isinstance(steps[-1], PadToLargest)


DEFAULTS = [(name, {}) for name in FAMILIES if pads_to_largest(name)]

OPTIONS = [
    ("CLIP", {"do_center_crop": False, "do_pad": True, "size": {"shortest_edge": 50}}),
    ("RTDetr", {"do_pad": True, "size": {"max_height": 90, "max_width": 70}}),
    ("Detr", {"do_resize": False, "do_rescale": False, "do_normalize": False}),
    ("Sam", {"size": {"longest_edge": 70}, "pad_size": None}),
    ("Mask2Former", {"do_resize": False}),
    ("BridgeTower", {"size": {"shortest_edge": 70}, "do_center_crop": False}),
    ("RfDetr", {"size": {"shortest_edge": 50, "longest_edge": 90}, "resample": 3}),
    ("RfDetr", {"do_rescale": False, "do_normalize": False, "size": {"height": 50, "width": 60}}),
]
"""Keys that make other families pad so, or pad something else, or to something smaller."""


def in_both_references(cases):
    """The cases with each reference that transformers has a class for."""
    return [(n, c, "pillow13") for n, c in cases if FAMILIES[n].has_pil] + [
        (n, c, "torchvision") for n, c in cases if FAMILIES[n].has_torchvision
    ]


def traced(folder, name, config, reference):
    file = folder / "preprocessor_config.json"
    file.write_text(json.dumps({"image_processor_type": f"{name}ImageProcessor", **config}))
    return exporter.trace(file, reference=reference)


def expected_batch(plan, config, images):
    """transformers' tensors for the list."""
    suffix = "Pil" if plan.reference != "torchvision" and FAMILIES[plan.family].has_torchvision else ""
    processor = getattr(transformers, f"{plan.family}ImageProcessor{suffix}")(**config)
    with threads(2):
        outputs = processor(images, return_tensors="pt")
    return {key: value.numpy() for key, value in outputs.items() if hasattr(value, "numpy")}


def mixed_images():
    return [Image.fromarray(noise(*size, seed)) for seed, size in enumerate(SIZES)]


@pytest.mark.parametrize(("name", "config", "reference"), in_both_references(DEFAULTS), ids=str)
def test_a_list_of_images_equals_transformers(name, config, reference, tmp_path):
    plan = traced(tmp_path, name, config, reference)
    want = expected_batch(plan, config, mixed_images())
    assert_outputs(dict(Preprocessor(plan, "pil")(mixed_images())), want, plan.bound, f"{name}, {reference}")


@pytest.mark.parametrize(("name", "config", "reference"), in_both_references(OPTIONS), ids=str)
def test_in_every_backend(name, config, reference, tmp_path):
    plan = traced(tmp_path, name, config, reference)
    assert isinstance(plan.steps[-1], PadToLargest)
    want = expected_batch(plan, config, mixed_images())
    assert want[plan.output].shape[0] == len(SIZES)
    for backend, path in write_artifacts(plan, tmp_path).items():
        got = dict(load(path, backend=backend)(mixed_images()))
        assert_outputs(got, want, plan.bound, f"{name}, {reference}, {backend}")


def plans():
    """The Plan of every family's defaults, by name, that takes mixed sizes in one call."""
    for name, family in FAMILIES.items():
        reference = "pillow13" if family.has_pil else "torchvision"
        try:
            steps = to_steps(family, config(name), {}, reference)
            yield name, Plan(steps, reference, name, output=output_name(family, config(name), {}), group=family.group)
        except (UnsupportedConfig, ValueError):
            continue


PLANS = dict(plans())


QUICK = ("ViT", "Detr", "SuperGlue", "VideoMAE", "UVDoc", "PPOCRV5ServerRec", "DPT", "LayoutLMv2")
"""Of every kind one: of one size, padded, pairs, videos, lists, of a common width, of sizes of their own."""


def refused_forms(pre, rows):
    """What mixed sizes cannot be given as."""
    if pre._runner.of_batch is not None:  # the widest image's width would count
        return ["np", "pt", None]
    mixed = [name for name in pre.output_names if len({np.shape(row[name][0]) for row in rows}) > 1]
    return ["np", "pt"] if set(mixed) - set(pre._runner.padded) - set(pre._runner.lists) else []


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n in QUICK else pytest.mark.slow) for n in PLANS])
def test_every_form_holds_what_single_images_give(name):
    """np, pt and None, of mixed sizes, in the order of the images; padded outputs begin with the single image's."""
    plan = PLANS[name]
    pre = Preprocessor(plan, "pil")
    images = [grouped(image, plan) for image in mixed_images()]
    rows = [pre(image) for image in images]
    refused = refused_forms(pre, rows)
    for form in refused:
        with pytest.raises(InputError, match="these images"):
            pre(images, return_tensors=form)
    forms = {form: pre(images, return_tensors=form) for form in ("np", "pt", None) if form not in refused}
    for form, out in forms.items():
        kind = {"np": np.ndarray, "pt": torch.Tensor, None: list}[form]
        for key in pre.output_names:
            assert isinstance(out[key], list if key in pre._runner.lists else kind), f"{name}, {form}: {key}"
            assert len(out[key]) == len(SIZES)
            for i, row in enumerate(rows):
                got, want = np.asarray(out[key][i]), row[key][0]
                if key in pre._runner.padded:
                    assert not got[..., want.shape[-2] :, :].any()
                    assert not got[..., want.shape[-1] :].any()
                    got = got[..., : want.shape[-2], : want.shape[-1]]
                assert_equal(got, want, f"{name}, {form}: {key} of image {i}")


def test_without_padding_a_list_of_mixed_sizes_is_refused(tmp_path):
    path = tmp_path / "detr.onnx"
    exporter.to_onnx(traced(tmp_path, "Detr", {"do_pad": False}, "pillow13"), path)
    images = [noise(60, 90), noise(90, 60)]
    with pytest.raises(InputError, match="pixel_values: these images give sizes"):
        load(path)(images)
    sizes = [np.shape(image)[1:] for image in load(path)(images, return_tensors=None)["pixel_values"]]
    assert sizes == [(800, 1200), (1200, 800)]
