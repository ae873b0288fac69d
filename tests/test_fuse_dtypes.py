"""A model's input in another dtype than the preprocessing gives: rounded once, widened, or quantised."""

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import exporter
from runtime import ArtifactError

from .fused import assert_fused, info, network, plan, run, save, weight
from .helpers import assert_equal, noise
from .test_fuse_inputs import reducing, reducing_rows


def let_go(path, target):
    """The fused file, without what keeps onnxruntime's optimizers from looking through the joint."""
    model = onnx.load(path)
    (held,) = [node for node in model.graph.node if node.name.endswith("/held")]
    held.op_type = "Identity"
    del held.input[1]
    onnx.save(model, target)
    return target


@pytest.mark.parametrize("overrides", [{}, {"dtype": "float16"}])
def test_half_precision_is_rounded_before_the_model(overrides, tmp_path):
    """onnxruntime runs float16 as float32 on CPUs, and would leave out a cast right before it."""
    model = network(tmp_path / "m.onnx", dtype=TensorProto.FLOAT16)
    resized = plan(do_resize=True, size=40, **overrides)
    fused = assert_fused(resized, model, lambda given: {"pixel_values": given["pixel_values"].astype(np.float16)})
    if not overrides:
        images = np.stack([noise(60, 45, i) for i in range(4)])
        values = [run(path, images=images)["logits"] for path in (fused, let_go(fused, tmp_path / "loose.onnx"))]
        assert not np.array_equal(*values), "onnxruntime keeps the cast now: the node behind it can go"


def test_a_transposition_stays_before_the_model(tmp_path):
    """Let go, it moves into the sum, which then adds in another order."""
    model = reducing_rows(tmp_path / "m.onnx", ["n", 32, 32, 3], axis=2)
    fused = assert_fused(plan(), model, lambda given: {"x": given["pixel_values"].transpose(0, 2, 3, 1)})
    images = np.stack([noise(60, 45, i) for i in range(4)])
    values = [run(path, images=images)["y"] for path in (fused, let_go(fused, tmp_path / "loose.onnx"))]
    assert not np.array_equal(*values), "onnxruntime does not move it any more: the node behind it can go"


@pytest.mark.parametrize(
    ("dtype", "numpy"), [(TensorProto.DOUBLE, np.float64), (TensorProto.BFLOAT16, ml_dtypes.bfloat16)]
)
def test_other_floats(dtype, numpy, tmp_path):
    if numpy is np.float64:
        model = network(tmp_path / "m.onnx", dtype=dtype)
        assert_fused(plan(), model, lambda given: {"pixel_values": given["pixel_values"].astype(numpy)})
        return
    # NumPy has no bfloat16 to give to onnxruntime: the model that takes float32 gets the rounded values.
    exporter.to_onnx(plan(), tmp_path / "pre.onnx")
    exporter.to_onnx(plan(), tmp_path / "fused.onnx", network(tmp_path / "m.onnx", dtype=dtype))
    network(tmp_path / "float32.onnx")
    for size in ((60, 45), (45, 60)):
        images = noise(*size)[None]
        values = run(tmp_path / "pre.onnx", images=images)["pixel_values"].astype(numpy).astype(np.float32)
        want = run(tmp_path / "float32.onnx", pixel_values=values)["logits"]
        assert_equal(run(tmp_path / "fused.onnx", images=images)["logits"], want, "bfloat16")
    exporter.verify(tmp_path / "fused.onnx")


PIXELS = {"do_rescale": False, "do_normalize": False}


@pytest.mark.parametrize(
    ("dtype", "numpy"),
    [
        (TensorProto.UINT8, np.uint8),
        (TensorProto.FLOAT, np.float32),
        (TensorProto.FLOAT16, np.float16),
        (TensorProto.DOUBLE, np.float64),
        (TensorProto.INT32, np.int32),
        (TensorProto.INT64, np.int64),
    ],
)
def test_pixels_are_cast_without_loss(dtype, numpy, tmp_path):
    model = reducing_rows(tmp_path / "m.onnx", ["n", 3, 32, 32], dtype)
    assert_fused(plan(**PIXELS), model, lambda given: {"x": given["pixel_values"].astype(numpy)})


@pytest.mark.parametrize(("dtype", "name"), [(TensorProto.FLOAT, "float32"), (TensorProto.DOUBLE, "float64")])
def test_half_precision_may_be_widened(dtype, name, tmp_path):
    model = reducing_rows(tmp_path / "m.onnx", ["n", 3, 32, 32], dtype)
    assert_fused(plan(dtype="float16"), model, lambda given: {"x": given["pixel_values"].astype(name)})


@pytest.mark.parametrize(
    ("overrides", "dtype", "message"),
    [
        ({}, TensorProto.UINT8, r"takes uint8 .* gives float32 .* \(--set do_rescale=false --set do_normalize=false\)"),
        ({}, TensorProto.INT8, "no scale for quantised values is in the model"),
        (PIXELS, TensorProto.INT8, "no scale for quantised values is in the model"),
        ({}, TensorProto.INT64, r"takes int64 .* gives float32 .* the dtypes differ"),
        ({}, TensorProto.BOOL, r"takes bool .* gives float32"),
        ({"dtype": "float16"}, TensorProto.BFLOAT16, r"takes bfloat16 .* gives float16"),
        ({}, TensorProto.STRING, r"takes string .* gives float32"),
    ],
)
def test_dtypes_that_do_not_fit(overrides, dtype, message, tmp_path):
    model = reducing(tmp_path / "m.onnx", [info("x", dtype, ["n", 3, 32, 32])])
    with pytest.raises(ArtifactError, match=message):
        exporter.to_onnx(plan(**overrides), tmp_path / "fused.onnx", model)


