"""Whole pipelines in every backend, and the torch module as people compile it."""

import contextlib

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from runtime import InputError
from runtime.backends.torch import Preprocess
from runtime.lowering import check_size, lower
from runtime.ops import Cast, CenterCrop, FlipChannels, Normalize, Pad, Rescale, Resize
from runtime.ops.pad import MODES
from runtime.ops.resize import FILTERS, ORDERS
from runtime.ops.resize_torch import resize_op
from runtime.ops.size import FORMS, Size

from .helpers import assert_equal, assert_everywhere, backends, first, make_plan, noise, script, sides

CLIP = Normalize((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
PIPELINES = {
    "ViT": (Resize(Size(height=224, width=224), "bilinear", "pillow13"), Rescale(1 / 255), CLIP),
    "CLIP": (
        Resize(Size(shortest_edge=224), "bicubic", "pillow12.1"),
        CenterCrop(224, 224),
        Rescale(1 / 255),
        CLIP,
    ),
    "EfficientNet": (
        Resize(Size(height=120, width=100), "nearest", "pillow13"),
        CenterCrop(96, 97),
        Rescale(1 / 127.5, 1.0),
        Cast("float16"),
    ),
    "DETR": (Resize(Size(shortest_edge=160, longest_edge=260), "lanczos", "pillow12.2"), Rescale(1 / 255), CLIP),
    "padded": (
        Resize(Size(max_height=100, max_width=90), "hamming", "pillow13"),
        FlipChannels(),
        Rescale(1 / 255),
        Pad(Size(height=100, width=90), (0.5,)),
    ),
    "cropped": (CenterCrop(90, 120), FlipChannels(), Pad(Size(height=100, width=130), (7.0,)), CLIP, Cast("float16")),
    "resized later": (CenterCrop(90, 120), Resize(Size(shortest_edge=50), "box", "pillow13"), Rescale(1 / 255)),
}
SHAPES = [(117, 165), (165, 117), (100, 100), (31, 300), (640, 40)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", PIPELINES)
def test_pipelines(name, shape):
    steps, image = PIPELINES[name], noise(*shape)
    expected = image
    for step in steps:
        expected = step.reference(expected)
    assert_everywhere(make_plan(*steps), np.stack([image, image]), first(expected, expected))


@pytest.mark.parametrize("name", PIPELINES)
def test_channels_first_files(name):
    image = noise(90, 131)
    expected = backends(make_plan(*PIPELINES[name]))["pil"](image[None])["pixel_values"]
    assert_everywhere(make_plan(*PIPELINES[name], layout="NCHW"), image, expected)


@st.composite
def pipelines(draw):
    """Any steps, in any order that a Plan allows."""
    side = sides(80)
    numbers = st.tuples(*[st.floats(0.125, 8)] * 3)
    size = draw(st.sampled_from([sorted(form) for form in FORMS]))
    fixed = st.builds(lambda height, width: Size(height=height, width=width), st.integers(60, 90), st.integers(60, 90))
    grown = st.sampled_from([Size(ceil_to=8), Size(square=1), Size(square=16)])
    targets = st.one_of(fixed, grown)
    spatial = st.one_of(
        st.builds(
            Resize,
            st.builds(Size, **dict.fromkeys(size, side)),
            st.sampled_from(sorted(FILTERS)),
            st.sampled_from(ORDERS),
        ),
        st.builds(CenterCrop, side, side),
        st.just(FlipChannels()),
        st.builds(Pad, targets, st.tuples(st.integers(0, 255).map(float)), st.booleans(), st.sampled_from(MODES)),
    )
    pointwise = st.one_of(
        st.builds(Rescale, st.floats(0.125, 0.875), st.floats(-1, 1)),
        st.builds(Normalize, numbers, numbers),
        st.builds(Cast, st.sampled_from(["float32", "float16"])),
    )
    behind = st.one_of(st.just(FlipChannels()), st.builds(Pad, targets, st.tuples(st.floats(0, 200))))
    lists = [st.lists(spatial, max_size=3), st.lists(pointwise, max_size=3), st.lists(behind, max_size=2)]
    return tuple(step for part in lists for step in draw(part))


@given(pipelines(), st.lists(st.tuples(sides(90), sides(90)), min_size=1, max_size=3))
@settings(max_examples=150)
def test_any_pipeline(steps, shapes):
    plan = make_plan(*steps)
    for shape in shapes:
        try:
            height, width = check_size(lower(steps), *shape)
        except InputError:
            continue
        assume(height * width < 50_000)
        image = expected = noise(*shape)
        for step in steps:
            expected = step.reference(np.ascontiguousarray(expected))
        assert_everywhere(plan, image, first(expected))


# --- The torch module


@pytest.fixture(params=["eager", "script"])
def module(request):
    module = Preprocess(make_plan(*PIPELINES["CLIP"])).eval()
    return module if request.param == "eager" else script(module)


def test_channels_first_and_last_give_the_same(module):
    images = np.stack([noise(50, 70, seed) for seed in range(2)])
    (expected,) = backends(make_plan(*PIPELINES["CLIP"]))["pil"](images).values()
    last = torch.from_numpy(images)
    for batch in (last, last.permute(0, 3, 1, 2), last.permute(0, 3, 1, 2).contiguous()):
        outputs = module(batch)
        assert list(outputs) == ["pixel_values"]
        assert_equal(outputs["pixel_values"], expected, f"strides {batch.stride()}")


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(1, 8, 8, 3), "expected uint8 images"),
        (torch.zeros(8, 8, 3, dtype=torch.uint8), "expected uint8 images"),
        (torch.zeros(1, 8, 8, 4, dtype=torch.uint8), "expected 3 channels, first or last"),
        (torch.zeros(1, 8, 3, 8, dtype=torch.uint8), "expected 3 channels, first or last"),
    ],
)
def test_other_tensors_are_refused(module, images, message):
    with pytest.raises((ValueError, torch.jit.Error), match=message):
        module(images)


