"""Families of the registry beside transformers' classes: their configs, their outputs, and how both are compared."""

import contextlib

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from models.families import FAMILIES
from runtime import InputError, Preprocessor

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
    with threads(2):
        outputs = processor(*inputs(image, plan), return_tensors="np")
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
