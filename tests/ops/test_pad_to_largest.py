"""Padding to the largest image of a batch: the mask in every backend, and many images at once."""

import numpy as np
import pytest
from transformers.image_processing_backends import PilBackend
from transformers.image_utils import SizeDict

from runtime import Preprocessor, load
from runtime.ops import ImageSize, PadToLargest, Rescale, Resize
from runtime.ops.size import Size

from ..helpers import assert_equal, assert_everywhere, first, make_plan, noise, write_artifacts

SMALLER = Resize(Size(shortest_edge=20, longest_edge=50), "bilinear", "pillow13")
IMAGES = [noise(40, 60), noise(61, 40), noise(97, 131), noise(20, 20), noise(40, 60, 1), noise(7, 300)]
PLAN = make_plan(ImageSize("sizes"), SMALLER, Rescale(1 / 255), PadToLargest("pixel_mask"))


@pytest.mark.parametrize("size", [(1, 1), (31, 33), (5, 200)])
def test_one_image_is_all_of_its_batch(size):
    assert PLAN.outputs == ("pixel_values", "sizes", "pixel_mask")
    height, width = SMALLER.output_size(*size)
    assert_everywhere(PLAN, noise(*size), {"pixel_mask": np.ones((1, height, width), np.int64)})
    bare = make_plan(SMALLER, PadToLargest())
    assert bare.outputs == ("pixel_values",)
    assert_everywhere(bare, noise(*size))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_artifacts(PLAN, tmp_path_factory.mktemp("files"))


@pytest.mark.parametrize("return_tensors", ["np", "pt", None])
@pytest.mark.parametrize("backend", ["pil", "numba", "torch", "torchscript", "onnx"])
def test_images_of_mixed_sizes(backend, return_tensors, files):
    single = [Rescale(1 / 255).reference(SMALLER.reference(image)) for image in IMAGES]
    height, width = np.max([image.shape[:2] for image in single], axis=0)
    want, masks = PilBackend.pad(
        None, [first(image)[0] for image in single], SizeDict(height=height, width=width), return_mask=True
    )
    got = load(files[backend], backend)(IMAGES, return_tensors=return_tensors)
    assert list(got) == ["pixel_values", "sizes", "pixel_mask"]
    assert_equal(np.stack([np.asarray(image) for image in got.pixel_values]), np.stack(want), backend)
    assert_equal(np.stack([np.asarray(mask) for mask in got.pixel_mask]), np.stack(masks), backend)
    assert_equal(np.stack([np.asarray(size) for size in got.sizes]), np.array([i.shape[:2] for i in IMAGES]), backend)


def test_images_of_one_size_are_not_padded():
    got = Preprocessor(PLAN, "pil")([noise(40, 60), noise(40, 60, 1)])
    assert got.pixel_values.shape == (2, 3, 20, 30)
    assert got.pixel_mask.all()


def test_nothing_may_follow():
    with pytest.raises(ValueError, match="pad_to_largest must be the last step"):
        make_plan(PadToLargest(), Rescale(1 / 255))
