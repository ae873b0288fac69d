"""Calls of ``exporter.register_transformers``' image processors: transformers' own results, bit for bit."""

import concurrent.futures
import itertools
import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import exporter
from exporter.trace import installed_pillow
from exporter.transformers import Calls, Options, processor_class
from exporter.transformers_calls import MOST_SETTINGS, _preprocessor, prepare
from models.families import FAMILIES
from runtime import InputError, Preprocessor, UnsupportedConfig
from runtime.ops import Branch, Interpolate, Rescale
from runtime.ops.size import Size

from .drop_in import (
    BY_THREADS,
    FEW,
    FORMS,
    NEVER,
    TORCHVISION,
    arguments,
    assert_same,
    batches,
    messages,
    outcome,
    pair,
    picture,
)  # fmt: skip
from .families import threads
from .helpers import noise


@pytest.fixture
def reasons(caplog):
    """What was left to transformers, and why."""
    caplog.set_level(logging.INFO, "exporter.transformers")
    return lambda: messages(caplog)


# Every family


def check_family(name, options, sizes, batch_forms, reasons, **keys):
    """The same results at every size and of batches; and by a Plan, but for those of :data:`NEVER`."""
    ours, theirs = pair(name, options, **keys)
    singles = {f"{height}x{width}": arguments(name, picture(height, width)) for height, width in sizes}
    calls = [*itertools.product(singles.items(), FORMS), *itertools.product(batches(name).items(), batch_forms)]
    ran, left = 0, set()
    for (what, images), form in calls:
        before = len(reasons())
        with threads(2):
            want, got = (outcome(processor, *images, return_tensors=form) for processor in (theirs, ours))
        if isinstance(want, tuple) and not isinstance(got, tuple):  # masks of mixed sizes but as tensors
            assert (name, options, what) == ("Vilt", TORCHVISION, "mixed")
            continue
        assert_same(got, want, f"{name}, {options}, {what}, {form}")
        if not isinstance(want, tuple):  # an error
            left |= {reason.partition("left to transformers: ")[2] for reason in reasons()[before:]}
            ran += 1
    assert ran >= len(FORMS)
    if type(ours) is type(theirs):
        with pytest.raises(UnsupportedConfig, match=NEVER[name]):
            pair(name, Options("strict", options.reference, strict=True))
        return
    # The torchvision class alone gives lists of lists of tensors; and lines of text are stretched to the widest.
    also = "transformers' class gives something else" if (name, options) == ("Tvp", TORCHVISION) else NEVER.get(name)
    left = {reason for reason in left if "transformers stretches all of a batch" not in reason}
    assert left == ({also} if also else set())
    if name in NEVER:
        assert ours.calls.exact == 0
    else:
        assert ours.calls.exact >= ran - ours.calls.left > 0


SMALL = {name: {"size": {"shortest_edge": 64, "longest_edge": 90}} for name in ("Detr", "OneFormer")}
"""Sizes for those that take long."""


@pytest.mark.parametrize("name", FEW)
def test_a_family(name, reasons):
    check_family(name, Options(), [(60, 90)], ["pt"], reasons, **SMALL.get(name, {}))


@pytest.mark.parametrize("name", ["CLIP", "Detr", "VideoMAE"])
def test_a_family_of_torchvision(name, reasons):
    check_family(name, TORCHVISION, [(60, 90), (90, 61)], ["pt"], reasons, **SMALL.get(name, {}))


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("options", [Options(), TORCHVISION], ids=["pillow", "torchvision"])
def test_every_family(name, options, reasons):
    check_family(name, options, [(480, 640), (131, 97), (64, 64), (31, 33), (40, 300)], FORMS, reasons)


# Settings of a call

