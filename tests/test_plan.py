"""The Plan: to JSON and back, and what is refused."""

import dataclasses
import json
import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime import ArtifactError, InputError, Plan, PreprocessorError
from runtime.lowering import Resample, check_size, lower
from runtime.ops import (
    STEPS,
    AlignLongAxis,
    Branch,
    Cast,
    CenterCrop,
    ChannelsLast,
    Clamp,
    ConvertRGB,
    CropMargin,
    CropShare,
    CropToRatio,
    FlipChannels,
    Grayscale,
    ImageSize,
    InferLayout,
    Interpolate,
    Normalize,
    Pad,
    PadToLargest,
    Quantize,
    Rescale,
    Resize,
    ResizeKeras,
    ResizeOpenCV,
    ResizeSmoothed,
    ScaleOffset,
)
from runtime.ops.arithmetic import Arithmetic
from runtime.ops.cast import DTYPES
from runtime.ops.pad import MODES
from runtime.ops.resize import FILTERS, ORDERS
from runtime.ops.size import FORMS, LONGEST_SIDE, MOST_PIXELS, Size
from runtime.ops.table import Table
from runtime.plan import FORMAT, REFERENCES
from runtime.postprocess import POSTPROCESSORS, ImageClassification

from .helpers import make_plan


def runs(steps, most):
    return st.lists(st.one_of(*steps.values()), max_size=most).map(tuple)


side = st.integers(1, math.isqrt(MOST_PIXELS))
number, nonzero = st.floats(-1e30, 1e30), st.floats(1e-30, 1e30)
sizes = st.sampled_from([sorted(form) for form in FORMS]).flatmap(
    lambda form: st.builds(Size, **dict.fromkeys(form, side))
)
POINTWISE = {
    Rescale: st.builds(Rescale, number, number),
    Normalize: st.builds(Normalize, st.tuples(number, number, number), st.tuples(nonzero, nonzero, nonzero)),
    ScaleOffset: st.builds(ScaleOffset, *[st.tuples(number, number, number)] * 2),
    Clamp: st.builds(lambda low, size: Clamp(low, low + size), number, nonzero),
    Cast: st.builds(Cast, st.sampled_from(DTYPES)),
}
target = st.builds(lambda height, width: Size(height=height, width=width), side, side)
SPATIAL = {
    Resize: st.builds(Resize, sizes, st.sampled_from(sorted(FILTERS)), st.sampled_from(ORDERS)),
    ResizeKeras: st.builds(ResizeKeras, target, st.sampled_from(["bilinear", "bicubic"]), st.booleans()),
    ResizeOpenCV: st.builds(ResizeOpenCV, sizes),
    AlignLongAxis: st.builds(AlignLongAxis, st.booleans()),
    CropMargin: st.builds(CropMargin, st.booleans()),
    CropToRatio: st.builds(CropToRatio, side, side),
    CropShare: st.builds(CropShare, side, side, side, side, st.sampled_from(["pil", "torchvision"]), st.booleans()),
    CenterCrop: st.builds(CenterCrop, side, side),
    FlipChannels: st.just(FlipChannels()),
    Grayscale: st.builds(Grayscale, st.booleans()),
}
BEHIND = {
    Pad: st.builds(Pad, target, st.tuples(st.integers(0, 255).map(float)), st.booleans(), st.sampled_from(MODES)),
    FlipChannels: st.just(FlipChannels()),
}
OUTPUTS = {
    ImageSize: st.builds(ImageSize, st.just("sizes"), st.sampled_from(["int64", "float32"])),
    Branch: st.builds(Branch, st.just("branch"), runs(POINTWISE, 2)),
    PadToLargest: st.builds(PadToLargest, st.sampled_from(["", "mask"])),
}
FLOATS = {
    Quantize: st.builds(Quantize, st.tuples(number, number, number), st.sampled_from(["float64", "float32"])),
    Interpolate: st.builds(Interpolate, sizes, st.sampled_from(["bilinear", "bicubic"]), st.booleans(), st.booleans()),
    ResizeSmoothed: st.builds(
        lambda edge, *rest: ResizeSmoothed(Size(height=edge, width=edge + 1), *rest),
        st.integers(4, 300),
        st.sampled_from(["scipy", "torchvision"]),
        st.booleans(),
    ),
}
EVERY = {
    ConvertRGB: st.just(ConvertRGB()),
    ChannelsLast: st.just(ChannelsLast()),
    InferLayout: st.just(InferLayout()),
    **POINTWISE,
    **SPATIAL,
    **FLOATS,
    **BEHIND,
    **OUTPUTS,
}


