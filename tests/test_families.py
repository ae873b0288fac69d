"""Every family of the registry against transformers' PIL class, and every backend against that: bit for bit."""

import functools
import json

import numpy as np
import pytest
import torch
import transformers

import exporter
from exporter.verify import sizes
from models.config import to_steps
from models.families import FAMILIES
from runtime import InputError
from runtime.backends.torch import Preprocess
from runtime.ops import Branch

from .families import NEEDED, SMALLER, assert_outputs, check, config, expected, reference
from .helpers import backends, noise


@pytest.fixture(scope="module", params=FAMILIES)
def family(request, tmp_path_factory):
    """A family's name, transformers' processor, and the Plan of the config that this processor saves."""
    folder = tmp_path_factory.mktemp(request.param)
    processor = reference(request.param)
    processor.save_pretrained(folder)
    return request.param, processor, exporter.trace(folder)


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


@pytest.mark.one_in(4)
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
