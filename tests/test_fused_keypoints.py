"""Small models of keypoints behind their preprocessing: from photographs to what transformers makes of the outputs."""

from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import transformers
from onnx import numpy_helper
from PIL import Image

import exporter
from exporter import cli
from runtime import InputError, load

from .helpers import assert_equal, noise

SIZE = {"height": 24, "width": 32}
NODES = """
    pooled = GlobalAveragePool (pixel_values)
    flat = Reshape (pooled, features)
    scaled = Sub (flat, mean)
    product = MatMul (scaled, weight)
    shares = Sigmoid (product)
    places, rest = Split <axis = 1> (shares, parts)
"""
POINTS = """
    <ir_version: 8, opset_import: ["": 18]>
    points (float[n, 3, 24, 32] pixel_values)
        => (float[n, 9, 2] keypoints, float[n, 9] scores, float[n, 9, 1] descriptors, int32[n, 9] mask) {NODES
    keypoints = Reshape (places, pairs)
    scores = Identity (rest)
    descriptors = Reshape (rest, column)
    half = Constant <value_float = 0.5> ()
    above = Greater (rest, half)
    mask = Cast <to = 6> (above)
}
""".replace("NODES", NODES)
MATCHES = """
    <ir_version: 8, opset_import: ["": 18]>
    matches (float[n, 2, 3, 24, 32] pixel_values)
        => (float[n, 2, 9, 2] keypoints, int64[n, 2, 9] matches, float[n, 2, 9] matching_scores, int32[n, 2, 9] mask) {
    images = Reshape (pixel_values, stacked)NODES
    keypoints = Reshape (places, two_pairs)
    matching_scores = Reshape (rest, two)
    half = Constant <value_float = 0.4> ()
    above = Greater (matching_scores, half)
    mask = Cast <to = 6> (above)
    _values, order = TopK <axis = -1> (matching_scores, nine)
    none = Constant <value_int = -1> ()
    matches = Where (above, order, none)
}
""".replace("NODES", NODES.replace("(pixel_values)", "(images)"))
CONSTANTS = {
    "features": [-1, 3], "pairs": [-1, 9, 2], "column": [-1, 9, 1], "stacked": [-1, 3, 24, 32],
    "two_pairs": [-1, 2, 9, 2], "two": [-1, 2, 9], "nine": [9], "parts": [18, 9],
}  # fmt: skip


def write(folder, text, processor, architecture):
    """``model.onnx`` and a checkpoint's configs, fused to ``fused.onnx``; and two photographs each of two sizes."""
    model = onnx.parser.parse_model(text)
    arrays = {name: np.array(value, np.int64) for name, value in CONSTANTS.items()}
    arrays["mean"] = np.full(3, 0.5, np.float32)
    arrays["weight"] = np.random.default_rng(0).standard_normal((3, 27)).astype(np.float32) * 200
    read = {name for node in model.graph.node for name in node.input}
    tensors = [numpy_helper.from_array(array, name) for name, array in arrays.items() if name in read]
    model.graph.initializer.extend(tensors)
    onnx.save(model, folder / "model.onnx")
    processor.save_pretrained(folder)
    (folder / "config.json").write_text(f'{{"architectures": ["{architecture}"]}}')
    exporter.to_onnx(exporter.trace(str(folder)), folder / "fused.onnx", model=folder / "model.onnx")
    for i, size in enumerate([(60, 90), (60, 90), (70, 50), (70, 50)]):
        Image.fromarray(noise(*size, seed=i)).save(folder / f"{i}.png")
    return folder, processor


@pytest.fixture
def points(tmp_path):
    processor = transformers.SuperPointImageProcessorPil(size=SIZE)
    return write(tmp_path, POINTS, processor, "SuperPointForKeypointDetection")


@pytest.fixture(params=["SuperGlue", "LightGlue", "EfficientLoFTR"])
def matcher(request, tmp_path):
    processor = getattr(transformers, f"{request.param}ImageProcessorPil")(size=SIZE)
    return write(tmp_path, MATCHES, processor, f"{request.param}ForKeypointMatching")


def outputs_of(folder, processor, images):
    """The model's outputs by itself, as transformers takes them."""
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    pixels = processor(images, return_tensors="np")["pixel_values"]
    names = [value.name for value in session.get_outputs()]
    tensors = map(torch.from_numpy, session.run(None, {"pixel_values": pixels}))
    return SimpleNamespace(**dict(zip(names, tensors, strict=True)))


def photos(folder):
    return [str(folder / f"{i}.png") for i in range(4)]


def assert_results(got, want):
    assert set(got) == set(want)
    for name, value in want.items():
        assert_equal(got[name], value.numpy(), name)


def test_points(points):
    folder, processor = points
    counts = set()
    for photo, got in zip(photos(folder), load(folder / "fused.onnx").predict(photos(folder)), strict=True):
        with Image.open(photo) as image:
            outputs = outputs_of(folder, processor, image)
            assert_results(got, processor.post_process_keypoint_detection(outputs, [image.size[::-1]])[0])
        counts.add(len(got["scores"]))
    assert len(counts) > 1


def test_points_are_drawn(points, capsys):
    folder, _ = points
    found = load(folder / "fused.onnx").predict(photos(folder)[0])
    assert cli.main(["run", str(folder / "fused.onnx"), photos(folder)[0], "--draw", str(folder / "out.png")]) == 0
    assert f" keypoints: int32 [{len(found['scores'])}, 2]" in capsys.readouterr().out.splitlines()
    with Image.open(folder / "out.png") as picture:
        x, y = found["keypoints"][found["scores"].argmax()].tolist()
        assert picture.getpixel((x, y)) == (255, 0, 0)


def test_matches(matcher):
    folder, processor = matcher
    pairs = [photos(folder)[:2], photos(folder)[2:], photos(folder)[1::-1]]
    loaded = load(folder / "fused.onnx")
    every, fewer = loaded.predict(pairs), 0
    for pair, got in zip(pairs, every, strict=True):
        images = [Image.open(photo) for photo in pair]
        sizes = [[image.size[::-1] for image in images]]
        outputs = outputs_of(folder, processor, images)
        assert_results(got, processor.post_process_keypoint_matching(outputs, sizes)[0])
        higher = processor.post_process_keypoint_matching(outputs, sizes, threshold=0.6)[0]
        assert_results(loaded.predict([pair], threshold=0.6)[0], higher)
        fewer += len(got["matching_scores"]) - len(higher["matching_scores"])
    assert fewer > 0
    assert len({len(got["matching_scores"]) for got in every}) > 1


def test_a_pair_of_two_sizes(matcher):
    folder, _ = matcher
    with pytest.raises(InputError, match="takes a pair of images of one size, got 60x90, 70x50"):
        load(folder / "fused.onnx").predict(photos(folder)[1:3])
