"""Plans for pairs and videos in front of a model that takes them whole."""

import numpy as np
import pytest
from onnx import TensorProto, helper

import exporter
from runtime import ArtifactError, InputError, load
from runtime.ops import CenterCrop, ImageSize, Rescale

from .fused import info, outputs, plan, run, save, session, verify
from .helpers import assert_equal, make_plan, noise

STEPS = (ImageSize("sizes"), CenterCrop(32, 32), Rescale(1 / 255))
PAIR, VIDEO = make_plan(*STEPS, group="pair"), make_plan(*STEPS, group="video")


def model(path, shape, sizes=None):
    """The sum over rows of all images of a group; ``sizes`` is the shape of an input besides."""
    inputs, nodes = [info("x", TensorProto.FLOAT, shape)], [helper.make_node("ReduceSum", ["x", "axes"], ["y"])]
    outputs = [info("y", TensorProto.FLOAT, [*shape[:-1], 1])]
    if sizes is not None:
        inputs.append(info("sizes", TensorProto.INT64, sizes))
        nodes.append(helper.make_node("Identity", ["sizes"], ["out_sizes"]))
        outputs.append(info("out_sizes", TensorProto.INT64, sizes))
    return save(path, nodes, inputs, outputs, {"axes": np.array([-1])})


def assert_groups(made, path, images, groups, length, order=(0, 1, 2, 3, 4)):
    """The fused file on ``images``, and the two files one after the other."""
    exporter.to_onnx(made, path.with_name("pre.onnx"))
    exporter.to_onnx(made, path.with_name("fused.onnx"), path)
    given = run(path.with_name("pre.onnx"), images=images)
    values = given["pixel_values"].reshape(groups, length, 3, 32, 32).transpose(order)
    feeds = {"x": values, "sizes": given["sizes"].reshape(groups, length, 2)}
    opened = session(path)
    want = outputs(opened, **{value.name: feeds[value.name] for value in opened.get_inputs()})
    for name, value in run(path.with_name("fused.onnx"), images=images).items():
        assert_equal(value, want[name], name)
    assert all(row.values and row.backend == "onnx" for row in verify(path.with_name("fused.onnx")))
    return path.with_name("fused.onnx")


@pytest.mark.parametrize(
    ("made", "shape", "groups", "length"),
    [
        (PAIR, ["n", 2, 3, 32, 32], 3, 2),
        (PAIR, ["n", "two", 3, 32, 32], 1, 2),
        (PAIR, [2, 2, 3, 32, 32], 2, 2),
        (VIDEO, ["n", 4, 3, 32, 32], 3, 4),
        (VIDEO, [2, 4, 3, 32, 32], 2, 4),
        (VIDEO, ["n", "frames", 3, 32, 32], 1, 5),
        (VIDEO, [1, "frames", 3, 32, 32], 1, 3),
        (VIDEO, ["n", "frames", 3, "h", "w"], 1, 1),
    ],
    ids=str,
)
@pytest.mark.parametrize("sizes", [False, True])
def test_groups_are_an_axis_more(made, shape, groups, length, sizes, tmp_path):
    path = model(tmp_path / "m.onnx", shape, [*shape[:2], 2] if sizes else None)
    images = np.stack([noise(40, 50, i) for i in range(groups * length)])
    fused = assert_groups(made, path, images, groups, length)
    first = session(fused).get_inputs()[0].shape[0]
    fixed = groups * length if isinstance(shape[0], int) and (made is PAIR or isinstance(shape[1], int)) else "batch"
    assert first == fixed


@pytest.mark.parametrize(
    ("shape", "order"),
    [
        ([1, 4, 32, 32, 3], (0, 1, 3, 4, 2)),
        ([1, 3, 4, 32, 32], (0, 2, 1, 3, 4)),
        ([1, 3, "t", 32, 32], (0, 2, 1, 3, 4)),
    ],
)
def test_other_orders_of_the_axes(shape, order, tmp_path):
    images = np.stack([noise(40, 50, i) for i in range(4)])
    assert_groups(VIDEO, model(tmp_path / "m.onnx", shape), images, 1, 4, order)


def test_a_model_of_single_frames(tmp_path):
    """Its outputs are a row a frame, and become a row a video as the Plan's own do."""
    path = model(tmp_path / "m.onnx", ["n", 3, 32, 32])
    exporter.to_onnx(VIDEO, tmp_path / "fused.onnx", path)
    frames = [noise(40, 50, i) for i in range(6)]
    got = load(tmp_path / "fused.onnx")([frames[:3], frames[3:]])["y"]
    want = run(tmp_path / "fused.onnx", images=np.stack(frames))["y"]
    assert_equal(got, want.reshape(2, 3, 3, 32, 1), "frames")
    verify(tmp_path / "fused.onnx")


def test_pairs_in_the_runtime(tmp_path):
    path = model(tmp_path / "m.onnx", ["n", 2, 3, 32, 32])
    exporter.to_onnx(PAIR, tmp_path / "fused.onnx", path)
    loaded = load(tmp_path / "fused.onnx")
    pairs = [[noise(*size, i), noise(*size, i + 1)] for i, size in enumerate(((40, 50), (50, 40), (40, 50)))]
    want = [run(tmp_path / "fused.onnx", images=np.stack(pair))["y"] for pair in pairs]
    assert_equal(loaded(pairs)["y"], np.concatenate(want), "pairs")
    assert_equal(loaded(pairs[1])["y"], want[1], "one pair")
    listed = loaded(pairs, return_tensors=None)["y"]
    assert [value.shape for value in listed] == [(2, 3, 32, 1)] * 3
    with pytest.raises(InputError, match="takes a pair of images of one size, got 40x50, 50x40"):
        loaded([pairs[0][0], pairs[1][0]])
    with pytest.raises(InputError, match="got 3 in place of two"):
        loaded([pairs[0] + pairs[1][:1]])


