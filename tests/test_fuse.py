"""A model behind the preprocessing in one ONNX file: names, opsets, and all else that a model holds."""

import warnings

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import transformers
from onnx import TensorProto, helper, numpy_helper

import exporter
from exporter.fuse import fuse
from exporter.fused import model_summary
from exporter.fusing.match import describe
from runtime import ArtifactError, BackendUnavailable, artifact, load
from runtime.fusion import Fusion

from .fused import assert_fused, info, network, outputs, plan, run, save, session, weight
from .helpers import assert_equal, make_plan, noise

RESIZED = {"do_resize": True, "size": 40}


def renamed(path, **names):
    """The model with its inner values called otherwise."""
    model = onnx.load(path)
    for node in model.graph.node:
        for values in (node.input, node.output):
            values[:] = [names.get(name, name) for name in values]
        node.name = names.get(node.output[0], f"{node.op_type}_node")
    for tensor in model.graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name)
    onnx.save(model, path)
    return path


@pytest.mark.parametrize(
    "options",
    [{}, {"opset": 13}, {"opset": 20}, {"shape": (1, 3, 32, 32)}, {"shape": ("batch", 3, "height", "width")}],
    ids=str,
)
def test_equal_to_one_after_the_other(options, tmp_path):
    model = network(tmp_path / "m.onnx", **options)
    batch = 1 if options.get("shape", "n")[0] == 1 else 2
    fused = assert_fused(plan(**RESIZED), model, sizes=((60, 45), (45, 60), (33, 33), (5, 90)), batch=batch)
    loaded = load(fused)
    assert loaded.output_names == ("logits",)
    assert loaded([noise(40, 50), noise(50, 40)]).logits.shape == (2, 8)
    for backend in ("torch", "torchscript", "pil"):
        with pytest.raises(BackendUnavailable, match="needs backend 'onnx'"):
            load(fused, backend=backend)


# --- Names


@pytest.mark.parametrize(
    "name", ["images", "preprocess", "preprocess/table/table", "preprocess/output", "logits_0", ""]
)
def test_names_of_the_model_that_the_preprocessing_has_too(name, tmp_path):
    model = renamed(network(tmp_path / "m.onnx"), conv=name or "conv", w=f"{name}_w", pool="preprocess_2/x")
    fused = assert_fused(plan(**RESIZED), model)
    names = [value for node in onnx.load(fused).graph.node for value in node.output]
    assert len(set(names)) == len(names)


def test_a_weight_called_images(tmp_path):
    assert_fused(plan(), renamed(network(tmp_path / "m.onnx"), w="images"))


def test_sizes_called_alike_stay_apart(tmp_path):
    """onnxruntime reuses memory of values whose axes have the same names."""
    nodes = [helper.make_node("AveragePool", ["x"], ["y"], kernel_shape=[3, 3]), helper.make_node("Relu", ["y"], ["z"])]
    inputs = [info("x", TensorProto.FLOAT, ["width", 3, "height", "batch"])]
    model = save(
        tmp_path / "m.onnx", nodes, inputs, [info("z", TensorProto.FLOAT, ["width", 3, "output_height", "groups"])]
    )
    fused = assert_fused(plan(do_center_crop=False), model, lambda given: {"x": given["pixel_values"]})
    shapes = [value.shape for value in (*session(fused).get_inputs(), *session(fused).get_outputs())]
    assert shapes == [["batch", "height", "width", 3], ["batch", 3, "output_height", "model_groups"]]


@pytest.mark.parametrize("side", ["output", "input"])
def test_a_model_that_needs_the_name_of_the_input(side, tmp_path):
    nodes = [helper.make_node("Identity", ["pixel_values"], ["images" if side == "output" else "y"])]
    inputs = [info("pixel_values", TensorProto.FLOAT, ["n", 3, 32, 32])]
    if side == "input":
        inputs.append(info("images", TensorProto.INT64, ["n"]))
    outputs = [info(nodes[0].output[0], TensorProto.FLOAT, ["n", 3, 32, 32])]
    with pytest.raises(ArtifactError, match=f"the model has an {side} 'images', which is the name of the fused file's"):
        exporter.to_onnx(plan(), tmp_path / "fused.onnx", save(tmp_path / "m.onnx", nodes, inputs, outputs))


