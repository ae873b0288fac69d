"""``exporter.register_transformers``: image processors of its backend beside transformers' own classes, bit for bit."""

import concurrent.futures
import copy
import itertools
import json
import logging
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers import AutoImageProcessor, AutoProcessor, pipeline
from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING

import exporter
from exporter.trace import installed_pillow
from exporter.transformers import NAME, Options, processor_class, register
from exporter.transformers_calls import MOST_SETTINGS, prepare
from models.families import FAMILIES
from models.refused import REFUSED
from runtime import BackendUnavailable, InputError, Preprocessor, UnsupportedConfig

from .families import NEEDED, config
from .helpers import noise

FORMS = ("pt", "np", None)

TORCHVISION = Options(reference="torchvision")

NEVER = {
    "OneFormer": "transformers' class gives pixel_values, pixel_mask, task_inputs",
    "VideoLlava": "VideoLlava: its class is older than transformers' backends",
    "VitMatte": "expected images only, got inputs beside them",
    "Vivit": "Vivit: its class is older than transformers' backends",
    **{
        name: f"{name} resizes floats, whose bits depend on torch's threads"
        for name in (
            "DepthPro", "DINOv3ViT", "Owlv2", "PPDocLayoutV4", "PPOCRV5ServerDet", "PPOCRV5ServerRec", "RfDetr",
            "UVDoc", "ZoeDepth",
        )
    },
}  # fmt: skip
"""Families that are left to transformers, with the reason."""

FEW = (
    "Beit", "CLIP", "ConvNext", "Detr", "Donut", "Flava", "Idefics", "LayoutLMv3", "OneFormer", "PI0", "SuperGlue",
    "Swin2SR", "VideoMAE", "ViT", "VitMatte", "Vivit",
)  # fmt: skip
"""Of each kind of class one, the small ones."""


def picture(height, width, seed=0):
    return Image.fromarray(noise(height, width, seed))


def base_of(name, reference="pillow"):
    """transformers' class that gives the reference."""
    family = FAMILIES[name]
    pil = family.has_pil and family.has_torchvision and reference != "torchvision"
    return getattr(transformers, f"{name}ImageProcessor{'Pil' if pil else ''}")


def pair(name, options=None, **keys):
    """Of one family with these keys: the processor of our backend, and transformers' own."""
    options = options or Options()
    base, keys = base_of(name, options.reference), {**config(name), **keys}
    return processor_class(base, options)(**keys), base(**keys)


def outcome(processor, *images, **kwargs):
    """The result, or what the error says."""
    try:
        return processor(*images, **kwargs)
    except Exception as error:  # transformers raises about anything
        return type(error), str(error)


def assert_same(got, want, what=""):
    """Types, keys in order, dtypes, shapes and bits."""
    assert type(got) is type(want), f"{what}: {got}, expected {want}"
    if hasattr(want, "keys"):
        assert list(got) == list(want), what
        for key in want:
            assert_same(got[key], want[key], f"{what}: {key}")
    elif isinstance(want, (list, tuple)) or str(getattr(want, "dtype", "")) == "object":  # NumPy mixes sizes
        assert len(got) == len(want), what
        for mine, theirs in zip(got, want, strict=True):
            assert_same(mine, theirs, what)
    elif hasattr(want, "dtype"):
        assert (got.dtype, got.shape) == (want.dtype, want.shape), what
        assert np.array_equal(got, want), f"{what}: {int((got != want).sum())} of {want.size} values differ"
    else:
        assert got == want, what


def arguments(name, image):
    """What the family takes for one image."""
    if name == "VitMatte":
        return image, image.convert("L")
    return ({"": image, "pair": [image, image], "video": [image, image]}[FAMILIES[name].group],)


@pytest.fixture(scope="module")
def backends():
    """The backend in two forms, until the tests of this file are done."""
    exporter.register_transformers()
    exporter.register_transformers("exact-strict", strict=True)
    yield
    IMAGE_PROCESSOR_MAPPING._extra_content.clear()