SIZES = st.sampled_from(
    [
        {"height": 40, "width": 31}, {"shortest_edge": 33}, {"shortest_edge": 30, "longest_edge": 44}, 32, [20, 30],
        {"max_height": 40, "max_width": 30}, {"longest_edge": 30}, {"height": 5},
    ]
)  # fmt: skip
SWITCH = st.sampled_from([True, False, None])
NUMBERS = st.sampled_from([0.5, 2, [0.1, 0.2, 0.3], (0.4, 0.5, 1), [0.5, 0.5], None])
OVERRIDES = st.fixed_dictionaries(
    {"return_tensors": st.sampled_from([*FORMS, "tf", transformers.TensorType.NUMPY])},
    optional={
        "size": SIZES,
        "crop_size": SIZES,
        "pad_size": st.sampled_from([150, {"height": 140, "width": 150}, 20, None]),
        "resample": st.sampled_from([0, 1, 2, 3, 4, 5, Image.Resampling.BICUBIC, 9, None]),
        "do_resize": SWITCH,
        "do_center_crop": SWITCH,
        "do_pad": SWITCH,
        "do_rescale": SWITCH,
        "do_normalize": SWITCH,
        "do_convert_rgb": SWITCH,
        "rescale_factor": st.sampled_from([1 / 255, 0.5, 1, 2, None]),
        "image_mean": NUMBERS,
        "image_std": NUMBERS,
        "default_to_square": SWITCH,
        "data_format": st.sampled_from(["channels_first", "channels_last", None]),
        "device": st.sampled_from(["cpu", torch.device("cpu", 0), "meta", None]),
        "disable_grouping": SWITCH,
        "input_data_format": st.sampled_from(["channels_first", "channels_last", None]),
        "crop_pct": st.just(0.9),  # of some families only
    },
)
IMAGES = {
    "PIL": lambda height, width: picture(height, width),
    "grayscale": lambda height, width: picture(height, width).convert("L"),
    "transparent": lambda height, width: picture(height, width).convert("RGBA"),
    "palette": lambda height, width: picture(height, width).quantize(20),
    "array": lambda height, width: noise(height, width),
    "channels first": lambda height, width: np.moveaxis(noise(height, width), -1, 0),
    "batch": lambda height, width: np.stack([noise(height, width, seed) for seed in range(2)]),
    "tensor": lambda height, width: torch.from_numpy(noise(height, width)).permute(2, 0, 1),
    "gray array": lambda height, width: noise(height, width)[..., 0],
    "float": lambda height, width: noise(height, width).astype(np.float32) / 255,
    "float tensor": lambda height, width: torch.from_numpy(noise(height, width) / 255).permute(2, 0, 1),
    "floats of levels": lambda height, width: noise(height, width).astype(np.float64),
    "integer": lambda height, width: noise(height, width).astype(np.int64),
    "no image": lambda height, width: "no such file",
}


def made(kinds):
    """One image, or a list of them in two sizes; a batch is no member of a list."""
    if len(kinds) == 1:
        return IMAGES[kinds[0]](40, 53)
    return [IMAGES[kind](*((40, 53) if i % 2 else (61, 37))) for i, kind in enumerate(kinds) if kind != "batch"]


def check_overrides(name, options, kinds, overrides):
    (ours, theirs), images = pair(name, options), made(kinds)
    assert_same(outcome(ours, images, **overrides), outcome(theirs, images, **overrides), f"{name}: {kinds}")


KINDS = st.lists(st.sampled_from([*IMAGES, "PIL", "PIL", "array"]), min_size=1, max_size=3)


@given(st.sampled_from(["ViT", "CLIP", "ConvNext", "Detr", "Beit"]), KINDS, OVERRIDES)
@settings(max_examples=150)
def test_overrides(name, kinds, overrides):
    check_overrides(name, Options(), kinds, overrides)


@given(st.sampled_from(["ViT", "CLIP", "Detr", "Sam2"]), KINDS, OVERRIDES)
def test_overrides_of_torchvision(name, kinds, overrides):
    check_overrides(name, TORCHVISION, kinds, overrides | ({"size": 64} if name == "Sam2" else {}))


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(FAMILIES) - {"VitMatte", "SuperGlue", "LightGlue", "EfficientLoFTR"}))
@given(st.data())
@settings(max_examples=40)
def test_overrides_of_every_family(name, data):
    options = data.draw(st.sampled_from([Options(), TORCHVISION]))
    size = {"size": {"height": 64, "width": 64}} if name in FAMILIES else {}
    check_overrides(name, options, data.draw(KINDS), size | data.draw(OVERRIDES))


