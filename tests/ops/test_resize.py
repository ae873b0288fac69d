"""Resize against Pillow itself, in every backend."""

import itertools
import math

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.image_transforms import get_resize_output_image_size, get_size_with_aspect_ratio
from transformers.image_utils import ChannelDimension, get_image_size_for_max_height_width

from exporter.graph import Graph
from exporter.onnx import build
from runtime import InputError, arrays, geometry
from runtime.arrays.onnx import Formulas
from runtime.lowering import Resample, lower
from runtime.ops import CenterCrop, Pad, Resize, resize_onnx
from runtime.ops.resize import FILTERS, ORDERS, WEIGHTS
from runtime.ops.size import LONGEST_SIDE, Size
from runtime.resample import SUPPORT, block_weights, fixed_point

from ..helpers import (
    INSTALLED_ORDER,
    assert_equal,
    assert_everywhere,
    first,
    make_plan,
    near,
    noise,
    pil_resize,
    script,
    session,
    sides,
)


def resize_plan(size, filter, *more, order=INSTALLED_ORDER):
    return make_plan(Resize(size, filter, order), *more)


# --- Pixels


@pytest.mark.parametrize("filter", FILTERS)
@given(height=sides(), width=sides(), data=st.data())
@settings(max_examples=60)
def test_equals_pillow_at_any_size(filter, height, width, data):
    plan = resize_plan(Size(height=height, width=width), filter)
    for _ in range(3):
        image = noise(data.draw(near(height)), data.draw(near(width)))
        assert_everywhere(plan, image, first(pil_resize(image, height, width, filter)))


@pytest.mark.parametrize("filter", FILTERS)
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((1, 1), (7, 5)),
        ((7, 5), (1, 1)),
        ((1, 300), (9, 2)),
        ((300, 1), (2, 9)),
        ((30, 40), (30, 40)),
        ((30, 40), (30, 41)),
        ((30, 40), (29, 40)),
        ((480, 640), (224, 224)),
        ((2, 3), (600, 17)),  # more than 512 outputs: blocks of 32
        ((40, 3000), (17, 1100)),  # more than 1024: of 48
        ((5, 3), (1, 2500)),
        ((3000, 4), (16, 16)),
    ],
)
def test_equals_pillow_at_hard_sizes(filter, before, after):
    image = noise(*before)
    plan = resize_plan(Size(height=after[0], width=after[1]), filter)
    assert_everywhere(plan, image, first(pil_resize(image, *after, filter)))


@pytest.mark.parametrize("filter", FILTERS)
@pytest.mark.parametrize("value", [0, 1, 254, 255])
def test_flat_images_stay_flat(filter, value):
    image = np.full((37, 90, 3), value, np.uint8)
    assert_everywhere(resize_plan(Size(height=50, width=11), filter), image, np.full((1, 3, 50, 11), value, np.uint8))


@pytest.mark.parametrize("filter", ["bicubic", "lanczos"])
def test_overshoot_is_clipped_between_the_passes(filter):
    image = np.where(noise(40, 60) < 128, 0, 255).astype(np.uint8)
    assert_everywhere(resize_plan(Size(height=90, width=37), filter), image, first(pil_resize(image, 90, 37, filter)))


@pytest.mark.parametrize("filter", FILTERS)
@given(edge=sides(60), longest=sides(120), data=st.data())
@settings(max_examples=10)
def test_equals_pillow_where_the_size_follows_the_image(filter, edge, longest, data):
    for size in (
        Size(shortest_edge=edge),
        Size(shortest_edge=edge, longest_edge=longest),
        Size(max_height=edge, max_width=longest),
    ):
        plan = resize_plan(size, filter)
        for _ in range(2):
            image = noise(data.draw(near(edge)), data.draw(near(longest)))
            height, width = expected_size(*image.shape[:2], size)
            if 0 < height * width < 100_000:
                assert_everywhere(plan, image, first(pil_resize(image, height, width, filter)))