@pytest.fixture
def reasons(caplog):
    """What was left to transformers, and why."""
    caplog.set_level(logging.INFO, "exporter.transformers")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "exporter.transformers"]


# Every family


def check_family(name, options, sizes, forms, reasons, **keys):
    """The same results at every size; and by a Plan, but for those of :data:`NEVER`."""
    ours, theirs = pair(name, options, **keys)
    left = set()
    for (height, width), form in itertools.product(sizes, forms):
        images, before = arguments(name, picture(height, width)), len(reasons())
        want = outcome(theirs, *images, return_tensors=form)
        assert_same(outcome(ours, *images, return_tensors=form), want, f"{name}, {options}, {height}x{width}, {form}")
        if not isinstance(want, tuple):  # an error
            left |= {reason.partition("left to transformers: ")[2] for reason in reasons()[before:]}
    if type(ours) is type(theirs):
        with pytest.raises(UnsupportedConfig, match=NEVER[name]):
            pair(name, Options("strict", options.reference, strict=True))
    else:
        # The torchvision class alone gives lists of lists of tensors.
        lists = {"transformers' class gives something else"} if (name, options) == ("Tvp", TORCHVISION) else set()
        assert left == ({NEVER[name]} if name in NEVER else lists)


@pytest.mark.parametrize("name", FEW)
def test_a_family(name, reasons):
    check_family(name, Options(), [(60, 90)], FORMS, reasons)


@pytest.mark.parametrize("name", ["CLIP", "Detr"])
def test_a_family_of_torchvision(name, reasons):
    check_family(name, TORCHVISION, [(60, 90), (90, 61)], FORMS, reasons)


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
        "device": st.sampled_from(["cpu", None]),
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


@pytest.mark.parametrize("kind", sorted(set(IMAGES) - {"gray array", "float", "integer", "no image"}))
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


def test_the_layout_of_an_array_is_what_the_caller_says():
    """An image of three rows, which is taken for channels first else."""
    ours, theirs = pair("ViT", Options(strict=True))
    for layout in (None, "channels_last", "channels_first"):
        got, want = (p(noise(3, 3), return_tensors="np", input_data_format=layout) for p in (ours, theirs))
        assert_same(got, want)


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
        ("CLIP", {"images": np.zeros((60, 90, 3), np.float32)}, "expected uint8 images of 3 channels, got float32 of"),
        ("ViT", {"images": picture(60, 90).convert("L")}, "expected uint8 images of 3 channels, got uint8 of shape"),
        ("ConvNext", {"crop_pct": 1.5, "size": {"shortest_edge": 64}}, "crop_pct: expected a number above 0"),
        ("LayoutLMv3", {"apply_ocr": True}, "apply_ocr: "),
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


@pytest.mark.skipif(installed_pillow() == "pillow12.1", reason="needs a Pillow with another order of passes")
def test_an_older_pillow_is_strict(backends, tmp_path):
    register("pillow-12.1", reference="pillow12.1")
    (tmp_path / "preprocessor_config.json").write_text('{"image_processor_type": "ViTImageProcessor"}')
    processor = AutoImageProcessor.from_pretrained(tmp_path, backend="pillow-12.1")
    with pytest.raises(InputError, match="got float64"):
        processor(np.zeros((60, 90, 3)))
    (tmp_path / "preprocessor_config.json").write_text('{"image_processor_type": "Sam2ImageProcessor"}')
    with pytest.raises(UnsupportedConfig, match="Sam2: transformers has no PIL class for it"):
        AutoImageProcessor.from_pretrained(tmp_path, backend="pillow-12.1")


# AutoImageProcessor, files, pickles


