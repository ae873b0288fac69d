"""Post-processing in both runtimes: NumPy's reference, and the graph that a file gets."""

import functools

import numpy as np
import onnx
import transformers
from onnx import TensorProto, helper, numpy_helper

from exporter.postprocess import attach
from models.families import FAMILIES
from models.postprocess import methods
from runtime import Plan
from runtime.ops import ConvertRGB
from runtime.postprocess.tensors import Tensors

from .helpers import assert_equal, session

DTYPES = {
    "float32": TensorProto.FLOAT,
    "float16": TensorProto.FLOAT16,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
}


def of_family(name, reference="pillow13", architecture="", **config):
    """The methods of a family whose config is that of its class but for ``config``."""
    return methods(
        Plan((ConvertRGB(),), reference, name, architecture=architecture, config={**FAMILIES[name].defaults, **config})
    )


def model_of(outputs):
    """A file whose model's outputs are given: its inputs are ``images`` and what each output shall be."""
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", "height", "width", 3])
    infos = [
        [helper.make_tensor_value_info(name, DTYPES[str(value.dtype)], [None] * value.ndim) for name in names]
        for (name, value) in outputs.items()
        for names in [(f"given/{name}", name)]
    ]
    nodes = [helper.make_node("Identity", [given.name], [out.name]) for given, out in infos]
    graph = helper.make_graph(nodes, "outputs", [images, *(given for given, _ in infos)], [out for _, out in infos])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def run_graph(post, outputs, size):
    """What the nodes behind a model give for its ``outputs``, by name."""
    batch = len(next(iter(outputs.values())))
    feeds = {f"given/{name}": value for name, value in outputs.items()}
    names = list(post.outputs)
    graph = session_of(post, tuple((name, str(value.dtype), value.ndim) for name, value in outputs.items()))
    values = graph.run(names, {"images": np.zeros((batch, *size, 3), np.uint8), **feeds})
    return dict(zip(names, values, strict=True))


@functools.lru_cache(maxsize=32)
def session_of(post, kinds):
    """The nodes behind a model whose outputs have these names, dtypes and numbers of axes; of any size."""
    model = model_of({name: np.zeros((1,) * ndim, dtype) for name, dtype, ndim in kinds})
    plan = Plan((ConvertRGB(),), "pillow13", postprocess=post)
    assert Plan.from_json(plan.to_json()) == plan
    attach(model, plan)
    onnx.checker.check_model(model, full_check=True)
    return session(model)


def run_numpy(post, outputs, size):
    """What the reference gives for a model's ``outputs``, by name."""
    names = {field: getattr(post, field) for field in post.reads}
    given = {name: x.astype(np.float32) if x.dtype.kind == "f" else x for name, x in outputs.items()}
    read = {field: given[name] for field, name in names.items() if name}
    return post.run(Tensors(), read, size)


def run_both(post, outputs, size=(30, 40)):
    """The reference's results, which the graph gives too, to the last bit."""
    want = run_numpy(post, outputs, size)
    got = run_graph(post, outputs, size)
    assert list(want) == list(post.outputs)
    for name, value in want.items():
        assert_equal(got[name], value, f"{post} at {size}: {name}")
    return want


def one(results, i=0):
    """The results of one image, as ``result`` takes them."""
    return {name: value[i] for name, value in results.items()}


def logits(*shape, seed=0, scale=3.0):
    """float32 scores of a model."""
    return (np.random.default_rng((*shape, seed)).standard_normal(shape) * scale).astype(np.float32)


def families_with(method):
    """Those of the registry whose class in transformers has ``post_process_`` and ``method``."""
    return {
        name for name in FAMILIES if hasattr(getattr(transformers, f"{name}ImageProcessor"), f"post_process_{method}")
    }


def classifier(path):
    """A model in a file: the means of the channels of 32 x 32 pixels, multiplied to 4 ``logits``."""
    weight = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
    nodes = [
        helper.make_node("GlobalAveragePool", ["pixel_values"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weight"], ["logits"]),
    ]
    image = helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, ["batch", 3, 32, 32])
    scores = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 4])
    graph = helper.make_graph(nodes, "classifier", [image], [scores], [numpy_helper.from_array(weight, "weight")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)
