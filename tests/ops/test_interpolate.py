"""Interpolate against torch itself, in every backend."""

import functools
import itertools
import math

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.models.depth_pro.image_processing_depth_pro import DepthProImageProcessor
from transformers.models.dinov3_vit.image_processing_dinov3_vit import DINOv3ViTImageProcessor
from transformers.models.pp_doclayout_v4.image_processing_pp_doclayout_v4 import PPDocLayoutV4ImageProcessor
from transformers.models.uvdoc.image_processing_uvdoc import UVDocImageProcessor

import exporter
from exporter.onnx import build
from runtime import InputError, ParityError, Plan, artifact, interpolation
from runtime.backends.torch import Preprocess
from runtime.ops import Cast, CenterCrop, Clamp, FlipChannels, Interpolate, Normalize, Pad, Rescale
from runtime.ops.size import MOST_PIXELS, Size
from runtime.ops.table import apply

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
    """torch itself on floats ``[N, C, H, W]``."""
    how = {"mode": filter, "antialias": antialias, "align_corners": align_corners}
    if antialias and size[1] == 1 and size[0] > 1:  # where torch 2.15 gives every row the first row's weights
        return interpolated(images.swapaxes(2, 3), size[::-1], filter, antialias, align_corners).swapaxes(2, 3)
    return F.interpolate(torch.tensor(images), size, **how).numpy()


def assert_near(got, expected, what, bound=Interpolate.bound):
    assert got.dtype == expected.dtype, what
    assert got.shape == expected.shape, what
    difference = np.abs(got - expected).max()
    assert difference <= bound * max(1, np.abs(expected).max()), f"{what}: {difference:.2e} away"


def assert_everywhere(plan, images, expected=None):
    """torch's bits from torch, and within the bound from the others; ``expected`` comes from the Plan by default."""
    images = images[None] if images.ndim == 3 else images
    step = plan.steps[-1]
    if expected is None:
        floats = first(*(TO_FLOATS.reference(image) for image in images))
        size = step.size.output_size(*images.shape[1:3])
        expected = interpolated(floats, size, step.filter, step.antialias, step.align_corners)
    for name, run in backends(plan).items():
        got = run(images)["pixel_values"]
        what = f"{name}, {step} from {images.shape[1]}x{images.shape[2]}"
        (assert_equal if name.startswith("torch") else assert_near)(got, expected, what)


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


def test_a_result_of_one_column_is_not_its_first_row():
    column = np.repeat(np.arange(0, 240, dtype=np.uint8)[:, None, None], 3, axis=2)
    images = np.repeat(column, 20, axis=1)[None]
    for name, run in backends(interpolate_plan("bilinear", True, height=24, width=1)).items():
        got = run(images)["pixel_values"][0, 0, :, 0] * 255
        # A triangle over twenty rows has its mean in the middle of ten of them.
        assert np.abs(got - (np.arange(24) * 10 + 4.5))[1:-1].max() < 1e-3, name


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


# --- Weights


@every_mode
def test_windows_hold_every_weight(filter, antialias, align_corners, monkeypatch):
    rng = np.random.default_rng(0)
    pairs = [*itertools.product(range(1, 9), range(1, 20)), *rng.integers(1, 300, (60, 2)).tolist()]
    for (n_in, n_out), fused in itertools.product(pairs, (False, True)):
        weights = functools.partial(interpolation.block_weights, n_in, n_out, filter, antialias, align_corners, fused)
        starts, blocks = weights(8)
        got = np.zeros((blocks.shape[0] * 8, n_in + blocks.shape[2]))
        for i, start in enumerate(starts.astype(int)):
            got[i * 8 : i * 8 + 8, start : start + blocks.shape[2]] = blocks[i]
        with monkeypatch.context() as patch:
            patch.setattr(interpolation, "window_size", lambda n_in, *_: n_in)
            _, expected = weights(1)
        assert_equal(got[:n_out, :n_in], expected[:, 0], f"weights from {n_in} to {n_out}")


