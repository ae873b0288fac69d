"""Cropping and padding to an aspect ratio: against the rule with Keras' floats, in every backend."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from exporter.graph import Graph
from runtime import InputError, Plan, geometry
from runtime.arrays.onnx import Formulas
from runtime.backends.torch import Preprocess
from runtime.lowering import check_size, lower
from runtime.ops import CropToRatio, Normalize, Pad, Resize, crop_to_ratio_torch
from runtime.ops.size import Size

from ..helpers import assert_equal, assert_everywhere, backends, first, make_plan, noise, script, session, sides


def fitting(other, target, other_target):
    """The length of a side that has the ratio with the other one, as Keras takes it: in float64, rounded down."""
    return int(float(other * target) / other_target)


def cropped(image, height, width):
    rows, columns = image.shape[:2]
    new_rows = max(min(rows, fitting(columns, height, width)), 1)
    new_columns = max(min(columns, fitting(rows, width, height)), 1)
    top, left = int(float(rows - new_rows) / 2), int(float(columns - new_columns) / 2)
    return image[top : top + new_rows, left : left + new_columns]


def padded(image, height, width, value=0):
    rows, columns = image.shape[:2]
    top = int(float(max(rows, fitting(columns, height, width)) - rows) / 2)
    left = int(float(max(columns, fitting(rows, width, height)) - columns) / 2)
    return np.pad(image, ((top, top), (left, left), (0, 0)), constant_values=value)


def crop_plan(height, width, *more):
    return make_plan(CropToRatio(height, width), *more)


def pad_plan(height, width, *more):
    return make_plan(Pad(Size(ratio_height=height, ratio_width=width), centered=True), *more)


ratios = st.sampled_from([(1, 1), (224, 224), (3, 2), (2, 3), (299, 331), (1, 7), (7, 1)])


@given(ratio=ratios, height=sides(60), width=sides(60))
def test_any_size(ratio, height, width):
    image = noise(height, width)
    assert_everywhere(crop_plan(*ratio), image, first(cropped(image, *ratio)))
    assert_everywhere(pad_plan(*ratio), image, first(padded(image, *ratio)))


@pytest.mark.parametrize("make", [crop_plan, pad_plan])
def test_floats_and_what_comes_behind(make):
    normalize = Normalize((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert_everywhere(make(3, 2, normalize), noise(30, 41))
    assert_everywhere(make(3, 2, Resize(Size(height=9, width=8), "bicubic", "pillow13")), noise(30, 41))
    image = noise(30, 41)
    rearranged = make(3, 2).steps[0]
    assert_everywhere(make_plan(normalize, rearranged), image, first(rearranged.reference(normalize.reference(image))))


@pytest.mark.parametrize("make", [crop_plan, pad_plan])
def test_compiled_once_for_all_sizes(make):
    plan = make(2, 3)
    torch.compiler.reset()
    compiled = torch.compile(Preprocess(plan).eval(), fullgraph=True, dynamic=True)
    compiled(torch.from_numpy(noise(50, 60)[None]))
    with torch._dynamo.config.patch(error_on_recompile=True):
        for shape in [(97, 131), (131, 97), (40, 40), (30, 21)]:
            images = noise(*shape)[None]
            expected = backends(plan)["pil"](images)["pixel_values"]
            assert_equal(compiled(torch.from_numpy(images))["pixel_values"].numpy(), expected, f"compiled at {shape}")


def cases():
    generator = np.random.default_rng(0)
    large = generator.integers(1, (65535, 65535, 1000, 1000), (3000, 4))
    equal = np.repeat(generator.integers(1, 4000, (1000, 2)), 2, axis=1)  # multiples of the ratio
    return [*itertools.product(range(1, 8), repeat=4), *large.tolist(), *(equal * [3, 1, 3, 1]).tolist()]


def expected_sizes(height, width, ratio_height, ratio_width):
    image = np.broadcast_to(np.uint8(0), (height, width, 1))
    rows, columns = fitting(width, ratio_height, ratio_width), fitting(height, ratio_width, ratio_height)
    pads = [int(float(max(new, old) - old) / 2) for new, old in ((rows, height), (columns, width))]
    crop = cropped(image, ratio_height, ratio_width).shape[:2]
    return crop, (height + 2 * pads[0], width + 2 * pads[1])


@pytest.mark.parametrize("which", [0, 1], ids=["crop", "pad"])
def test_the_rules(which):
    name = ("cropped_to_ratio", "padded_to_ratio")[which]
    expected = [expected_sizes(*case)[which] for case in cases()]
    assert [getattr(geometry, name)(*case) for case in cases()] == expected
    scripted = script(getattr(crop_to_ratio_torch.geometry, name))
    assert [scripted(*case) for case in cases()] == expected
    graph = Graph()
    names = ("height", "width", "ratio_height", "ratio_width")
    sizes = getattr(Formulas(graph).geometry, name)(*(graph.input(key, "int64", ["n"]) for key in names))
    for i, size in enumerate(sizes):
        graph.output(size, f"size_{i}", ["n"])
    got = session(graph.build(18, 8, "rule")).run(None, dict(zip(names, np.array(cases()).T, strict=True)))
    assert list(zip(*(size.tolist() for size in got), strict=True)) == expected


def test_sizes_are_known_before_the_run():
    kernels = lower(crop_plan(224, 224).steps)
    assert check_size(kernels, 480, 640) == (480, 480)
    with pytest.raises(InputError, match="would be resized to 65535x65535 by the rule 'ratio_height 1, ratio_width 1'"):
        check_size(lower(pad_plan(1, 1).steps), 1, 65535)


def test_words_and_json():
    for plan, words in (
        (crop_plan(3, 2), "1. crop to the ratio 3:2"),
        (pad_plan(3, 2), "1. pad to ratio_height 3, ratio_width 2, centered, with 0"),
    ):
        assert str(plan) == words
        assert Plan.from_json(plan.to_json()) == plan


def test_a_ratio_is_of_pixels():
    with pytest.raises(ValueError, match="width: expected an integer from 1 to 65535, got 0"):
        CropToRatio(1, 0)
