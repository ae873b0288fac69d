"""Odd Plans and odd configs: what is understood gives the reference's result everywhere; the rest is refused."""

import json

import numpy as np
import onnx
import pytest
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import exporter
from exporter.onnx import build
from models.families import FAMILIES
from runtime import InputError, Plan, PreprocessorError, load
from runtime.ops import (
    STEPS,
    AlignLongAxis,
    Branch,
    Cast,
    CenterCrop,
    CropMargin,
    CropShare,
    Interpolate,
    Pad,
    Rescale,
    Resize,
    ResizeOpenCV,
    ResizeSmoothed,
)
from runtime.ops.interpolate_torch import check_result
from runtime.ops.size import MOST_PIXELS, RULES, Size
from runtime.preprocessor import Preprocessor

from . import odd
from .families import assert_outputs, config, expected, grouped
from .faults import at_most
from .helpers import assert_everywhere, make_plan, noise, sides, with_plan

SECONDS = 60
"""Of a case; ten times what the slowest takes on a busy machine."""

LAST = {"input_data_format": "channels_last"}


# --- Plans


def largest(steps, height, width):
    """Pixels of the largest image on the way, as far as sizes follow from sizes."""
    found = height * width
    for step in steps:
        if isinstance(step, Branch):
            found = max(found, largest(step.steps, height, width))
        elif (output_size := getattr(step, "output_size", None)) is not None:
            height, width = output_size(height, width)
            found = max(found, height * width)
    return found


def outcome(work):
    """What ``work`` gives, lists as arrays, or the class of what it raises."""
    try:
        return {name: np.asarray(value) for name, value in work().items()}
    except PreprocessorError as error:
        return type(error)


def check_plan(plan, height, width, path):
    """Every backend gives what the reference does, or refuses what it does."""
    assert Plan.from_json(plan.to_json()) == plan
    try:
        if largest(plan.steps, height, width) > 2 * 10**5:
            return
    except InputError:
        pass
    image = noise(height, width, channels=plan.channels)
    with at_most(SECONDS), np.errstate(all="ignore"):  # infinities are values like others
        want = outcome(lambda: Preprocessor(plan, "pil")(image, **LAST))
        for backend in ("numba", "torch", "onnx"):

            def run(backend=backend):
                if backend != "onnx":
                    return Preprocessor(plan, backend)(image, **LAST)
                path.write_bytes(with_plan(build(plan), plan).SerializeToString())
                return load(path, backend)(image, **LAST)

            got = outcome(run)
            if isinstance(want, dict):
                assert isinstance(got, dict), f"{backend} refuses it: {got}"
                _assert_same(got, want, plan.bound, backend)
            else:
                assert got is want, backend


def _assert_same(got, want, bound, backend):
    assert set(got) == set(want), backend
    for name, value in want.items():
        assert (got[name].dtype, got[name].shape) == (value.dtype, value.shape), f"{backend}, {name}"
        floats = value.dtype.kind == "f"
        if bound and floats and np.isfinite(value).all():
            assert_outputs({name: got[name]}, {name: value}, bound, backend)
        else:
            assert np.array_equal(got[name], value, equal_nan=floats) or (bound and floats), f"{backend}, {name}"


def test_every_step_is_among_them():
    assert set(odd.STEPS) == set(STEPS.values())


@given(plan=odd.plans, height=sides(90), width=sides(90))
@settings(max_examples=80)
def test_odd_plans(plan, height, width, tmp_path_factory):
    check_plan(plan, height, width, tmp_path_factory.getbasetemp() / "odd.onnx")


@pytest.mark.slow
@given(plan=odd.plans, height=sides(120), width=sides(120))
@settings(max_examples=4000)
def test_many_odd_plans(plan, height, width, tmp_path_factory):
    check_plan(plan, height, width, tmp_path_factory.getbasetemp() / "odd.onnx")


# --- Configs