def test_batches_hold_images_of_their_own():
    images = np.stack([noise(50, 70, seed) for seed in range(3)])
    plan = resize_plan(Size(height=20, width=30), "bicubic")
    assert_everywhere(plan, images, first(*(pil_resize(image, 20, 30, "bicubic") for image in images)))


# --- Order of the passes


def runs_vertical_first(order, before, after):
    (height, width), (new_height, new_width) = before, after
    return {
        "pillow13": height - new_height > 0 and height - new_height > 2 * (width - new_width),
        "pillow12.2": height > 100 * width and new_height < height,
        "pillow12.1": False,
    }[order]


def in_two_passes(image, height, width, filter, vertical_first):
    between = (height, image.shape[1]) if vertical_first else (image.shape[0], width)
    return pil_resize(pil_resize(image, *between, filter), height, width, filter)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((100, 50), (60, 30)),  # height shrinks by exactly twice as much
        ((101, 50), (60, 30)),
        ((99, 50), (60, 30)),
        ((40, 20), (30, 50)),
        ((20, 40), (25, 50)),  # both grow
        ((50, 90), (49, 91)),
        ((500, 5), (40, 3)),  # exactly a hundred times as high
        ((501, 5), (40, 3)),
        ((501, 5), (520, 3)),
        ((501, 5), (40, 9)),
        ((201, 2), (100, 3)),
        ((240, 320), (224, 224)),
        ((320, 240), (224, 224)),
    ],
)
def test_passes_run_in_the_order_of_the_pillow_named(order, before, after):
    image = noise(*before)
    by_rule = {choice: in_two_passes(image, *after, "lanczos", choice) for choice in (True, False)}
    assert not np.array_equal(by_rule[True], by_rule[False]), "the image does not show the order"
    plan = resize_plan(Size(height=after[0], width=after[1]), "lanczos", order=order)
    assert_everywhere(plan, image, first(by_rule[runs_vertical_first(order, before, after)]))


@pytest.mark.parametrize("order", ORDERS)
@given(
    before=st.tuples(sides(), sides(40)),
    after=st.tuples(sides(40), sides(40)),
    filter=st.sampled_from(["bilinear", "bicubic", "box"]),
)
@settings(max_examples=60)
def test_the_order_rules_hold_at_any_size(order, before, after, filter):
    image = noise(*before)
    vertical_first = runs_vertical_first(order, before, after)
    plan = resize_plan(Size(height=after[0], width=after[1]), filter, order=order)
    assert_everywhere(plan, image, first(in_two_passes(image, *after, filter, vertical_first)))


@given(before=st.tuples(sides(), sides()), after=st.tuples(sides(), sides()))
@settings(max_examples=200)
def test_the_rule_of_the_installed_pillow(before, after):
    image = noise(*before)
    by_rule = in_two_passes(image, *after, "bilinear", runs_vertical_first(INSTALLED_ORDER, before, after))
    assert_equal(pil_resize(image, *after, "bilinear"), by_rule, "Pillow")


# --- A crop behind the resize


@pytest.mark.parametrize("filter", FILTERS)
@given(size=st.tuples(sides(120), sides(120)), crop=st.tuples(sides(140), sides(140)), data=st.data())
@settings(max_examples=40)
def test_fused_crop_equals_resize_then_crop(filter, size, crop, data):
    plan = resize_plan(Size(height=size[0], width=size[1]), filter, CenterCrop(*crop))
    assert [type(kernel) for kernel in lower(plan.steps)] == [Resample]
    image = noise(data.draw(near(size[0])), data.draw(near(size[1])))
    expected = CenterCrop(*crop).reference(pil_resize(image, *size, filter))
    assert_everywhere(plan, image, first(expected))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("crop", [(16, 16), (15, 16), (31, 30), (33, 100), (64, 65), (1, 1)])
