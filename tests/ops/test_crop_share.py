"""CropShare against transformers' Perceiver classes, in every backend."""

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.image_utils import SizeDict

from exporter.onnx import build
from runtime import InputError
from runtime.backends.torch import Preprocess
from runtime.ops import CenterCrop, CropShare, Resize
from runtime.ops.size import LONGEST_SIDE, Size

from ..helpers import assert_equal, assert_everywhere, backends, first, make_plan, noise, run_everywhere, sides


def expected_crop(image, step):
    """The class's own crop of an image ``[H, W, C]``."""
    size = SizeDict(height=step.height, width=step.width)
    crop_size = SizeDict(height=step.of_height, width=step.of_width)
    if step.rule == "pil":
        cropped = transformers.PerceiverImageProcessorPil().center_crop(first(image)[0], size, crop_size)
    else:
        pixels = torch.from_numpy(first(image)[0])
        cropped = transformers.PerceiverImageProcessor().center_crop(pixels, size, crop_size).numpy()
    return cropped[None]


@given(
    height=sides(60),
    width=sides(60),
    numbers=st.tuples(*[st.integers(1, 40)] * 4),
    rule=st.sampled_from(["pil", "torchvision"]),
)
@settings(max_examples=25)
def test_every_backend_equals_transformers(height, width, numbers, rule):
    step = CropShare(*numbers, rule)
    image = noise(height, width)
    expected = expected_crop(image, step)
    if expected.size:
        assert_everywhere(make_plan(step), image, expected)
        return
    with pytest.raises(InputError, match=r"would be cropped to \d+x\d+ by .*: expected at least 1 pixel a side"):
        step.reference(image)
    for run in backends(make_plan(step)).values():
        with pytest.raises(Exception, match=r"pixel"):
            run(image[None])


def test_shares_are_rounded_down_in_floats():
    # 0.29 * 100 is 28.999…; exactly, it is 29.
    step = CropShare(29, 57, 100, 100)
    assert step.output_size(100, 200) == (28, 56)
    assert_everywhere(make_plan(step), noise(100, 200), expected_crop(noise(100, 200), step))


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 3), (14, 14)])
@pytest.mark.parametrize("step", [CropShare(3, 30, 7, 40, black=True), CropShare(30, 3, 40, 7, black=True)], ids=str)
def test_nothing_resizes_to_black(size, step):
    plan = make_plan(step, Resize(Size(height=5, width=6), "bicubic", "pillow13"))
    processor = transformers.PerceiverImageProcessorPil(
        size={"height": step.height, "width": step.width},
        crop_size={"height": step.of_height, "width": step.of_width},
        do_rescale=False,
        do_normalize=False,
    )
    image = noise(*size) // 2 + 100
    cropped = processor.center_crop(first(image)[0], processor.size, processor.crop_size)
    expected = processor.resize(cropped, SizeDict(height=5, width=6), 3)[None]
    assert expected.any() == bool(cropped.size)
    assert_everywhere(plan, image, expected)


def test_compiled_for_every_size():
    plan = make_plan(CropShare(224, 180, 256, 200, black=True), Resize(Size(height=5, width=6), "bicubic", "pillow13"))
    torch._dynamo.reset()
    compiled = torch.compile(Preprocess(plan), fullgraph=True)
    for size in ((9, 13), (60, 50), (300, 5), (1, 1), (1, 9)):
        image = noise(*size)
        got = compiled(torch.from_numpy(image[None]).permute(0, 3, 1, 2))["pixel_values"].numpy()
        assert_equal(got, run_everywhere(plan, image)["pil"]["pixel_values"], f"compiled at {size}")


def test_a_size_that_is_known_at_export():
    plan = make_plan(CropShare(29, 57, 100, 80), input_size=(31, 47))
    assert_everywhere(plan, noise(31, 47), expected_crop(noise(31, 47), plan.steps[0]))


def test_too_many_pixels_are_refused():
    step = CropShare(60_000, 60_000, 1, 1)
    with pytest.raises(InputError, match="expected at most 178956970 pixels"):
        step.reference(noise(2, 2))
    for run in backends(make_plan(step)).values():
        with pytest.raises(Exception, match=r"or too many|or_too_many|at most 178956970"):
            run(noise(2, 2)[None])


@pytest.mark.parametrize("share", [1, 60_000])
def test_what_is_refused_of_every_image_is_not_exported(share):
    plan = make_plan(CenterCrop(1, 1), CropShare(share, share, 2, 2))
    with pytest.raises(InputError, match=r"an image of 1x1 would be cropped to .*: expected at (least|most)"):
        build(plan)


@pytest.mark.parametrize("value", [0, -1, LONGEST_SIDE + 1, 5.0, "5", True, None])
@pytest.mark.parametrize("key", ["height", "width", "of_height", "of_width"])
def test_wrong_sizes_are_refused(key, value):
    with pytest.raises(ValueError, match=r"expected .*, got "):
        CropShare(**{"height": 5, "width": 5, "of_height": 6, "of_width": 6, key: value})


def test_a_wrong_rule_is_refused():
    with pytest.raises(ValueError, match=r"rule: expected one of pil, torchvision, .*, got 'middle'"):
        CropShare(5, 5, 6, 6, "middle")


def test_reference_keeps_the_dtype():
    for dtype in (np.uint8, np.float32):
        image = noise(9, 13).astype(dtype)
        step = CropShare(5, 8, 6, 6)
        assert_equal(first(step.reference(image)), expected_crop(image, step), "reference")
