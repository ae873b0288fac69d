"""A second result from the image so far, in every backend."""

import numpy as np
import pytest

from runtime import Plan
from runtime.ops import (
    Branch,
    CenterCrop,
    Clamp,
    ConvertRGB,
    ImageSize,
    Normalize,
    Pad,
    Rescale,
    Resize,
    ResizeSmoothed,
)
from runtime.ops.size import Size

from ..helpers import assert_everywhere, backends, make_plan, noise


def resize(height, width):
    return Resize(Size(height=height, width=width), "bicubic", "pillow13")


RESCALE, NORMALIZE = Rescale(1 / 255), Normalize((0.5, 0.25, 0.125), (0.5, 1.0, 2.0))
PLANS = {
    "pixels": ((resize(40, 30),), (resize(20, 24), RESCALE), (NORMALIZE,)),
    "floats": ((resize(40, 30), RESCALE), (NORMALIZE, Clamp(-1, 1)), (CenterCrop(9, 9),)),
    "at once": ((), (CenterCrop(9, 50), RESCALE), (resize(20, 24), NORMALIZE)),
    "nothing": ((RESCALE,), (), (NORMALIZE,)),
}


@pytest.mark.parametrize("name", PLANS)
def test_both_results_are_those_of_straight_plans(name):
    before, inside, after = PLANS[name]
    plan = make_plan(*before, Branch("second", inside), *after)
    assert plan.outputs == ("pixel_values", "second")
    for size in ((60, 80), (80, 61), (3, 5)):
        images = np.stack([noise(*size, seed) for seed in range(2)])
        want = {"pixel_values": (*before, *after), "second": (*before, *inside)}
        want = {key: backends(make_plan(*steps))["pil"](images)["pixel_values"] for key, steps in want.items()}
        assert_everywhere(plan, images, want)


def test_a_branch_has_outputs_of_its_own():
    inside = (resize(20, 24), ImageSize("sizes"), Pad(Size(ceil_to=16), mask="mask"), Branch("third", (RESCALE,)))
    plan = make_plan(ImageSize("first"), Branch("second", inside), RESCALE)
    assert plan.outputs == ("pixel_values", "first", "second", "sizes", "mask", "third")
    mask = np.zeros((1, 32, 32), np.int64)
    mask[:, :20, :24] = 1
    assert_everywhere(plan, noise(31, 33), {"sizes": np.array([[20, 24]]), "first": np.array([[31, 33]]), "mask": mask})
    assert Plan.from_json(plan.to_json()) == plan


def test_bounds_inside_count():
    inside = (RESCALE, ResizeSmoothed(Size(height=5, width=5), "scipy"))
    assert make_plan(Branch("second", inside)).bound == ResizeSmoothed.bound


@pytest.mark.parametrize(
    ("before", "inside", "message"),
    [
        ((RESCALE,), (resize(5, 5),), "works on uint8, but comes on float32"),
        ((), (RESCALE, ConvertRGB()), "convert_rgb must come before what works on pixels"),
        ((), (Normalize((0.0,), (1.0,)),), "is for 1 channels, and the Plan is for 3"),
    ],
)
def test_steps_inside_are_checked(before, inside, message):
    with pytest.raises(ValueError, match=message):
        make_plan(*before, Branch("second", inside))
