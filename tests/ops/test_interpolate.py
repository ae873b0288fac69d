"""Interpolate against torch itself, in every backend: to the last bit."""

import itertools
import math

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import exporter
from exporter.onnx import build
from runtime import InputError, ParityError, Plan
from runtime.backends.torch import Preprocess
from runtime.ops import Cast, CenterCrop, Clamp, FlipChannels, Interpolate, Normalize, Pad, Rescale
from runtime.ops.size import MOST_PIXELS, Size
from runtime.ops.table import apply

from .. import helpers
from ..helpers import assert_equal, backends, first, make_plan, near, noise, session, sides, with_plan

MODES = list(itertools.product(["bilinear", "bicubic"], [False, True], [False, True]))
TO_FLOATS = Rescale(1 / 255)
NORMALIZE = Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))

every_mode = pytest.mark.parametrize(("filter", "antialias", "align_corners"), MODES)
same_positions = pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"), reason="torch rounds positions otherwise here"
)


@pytest.fixture(autouse=True, scope="module")
def two_threads():
    """The reference is torch on more than one: on one, its bilinear kernel takes other positions."""
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


def interpolated(images, size, filter, antialias, align_corners):
    """torch itself on floats ``[N, C, H, W]``, which lie as in transformers."""
    how = {"mode": filter, "antialias": antialias, "align_corners": align_corners}
    return F.interpolate(torch.tensor(images).contiguous(), size, **how).numpy()


def assert_everywhere(plan, images):
    """torch's bits from every backend; ``plan`` ends with the step."""
    images = images[None] if images.ndim == 3 else images
    step = plan.steps[-1]
    floats = first(*(TO_FLOATS.reference(image) for image in images))
    size = step.size.output_size(*images.shape[1:3])
    expected = interpolated(floats, size, step.filter, step.antialias, step.align_corners)
    helpers.assert_everywhere(plan, images, expected)


def interpolate_plan(*settings, **size):
    return make_plan(TO_FLOATS, Interpolate(Size(**size), *settings))


# --- Pixels


@same_positions
@every_mode
@given(height=sides(150), width=sides(150), data=st.data())
@settings(max_examples=6)
def test_equals_torch_at_any_size(filter, antialias, align_corners, height, width, data):
    plan = interpolate_plan(filter, antialias, align_corners, height=height, width=width)
    for _ in range(3):
        assert_everywhere(plan, noise(data.draw(near(height)), data.draw(near(width))))


@pytest.mark.one_in(5)
@same_positions
@every_mode
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((1, 1), (7, 5)),
        ((7, 5), (1, 1)),
        ((1, 300), (9, 2)),
        ((300, 1), (2, 9)),
        ((300, 40), (9, 1)),
        ((40, 300), (70, 1)),
        ((30, 40), (30, 40)),
        ((30, 40), (30, 41)),
        ((480, 640), (224, 224)),
        ((2, 3), (600, 17)),
        ((5, 3), (1, 1500)),
        ((3000, 4), (16, 16)),
        ((4, 3732), (5, 123)),  # torch's kernel for small results ends at 128 rows and columns
        ((4, 3938), (5, 124)),
        ((4, 2936), (5, 124)),
    ],
)
def test_equals_torch_at_hard_sizes(filter, antialias, align_corners, before, after):
    plan = interpolate_plan(filter, antialias, align_corners, height=after[0], width=after[1])
    images = np.stack([noise(*before), np.where(noise(*before, seed=1) < 128, 0, 255).astype(np.uint8)])
    assert_everywhere(plan, images)


@same_positions
@every_mode
@given(edge=sides(60), longest=sides(120), data=st.data())
@settings(max_examples=3)
def test_equals_torch_where_the_size_follows_the_image(filter, antialias, align_corners, edge, longest, data):
    for size in ({"shortest_edge": edge}, {"shortest_edge": edge, "longest_edge": longest}):
        plan = interpolate_plan(filter, antialias, align_corners, **size)
        for _ in range(2):
            shape = data.draw(near(edge)), data.draw(near(longest))
            try:
                height, width = Size(**size).output_size(*shape)
            except InputError:
                continue
            if height * width < 100_000:
                assert_everywhere(plan, noise(*shape))


@same_positions
@pytest.mark.parametrize("channels", [1, 4])
def test_other_numbers_of_channels(channels):
    plan = make_plan(TO_FLOATS, Interpolate(Size(height=20, width=30), "bicubic", True), channels=channels)
    assert_everywhere(plan, noise(33, 27, channels=channels))