def branching(path, name, version=18):
    """An ``If`` whose branches read outer values, one of them called ``name``, and a ``Loop`` that adds it."""
    text = f"""
    <ir_version: 8, opset_import: ["": {version}]>
    g (float[n,3,32,32] x) => (float[n,3,1,1] y, float[n,3,1,1] z) {{
        {name} = GlobalAveragePool(x)
        inside_only = Neg({name})
        sum = ReduceSum <keepdims: int = 0> ({name})
        zero = Constant <value: tensor = float {{0}}> ()
        positive = Greater(sum, zero)
        y = If (positive) <
            then_branch: graph = then () => (float[n,3,1,1] a) {{ inner = Neg({name}) a = Add(inner, {name}) }},
            else_branch: graph = other () => (float[n,3,1,1] b) {{ b = Mul({name}, {name}) }}>
        times = Constant <value: tensor = int64 {{3}}> ()
        yes = Constant <value: tensor = bool {{1}}> ()
        z = Loop (times, yes, {name}) <
            body: graph = body (int64 i, bool on, float[n,3,1,1] state) => (bool again, float[n,3,1,1] next) {{
                again = Identity(on)
                next = Add(state, inside_only)
            }}>
    }}"""
    onnx.save(onnx.parser.parse_model(text), path)
    return path


@pytest.mark.parametrize("version", [18, 13, 21])
@pytest.mark.parametrize("name", ["pooled", "images"])
def test_graphs_inside_read_outer_values(name, version, tmp_path):
    assert_fused(plan(), branching(tmp_path / "m.onnx", name, version), lambda given: {"x": given["pixel_values"]})


# --- Functions


def functional(path, domain, name, version=18, own=None, ir_version=8):
    """A model that calls a local function."""
    opsets = [helper.make_opsetid("", own or version)]
    inner = [helper.make_node("Relu", ["a"], ["r"]), helper.make_node("GlobalAveragePool", ["r"], ["b"])]
    function = helper.make_function(domain, name, ["a"], ["b"], inner, opsets)
    nodes = [helper.make_node(name, ["x"], ["y"], domain=domain)]
    inputs, outputs = [info("x", TensorProto.FLOAT, ["n", 3, 32, 32])], [info("y", TensorProto.FLOAT, ["n", 3, 1, 1])]
    domains = {"": version, domain: 7}
    return save(path, nodes, inputs, outputs, opsets=domains, functions=[function], ir_version=ir_version)


@pytest.mark.parametrize(
    ("domain", "name", "version", "own"),
    [
        ("local", "f", 18, None),
        ("local", "f", 18, 17),
        ("local", "f", 13, None),
        ("local", "f", 21, None),
        ("export_preprocessor", "preprocess.resize.height", 18, None),
        ("export_preprocessor", "preprocess", 18, None),
    ],
)
def test_functions_of_both_stay(domain, name, version, own, tmp_path):
    model = functional(tmp_path / "m.onnx", domain, name, version, own)
    fused = assert_fused(plan(**RESIZED), model, lambda given: {"x": given["pixel_values"]})
    functions = [(function.domain, function.name) for function in onnx.load(fused).functions]
    assert len(set(functions)) == len(functions)
    assert ((domain, name) in functions) == (version > 13)


# --- Opsets


OLD = {
    9: "y = Upsample <mode: string = 'nearest'> (x, scales)",
    10: "y = Resize <mode: string = 'nearest'> (x, scales)",
    12: "y = Softmax <axis: int = 1> (x)",
    11: "y = Clip (x, low, high)",
}


