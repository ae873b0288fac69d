"""What is drawn over a picture."""

import numpy as np
import pytest
from PIL import Image

from exporter import draw
from runtime import InputError, UnsupportedConfig

from .helpers import assert_equal, noise


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(noise(40, 60)).save(path)
    return path


def drawn(photo, result):
    draw.draw(photo, result, photo.with_name("out.png"))
    with Image.open(photo.with_name("out.png")) as picture:
        return np.asarray(picture)


def test_boxes_are_where_they_should_be(photo):
    cat = {"label": "cat", "score": 0.9, "box": [10.0, 12.0, 50.0, 30.0]}
    pixels = drawn(photo, [cat, {"label": "dog", "score": 0.5, "box": [30.0, 20.0, 58.0, 38.0]}])
    shades = [draw.colour(0), draw.colour(1)]
    assert shades[0] != shades[1]
    for (left, top, right, bottom), shade in (((10, 12, 50, 30), shades[0]), ((30, 31, 58, 38), shades[1])):
        assert (pixels[bottom, left + 5 : right] == shade).all() if shade == shades[0] else True
        assert tuple(pixels[bottom, right - 1]) == shade
        assert tuple(pixels[top if shade == shades[0] else 38, right]) == shade
    assert_equal(pixels[0], noise(40, 60)[0], "what lies outside")


@pytest.mark.parametrize("box", [[50.0, 30.0, 10.0, 12.0], [-20.0, -20.0, 100.0, 100.0], [5.0, 5.0, 5.0, 5.0]])
def test_boxes_of_a_poor_model(photo, box):
    assert drawn(photo, [{"label": "cat", "score": 0.9, "box": box}]).shape == (40, 60, 3)


def test_nothing_found_leaves_the_picture(photo):
    assert_equal(drawn(photo, []), noise(40, 60), "pixels")


def test_the_best_box_is_on_top_wherever_it_comes(photo):
    boxes = [{"label": name, "score": score, "box": [10, 12, 50, 30]} for name, score in (("cat", 0.4), ("dog", 0.6))]
    for found in (boxes, boxes[::-1]):
        assert tuple(drawn(photo, found)[30, 40]) == draw.colour(1)


def test_boxes_without_labels(photo):
    assert tuple(drawn(photo, [{"score": 0.4, "box": [10, 12, 50, 30]}])[30, 40]) == draw.colour(0)


def test_points_from_red_to_green(photo):
    points = {"keypoints": np.array([[5, 7], [30, 20], [59, 39]], np.int32), "scores": np.array([0.2, 0.9, 0.8])}
    pixels = drawn(photo, {**points, "descriptors": np.zeros((3, 8), np.float32)})
    assert [tuple(pixels[y, x]) for x, y in points["keypoints"]] == [(170, 255, 0), (255, 0, 0), (255, 170, 0)]
    assert tuple(pixels[21, 30]) == (255, 0, 0)
    assert_equal(pixels[10:19], noise(40, 60)[10:19], "what lies between")
    nothing = {"keypoints": np.zeros((0, 2), np.int32), "scores": np.zeros(0), "descriptors": np.zeros((0, 8))}
    assert_equal(drawn(photo, nothing), noise(40, 60), "pixels")


def test_photographs_are_turned_as_they_are_read(tmp_path):
    exif = Image.Exif()
    exif[274] = 6  # turned by 90 degrees
    Image.fromarray(noise(40, 60)).save(tmp_path / "turned.png", exif=exif)
    assert_equal(drawn(tmp_path / "turned.png", []), np.rot90(noise(40, 60), -1), "pixels")


def test_masks_tint(photo):
    mask = np.zeros((40, 60), np.int64)
    mask[:, 30:] = 7
    pixels = drawn(photo, {"segmentation": mask, "labels": {0: "sky", 7: "road"}})
    for columns, label in ((slice(30), 0), (slice(30, None), 7)):
        want = np.rint(noise(40, 60)[:, columns] * 0.5 + np.array(draw.colour(label)) * 0.5).astype(np.uint8)
        assert_equal(pixels[:, columns], want, str(label))


def test_maps_go_from_black_to_white(photo):
    depth = np.linspace(2, 4, 6, dtype=np.float32).reshape(2, 3)
    assert drawn(photo, {"predicted_depth": depth}).tolist() == [[0, 51, 102], [153, 204, 255]]
    assert drawn(photo, {"predicted_depth": np.full((2, 3), np.inf, np.float32)}).tolist() == [[0] * 3] * 2


def test_maps_of_three_numbers_are_colours(photo):
    normals = np.array([[-1, 0.6, 0.2], [1, 0, -0.2]], np.float32).reshape(2, 1, 3).transpose(2, 0, 1)
    assert drawn(photo, {"normals": normals}).tolist() == [[[0, 204, 153]], [[255, 128, 102]]]
    matte = {"alpha": np.ones((1, 2, 1), np.float32), "foreground": np.abs(normals)}
    assert drawn(photo, matte).tolist() == [[[255, 153, 51]], [[255, 0, 51]]]


def test_the_best_mask_of_each_prompt_tints(photo):
    masks = np.zeros((2, 3, 40, 60), bool)
    masks[0, 2, :, :30] = masks[1, 1, :, 20:50] = masks[:, 0, :10] = True
    scores = np.array([[0.1, 0.2, 0.9], [0.1, 0.9, 0.2]], np.float32)
    pixels = drawn(photo, {"masks": masks, "iou_scores": scores})
    first = noise(40, 60) * 0.5 + np.array(draw.colour(0)) * 0.5
    second = noise(40, 60) * 0.5 + np.array(draw.colour(1)) * 0.5
    both = first * 0.5 + np.array(draw.colour(1)) * 0.5
    for want, columns in ((first, slice(20)), (both, slice(20, 30)), (second, slice(30, 50))):
        assert_equal(pixels[:, columns], np.rint(want[:, columns]).astype(np.uint8), f"{columns}")
    assert_equal(pixels[:, 50:], noise(40, 60)[:, 50:], "what lies outside")
    without = drawn(photo, {"masks": masks[:1]})
    assert_equal(without[:10], np.rint(first[:10]).astype(np.uint8), "the first mask")
    assert_equal(without[10:], noise(40, 60)[10:], "what lies below it")


@pytest.mark.parametrize(
    "result", [[{"label": "cat", "score": 0.9}], {"text": "hello"}, {"scores": np.zeros(3)}], ids=str
)
def test_what_cannot_be_drawn(photo, result):
    with pytest.raises(InputError, match="neither boxes nor a mask"):
        drawn(photo, result)


def test_files_that_cannot_be_read_or_written(photo, tmp_path):
    with pytest.raises(UnsupportedConfig, match=r"out.jpg: expected a name that ends in .png"):
        draw.check("out.jpg")
    (tmp_path / "text.png").write_text("text")
    with pytest.raises(InputError, match=r"text.png: cannot be read"):
        draw.draw(tmp_path / "text.png", [], tmp_path / "out.png")