@pytest.mark.parametrize(
    "kind", ["PIL", "grayscale", "transparent", "palette", "array", "channels first", "batch", "tensor"]
)
def test_uint8_images_are_not_left_to_transformers(kind):
    processor, _ = pair("CLIP", Options(strict=True))
    assert processor(IMAGES[kind](40, 53), return_tensors="np").pixel_values.shape[1:] == (3, 224, 224)


@pytest.mark.parametrize(
    "overrides",
    [
        {"size": {"height": 40, "width": 31}},
        {"size": {"shortest_edge": 33}, "do_center_crop": False},
        {"do_resize": False, "crop_size": 90},
        {"do_normalize": False},
        {"do_rescale": False},
        {"do_rescale": False, "do_normalize": False},
        {"image_mean": 0.5, "image_std": (0.1, 0.2, 0.3), "resample": 1},
        {"input_data_format": "channels_last", "data_format": "channels_last", "device": "cpu"},
    ],
    ids=str,
)
def test_these_settings_are_not_left_to_transformers(overrides):
    ours, theirs = pair("CLIP", Options(strict=True))
    for form in FORMS:
        got, want = (processor(noise(61, 37), return_tensors=form, **overrides) for processor in (ours, theirs))
        assert_same(got, want)


@pytest.mark.parametrize("name", ["ViT", "CLIP", "Detr", "VideoMAE", "SuperGlue"])
def test_floats_that_are_not_rescaled_are_not_left_to_transformers(name):
    """They are resized by way of uint8; values that are not in [0, 1], and images of other dtypes, are left."""
    ours, theirs = pair(name, **SMALL.get(name, {}))
    images = {dtype: (noise(60, 90) / 255).astype(dtype) for dtype in ("float16", "float32", "float64")}
    images["channels first"] = np.moveaxis(images["float32"], -1, 0)
    images["tensor"] = torch.from_numpy(images["channels first"].copy())
    images["zeros"] = np.zeros((60, 90, 3)) + np.eye(90)[:60, :, None]
    images["levels"] = noise(60, 90).astype(np.float32)
    count = {}
    for what, image in images.items():
        for form in FORMS:
            given_images = {"": image, "pair": [image, image], "video": [image, image]}[FAMILIES[name].group]
            got, want = (outcome(p, given_images, do_rescale=False, return_tensors=form) for p in (ours, theirs))
            assert_same(got, want, f"{what}, {form}")
            count[what] = ours.calls.exact
    floats = [count[what] for what in ("float16", "float32", "float64", "channels first", "tensor")]
    assert floats == [3, 6, 9, 12, 15]
    assert count["levels"] == count["zeros"]
    if FAMILIES[name].group:
        return
    for mixed in ([images["float32"], noise(50, 40)], [images["float32"], picture(50, 40)]):
        got, want = (outcome(processor, mixed, do_rescale=False, return_tensors="np") for processor in (ours, theirs))
        assert_same(got, want)
    assert ours.calls.exact == 15
    layout = {"do_rescale": False, "return_tensors": "np", "input_data_format": "channels_first"}
    for image in (np.moveaxis(noise(60, 90), -1, 0), images["channels first"]):  # the same settings, but for the dtype
        assert_same(ours(image, **layout), theirs(image, **layout))
    assert ours.calls.exact == 17


@pytest.mark.parametrize("options", [Options(), TORCHVISION])
def test_torchs_default_dtype(options):
    """transformers' torchvision class rescales to it."""
    ours, theirs = pair("ViT", options, size={"height": 30, "width": 40})
    for dtype in (torch.float32, torch.float64, torch.float32):
        torch.set_default_dtype(dtype)
        try:
            got, want = (p(picture(60, 90), return_tensors="pt", do_normalize=False) for p in (ours, theirs))
        finally:
            torch.set_default_dtype(torch.float32)
        assert_same(got, want)
    assert (ours.calls.exact, ours.calls.left) == ((2, 1) if options == TORCHVISION else (3, 0))


@pytest.mark.parametrize(
    ("options", "keys", "reason"),
    [
        (TORCHVISION, {}, "ViT does not resize these floats by way of uint8"),
        (Options(), {"do_resize": False}, "ViT does not resize these floats by way of uint8"),
    ],
)
def test_floats_that_stay_floats_are_left_to_transformers(options, keys, reason):
    ours, theirs = pair("ViT", options, **keys)
    image = (noise(60, 90) / 255).astype(np.float32)
    got, want = (processor(image, do_rescale=False, return_tensors="np") for processor in (ours, theirs))
    assert_same(got, want)
    assert ours.calls.reason == reason