@pytest.mark.parametrize("version", OLD)
def test_old_models_are_converted(version, tmp_path):
    constants = {"scales": np.array([1, 1, 2, 2], np.float32), "low": np.float32(-0.5), "high": np.float32(0.5)}
    signature = "g (float[n,3,32,32] x) => (float[n,3,a,b] y)"
    text = f"<ir_version: 4, opset_import: ['': {version}]> {signature} {{ {OLD[version]} }}"
    model = onnx.parser.parse_model(text.replace("'", '"'))
    model.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items() if k in model.graph.node[0].input
    )
    onnx.save(model, tmp_path / "m.onnx")
    assert_fused(plan(), tmp_path / "m.onnx", lambda given: {"x": given["pixel_values"]})


def test_large_weights_and_sparse_ones_survive_a_conversion(tmp_path):
    nodes = [
        helper.make_node("Flatten", ["x"], ["f"]),
        helper.make_node("MatMul", ["f", "w"], ["m"]),
        helper.make_node("MatMul", ["m", "s"], ["y"]),
    ]
    sparse = helper.make_sparse_tensor(
        numpy_helper.from_array(np.array([2, 3], np.float32), "s"),
        numpy_helper.from_array(np.array([1, 6]), "s_indices"), [4, 4],
    )  # fmt: skip
    inputs, outputs = [info("x", TensorProto.FLOAT, ["n", 3, 32, 32])], [info("y", TensorProto.FLOAT, ["n", 4])]
    model = save(
        tmp_path / "m.onnx", nodes, inputs, outputs, {"w": weight(3072, 4)}, opset=13, sparse_initializer=[sparse]
    )
    fused = assert_fused(plan(), model, lambda given: {"x": given["pixel_values"]}, full_check=False)
    assert [tensor.values.name for tensor in onnx.load(fused).graph.sparse_initializer] == ["s"]


@pytest.mark.parametrize("version", [13, 18])
def test_models_of_ir_version_3_list_their_weights_as_inputs(version, tmp_path):
    model = onnx.load(network(tmp_path / "m.onnx", opset=version, ir_version=3))
    model.graph.input.append(info("w", TensorProto.FLOAT, [8, 3, 3, 3]))
    onnx.save(model, tmp_path / "m.onnx")
    fused = assert_fused(plan(), tmp_path / "m.onnx")
    assert [value.name for value in onnx.load(fused).graph.input] == ["images"]


@pytest.mark.parametrize("opset", [18, 19, 23, 24])
def test_another_opset(opset, tmp_path):
    fused = assert_fused(plan(**RESIZED), network(tmp_path / "m.onnx", opset=20), opset=opset)
    assert [entry.version for entry in onnx.load(fused).opset_import if entry.domain == ""] == [opset]


@pytest.mark.parametrize(
    ("own", "wanted", "message"),
    [
        (25, None, "expected 14 to 24, got 25: export the model for one of these"),
        (18, 13, "opset: expected 14 to 24, got 13"),
        (18, 99, "opset: expected 14 to 24, got 99"),
    ],
)
def test_opsets_that_are_none(own, wanted, message, tmp_path):
    model = network(tmp_path / "m.onnx", opset=own)
    with pytest.raises(ArtifactError, match=f"m.onnx: {message}"):
        exporter.to_onnx(plan(), tmp_path / "fused.onnx", model, opset=wanted)


def test_what_the_converter_cannot_convert(tmp_path):
    nodes = [helper.make_node("RMSNormalization", ["x", "scale"], ["y"])]
    inputs, outputs = ([info(name, TensorProto.FLOAT, ["n", 3, 32, 32])] for name in "xy")
    model = save(tmp_path / "m.onnx", nodes, inputs, outputs, {"scale": weight(32)}, opset=23)
    message = r"m.onnx: cannot be converted from opset 23 to 18 \(.*\): export the model again for opset 18"
    with pytest.raises(ArtifactError, match=message):
        exporter.to_onnx(plan(), tmp_path / "fused.onnx", model, opset=18)


