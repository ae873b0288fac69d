"""The size of the image as an output, in every backend."""

import numpy as np
import pytest

from runtime.ops import CenterCrop, ImageSize, Rescale, Resize
from runtime.ops.size import Size

from ..helpers import assert_everywhere, make_plan, noise

HALF = Resize(Size(max_height=40, max_width=50), "bilinear", "pillow13")


@pytest.mark.parametrize("dtype", ["int64", "float32"])
@pytest.mark.parametrize("size", [(1, 1), (40, 50), (97, 131), (300, 17)])
def test_sizes_before_and_after(size, dtype):
    plan = make_plan(ImageSize("before", dtype), HALF, Rescale(1 / 255), ImageSize("after", dtype), CenterCrop(5, 6))
    assert plan.outputs == ("pixel_values", "before", "after")
    images = np.stack([noise(*size, seed) for seed in range(2)])
    height, width = HALF.output_size(*size)
    want = {"before": np.array([size, size], dtype), "after": np.array([(height, width)] * 2, dtype)}
    assert_everywhere(plan, images, want)


def test_a_size_known_at_export():
    plan = make_plan(ImageSize("sizes"), HALF, input_size=(30, 41))
    assert_everywhere(plan, noise(30, 41), {"sizes": np.array([[30, 41]])})


def test_dtypes_are_named():
    with pytest.raises(ValueError, match="dtype: expected one of int64, float32, got 'int32'"):
        ImageSize("sizes", "int32")


def test_names_differ():
    with pytest.raises(ValueError, match=r"outputs: expected different names, .* got pixel_values, sizes, sizes"):
        make_plan(ImageSize("sizes"), ImageSize("sizes"))
    with pytest.raises(ValueError, match="outputs: expected different names"):
        make_plan(ImageSize("pixel_values"))
