"""OpenCV's bilinear resize against transformers' copy of it, in every backend."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.image_utils import SizeDict
from transformers.models.slanext.image_processing_slanext import SLANeXtImageProcessor

from exporter.graph import Graph
from exporter.onnx import build
from runtime import InputError, Plan, geometry, interpolation
from runtime.arrays.onnx import Formulas
from runtime.backends.torch import Preprocess
from runtime.ops import CenterCrop, Normalize, Pad, Rescale, ResizeOpenCV, resize_opencv_torch
from runtime.ops.size import FORMS, LONGEST_SIDE, Size

from ..helpers import assert_equal, assert_everywhere, backends, first, make_plan, near, noise, script, session, sides

SLANEXT = SLANeXtImageProcessor()
SHAPES = [(1, 1), (2, 1), (1, 2), (2, 2), (3, 3), (512, 512), (480, 640), (640, 480), (511, 513), (1, 512), (512, 1)]


def resized(images, edge):
    """The class's own resize of ``[N, H, W, 3]``, whose long side becomes ``edge``."""
    batch = torch.from_numpy(first(*images)).contiguous()
    return SLANEXT._resize(batch, SizeDict(height=edge, width=max(edge - 1, 1))).numpy()


def resize_plan(edge, *more):
    return make_plan(ResizeOpenCV(Size(rounded_longest_edge=edge)), *more)


# --- Pixels


@given(edge=sides(200), data=st.data())
@settings(max_examples=60)
def test_equals_transformers_at_any_size(edge, data):
    plan = resize_plan(edge)
    for _ in range(4):
        height, width = data.draw(near(edge)), data.draw(near(edge))
        if 2 * min(height, width) * edge > max(height, width):  # a side of no pixel raises there
            image = noise(height, width)
            assert_everywhere(plan, image, resized([image], edge))


@pytest.mark.parametrize(
    ("shape", "edge"),
    [
        (shape, edge)
        for shape, edge in itertools.product(SHAPES, [1, 2, 3, 64, 511, 512])
        if 2 * min(shape) * edge > max(shape)
    ],
)
def test_equals_transformers_at_hard_sizes(shape, edge):
    images = np.stack([noise(*shape), np.where(noise(*shape, seed=1) < 128, 0, 255).astype(np.uint8)])
    assert_everywhere(resize_plan(edge), images, resized(images, edge))


@pytest.mark.parametrize("value", [0, 1, 254, 255])
def test_flat_images_stay_flat(value):
    image = np.full((37, 90, 3), value, np.uint8)
    assert_everywhere(resize_plan(50), image, np.full((1, 3, 21, 50), value, np.uint8))


@given(size=st.tuples(sides(80), sides(80)), data=st.data())
@settings(max_examples=20)
def test_exact_sizes_follow_each_axis_alone(size, data):
    # The class has no such size: two resizes that each change one axis stand for it, where the image is constant in
    # the other one.
    plan = make_plan(ResizeOpenCV(Size(height=size[0], width=size[1])))
    height, width = data.draw(near(size[0])), data.draw(near(size[1]))
    rows, columns = noise(height, 1), noise(1, width)
    down = resized([np.repeat(rows, height, axis=1)], size[0])[:, :, :, :1]
    across = resized([np.repeat(columns, width, axis=0)], size[1])[:, :, :1]
    assert_everywhere(plan, np.repeat(rows, width, axis=1), np.repeat(down, size[1], axis=3))
    assert_everywhere(plan, np.repeat(columns, height, axis=0), np.repeat(across, size[0], axis=2))


@pytest.mark.parametrize("form", FORMS, ids=lambda form: ", ".join(sorted(form)))
def test_every_size_rule_runs(form):
    plan = make_plan(ResizeOpenCV(Size(**{key: 20 + i for i, key in enumerate(sorted(form))})))
    for shape in [(30, 40), (40, 30), (21, 21)]:
        assert_everywhere(plan, noise(*shape))


