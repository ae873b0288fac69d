"""Pillow's ``reducing_gap``: blocks of pixels are averaged before the resize."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from runtime.ops import CenterCrop
from runtime.ops.box_reduce import box_reduce
from runtime.ops.resize import FILTERS, ORDERS, Resize
from runtime.ops.size import Size

from ..helpers import INSTALLED_ORDER, assert_equal, assert_everywhere, backends, first, make_plan, noise, sides

SMOOTH = [name for name in FILTERS if name != "nearest"]
HARD = [
    ((640, 480), (50, 40)),  # both sides by a factor, nothing left over
    ((641, 479), (50, 40)),  # a last row and column of their own
    ((97, 13), (3, 13)),  # rows only
    ((13, 97), (13, 3)),  # columns only
    ((400, 7), (9, 1)),
    ((1, 300), (1, 20)),
    ((99, 99), (1, 1)),
    ((50, 60), (40, 50)),  # too little to average
    ((20, 30), (40, 90)),  # enlarged
    ((240, 161), (30, 20)),  # a side of 160.5 pixels after averaging by 8 leaves a fraction
]


def resized(image, height, width, filter, gap):
    """Pillow itself."""
    return np.asarray(Image.fromarray(image).resize((width, height), FILTERS[filter], reducing_gap=gap))


@pytest.mark.one_in(3)
@pytest.mark.parametrize("filter", SMOOTH)
@pytest.mark.parametrize(("before", "after"), HARD)
def test_equals_pillow_at_hard_sizes(filter, before, after):
    image = noise(*before)
    for gap in (1.0, 2.0, 3.0):
        step = Resize(Size(height=after[0], width=after[1]), filter, INSTALLED_ORDER, reducing_gap=gap)
        assert_everywhere(make_plan(step), image, first(resized(image, *after, filter, gap)))


@pytest.mark.parametrize("filter", ["bilinear", "bicubic"])
@settings(max_examples=60)
@given(height=sides(500), width=sides(500), gap=st.sampled_from([1.0, 1.5, 2.0, 3.0]), batch=st.integers(1, 2))
def test_equals_pillow_at_any_size(filter, height, width, gap, batch):
    step = Resize(Size(height=24, width=17), filter, INSTALLED_ORDER, reducing_gap=gap)
    images = np.stack([noise(height, width, seed) for seed in range(batch)])
    assert_everywhere(make_plan(step), images, first(*(resized(image, 24, 17, filter, gap) for image in images)))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("before", [(700, 90), (90, 700), (300, 300), (2500, 20)])
def test_the_order_follows_the_reduced_image_and_a_crop_fuses(order, before):
    step = Resize(Size(shortest_edge=20), "bicubic", order, reducing_gap=2.0)
    cropped = make_plan(step, CenterCrop(24, 24))
    assert_everywhere(cropped, noise(*before))
    assert_everywhere(make_plan(step), noise(*before))


def test_the_numpy_path_equals_pillow(monkeypatch):
    monkeypatch.setattr(Resize, "_installed", lambda self: False)
    generator = np.random.default_rng(0)
    cases = [*HARD, *((tuple(generator.integers(1, 500, 2)), tuple(generator.integers(1, 60, 2))) for _ in range(100))]
    for before, after in cases:
        height, width = map(int, after)
        step = Resize(Size(height=height, width=width), "lanczos", INSTALLED_ORDER, reducing_gap=1.0)
        assert_equal(step.reference(noise(*before)), resized(noise(*before), height, width, "lanczos", 1.0), before)


@settings(max_examples=200)
@given(height=sides(200), width=sides(200), rows=st.integers(1, 40), columns=st.integers(1, 40))
def test_box_reduce_is_pillows(height, width, rows, columns):
    image = noise(height, width)
    expected = np.asarray(Image.fromarray(image).reduce((columns, rows)))
    assert_equal(box_reduce(image, rows, columns), expected, "box_reduce")


@pytest.mark.parametrize("value", [0, 1, 127, 254, 255])
def test_means_round_as_pillows(value):
    """The multiplier of some counts is a rounded float32: flat images show it."""
    for rows, columns in [(3, 7), (5, 5), (1, 11), (37, 29)]:
        image = np.full((rows * 2 + 1, columns * 3 + 2, 3), value, np.uint8)
        image[::2, ::3] ^= 1
        expected = np.asarray(Image.fromarray(image).reduce((columns, rows)))
        assert_equal(box_reduce(image, rows, columns), expected, (rows, columns))


@pytest.mark.parametrize("gap", [0.5, -1.0, float("nan"), float("inf")])
def test_gaps_below_one_are_refused(gap):
    with pytest.raises(ValueError, match="reducing_gap: expected 0, or 1 and more"):
        Resize(Size(height=2, width=2), "bicubic", "pillow13", reducing_gap=gap)


@pytest.mark.parametrize("fields", [{"filter": "nearest"}, {"filter": "bilinear", "weights": "torchvision"}])
def test_only_pillow_has_it(fields):
    with pytest.raises(ValueError, match="reducing_gap: only Pillow"):
        Resize(**{"size": Size(height=2, width=2), "order": "pillow12.1", "reducing_gap": 2.0, **fields})


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("filter", SMOOTH)
def test_sweep(filter, seed):
    generator = np.random.default_rng((40, seed))
    height, width = (int(n) for n in generator.integers(1, 60, 2))
    gap = float(generator.choice([1.0, 1.5, 2.0, 3.0]))
    step = Resize(Size(height=height, width=width), filter, INSTALLED_ORDER, reducing_gap=gap)
    for _ in range(10):
        image = noise(*(int(n) for n in generator.integers(1, 600, 2)), seed)
        assert_everywhere(make_plan(step), image, first(resized(image, height, width, filter, gap)))
    backends.cache_clear()