@pytest.mark.parametrize("name", BY_THREADS)
def test_bits_that_depend_on_the_number_of_threads(name, monkeypatch):
    """transformers' class gives others on one thread: its own then, or an error; and ours again on more."""
    options = Options("threads", strict=True)
    small = {"size": {"height": 160, "width": 160}}
    (ours, theirs), (strict, _) = pair(name, **small), pair(name, options, **small)
    results = []
    for number, exact in ((1, 0), (2, 1), (1, 1), (2, 2)):
        with threads(number), monkeypatch.context() as patch:
            if number == 1:
                patch.delattr("exporter.transformers_calls._noise")  # nothing is compared in vain
            results.append(theirs(picture(97, 131), return_tensors="np"))
            assert_same(ours(picture(97, 131), return_tensors="np"), results[-1])
            assert ours.calls.exact == exact
            if number == 1:
                with pytest.raises(InputError, match="expected more than one thread of torch"):
                    strict(picture(97, 131), return_tensors="np")
            else:
                assert_same(strict(picture(97, 131), return_tensors="np"), results[-1])
    assert not np.array_equal(results[0].pixel_values, results[1].pixel_values)


def test_the_layout_of_an_array_is_what_the_caller_says():
    """An image of three rows, which is taken for channels first else."""
    ours, theirs = pair("ViT", Options(strict=True))
    for layout in (None, "channels_last", "channels_first"):
        got, want = (p(noise(3, 3), return_tensors="np", input_data_format=layout) for p in (ours, theirs))
        assert_same(got, want)


def test_names_of_the_cpu():
    ours, theirs = pair("ViT", Options("cpu", "torchvision", strict=True))
    for device in ("cpu", "cpu:0", torch.device("cpu", 0)):
        got, want = (p(picture(60, 90), return_tensors="pt", device=device) for p in (ours, theirs))
        assert_same(got, want)


def test_floats_are_resized_by_torch_itself():
    """The fastest that has its bits; on one thread as on more where it is antialiased."""
    ours, theirs = pair("DINOv3ViT", Options("torch's", strict=True))
    prepare.cache_clear()
    with threads(1):
        got, want = (processor(picture(60, 90), return_tensors="np") for processor in (ours, theirs))
    assert_same(got, want)
    plan = exporter.trace("vit-base-patch16-224")
    floats = replace(
        plan, steps=(Branch("other", (Rescale(0.5), Interpolate(Size(height=9, width=8), "bicubic", True))),)
    )
    assert [_preprocessor(p).backend for p in (plan, floats)] == ["numba", "torch"]


def test_attributes_are_settings_too():
    ours, theirs = pair("CLIP", Options(strict=True))
    for processor in (ours, theirs):
        processor.do_center_crop, processor.image_mean = False, (0.1, 0.2, 0.3)
        processor.size = transformers.image_utils.SizeDict(height=30, width=40)
    assert_same(ours(picture(60, 90), return_tensors="pt"), theirs(picture(60, 90), return_tensors="pt"))


def test_an_attribute_that_no_call_changes(reasons):
    """The colour of DeepSeek's padding is that of the mean at the start, whatever a call says."""
    means = ([0.1, 0.2, 0.3], [0.9, 0.8, 0.7])
    first = pair("DeepseekVL", image_mean=means[0])
    second = pair("DeepseekVL", image_mean=means[1])
    for ours, theirs in (first, second):
        for mean in means:
            got, want = (p(picture(60, 90), return_tensors="np", image_mean=mean) for p in (ours, theirs))
            assert_same(got, want, str(mean))
    left = "DeepseekVLImageProcessorPil: left to transformers: transformers' class gives something else"
    assert reasons() == [left] * 2  # where a call's mean is another


def test_numbers_are_compared_with_their_types():
    """torchvision multiplies a uint8 by 1 in uint8, and by 1.0 in float32."""
    dtypes = []
    for factor in (1.0, 1, 1.0):
        ours, theirs = pair("ViT", TORCHVISION, do_normalize=False)
        ours.rescale_factor = theirs.rescale_factor = factor
        got, want = (p(picture(60, 90), return_tensors="np") for p in (ours, theirs))
        assert_same(got, want, repr(factor))
        dtypes.append(str(want.pixel_values.dtype))
    assert dtypes == ["float32", "uint8", "float32"]