steps_in_order = st.builds(
    lambda *parts: sum(parts, ()),
    st.sampled_from([(), (ConvertRGB(),)]),
    runs(SPATIAL, 3),
    runs(POINTWISE, 3),
    runs(BEHIND, 2),
    *(st.one_of(st.just(()), steps.map(lambda step: (step,))) for steps in OUTPUTS.values()),
)
plans = st.builds(
    Plan,
    steps_in_order,
    st.sampled_from(REFERENCES),
    family=st.text(),
    source=st.text(),
    layout=st.sampled_from(["NHWC", "NCHW"]),
    labels=st.lists(st.text()).map(tuple),
    config=st.dictionaries(st.text(), st.none() | st.booleans() | st.lists(number) | st.dictionaries(st.text(), side)),
)

PLAN = make_plan(
    ConvertRGB(),
    Resize(Size(shortest_edge=32, longest_edge=64), "bicubic", "pillow12.2"),
    CenterCrop(24, 20),
    ResizeOpenCV(Size(rounded_longest_edge=28)),
    Rescale(1 / 255, 0.5),
    Interpolate(Size(height=26, width=25), "bilinear", antialias=True),
    Normalize((0.5, 0.25, 0.125), (0.5, 1.0, 2.0)),
    Clamp(-1.5, 2.0),
    Cast("float16"),
    FlipChannels(),
    ImageSize("sizes"),
    Branch("small", (Clamp(-1.0, 1.0),)),
    Pad(Size(height=30, width=30), (1.5,), mask="pixel_mask"),
    PadToLargest("second_mask"),
    family="CLIP",
    source="somewhere",
    layout="NCHW",
    labels=("cat", "dög"),
    architecture="CLIPForImageClassification",
    postprocess=ImageClassification("scores", 2, "sigmoid"),
)


# --- To JSON and back


def test_every_step_has_a_strategy_and_a_name():
    assert set(EVERY) == set(STEPS.values())


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_every_step_comes_back(kind, data):
    plan = make_plan(*([Rescale(0.5)] if kind in FLOATS else []), data.draw(EVERY[kind]))
    assert Plan.from_json(plan.to_json()) == plan


@pytest.mark.parametrize("kind", POSTPROCESSORS.values(), ids=lambda kind: kind.__name__)
def test_every_post_processing_comes_back(kind):
    plan = make_plan(postprocess=kind())
    assert Plan.from_json(plan.to_json()) == plan
    assert str(kind()).startswith(kind.method.replace("_", " "))


@given(plans)
@settings(max_examples=200)
def test_every_plan_comes_back(plan):
    text = plan.to_json()
    again = Plan.from_json(text)
    assert again == plan
    assert hash(again) == hash(plan)
    assert again.to_json() == text


