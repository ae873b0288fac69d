"""Pairs of images and videos: what comes in, and the shape that comes out."""

import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from runtime import InputError, Preprocessor
from runtime.groups import to_groups
from runtime.ops import ConvertRGB, Rescale, Resize
from runtime.ops.size import Size

from .helpers import assert_equal, make_plan, noise

STEPS = (ConvertRGB(), Resize(Size(height=6, width=5), "bilinear", "pillow13"), Rescale(1 / 255))
ALONE = Preprocessor(make_plan(*STEPS), "pil")
PAIR = Preprocessor(make_plan(*STEPS, group="pair"), "pil")
VIDEO = Preprocessor(make_plan(*STEPS, group="video"), "pil")
IMAGES = [noise(9, 7, seed) for seed in range(6)]
MIXED = [noise(9 + seed, 7, seed) for seed in range(6)]


def alone(images):
    return ALONE(images)["pixel_values"]


def pil(images):
    return [Image.fromarray(image) for image in images]


@pytest.mark.parametrize("images", [IMAGES, MIXED], ids=["one size", "mixed sizes"])
@pytest.mark.parametrize("kind", [list, tuple, pil, lambda images: list(map(torch.from_numpy, images))])
def test_a_pair_and_pairs(images, kind):
    assert_equal(PAIR(kind(images[:2]))["pixel_values"], alone(images[:2])[None], "a pair")
    pairs = [kind(images[i : i + 2]) for i in (0, 2, 4)]
    assert_equal(PAIR(pairs)["pixel_values"], alone(images).reshape(3, 2, 3, 6, 5), "pairs")


def test_two_pairs_are_no_pair_of_videos():
    pairs = [IMAGES[:2], IMAGES[2:4]]
    assert PAIR(pairs)["pixel_values"].shape == (2, 2, 3, 6, 5)


@pytest.mark.parametrize("images", [IMAGES, MIXED], ids=["one size", "mixed sizes"])
@pytest.mark.parametrize("kind", [list, tuple, pil, lambda images: list(map(torch.from_numpy, images))])
def test_a_video_and_videos(images, kind):
    assert_equal(VIDEO(kind(images))["pixel_values"], alone(images)[None], "a video")
    assert_equal(VIDEO(kind(images)[0])["pixel_values"], alone(images[0])[None], "a frame")
    videos = [kind(images[:3]), kind(images[3:])]
    assert_equal(VIDEO(videos)["pixel_values"], alone(images).reshape(2, 3, 3, 6, 5), "videos")


def test_arrays_of_frames():
    frames, whole = np.stack(IMAGES), alone(IMAGES)
    assert_equal(VIDEO(frames)["pixel_values"], whole[None], "frames")
    assert_equal(VIDEO(torch.from_numpy(frames))["pixel_values"], whole[None], "a tensor")
    assert_equal(VIDEO([frames[:3], frames[3:]])["pixel_values"], whole.reshape(2, 3, 3, 6, 5), "arrays")
    assert_equal(VIDEO(frames.reshape(2, 3, 9, 7, 3))["pixel_values"], whole.reshape(2, 3, 3, 6, 5), "videos")
    assert_equal(PAIR(frames[:2])["pixel_values"], whole[:2][None], "a pair")
    assert_equal(PAIR(frames.reshape(3, 2, 9, 7, 3))["pixel_values"], whole.reshape(3, 2, 3, 6, 5), "pairs")


def test_forms_of_the_result():
    videos = [IMAGES[:2], IMAGES[2:]]
    lists = VIDEO(videos, return_tensors=None)["pixel_values"]
    assert [len(frames) for frames in lists] == [2, 4]
    assert_equal(np.stack([*lists[0], *lists[1]]), alone(IMAGES), "lists")
    tensor = VIDEO(IMAGES, return_tensors="pt")["pixel_values"]
    assert isinstance(tensor, torch.Tensor)
    assert_equal(tensor.numpy(), alone(IMAGES)[None], "a tensor")


@pytest.mark.parametrize("kind", ["pair", "video"])
@pytest.mark.parametrize(
    "images", [[], [[]], [IMAGES[:2], []], [[IMAGES]], [[np.stack(IMAGES)]], [np.stack(IMAGES), IMAGES[0]]], ids=len
)
def test_what_is_no_group(kind, images):
    with pytest.raises(InputError, match=r"^expected (the frames of a video, or a list|.image, image., or a list)"):
        to_groups(images, kind)


@pytest.mark.parametrize("images", [IMAGES[0], IMAGES[:1], IMAGES[:3], [IMAGES[:2], IMAGES[:3]], np.stack(IMAGES)])
def test_what_is_no_pair(images):
    with pytest.raises(InputError, match=r"expected \[image, image\], or a list of such pairs; got \d in place of two"):
        PAIR(images)


def test_videos_of_different_lengths():
    with pytest.raises(InputError, match=r"these videos have 2, 4 frames, which cannot be one batch; pass videos of"):
        VIDEO([IMAGES[:2], IMAGES[2:]])


def test_a_bad_image_is_named():
    with pytest.raises(InputError, match=r"^image 1: image 0: expected uint8 values"):
        PAIR([IMAGES[:2], [IMAGES[0] / 2, IMAGES[1]]])


def test_plans_of_images_take_lists_as_before():
    assert ALONE([IMAGES[:3], IMAGES[3:]])["pixel_values"].shape == (6, 3, 6, 5)


with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it is a prototype
    NESTED = torch.nested.nested_tensor([torch.zeros(9, 7, 3, dtype=torch.uint8)] * 2)


class Odd:
    """What looks like an array, and is none."""

    def __init__(self, ndim):
        self.ndim, self.shape = ndim, (2, 9, 7, 3)


@pytest.mark.parametrize("processor", [PAIR, VIDEO], ids=["pair", "video"])
@pytest.mark.parametrize(
    "images",
    [
        Odd(4),
        Odd("four"),
        [Odd(4), Odd(4)],
        [Odd(3), Odd(3)],
        NESTED,
        torch.zeros(2, 9, 7, 3, dtype=torch.uint8, device="meta"),
        torch.zeros(2, 9, 7, 3, dtype=torch.uint8).to_sparse(),
    ],
    ids=["four axes", "no number", "of four axes", "of three", "nested", "meta", "sparse"],
)
def test_what_only_looks_like_arrays(processor, images):
    with pytest.raises(InputError):
        processor(images)