def test_settings_are_prepared_once_and_kept_up_to_a_limit():
    ours, _ = pair("ViT", Options("counted", strict=True))
    prepare.cache_clear()
    for edge in (30, 31, 30, 31):
        ours(picture(60, 90), size={"height": edge, "width": 32}, return_tensors="np")
        ours([picture(90, 60)] * 2, size={"height": edge, "width": 32}, return_tensors="np")
    assert (prepare.cache_info().misses, prepare.cache_info().hits) == (2, 6)
    assert prepare.cache_info().maxsize == MOST_SETTINGS


# What is left to transformers

ANNOTATION = {
    "image_id": 7,
    "annotations": [{"image_id": 7, "category_id": 1, "bbox": [10, 12, 30, 20], "area": 600, "iscrowd": 0}],
}


@pytest.mark.parametrize(
    ("name", "arguments", "reason"),
    [
        ("Detr", {"annotations": ANNOTATION}, "expected images only, got inputs beside them"),
        ("Beit", {"segmentation_maps": noise(60, 90)[..., 0]}, "expected images only, got inputs beside them"),
        ("SegGpt", {"prompt_images": picture(60, 90)}, "expected images only, got inputs beside them"),
        ("CLIP", {"images": np.zeros((60, 90, 3), np.float32)}, "expected images of uint8 and 3 channels, got float32"),
        ("ViT", {"images": picture(60, 90).convert("L")}, "expected images of uint8 and 3 channels, got uint8 of"),
        ("ConvNext", {"crop_pct": 1.5, "size": {"shortest_edge": 64}}, "crop_pct: expected a number above 0"),
        ("LayoutLMv3", {"apply_ocr": True}, "apply_ocr: "),
        ("Owlv2", {"size": {"height": 64, "width": 64}}, NEVER["Owlv2"]),
        ("Detr", {"do_pad": False, "images": [picture(60, 90), picture(90, 60)]}, "pixel_values: these images give"),
    ],
)
def test_what_no_plan_stands_for(name, arguments, reason, reasons):
    arguments = {"images": picture(60, 90), "return_tensors": "pt", **arguments}
    ours, theirs = pair(name)
    assert_same(outcome(ours, **arguments), outcome(theirs, **arguments))
    assert [message for message in reasons() if f"left to transformers: {reason}" in message], reasons()
    strict, _ = pair(name, Options(strict=True))
    with pytest.raises((InputError, UnsupportedConfig), match=reason):
        strict(**arguments)


def test_a_broken_file_gives_transformers_error(tmp_path):
    path = tmp_path / "broken.png"
    picture(60, 90).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    ours, theirs = pair("CLIP")
    with Image.open(path) as image:
        want = outcome(theirs, image, return_tensors="np")
    assert want[0] is OSError
    with Image.open(path) as image:
        assert_same(outcome(ours, image, return_tensors="np"), want)


def test_a_path_is_read_by_transformers(tmp_path):
    path = tmp_path / "a.png"
    picture(60, 90).save(path)
    ours, theirs = pair("CLIP", Options(strict=True))
    assert_same(ours(str(path), return_tensors="pt"), theirs(str(path), return_tensors="pt"))


def test_a_class_that_another_release_changed(reasons):
    """The registry knows one release of transformers; what gives other pixels is left alone."""

    class ViTImageProcessorPil(transformers.ViTImageProcessorPil):
        def normalize(self, image, mean, std, **kwargs):
            return super().normalize(image, mean, std) + np.float32(1e-6)

    ours, theirs = processor_class(ViTImageProcessorPil, Options())(), ViTImageProcessorPil()
    assert_same(ours(picture(60, 90), return_tensors="np"), theirs(picture(60, 90), return_tensors="np"))
    assert reasons() == ["ViTImageProcessorPil: left to transformers: transformers' class gives something else"]


