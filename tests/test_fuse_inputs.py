"""How a Plan's outputs become a model's inputs: by name, by axes, by dtype; each equal to the files one by one."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import exporter
from runtime import ArtifactError, InputError, load
from runtime.ops import Branch, CenterCrop, ChannelsLast, CropMargin, ImageSize, Pad, Rescale, Resize
from runtime.ops.size import Size

from .fused import assert_fused, info, network, plan, run, save, session, weight
from .helpers import assert_equal, make_plan, noise

RESIZE = Resize(Size(height=32, width=32), "bilinear", "pillow13")
SIZED = make_plan(ImageSize("original_sizes"), RESIZE, Rescale(1 / 255))
MASKED = make_plan(
    Resize(Size(height=20, width=24), "bilinear", "pillow13"),
    Rescale(1 / 255),
    Pad(Size(height=32, width=32), mask="pixel_mask"),
)


def reducing(path, inputs):
    """A model that gives the mean of every input, as float32, under the input's name and ``_mean``."""
    nodes, outputs = [], []
    for value in inputs:
        nodes.append(helper.make_node("Cast", [value.name], [f"{value.name}_cast"], to=TensorProto.FLOAT))
        nodes.append(helper.make_node("ReduceMean", [f"{value.name}_cast"], [f"{value.name}_mean"], keepdims=0))
        outputs.append(info(f"{value.name}_mean", TensorProto.FLOAT, []))
    return save(path, nodes, inputs, outputs)


# --- Names


@pytest.mark.parametrize("name", ["pixel_values", "input", "images", "input.1", "x:0", "preprocess/fit", "模型"])
def test_a_single_image_input_may_have_any_name(name, tmp_path):
    fused = assert_fused(plan(), network(tmp_path / "m.onnx", name=name), lambda given: {name: given["pixel_values"]})
    assert [value.name for value in session(fused).get_inputs()] == ["images"]
    assert load(fused).output_names == ("logits",)


def two_images(path, names=("left", "right"), dtypes=(TensorProto.FLOAT, TensorProto.FLOAT)):
    return reducing(path, [info(n, d, ["n", 3, 32, 32]) for n, d in zip(names, dtypes, strict=True)])


def test_two_that_may_be_the_image_are_told_apart_by_map(tmp_path):
    model = two_images(tmp_path / "m.onnx")
    with pytest.raises(
        ArtifactError, match=r"image cannot be told: .* gives pixel_values, the model takes left .*right"
    ):
        exporter.to_onnx(plan(), tmp_path / "fused.onnx", model)
    exporter.to_onnx(plan(), tmp_path / "fused.onnx", model, map={"pixel_values": "right"})
    inputs = [value.name for value in session(tmp_path / "fused.onnx").get_inputs()]
    assert inputs == ["images", "left"]
    exporter.to_onnx(plan(), tmp_path / "pre.onnx")
    images, left = noise(50, 40)[None], weight(1, 3, 32, 32)
    right = run(tmp_path / "pre.onnx", images=images)["pixel_values"]
    want = run(model, left=left, right=right)
    for name, value in run(tmp_path / "fused.onnx", images=images, left=left).items():
        assert_equal(value, want[name], name)


def test_a_name_wins_over_others_that_could_be_the_image(tmp_path):
    model = two_images(tmp_path / "m.onnx", ("noise", "pixel_values"))
    exporter.to_onnx(plan(), tmp_path / "fused.onnx", model)
    assert [value.name for value in session(tmp_path / "fused.onnx").get_inputs()] == ["images", "noise"]


def test_the_image_is_the_one_with_four_axes(tmp_path):
    inputs = [info("tokens", TensorProto.INT64, ["n", 7]), info("x", TensorProto.FLOAT, ["n", 3, 32, 32])]
    inputs.append(info("bias", TensorProto.FLOAT, [3]))
    model = reducing(tmp_path / "m.onnx", inputs)
    extra = {"tokens": np.arange(14).reshape(2, 7), "bias": np.arange(3, dtype=np.float32)}
    fused = assert_fused(plan(), model, lambda given: {"x": given["pixel_values"], **extra})
    assert [value.name for value in session(fused).get_inputs()] == ["images", "tokens", "bias"]


def test_an_input_with_a_default_stays_optional(tmp_path):
    nodes = [helper.make_node("GlobalAveragePool", ["x"], ["p"]), helper.make_node("Mul", ["p", "scale"], ["y"])]
    inputs = [info("x", TensorProto.FLOAT, ["n", 3, 32, 32]), info("scale", TensorProto.FLOAT, [1])]
    outputs = [info("y", TensorProto.FLOAT, ["n", 3, 1, 1])]
    model = save(tmp_path / "m.onnx", nodes, inputs, outputs, {"scale": np.ones(1, np.float32)})
    fused = assert_fused(plan(), model, lambda given: {"x": given["pixel_values"]})
    images = noise(40, 40)[None]
    once, twice = run(fused, images=images)["y"], run(fused, images=images, scale=np.full(1, 2, np.float32))["y"]
    assert_equal(twice, once * 2, "scale")