@pytest.mark.parametrize("name", [*FEW, "Sam2", "ImageGPT", "MaskFormer"])
def test_load_and_save(name, backends, tmp_path):
    """The files are those that transformers' class writes, and say nothing of the backend."""
    keys = {**NEEDED.get(name, {}), "do_rescale": False}
    base_of(name)(**keys).save_pretrained(tmp_path / "source")
    ours = AutoImageProcessor.from_pretrained(tmp_path / "source", backend=NAME, do_normalize=False)
    theirs = AutoImageProcessor.from_pretrained(tmp_path / "source", backend="pil", do_normalize=False)
    assert ours.backend == (NAME if name != "Vivit" else theirs.backend) if hasattr(theirs, "backend") else True
    assert isinstance(ours, base_of(name))
    assert repr(ours) == repr(theirs)
    assert ours.to_dict() == theirs.to_dict()
    for processor, folder in ((ours, "ours"), (theirs, "theirs")):
        processor.save_pretrained(tmp_path / folder)
    files = [(tmp_path / folder / "preprocessor_config.json").read_bytes() for folder in ("ours", "theirs")]
    assert files[0] == files[1]
    again = AutoImageProcessor.from_pretrained(tmp_path / "ours", backend=NAME)
    assert type(again) is type(ours)
    assert again.to_dict() == ours.to_dict()


def test_without_the_type_the_model_says_what_it_is(backends, tmp_path):
    transformers.ViTConfig().save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text('{"size": 32}')
    assert AutoImageProcessor.from_pretrained(tmp_path, backend=NAME).backend == NAME


def test_other_backends_stay_what_they_were(backends, tmp_path):
    for name in ("CLIP", "Sam2", "LlavaNext"):
        (tmp_path / "preprocessor_config.json").write_text(
            json.dumps({"image_processor_type": f"{name}ImageProcessor"})
        )
        processor = AutoImageProcessor.from_pretrained(tmp_path)
        assert type(processor) is getattr(transformers, f"{name}ImageProcessor")
    with pytest.raises(ValueError, match="Could not find module NoSuchClass"):
        transformers.ProcessorMixin.get_possibly_dynamic_module("NoSuchClass")


@pytest.mark.parametrize("name", ["LlavaNext", "Qwen2VL", "Gemma3", "Vivit"])
def test_a_processor_that_is_not_supported(name, backends, tmp_path):
    """transformers' own PIL class; or an error where the backend is strict."""
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"image_processor_type": f"{name}ImageProcessor"}))
    ours = AutoImageProcessor.from_pretrained(tmp_path, backend=NAME)
    assert type(ours) is type(AutoImageProcessor.from_pretrained(tmp_path, backend="pil"))
    reason = REFUSED[name].reason if name in REFUSED else "older than transformers' backends"
    with pytest.raises(UnsupportedConfig, match=reason):
        AutoImageProcessor.from_pretrained(tmp_path, backend="exact-strict")


def test_every_processor_of_transformers_has_an_answer(backends):
    """It is one of ours, or transformers' own for a reason."""
    answers = {}
    for classes in IMAGE_PROCESSOR_MAPPING._extra_content.values():
        base = classes.get("pil") or classes["torchvision"]
        answers[base.__name__.removesuffix("Pil").removesuffix("ImageProcessor")] = classes[NAME] is not base
    assert {name for name, taken in answers.items() if taken} == set(FAMILIES) - {"VideoLlava", "Vivit"}
    assert {name for name, taken in answers.items() if not taken} == {*REFUSED, "VideoLlava", "Vivit", "TimmWrapper"}


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda p: pickle.loads(pickle.dumps(p))])
def test_copies(copied):
    ours, theirs = pair("ViT", Options("copied", strict=True), size={"height": 30, "width": 40})
    again = copied(ours)
    assert type(again) is type(ours)
    assert again.to_dict() == theirs.to_dict()
    assert_same(again(picture(60, 90), return_tensors="pt"), theirs(picture(60, 90), return_tensors="pt"))
    again.do_resize = False
    assert ours.do_resize