@pytest.mark.parametrize("kind", ["sequence", "optional", "map"])
def test_inputs_that_are_no_tensors(kind, tmp_path):
    tensor = helper.make_tensor_type_proto(TensorProto.FLOAT, ["n", 3, 32, 32])
    types = {
        "sequence": lambda: helper.make_sequence_type_proto(tensor),
        "optional": lambda: helper.make_optional_type_proto(tensor),
        "map": lambda: helper.make_map_type_proto(TensorProto.INT64, tensor),
    }
    value = helper.make_value_info("x", types[kind]())
    node = helper.make_node("Constant", [], ["y"], value_float=1.0)
    model = save(tmp_path / "m.onnx", [node], [value], [info("y", TensorProto.FLOAT, [])])
    with pytest.raises(
        ArtifactError, match=f"input 'x' takes {kind} of any shape, but the preprocessing gives float32"
    ):
        exporter.to_onnx(plan(), tmp_path / "fused.onnx", model)


# --- Quantised inputs


@pytest.mark.parametrize("zero", [120, 0, None])
@pytest.mark.parametrize("dtype", ["uint8", "int8"])
@pytest.mark.parametrize("constant", ["initializer", "node"])
def test_a_quantised_input_is_quantised_alike(dtype, zero, constant, tmp_path):
    kind = TensorProto.UINT8 if dtype == "uint8" else TensorProto.INT8
    constants = {"scale": np.float32(0.02)} | ({} if zero is None else {"zero": np.array(zero).astype(dtype)})
    nodes = []
    if constant == "node":
        nodes = [
            helper.make_node("Constant", [], [k], value=numpy_helper.from_array(np.array(v)))
            for k, v in constants.items()
        ]
    nodes += [
        helper.make_node("DequantizeLinear", ["x", *constants], ["d"]),
        helper.make_node("Conv", ["d", "w"], ["c"]),
        helper.make_node("GlobalAveragePool", ["c"], ["y"]),
    ]
    inputs, outputs = [info("x", kind, ["n", 3, 32, 32])], [info("y", TensorProto.FLOAT, ["n", 8, 1, 1])]
    weights = {"w": weight(8, 3, 3, 3)} | ({k: np.array(v) for k, v in constants.items()} if constant != "node" else {})
    model = save(tmp_path / "m.onnx", nodes, inputs, outputs, weights)
    limits = np.iinfo(dtype)

    def quantised(given):
        values = np.rint(given["pixel_values"] / np.float32(0.02)) + (zero or 0)
        return {"x": np.clip(values, limits.min, limits.max).astype(dtype)}

    assert_fused(plan(), model, quantised)


def test_a_scale_for_each_channel(tmp_path):
    scales, zeros = np.array([0.01, 0.02, 0.03], np.float32), np.array([100, 120, 140], np.uint8)
    nodes = [helper.make_node("DequantizeLinear", ["x", "s", "z"], ["d"], axis=-1)]
    nodes.append(helper.make_node("ReduceMean", ["d", "axes"], ["y"]))
    inputs, outputs = [info("x", TensorProto.UINT8, ["n", 32, 32, 3])], [info("y", TensorProto.FLOAT, ["n", 1, 32, 3])]
    model = save(tmp_path / "m.onnx", nodes, inputs, outputs, {"s": scales, "z": zeros, "axes": np.array([1])})

    def quantised(given):
        values = np.rint(given["pixel_values"].transpose(0, 2, 3, 1) / scales) + zeros
        return {"x": np.clip(values, 0, 255).astype(np.uint8)}

    assert_fused(plan(), model, quantised)


class Calibration:
    """A few random images for onnxruntime.quantization."""

    def __init__(self):
        self.left = [
            {"pixel_values": np.random.default_rng(i).standard_normal((1, 3, 32, 32), np.float32)} for i in range(3)
        ]

    def get_next(self):
        return self.left.pop() if self.left else None


@pytest.mark.parametrize("form", ["QDQ", "QOperator"])
@pytest.mark.parametrize("bare", [False, True])
def test_statically_quantised_models(form, bare, tmp_path, monkeypatch):
    """``bare``: without the model's first QuantizeLinear, as TFLite's converters leave it out."""
    from onnxruntime import quantization

    network(tmp_path / "float.onnx", shape=(1, 3, 32, 32))
    model = tmp_path / "m.onnx"
    monkeypatch.setattr("logging.root.manager.disable", 50)
    quantization.quantize_static(
        str(tmp_path / "float.onnx"), str(model), Calibration(), quant_format=getattr(quantization.QuantFormat, form),
        activation_type=quantization.QuantType.QUInt8,
    )  # fmt: skip
    feed = None
    if bare:
        proto = onnx.load(model)
        first = next(node for node in proto.graph.node if node.input[0] == "pixel_values")
        assert first.op_type == "QuantizeLinear"
        constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
        scale, zero = constants[first.input[1]], constants[first.input[2]]
        for node in proto.graph.node:
            node.input[:] = ["pixel_values" if name == first.output[0] else name for name in node.input]
        proto.graph.node.remove(first)
        proto.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
        del proto.graph.value_info[:]
        onnx.save(proto, model)

        def feed(given):
            return {"pixel_values": np.clip(np.rint(given["pixel_values"] / scale) + zero, 0, 255).astype(np.uint8)}

    assert_fused(plan(), model, feed, batch=1)