@pytest.mark.parametrize("default", ["", "ai.onnx"])
@pytest.mark.parametrize("version", [13, 18])
def test_operators_of_other_domains_stay(default, version, tmp_path):
    nodes = [
        helper.make_node("Gelu", ["x"], ["g"], domain="com.microsoft"),
        helper.make_node("Relu", ["g"], ["r"]),
        helper.make_node("Flatten", ["r"], ["f"]),
        helper.make_node("Scaler", ["f"], ["y"], domain="ai.onnx.ml", offset=[1.0], scale=[2.0]),
    ]
    inputs, outputs = [info("x", TensorProto.FLOAT, ["n", 3, 32, 32])], [info("y", TensorProto.FLOAT, ["n", 3072])]
    opsets = {default: version, "com.microsoft": 1, "ai.onnx.ml": 3}
    model = save(tmp_path / "m.onnx", nodes, inputs, outputs, opsets=opsets)
    fused = assert_fused(plan(), model, lambda given: {"x": given["pixel_values"]})
    imports = {entry.domain: entry.version for entry in onnx.load(fused).opset_import}
    assert (imports["com.microsoft"], imports["ai.onnx.ml"]) == (1, 3)


def test_a_model_without_the_default_domain(tmp_path):
    nodes = [helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft")]
    inputs, outputs = ([info(name, TensorProto.FLOAT, ["n", 3, 32, 32])] for name in "xy")
    model = save(tmp_path / "m.onnx", nodes, inputs, outputs, opsets={"com.microsoft": 1})
    assert_fused(plan(), model, lambda given: {"x": given["pixel_values"]})


@pytest.mark.parametrize("ir_version", [7, 8, 10, 11])
def test_ir_versions(ir_version, tmp_path):
    fused = assert_fused(plan(), network(tmp_path / "m.onnx", ir_version=ir_version))
    assert onnx.load(fused).ir_version == max(ir_version, 8)


# --- What else a model holds


@pytest.mark.parametrize("version", [13, 18])
def test_all_else_stays(version, tmp_path):
    path = tmp_path / "m.onnx"
    model = onnx.load(network(path, opset=version, ir_version=10))
    helper.set_model_props(model, {"author": "somebody"})
    model.producer_name, model.producer_version, model.doc_string, model.domain = "maker", "1.2", "a model", "org.here"
    model.model_version = 5
    graph = model.graph
    graph.doc_string, graph.node[0].doc_string = "a graph", "a node"
    graph.value_info.append(info("conv", TensorProto.FLOAT, ["n", 8, 30, 30]))
    annotation = graph.quantization_annotation.add(tensor_name="conv")
    annotation.quant_parameter_tensor_names.add(key="SCALE_TENSOR", value="w")
    graph.metadata_props.add(key="of the graph", value="kept")
    onnx.save(model, path)
    fused = onnx.load(assert_fused(plan(), path))
    metadata = artifact.onnx_metadata(tmp_path / "fused.onnx")
    assert metadata["author"] == "somebody"
    assert (fused.producer_name, fused.doc_string, fused.domain) == ("export-preprocessor", "a model", "org.here")
    assert fused.model_version == 5
    assert fused.graph.doc_string == "a graph"
    assert "conv" in {value.name for value in fused.graph.value_info}
    assert fused.graph.quantization_annotation == graph.quantization_annotation
    assert fused.graph.metadata_props[0].key == "of the graph"
    if version == 18:
        assert "a node" in {node.doc_string for node in fused.graph.node}


def test_outputs_keep_their_order_and_an_input_may_be_one(tmp_path):
    nodes = [helper.make_node("Relu", ["pixel_values"], ["b"]), helper.make_node("Neg", ["b"], ["a"])]
    inputs = [info("pixel_values", TensorProto.FLOAT, ["n", 3, 32, 32])]
    outs = [info(name, TensorProto.FLOAT, ["n", 3, 32, 32]) for name in ("b", "pixel_values", "a")]
    fused = assert_fused(plan(), save(tmp_path / "m.onnx", nodes, inputs, outs))
    assert [value.name for value in session(fused).get_outputs()] == ["b", "pixel_values", "a"]


def test_what_the_model_took_stays_on_record(tmp_path):
    """onnxruntime picks kernels by recorded shapes."""
    exporter.to_onnx(plan(), tmp_path / "fused.onnx", network(tmp_path / "m.onnx", name="x", opset=13))
    recorded = {value.name: str(describe(value)) for value in onnx.load(tmp_path / "fused.onnx").graph.value_info}
    assert recorded["x"] == "float32 [batch, 3, 32, 32]"


def test_the_model_itself_is_not_changed(tmp_path):
    model = renamed(network(tmp_path / "m.onnx", name="images"), conv="preprocess/x")
    before = model.read_bytes()
    assert_fused(plan(), model, lambda given: {"images": given["pixel_values"]})
    assert model.read_bytes() == before


def test_fuse_gives_a_model_that_nodes_can_be_added_to(tmp_path):
    proto = fuse(plan(), network(tmp_path / "m.onnx"))
    proto.graph.node.append(helper.make_node("Shape", ["images"], ["size"]))
    proto.graph.output.append(info("size", TensorProto.INT64, [4]))
    opened = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    assert_equal(outputs(opened, images=noise(40, 50)[None])["size"], np.array([1, 40, 50, 3]), "size")


@pytest.mark.parametrize("optimized", [False, True])
def test_equal_at_every_level_of_optimization(optimized, tmp_path):
    """A Plan that ends in a padding, which onnxruntime would move into the model's convolution."""
    from runtime.ops import Pad, Rescale
    from runtime.ops.size import Size

    padded = make_plan(Rescale(1 / 255), Pad(Size(height=32, width=32)), input_size=(29, 27))
    model = network(tmp_path / "m.onnx")
    exporter.to_onnx(padded, tmp_path / "pre.onnx")
    exporter.to_onnx(padded, tmp_path / "fused.onnx", model)
    options = onnxruntime.SessionOptions()
    level = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimized else level.ORT_DISABLE_ALL
    sessions = [
        onnxruntime.InferenceSession(str(tmp_path / name), options, providers=["CPUExecutionProvider"])
        for name in ("pre.onnx", "m.onnx", "fused.onnx")
    ]
    images = np.stack([noise(29, 27, i) for i in range(3)])
    want = outputs(sessions[1], **outputs(sessions[0], images=images))
    assert_equal(outputs(sessions[2], images=images)["logits"], want["logits"], f"optimized: {optimized}")


def test_a_fused_file_has_no_functions_of_ours(tmp_path):
    """onnxruntime optimizes a file with functions once more, and so would give a model other last bits."""
    network(tmp_path / "model.onnx")
    whole = exporter.trace("clip-vit-base-patch32", size=40, crop_size=32)
    fused = assert_fused(whole, tmp_path / "model.onnx")
    assert onnx.load(tmp_path / "pre.onnx").functions
    assert not onnx.load(fused).functions


@pytest.mark.slow
def test_a_model_that_nobody_simplified(tmp_path):
    """Its constants are nodes, of which onnxruntime folds some in one pass and more in two."""
    config = transformers.ViTConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, image_size=32, patch_size=8
    )
    network = transformers.ViTForImageClassification(config).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        torch.onnx.export(
            network, (torch.zeros(2, 3, 32, 32),), tmp_path / "model.onnx", input_names=["pixel_values"],
            output_names=["logits"], dynamic_shapes={"pixel_values": {0: torch.export.Dim("batch")}}, dynamo=True,
            optimize=False, external_data=False, verbose=False,
        )  # fmt: skip
    whole = exporter.trace("vit-base-patch16-224", size=32)
    assert_fused(whole, tmp_path / "model.onnx", postprocess="none")