def test_the_json_is_as_documented():
    assert json.loads(PLAN.to_json()) == {
        "format": 2,
        "reference": "pillow13",
        "family": "CLIP",
        "source": "somewhere",
        "layout": "NCHW",
        "output": "pixel_values",
        "group": "",
        "labels": ["cat", "dög"],
        "channels": 3,
        "input_size": None,
        "config": {},
        "architecture": "CLIPForImageClassification",
        "problem_type": "",
        "postprocess": {"op": "image_classification", "logits": "scores", "top_k": 2, "function": "sigmoid"},
        "steps": [
            {"op": "convert_rgb"},
            {
                "op": "resize",
                "size": {"shortest_edge": 32, "longest_edge": 64},
                "filter": "bicubic",
                "order": "pillow12.2",
                "weights": "pillow",
                "antialias": True,
                "reducing_gap": 0.0,
            },
            {"op": "center_crop", "height": 24, "width": 20, "rule": "pil"},
            {"op": "resize_opencv", "size": {"rounded_longest_edge": 28}},
            {"op": "rescale", "factor": 1 / 255, "offset": 0.5, "precision": "float64"},
            {
                "op": "interpolate",
                "size": {"height": 26, "width": 25},
                "filter": "bilinear",
                "antialias": True,
                "align_corners": False,
            },
            {"op": "normalize", "mean": [0.5, 0.25, 0.125], "std": [0.5, 1.0, 2.0]},
            {"op": "clamp", "low": -1.5, "high": 2.0},
            {"op": "cast", "dtype": "float16"},
            {"op": "flip_channels"},
            {"op": "image_size", "name": "sizes", "dtype": "int64"},
            {"op": "branch", "name": "small", "steps": [{"op": "clamp", "low": -1.0, "high": 1.0}]},
            {
                "op": "pad",
                "size": {"height": 30, "width": 30},
                "value": [1.5],
                "centered": False,
                "mode": "constant",
                "once": False,
                "mask": "pixel_mask",
            },
            {"op": "pad_to_largest", "mask": "second_mask"},
        ],
    }


def test_whole_numbers_become_floats_again():
    # Another writer of JSON may drop ".0".
    data = json.loads(make_plan(Rescale(2.0, 1.0), Pad(Size(height=5, width=5), (3.0,))).to_json())
    data["steps"][0].update(factor=2, offset=1)
    data["steps"][1].update(value=[3])
    plan = Plan.from_json(json.dumps(data))
    numbers = [plan.steps[0].factor, plan.steps[0].offset, plan.steps[1].value[0]]
    assert [(type(number), number) for number in numbers] == [(float, 2.0), (float, 1.0), (float, 3.0)]


@given(plans)
def test_every_plan_says_what_it_does(plan):
    lines = str(plan).splitlines()
    assert len(lines) == len(plan.steps)
    assert [line.split(". ")[0] for line in lines] == [str(i) for i in range(1, len(lines) + 1)]


def test_a_plan_in_words():
    assert str(PLAN) == (
        "1. convert to RGB, transparency onto white\n"
        "2. resize to shortest_edge 32, longest_edge 64, bicubic\n"
        "3. center crop 24x20\n"
        "4. resize to rounded_longest_edge 28, bilinear as in OpenCV\n"
        "5. rescale by 1/255, minus 0.5\n"
        "6. interpolate to 26x25, bilinear, antialiased, as torch\n"
        "7. normalize, mean 0.5 0.25 0.125, std 0.5 1 2\n"
        "8. clamp to -1.5 … 2\n"
        "9. cast to float16\n"
        "10. flip channels to BGR\n"
        "11. output the size as sizes\n"
        "12. output small: clamp to -1 … 1\n"
        "13. pad to 30x30 with 1.5, and pixel_mask\n"
        "14. pad to the largest image of the batch, and second_mask"
    )


# --- Damaged JSON


def edited(**changes):
    return json.dumps({**json.loads(PLAN.to_json()), **changes})


def edited_step(index, **changes):
    steps = json.loads(PLAN.to_json())["steps"]
    steps[index].update(changes)
    return edited(steps=steps)


def without(key, index=None):
    data = json.loads(PLAN.to_json())
    del (data if index is None else data["steps"][index])[key]
    return json.dumps(data)


def refused(text, message="."):
    with pytest.raises(ArtifactError, match=message) as error:
        Plan.from_json(text)
    assert isinstance(error.value, PreprocessorError)


@pytest.mark.parametrize("key", json.loads(PLAN.to_json()))
def test_missing_keys(key):
    refused(without(key), f"the Plan in the file cannot be read: .*{key}")