def test_the_image_may_be_an_input_with_a_default(tmp_path):
    nodes = [helper.make_node("GlobalAveragePool", ["pixel_values"], ["y"])]
    inputs = [info("pixel_values", TensorProto.FLOAT, [1, 3, 32, 32])]
    outputs = [info("y", TensorProto.FLOAT, [1, 3, 1, 1])]
    model = save(tmp_path / "m.onnx", nodes, inputs, outputs, {"pixel_values": weight(1, 3, 32, 32)})
    exporter.to_onnx(plan(), tmp_path / "fused.onnx", model)
    exporter.to_onnx(plan(), tmp_path / "pre.onnx")
    images = noise(40, 50)[None]
    want = run(model, **run(tmp_path / "pre.onnx", images=images))["y"]
    assert_equal(run(tmp_path / "fused.onnx", images=images)["y"], want, "y")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"pixels": "x"}, "map: 'pixels' is none of pixel_values"),
        ({"pixel_values": "y"}, r"map: the model has no input 'y' for pixel_values; it has pixel_values \(float32"),
        ({"": "x"}, "map: '' is none of pixel_values"),
    ],
)
def test_maps_that_name_nothing(names, message, tmp_path):
    with pytest.raises(ArtifactError, match=message):
        exporter.to_onnx(plan(), tmp_path / "fused.onnx", network(tmp_path / "m.onnx"), map=names)
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]


def test_a_map_without_a_model(tmp_path):
    with pytest.raises(ArtifactError, match="map: says what a model's inputs are called: give a model too"):
        exporter.to_onnx(plan(), tmp_path / "a.onnx", map={"pixel_values": "x"})


def test_one_input_cannot_be_two_things(tmp_path):
    model = reducing(tmp_path / "m.onnx", [info("x", TensorProto.FLOAT, ["n", 3, 32, 32])])
    with pytest.raises(ArtifactError, match="map: pixel_values and pixel_mask cannot both be 'x'"):
        exporter.to_onnx(MASKED, tmp_path / "f.onnx", model, map={"pixel_values": "x", "pixel_mask": "x"})


# --- Other outputs


@pytest.mark.parametrize(
    ("dtype", "numpy"),
    [
        (TensorProto.INT64, np.int64),
        (TensorProto.INT32, np.int32),
        (TensorProto.BOOL, np.bool_),
        (TensorProto.UINT8, np.uint8),
        (TensorProto.FLOAT, np.float32),
        (TensorProto.FLOAT16, np.float16),
        (TensorProto.DOUBLE, np.float64),
    ],
)
def test_masks_are_cast(dtype, numpy, tmp_path):
    inputs = [info("pixel_mask", dtype, ["n", 32, 32]), info("image", TensorProto.FLOAT, ["n", 3, 32, 32])]
    model = reducing(tmp_path / "m.onnx", inputs)
    assert_fused(MASKED, model, lambda g: {"image": g["pixel_values"], "pixel_mask": g["pixel_mask"].astype(numpy)})


def test_a_mask_under_another_name(tmp_path):
    inputs = [info("x", TensorProto.FLOAT, ["n", 3, 32, 32]), info("m", TensorProto.INT64, ["n", 32, 32])]
    model = reducing(tmp_path / "m.onnx", inputs)
    fused = assert_fused(
        MASKED, model, lambda g: {"x": g["pixel_values"], "m": g["pixel_mask"]}, map={"pixel_mask": "m"}
    )
    assert [value.name for value in session(fused).get_inputs()] == ["images"]


def test_a_name_that_is_mapped_is_taken(tmp_path):
    model = network(tmp_path / "m.onnx", name="pixel_mask")
    feed = lambda given: {"pixel_mask": given["pixel_values"]}  # noqa: E731
    assert_fused(MASKED, model, feed, map={"pixel_values": "pixel_mask"})


def test_an_output_that_the_model_does_not_take_is_left_out(tmp_path):
    fused = assert_fused(MASKED, network(tmp_path / "m.onnx"))
    both, one = (
        [n.op_type for n in onnx.load(path).graph.node].count("Pad") for path in (tmp_path / "pre.onnx", fused)
    )
    assert (both, one) == (2, 1), "the mask is still computed"