def test_settings_that_no_comparison_can_be_made_for():
    """All of the noise is larger than what is padded to."""
    ours, theirs = pair("Detr", do_resize=False, pad_size={"height": 20, "width": 20})
    assert_same(ours(picture(9, 12), return_tensors="np"), theirs(picture(9, 12), return_tensors="np"))
    strict, _ = pair("Detr", Options(strict=True), do_resize=False, pad_size={"height": 20, "width": 20})
    with pytest.raises(UnsupportedConfig, match="takes none of the images that settings are compared on"):
        strict(picture(9, 12), return_tensors="np")


def test_calls_are_counted_and_the_first_one_that_is_left_is_a_warning(caplog):
    caplog.set_level(logging.INFO, "exporter.transformers")
    ours, _ = pair("CLIP")
    assert ours.calls == Calls()
    floats = np.zeros((60, 90, 3), np.float32)
    for image in (picture(60, 90), floats, floats[1:], picture(60, 90)):
        ours(image, return_tensors="np")
    reason = "expected images of uint8 and 3 channels, got float32 of shape (3, 59, 90)"
    assert ours.calls == Calls(2, 2, reason)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    strict, _ = pair("CLIP", Options(strict=True))
    with pytest.raises(InputError):
        strict(floats)
    assert strict.calls == Calls()
    assert len(caplog.records) == 2


def test_a_pil_class_takes_any_device_and_stays_on_the_cpu():
    ours, theirs = pair("ViT", Options(strict=True))
    got, want = (p(picture(60, 90), return_tensors="pt", device="cuda:7") for p in (ours, theirs))
    assert_same(got, want)
    assert got.pixel_values.device.type == "cpu"


def test_tensors_of_torchvision_that_numpy_does_not_know():
    """The class takes them, and so does what stands in front of it."""
    ours, theirs = pair("ViT", TORCHVISION)
    image = torch.from_numpy(noise(60, 90)).permute(2, 0, 1)
    for values in (image.bfloat16(), image.float().requires_grad_()):
        got, want = (processor(values, return_tensors="pt").pixel_values for processor in (ours, theirs))
        assert got.requires_grad == want.requires_grad == values.requires_grad
        assert torch.equal(got, want)


def test_another_device_is_left_to_transformers(reasons):
    ours, theirs = pair("ViT", TORCHVISION)
    got, want = (outcome(p, picture(60, 90), return_tensors="pt", device="meta") for p in (ours, theirs))
    assert type(got) is type(want)
    assert reasons() == ["ViTImageProcessor: left to transformers: device: expected the CPU, got meta"]


def test_without_numba(monkeypatch):
    """Pillow, or torch's own kernel, in place of compiled code."""
    find_spec = exporter.transformers_calls.importlib.util.find_spec
    monkeypatch.setattr(
        exporter.transformers_calls.importlib.util,
        "find_spec",
        lambda name: None if name == "numba" else find_spec(name),
    )
    for options in (Options("bare", strict=True), Options("bare", "torchvision", strict=True)):
        ours, theirs = pair("CLIP", options)
        for image in (picture(60, 90), picture(200, 90)):
            assert_same(ours(image, return_tensors="pt"), theirs(image, return_tensors="pt"))


# Older Pillows


@pytest.mark.skipif(installed_pillow() == "pillow12.1", reason="needs a Pillow with another order of passes")
def test_the_pixels_of_an_older_pillow(tmp_path):
    ours, theirs = pair("ViT", Options("old", "pillow12.1"), size={"height": 90, "width": 60})
    theirs.save_pretrained(tmp_path)
    image = picture(400, 61)
    plan = exporter.trace(tmp_path, reference="pillow12.1")
    want = Preprocessor(plan, "pil")(image)["pixel_values"]
    assert_same(ours(image, return_tensors="np").pixel_values, want)
    assert not np.array_equal(want, theirs(image, return_tensors="np").pixel_values)


# Threads


def test_many_threads():
    ours, theirs = pair("CLIP", Options(strict=True))
    calls = [(picture(40 + i % 7, 50 + i % 5), {"crop_size": 20 + i % 6}) for i in range(60)]
    prepare.cache_clear()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda call: ours(call[0], return_tensors="np", **call[1]), calls))
    for result, (image, overrides) in zip(got, calls, strict=True):
        assert_same(result, theirs(image, return_tensors="np", **overrides))