@pytest.mark.parametrize("filter", ["bilinear", "bicubic"])
def test_one_thread_gives_the_same_bits(filter):
    run = backends(interpolate_plan(filter, False, height=70, width=90))["torch"]
    images = noise(50, 900)[None]
    expected = run(images)["pixel_values"]
    torch.set_num_threads(1)
    try:
        assert_equal(run(images)["pixel_values"], expected, "one thread")
    finally:
        torch.set_num_threads(2)


@same_positions
@pytest.mark.parametrize("filter", ["bilinear", "bicubic"])
@pytest.mark.parametrize(
    ("before", "after"),
    [((100, 9), (24, 1)), ((9, 1), (24, 1)), ((100, 20), (1, 1)), ((24, 9), (24, 1)), ((24, 1), (24, 1))],
)
def test_a_result_of_one_column(filter, before, after):
    """All its rows are the first one, but where none is resized: so it is in torch 2.15, and in transformers."""
    images = noise(*before)[None]
    assert_everywhere(interpolate_plan(filter, True, height=after[0], width=after[1]), images)
    rule = Interpolate(Size(height=after[0], width=after[1]), filter, True)
    result = rule.reference(noise(*before).astype(np.float32))
    assert (result == result[:1]).all() == (before[0] != after[0])


@same_positions
@pytest.mark.parametrize("rule", [{"shortest_edge": 1}, {"height": 40, "width": 1}, {"limit_max": 40}])
def test_a_column_whose_size_follows_the_image(rule):
    for size in ((100, 3), (100, 1), (40, 1), (30, 30)):
        assert_everywhere(interpolate_plan("bilinear", True, **rule), noise(*size))


@pytest.mark.one_in(4)
@every_mode
def test_compiled_once_for_all_sizes(filter, antialias, align_corners):
    plan = interpolate_plan(filter, antialias, align_corners, shortest_edge=20)
    torch.compiler.reset()
    compiled = torch.compile(Preprocess(plan).eval(), fullgraph=True, dynamic=True)
    compiled(torch.from_numpy(noise(50, 60)[None]))
    with torch._dynamo.config.patch(error_on_recompile=True):
        for shape in [(97, 131), (131, 97), (40, 40), (12, 300)]:
            images = noise(*shape)[None]
            expected = backends(plan)["torch"](images)["pixel_values"]
            assert_equal(compiled(torch.from_numpy(images))["pixel_values"].numpy(), expected, f"compiled at {shape}")


# --- Steps around it


@pytest.mark.parametrize(
    "behind",
    [
        (NORMALIZE,),
        (Clamp(0.1, 0.9), NORMALIZE, Cast("float16")),
        (FlipChannels(), Rescale(0.3, 0.7), Pad(Size(height=70, width=70), (-1.5,)), NORMALIZE),
        (CenterCrop(50, 80), Rescale(1.7, precision="float32")),
    ],
)
def test_steps_behind(behind):
    before = TO_FLOATS, Interpolate(Size(height=60, width=61), "bicubic", False)
    image = noise(80, 47)
    expected = first(apply((*before, *behind), image))
    helpers.assert_everywhere(make_plan(*before, *behind), image, expected)