@pytest.mark.slow
def test_a_pickle_in_a_new_process(tmp_path):
    """Where nothing was registered."""
    ours, theirs = pair("ViT", Options(strict=True))
    (tmp_path / "processor").write_bytes(pickle.dumps(ours))
    np.save(tmp_path / "image.npy", noise(60, 90))
    code = (
        "import pickle, numpy as np; p = pickle.load(open('processor', 'rb')); print(p.backend);"
        "np.save('out.npy', p(np.load('image.npy'), return_tensors='np').pixel_values)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == NAME
    assert_same(np.load(tmp_path / "out.npy"), theirs(noise(60, 90), return_tensors="np").pixel_values)


class Pictures(torch.utils.data.Dataset):
    """Images through a processor, as a DataLoader's workers see them."""

    def __init__(self, processor):
        self.processor = processor

    def __len__(self):
        return 4

    def __getitem__(self, i):
        return self.processor(picture(60 + i, 90), return_tensors="pt").pixel_values[0]


def test_workers_of_a_data_loader():
    ours, theirs = pair("ViT", Options(strict=True), size={"height": 30, "width": 40})
    ours(picture(60, 90))  # compiled, and with threads, before the fork
    (got,) = torch.utils.data.DataLoader(Pictures(ours), batch_size=4, num_workers=1, multiprocessing_context="fork")
    assert_same(got, torch.stack([Pictures(theirs)[i] for i in range(4)]))


def test_many_threads():
    ours, theirs = pair("CLIP", Options(strict=True))
    calls = [(picture(40 + i % 7, 50 + i % 5), {"crop_size": 20 + i % 6}) for i in range(60)]
    prepare.cache_clear()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda call: ours(call[0], return_tensors="np", **call[1]), calls))
    for result, (image, overrides) in zip(got, calls, strict=True):
        assert_same(result, theirs(image, return_tensors="np", **overrides))


WITHOUT = """
import importlib.machinery, sys

class Finder(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name in {missing} else super().find_spec(name, path, target)

sys.meta_path = [Finder if finder is importlib.machinery.PathFinder else finder for finder in sys.meta_path]
import exporter, numpy as np
exporter.register_transformers(strict=True)
from transformers import AutoImageProcessor
image = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)
got, want = (AutoImageProcessor.from_pretrained(".", backend=name) for name in ("export-preprocessor", "pil"))
assert got.backend == "export-preprocessor"
assert np.array_equal(got(image, return_tensors="np").pixel_values, want(image, return_tensors="np").pixel_values)
assert not set({missing}) & set(sys.modules)
"""


@pytest.mark.slow
@pytest.mark.parametrize("missing", [("torchvision",), ("torch", "torchvision")])
def test_without_torchvision(missing, tmp_path):
    """transformers then has its PIL classes under two names; and none of ours is said to be missing."""
    (tmp_path / "preprocessor_config.json").write_text('{"image_processor_type": "CLIPImageProcessor"}')
    code = WITHOUT.replace("{missing}", repr(missing))
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert "falling back" not in done.stderr.lower()


# Pipelines and processors of several parts

TINY = {
    "image-classification": lambda: transformers.ViTForImageClassification(
        transformers.ViTConfig(
            hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=32,
            patch_size=8, num_labels=5,
        )
    ),
    "object-detection": lambda: transformers.YolosForObjectDetection(
        transformers.YolosConfig(
            hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=[64, 64],
            patch_size=16, num_detection_tokens=5, num_labels=3,
        )
    ),
    "image-segmentation": lambda: transformers.SegformerForSemanticSegmentation(
        transformers.SegformerConfig(
            num_encoder_blocks=2, depths=[1, 1], sr_ratios=[2, 1], hidden_sizes=[8, 16], patch_sizes=[7, 3],
            strides=[4, 2], num_attention_heads=[1, 2], mlp_ratios=[2, 2], decoder_hidden_size=16, num_labels=4,
        )
    ),
}  # fmt: skip
PROCESSORS = {
    "image-classification": ("ViT", {"size": {"height": 32, "width": 32}}),
    "object-detection": ("Yolos", {"size": {"shortest_edge": 48, "longest_edge": 64}}),
    "image-segmentation": ("Segformer", {"size": {"height": 64, "width": 64}}),
}
OPTIONS = {"object-detection": {"threshold": 0.0}}


