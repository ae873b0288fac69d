"""Small ONNX models, and the two files one after the other, which a fused file has to equal."""

import importlib
from unittest import mock

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

import exporter

from .helpers import assert_equal, noise

VERIFY = importlib.import_module("exporter.verify")  # the package's attribute of this name is the function
SIZES = ((60, 45), (5, 90))


def plan(**overrides):
    """The middle of an image, rescaled and normalized: a resize would add hundreds of nodes to each file."""
    return exporter.trace("clip-vit-base-patch32", **{"do_resize": False, "crop_size": 32, **overrides})


def info(name, dtype, shape):
    return helper.make_tensor_value_info(name, dtype, shape)


def weight(*shape, dtype=np.float32):
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


def save(path, nodes, inputs, outputs, initializers=(), opset=18, ir_version=8, opsets=None, **more):
    """A model of nodes, its initializers from arrays; in the file ``path``, which is given back."""
    tensors = [numpy_helper.from_array(array, name) for name, array in dict(initializers).items()]
    functions = more.pop("functions", [])
    graph = helper.make_graph(nodes, "g", inputs, outputs, tensors, **more)
    imports = [helper.make_opsetid(domain, version) for domain, version in (opsets or {"": opset}).items()]
    model = helper.make_model(graph, opset_imports=imports, ir_version=ir_version, functions=functions)
    onnx.save(model, path)
    return path


def network(path, shape=("n", 3, 32, 32), dtype=TensorProto.FLOAT, name="pixel_values", **more):
    """A convolution over an image, ``[N, 3, H, W]``, and eight scores of it; in float32 behind a float64 input."""
    real = np.float16 if dtype == TensorProto.FLOAT16 else np.float32
    inner = TensorProto.FLOAT16 if real is np.float16 else TensorProto.FLOAT
    nodes = [] if dtype == inner else [helper.make_node("Cast", [name], ["cast"], to=inner)]
    nodes += [
        helper.make_node("Conv", [name if dtype == inner else "cast", "w"], ["conv"]),
        helper.make_node("Relu", ["conv"], ["relu"]),
        helper.make_node("GlobalAveragePool", ["relu"], ["pool"]),
        helper.make_node("Flatten", ["pool"], ["logits"]),
    ]
    inputs, outputs = [info(name, dtype, shape)], [info("logits", inner, [shape[0], 8])]
    return save(path, nodes, inputs, outputs, {"w": weight(8, 3, 3, 3, dtype=real)}, **more)


def session(path):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def run(path, **inputs):
    """All outputs of a file, by name."""
    return outputs(session(path), **inputs)


def outputs(opened, **inputs):
    """All outputs of a session, by name."""
    names = [value.name for value in opened.get_outputs()]
    return dict(zip(names, opened.run(None, inputs), strict=True))


def assert_fused(plan, model, feed=None, sizes=SIZES, batch=2, full_check=True, **options):
    """The fused file gives what the preprocessing's file and then the model's give, on noise.

    Args:
        feed: the model's inputs from the Plan's outputs; the outputs themselves by default.
        full_check: with onnx's inference of shapes, which knows no sparse weights.
        options: of ``to_onnx``.

    Returns:
        The fused file's path.
    """
    pre, fused = model.with_name("pre.onnx"), model.with_name("fused.onnx")
    exporter.to_onnx(plan, pre)
    exporter.to_onnx(plan, fused, model, **options)
    onnx.checker.check_model(str(fused), full_check=full_check)
    sessions = [session(path) for path in (pre, model, fused)]
    names, others = ({value.name for value in opened.get_inputs()} - {"images"} for opened in sessions[1:])
    for height, width in sizes:
        images = np.stack([noise(height, width, i, plan.channels) for i in range(batch)])
        given = outputs(sessions[0], images=images)
        inputs = given if feed is None else feed(given)
        want = outputs(sessions[1], **{k: v for k, v in inputs.items() if k in names or len(names) == 0})
        extra = {name: value for name, value in inputs.items() if name in others}
        got = outputs(sessions[2], images=images, **extra)
        assert list(got) == list(want)
        for name, value in want.items():
            assert_equal(got[name], value, f"{name} at {height}x{width}")
    rows = verify(fused)
    assert all(row.values and row.backend == "onnx" for row in rows)
    return fused


def verify(path, images=()):
    """``exporter.verify`` with two sizes of noise: with 12 megapixels it takes a while."""
    with mock.patch.object(VERIFY, "sizes", lambda plan: (plan.input_size or (37, 53), plan.input_size or (90, 41))):
        return exporter.verify(path, images)