@pytest.mark.parametrize("before", [(40, 61), (61, 40), (32, 32), (33, 31), (5, 90), (700, 6)])
def test_fused_crop_where_the_size_follows_the_image(order, crop, before):
    image = noise(*before)
    height, width = expected_size(*before, Size(shortest_edge=32))
    resized = in_two_passes(image, height, width, "bicubic", runs_vertical_first(order, before, (height, width)))
    plan = resize_plan(Size(shortest_edge=32), "bicubic", CenterCrop(*crop), order=order)
    assert_everywhere(plan, image, first(CenterCrop(*crop).reference(resized)))


def test_only_the_first_crop_is_fused():
    image = noise(50, 60)
    plan = resize_plan(Size(height=40, width=30), "bilinear", CenterCrop(21, 35), CenterCrop(30, 10))
    cropped = CenterCrop(21, 35).reference(pil_resize(image, 40, 30, "bilinear"))
    assert_everywhere(plan, image, first(CenterCrop(30, 10).reference(cropped)))


@pytest.mark.parametrize(
    "before",
    [
        Resize(Size(height=31, width=41), "bilinear", "pillow13"),
        CenterCrop(31, 41),
        Pad(Size(height=61, width=71), (9.0,)),
    ],
    ids=str,
)
@pytest.mark.parametrize("order", ORDERS)
def test_a_resize_behind_another_step(before, order):
    image = noise(50, 60)
    between = before.reference(image)
    plan = make_plan(before, Resize(Size(height=20, width=19), "lanczos", order))
    vertical_first = runs_vertical_first(order, between.shape[:2], (20, 19))
    assert_everywhere(plan, image, first(in_two_passes(between, 20, 19, "lanczos", vertical_first)))


# --- Weights


def kernel(x, filter):
    """Resample.c's functions, number by number."""
    if filter == "box":
        return float(-0.5 < x <= 0.5)
    x = abs(x)
    if filter == "bilinear":
        return max(1.0 - x, 0.0)
    if filter == "bicubic":
        near, far = ((-0.5 + 2.0) * x - (-0.5 + 3.0)) * x * x + 1, (((x - 5) * x + 8) * x - 4) * -0.5
        return near if x < 1 else far if x < 2 else 0.0
    if x == 0 or x >= SUPPORT[filter]:
        return float(x == 0)
    if filter == "hamming":
        x *= math.pi
        return math.sin(x) / x * (float(np.float32(0.54)) + float(np.float32(0.46)) * math.cos(x))
    a, b = x * math.pi, x / 3.0 * math.pi
    return math.sin(a) / a * (math.sin(b) / b)


def expected_weights(n_in, n_out, filter):
    """Resample.c's coefficients, ``[n_out, n_in]``, one by one."""
    scale = n_in / n_out
    stretch = max(scale, 1.0)
    result = np.zeros((n_out, n_in))
    for output in range(n_out):
        center, support, total = (output + 0.5) * scale, SUPPORT[filter] * stretch, 0.0
        taps = range(max(int(center - support + 0.5), 0), min(int(center + support + 0.5), n_in))
        weights = [kernel((tap - center + 0.5) * (1.0 / stretch), filter) for tap in taps]
        for weight in weights:
            total += weight
        for tap, weight in zip(taps, weights, strict=True):
            share = weight / total * 2**22
            result[output, tap] = int(share - 0.5) if share < 0 else int(share + 0.5)
    return result


@pytest.mark.parametrize("filter", ["box", "bilinear", "hamming", "bicubic", "lanczos"])
@pytest.mark.parametrize(("n_in", "n_out"), [(640, 224), (480, 224), (97, 300), (7, 600), (1000, 3), (33, 32), (1, 9)])
def test_weights_are_pillows_integers(filter, n_in, n_out):
    starts, blocks = block_weights(n_in, n_out, 0, n_out, filter, SUPPORT[filter])
    got = np.zeros((n_out, n_in))
    for output in range(n_out):
        block, row = divmod(output, blocks.shape[1])
        got[output, int(starts[block]) :][: blocks.shape[2]] = blocks[block, row]
    assert_equal(got, expected_weights(n_in, n_out, filter), "weights")


