"""Keras' resize against torch's kernels, called as Keras calls them, in every backend: to the last bit."""

import contextlib
import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.graph import Graph
from runtime import Plan, taps
from runtime.arrays.onnx import Formulas
from runtime.backends.torch import Preprocess
from runtime.interpolation import TAPS
from runtime.ops import CenterCrop, Normalize, Rescale, ResizeKeras
from runtime.ops.size import Size
from runtime.ops.torch_sums import interpolated

from ..helpers import assert_equal, assert_everywhere, backends, make_plan, near, noise, session, sides

KINDS = [("nearest", False), *itertools.product(TAPS, [False, True])]
SHAPES = [(1, 1), (1, 9), (9, 1), (2, 2), (3, 7), (97, 131), (131, 97), (300, 20), (20, 300), (224, 224), (448, 336)]


@contextlib.contextmanager
def threads(count):
    """torch picks its kernels by the number of threads, too."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def floats(images, height, width, filter, antialias, count=2):
    """``interpolate`` of uint8 ``[N, H, W, C]``, whose axes Keras turns without moving a pixel: ``[N, C, h, w]``."""
    view = torch.from_numpy(images).to(torch.float32).permute(0, 3, 1, 2)
    options = {"mode": "nearest-exact"} if filter == "nearest" else {"mode": filter, "align_corners": False}
    with threads(count):
        return F.interpolate(view, size=(height, width), antialias=antialias, **options)


def resized(images, *settings, **more):
    """Rounded, as Keras rounds it."""
    return floats(images, *settings, **more).clamp(0, 255).round().to(torch.uint8).numpy()


def resize_plan(height, width, filter, antialias, **more):
    return make_plan(ResizeKeras(Size(height=height, width=width), filter, antialias), **more)


# --- Pixels


@pytest.mark.parametrize(("filter", "antialias"), KINDS)
@given(size=st.tuples(sides(150), st.integers(2, 150)), data=st.data())
@settings(max_examples=15)
def test_equals_torch_at_any_size(filter, antialias, size, data):
    plan = resize_plan(*size, filter, antialias)
    for _ in range(4):
        images = noise(data.draw(near(size[0])), data.draw(near(size[1])))[None]
        assert_everywhere(plan, images, resized(images, *size, filter, antialias))


@pytest.mark.parametrize(("filter", "antialias"), KINDS)
@pytest.mark.parametrize("size", [(1, 1), (1, 200), (200, 1), (64, 64), (64, 65), (224, 224)])
def test_equals_torch_at_hard_sizes(filter, antialias, size):
    plan = resize_plan(*size, filter, antialias)
    for shape in SHAPES:
        images = np.stack([noise(*shape), np.where(noise(*shape, seed=1) < 128, 0, 255).astype(np.uint8)])
        assert_everywhere(plan, images, resized(images, *size, filter, antialias))


@pytest.mark.parametrize(("filter", "antialias"), KINDS[1:])
def test_equals_torch_before_it_rounds(filter, antialias):
    # Where values are a hair's breadth from a half, any other order of the sums would round them otherwise.
    generator = np.random.default_rng(0)
    sizes = [(64, 64), (64, 65), (100, 28), (101, 28), (224, 224), *generator.integers(2, 200, (12, 2)).tolist()]
    for i, size in enumerate(sizes):
        image = noise(*generator.integers(1, 500, 2).tolist(), i)
        got = interpolated(image.astype(np.float32), *size, filter, antialias, channels_last=True)
        assert_equal(np.moveaxis(got, -1, 0)[None], floats(image[None], *size, filter, antialias), f"{image.shape}")


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize(("filter", "antialias"), KINDS)
def test_other_numbers_of_channels(filter, antialias, channels):
    for size in [(40, 33), (150, 170)]:
        plan = resize_plan(*size, filter, antialias, channels=channels)
        for shape in SHAPES:
            images = noise(*shape, channels=channels)[None]
            assert_everywhere(plan, images, resized(images, *size, filter, antialias))


@pytest.mark.parametrize(("filter", "antialias"), KINDS)
def test_flat_images_stay_flat(filter, antialias):
    for value in (0, 1, 254, 255):
        images = np.full((1, 37, 90, 3), value, np.uint8)
        assert_everywhere(resize_plan(50, 21, filter, antialias), images, np.full((1, 3, 50, 21), value, np.uint8))


@pytest.mark.parametrize(("filter", "antialias"), KINDS)
def test_the_torch_backend_does_not_care_about_threads(filter, antialias):
    images = noise(311, 200)[None]
    for size in [(30, 40), (224, 224)]:
        run = backends(resize_plan(*size, filter, antialias))["torch"]
        with threads(1):
            one = run(images)["pixel_values"]
        with threads(2):
            assert_equal(run(images)["pixel_values"], one, f"{filter} to {size}")
        assert_equal(one, resized(images, *size, filter, antialias), f"{filter} to {size}")


def test_what_one_thread_changes():
    # What the docstring says of it.
    images = noise(700, 900)[None]
    counts = {}
    for filter, antialias in KINDS:
        one, two = (resized(images, 224, 224, filter, antialias, count=count).astype(int) for count in (1, 2))
        assert abs(one - two).max() <= 1
        counts[filter, antialias] = np.count_nonzero(one != two) / one.size
    assert 0 < counts.pop(("bilinear", False)) < 3e-5
    assert set(counts.values()) == {0}


@pytest.mark.slow
@pytest.mark.parametrize(("filter", "antialias"), KINDS)
def test_equals_torch_at_many_sizes(filter, antialias):
    generator = np.random.default_rng(0)
    for i in range(200):
        height, width = generator.integers(1, 1500, 2)
        size = (224, 224) if i % 3 == 0 else tuple(generator.integers(2, 400, 2).tolist())
        image = noise(height, width, i)
        got = ResizeKeras(Size(height=size[0], width=size[1]), filter, antialias).reference(image)
        assert_equal(np.moveaxis(got, -1, 0)[None], resized(image[None], *size, filter, antialias), f"{image.shape}")


@pytest.mark.slow
@pytest.mark.parametrize(("filter", "antialias"), KINDS)
def test_every_backend_at_large_sizes(filter, antialias):
    plan = resize_plan(224, 224, filter, antialias)
    for shape in [(480, 640), (1080, 1920), (1, 4000), (3000, 100)]:
        images = noise(*shape)[None]
        assert_everywhere(plan, images, resized(images, 224, 224, filter, antialias))


def test_compiled_once_for_all_sizes():
    plan = make_plan(ResizeKeras(Size(height=50, width=40), "bilinear", True), Rescale(1 / 255))
    torch.compiler.reset()
    compiled = torch.compile(Preprocess(plan).eval(), fullgraph=True, dynamic=True)
    compiled(torch.from_numpy(noise(50, 60)[None]))
    with torch._dynamo.config.patch(error_on_recompile=True):
        for shape in [(97, 131), (131, 97), (40, 40), (300, 21)]:
            images = noise(*shape)[None]
            expected = backends(plan)["pil"](images)["pixel_values"]
            assert_equal(compiled(torch.from_numpy(images))["pixel_values"].numpy(), expected, f"compiled at {shape}")


def test_what_comes_behind():
    normalize = Normalize((0.5, 0.5, 0.5), (0.2, 0.3, 0.4))
    plan = make_plan(ResizeKeras(Size(height=30, width=40), "bicubic"), CenterCrop(20, 50), normalize)
    for shape in [(97, 131), (1, 1), (300, 31)]:
        assert_everywhere(plan, noise(*shape))


# --- Weights


def all_weights(formulas, n_in, n_out, kind, *settings):
    """A list of vectors, or of matrices."""
    if kind == "nearest":
        return [formulas.nearest(n_in, n_out)]
    if kind == "point":
        return [values for pair in formulas.point_taps(n_in, n_out, *settings) for values in pair]
    return list(formulas.antialiased_taps(n_in, n_out, *settings))


def weight_session(kind, *settings):
    """A graph of the weights: one session answers for every pair of sizes."""
    graph = Graph()
    n_in, n_out = (graph.input(name, "int64", []) for name in ("n_in", "n_out"))
    for i, values in enumerate(all_weights(Formulas(graph).taps, n_in, n_out, kind, *settings)):
        graph.output(values, f"values_{i}", [None] * (2 if kind == "antialiased" else 1))
    return session(graph.build(18, 8, "weights"))


@pytest.mark.parametrize(
    "settings",
    [
        ("nearest",),
        *(("point", *how) for how in [("bilinear", False, False), ("bilinear", False, True), ("bicubic", False, True)]),
        *(("point", filter, True, True) for filter in TAPS),
        *(("antialiased", *how) for how in itertools.product(TAPS, [False, True])),
    ],
)
def test_the_graphs_weights(settings):
    graph = weight_session(*settings)
    pairs = [*itertools.product(range(1, 10), repeat=2), *np.random.default_rng(0).integers(1, 3000, (300, 2)).tolist()]
    for n_in, n_out in pairs:
        expected = all_weights(taps, n_in, n_out, *settings)
        got = graph.run(None, {"n_in": np.array(n_in), "n_out": np.array(n_out)})
        for ours, other in zip(expected, got, strict=True):
            assert_equal(other, ours, f"{settings} from {n_in} to {n_out}")


def line(n_in, n_out, filter, antialias):
    """torch's own weights ``[n_out, n_in]``: what it makes of lines with a single sample of 1."""
    with threads(2):
        return F.interpolate(
            torch.eye(n_in)[None, None], size=(n_out, n_in), mode=filter, align_corners=False, antialias=antialias
        )[0, 0].numpy()


