"""Every family of the registry against transformers' PIL class, and every backend against that: bit for bit."""

import contextlib
import functools
import json

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

import exporter
from exporter.verify import sizes
from models.config import to_steps
from models.families import FAMILIES, MODEL_TYPES
from runtime import InputError, Preprocessor
from runtime.backends.torch import Preprocess
from runtime.ops import Branch

from .helpers import assert_equal, backends, noise


def reference(name):
    """transformers' PIL class with its defaults; where there is but one class, that."""
    both = FAMILIES[name].has_pil and FAMILIES[name].has_torchvision
    return getattr(transformers, f"{name}ImageProcessor{'Pil' if both else ''}")(**config(name))


NEEDED = {
    "ImageGPT": {"clusters": np.random.default_rng(0).uniform(-1, 1, (40, 3)).astype(np.float32).tolist()},
    "LayoutLMv2": {"apply_ocr": False},
    "LayoutLMv3": {"apply_ocr": False},
}
"""Keys without which a family is refused."""

SMALLER = {
    "Donut": {"size": {"height": 320, "width": 240}},
    "Nougat": {"size": {"height": 224, "width": 168}},
    "PPFormulaNet": {"size": {"height": 192, "width": 192}},
}
"""Sizes for families whose own take too long: all that follows from them scales alike."""


def config(name):
    """What differs from the defaults in these tests."""
    return {**NEEDED.get(name, {}), **SMALLER.get(name, {})}


def expected(processor, image, plan):
    """transformers' outputs by name, as arrays; of a family that takes groups of images, those of the first image."""
    with threads(2 if plan.bound else 1):
        outputs = processor(*inputs(image, plan), return_tensors="np", **CALLS.get(plan.family, {}))
    # Idefics gives the bare tensor.
    outputs = outputs if hasattr(outputs, "keys") else {plan.output: outputs}
    arrays = {name: np.asarray(value) for name, value in outputs.items()}
    arrays = {name: value for name, value in arrays.items() if value.dtype.kind != "U"}  # OneFormer gives a text too
    return {name: value[0][:1] for name, value in arrays.items()} if plan.group else arrays


def inputs(image, plan):
    """The arguments of transformers' class; the trimap is the fourth channel here, and the second argument there."""
    if image.shape[-1] == 4:
        return Image.fromarray(image[..., :3]), Image.fromarray(image[..., 3])
    return (grouped(Image.fromarray(image), plan),)


def grouped(image, plan):
    """What the family takes in place of one image."""
    return {"": image, "pair": [image, image], "video": [image]}[plan.group]


@contextlib.contextmanager
def threads(number):
    """torch on so many: on one, its bilinear interpolation takes other positions (see ``Interpolate``)."""
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(1)


def assert_outputs(got, want, bound, what):
    """The same names, and under each the same bits; floats within the Plan's bound, where it has one."""
    assert set(got) == set(want), what
    for name, value in want.items():
        if not bound or value.dtype.kind != "f":
            assert_equal(got[name], value, f"{what}: {name}")
            continue
        assert (got[name].dtype, got[name].shape) == (value.dtype, value.shape), f"{what}: {name}"
        error = np.abs(got[name].astype(np.float64) - value).max()
        assert error <= bound * max(1.0, np.abs(value).max()), f"{what}: {name} is {error} off"


CALLS = {}
"""What a family's processor has to be told when it is called."""


@pytest.fixture(scope="module", params=FAMILIES)
def family(request, tmp_path_factory):
    """A family's name, transformers' processor, and the Plan of the config that this processor saves."""
    folder = tmp_path_factory.mktemp(request.param)
    processor = reference(request.param)
    processor.save_pretrained(folder)
    return request.param, processor, exporter.trace(folder)


def check(processor, plan, sizes, what):
    """Every backend gives what the processor does, or refuses what it refuses; how many sizes were not refused."""
    compared = 0
    for height, width in sizes:
        image, got = noise(height, width, channels=plan.channels), {}
        try:
            want = expected(processor, image, plan)
        except Exception:  # transformers raises about anything where an image is too small
            with pytest.raises(InputError):
                Preprocessor(plan, "pil")(grouped(image, plan))
            continue
        for backend, run in backends(plan).items():
            got = run(image[None])
            assert_outputs(got, want, plan.bound, f"{what}, {backend} at {height}x{width}")
        compared += 1
    return compared


