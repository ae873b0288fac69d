"""Graphs of older opsets: the same values, and models that keep theirs."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import exporter
from exporter.fusing.names import used
from exporter.onnx import build
from exporter.opsets import OLDEST, REWRITES, at_opset
from exporter.postprocess import attach
from models.presets import PRESETS
from runtime import Plan, load
from runtime.ops import ConvertRGB
from runtime.postprocess import SemanticSegmentation

from .helpers import assert_equal, noise, session
from .postprocessing import logits, model_of, run_numpy

OLD = range(OLDEST, 18)
SOME = ("vit-base-patch16-224", "clip-vit-base-patch32", "detr-resnet-50", "sam-vit-base", "zoedepth-nyu-kitti")


def version(model):
    return {entry.domain: entry.version for entry in model.opset_import}[""]


@pytest.mark.parametrize("name", [n if n in SOME else pytest.param(n, marks=pytest.mark.slow) for n in PRESETS])
@pytest.mark.parametrize("opset", OLD)
def test_the_same_values(name, opset):
    plan = exporter.trace(name)
    old = build(plan, opset)
    assert version(old) == opset
    assert {function.opset_import[0].version for function in old.functions} <= {opset}
    assert {tensor.name for tensor in old.graph.initializer} <= {name for node in old.graph.node for name in used(node)}
    for height, width in ((37, 53), (90, 41)):
        images = noise(height, width, channels=plan.channels)[None]
        want = session(build(plan)).run(None, {"images": images})
        for name_, got, expected in zip(plan.outputs, session(old).run(None, {"images": images}), want, strict=True):
            assert_equal(got, expected, f"{name} in opset {opset}: {name_}")


@pytest.mark.parametrize("opset", OLD)
def test_post_processing_too(opset):
    outputs, size = {"logits": logits(2, 5, 9, 12)}, (90, 120)
    model = model_of(outputs)
    model.opset_import[0].version = opset
    attach(model, Plan((ConvertRGB(),), "pillow13", postprocess=SemanticSegmentation()))
    feeds = {"images": np.zeros((2, *size, 3), np.uint8), "given/logits": outputs["logits"]}
    (got,) = session(model).run(["segmentation"], feeds)
    assert_equal(got, run_numpy(SemanticSegmentation(), outputs, size)["segmentation"], f"opset {opset}")


def normalizing(path, opset):
    """A model with a layer normalization in its parts, as exporters wrote it before opset 17: runtimes fuse them, or do
    not, by the opset."""
    nodes = [
        helper.make_node("Flatten", ["pixel_values"], ["x"]),
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[-1], keepdims=1),
        helper.make_node("Sub", ["x", "mean"], ["centered"]),
        helper.make_node("Pow", ["centered", "two"], ["squared"]),
        helper.make_node("ReduceMean", ["squared"], ["variance"], axes=[-1], keepdims=1),
        helper.make_node("Add", ["variance", "epsilon"], ["more"]),
        helper.make_node("Sqrt", ["more"], ["deviation"]),
        helper.make_node("Div", ["centered", "deviation"], ["normalized"]),
        helper.make_node("Mul", ["normalized", "scale"], ["scaled"]),
        helper.make_node("Add", ["scaled", "bias"], ["logits"]),
    ]
    length = 3 * 24 * 24
    generator = np.random.default_rng(0)
    constants = {"two": np.float32(2), "epsilon": np.float32(1e-5)}
    constants |= {name: generator.standard_normal(length).astype(np.float32) for name in ("scale", "bias")}
    image = helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, ["batch", 3, 24, 24])
    scores = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", length])
    weights = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "model", [image], [scores], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), path)
    return path


@pytest.mark.parametrize("opset", [11, 12, 13, 14, 15, 16, 17])
def test_a_model_gives_what_it_gave(opset, tmp_path):
    """Its opset stays, or grows no further than to the first one that will do."""
    plan = exporter.trace("vit-base-patch16-224", size=24)
    normalizing(tmp_path / "model.onnx", opset)
    exporter.to_onnx(plan, tmp_path / "fused.onnx", model=tmp_path / "model.onnx")
    assert version(onnx.load(tmp_path / "fused.onnx")) == max(opset, OLDEST)
    for height, width in ((37, 53), (90, 41)):
        images = noise(height, width)[None]
        (pixels,) = session(build(plan)).run(None, {"images": images})
        (want,) = session(onnx.load(tmp_path / "model.onnx")).run(None, {"pixel_values": pixels})
        assert_equal(load(tmp_path / "fused.onnx")(images).logits, want, f"opset {opset}")


# Each rewrite.


def node_run(nodes, inputs, constants, outputs, opset):
    """The outputs of nodes of opset 18, rewritten for ``opset``."""
    infos = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape) for n, v in inputs.items()
    ]
    weights = {name: numpy_helper.from_array(value, name) for name, value in constants.items()}
    results = [helper.make_empty_tensor_value_info(name) for name in outputs]
    for info, dtype in zip(results, outputs.values(), strict=True):
        info.type.tensor_type.elem_type = dtype
    graph = helper.make_graph(at_opset(nodes, weights, opset), "nodes", infos, results, list(weights.values()))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return session(model).run(list(outputs), inputs)


@pytest.mark.parametrize("opset", [*OLD, 18])
@pytest.mark.parametrize(("dtype", "mask"), [(np.uint32, 127), (np.int32, -128), (np.int32, 7)])
def test_bitwise_and(dtype, mask, opset):
    low = 0 if dtype == np.uint32 else -(2**31)
    x = np.random.default_rng(0).integers(low, 2**31, 1000).astype(dtype)
    node = helper.make_node("BitwiseAnd", ["x", "mask"], ["y"], name="and")
    kind = {"y": helper.np_dtype_to_tensor_dtype(np.dtype(dtype))}
    (got,) = node_run([node], {"x": x}, {"mask": np.array(mask, dtype)}, kind, opset)
    assert_equal(got, x & np.array(mask, dtype), f"{mask} in opset {opset}")


@pytest.mark.parametrize("opset", [*OLD, 18])
@pytest.mark.parametrize(("bounds", "want"), [({}, [2, 3, 4]), ({"start": 1}, [3, 4]), ({"start": 1, "end": 2}, [3])])
def test_shape(bounds, want, opset):
    node = helper.make_node("Shape", ["x"], ["y"], name="shape", **bounds)
    (got,) = node_run([node], {"x": np.zeros((2, 3, 4), np.float32)}, {}, {"y": TensorProto.INT64}, opset)
    assert got.tolist() == want


@pytest.mark.parametrize("opset", [*OLD, 18])
@pytest.mark.parametrize("op", ["ReduceMax", "ReduceMin"])
def test_reductions(op, opset):
    x = noise(5, 6).astype(np.float32)
    nodes = [
        helper.make_node("Constant", [], ["axes"], value=numpy_helper.from_array(np.array([1]), "axes")),
        helper.make_node(op, ["x", "axes"], ["y"], keepdims=0),
        helper.make_node(op, ["x"], ["z"], keepdims=0),
    ]
    y, z = node_run(nodes, {"x": x}, {}, {"y": TensorProto.FLOAT, "z": TensorProto.FLOAT}, opset)
    reduce = np.max if op == "ReduceMax" else np.min
    assert_equal(y, reduce(x, 1), op)
    assert_equal(z, reduce(x), op)


def test_nodes_inside_of_branches_are_rewritten_and_the_given_ones_stay():
    split = helper.make_node("Split", ["x"], ["a", "b"], num_outputs=2)
    empty = [helper.make_empty_tensor_value_info("a")]
    branches = {key: helper.make_graph([split], key, [], empty) for key in ("then_branch", "else_branch")}
    node = helper.make_node("If", ["c"], ["y"], **branches)
    before = node.SerializeToString()
    (old,) = at_opset([node], {}, 14)
    assert [list(attribute.g.node[0].attribute) for attribute in old.attribute] == [[], []]
    assert node.SerializeToString() == before
    assert at_opset([node], {}, 18) == [node]


def test_every_rewrite_is_for_an_operator_that_changed():
    for name, (since, _) in REWRITES.items():
        assert onnx.defs.get_schema(name, 18).since_version == since
        assert onnx.defs.get_schema(name, 24).since_version >= since