FLAGS = [True, False, None, 0, 1, "no", [], 2.5]
NUMBERS = [1 / 255, 1, 0.5, 0, -1, None, "1", True, float("inf"), 1e300, 1e-300, [0.5], 255]
MEANS = [
    *([0.5, 0.5, 0.5], 0.5, [0.5], [0.1, 0.2], None, [0, 0, 0], "x", [1, 2, 3, 4], [float("nan")] * 3),
    *([True, False, True], 1, [1e-320] * 3, [], [None] * 3, [[0.5, 0.5, 0.5]]),
]
small = st.integers(1, 60)
sizes = st.one_of(
    small,
    *(st.fixed_dictionaries(dict.fromkeys(keys, small)) for keys in (["height", "width"], ["shortest_edge"])),
    *(
        st.fixed_dictionaries(dict.fromkeys(keys, small))
        for keys in (["shortest_edge", "longest_edge"], ["max_height", "max_width"], ["longest_edge"], ["height"])
    ),
    st.lists(small, max_size=3),
    st.sampled_from([None, 0, -5, {}, "x", "20", 1.5, True, 10**9, {"height": 20.0, "width": 30}]),
    st.sampled_from([{"height": 20, "width": None}, {"shortest_edge": None, "height": 9, "width": 8}, {"x": 9}]),
)
lengths = st.one_of(small, st.sampled_from([None, 0, -3, 2.5, "8", True, [4]]))


def values(key, default):
    """What a config may hold under a key."""
    if key.startswith("do_") or isinstance(default, bool):
        return st.sampled_from(FLAGS)
    if key.startswith("image_"):
        return st.sampled_from(MEANS)
    if key == "resample":
        return st.one_of(st.integers(0, 7), st.sampled_from(["bilinear", None, -1, True, 2.0]))
    if "size" in key and "divis" not in key:
        return sizes
    return st.one_of(lengths, sizes, st.sampled_from(NUMBERS))


@st.composite
def configs(draw):
    """A family's name, and a config of it with one to three keys of any value."""
    name = draw(st.sampled_from(sorted(FAMILIES)))
    family = FAMILIES[name]
    found = {**config(name), **({"size": draw(sizes)} if "size" in family.keys and draw(st.booleans()) else {})}
    for key in draw(st.lists(st.sampled_from(family.keys), min_size=1, max_size=3)):
        found[key] = draw(values(key, family.defaults.get(key)))
    return name, found


def check_config(name, given, height, width, folder):
    """What is understood of a config gives what transformers' class gives, unless that fails."""
    (folder / "preprocessor_config.json").write_text(
        json.dumps({"image_processor_type": f"{name}ImageProcessor", **given})
    )
    with at_most(SECONDS):
        try:
            plan = exporter.trace(folder)
        except PreprocessorError:
            return
        assert Plan.from_json(plan.to_json()) == plan
        image = noise(height, width, channels=plan.channels)
        pixels = image if plan.channels == 4 else Image.fromarray(image)
        got = outcome(lambda: Preprocessor(plan, "pil")(grouped(pixels, plan)))
        family = FAMILIES[name]
        kind = f"{name}ImageProcessor{'Pil' if family.has_pil and family.has_torchvision else ''}"
        try:
            want = expected(getattr(transformers, kind).from_pretrained(folder), image, plan)
        except Exception:  # transformers raises about anything on values that it does not know
            return
        assert isinstance(got, dict), f"transformers takes what is refused with {got}"
        for key, value in want.items():
            mine = got[key][0][:1] if plan.group else got[key][0] if got[key].ndim > value.ndim else got[key]
            assert_outputs({key: mine}, {key: value}, plan.bound, f"{name}, {given}")


@given(config=configs(), height=st.integers(5, 60), width=st.integers(5, 60))
@settings(max_examples=80)
def test_odd_configs(config, height, width, tmp_path_factory):
    check_config(*config, height, width, tmp_path_factory.getbasetemp())


@pytest.mark.slow
@given(config=configs(), height=st.integers(5, 60), width=st.integers(5, 60))
@settings(max_examples=4000)
def test_many_odd_configs(config, height, width, tmp_path_factory):
    check_config(*config, height, width, tmp_path_factory.getbasetemp())


# --- What these found


@pytest.mark.parametrize("rounding", [{}, pytest.param({"ceil_to": 6}, marks=pytest.mark.slow)], ids=["", "rounded"])
@pytest.mark.parametrize("rule", [rule for rule in RULES if rule], ids=" ".join)
def test_a_size_that_follows_from_one_known_side(rule, rounding, tmp_path):
    """As lines of text have it, behind which an image is 20 pixels high, in the graph as well."""
    keys = dict.fromkeys(rule, 12) | rounding
    lines = ResizeOpenCV(Size(line_height=20, line_width=30, max_line_width=90))
    plan = make_plan(lines, Resize(Size(**keys), "bilinear", "pillow13"), AlignLongAxis(True), CenterCrop(16, 16))
    for height, width in ((31, 80), (9, 200), (50, 3)):
        check_plan(plan, height, width, tmp_path / "odd.onnx")


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule], ids=", ".join)
def test_a_known_side_that_rounds_to_nothing(rule, tmp_path):
    """Every image is refused, and so is the export: the rules behind it would divide by that side."""
    lines = Resize(Size(line_height=5, line_width=30, max_line_width=90, floor_to=8), "bilinear", "pillow13")
    plan = make_plan(lines, Resize(Size(**dict.fromkeys(rule, 12)), "bilinear", "pillow13"))
    check_plan(plan, 40, 90, tmp_path / "odd.onnx")
    with pytest.raises(InputError, match=r"resized to 0x\d+ by the rule 'line_height 5, .*: expected at least 1 pixel"):
        build(plan)


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ((Rescale(0.5), CropMargin(True)), "'crop the margin .*' works on uint8, but comes on float32"),
        ((CenterCrop(5, 5), Rescale(0.5), CropMargin(False)), "'crop the margin .*' works on uint8, but comes on"),
    ],
)
def test_orders_that_no_backend_runs_alike(steps, message):
    with pytest.raises(ValueError, match=message):
        make_plan(*steps)


