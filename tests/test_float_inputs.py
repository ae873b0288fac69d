"""Float images in [0, 1] with ``do_rescale=False``: transformers' bits, or a refusal that says what to pass instead."""

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st

from models.config import to_steps
from models.families import FAMILIES
from runtime import InputError, Plan, Preprocessor, UnsupportedConfig, load
from runtime.floats import takes_floats
from runtime.ops import CenterCrop, Interpolate, Normalize, Rescale, Resize
from runtime.ops.size import Size

from .families import NEEDED, SMALLER, grouped, threads
from .helpers import INSTALLED_ORDER, assert_equal, make_plan, write_artifacts
from .test_input_kinds import FILES, HEIGHT, PIL_RGB, PROCESSORS, RGB, SMALL, WIDTH, made, outcome, trace


@pytest.fixture(scope="module", params=PROCESSORS)
def every(request, tmp_path_factory):
    return made(request.param, tmp_path_factory.mktemp("config"))


@pytest.fixture(scope="module", params=["converts", "does not"])
def pillow(request, tmp_path_factory):
    """The classes that resize floats by way of uint8."""
    return made(request.param, tmp_path_factory.mktemp("config"))


VIT = Plan(
    (
        Resize(Size(height=9, width=8), "bilinear", INSTALLED_ORDER),
        Rescale(1 / 255),
        Normalize((0.5,) * 3, (0.5,) * 3),
    ),
    INSTALLED_ORDER,
)


def floats(seed=0, dtype=np.float32, height=HEIGHT, width=WIDTH, channels=3):
    rng = np.random.default_rng(seed)
    values = rng.random((height, width, channels))
    values.flat[::7] = rng.integers(0, 256, values.flat[::7].shape) / 255
    # Just below a level, which the rounding to float32 before the cut gives.
    values.flat[1::7] = (rng.integers(1, 256, values.flat[1::7].shape) - 1e-9) / 255
    return values.astype(dtype)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("channels_first", [True, False])
def test_floats_in_0_to_1(dtype, channels_first, pillow):
    row, theirs, ours = pillow
    images = [floats(seed, dtype) for seed in range(5)]
    images = [np.moveaxis(image, -1, 0) for image in images] if channels_first else images
    want = theirs(images, return_tensors="np", do_rescale=False)["pixel_values"]
    for given_images in (images, [torch.from_numpy(image) for image in images], np.stack(images)):
        assert_equal(ours(given_images, do_rescale=False).pixel_values, want, row)


@given(
    value=st.floats(0, 1, width=32),
    step=st.floats(0, 1, width=32),
    height=st.integers(2, 40),
    width=st.integers(2, 40),
)
def test_floats_of_any_value(value, step, height, width):
    theirs = transformers.ViTImageProcessorPil(size={"height": 9, "width": 8})
    image = np.full((height, width, 3), value, np.float32)
    image[::2, 1::2] = step
    want, _ = outcome(lambda: theirs(image, return_tensors="np", do_rescale=False, input_data_format="channels_last"))
    got, error = outcome(lambda: Preprocessor(VIT, "pil")(image, do_rescale=False, input_data_format="channels_last"))
    if got is None:
        assert "all 0 or 1" in str(error)
        assert {value, step} == {0.0, 1.0} or max(value, step) < 1e-7 or {round(value, 6), round(step, 6)} == {0, 1}
    else:
        assert_equal(got, want, f"{value}, {step}")


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_images_of_one_value(value, pillow):
    _, theirs, ours = pillow
    image = np.full((HEIGHT, WIDTH, 3), value, np.float32)
    image[..., 1] = 0  # a channel of its own
    want = theirs(image, return_tensors="np", do_rescale=False)["pixel_values"]
    assert_equal(ours(image, do_rescale=False).pixel_values, want, str(value))


def test_zeros_and_ones_are_refused(pillow):
    # transformers takes them for levels 0 and 1, and rounds to these.
    _, theirs, ours = pillow
    image = (RGB > 100).astype(np.float32)
    for near in (image, image.astype(bool), np.maximum(image.astype(np.float64), 1e-9)):
        with pytest.raises(InputError, match=r"do_rescale=False: (these values are all 0 or 1, .* pass|.* got bool)"):
            ours(near, do_rescale=False)
    taken = theirs(image, return_tensors="np", do_rescale=False)["pixel_values"]
    assert len(np.unique(taken[0, 0])) == 2
    assert len(np.unique(ours((image * 255).astype(np.uint8)).pixel_values[0, 0])) > 2


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_images_of_one_value_are_refused_without_normalization(value, tmp_path):
    # transformers gives uint8 for these, and floats for all others.
    theirs = transformers.ViTImageProcessorPil(**SMALL, do_normalize=False)
    ours = Preprocessor(trace("ViT", {**SMALL, "do_normalize": False}, tmp_path), "pil")
    image = np.full((HEIGHT, WIDTH, 3), value, np.float32)
    assert theirs(image, return_tensors="np", do_rescale=False)["pixel_values"].dtype == np.uint8
    with pytest.raises(InputError, match="all 0 or 1"):
        ours(image, do_rescale=False)
    want = theirs(floats(), return_tensors="np", do_rescale=False)["pixel_values"]
    assert_equal(ours(floats(), do_rescale=False).pixel_values, want, "others")


