"""Configs as transformers reads them: families, forms of values, what is refused, and how it is said."""

import contextlib
import inspect
import json
import math
import warnings

import numpy as np
import pytest
import transformers
from PIL import Image

from models import pipeline
from models.config import METADATA, UnreadKeyWarning, output_name, to_steps
from models.families import FAMILIES
from models.reader import Reader
from runtime import Plan, PreprocessorError, UnsupportedConfig
from runtime.ops import CenterCrop, ConvertRGB, Normalize, Pad, Rescale, Resize
from runtime.ops.size import LONGEST_SIDE, MOST_PIXELS, Size
from runtime.preprocessor import Preprocessor

from .families import threads
from .helpers import INSTALLED_ORDER, assert_equal, noise

IMAGES = (noise(37, 53), noise(90, 41), noise(64, 64))
SMALL = {"size": {"height": 40, "width": 56}}


CLASSES = [
    *((name, INSTALLED_ORDER) for name, family in FAMILIES.items() if family.has_pil),
    *((name, "torchvision") for name, family in FAMILIES.items() if family.has_torchvision),
]
CLASSES = [(name, reference) for name, reference in CLASSES if not FAMILIES[name].group and not FAMILIES[name].channels]
"""Each class of transformers that takes single images alone, as a family and the reference that means it."""

SHARED = [
    name
    for name, family in FAMILIES.items()
    if family.has_torchvision and not family.group and family.steps in (pipeline.standard, pipeline.without_pad)
] + ["ConvNext", "EfficientNet"]
"""Families whose classes run the shared pipeline, or nearly so."""


def steps(family, config, overrides=(), strict=False, reference=INSTALLED_ORDER):
    return to_steps(FAMILIES[family], config, dict(overrides), reference, strict)


def step(family, kind, config):
    """The one step of this kind; None where there is none."""
    (found,) = [s for s in steps(family, config) if isinstance(s, kind)] or [None]
    return found


def refusal(*arguments, **more):
    with pytest.raises(UnsupportedConfig) as caught:
        steps(*arguments, **more)
    return caught.value.problems


def class_of(family, reference):
    suffix = "Pil" if reference != "torchvision" and FAMILIES[family].has_torchvision else ""
    return getattr(transformers, f"{family}ImageProcessor{suffix}")


def ours(family, reference, config, image):
    """The outputs, and how far they may be off: 0, but for those that are computed in floats."""
    output = output_name(FAMILIES[family], config, {})
    plan = Plan(steps(family, config, reference=reference), reference, family, output=output)
    return Preprocessor(plan, "pil")(image), plan.bound


def theirs(family, reference, config, image):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # transformers divides before it fails
        with threads(2):  # float families follow torch on more than one
            outputs = class_of(family, reference)(**config)(image, return_tensors="pt")
    return outputs if hasattr(outputs, "keys") else {"pixel_values": outputs}  # Idefics gives a bare tensor


FAILURES = (ValueError, TypeError, AttributeError, KeyError, IndexError, RuntimeError, NotImplementedError)


def assert_same_outputs(got, bound, expected, what):
    for name, value in got.items():
        wanted = np.stack([image.numpy() for image in expected[name]])  # a tensor, or a list of them
        if bound:
            np.testing.assert_allclose(value, wanted, rtol=0, atol=bound * np.abs(wanted).max(), err_msg=what)
        else:
            assert_equal(value, wanted, f"{what}: {name}")


def assert_same_meaning(family, reference, config):
    """Equal pixels; where transformers fails on the config or the image, so do we."""
    for image in map(Image.fromarray, IMAGES):
        try:
            expected = theirs(family, reference, config, image)
        except FAILURES:
            with pytest.raises(PreprocessorError):
                ours(family, reference, config, image)
        else:
            assert_same_outputs(*ours(family, reference, config, image), expected, f"{config} at {image.size}")


def assert_never_another_meaning(family, reference, config):
    """Equal pixels, or one of the two refuses."""
    for image in map(Image.fromarray, IMAGES):
        with contextlib.suppress(PreprocessorError, *FAILURES), warnings.catch_warnings():
            warnings.simplefilter("ignore", UnreadKeyWarning)
            got, bound = ours(family, reference, config, image)
            expected = theirs(family, reference, config, image)
            assert_same_outputs(got, bound, expected, f"{config} at {image.size}")