@pytest.mark.parametrize(
    ("index", "key"), [(i, key) for i, step in enumerate(json.loads(PLAN.to_json())["steps"]) for key in step]
)
def test_missing_keys_of_steps(index, key):
    refused(without(key, index), f"the Plan in the file cannot be read: .*{key}")


def test_extra_keys():
    refused(edited(extra="text"), "extra")
    for index in range(len(PLAN.steps)):
        refused(edited_step(index, extra=1), "extra")
    refused(edited_step(1, size={"shortest_edge": 5, "longest_edge": 6, "extra": 7}), "extra")


@pytest.mark.parametrize("version", [0, FORMAT + 1, -1, "1", 1.5, True, None, [1], {}])
def test_other_formats(version):
    message = f"the Plan has format {version!r}, this release reads 1 to {FORMAT}: update"
    refused(edited(format=version), re.escape(message))


@pytest.mark.parametrize("version", [2.0])
def test_a_format_that_equals_2_but_is_no_integer(version):
    refused(edited(format=version), f"format {version!r}")


FREE = ("family", "source", "architecture", "problem_type")
"""Keys that any text may stand for."""

WRONG = [None, True, 5, 5.5, "text", [], ["text"], [5], {}, {"text": 5}, [None], [[]]]


@pytest.mark.parametrize("key", [key for key in json.loads(PLAN.to_json()) if key not in ("format", *FREE)])
@pytest.mark.parametrize("value", WRONG, ids=repr)
def test_wrong_types(key, value):
    if (key, value) in [
        ("steps", []),
        ("labels", []),
        ("labels", ["text"]),
        ("input_size", None),
        ("output", "text"),
        ("postprocess", None),
        *(("config", v) for v in ({}, {"text": 5})),
    ]:
        assert Plan.from_json(edited(**{key: value}))
    else:
        refused(edited(**{key: value}), "the Plan in the file cannot be read: ")


@pytest.mark.parametrize("key", FREE)
@pytest.mark.parametrize("value", [value for value in WRONG if value != "text"], ids=repr)
def test_wrong_types_of_texts(key, value):
    refused(edited(**{key: value}), "expected strings")


@pytest.mark.parametrize("index", range(len(PLAN.steps)), ids=lambda i: type(PLAN.steps[i]).__name__)
@pytest.mark.parametrize("value", WRONG, ids=repr)
def test_wrong_types_in_steps(index, value):
    step = json.loads(PLAN.to_json())["steps"][index]
    for key in step:
        if (step["op"], key) in [("rescale", "factor"), ("rescale", "offset"), ("clamp", "high")]:
            allowed = type(value) in (int, float)
        elif (step["op"], key) == ("clamp", "low"):
            allowed = False  # those numbers are larger than ``high``
        elif (step["op"], key) in [
            ("image_size", "name"),
            ("branch", "name"),
            ("pad", "mask"),
            ("pad_to_largest", "mask"),
        ]:
            allowed = value == "text"
        elif (step["op"], key) in [("pad", "value"), ("branch", "steps")]:
            allowed = value == ([5] if key == "value" else [])
        elif key == "reducing_gap":
            allowed = type(value) in (int, float) and value >= 1
        else:
            allowed = type(step[key]) in (int, bool) and type(value) is type(step[key])
        if not allowed:
            refused(edited_step(index, **{key: value}), "the Plan in the file cannot be read: ")


@pytest.mark.parametrize("step", [None, True, 5, "text", [], [["op", "cast"], ["dtype", "float32"]], {}, {"op": []}])
def test_steps_that_are_none(step):
    refused(edited(steps=[step]), "the Plan in the file cannot be read: ")


def test_unknown_ops_are_named():
    refused(edited(steps=[{"op": "rotate"}]), "op.*rotate")


