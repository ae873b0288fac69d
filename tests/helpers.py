"""One Plan in every backend, and what to say where two results differ."""

import functools
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import PIL
import torch
from hypothesis import strategies as st
from PIL import Image

from exporter.onnx import build
from runtime import Plan, artifact
from runtime.backends.numba import NumbaBackend
from runtime.backends.pil import PilBackend
from runtime.backends.torch import Preprocess
from runtime.ops.resize import FILTERS

PILLOW = tuple(int(part) for part in PIL.__version__.split(".")[:2])
INSTALLED_ORDER = "pillow13" if PILLOW >= (13, 0) else "pillow12.2" if PILLOW >= (12, 2) else "pillow12.1"


def noise(height, width, seed=0, channels=3):
    """Pixels of which every value and every border counts: uint8 ``[H, W, C]``."""
    return np.random.default_rng((height, width, seed)).integers(0, 256, (height, width, channels), np.uint8)


def make_plan(*steps, **fields):
    return Plan(steps, reference="pillow13", **fields)


def first(*images):
    """HWC images as one batch of outputs, ``[N, C, H, W]``."""
    return np.stack([np.moveaxis(image, -1, 0) for image in images])


def pil_resize(image, height, width, filter):
    """Pillow itself, both passes at once."""
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling(FILTERS[filter])))


def script(module):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch deprecates TorchScript; people still serve it
        return torch.jit.script(module)


def save_script(scripted, path, plan):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # as above
        torch.jit.save(scripted, str(path), _extra_files={artifact.PLAN_ENTRY: plan.to_json()})


def with_plan(model, plan, **more):
    """The ONNX model with the Plan in its metadata."""
    onnx.helper.set_model_props(model, {artifact.PLAN_KEY: plan.to_json(), **more})
    return model


def write_artifacts(plan, folder):
    """The Plan as ``plan.onnx`` and ``plan.pt``: the path of each backend's file."""
    onnx_path, script_path = Path(folder) / "plan.onnx", Path(folder) / "plan.pt"
    onnx.save(with_plan(build(plan), plan), onnx_path)
    save_script(script(Preprocess(plan).eval()), script_path, plan)
    return {"pil": onnx_path, "onnx": onnx_path, "torch": onnx_path, "numba": onnx_path, "torchscript": script_path}


def session(model):
    """Stock onnxruntime on one thread; its log stays quiet, for errors are raised."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.enable_cpu_mem_arena = False  # what a large image took would stay taken
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


@functools.lru_cache(maxsize=8)  # each holds memory as large as its largest images took
def backends(plan):
    """What runs the Plan on uint8 ``[N, H, W, 3]``, by backend; built once a Plan."""
    graph, module = session(build(plan)), Preprocess(plan).eval()
    scripted = script(module)

    def run_onnx(images):
        inputs = first(*images) if plan.layout == "NCHW" else images
        whole = isinstance(graph.get_inputs()[0].shape[0], str)  # else the graph takes one image at a time
        batches = [inputs] if whole else np.split(inputs, len(inputs))
        results = [graph.run(None, {"images": batch}) for batch in batches]
        return {name: np.concatenate(parts) for name, *parts in zip(plan.outputs, *results, strict=True)}

    def run_torch(module, images):
        # Channels first: an image of three rows is ambiguous otherwise.
        with torch.no_grad(), torch.jit.optimized_execution(False):  # as in runtime
            outputs = module(torch.from_numpy(images).permute(0, 3, 1, 2))
        return {name: value.numpy() for name, value in outputs.items()}

    return {
        "pil": PilBackend(plan).run,
        "numba": NumbaBackend(plan).run,
        "torch": functools.partial(run_torch, module),
        "torchscript": functools.partial(run_torch, scripted),
        "onnx": run_onnx,
    }


def run_everywhere(plan, images):
    """Outputs by backend of a batch ``[N, H, W, 3]``, or of one image."""
    images = images[None] if images.ndim == 3 else images
    return {name: run(images) for name, run in backends(plan).items()}


def assert_equal(got, expected, what):
    """The same dtype, shape and bits; no tolerance."""
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.dtype == expected.dtype, f"{what}: dtype {got.dtype}, expected {expected.dtype}"
    assert got.shape == expected.shape, f"{what}: shape {got.shape}, expected {expected.shape}"
    differing = int((got != expected).sum())
    assert np.array_equal(got, expected), f"{what}: {differing} of {got.size} values differ"


def assert_everywhere(plan, images, expected=None):
    """Every backend gives ``expected``, and of the outputs that it leaves out, what the first one, ``pil``, gives.

    ``expected`` is a dict of outputs, or the image ``[N, C, h, w]``.
    """
    size = "x".join(map(str, images.shape[-3:-1]))
    want = {} if expected is None else expected if isinstance(expected, dict) else {plan.output: expected}
    for backend, outputs in run_everywhere(plan, images).items():
        assert tuple(outputs) == plan.outputs
        assert set(want) <= set(outputs)
        for name, output in outputs.items():
            assert_equal(output, want.setdefault(name, output), f"{backend}, {name} at {size}")


def sides(most=300):
    """Lengths of a side, with a lean to the smallest."""
    return st.one_of(st.integers(1, 8), st.integers(1, most))


def near(length, most=300):
    """Lengths of a side that a resize to ``length`` finds hard: the same, one off, multiples, one pixel, any."""
    related = [length, length - 1, length + 1, 2 * length, 2 * length + 1, length // 2, 1, 2, most]
    return st.one_of(st.sampled_from([n for n in related if 1 <= n <= most]), sides(most))