@same_positions
@pytest.mark.parametrize(
    ("filter", "n_in", "n_out"), [("bilinear", 3732, 123), ("bilinear", 3938, 124), ("bicubic", 2936, 124)]
)
def test_one_rounding_more_or_less_passes_the_bound(filter, n_in, n_out, monkeypatch):
    floats = TO_FLOATS.reference(np.where(np.arange(n_in) % 2, 255, 0).astype(np.uint8).reshape(1, -1, 1))
    step = Interpolate(Size(height=5, width=n_out), filter, False)
    expected = interpolated(first(np.repeat(floats, 3, axis=2)), (5, n_out), filter, False, False)[:, :1]
    assert_near(first(step.reference(floats)), expected, "reference")
    fused = interpolation.is_fused(5, n_out, filter)
    monkeypatch.setattr(interpolation, "is_fused", lambda *_: not fused)
    assert np.abs(first(step.reference(floats)) - expected).max() > 2 * Interpolate.bound


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
def test_steps_behind_are_exact_in_themselves(behind):
    before = TO_FLOATS, Interpolate(Size(height=60, width=61), "bicubic", False)
    images = noise(80, 47)[None]
    resized = backends(make_plan(*before))
    for name, run in backends(make_plan(*before, *behind)).items():
        (image,) = np.moveaxis(resized[name](images)["pixel_values"], 1, -1)
        assert_equal(run(images)["pixel_values"], first(apply(behind, image)), name)


FAMILIES = {
    "DepthPro": (
        DepthProImageProcessor,
        {"size": {"height": 90, "width": 80}},
        (TO_FLOATS, Normalize((0.5,) * 3, (0.5,) * 3), Interpolate(Size(height=90, width=80), "bilinear", False)),
    ),
    "DINOv3ViT": (
        DINOv3ViTImageProcessor,
        {"size": {"height": 90, "width": 80}},
        (TO_FLOATS, Interpolate(Size(height=90, width=80), "bilinear", True), NORMALIZE),
    ),
    "PPDocLayoutV4": (
        PPDocLayoutV4ImageProcessor,
        {"size": {"height": 90, "width": 80}, "image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4]},
        (
            TO_FLOATS,
            Interpolate(Size(height=90, width=80), "bicubic", False),
            Clamp(0.0, 1.0),
            Normalize((0.5, 0.4, 0.3), (0.2, 0.3, 0.4)),
        ),
    ),
    "UVDoc": (
        UVDocImageProcessor,
        {"size": {"height": 90, "width": 80}},
        (TO_FLOATS, FlipChannels(), Interpolate(Size(height=90, width=80), "bilinear", False, True)),
    ),
}


@same_positions
@pytest.mark.parametrize("family", FAMILIES)
def test_plans_of_families(family):
    kind, config, steps = FAMILIES[family]
    processor = kind(**config)
    for shape in [(97, 131), (131, 97), (300, 200), (33, 900), (1, 1), (90, 80)]:
        image = noise(*shape)
        expected = processor(torch.tensor(image).permute(2, 0, 1), return_tensors="pt")["pixel_values"].numpy()
        for name, run in backends(make_plan(*steps)).items():
            assert_near(run(image[None])["pixel_values"], expected, f"{name}, {family} at {shape}")


# --- Plans and files


@every_mode
def test_plans_come_back_and_say_their_bound(filter, antialias, align_corners):
    plan = interpolate_plan(filter, antialias, align_corners, shortest_edge=20, longest_edge=30)
    assert Plan.from_json(plan.to_json()) == plan
    assert plan.bound == 1e-5
    assert str(plan).endswith("within 1e-05 of torch")
    assert ("not antialiased" in str(plan), "corners" in str(plan)) == (not antialias, align_corners)
    assert make_plan(TO_FLOATS, NORMALIZE).bound == 0


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
    assert "MatMul" in ops
    assert "Resize" not in ops


def written(steps, path, claimed=None, **fields):
    """A file of ``steps`` that claims to hold ``claimed``."""
    onnx.save(with_plan(build(make_plan(*steps, **fields)), make_plan(*(claimed or steps), **fields)), path)
    return path


STEPS = TO_FLOATS, Interpolate(Size(height=30, width=40), "bilinear", False), NORMALIZE


def test_files_are_verified_to_the_bound(tmp_path):
    assert all(row.differing == 0 for row in exporter.verify(written(STEPS, tmp_path / "own.onnx")))
    near = written((Rescale(1.000002 / 255), *STEPS[1:]), tmp_path / "near.onnx", STEPS, input_size=(97, 131))
    assert [row.differing for row in exporter.verify(near)] == [0]
    for name, other in [
        ("far", (Rescale(1.00002 / 255), *STEPS[1:])),
        ("filter", (TO_FLOATS, Interpolate(Size(height=30, width=40), "bicubic", False), NORMALIZE)),
        ("corners", (TO_FLOATS, Interpolate(Size(height=30, width=40), "bilinear", False, True), NORMALIZE)),
    ]:
        file = written(other, tmp_path / f"{name}.onnx", STEPS, input_size=(97, 131))
        with pytest.raises(ParityError, match="values differ"):
            exporter.verify(file)


def test_a_cast_behind_may_round_the_other_way(tmp_path):
    steps = TO_FLOATS, Interpolate(Size(height=250, width=300), "bicubic", True), Cast("float16")
    own = written(steps, tmp_path / "own.onnx", input_size=(300, 200))
    assert [row.differing for row in exporter.verify(own)] == [0]
    values = {name: run(noise(300, 200)[None])["pixel_values"] for name, run in backends(make_plan(*steps)).items()}
    assert not np.array_equal(values["onnx"], values["pil"]), "no value shows it"
    far = written((Rescale(1.002 / 255), *steps[1:]), tmp_path / "far.onnx", steps, input_size=(300, 200))
    with pytest.raises(ParityError, match="values differ"):
        exporter.verify(far)


def test_exact_plans_are_still_verified_to_the_bit(tmp_path):
    exact = TO_FLOATS, CenterCrop(9, 9), NORMALIZE
    near = written((Rescale(1.0000003 / 255), *exact[1:]), tmp_path / "near.onnx", exact, input_size=(30, 20))
    with pytest.raises(ParityError, match="values differ"):
        exporter.verify(near)


def test_torchscript_files_are_verified(tmp_path):
    exporter.to_torchscript(make_plan(*STEPS), tmp_path / "plan.pt")
    assert all(row.differing == 0 for row in exporter.verify(tmp_path / "plan.pt"))


def mean_model(path):
    """A model of one node: the mean of each channel."""
    node = onnx.helper.make_node("GlobalAveragePool", ["x"], ["y"])
    x, y = (
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", 3, *size])
        for name, size in (("x", [30, 40]), ("y", [1, 1]))
    )
    graph = onnx.helper.make_graph([node], "mean", [x], [y])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=8), path)
    return path