# --- Sums too long for float32


def digits(weights):
    """Weights as ``256 * high + low`` with ``|low| <= 128``."""
    high = np.floor(weights / 256 + 0.5)
    return high, weights - 256 * high


def largest_sum(n_in, n_out, filter):
    """The largest that a digit's partial sum with any pixels can get."""
    _, weights = block_weights(n_in, n_out, 0, n_out, filter, SUPPORT[filter])
    return max(255 * np.abs(digit).sum(-1).max() for digit in digits(weights))


def adversarial_signals(n_in, n_out, filter):
    """Lines ``[2 * n_out, n_in]`` whose low digits add up far, and whose sums lie at an edge between two levels.

    There the slightest error of the low digits' sum changes the pixel.
    """
    starts, blocks = block_weights(n_in, n_out, 0, n_out, filter, SUPPORT[filter])
    lines = []
    for output, edge in itertools.product(range(n_out), (2**21, 2**21 - 1)):
        block, row = divmod(output, blocks.shape[1])
        weights = blocks[block, row].astype(np.int64)
        _, low = digits(weights)
        pixels = np.where((low > 0) & (weights >= 128), 255, 0)
        missing = (edge - int(weights @ pixels)) % 2**22
        for tap in np.argsort(-weights, kind="stable"):
            if weights[tap] > 0 and pixels[tap] == 0:
                pixels[tap] = min(255, missing // weights[tap])
                missing -= weights[tap] * pixels[tap]
        line = np.zeros(n_in, np.uint8)
        line[int(starts[block]) :][: len(pixels)] = pixels
        lines.append(line)
    return np.stack(lines)


def adversarial_image(n_in, n_out, filter, axis):
    """The lines of :func:`adversarial_signals` as rows (axis 1) or columns (axis 0) of three channels."""
    lines = adversarial_signals(n_in, n_out, filter)
    lines = np.concatenate([lines, lines[: -len(lines) % 3]]).reshape(3, -1, n_in)
    return np.ascontiguousarray(lines.transpose((1, 2, 0) if axis == 1 else (2, 1, 0)))


WIDE = [
    ("bilinear", 20_000, 8),
    ("hamming", 20_000, 8),
    ("bicubic", 9_000, 5),
    ("lanczos", 9_000, 7),
]


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize(("filter", "n_in", "n_out"), WIDE)
def test_long_sums_are_exact(filter, n_in, n_out, axis):
    assert largest_sum(n_in, n_out, filter) > 2**24
    image = adversarial_image(n_in, n_out, filter, axis)
    other = image.shape[1 - axis]
    after = (n_out, other) if axis == 0 else (other, n_out)
    expected = first(pil_resize(image, *after, filter))
    assert_everywhere(resize_plan(Size(height=after[0], width=after[1]), filter), image, expected)

    starts, blocks = block_weights(n_in, n_out, 0, n_out, filter, SUPPORT[filter])
    lines = np.moveaxis(image, axis, 0).reshape(n_in, -1).astype(np.float32)[int(starts[0]) :][: blocks.shape[2]]
    rounded = np.clip(np.floor(blocks[0].astype(np.float32) @ lines / 2**22 + 0.5), 0, 255)[:n_out]
    exact = np.moveaxis(np.moveaxis(expected[0], 0, -1), axis, 0).reshape(n_out, -1)
    assert len(starts) == 1
    assert not np.array_equal(exact, rounded), "float32 sums are exact here: this test shows nothing"


@pytest.mark.parametrize("filter", SUPPORT)
def test_sums_fit_int32(filter):
    """As they do in Pillow: the positive weights of a window times 255."""
    for n_in, n_out in ((640, 224), (7, 600), (1, 9), (20_000, 8), (224, 223), (224, 225), (9, 4)):
        _, weights = block_weights(n_in, n_out, 0, n_out, filter, SUPPORT[filter])
        assert 255 * np.abs(weights).sum(-1).max() + 2**21 < 2**31


@pytest.mark.parametrize("filter", SUPPORT)
@pytest.mark.parametrize(("n_in", "n_out"), [(640, 224), (7, 600), (1, 9), (20_000, 8), (224, 224)])
@pytest.mark.parametrize("kind", WEIGHTS)
def test_digits_of_seven_bits(filter, n_in, n_out, kind):
    """What the ONNX graph multiplies: digits to the base 128, of -64 to 63, that make the weight again."""
    start, weights, _ = fixed_point(n_in, n_out, 0, n_out, filter, SUPPORT[filter], kind, resize_onnx.BLOCK, 1)
    length = resize_onnx.DIGITS[kind]
    index, digits = (onnx.numpy_helper.to_array(t) for t in constants(start, weights, length))
    assert digits.max() < 128  # with int8 pixels, two products fit 16 bits
    shape = len(start), length, resize_onnx.BLOCK, weights.shape[2]
    powers = 128 ** np.arange(length)[:, None, None]
    assert_equal(((digits.reshape(shape).astype(np.int64) - 64) * powers).sum(1), weights.astype(np.int64), "weights")
    assert_equal(index, start.astype(np.int64)[:, None] + np.arange(weights.shape[2]), "samples")


def constants(start, weights, length):
    graph = Graph()
    for value in resize_onnx._constants(graph, start, weights, length):
        yield graph._initializers[value.name]


# --- What onnxruntime makes of the graph


def test_reciprocals_are_not_made_divisions():
    """x * (1 / y) rounds twice, as Pillow does; rewritten as x / y, three weights of this size differ."""
    image = noise(998, 998)
    expected = first(pil_resize(image, 396, 396, "box"))
    plan = resize_plan(Size(height=396, width=396), "box")
    assert_everywhere(plan, image, expected)
    (optimized,) = onnxruntime.InferenceSession(build(plan).SerializeToString()).run(None, {"images": image[None]})
    assert_equal(optimized, expected, "with all optimizations")


# --- Size rules


def expected_size(height, width, size):
    """transformers' own answer."""
    if size.get("longest_edge"):
        return get_size_with_aspect_ratio((height, width), size.get("shortest_edge"), size.get("longest_edge"))
    if size.get("shortest_edge"):
        image = np.broadcast_to(np.uint8(0), (3, height, width))
        return get_resize_output_image_size(
            image, size.get("shortest_edge"), default_to_square=False, input_data_format=ChannelDimension.FIRST
        )
    if size.get("max_height"):
        return get_image_size_for_max_height_width((height, width), size.get("max_height"), size.get("max_width"))
    return size.fixed


FORMS = [
    ("height", "width"),
    ("shortest_edge",),
    ("shortest_edge", "longest_edge"),
    ("max_height", "max_width"),
]


def random_cases(form, count, most=4000):
    """``[count]`` heights, widths, first and second numbers; a third each is small, square, or one off square."""
    rng = np.random.default_rng(len("".join(form)))
    heights, widths, firsts, seconds = rng.integers(1, most, (4, count))
    for numbers in (heights, widths, firsts, seconds):
        numbers[: count // 3] = rng.integers(1, 30, count // 3)
    widths[-(count // 6) :] = heights[-(count // 6) :]
    widths[-(count // 12) :] += 1
    return [array.tolist() for array in (heights, widths, firsts, seconds)]


def expected_sizes(form, heights, widths, firsts, seconds):
    return [
        tuple(expected_size(height, width, Size(**dict(zip(form, numbers, strict=False)))))
        for height, width, *numbers in zip(heights, widths, firsts, seconds, strict=True)
    ]


@pytest.mark.parametrize("form", FORMS, ids=", ".join)
def test_size_rules_equal_transformers(form):
    cases = random_cases(form, 6000)
    got = [geometry.output_size(h, w, ", ".join(form), [a, b]) for h, w, a, b in zip(*cases, strict=True)]
    assert got == expected_sizes(form, *cases)


@pytest.mark.parametrize("form", FORMS[1:], ids=", ".join)
def test_size_rules_equal_transformers_at_every_small_size(form):
    # Small numbers meet every tie of rounding.
    cases = list(zip(*itertools.product(range(1, 13), repeat=4), strict=True))
    got = [geometry.output_size(h, w, ", ".join(form), [a, b]) for h, w, a, b in zip(*cases, strict=True)]
    assert got == expected_sizes(form, *cases)


@pytest.mark.parametrize("form", FORMS, ids=", ".join)
def test_size_rules_in_torchscript(form):
    from runtime.ops import resize_torch

    scripted = script(resize_torch.geometry.output_size)
    assert resize_torch.geometry is arrays.reload(geometry, "torch")
    cases = random_cases(form, 1500)
    got = [scripted(h, w, ", ".join(form), [a, b]) for h, w, a, b in zip(*cases, strict=True)]
    assert got == expected_sizes(form, *cases)


def geometry_session(body, *inputs):
    """A graph of ``body`` on int64 vectors: one run answers for many sizes."""
    graph = Graph()
    values = [graph.input(name, "int64", ["n"]) for name in inputs]
    for i, result in enumerate(body(Formulas(graph).geometry, *values)):
        graph.output(result, f"result_{i}", ["n"])
    return session(graph.build(18, 8, "geometry"))


@pytest.mark.parametrize("form", FORMS[1:], ids=", ".join)
def test_size_rules_in_onnx(form):
    names = ("height", "width", "first", "second")[: 2 + len(form)]

    def body(rules, height, width, first, second=0):
        return rules.output_size(height, width, ", ".join(form), [first, second])

    cases = random_cases(form, 3000)
    inputs = {name: np.array(numbers) for name, numbers in zip(names, cases, strict=False)}
    got = geometry_session(body, *names).run(None, inputs)
    assert list(zip(*(sizes.tolist() for sizes in got), strict=True)) == expected_sizes(form, *cases)


@pytest.mark.parametrize("form", FORMS[1:], ids=", ".join)
@pytest.mark.parametrize("numbers", [(1, 1), (7, 10), (224, 224), (800, 1333)])
def test_size_rules_in_onnx_with_the_numbers_in_the_file(form, numbers):
    heights, widths, _, _ = random_cases(form, 2000)

    def body(rules, height, width):
        return rules.output_size(height, width, ", ".join(form), [*numbers])

    got = geometry_session(body, "height", "width").run(None, {"height": heights, "width": widths})
    expected = expected_sizes(form, heights, widths, *([number] * len(heights) for number in numbers))
    assert list(zip(*(sizes.tolist() for sizes in got), strict=True)) == expected


@pytest.mark.parametrize("order", ORDERS)
def test_order_rules_in_onnx(order):
    names = ("height", "width", "new_height", "new_width")
    cases = np.random.default_rng(0).integers(1, 400, (4, 3000))
    cases[1, :1000] = cases[0, :1000] // 100 + np.arange(1000) % 2
    cases[2, 1000:2000] = np.maximum(cases[0] - 2 * (cases[1] - cases[3]) + np.arange(3000) % 3 - 1, 1)[1000:2000]
    cases = np.maximum(cases, 1)

    def body(rules, *sizes):
        return (rules.vertical_first(*sizes, order),)

    (got,) = geometry_session(body, *names).run(None, dict(zip(names, cases, strict=True)))
    expected = [runs_vertical_first(order, (h, w), (nh, nw)) for h, w, nh, nw in cases.T.tolist()]
    assert got.tolist() == expected
    assert any(expected) == (order != "pillow12.1")


@pytest.mark.parametrize(
    ("before", "size"),
    [
        ((1, 1000), Size(max_height=5, max_width=5)),
        ((1000, 1), Size(max_height=5, max_width=5)),
        ((1, 100), Size(shortest_edge=10, longest_edge=20)),
    ],
)
def test_a_rule_that_leaves_no_pixel_is_an_input_error(before, size):
    assert 0 in expected_size(*before, size)
    step = Resize(size, "bilinear", "pillow13")
    with pytest.raises(InputError, match=rf"{before[0]}x{before[1]} .*{size}.*expected at least 1 pixel"):
        step.output_size(*before)


# --- Refusals


@pytest.mark.parametrize(
    ("filter", "order", "message"),
    [
        ("cubic", "pillow13", "filter: expected one of nearest, .*, got 'cubic'"),
        (2, "pillow13", "filter: expected one of .*, got 2"),
        ("bilinear", "pillow", "order: expected one of pillow13, .*, got 'pillow'"),
        ("bilinear", None, "order: expected one of .*, got None"),
    ],
)
def test_unknown_filters_and_orders_are_refused(filter, order, message):
    with pytest.raises(ValueError, match=message):
        Resize(Size(height=1, width=1), filter, order)


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"height": 5},
        {"longest_edge": 5},
        {"max_height": 5},
        {"height": 5, "width": 5, "shortest_edge": 5},
        {"shortest_edge": 5, "max_width": 5},
    ],
)
def test_unknown_size_forms_are_refused(keys):
    with pytest.raises(
        ValueError, match=r"expected one of the key sets \{height, width\}, .*, got \{" + ", ".join(keys)
    ):
        Size(**keys)


@pytest.mark.parametrize("value", [0, -1, LONGEST_SIDE + 1, 5.0, "5", True, math.nan, np.int64(5)])
@pytest.mark.parametrize("form", FORMS, ids=", ".join)
def test_sizes_are_integers_in_range(form, value):
    with pytest.raises(ValueError, match=rf"{form[-1]}: expected an integer from 1 to {LONGEST_SIDE}, got "):
        Size(**{**dict.fromkeys(form, 5), form[-1]: value})


def test_the_longest_side_is_allowed():
    assert Size(height=LONGEST_SIDE, width=2730).rule == ("height, width", [LONGEST_SIDE, 2730])


def test_more_pixels_than_any_image_has_are_refused():
    with pytest.raises(ValueError, match=r"^expected at most 178956970 pixels, got 2731x65535$"):
        Size(height=2731, width=LONGEST_SIDE)


# --- Files


@pytest.mark.parametrize("filter", FILTERS)
@pytest.mark.parametrize("opset", [18, 19, 20, 21, 22, 23])
def test_every_opset_gives_the_same(opset, filter):
    plan = resize_plan(Size(shortest_edge=20), filter, CenterCrop(17, 24))
    model = build(plan, opset)
    assert {entry.domain: entry.version for entry in model.opset_import}[""] == opset
    image = noise(45, 31)
    expected = CenterCrop(17, 24).reference(pil_resize(image, 29, 20, filter))
    (got,) = session(model).run(None, {"images": image[None]})
    assert_equal(got, first(expected), f"opset {opset}")


def test_the_graph_holds_no_resize_node():
    model = build(resize_plan(Size(height=20, width=30), "bilinear"))
    bodies = [model.graph, *model.functions]
    ops = {node.op_type for body in bodies for node in body.node}
    assert "MatMulInteger" in {op for function in model.functions for op in every_op(function.node)}
    assert "Resize" not in ops


def every_op(nodes):
    for node in nodes:
        yield node.op_type
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from every_op(attribute.g.node)


# --- Exhaustive


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(50))
@pytest.mark.parametrize("filter", FILTERS)
def test_sweep(filter, seed):
    rng = np.random.default_rng(seed)
    height, width = (int(n) for n in rng.integers(1, 400, 2))
    plan = resize_plan(Size(height=height, width=width), filter)
    for _ in range(20):
        low, high = rng.choice([[1, 30], [1, 400], [max(1, height - 3), height + 4]])
        image = noise(int(rng.integers(low, high)), int(rng.integers(1, 500)))
        assert_everywhere(plan, image, first(pil_resize(image, height, width, filter)))