@pytest.mark.parametrize("task", TINY)
def test_pipelines(task, backends, tmp_path):
    torch.manual_seed(0)
    model = TINY[task]().eval()
    name, keys = PROCESSORS[task]
    model.save_pretrained(tmp_path)
    base_of(name)(**keys).save_pretrained(tmp_path)
    ours, theirs = (AutoImageProcessor.from_pretrained(tmp_path, backend=name) for name in ("exact-strict", "pil"))
    for source in (model, str(tmp_path)):
        got, want = (
            pipeline(task, model=source, image_processor=processor, device="cpu")(
                [picture(60, 90), picture(90, 61)], **OPTIONS.get(task, {})
            )
            for processor in (ours, theirs)
        )
        assert len(got) == 2
        assert len(got[0]) >= 1
        assert got == want


def test_a_processor_with_a_tokenizer(backends, tmp_path):
    vocabulary = {"<|startoftext|>": 0, "<|endoftext|>": 1, "a": 2, "a</w>": 3, "b</w>": 4}
    tokenizer = transformers.CLIPTokenizer(vocab=vocabulary, merges=[])
    transformers.CLIPProcessor(transformers.CLIPImageProcessorPil(), tokenizer).save_pretrained(tmp_path)
    transformers.CLIPConfig().save_pretrained(tmp_path)
    ours, theirs = (AutoProcessor.from_pretrained(tmp_path, backend=backend) for backend in ("exact-strict", "pil"))
    assert ours.image_processor.backend == "exact-strict"
    got, want = (p(text=["a b"], images=[picture(60, 90)], return_tensors="pt") for p in (ours, theirs))
    assert set(got) == {"input_ids", "attention_mask", "pixel_values"}
    assert_same(got, want)
    for processor, folder in ((ours, "ours"), (theirs, "theirs")):
        processor.save_pretrained(tmp_path / folder)
    files = [(tmp_path / folder / "processor_config.json").read_bytes() for folder in ("ours", "theirs")]
    assert files[0] == files[1]


# Registering


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"reference": "pillow9"}, "reference: expected pillow, pillow13, .*; got 'pillow9'"),
        ({"name": "pil"}, "name: 'pil' is a backend of transformers' own"),
        ({"name": "torchvision"}, "name: 'torchvision' is a backend of transformers' own"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        exporter.register_transformers(**arguments)


@pytest.mark.parametrize(
    ("package", "reference"),
    [("transformers", "pillow"), ("transformers", "torchvision"), ("torchvision", "torchvision")],
)
def test_a_missing_package(package, reference, monkeypatch):
    find_spec = exporter.transformers.importlib.util.find_spec
    monkeypatch.setattr(
        exporter.transformers.importlib.util, "find_spec", lambda name: None if name == package else find_spec(name)
    )
    with pytest.raises(BackendUnavailable, match=f"needs {package}: pip install {package}"):
        exporter.register_transformers(reference=reference)


def test_a_transformers_without_backends(monkeypatch):
    monkeypatch.setattr(AutoImageProcessor, "register", staticmethod(lambda config_class, exist_ok=False: None))
    with pytest.raises(BackendUnavailable, match="no backends to register: pip install -U transformers"):
        exporter.register_transformers()


def test_nothing_is_imported_before_it_is_needed():
    code = "import sys, exporter; assert not {'transformers', 'torch', 'exporter.transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