@pytest.mark.parametrize("dtype", [TensorProto.BOOL, TensorProto.FLOAT16, TensorProto.UINT8])
def test_sizes_are_not_cast_where_they_would_change(dtype, tmp_path):
    inputs = [info("x", TensorProto.FLOAT, ["n", 3, 32, 32]), info("original_sizes", dtype, ["n", 2])]
    with pytest.raises(ArtifactError, match=r"'original_sizes' takes .*, but .* gives int64 \[batch, 2\]"):
        exporter.to_onnx(SIZED, tmp_path / "f.onnx", reducing(tmp_path / "m.onnx", inputs))


@pytest.mark.parametrize(("dtype", "numpy"), [(TensorProto.INT32, np.int32), (TensorProto.FLOAT, np.float32)])
def test_sizes_are_cast(dtype, numpy, tmp_path):
    inputs = [info("x", TensorProto.FLOAT, ["n", 3, 32, 32]), info("original_sizes", dtype, ["n", 2])]
    model = reducing(tmp_path / "m.onnx", inputs)
    feed = lambda given: {"x": given["pixel_values"], "original_sizes": given["original_sizes"].astype(numpy)}  # noqa: E731
    assert_fused(SIZED, model, feed)


def test_only_a_branch_is_taken(tmp_path):
    branched = make_plan(Branch("high_res", (RESIZE, Rescale(1 / 255))), CenterCrop(16, 16), Rescale(1 / 255))
    inputs = [info("high_res", TensorProto.FLOAT, ["n", 3, 32, 32])]
    assert_fused(branched, reducing(tmp_path / "m.onnx", inputs))


def test_a_mask_alone_is_no_match(tmp_path):
    model = reducing(tmp_path / "m.onnx", [info("pixel_mask", TensorProto.INT64, ["n", 32, 32])])
    with pytest.raises(ArtifactError, match="which input of the model is the image cannot be told"):
        exporter.to_onnx(MASKED, tmp_path / "f.onnx", model)


# --- Axes


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
def test_a_model_that_takes_channels_last(layout, tmp_path):
    model = reducing_rows(tmp_path / "m.onnx", ["n", 32, 32, 3])
    made = replace(plan(), layout="NHWC")
    assert_fused(made, model, lambda given: {"x": given["pixel_values"].transpose(0, 2, 3, 1)})
    other = replace(plan(), layout=layout)
    exporter.to_onnx(other, tmp_path / "other.onnx", model)
    images = noise(40, 50)[None] if layout == "NHWC" else noise(40, 50)[None].transpose(0, 3, 1, 2)
    want = run(tmp_path / "fused.onnx", images=noise(40, 50)[None])
    assert_equal(run(tmp_path / "other.onnx", images=images)["y"], want["y"], layout)
    exporter.verify(tmp_path / "other.onnx")


def reducing_rows(path, shape, dtype=TensorProto.FLOAT, axis=-1):
    """The mean over an axis, which tells any order of axes from another."""
    nodes = [] if dtype == TensorProto.FLOAT else [helper.make_node("Cast", ["x"], ["c"], to=TensorProto.FLOAT)]
    nodes.append(helper.make_node("ReduceMean", ["c" if nodes else "x", "axes"], ["y"]))
    lengths = [1 if i == axis % len(shape) else n for i, n in enumerate(shape)]
    outputs = [info("y", TensorProto.FLOAT, lengths)]
    return save(path, nodes, [info("x", dtype, shape)], outputs, {"axes": np.array([axis])})


def test_a_plan_with_channels_last_before_a_model_with_channels_first(tmp_path):
    last = make_plan(Resize(Size(height=3, width=32), "bilinear", "pillow13"), Rescale(1 / 255), ChannelsLast())
    model = reducing_rows(tmp_path / "m.onnx", ["n", 3, 3, 32])
    assert_fused(last, model, lambda given: {"x": given["pixel_values"].transpose(0, 3, 1, 2)})
    same = reducing_rows(tmp_path / "m.onnx", ["n", 3, 32, 3])
    assert_fused(last, same, lambda given: {"x": given["pixel_values"]})


def test_of_open_axes_the_order_is_the_plans(tmp_path):
    model = reducing_rows(tmp_path / "m.onnx", ["n", "a", "b", "c"])
    assert_fused(plan(), model, lambda given: {"x": given["pixel_values"]})


@pytest.mark.parametrize(
    ("shape", "order"), [([3, 32, 32], (0, 1, 2)), ([32, 32, 3], (1, 2, 0)), (["c", 32, "w"], (0, 1, 2))]
)
def test_a_model_of_one_image(shape, order, tmp_path):
    model = reducing_rows(tmp_path / "m.onnx", shape)
    fused = assert_fused(plan(), model, lambda given: {"x": given["pixel_values"][0].transpose(order)}, batch=1)
    assert session(fused).get_inputs()[0].shape[0] == 1
    images = [noise(40, 50), noise(50, 40), noise(40, 50, seed=1)]
    got = load(fused)(images)["y"]
    assert_equal(got, np.stack([run(fused, images=image[None])["y"] for image in images]), "one by one")