@pytest.mark.parametrize("channels", [1, 4])
def test_margins_are_of_rgb(channels):
    with pytest.raises(ValueError, match=f"is for 3 channels, and the Plan is for {channels}"):
        make_plan(CropMargin(True), channels=channels)


def test_a_mask_is_of_a_constant_border():
    with pytest.raises(ValueError, match=r"mask: expected none where .* its border is not constant"):
        Pad(Size(height=5, width=5), mode="reflect", mask="mask")


@pytest.mark.parametrize("size", [Size(shortest_edge=5), Size(thumbnail_height=9, thumbnail_width=9), Size(floor_to=4)])
def test_padding_is_to_what_leaves_a_pixel(size):
    with pytest.raises(ValueError, match=f"size: expected one to pad to, got {size}"):
        Pad(size)
    with pytest.raises(ValueError, match="size: expected one to pad to"):
        Pad(Size(height=50, width=50, floor_to=4))


@pytest.mark.parametrize("rule", ["pil", "torchvision", "half_even", "half_up"])
@pytest.mark.parametrize("image", [(2, 1), (1, 2), (1, 1), (3, 1)])
def test_an_empty_share_is_black_by_every_rule(rule, image):
    assert_everywhere(make_plan(CropShare(12, 1, 32, 65_535, rule, True)), noise(*image)[None])


@pytest.mark.parametrize("before", [(31, 32), (1, 3)])
def test_blocks_of_a_known_size(before):
    """Of which a graph knows how many rows they have, or that they have one."""
    plan = make_plan(CenterCrop(*before), Resize(Size(height=1, width=1), "bicubic", "pillow13", reducing_gap=1.0))
    assert_everywhere(plan, noise(20, 9)[None])


def test_float16_may_round_to_neighbours():
    step = ResizeSmoothed(Size(height=5, width=5), "scipy")
    assert make_plan(Rescale(0.5), step).bound == step.bound
    assert make_plan(Rescale(0.5), step, Cast("float32")).bound == step.bound
    assert make_plan(Rescale(0.5), step, Cast("float16")).bound == 2**-10
    assert make_plan(Rescale(0.5), Cast("float16")).bound == 0


THIN = np.full((60, 500, 3), 255, np.uint8)
"""Of which a line is left, that a rule for the short side would stretch to a gigapixel."""
THIN[30] = 0


@pytest.mark.parametrize(
    "steps",
    [
        (Resize(Size(shortest_edge=1200), "bilinear", "pillow13"),),
        (ResizeOpenCV(Size(shortest_edge=1200)),),
        (Rescale(1 / 255), Interpolate(Size(shortest_edge=1200), "bilinear", True)),
    ],
)
def test_what_pixels_decide_is_limited_too(steps, tmp_path):
    plan = make_plan(CropMargin(True), *steps)
    path = tmp_path / "plan.onnx"
    onnx.save(with_plan(build(plan), plan), path)
    exporter.to_torchscript(plan, tmp_path / "plan.pt")
    for pre in (
        *(Preprocessor(plan, name) for name in ("pil", "numba", "torch")),
        load(path, "onnx"),
        load(tmp_path / "plan.pt"),
    ):
        with at_most(SECONDS), pytest.raises(InputError, match=r"1200x600000 by the rule|or_?\s?too_many|or too many"):
            pre(THIN)


def test_the_limit_of_modules_is_that_of_sizes():
    check_result(1, MOST_PIXELS)
    for height, width in ((1, MOST_PIXELS + 1), (0, 5), (5, 0)):
        with pytest.raises(ValueError, match="the size rule leaves no pixel of this image, or too many"):
            check_result(height, width)