def few(plan):
    """The sizes that tell most, and take little time: both orientations, tiny, odd, very wide, and the target."""
    target = sizes(plan)[9]
    few = [(480, 640), (131, 97), (31, 33), (1, 1), (40, 800)]
    return few if target in few or target[0] * target[1] > 600 * 600 else [*few, target]


def test_sizes_in_every_backend(family):
    name, processor, plan = family
    assert check(processor, plan, few(plan), name) > len(few(plan)) / 2


@pytest.mark.slow
def test_every_size_in_every_backend(family):
    name, processor, plan = family
    assert check(processor, plan, sizes(plan), name) > len(sizes(plan)) / 2


@functools.cache
def kinds(name):
    """The kinds of steps of a family: families with the same ones differ in numbers only."""
    steps = to_steps(FAMILIES[name], config(name), {}, "pillow13" if FAMILIES[name].has_pil else "torchvision")
    return tuple(str(step) if isinstance(step, Branch) else type(step).__name__ for step in steps)


FIRST_OF_A_KIND = {
    name for name in FAMILIES if name == next(other for other in FAMILIES if kinds(other) == kinds(name))
}


@pytest.mark.parametrize("family", sorted(FIRST_OF_A_KIND), indirect=True)
def test_compiled_whole(family):
    check_compiled(*family, few(family[-1]))


@pytest.mark.slow
def test_compiled_whole_for_every_size(family):
    check_compiled(*family, sizes(family[-1]))


def check_compiled(name, _, plan, sizes):
    torch._dynamo.reset()
    compiled = torch.compile(Preprocess(plan), fullgraph=True)
    for height, width in sizes:
        image = noise(height, width, channels=plan.channels)
        try:
            want = backends(plan)["pil"](image[None])
        except InputError:
            continue
        got = compiled(torch.from_numpy(image[None]).permute(0, 3, 1, 2))
        got = {key: value.numpy() for key, value in got.items()}
        assert_outputs(got, want, plan.bound, f"{name}, compiled at {height}x{width}")


def test_a_batch_equals_its_images(family):
    name, processor, plan = family
    images = np.stack([noise(97, 131, seed, plan.channels) for seed in range(3)])
    singles = [expected(processor, image, plan) for image in images]
    want = {key: np.concatenate([single[key] for single in singles]) for key in singles[0]}
    for backend, run in backends(plan).items():
        assert_outputs(run(images), want, plan.bound, f"{name}, {backend}")


def test_class_defaults_without_a_config_file(family, tmp_path):
    """The registry's own defaults, not those that save_pretrained wrote out."""
    name, _, plan = family
    file = tmp_path / "preprocessor_config.json"
    file.write_text(json.dumps({"image_processor_type": f"{name}ImageProcessor", **config(name)}))
    assert exporter.trace(file).steps == plan.steps


@pytest.mark.parametrize("name", SMALLER)
def test_defaults_of_families_that_are_tested_smaller(name, tmp_path):
    processor = getattr(transformers, f"{name}ImageProcessor")(**NEEDED.get(name, {}))
    processor.save_pretrained(tmp_path / "saved")
    bare = tmp_path / "preprocessor_config.json"
    bare.write_text(json.dumps({"image_processor_type": f"{name}ImageProcessor", **NEEDED.get(name, {})}))
    assert exporter.trace(bare).steps == exporter.trace(tmp_path / "saved").steps


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


@functools.cache
def auto_mapping():
    from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING_NAMES

    return dict(IMAGE_PROCESSOR_MAPPING_NAMES)


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_model_types_are_those_of_transformers(model_type):
    entry = auto_mapping()[model_type]
    names = set(entry.values()) if isinstance(entry, dict) else set(entry)
    assert f"{MODEL_TYPES[model_type].name}ImageProcessor" in names


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