def dense(n_in, indices, weights):
    """Weights that sum to float32 numbers, in their places: ``[n_out, n_in]``."""
    result = np.zeros((len(weights[0]), n_in))
    for index, weight in zip(indices, weights, strict=True):
        np.add.at(result, (np.arange(len(weight)), np.minimum(index, n_in - 1).astype(int)), weight)
    return result.astype(np.float32)


@pytest.mark.parametrize("filter", TAPS)
def test_antialiased_weights_are_torchs(filter):
    for n_in, n_out in np.random.default_rng(0).integers(2, 300, (60, 2)).tolist():
        low, apart, behind, joined = taps.antialiased_taps(n_in, n_out, filter, False)
        indices = [*(low[:, 0] + i for i in range(apart.shape[1])), *(behind[:, 0] + i for i in range(joined.shape[1]))]
        got = dense(n_in, indices, [*apart.T, *joined.T])
        assert_equal(got, line(n_in, n_out, filter, True), f"{filter} from {n_in} to {n_out}")


@pytest.mark.parametrize("filter", TAPS)
def test_point_weights_are_torchs(filter):
    for n_in, n_out in np.random.default_rng(0).integers(2, 300, (60, 2)).tolist():
        fused = filter == "bicubic" or n_in + n_out <= 128
        pairs = taps.point_taps(n_in, n_out, filter, False, fused)
        got, expected = dense(n_in, *zip(*pairs, strict=True)), line(n_in, n_out, filter, False)
        inside = slice(2, -2)  # at the edges, several samples are one, whose weights torch adds up in its own order
        assert_equal(got[:, inside], expected[:, inside], f"{filter} from {n_in} to {n_out}")


