"""Cropping to the dark pixels against transformers, in every backend."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import NougatImageProcessor
from transformers.models.nougat.image_processing_pil_nougat import NougatImageProcessorPil

from runtime import InputError, Preprocessor
from runtime.backends.torch import Preprocess
from runtime.lowering import lower, static_size
from runtime.ops import Branch, CenterCrop, CropMargin, ImageSize, Resize
from runtime.ops.size import Size

from ..helpers import assert_equal, assert_everywhere, backends, first, make_plan, noise, sides


def page(height, width, box, ink, paper):
    """A sheet with ink in a box: top, left, height and width as shares of the page."""
    generator = np.random.default_rng((height, width))
    image = generator.integers(*paper, (height, width, 3)).astype(np.uint8)
    top, left = int(box[0] * height), int(box[1] * width)
    rows, columns = max(1, int(box[2] * (height - top))), max(1, int(box[3] * (width - left)))
    image[top : top + rows, left : left + columns] = generator.integers(*ink, (rows, columns, 3))
    return image


def expected(image, pillow):
    """What transformers' class crops, ``[1, 3, h, w]``."""
    planar = np.ascontiguousarray(np.moveaxis(image, -1, 0))
    if pillow:
        return NougatImageProcessorPil().crop_margin(planar)[None]
    return NougatImageProcessor().crop_margin(torch.from_numpy(planar)).numpy()[None]


share = st.floats(0, 1)
levels = st.tuples(st.integers(0, 254), st.integers(1, 60)).map(lambda pair: (pair[0], min(256, sum(pair))))


@pytest.mark.parametrize("pillow", [True, False])
@given(height=sides(50), width=sides(50), box=st.tuples(share, share, share, share), ink=levels, paper=levels)
@settings(max_examples=80)
def test_every_backend_equals_transformers(pillow, height, width, box, ink, paper):
    image = page(height, width, box, ink, paper)
    assert_everywhere(make_plan(CropMargin(pillow)), image, expected(image, pillow))


@pytest.mark.parametrize("pillow", [True, False])
@pytest.mark.parametrize("level", [0, 100, 255])
def test_an_image_of_one_level_stays_as_it_is(level, pillow):
    image = np.full((5, 7, 3), level, np.uint8)
    assert_everywhere(make_plan(CropMargin(pillow)), image, first(image))


@pytest.mark.parametrize("pillow", [True, False])
def test_levels_next_to_the_threshold(pillow):
    """Every pair of a darkest and a lightest level, and between them each level that may be dark or not."""
    plan = make_plan(CropMargin(pillow))
    for low, high in ((0, 255), (0, 51), (13, 250), (17, 18), (100, 164), (3, 254), (0, 102)):
        for level in range(low, high + 1):
            image = np.full((3, 5, 3), high, np.uint8)
            image[1, 1], image[1, 3] = low, level
            assert_equal(first(plan.steps[0].reference(image)), expected(image, pillow), f"{low} {level} {high}")
            if abs((level - low) / (high - low) * 255 - 200) < 3:
                assert_everywhere(plan, image, expected(image, pillow))


def test_colours_weigh_as_in_pillow():
    generator = np.random.default_rng(0)
    for _ in range(20):
        image = np.full((9, 9, 3), 255, np.uint8)
        image[tuple(generator.integers(0, 9, (2, 6)))] = generator.integers(0, 256, (6, 3))
        for pillow in (True, False):
            assert_everywhere(make_plan(CropMargin(pillow)), image, expected(image, pillow))


PLAN = make_plan(
    CropMargin(True), ImageSize("cropped"), Resize(Size(max_height=20, max_width=30), "bicubic", "pillow13"),
    CenterCrop(20, 30),
)  # fmt: skip
PAGES = [page(40, 50, (0.2, 0.3, s, 0.5), (0, 9), (250, 256)) for s in (0.3, 0.6, 0.9)]


def test_images_of_one_size_are_cropped_each_on_its_own():
    images = np.stack(PAGES)
    singles = [backends(PLAN)["pil"](image[None]) for image in PAGES]
    assert len({tuple(single["cropped"][0]) for single in singles}) == 3
    want = {key: np.concatenate([single[key] for single in singles]) for key in singles[0]}
    assert_everywhere(PLAN, images, want)
    assert_equal(Preprocessor(PLAN, "torch")(PAGES).cropped, want["cropped"], "Preprocessor")


def test_compiled():
    torch._dynamo.reset()
    compiled = torch.compile(Preprocess(PLAN), fullgraph=True)
    for image in (*PAGES, noise(31, 33), PAGES[0][:, ::-1].copy()):
        got = compiled(torch.from_numpy(image[None]).permute(0, 3, 1, 2))
        for name, value in backends(PLAN)["pil"](image[None]).items():
            assert_equal(got[name].numpy(), value, name)


def test_sizes_behind_it_are_not_known():
    assert static_size(lower((CropMargin(True),)), 5, 6) == (None, None)
    assert static_size(lower((CropMargin(True), CenterCrop(3, 4)))) == (3, 4)
    # A page of which a narrow column is left: no size rule can be checked before the pixels are seen.
    narrow = page(300, 300, (0, 0.5, 1, 0), (0, 9), (250, 256))
    plan = make_plan(CropMargin(True), Resize(Size(max_height=20, max_width=20), "box", "pillow13"))
    for backend in ("pil", "torch"):
        with pytest.raises(InputError, match=r"resized to 20x0|the size rule leaves no pixel"):
            Preprocessor(plan, backend)(narrow)


def test_inside_a_branch():
    plan = make_plan(Branch("cropped", (CropMargin(True), CenterCrop(4, 4))))
    want = first(*(CenterCrop(4, 4).reference(CropMargin(True).reference(image)) for image in PAGES))
    assert_everywhere(plan, np.stack(PAGES), {"cropped": want})