# What configs say, next to what transformers makes of it.

ODDITIES = [
    {},
    {"size": 40},
    {"size": 40, "default_to_square": True},
    {"size": 40, "default_to_square": False},
    {"size": [40, 56]},
    {"size": {"height": 40, "width": 56}},
    {"size": {"shortest_edge": 40}},
    {"size": {"shortest_edge": 40, "longest_edge": 50}},
    {"size": {"shortest_edge": 40, "longest_edge": None}},
    {"size": {"max_height": 40, "max_width": 30}},
    {"size": {"longest_edge": 40}},
    {"size": {"min_pixels": 10, "max_pixels": 40}},
    {"size": {"height": 40}},
    {"size": {"height": 40, "width": None}},
    {"size": {"height": 40, "width": 56, "depth": 3}},
    {"size": {"shortest_edge": None, "longest_edge": 40}},
    {"size": {"shortest_edge": 40, "height": None}},
    {"size": {"height": 40, "width": 56, "shortest_edge": None}},
    {"size": {"shortest_edge": 60, "longest_edge": 40}},
    {"size": [40]},
    {"size": [40, 56, 3]},
    {"size": [None, None]},
    {"size": "40"},
    {"size": 40.0},
    {"size": 0},
    {"size": -3},
    {"size": None},
    {"size": 40, "resample": None},
    {"do_resize": False},
    {"do_resize": None},
    {**SMALL, "do_center_crop": True, "crop_size": 30},
    {**SMALL, "do_center_crop": True, "crop_size": 30, "default_to_square": False},
    {**SMALL, "do_center_crop": True, "crop_size": [30, 35]},
    {**SMALL, "do_center_crop": True, "crop_size": {"height": 61, "width": 35}},
    {**SMALL, "do_center_crop": True, "crop_size": {"shortest_edge": 30}},
    {**SMALL, "do_center_crop": True, "crop_size": None},
    {**SMALL, "do_center_crop": True},
    {"size": 40, "do_center_crop": False},
    {"size": 40, "do_center_crop": None},
    {"size": 40, "crop_size": 31},
    {"do_resize": False, "do_center_crop": True, "crop_size": [70, 30]},
    {"size": 40, "do_rescale": False},
    {"size": 40, "do_rescale": None},
    {"size": 40, "rescale_factor": None},
    {"size": 40, "rescale_factor": 1},
    {"size": 40, "rescale_factor": 0.0078125},
    {"size": 40, "do_normalize": False},
    {"size": 40, "do_normalize": None},
    {"size": 40, "do_rescale": None, "do_normalize": None},
    {"size": 40, "image_mean": None},
    {"size": 40, "image_std": None},
    {"size": 40, "image_mean": 0.25, "image_std": 0.75},
    {"size": 40, "image_mean": 0, "image_std": 2},
    {"size": 40, "image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, -0.6]},
    {"size": 40, "image_std": [0.5, 0.5]},
    {"size": 40, "do_convert_rgb": None},
    {**SMALL, "do_pad": True, "pad_size": 70},
    {**SMALL, "do_pad": True, "pad_size": [40, 57]},
    {**SMALL, "do_pad": True, "pad_size": {"height": 40, "width": 56}},
    {**SMALL, "do_pad": False, "pad_size": 70},
    {**SMALL, "pad_size": 70},
    {"image_mean": [0.1, 0.2, 0.3], "do_resize": False, "do_center_crop": False, "do_pad": True, "pad_size": 96},
    *({**SMALL, "resample": resample} for resample in range(1, 8)),
]


# Where only the PIL classes are followed: the torchvision ones broadcast one mean, and their nearest is not Pillow's.
PIL_ODDITIES = [{"size": 40, "image_mean": [0.5]}, {**SMALL, "resample": 0}]


assert len(ODDITIES) % 11 and len(ODDITIES) % 41  # so that each class meets other configs by default


@pytest.mark.one_in(11)
@pytest.mark.parametrize(
    ("family", "reference", "config"),
    [(*names, config) for names in CLASSES if names[0] in SHARED for config in ODDITIES],
    ids=str,
)
def test_a_config_means_what_transformers_makes_of_it(family, reference, config):
    assert_same_meaning(family, reference, config)


@pytest.mark.one_in(41)
@pytest.mark.parametrize(
    ("family", "reference", "config"),
    [(*names, config) for names in CLASSES if names[0] not in SHARED for config in ODDITIES],
    ids=str,
)
def test_a_config_never_means_something_else(family, reference, config):
    assert_never_another_meaning(family, reference, config)


@pytest.mark.parametrize("config", PIL_ODDITIES, ids=json.dumps)
@pytest.mark.parametrize("family", [name for name in SHARED if FAMILIES[name].has_pil])
def test_a_config_means_what_the_pil_class_makes_of_it(family, config):
    assert_same_meaning(family, INSTALLED_ORDER, config)


@pytest.mark.parametrize("config", PIL_ODDITIES, ids=json.dumps)
@pytest.mark.parametrize("family", [name for name in SHARED if FAMILIES[name].defaults["do_normalize"]])
def test_what_is_not_followed_in_a_torchvision_class_is_refused(family, config):
    assert refusal(family, config, reference="torchvision")


@pytest.mark.parametrize(
    ("family", "config"),
    [
        ("Beit", {**SMALL, "do_reduce_labels": True}),
        ("CLIP", {"size": None, "do_resize": False}),
        ("ViT", {"size": None, "do_resize": False}),
        ("CLIP", {"size": 40, "use_square_size": True}),
        ("CLIP", {"size": 40, "use_square_size": False}),
        ("CLIP", {"use_square_size": True, "do_center_crop": None}),
        ("ConvNext", {"size": 30, "crop_pct": 0.875}),
        ("ConvNext", {"size": 31, "crop_pct": 0.9}),
        ("ConvNext", {"size": 31, "crop_pct": 1}),
        ("ConvNext", {"size": 30, "crop_pct": None}),
        ("ConvNext", {"size": 383, "crop_pct": 0.95}),
        ("ConvNext", {"size": 384, "crop_pct": 0.95}),
        ("ConvNext", {"size": 384, "crop_pct": None}),
        ("ConvNext", {"size": 30, "do_center_crop": True, "crop_size": 20}),
        ("ConvNext", {"size": {"shortest_edge": 30, "longest_edge": 40}}),
        ("ConvNext", {"size": 30, "default_to_square": True}),
        ("EfficientNet", {**SMALL, "include_top": False}),
        ("EfficientNet", {**SMALL, "include_top": None}),
        ("EfficientNet", {**SMALL, "rescale_offset": True}),
        ("EfficientNet", {**SMALL, "rescale_offset": True, "include_top": False, "do_normalize": False}),
        ("EfficientNet", {**SMALL, "rescale_offset": True, "do_rescale": False}),
        ("EfficientNet", {**SMALL, "do_normalize": False, "do_rescale": False}),
        ("EfficientNet", {**SMALL, "image_mean": 0.5, "image_std": 0.25}),
        ("Idefics", {"size": 40, "image_size": 50}),
        ("Idefics", {"size": 40, "image_size": None}),
        ("Idefics", {"image_size": 50, "image_num_channels": 3}),
        ("MobileNetV2", {**SMALL, "do_reduce_labels": True}),
        ("OwlViT", {**SMALL, "rescale": False}),
        ("OwlViT", {**SMALL, "rescale": True, "do_rescale": False}),
        ("OwlViT", {**SMALL, "rescale": None}),
    ],
    ids=str,
)
@pytest.mark.parametrize("reference", [INSTALLED_ORDER, "torchvision"])
def test_a_familys_own_keys_mean_what_transformers_makes_of_them(family, reference, config):
    assert_same_meaning(family, reference, config)


@pytest.mark.parametrize("value", [None, 0], ids=str)
@pytest.mark.parametrize("family", ["CLIP", "ViT"])
def test_an_integer_size_is_the_short_edge_where_default_to_square_is_null(family, value):
    assert_same_meaning(family, INSTALLED_ORDER, {"size": 40, "default_to_square": value})


@pytest.mark.parametrize("key", ["size", "crop_size", "pad_size"])
def test_a_size_that_transformers_cannot_load_is_refused_even_where_its_step_is_off(key):
    config = {"do_resize": False, "do_center_crop": False, "do_pad": False, key: "40"}
    with pytest.raises(ValueError, match="size"):
        theirs("ViT", INSTALLED_ORDER, config, Image.fromarray(IMAGES[0]))
    (problem,) = refusal("ViT", config)
    assert problem.startswith(f"{key}:")


@pytest.mark.parametrize(("family", "reference"), CLASSES)
def test_it_reads_the_keys_that_transformers_reads(family, reference):
    processor = class_of(family, reference)
    read = set(processor.valid_kwargs.__annotations__)
    if not FAMILIES[family].has_torchvision:  # a class older than the backends
        read = set(inspect.signature(processor.__init__).parameters) - {"self", "kwargs"}
    callables = {"transform"}  # Idefics takes a function, which no file can hold
    assert read - set(FAMILIES[family].keys) <= METADATA | callables
    source = inspect.getsource(processor)
    assert [key for key in set(FAMILIES[family].keys) - read if key not in source] == []  # constructors read old keys


# Forms of size, null and defaults.


@pytest.mark.parametrize(
    ("family", "size", "expected"),
    [
        ("ViT", 40, Size(height=40, width=40)),
        ("CLIP", 40, Size(shortest_edge=40)),
        ("Siglip", 40, Size(shortest_edge=40)),
        ("CLIP", [40, 56], Size(height=40, width=56)),
        ("CLIP", (40, 56), Size(height=40, width=56)),
        ("CLIP", [40, 56, 3], Size(height=40, width=56)),
        ("ViT", {"shortest_edge": 40, "longest_edge": None}, Size(shortest_edge=40)),
        ("ViT", {"height": 40, "width": 56}, Size(height=40, width=56)),
        ("ViT", {"shortest_edge": 40}, Size(shortest_edge=40)),
        ("ViT", {"shortest_edge": 40, "longest_edge": 50}, Size(shortest_edge=40, longest_edge=50)),
        ("ViT", {"max_height": 40, "max_width": 50}, Size(max_height=40, max_width=50)),
        ("ViT", [LONGEST_SIDE, 2730], Size(height=LONGEST_SIDE, width=2730)),
    ],
    ids=str,
)
def test_forms_of_size(family, size, expected):
    assert step(family, Resize, {"size": size}).size == expected


@pytest.mark.parametrize(("value", "expected"), [(True, {"height": 40, "width": 40}), (False, {"shortest_edge": 40})])
@pytest.mark.parametrize("family", ["CLIP", "ViT"])
def test_default_to_square_decides_what_an_integer_size_is(family, value, expected):
    assert step(family, Resize, {"size": 40, "default_to_square": value}).size.to_json() == expected


def test_an_integer_crop_size_is_a_square_in_every_family():
    crop = step("CLIP", CenterCrop, {"crop_size": 40, "default_to_square": False})
    assert crop == CenterCrop(40, 40)


@pytest.mark.parametrize(
    ("size", "forms", "expected"),
    [
        ({"longest_edge": 40}, [{"longest_edge"}], {"longest_edge": 40}),
        ({"shortest_edge": None, "longest_edge": 40}, [{"longest_edge"}], {"longest_edge": 40}),
        (
            {"min_pixels": 1, "max_pixels": 10**6},
            [{"min_pixels", "max_pixels"}],
            {"min_pixels": 1, "max_pixels": 10**6},
        ),
        (40, [{"height", "width"}], {"height": 40, "width": 40}),
        ([40, 50], [{"longest_edge"}, {"height", "width"}], {"height": 40, "width": 50}),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else None,  # the order of a set changes
)
def test_a_family_may_read_forms_of_its_own(size, forms, expected):
    reader = Reader({"size": size}, default_to_square=True)
    assert (reader.size_keys("size", forms), reader.problems) == (expected, [])


@pytest.mark.parametrize(
    ("size", "forms", "words"),
    [
        (40, [{"longest_edge"}], "size: expected an integer, [height, width], or one of the key sets {longest_edge}"),
        ({"height": 4, "width": 4}, [{"longest_edge"}], "size: expected one of the key sets {longest_edge} (no rule"),
        ({"height": 4}, [{"longest_edge"}], "size: expected one of the key sets {longest_edge}, got {'height': 4}"),
        ({"longest_edge": 0}, [{"longest_edge"}], "size.longest_edge: expected an integer from 1 to 65535, got 0"),
        ({"longest_edge": 70_000}, [{"longest_edge"}], "size.longest_edge: expected an integer from 1 to 65535"),
        (
            {"longest_edge": True},
            [{"longest_edge"}],
            "size.longest_edge: expected an integer from 1 to 65535, got True",
        ),
        (
            {"min_pixels": 1, "max_pixels": 10**10},
            [{"min_pixels", "max_pixels"}],
            "size.max_pixels: expected an integer from 1 to 178956970, got 10000000000",
        ),
    ],
    ids=lambda value: str(value) if isinstance(value, (dict, str)) else None,
)
def test_what_is_none_of_a_familys_forms_is_one_problem(size, forms, words):
    reader = Reader({"size": size}, default_to_square=True)
    assert reader.size_keys("size", forms) == {}
    (problem,) = reader.problems
    assert problem.startswith(words)


SWITCHES = {
    "do_resize": Resize,
    "do_rescale": Rescale,
    "do_normalize": Normalize,
    "do_center_crop": CenterCrop,
    "do_convert_rgb": ConvertRGB,
}


@pytest.mark.parametrize("value", [None, False])
@pytest.mark.parametrize("key", SWITCHES)
def test_an_explicit_null_switches_the_step_off(key, value):
    """CLIP has all five on by default."""
    assert step("CLIP", SWITCHES[key], {}) is not None
    assert step("CLIP", SWITCHES[key], {key: value}) is None


@pytest.mark.parametrize("key", ["size", "resample", "crop_size", "rescale_factor", "image_mean", "image_std"])
def test_an_explicit_null_does_not_take_the_default(key):
    (problem,) = refusal("CLIP", {key: None})
    assert problem.startswith(f"{key}: ")
    assert problem.endswith("got None")


def test_missing_keys_take_the_class_defaults():
    """One number given; all else as the class says."""
    assert steps("CLIP", {"resample": 2})[1:3] == (
        Resize(Size(shortest_edge=224), "bilinear", INSTALLED_ORDER),
        CenterCrop(224, 224),
    )


def test_an_override_wins_over_the_file():
    assert steps("ViT", {"size": 40, "do_normalize": None}, {"size": 50, "do_normalize": True}) == steps(
        "ViT", {"size": 50, "do_normalize": True}
    )


def test_a_null_override_switches_off_what_the_file_has_on():
    assert steps("ViT", {"do_normalize": True}, {"do_normalize": None}) == steps("ViT", {"do_normalize": None})


def test_padding_to_the_batch_is_nothing_where_every_image_has_one_size():
    config = {**SMALL, "do_pad": True}
    assert steps("ViT", config) == steps("ViT", SMALL)
    assert step("ViT", Pad, {**config, "pad_size": 60}) == Pad(Size(height=60, width=60))


def test_the_files_numbers_are_kept_in_full():
    normalize = step("ViT", Normalize, {"image_mean": [0.48145466, 0.1, 1 / 3], "image_std": 0.7})
    assert normalize == Normalize((0.48145466, 0.1, 1 / 3), (0.7, 0.7, 0.7))


@pytest.mark.parametrize(("crop_pct", "edge"), [(224 / 256, 256), (0.9, 248), (0.95, 235), (1, 224)])
def test_crop_pct_rounds_down(crop_pct, edge):
    resize = step("ConvNext", Resize, {"size": 224, "crop_pct": crop_pct})
    assert resize.size == Size(shortest_edge=edge)


# Refusals.

REFUSED_VALUES = [
    *(
        ("ViT", {"size": size}, "size")
        for size in ("224", 224.0, True, None, [224], [], {}, {"height": 224}, {"longest_edge": 224})
    ),
    ("ViT", {"size": {"min_pixels": 1, "max_pixels": 9}}, "size"),
    ("ViT", {"size": {"height": 224, "width": 224, "depth": 3}}, "size"),
    ("ViT", {"size": {"height": 224, "width": None}}, "size"),
    *(
        ("ViT", {"size": size}, "size.height")
        for size in (0, -1, 10**10, LONGEST_SIDE + 1, [224.0, 224], {"height": "224", "width": 224}, [[1], 2])
    ),
    ("ViT", {"size": [224, True]}, "size.width"),
    ("ViT", {"size": [LONGEST_SIDE, 2731]}, "size"),
    ("CLIP", {"crop_size": LONGEST_SIDE}, "crop_size"),
    ("ViT", {"size": {"height": 224, "width": {"height": 3}}}, "size.width"),
    ("CLIP", {"size": 0}, "size.shortest_edge"),
    ("CLIP", {"size": {"shortest_edge": 224, "longest_edge": -1}}, "size.longest_edge"),
    ("CLIP", {"crop_size": {"shortest_edge": 224}}, "crop_size"),
    ("CLIP", {"crop_size": "224"}, "crop_size"),
    ("CLIP", {"crop_size": None}, "crop_size"),
    ("CLIP", {"crop_size": 0}, "crop_size.height"),
    *(("ViT", {"resample": value}, "resample") for value in (8, -1, 9, "bicubic", True, 2.0, None, [2])),
    *(("CLIP", {key: value}, key) for key in SWITCHES for value in ("true", "", 1, 0, [])),
    ("ViT", {"do_pad": "false"}, "do_pad"),
    ("EfficientNet", {"include_top": "true"}, "include_top"),
    ("EfficientNet", {"rescale_offset": 1}, "rescale_offset"),
    ("ViT", {"default_to_square": "true"}, "default_to_square"),
    *(("ViT", {"rescale_factor": value}, "rescale_factor") for value in ("1/255", None, True, math.nan, math.inf)),
    *(
        ("ViT", {key: value}, key)
        for key in ("image_mean", "image_std")
        for value in (
            [0.5, 0.5],
            [0.5] * 4,
            [],
            "0.5",
            None,
            math.nan,
            [0.5, math.inf, 0.5],
            [0.5, True, 0.5],
            {"r": 1},
        )
    ),
    *(("ViT", {"image_std": value}, "image_std") for value in (0, 0.0, [0.5, 0, 0.5], [0.5, -0.0, 0.5])),
    ("EfficientNet", {"do_normalize": False, "image_std": 0}, "image_std"),
    *(
        ("ConvNext", {"size": 224, "crop_pct": value}, "crop_pct")
        for value in (0, -0.5, 1.5, "0.9", None, math.nan, True)
    ),
    ("ConvNext", {"size": {"height": 224, "width": 224}}, "size"),
    ("ConvNext", {"size": {"max_height": 224, "max_width": 224}}, "size"),
    ("ConvNext", {"size": "224"}, "size"),
    ("ViT", {"do_pad": True, "pad_size": {"shortest_edge": 300}}, "pad_size"),
    ("ViT", {"do_pad": True, "pad_size": "300"}, "pad_size"),
]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_huge_size_is_refused_by_its_key(family):
    """Whichever key it is, and whatever the family makes of it."""
    defaults = FAMILIES[family].defaults
    on = {key: True for key in defaults if key in ("do_resize", "do_pad", "do_center_crop")}
    for key in {*defaults, *FAMILIES[family].own_keys, *FAMILIES[family].shared_keys}:
        if not key.endswith("size"):
            continue
        for huge in (LONGEST_SIDE, {"height": LONGEST_SIDE, "width": LONGEST_SIDE}):
            with contextlib.suppress(UnsupportedConfig):
                fixed = [getattr(step, "fixed_size", None) or (1, 1) for step in steps(family, {**on, key: huge})]
                assert all(math.prod(size) <= MOST_PIXELS for size in fixed)


@pytest.mark.parametrize(("family", "config", "path"), REFUSED_VALUES, ids=str)
def test_a_bad_value_is_refused_by_its_key(family, config, path):
    (problem,) = refusal(family, config)
    assert problem.startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("family", "config", "path"),
    [
        ("ViT", {"rescale_factor": 10**400}, "rescale_factor"),
        ("ViT", {"image_mean": [0.5, 10**400, 0.5]}, "image_mean"),
        ("ViT", {"image_std": 10**400}, "image_std"),
        ("ViT", {"image_std": 1e-60}, "image_std"),
        ("ConvNext", {"size": 224, "crop_pct": 1e-320}, "crop_pct"),
        ("ConvNext", {"size": 224, "crop_pct": 1e-9}, "crop_pct"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_numbers_that_no_float_or_size_holds_are_refused_by_their_key(family, config, path):
    (problem,) = refusal(family, config)
    assert problem.startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("family", "config", "words"),
    [
        ("ViT", {"size": {"longest_edge": 5}}, ["{height, width}", "{shortest_edge}", "got {'longest_edge': 5}"]),
        ("ViT", {"size": 10**10}, ["from 1 to 65535", "10000000000"]),
        ("ViT", {"resample": 9}, ["3 (bicubic)", "5 (hamming)", "got 9"]),
        ("ViT", {"image_mean": [1, 2]}, ["three", "got [1, 2]"]),
        ("ViT", {"image_std": 0}, ["divide", "got 0"]),
        ("ConvNext", {"size": [3, 4]}, ["{shortest_edge}", "got [3, 4]"]),
        ("ConvNext", {"size": 30, "crop_pct": 2}, ["above 0", "up to 1", "got 2"]),
    ],
    ids=str,
)
def test_a_refusal_says_what_was_expected_and_what_came(family, config, words):
    (problem,) = refusal(family, config)
    assert [word for word in words if word not in problem] == []


def test_long_values_are_cut_in_messages():
    (problem,) = refusal("ViT", {"size": "9" * 5000})
    assert len(problem) < 250


def test_every_problem_is_listed_at_once():
    bad = {
        "do_convert_rgb": 1,
        "size": "224",
        "crop_size": {"shortest_edge": 3},
        "resample": 9,
        "do_rescale": "yes",
        "image_mean": [1, 2],
        "image_std": 0,
        "do_pad": "no",
        "default_to_square": "no",
    }
    problems = refusal("CLIP", {**bad, "foo": 1}, {"sizes": 3}, strict=True)
    assert {problem.partition(":")[0] for problem in problems} == {*bad, "foo", "sizes"}
    assert len(problems) == len(bad) + 2


def test_the_error_message_holds_every_problem():
    with pytest.raises(UnsupportedConfig, match=r"size: .*; resample: ") as caught:
        steps("ViT", {"size": "x", "resample": 9})
    assert str(caught.value) == "; ".join(caught.value.problems)


def test_a_value_that_a_step_refuses_hides_no_other_problem():
    problems = refusal("ConvNext", {"size": 224, "crop_pct": 1e-9, "image_mean": "x"})
    assert any(problem.startswith("image_mean: ") for problem in problems)


# Keys that nobody reads.


def test_unread_keys_are_warned_about_by_name_and_left_out():
    with pytest.warns(UnreadKeyWarning, match="ViT does not read crop_pct, patch_size") as caught:
        result = steps("ViT", {"patch_size": 3, "crop_pct": 0.9})
    assert len(caught) == 1
    assert result == steps("ViT", {})


def test_an_unread_key_is_refused_under_strict():
    problems = refusal("ViT", {"patch_count": 9, "resampel": 3}, strict=True)
    assert problems == (
        "patch_count: ViT does not read this key",
        "resampel: ViT does not read this key (did you mean 'resample'?)",
    )


@pytest.mark.parametrize("strict", [True, False])
def test_metadata_passes_silently(strict):
    assert steps("ViT", dict.fromkeys(METADATA, "x"), strict=strict) == steps("ViT", {})


def test_an_unknown_override_is_refused_with_the_nearest_name():
    (problem,) = refusal("ViT", {}, {"do_normalise": False})
    assert problem.startswith("do_normalise: ViT has no such key (did you mean 'do_normalize'?)")


def test_an_override_that_only_another_family_reads_is_refused():
    (problem,) = refusal("ViT", {}, {"crop_pct": 0.9})
    assert problem.startswith("crop_pct: ViT has no such key")
    assert steps("ConvNext", {"size": 224}, {"crop_pct": 0.9})


@pytest.mark.parametrize("key", ["image_processor_type", "model_type"])
def test_metadata_is_no_override(key):
    (problem,) = refusal("ViT", {}, {key: "ViT"})
    assert problem.startswith(f"{key}: ViT has no such key")