@pytest.mark.parametrize(("shape", "length"), [(["n", 4, 3, 32, 32], 4), (["n", "frames", 3, 32, 32], None)])
def test_videos_in_the_runtime(shape, length, tmp_path):
    exporter.to_onnx(VIDEO, tmp_path / "fused.onnx", model(tmp_path / "m.onnx", shape))
    loaded = load(tmp_path / "fused.onnx")
    videos = [[noise(40, 50, 10 * i + j) for j in range(4)] for i in range(3)]
    want = [run(tmp_path / "fused.onnx", images=np.stack(video))["y"] for video in videos]
    assert_equal(loaded(videos)["y"], np.concatenate(want), "videos")
    if length is None:
        assert loaded([videos[0][:2], videos[1]], return_tensors=None)["y"][0].shape == (2, 3, 32, 1)
    else:
        with pytest.raises(InputError, match="the model in the file takes 4 images a video, got 2"):
            loaded(videos[0][:2])
        with pytest.raises(InputError, match="the model in the file takes 4 images a video, got 8"):
            loaded([videos[0] + videos[1]])


@pytest.mark.parametrize(
    ("made", "shape", "message"),
    [
        (PAIR, [1, 3, 3, 32, 32], "the batch differs"),
        (PAIR, [3, 3, 32, 32], "the batch differs"),
        (VIDEO, [3, "t", 3, 32, 32], "several videos of any number of frames at a time are not told apart"),
        (VIDEO, [1, 4, 3, 32, 16], "change the config with --size or --set"),
        (VIDEO, [1, 1, 4, 3, 32, 32], "the number of axes differs"),
        (plan(), [1, 1, 3, 32, 32], "the number of axes differs"),
    ],
)
def test_groups_that_do_not_fit(made, shape, message, tmp_path):
    with pytest.raises(ArtifactError, match=message):
        exporter.to_onnx(made, tmp_path / "fused.onnx", model(tmp_path / "m.onnx", shape))


# --- Other inputs of the model


def worded(path, first="n", third=7):
    """An image and tokens, a row each."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Cast", ["tokens"], ["t"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["t", "axes"], ["s"]),
        helper.make_node("Add", ["f", "s"], ["a"]),
        helper.make_node("Mul", ["a", "scale"], ["y"]),
    ]
    inputs = [info("x", TensorProto.FLOAT, [first, 3, 32, 32]), info("tokens", TensorProto.INT64, [first, third])]
    inputs.append(info("scale", TensorProto.FLOAT, [1]))
    outputs = [info("y", TensorProto.FLOAT, [first, 3])]
    weights = {"axes": np.array([1]), "scale": np.ones(1, np.float32)}
    return save(path, nodes, inputs, outputs, weights)


@pytest.mark.parametrize("first", ["n", 2])
def test_inputs_besides_images_in_the_runtime(first, tmp_path):
    fused = tmp_path / "fused.onnx"
    exporter.to_onnx(plan(), fused, worded(tmp_path / "m.onnx", first))
    loaded, tokens = load(fused), np.arange(28).reshape(4, 7)
    images = [noise(40, 50), noise(40, 50, 1), noise(50, 40), noise(50, 40, 1)]
    want = [run(fused, images=np.stack(images[i : i + 2]), tokens=tokens[i : i + 2])["y"] for i in (0, 2)]
    assert_equal(loaded(images, inputs={"tokens": tokens})["y"], np.concatenate(want), "tokens")
    doubled = loaded(images, inputs={"tokens": tokens, "scale": np.full(1, 2, np.float32)})["y"]
    assert_equal(doubled, 2 * np.concatenate(want), "scale")
    mixed = [images[i] for i in (0, 2, 1, 3)]
    assert_equal(
        loaded(mixed, inputs={"tokens": tokens[[0, 2, 1, 3]]})["y"], np.concatenate(want)[[0, 2, 1, 3]], "mixed"
    )
    for inputs, message in (
        ({}, "takes tokens besides images: pass inputs="),
        ({"tokens": tokens, "mask": tokens}, "has no mask"),
        ({"tokens": tokens[:3]}, "tokens has 3 rows, expected one for each image or group"),
        ({"tokens": tokens.astype(np.float32)}, "onnxruntime failed on images"),
    ):
        with pytest.raises(InputError, match=message):
            loaded(images, inputs=inputs)
    verify(fused)


def test_inputs_for_a_file_without_a_model(tmp_path):
    exporter.to_onnx(plan(), tmp_path / "a.onnx")
    with pytest.raises(InputError, match=r"inputs: the model in .*a.onnx has no x"):
        load(tmp_path / "a.onnx", "onnx")(noise(40, 50), inputs={"x": np.ones(3)})
    for backend in ("pil", "torch"):
        with pytest.raises(InputError, match=r"inputs: only a model in an .onnx file takes more than images"):
            load(tmp_path / "a.onnx", backend)(noise(40, 50), inputs={"x": np.ones(3)})