def test_the_module_adds_nothing_to_a_checkpoint():
    module = Preprocess(make_plan(*PIPELINES["CLIP"]))
    assert not list(module.parameters())
    assert not module.state_dict()


@contextlib.contextmanager
def changed(setter, value, before):
    setter(value)
    try:
        yield
    finally:
        setter(before)


SETTINGS = {
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "matmul precision": lambda: changed(torch.set_float32_matmul_precision, "medium", "highest"),
    "float16": lambda: changed(torch.set_default_dtype, torch.float16, torch.float32),
    "float64": lambda: changed(torch.set_default_dtype, torch.float64, torch.float32),
    "deterministic": lambda: changed(torch.use_deterministic_algorithms, True, False),
    "threads": lambda: changed(torch.set_num_threads, 4, 1),
    "default device": lambda: torch.device("meta"),  # as torch.set_default_device("cuda") on a machine with one
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_torchs_settings_change_nothing(module, setting):
    images = noise(300, 200)[None]
    (expected,) = backends(make_plan(*PIPELINES["CLIP"]))["pil"](images).values()
    batch = torch.from_numpy(images)
    with SETTINGS[setting]():
        values = module(batch)["pixel_values"]
    assert_equal(values, expected, setting)


@pytest.mark.parametrize("crop", [[0, 0], [9, 8]])
@pytest.mark.parametrize("rule", ["height, width", "shortest_edge", "max_height, max_width"])
def test_the_custom_op_keeps_torchs_rules(rule, crop):
    image = torch.from_numpy(first(noise(50, 41)))
    torch.library.opcheck(resize_op, (image, rule, [20, 30], "bilinear", 1.0, "pillow13", "pillow", crop, "pil"))


def compile_fresh(plan, **options):
    torch.compiler.reset()
    return torch.compile(Preprocess(plan).eval(), fullgraph=True, **options)


@pytest.mark.one_in(3)
@pytest.mark.parametrize("name", PIPELINES)
def test_compiled(name):
    plan = make_plan(*PIPELINES[name])
    compiled = compile_fresh(plan)
    for shape in [*SHAPES, (1, 40)]:
        images = noise(*shape)[None]
        expected = backends(plan)["pil"](images)["pixel_values"]
        for batch in (torch.from_numpy(images), torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()):
            assert_equal(compiled(batch)["pixel_values"], expected, f"compiled {name} at {shape}")


@pytest.mark.parametrize("name", ["CLIP", "DETR"])
def test_compiled_once_for_all_sizes(name):
    plan = make_plan(*PIPELINES[name])
    compiled = compile_fresh(plan, dynamic=True)
    compiled(torch.from_numpy(noise(50, 60)[None]))
    with torch._dynamo.config.patch(error_on_recompile=True):
        for shape in SHAPES:
            images = noise(*shape)[None]
            expected = backends(plan)["pil"](images)["pixel_values"]
            assert_equal(compiled(torch.from_numpy(images))["pixel_values"], expected, f"{name} at {shape}")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("name", PIPELINES)
def test_on_a_gpu(name, compiled, monkeypatch):
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", True)
    plan = make_plan(*PIPELINES[name])
    module = compile_fresh(plan).cuda() if compiled else Preprocess(plan).eval().cuda()
    for shape in SHAPES:
        images = noise(*shape)[None]
        expected = backends(plan)["pil"](images)["pixel_values"]
        assert_equal(module(torch.from_numpy(images).cuda())["pixel_values"].cpu(), expected, f"GPU, {name} at {shape}")