def test_fused_files_are_verified(tmp_path):
    model = mean_model(tmp_path / "model.onnx")
    exporter.to_onnx(make_plan(*STEPS), tmp_path / "fused.onnx", model)
    assert all(row.differing == 0 and row.values == 3 for row in exporter.verify(tmp_path / "fused.onnx"))
    other = onnx.load(tmp_path / "fused.onnx")
    with_plan(other, make_plan(Rescale(1.00002 / 255), *STEPS[1:]), **{artifact.FUSED_KEY: "x"})
    onnx.save(other, tmp_path / "other.onnx")
    with pytest.raises(ParityError, match="values differ"):
        exporter.verify(tmp_path / "other.onnx")


def test_fused_files_whose_preprocessing_is_beyond_the_bound(tmp_path, monkeypatch):
    model = mean_model(tmp_path / "model.onnx")
    exporter.to_onnx(make_plan(*STEPS), tmp_path / "fused.onnx", model)
    reference = Interpolate.reference
    monkeypatch.setattr(Interpolate, "reference", lambda *args: reference(*args) + np.float32(1e-4))
    with pytest.raises(ParityError, match=r"the preprocessing differs from the reference at 480x640: .* by more than"):
        exporter.verify(tmp_path / "fused.onnx")


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
    with pytest.raises(ValueError, match=f"'interpolate .*' works on float32, .*, but comes on {dtype}"):
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
