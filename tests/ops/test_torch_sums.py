"""torch's ``interpolate`` in NumPy and in ONNX against torch: images of any values and any number of channels."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.graph import Graph
from runtime.arrays.onnx import Formulas
from runtime.ops import torch_sums, torch_sums_onnx

from ..families import threads
from ..helpers import assert_equal, near, session, sides

MODES = list(itertools.product(["bilinear", "bicubic"], [False, True], [False, True]))
every_mode = pytest.mark.parametrize(("filter", "antialias", "align_corners"), MODES)


def values(height, width, channels, batch=1):
    """Of either sign and of all magnitudes: float32 ``[N, C, H, W]``."""
    generator = np.random.default_rng((height, width, channels))
    shape = batch, channels, height, width
    return (generator.standard_normal(shape) * 10.0 ** generator.integers(-4, 5, shape)).astype(np.float32)


def expected(images, size, filter, antialias, align_corners):
    how = {"mode": filter, "antialias": antialias, "align_corners": align_corners}
    with threads(2):
        return F.interpolate(torch.from_numpy(images), size, **how).numpy()


def graph(filter, antialias, align_corners, channels):
    """One session for every size, before and after."""
    g = Graph()
    pixels = g.input("pixels", "float32", [None, channels, None, None])
    sizes = (g.size(pixels, 2), g.size(pixels, 3)), (g.input("height", "int64", []), g.input("width", "int64", []))
    how = filter, antialias, align_corners, channels
    g.output(torch_sums_onnx.interpolated(g, Formulas(g), pixels, *sizes, *how), "result", [None] * 4)
    return session(g.build(18, 8, "interpolated"))


def in_onnx(run, images, size):
    (result,) = run.run(None, {"pixels": images, "height": np.array(size[0]), "width": np.array(size[1])})
    return result


def in_numpy(images, size, *how):
    results = [torch_sums.interpolated(np.moveaxis(image, 0, -1), *size, *how) for image in images]
    return np.stack([np.moveaxis(result, -1, 0) for result in results])


@every_mode
@given(data=st.data())
@settings(max_examples=8)
def test_equals_torch(filter, antialias, align_corners, data):
    # From 8 channels on, the kernel for small results adds up groups of 8 in another order than the rest.
    channels = data.draw(st.sampled_from([1, 3, 4, 7, 8, 9, 16, 21]))
    how = filter, antialias, align_corners
    run = graph(*how, channels)
    for _ in range(4):
        size = data.draw(sides(100)), data.draw(sides(100))
        images = values(data.draw(near(size[0], 150)), data.draw(near(size[1], 150)), channels, batch=2)
        want = expected(images, size, *how)
        what = f"{how} of {images.shape} to {size}"
        assert_equal(in_numpy(images, size, *how), want, f"NumPy, {what}")
        assert_equal(in_onnx(run, images, size), want, f"ONNX, {what}")


@pytest.mark.parametrize("channels", [3, 8, 19])
@pytest.mark.parametrize("size", [(64, 64), (64, 65), (127, 1), (1, 128)])
def test_where_torch_changes_the_kernel(channels, size):
    how = "bilinear", False, False
    images = values(33, 58, channels)
    want = expected(images, size, *how)
    assert_equal(in_numpy(images, size, *how), want, "NumPy")
    assert_equal(in_onnx(graph(*how, channels), images, size), want, "ONNX")


@pytest.mark.parametrize("channels", [3, 4, 8, 12])
@pytest.mark.parametrize("size", [(40, 50), (90, 100)])
def test_channels_that_lie_side_by_side(channels, size):
    images = values(33, 58, channels)
    with threads(2):
        last = torch.from_numpy(images).contiguous(memory_format=torch.channels_last)
        want = F.interpolate(last, size, mode="bilinear", align_corners=False).numpy()
    assert_equal(in_numpy(images, size, "bilinear", False, False, True), want, "NumPy")


@pytest.mark.slow
@every_mode
def test_equals_torch_at_many_sizes(filter, antialias, align_corners):
    generator = np.random.default_rng(0)
    how = filter, antialias, align_corners
    run = graph(*how, 1)
    for i in range(300):
        *before, height, width = generator.integers(1, [30, 300, 2000][i % 3], 4).tolist()
        size = height, width
        images = values(*before, 1)
        want = expected(images, size, *how)
        assert_equal(in_numpy(images, size, *how), want, f"NumPy, {before} to {size}")
        assert_equal(in_onnx(run, images, size), want, f"ONNX, {before} to {size}")