# --- Plans and refusals


def test_its_words():
    size = Size(height=224, width=256)
    assert str(ResizeKeras(size, "bilinear")) == "resize to 224x256, bilinear, not antialiased, as Keras on torch"
    assert str(ResizeKeras(size, "bicubic", True)) == "resize to 224x256, bicubic, antialiased, as Keras on torch"
    assert str(ResizeKeras(size, "nearest")) == "resize to 224x256, nearest, as Keras on torch"


@pytest.mark.parametrize(("filter", "antialias"), KINDS)
def test_a_plan_in_json(filter, antialias):
    plan = resize_plan(30, 40, filter, antialias)
    assert Plan.from_json(plan.to_json()) == plan
    assert plan.bound == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ((Size(shortest_edge=9), "bilinear", False), "size: expected height and width, got shortest_edge 9"),
        ((Size(height=9, width=9), "lanczos3", False), "filter: expected one of nearest, bilinear, bicubic, got 'lanc"),
        ((Size(height=9, width=9), "bicubic", None), "antialias: expected true or false, got None"),
        ((Size(height=9, width=9), "nearest", True), "antialias: expected false, for filter nearest"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        ResizeKeras(*settings)


def test_it_is_for_uint8():
    with pytest.raises(ValueError, match="as Keras on torch' works on uint8, but comes on float32"):
        make_plan(Rescale(1 / 255), ResizeKeras(Size(height=9, width=9), "bilinear"))