def test_floats_with_transparency_and_gray(pillow):
    row, theirs, ours = pillow
    for channels in (1, 4):
        image = floats(3, channels=channels)
        want, _ = outcome(lambda: theirs(image, return_tensors="np", do_rescale=False))  # noqa: B023
        got, _ = outcome(lambda: ours(image, do_rescale=False))  # noqa: B023
        assert (want is None) == (got is None) == (row == "does not")
        if want is not None:
            assert_equal(got, want, f"{channels} channels")


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (floats() * 255, r"expected values in \[0, 1\]; pass levels of 0 to 255 as uint8"),
        (floats() - 0.5, r"expected values in \[0, 1\]"),
        (np.full((5, 6, 3), np.nan, np.float32), r"expected values in \[0, 1\]"),
        (np.full((5, 6, 3), np.inf, np.float32), r"expected values in \[0, 1\]"),
        (RGB, r"expected floats in \[0, 1\], got uint8"),
        (torch.from_numpy(RGB), r"expected floats in \[0, 1\], got uint8"),
        (RGB.astype(np.int64), r"expected floats in \[0, 1\], got int64"),
        (torch.rand(3, 5, 6).bfloat16(), r"expected floats in \[0, 1\], got bfloat16"),
        (PIL_RGB, r"expected floats in \[0, 1\], got a PIL image; leave out do_rescale"),
        (FILES["BMP"], r"expected floats in \[0, 1\], got an encoded image; leave out do_rescale"),
    ],
    ids=range(10),
)
def test_what_is_no_float_in_0_to_1(image, message, pillow):
    _, _, ours = pillow
    with pytest.raises(InputError, match=f"^do_rescale=False: {message}"):
        ours(image, do_rescale=False)
    with pytest.raises(InputError, match=f"^image 1: do_rescale=False: {message}"):
        ours([floats(), image], do_rescale=False)


def test_floats_without_do_rescale_are_told_of_it(every):
    with pytest.raises(InputError, match=r"got float32: pass floats in \[0, 1\] with do_rescale=False"):
        every[2](floats())


def test_do_rescale_as_the_plan_has_it(every, tmp_path):
    _, theirs, ours = every
    assert_equal(ours(RGB, do_rescale=True).pixel_values, ours(RGB).pixel_values, "True")
    _, family, config, reference = PROCESSORS[every[0]]
    plan = trace(family, {**config, "do_rescale": False}, tmp_path, reference=reference)
    levels = Preprocessor(plan, "pil")
    want = theirs(RGB, return_tensors="np", do_rescale=False)["pixel_values"]
    for do_rescale in (None, False):
        assert_equal(levels(RGB, do_rescale=do_rescale).pixel_values, want, str(do_rescale))
    with pytest.raises(InputError, match="do_rescale=True: this Plan does not rescale"):
        levels(RGB, do_rescale=True)
    with pytest.raises(InputError, match="got float32"):
        levels(floats(), do_rescale=False)


RESIZE = Resize(Size(height=9, width=8), "bilinear", "pillow13")


@pytest.mark.parametrize(
    "steps",
    [
        (Rescale(1 / 255),),
        (Rescale(1 / 255), Interpolate(Size(height=9, width=8), "bilinear", False)),
        (CenterCrop(5, 5), RESIZE, Rescale(1 / 255)),
        (RESIZE, RESIZE, Rescale(1 / 255)),
        (RESIZE, Rescale(1 / 127.5)),
        (RESIZE, Rescale(1 / 255, 1.0)),
        (Resize(Size(height=9, width=8), "bilinear", "pillow12.1", "torchvision"), Rescale(1 / 255)),
    ],
    ids=str,
)
def test_plans_that_take_no_floats(steps):
    with pytest.raises(InputError, match="do_rescale=False: only a Plan that resizes with Pillow first and rescales"):
        Preprocessor(make_plan(*steps), "pil")(floats(), do_rescale=False)


def families_with_floats():
    for name, family in FAMILIES.items():
        if not family.has_pil:
            continue
        try:
            plan = Plan(to_steps(family, {**NEEDED.get(name, {})}, {}, INSTALLED_ORDER), INSTALLED_ORDER)
        except (UnsupportedConfig, ValueError):
            continue
        if takes_floats(plan):
            yield name


@pytest.mark.parametrize("name", list(families_with_floats()))
def test_floats_in_every_family(name, tmp_path):
    config = {**NEEDED.get(name, {}), **SMALLER.get(name, {})}
    plan = trace(name, config, tmp_path)
    theirs = getattr(transformers, f"{name}ImageProcessor{'Pil' if FAMILIES[name].has_torchvision else ''}")(**config)
    for height, width in ((61, 90), (90, 61)):
        image = grouped(floats(height, height=height, width=width), plan)
        with threads(1):
            want = theirs(image, return_tensors="np", do_rescale=False)
        want = want if hasattr(want, "keys") else {plan.output: want}  # Idefics gives the bare array
        got = Preprocessor(plan, "pil")(image, do_rescale=False)
        for key in got:
            assert_equal(got[key], want[key], f"{name}: {key}")


@pytest.mark.parametrize("backend", ["pil", "numba", "torch", "torchscript", "onnx"])
def test_every_backend_takes_floats(backend, tmp_path):
    want = Preprocessor(VIT, "pil")(floats(), do_rescale=False).pixel_values
    pre = load(write_artifacts(VIT, tmp_path)[backend], backend)
    assert_equal(pre(floats(), do_rescale=False).pixel_values, want, backend)
