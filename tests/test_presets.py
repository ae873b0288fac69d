"""Every bundled preset: what it is called, its pixels, and its files."""

import numpy as np
import pytest
import transformers
from PIL import Image

import exporter
from models import sources
from models.families import FAMILIES
from models.presets import PRESETS
from runtime.preprocessor import Preprocessor

from .families import threads
from .helpers import assert_equal, noise


def images(plan):
    """One image, or what the processor takes as one: a pair, or a video of two frames."""
    both = [Image.fromarray(noise(37, 53)), Image.fromarray(noise(61, 29))]
    return both if plan.group == "pair" else [both[0], both[0].transpose(Image.Transpose.ROTATE_180)]


def compare(plan, got, expected, what):
    """The same bits; within the Plan's bound where it is computed in floats."""
    assert set(got) == set(plan.outputs)
    for name, value in got.items():
        wanted = np.asarray(expected[name])
        if plan.bound:
            np.testing.assert_allclose(value, wanted, rtol=0, atol=plan.bound * np.abs(wanted).max(), err_msg=what)
        else:
            assert_equal(value, wanted, f"{what}: {name}")


def test_there_are_presets_of_many_families():
    assert len(PRESETS) >= 40
    assert len({preset.checkpoint for preset in PRESETS.values()}) == len(PRESETS)
    assert len({preset.config["image_processor_type"] for preset in PRESETS.values()}) >= 25


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_named_after_its_checkpoint(name):
    preset = PRESETS[name]
    assert name == preset.name == preset.checkpoint.split("/")[1]
    assert preset.config["image_processor_type"].removesuffix("ImageProcessor") in FAMILIES
    assert sources.find(name) == sources.Source(name, preset.config)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_reads_every_key_and_gives_the_pixels_of_transformers(name):
    plan = exporter.trace(name, strict=True)
    suffix = "Pil" if FAMILIES[plan.family].has_pil and FAMILIES[plan.family].has_torchvision else ""
    processor = getattr(transformers, f"{plan.family}ImageProcessor{suffix}")(**PRESETS[name].config)
    given = images(plan) if plan.group else images(plan)[0]
    with threads(2):
        expected = processor(given, return_tensors="np" if suffix else "pt")
    compare(plan, Preprocessor(plan, "pil")(given), expected, name)


EXPORTED = list(PRESETS)[::8]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in EXPORTED else pytest.mark.slow) for name in PRESETS]
)
def test_a_preset_exports_to_both_formats(name, tmp_path):
    plan = exporter.trace(name)
    exporter.to_onnx(plan, tmp_path / "a.onnx")
    exporter.to_torchscript(plan, tmp_path / "a.pt")
    given = images(plan) if plan.group else images(plan)[0]
    expected = Preprocessor(plan, "pil")(given)
    for file in ("a.onnx", "a.pt"):
        compare(plan, Preprocessor(plan, "auto", path=tmp_path / file)(given), expected, f"{name} {file}")