@pytest.mark.parametrize("channels", [1, 4])
def test_other_numbers_of_channels(channels):
    image = noise(33, 27, channels=channels)
    plan = make_plan(ResizeOpenCV(Size(rounded_longest_edge=40)), channels=channels)
    assert_everywhere(
        plan, image, SLANEXT._resize(torch.from_numpy(first(image)), SizeDict(height=40, width=40)).numpy()
    )


@pytest.mark.parametrize("shape", [(97, 131), (131, 97), (300, 31), (1, 1), (64, 64)])
def test_the_familys_plan(shape):
    normalize = Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    processor = SLANeXtImageProcessor(
        size={"height": 64, "width": 60}, pad_size={"height": 64, "width": 64}, do_normalize=False
    )
    image = noise(*shape)
    expected = processor(torch.tensor(image).permute(2, 0, 1), return_tensors="pt")["pixel_values"].numpy()
    plan = resize_plan(64, Rescale(1 / 255, precision="float32"), Pad(Size(height=64, width=64)))
    assert_everywhere(plan, image, expected)
    assert_everywhere(resize_plan(64, CenterCrop(20, 70), normalize), image)


def test_compiled_once_for_all_sizes():
    plan = resize_plan(50, Rescale(1 / 255))
    torch.compiler.reset()
    compiled = torch.compile(Preprocess(plan).eval(), fullgraph=True, dynamic=True)
    compiled(torch.from_numpy(noise(50, 60)[None]))
    with torch._dynamo.config.patch(error_on_recompile=True):
        for shape in [(97, 131), (131, 97), (40, 40), (300, 21)]:
            images = noise(*shape)[None]
            expected = backends(plan)["pil"](images)["pixel_values"]
            assert_equal(compiled(torch.from_numpy(images))["pixel_values"].numpy(), expected, f"compiled at {shape}")


# --- Weights, and the size rule


def weights_session():
    """A graph of the weights: one session answers for every pair of sizes."""
    graph = Graph()
    n_in, n_out = (graph.input(name, "int64", []) for name in ("n_in", "n_out"))
    for i, values in enumerate(Formulas(graph).interpolation.fixed_point_weights(n_in, n_out)):
        graph.output(values, f"values_{i}", [None])
    return session(graph.build(18, 8, "weights"))


def assert_weights(pairs):
    graph, scripted = weights_session(), script(resize_opencv_torch.interpolation.fixed_point_weights)
    for n_in, n_out in pairs:
        expected = interpolation.fixed_point_weights(n_in, n_out)
        got = graph.run(None, {"n_in": np.array(n_in), "n_out": np.array(n_out)})
        for values in zip(expected, got, scripted(n_in, n_out), strict=True):
            for other in values[1:]:
                assert_equal(other, values[0], f"weights from {n_in} to {n_out}")


def test_weights_are_the_same_everywhere():
    pairs = np.random.default_rng(0).integers(1, 3000, (600, 2)).tolist()
    assert_weights([*itertools.product(range(1, 12), repeat=2), *pairs])


def expected_size(height, width, edge):
    scale = edge / max(height, width)
    return round(height * scale), round(width * scale)


def random_cases():
    """Heights, widths and edges, and all small ones, which meet every tie."""
    cases = np.random.default_rng(0).integers(1, (4000, 4000, 2000), (3000, 3))
    small = np.array(list(itertools.product(range(1, 15), repeat=3)))
    return np.concatenate([cases, small, [[5, 10, 5], [10, 15, 3], [65535, 1, 65535]]]).tolist()


def test_the_size_rule():
    cases = random_cases()
    expected = [expected_size(*case) for case in cases]
    assert [geometry.output_size(h, w, "rounded_longest_edge", [edge]) for h, w, edge in cases] == expected
    scripted = script(resize_opencv_torch.geometry.output_size)
    assert [scripted(h, w, "rounded_longest_edge", [edge]) for h, w, edge in cases] == expected
    graph = Graph()
    names = ("height", "width", "edge")
    height, width, edge = (graph.input(name, "int64", ["n"]) for name in names)
    sizes = Formulas(graph).geometry.output_size(height, width, "rounded_longest_edge", [edge])
    for i, size in enumerate(sizes):
        graph.output(size, f"size_{i}", ["n"])
    got = session(graph.build(18, 8, "rule")).run(None, dict(zip(names, np.array(cases).T, strict=True)))
    assert list(zip(*(size.tolist() for size in got), strict=True)) == expected