SIZE = {"size": {"height": 90, "width": 80}}
FAMILIES = {
    "DepthPro": SIZE,
    "DINOv3ViT": SIZE,
    "PPDocLayoutV4": {**SIZE, "image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4]},
    "PPOCRV5ServerDet": {"limit_side_len": 70},
    "RfDetr": {"size": {"shortest_edge": 70, "longest_edge": 150}},
    "UVDoc": SIZE,
    "ZoeDepth": {"size": {"height": 96, "width": 128}},
}


@same_positions
@pytest.mark.parametrize("family", FAMILIES)
def test_plans_of_families(family, tmp_path):
    processor = getattr(transformers, f"{family}ImageProcessor")(**FAMILIES[family])
    processor.save_pretrained(tmp_path)
    plan = exporter.trace(tmp_path, reference="torchvision")
    assert plan.bound == 0
    for shape in [(97, 131), (131, 97), (300, 200), (33, 900), (90, 80)]:
        image = noise(*shape)
        outputs = processor(Image.fromarray(image), return_tensors="np")
        helpers.assert_everywhere(plan, image, {name: np.asarray(value) for name, value in outputs.items()})


# --- Plans and files


@every_mode
def test_plans_come_back(filter, antialias, align_corners):
    plan = interpolate_plan(filter, antialias, align_corners, shortest_edge=20, longest_edge=30)
    assert Plan.from_json(plan.to_json()) == plan
    assert plan.bound == 0
    assert str(plan).endswith("as torch")
    assert ("not antialiased" in str(plan), "corners" in str(plan)) == (not antialias, align_corners)


@pytest.mark.parametrize("opset", [18, 19, 20, 21, 22, 23])
def test_every_opset_gives_the_same(opset):
    plan = make_plan(*interpolate_plan("bicubic", True, shortest_edge=20).steps, Clamp(0, 1), NORMALIZE)
    images = noise(45, 31)[None]
    expected = backends(plan)["onnx"](images)["pixel_values"]
    (got,) = session(build(plan, opset)).run(None, {"images": images})
    assert_equal(got, expected, f"opset {opset}")


def test_the_graph_holds_no_resize_node():
    model = build(interpolate_plan("bilinear", True, shortest_edge=20))
    ops = {node.op_type for node in model.graph.node}
    assert not {"Resize", "MatMul"} & ops  # runtimes round their sums as they like


def written(steps, path, claimed=None, **fields):
    """A file of ``steps`` that claims to hold ``claimed``."""
    onnx.save(with_plan(build(make_plan(*steps, **fields)), make_plan(*(claimed or steps), **fields)), path)
    return path


STEPS = TO_FLOATS, Interpolate(Size(height=30, width=40), "bilinear", False), NORMALIZE


def test_files_are_verified_to_the_bit(tmp_path):
    assert all(row.differing == 0 for row in exporter.verify(written(STEPS, tmp_path / "own.onnx")))
    for name, other in [
        ("near", (Rescale(1.0000003 / 255), *STEPS[1:])),
        ("corners", (TO_FLOATS, Interpolate(Size(height=30, width=40), "bilinear", False, True), NORMALIZE)),
    ]:
        file = written(other, tmp_path / f"{name}.onnx", STEPS, input_size=(97, 131))
        with pytest.raises(ParityError, match="values differ"):
            exporter.verify(file)


def test_torchscript_files_are_verified(tmp_path):
    exporter.to_torchscript(make_plan(*STEPS), tmp_path / "plan.pt")
    assert all(row.differing == 0 for row in exporter.verify(tmp_path / "plan.pt"))


# --- Refusals


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("lanczos", True), "filter: expected one of bilinear, bicubic, got 'lanczos'"),
        ((2, True), "filter: expected one of .*, got 2"),
        (("bilinear", None), "antialias: expected true or false, got None"),
        (("bilinear", 1), "antialias: expected true or false, got 1"),
        (("bilinear", True, "yes"), "align_corners: expected true or false, got 'yes'"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Interpolate(Size(height=1, width=1), *settings)


@pytest.mark.parametrize("before", [(), (CenterCrop(5, 5),), (Cast("float16"),), (TO_FLOATS, Cast("float16"))])
def test_other_dtypes_are_refused(before):
    dtype = "float16" if Cast("float16") in before else "uint8"
    with pytest.raises(ValueError, match=f"'interpolate .*' works on float32, but comes on {dtype}"):
        make_plan(*before, Interpolate(Size(height=1, width=1), "bilinear", True))


@every_mode
@pytest.mark.parametrize("before", [(1, 100), (100, 1)])
def test_a_rule_that_leaves_no_pixel_is_refused_everywhere(filter, antialias, align_corners, before):
    plan = interpolate_plan(filter, antialias, align_corners, max_height=9, max_width=9)
    with pytest.raises(
        InputError, match=rf"{before[0]}x{before[1]} .* 'max_height 9, max_width 9': expected at least 1"
    ):
        plan.steps[1].reference(TO_FLOATS.reference(noise(*before)))
    for run in backends(plan).values():
        with pytest.raises(Exception, match=r"no_pixel|no pixel|at least 1 pixel"):
            run(noise(*before)[None])


def test_a_rule_that_asks_for_too_many_pixels_is_refused():
    with pytest.raises(InputError, match=rf"resized to 10x600000000 .*: expected at most {MOST_PIXELS} pixels"):
        Size(shortest_edge=10).output_size(1, 60_000_000)
    assert math.prod(Size(shortest_edge=10).output_size(1, MOST_PIXELS // 100)) < MOST_PIXELS


# --- Exhaustive


@pytest.mark.slow
@same_positions
@pytest.mark.parametrize("seed", range(10))
@every_mode
def test_sweep(filter, antialias, align_corners, seed):
    rng = np.random.default_rng(seed)
    for _ in range(4):
        height, width = (int(n) for n in rng.integers(1, rng.choice([30, 400]), 2))
        plan = interpolate_plan(filter, antialias, align_corners, height=height, width=width)
        for low, high in itertools.product([1, 30, 400, 3000], repeat=2):
            assert_everywhere(plan, noise(*(int(n) for n in rng.integers(1, (low + 1, high + 1)))))
