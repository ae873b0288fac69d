"""torchvision's uint8 resize without antialiasing: 2 or 4 neighbours, however strong the reduction."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.ops import CenterCrop
from runtime.ops.resize import Resize
from runtime.ops.size import Size

from ..helpers import assert_everywhere, backends, first, make_plan, noise, sides

FILTERS = ["bilinear", "bicubic"]


def step(filter, **size):
    return Resize(Size(**size), filter, "pillow12.1", "torchvision", antialias=False)


def resized(image, height, width, filter):
    """torch itself, channels last, as a decoded image lies."""
    tensor = torch.from_numpy(image).permute(2, 0, 1)[None]
    return F.interpolate(tensor, (height, width), mode=filter, antialias=False)[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize("filter", FILTERS)
@settings(max_examples=80)
@given(height=sides(), width=sides(), new_height=sides(60), new_width=sides(60), batch=st.integers(1, 2))
def test_equals_torch_at_any_size(filter, height, width, new_height, new_width, batch):
    images = np.stack([noise(height, width, seed) for seed in range(batch)])
    expected = first(*(resized(image, new_height, new_width, filter) for image in images))
    assert_everywhere(make_plan(step(filter, height=new_height, width=new_width)), images, expected)


@pytest.mark.parametrize("filter", FILTERS)
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((1, 1), (7, 9)), ((2, 1), (5, 5)), ((3, 4), (3, 4)), ((4, 3), (8, 9)), ((640, 480), (16, 9)),
        ((5, 400), (50, 3)), ((224, 224), (223, 225)), ((64, 64), (32, 128)),
    ],
)  # fmt: skip
def test_equals_torch_at_hard_sizes(filter, before, after):
    image = noise(*before)
    expected = first(resized(image, *after, filter))
    assert_everywhere(make_plan(step(filter, height=after[0], width=after[1])), image, expected)


@pytest.mark.parametrize("filter", FILTERS)
@pytest.mark.parametrize("before", [(60, 40), (40, 60), (9, 9), (300, 31)])
def test_a_crop_fuses(filter, before):
    assert_everywhere(make_plan(step(filter, shortest_edge=20), CenterCrop(24, 18, "torchvision")), noise(*before))


def test_it_differs_from_the_antialiased():
    plain = Resize(Size(height=9, width=9), "bilinear", "pillow12.1", "torchvision")
    image = noise(90, 90)
    assert (plain.reference(image) != step("bilinear", height=9, width=9).reference(image)).mean() > 0.5


@pytest.mark.parametrize("fields", [{"filter": "lanczos"}, {"weights": "pillow"}])
def test_others_cannot_do_without(fields):
    given = {"filter": "bilinear", "weights": "torchvision", **fields}
    with pytest.raises(ValueError, match="antialias: only torchvision's bilinear and bicubic"):
        Resize(Size(height=2, width=2), order="pillow12.1", antialias=False, **given)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(60))
@pytest.mark.parametrize("filter", FILTERS)
def test_sweep(filter, seed):
    generator = np.random.default_rng((60, seed))
    height, width = (int(n) for n in generator.integers(1, 200, 2))
    plan = make_plan(step(filter, height=height, width=width))
    for _ in range(15):
        image = noise(*(int(n) for n in generator.integers(1, 400, 2)), seed)
        assert_everywhere(plan, image, first(resized(image, height, width, filter)))
    backends.cache_clear()