@pytest.mark.parametrize(
    ("index", "changes"),
    [
        (1, {"filter": "cubic"}),
        (1, {"order": "pillow14"}),
        (1, {"size": {"shortest_edge": 0, "longest_edge": 5}}),
        (1, {"size": {"shortest_edge": True, "longest_edge": 5}}),
        (1, {"size": {"shortest_edge": 5.0, "longest_edge": 5}}),
        (1, {"size": {"height": 5}}),
        (2, {"height": -1}),
        (2, {"width": LONGEST_SIDE + 1}),
        (2, {"width": 10**400}),
        (3, {"factor": math.nan}),
        (3, {"offset": -math.inf}),
        (3, {"factor": 10**400}),
        (4, {"mean": [math.nan, 0, 0]}),
        (4, {"mean": [10**400, 0, 0]}),
        (4, {"mean": [True, 0, 0]}),
        (4, {"mean": [0, 0]}),
        (4, {"std": [1, 1, 0]}),
        (5, {"dtype": "float64"}),
        (12, {"value": [math.inf]}),
        (12, {"value": [1, 2]}),
        (12, {"mode": "edge"}),
        (12, {"centered": True}),
        (12, {"mask": "sizes"}),
        (12, {"size": {"floor_to": 8, "ceil_to": 8}}),
        (10, {"dtype": "float64"}),
        (10, {"name": "pixel values"}),
        (11, {"steps": [{"op": "interpolate"}]}),
    ],
    ids=lambda value: str(value)[:40],
)
def test_wrong_values_in_steps(index, changes):
    refused(edited_step(index, **changes), "the Plan in the file cannot be read: ")


@pytest.mark.parametrize(
    "changes", [{"reference": "pillow"}, {"layout": "CHWN"}, {"output": "pixels!"}, {"group": "trio"}]
)
def test_wrong_values(changes):
    (key,) = changes
    refused(edited(**changes), f"{key}s?: expected .*, got ")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "nonsense",
        "null",
        "5",
        '"text"',
        "[]",
        "{}",
        "NaN",
        "[" * 100_000,
        '{"format":' * 100_000,
        '{"format": 1, "steps": ' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"format": ' + "9" * 5000 + "}",
        "\ud800",
    ],
    ids=lambda text: f"{text[:12]!r} {len(text)}",
)
def test_what_is_no_plan(text):
    refused(text)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda v: st.lists(v) | st.dictionaries(st.text(), v),
    )
)
def test_any_other_json_is_refused(data):
    refused(json.dumps(data))


@given(st.sampled_from(range(len(PLAN.to_json()))), st.characters())
@settings(max_examples=500)
def test_any_other_character_gives_a_plan_or_an_error(position, character):
    text = PLAN.to_json()
    text = text[:position] + character + text[position + 1 :]
    try:
        plan = Plan.from_json(text)
    except ArtifactError:
        return
    assert Plan.from_json(plan.to_json()) == plan


# --- Plans and lowerings that are refused


RESIZE, CROP = Resize(Size(height=8, width=9), "bilinear", "pillow13"), CenterCrop(5, 5)
NORMALIZE = Normalize((0.5,) * 3, (0.5,) * 3)
OPENCV = ResizeOpenCV(Size(height=8, width=9))
INTERPOLATE = Interpolate(Size(height=7, width=9), "bicubic", antialias=False)


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ((Rescale(1 / 255), RESIZE), "'resize to 8x9, bilinear' works on uint8, but comes on float32"),
        ((NORMALIZE, FlipChannels(), RESIZE), "'resize .*' works on uint8"),
        ((Rescale(1 / 255), OPENCV), "'resize to 8x9, .*' works on uint8"),
        ((RESIZE, ConvertRGB()), "convert_rgb must come before what works on pixels"),
        ((Rescale(1 / 255), ConvertRGB()), "convert_rgb must come before what works on pixels"),
        ((Cast("float16"), INTERPOLATE), "'interpolate to 7x9, .*' works on float32, but comes on float16"),
    ],
)
def test_orders_that_no_kernel_runs(steps, message):
    with pytest.raises(ValueError, match=message):
        lower(steps)
    with pytest.raises(ValueError, match=message):
        make_plan(*steps)
    alone = (make_plan(*([Rescale(0.5)] if isinstance(step, Interpolate) else []), step) for step in steps)
    text = edited(steps=[json.loads(plan.to_json())["steps"][-1] for plan in alone])
    refused(text, "the Plan in the file cannot be read: " + message)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"reference": "pillow14"}, "reference: expected one of pillow13, .*, got 'pillow14'"),
        ({"layout": "HWC"}, "layout: expected NHWC or NCHW, got 'HWC'"),
        ({"output": "pixel-values"}, "outputs: expected different names, of letters and _, got pixel-values"),
        ({"output": ""}, "outputs: expected different names, of letters and _, got "),
    ],
)
def test_wrong_fields(fields, message):
    with pytest.raises(ValueError, match=message):
        Plan(**{"steps": (), "reference": "pillow13", **fields})