def test_files_fused_already(tmp_path):
    for name in ("pre.onnx", "fused.onnx"):
        exporter.to_onnx(plan(), tmp_path / name, network(tmp_path / "m.onnx") if name == "fused.onnx" else None)
        with pytest.raises(ArtifactError, match=f"{name}: has preprocessing in it already: give the model alone"):
            exporter.to_onnx(plan(), tmp_path / "twice.onnx", tmp_path / name)


def test_a_file_may_replace_its_model(tmp_path):
    model = network(tmp_path / "m.onnx")
    images = noise(40, 50)[None]
    exporter.to_onnx(plan(), tmp_path / "fused.onnx", model)
    want = run(tmp_path / "fused.onnx", images=images)["logits"]
    exporter.to_onnx(plan(), model, model)
    assert_equal(run(model, images=images)["logits"], want, "in place")


# --- What the file says of its model


def test_a_summary_of_the_model(tmp_path):
    path = tmp_path / "m.onnx"
    model = onnx.load(network(path, name="images"))
    model.producer_name, model.producer_version = "maker", "1.2"
    model.graph.input.append(info("ids", TensorProto.INT64, ["n", 7]))
    onnx.save(model, path)
    exporter.to_onnx(plan(), tmp_path / "fused.onnx", path)
    assert str(model_summary(tmp_path / "fused.onnx")).splitlines() == [
        "maker 1.2, opset 18, 4 nodes, 216 parameters",
        "takes images: float32 [n, 3, 32, 32], from pixel_values",
        "takes ids: int64 [n, 7], an input of the file",
        "gives logits: float32 [n, 8]",
    ]
    exporter.to_onnx(plan(), tmp_path / "pre.onnx")
    assert model_summary(tmp_path / "pre.onnx") is None