@pytest.mark.parametrize("edge", [1, 2, 7, 512])
def test_the_size_rule_with_the_number_in_the_file(edge):
    heights, widths, _ = np.array(random_cases()).T
    graph = Graph()
    height, width = (graph.input(name, "int64", ["n"]) for name in ("height", "width"))
    sizes = Formulas(graph).geometry.output_size(height, width, "rounded_longest_edge", [edge])
    for i, size in enumerate(sizes):
        graph.output(size, f"size_{i}", ["n"])
    got = session(graph.build(18, 8, "rule")).run(None, {"height": heights, "width": widths})
    expected = [expected_size(h, w, edge) for h, w in zip(heights.tolist(), widths.tolist(), strict=True)]
    assert list(zip(*(size.tolist() for size in got), strict=True)) == expected


# --- Plans and refusals


def test_plans_come_back_and_are_exact():
    plan = resize_plan(512, Rescale(1 / 255))
    assert Plan.from_json(plan.to_json()) == plan
    assert str(plan).startswith("1. resize to rounded_longest_edge 512, bilinear as in OpenCV\n")
    assert plan.bound == 0


@pytest.mark.parametrize("opset", [18, 19, 20, 21, 22, 23])
def test_every_opset_gives_the_same(opset):
    image = noise(45, 31)
    (got,) = session(build(resize_plan(50), opset)).run(None, {"images": image[None]})
    assert_equal(got, resized([image], 50), f"opset {opset}")


@pytest.mark.parametrize(("shape", "edge"), [((1, 500), 100), ((500, 1), 100), ((12, 52), 2), ((1, 2), 1)])
def test_a_rule_that_leaves_no_pixel_is_refused_everywhere(shape, edge):
    with pytest.raises(ZeroDivisionError):
        resized([noise(*shape)], edge)
    message = rf"{shape[0]}x{shape[1]} .* 'rounded_longest_edge {edge}': expected at least 1 pixel a side"
    with pytest.raises(InputError, match=message):
        resize_plan(edge).steps[0].reference(noise(*shape))
    for run in backends(resize_plan(edge)).values():
        with pytest.raises(Exception, match=r"no_pixel|no pixel|at least 1 pixel"):
            run(noise(*shape)[None])


def test_floats_are_refused():
    with pytest.raises(ValueError, match="'resize to 5x6, bilinear as in OpenCV' works on uint8"):
        make_plan(Rescale(1 / 255), ResizeOpenCV(Size(height=5, width=6)))


@pytest.mark.parametrize("value", [0, -1, LONGEST_SIDE + 1, 5.0, "5", True])
def test_wrong_edges_are_refused(value):
    with pytest.raises(ValueError, match=rf"rounded_longest_edge: expected an integer from 1 to {LONGEST_SIDE}, got "):
        Size(rounded_longest_edge=value)


def test_the_rule_stands_alone():
    with pytest.raises(ValueError, match="expected one of the key sets"):
        Size(rounded_longest_edge=5, shortest_edge=5)


# --- Exhaustive


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
def test_sweep(seed):
    rng = np.random.default_rng(seed)
    for edge in (512, int(rng.integers(1, 700))):
        plan = resize_plan(edge)
        for most in (8, 60, 400, 1500):
            for _ in range(8):
                height, width = (int(n) for n in rng.integers(1, most, 2))
                if 2 * min(height, width) * edge > max(height, width):
                    image = noise(height, width)
                    assert_everywhere(plan, image, resized([image], edge))


@pytest.mark.slow
@pytest.mark.parametrize("n_out", [1, 7, 100, 224, 384, 488, 512, 640, 1024])
def test_weights_of_every_size(n_out):
    assert_weights((n_in, n_out) for n_in in range(1, 2500))