def test_a_model_whose_input_has_no_shape(tmp_path):
    model = onnx.load(network(tmp_path / "m.onnx"))
    model.graph.input[0].type.tensor_type.ClearField("shape")
    onnx.save(model, tmp_path / "m.onnx")
    assert_fused(plan(), tmp_path / "m.onnx")


def test_lengths_below_zero_are_open(tmp_path):
    assert_fused(plan(), network(tmp_path / "m.onnx", shape=(-1, 3, 32, -1)))


@pytest.mark.parametrize(
    ("made", "shape", "message"),
    [
        (
            plan(),
            (1, 3, 64, 32),
            r"takes float32 \[1, 3, 64, 32\], but .* gives float32 \[batch, 3, 32, 32\] as 'pixel_v",
        ),
        (plan(), ("n", 4, 32, 32), "the channels differ: change the config with --channels or --set, or the model"),
        (plan(), ("n", 3, 32, 33), "change the config with --size or --set"),
        (
            plan(do_center_crop=False),
            ("n", 3, 32, 32),
            "its size follows the image's: fix it with --size HxW or --set, or",
        ),
        (plan(), ("n", 1, 3, 32, 32), "the number of axes differs"),
        (plan(), ("n", 32), "the number of axes differs"),
        (plan(), (), r"takes float32 \[\]"),
        (make_plan(CropMargin(True), RESIZE, Rescale(1 / 255)), (2, 3, 32, 32), "the batch differs"),
    ],
    ids=str,
)
def test_shapes_that_do_not_fit(made, shape, message, tmp_path):
    model = reducing(tmp_path / "m.onnx", [info("x", TensorProto.FLOAT, shape)])
    with pytest.raises(ArtifactError, match=message):
        exporter.to_onnx(made, tmp_path / "fused.onnx", model)
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]


def test_one_size_of_images_makes_a_size_that_follows_fit(tmp_path):
    one = replace(plan(do_center_crop=False), input_size=(40, 60))
    assert_fused(one, network(tmp_path / "m.onnx", shape=("n", 3, 40, 60)), sizes=[(40, 60)])


# --- Batches


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_a_fixed_batch(batch, tmp_path):
    fused = assert_fused(plan(), network(tmp_path / "m.onnx", shape=(batch, 3, 32, 32)), batch=batch)
    assert session(fused).get_inputs()[0].shape[0] == batch
    pre, loaded = load(tmp_path / "pre.onnx"), load(fused)
    images = [noise(40, 50, i) for i in range(6)]
    values = pre(images)["pixel_values"]
    want = np.concatenate(
        [run(tmp_path / "m.onnx", pixel_values=values[i : i + batch])["logits"] for i in range(0, 6, batch)]
    )
    assert_equal(loaded(images)["logits"], want, "in chunks")


def test_images_that_are_no_whole_number_of_batches(tmp_path):
    exporter.to_onnx(plan(), tmp_path / "fused.onnx", network(tmp_path / "m.onnx", shape=(2, 3, 32, 32)))
    loaded = load(tmp_path / "fused.onnx")
    for images in ([noise(40, 50)] * 3, noise(40, 50), [noise(40, 50), noise(50, 40)]):
        with pytest.raises(InputError, match=r"fused.onnx takes 2 images at a time, got [13]"):
            loaded(images)


def test_fixed_batches_that_differ(tmp_path):
    inputs = [info("x", TensorProto.FLOAT, [2, 3, 32, 32]), info("pixel_mask", TensorProto.INT64, [3, 32, 32])]
    with pytest.raises(ArtifactError, match="the model's inputs take batches of different sizes"):
        exporter.to_onnx(MASKED, tmp_path / "f.onnx", reducing(tmp_path / "m.onnx", inputs))


def test_one_fixed_batch_fixes_the_other(tmp_path):
    inputs = [info("x", TensorProto.FLOAT, ["n", 3, 32, 32]), info("pixel_mask", TensorProto.INT64, [2, 32, 32])]
    model = reducing(tmp_path / "m.onnx", inputs)
    fused = assert_fused(MASKED, model, lambda given: {"x": given["pixel_values"], "pixel_mask": given["pixel_mask"]})
    assert session(fused).get_inputs()[0].shape[0] == 2


def test_images_that_go_one_by_one(tmp_path):
    single = make_plan(CropMargin(True), RESIZE, Rescale(1 / 255))
    fused = assert_fused(single, network(tmp_path / "m.onnx"), batch=1)
    images = [noise(40, 50), noise(40, 50, seed=1)]
    want = np.concatenate([run(fused, images=image[None])["logits"] for image in images])
    assert_equal(load(fused)(images)["logits"], want, "one by one")