@pytest.mark.parametrize(
    "text",
    ["", "x", "1", "null", "[]", '{"batch": 0}', '{"batch": true}', '{"values": 3}', '{"values": {"a": 1}}',
     '{"more": 1}', '{"group": 1}', '{"outputs": [1]}', '{"outputs": 1}', '{"model": []}', "[" * 100_000],
    ids=lambda text: text[:20],
)  # fmt: skip
def test_files_that_say_something_else(text, tmp_path):
    with pytest.raises(ArtifactError, match="what the file says of its model cannot be read"):
        Fusion.from_json(text)
    model = fuse(plan(), network(tmp_path / "m.onnx"))
    helper.set_model_props(model, {artifact.PLAN_KEY: plan().to_json(), artifact.FUSED_KEY: text})
    onnx.save(model, tmp_path / "fused.onnx")
    for function in (load, exporter.verify, model_summary):
        with pytest.raises(ArtifactError, match="what the file says of its model cannot be read"):
            function(tmp_path / "fused.onnx")


@pytest.mark.parametrize(
    "model", [{"inputs": 3}, {"inputs": [{}]}, {"outputs": [3]}, {"opset": 1}, {"nodes": "x"}, {"opset": {"": "x"}}]
)
def test_summaries_that_are_none(model, tmp_path):
    proto = fuse(plan(), network(tmp_path / "m.onnx"))
    text = Fusion(model=model).to_json()
    helper.set_model_props(proto, {artifact.PLAN_KEY: plan().to_json(), artifact.FUSED_KEY: text})
    onnx.save(proto, tmp_path / "fused.onnx")
    with pytest.raises(ArtifactError, match=r"fused.onnx: what it says of its model cannot be read"):
        model_summary(tmp_path / "fused.onnx")
    with pytest.raises(ArtifactError, match=r"fused.onnx: its metadata does not fit its graph; export it again"):
        exporter.verify(tmp_path / "fused.onnx")


def test_what_the_file_says_comes_back():
    fusion = Fusion({"a": "b"}, {"a": "c"}, 4, True, 2, True, ("x", "y"), {"nodes": 3})
    assert Fusion.from_json(fusion.to_json()) == fusion