def test_plans_and_steps_are_frozen():
    for item, name in [(PLAN, "layout"), (PLAN.steps[1], "filter"), (PLAN.steps[1].size, "height")]:
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(item, name, "other")


# --- Lowering


@pytest.mark.parametrize(
    ("steps", "kernels"),
    [
        ((), ()),
        ((ConvertRGB(),), ()),
        ((RESIZE,), (Resample(RESIZE, None),)),
        ((RESIZE, CROP), (Resample(RESIZE, CROP),)),
        ((CROP, RESIZE), (CROP, Resample(RESIZE, None))),
        ((RESIZE, CROP, CROP), (Resample(RESIZE, CROP), CROP)),
        ((RESIZE, RESIZE, CROP), (Resample(RESIZE, None), Resample(RESIZE, CROP))),
        ((RESIZE, FlipChannels(), CROP), (Resample(RESIZE, None), FlipChannels(), CROP)),
        ((Rescale(0.5), NORMALIZE), (Table((Rescale(0.5), NORMALIZE)),)),
        ((Pad(Size(height=9, width=9)), Rescale(0.5)), (Pad(Size(height=9, width=9)), Table((Rescale(0.5),)))),
        ((OPENCV, CROP), (OPENCV, CROP)),
        ((Rescale(0.5), FlipChannels(), NORMALIZE), (Table((Rescale(0.5),)), FlipChannels(), Arithmetic((NORMALIZE,)))),
        (
            (Rescale(0.5), INTERPOLATE, CROP, Clamp(0, 1), NORMALIZE),
            (Table((Rescale(0.5),)), INTERPOLATE, CROP, Arithmetic((Clamp(0, 1), NORMALIZE))),
        ),
    ],
)
def test_kernels(steps, kernels):
    assert lower(steps) == kernels


@pytest.mark.parametrize(
    ("steps", "size"),
    [
        ((), (30, 40)),
        ((RESIZE,), (8, 9)),
        ((Resize(Size(shortest_edge=15), "bilinear", "pillow13"),), (15, 20)),
        ((Resize(Size(shortest_edge=15), "bilinear", "pillow13"), CROP), (5, 5)),
        ((CROP, FlipChannels()), (5, 5)),
        ((ResizeOpenCV(Size(rounded_longest_edge=20)),), (15, 20)),
        ((Rescale(0.5), Interpolate(Size(shortest_edge=15), "bilinear", antialias=True)), (15, 20)),
        ((CROP, Pad(Size(height=6, width=7))), (6, 7)),
        ((Rescale(0.5), Pad(Size(height=31, width=41))), (31, 41)),
    ],
)
def test_sizes_are_known_before_the_pixels(steps, size):
    assert check_size(lower(steps), 30, 40) == size


def test_sizes_are_checked_at_every_step():
    too_small = Pad(Size(height=6, width=6)), CROP, Pad(Size(height=4, width=9))
    with pytest.raises(InputError, match="pad_size 4x9 is smaller than the image, 5x5"):
        check_size(lower(too_small), 2, 3)
