"""The public API: what importing pulls in, loading, calling, and what comes out."""

import importlib.util
import json
import os
import pickle
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

import runtime
from exporter.onnx import build
from runtime import ArtifactError, BackendUnavailable, Features, InputError, PreprocessorError, artifact
from runtime.ops import CenterCrop, ConvertRGB, Interpolate, Normalize, Rescale, Resize
from runtime.ops.size import Size

from .helpers import assert_equal, make_plan, noise, with_plan, write_artifacts

BACKENDS = ("pil", "torch", "torchscript", "onnx", "numba")
PACKAGE = Path(runtime.__file__).parent
PLAN = make_plan(
    ConvertRGB(),
    Resize(Size(shortest_edge=20), "bicubic", "pillow13"),
    CenterCrop(16, 18),
    Rescale(1 / 255),
    Normalize((0.48, 0.46, 0.41), (0.27, 0.26, 0.28)),
    family="CLIP",
)
FREE = make_plan(ConvertRGB(), Resize(Size(shortest_edge=20), "bicubic", "pillow13"), Rescale(1 / 255))
"""Its outputs differ in size."""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_artifacts(PLAN, tmp_path_factory.mktemp("artifacts"))


@pytest.fixture(scope="module")
def free_files(tmp_path_factory):
    return write_artifacts(FREE, tmp_path_factory.mktemp("free"))


@pytest.fixture(scope="module", params=BACKENDS)
def pre(request, files):
    return runtime.load(files[request.param], request.param)


@pytest.fixture(scope="module", params=BACKENDS)
def free(request, free_files):
    return runtime.load(free_files[request.param], request.param)


def reference(plan, image):
    for step in plan.steps:
        image = step.reference(image)
    return np.ascontiguousarray(np.moveaxis(image, -1, 0))


# --- Imports


def python(code, *paths):
    """What a fresh interpreter prints as JSON; ``paths`` come first on its path."""
    path = os.pathsep.join(map(str, paths or [PACKAGE.parent]))
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


SIBLINGS = {"models", "exporter"}
HEAVY = {"torch", "torchvision", "onnx", "onnxscript", "onnxruntime", "PIL", "transformers", "huggingface_hub"}
LOADED = "\nimport json, sys; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"


def test_importing_needs_numpy_alone():
    loaded = set(python("import runtime" + LOADED))
    assert {"runtime", "numpy"} <= loaded
    assert not loaded & (HEAVY | SIBLINGS)


def test_importing_leaves_for_later_what_few_calls_need():
    loaded = python("import runtime\nimport json, sys; print(json.dumps(sorted(sys.modules)))")
    later = {"zipfile", "tempfile", "logging", "runtime.ops.interpolate", "runtime.ops.pad", "runtime.stream"}
    assert "runtime.ops.resize" in loaded
    assert not set(loaded) & later
    assert not [name for name in loaded if name.startswith("runtime.postprocess.")]


@pytest.mark.parametrize(
    ("backend", "own"), [("pil", "PIL"), ("onnx", "onnxruntime"), ("torch", "torch"), ("torchscript", "torch")]
)
def test_a_backend_pulls_in_its_own_package_alone(backend, own, files):
    code = f"""
import numpy, runtime
pre = runtime.load({os.fspath(files[backend])!r}, {backend!r})
assert pre(numpy.zeros((30, 40, 3), "uint8")).pixel_values.shape == (1, 3, 16, 18)
"""
    assert set(python(code + LOADED)) & (HEAVY | SIBLINGS) == {own}


VENDORED = """
import importlib.abc, json, sys
import numpy


class NothingElseOfOurs(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in {"runtime", "models", "exporter", "tests"}:
            raise ImportError(name)


sys.meta_path.insert(0, NothingElseOfOurs())
from acme import vision_rt

assert "runtime" not in sys.modules
image = numpy.load(IMAGE)
values = {backend: vision_rt.load(path, backend)(image).pixel_values for backend, path in FILES.items()}
assert all(v.dtype == numpy.float32 for v in values.values())
print(json.dumps({backend: v.tobytes().hex() for backend, v in values.items()}))
"""


def test_vendored_under_another_name(files, tmp_path):
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PACKAGE, tmp_path / "acme" / "vision_rt", ignore=ignore)
    image = noise(50, 41)
    np.save(tmp_path / "image.npy", image)
    arguments = (
        f"IMAGE = {os.fspath(tmp_path / 'image.npy')!r}\nFILES = { {k: os.fspath(v) for k, v in files.items()}!r}"
    )
    expected = reference(PLAN, image).tobytes().hex()
    assert python(arguments + VENDORED, tmp_path) == dict.fromkeys(BACKENDS, expected)


def test_vendored_beside_the_original(files, tmp_path):
    shutil.copytree(PACKAGE, tmp_path / "acme" / "vision_rt", ignore=shutil.ignore_patterns("__pycache__"))
    code = f"""
import json, numpy, torch, runtime
from acme import vision_rt
image = numpy.arange(30 * 40 * 3, dtype="uint8").reshape(30, 40, 3)
a = runtime.load({os.fspath(files["torch"])!r}, "torch")(image)
b = vision_rt.load({os.fspath(files["torch"])!r}, "torch")(image)
assert type(a) is not type(b)
print(json.dumps(bool((a.pixel_values == b.pixel_values).all())))
"""
    assert python(code, tmp_path, PACKAGE.parent) is True


def test_the_public_names():
    assert runtime.__all__ == [
        "ArtifactError",
        "BackendUnavailable",
        "Features",
        "InputError",
        "ParityError",
        "Plan",
        "Preprocessor",
        "PreprocessorError",
        "UnsupportedConfig",
        "load",
    ]
    assert all(hasattr(runtime, name) for name in runtime.__all__)


def test_the_errors_are_what_people_catch():
    assert issubclass(InputError, ValueError)
    assert issubclass(BackendUnavailable, ImportError)
    for name in ("ArtifactError", "BackendUnavailable", "InputError", "ParityError", "UnsupportedConfig"):
        assert issubclass(getattr(runtime, name), PreprocessorError)


def test_an_unsupported_config_lists_its_problems():
    assert runtime.UnsupportedConfig("one").problems == ("one",)
    error = runtime.UnsupportedConfig(["size.height: one", "mean: two"])
    assert error.problems == ("size.height: one", "mean: two")
    assert str(error) == "size.height: one; mean: two"


# --- Calls


def test_one_image(pre):
    image = noise(50, 41)
    out = pre(image)
    assert isinstance(out, Features)
    assert list(out) == ["pixel_values"] == list(pre.output_names)
    assert_equal(out.pixel_values, reference(PLAN, image)[None], pre.backend)


def test_what_a_preprocessor_says_of_itself(pre):
    assert pre.plan == PLAN
    assert pre.backend in BACKENDS
    assert repr(pre) == f"<Preprocessor CLIP {pre.backend}: pixel_values>"


def test_auto_is_the_fastest(files):
    assert runtime.load(files["onnx"]).backend == "numba"
    assert runtime.load(str(files["torchscript"])).backend == "numba"


def test_auto_is_the_files_own_where_nothing_is_compiled(tmp_path):
    for steps in ((CenterCrop(9, 9),), (), (Rescale(1 / 255), Interpolate(Size(height=5, width=5), "bilinear", False))):
        files = write_artifacts(make_plan(*steps), tmp_path)
        assert runtime.load(files["onnx"]).backend == "onnx"
        assert runtime.load(files["torchscript"]).backend == "torchscript"


def test_auto_on_a_device_is_torch(files):
    assert runtime.load(files["onnx"], device="cpu").backend == "torch"
    assert runtime.load(files["torchscript"], device="cpu").backend == "torchscript"


def test_auto_is_the_files_own_backend_without_numba(files, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "numba" else find(name))
    assert runtime.load(files["onnx"]).backend == "onnx"
    assert runtime.load(str(files["torchscript"])).backend == "torchscript"


def test_mixed_sizes_come_back_in_order(pre):
    images = [
        noise(*size, seed) for seed, size in enumerate([(50, 41), (30, 60), (50, 41), (21, 20), (30, 60), (50, 41)])
    ]
    expected = np.stack([reference(PLAN, image) for image in images])
    assert_equal(pre(images).pixel_values, expected, pre.backend)
    assert_equal(pre(images, return_tensors="pt").pixel_values, expected, pre.backend)


def test_images_of_one_size_run_as_one_batch(pre, monkeypatch):
    batches = []
    each = pre._runner.each is not None  # images are read where they lie, of any size
    run = pre._runner.each if each else pre._run.run
    place, name = (pre._runner, "each") if each else (pre._run, "run")
    monkeypatch.setattr(place, name, lambda images: batches.append([image.shape for image in images]) or run(images))
    pre([noise(30, 40), noise(50, 60), noise(30, 40)])
    small, large = (30, 40, 3), (50, 60, 3)
    assert batches == ([[small, large, small]] if each else [[small, small], [large]])
    assert each == (pre.backend in ("numba", "torch"))


def test_mixed_kinds(pre, tmp_path):
    images = [noise(50, 41, seed) for seed in range(4)]
    path = tmp_path / "image.png"
    Image.fromarray(images[1]).save(path)
    kinds = [Image.fromarray(images[0]), path, torch.from_numpy(images[2]), images[3].transpose(2, 0, 1)]
    expected = np.stack([reference(PLAN, image) for image in images])
    assert_equal(pre(kinds).pixel_values, expected, pre.backend)


@pytest.fixture
def every_warning():
    """torch warns of some things once a process."""
    torch.set_warn_always(True)
    yield
    torch.set_warn_always(False)


@pytest.mark.usefixtures("every_warning")
def test_the_input_is_not_changed(pre):
    image = noise(50, 41)
    before = image.copy()
    image.flags.writeable = False
    pre(image)
    assert_equal(image, before, pre.backend)


@pytest.mark.usefixtures("every_warning")
def test_a_pil_image_warns_of_nothing(pre):
    # NumPy's view of a PIL image is read-only, which torch does not like.
    assert_equal(pre(Image.fromarray(noise(50, 41))).pixel_values, reference(PLAN, noise(50, 41))[None], pre.backend)


# --- Return types


@pytest.mark.parametrize("count", [1, 3])
def test_return_tensors(pre, count):
    images = [noise(50, 41, seed) for seed in range(count)]
    expected = np.stack([reference(PLAN, image) for image in images])
    arrays, tensors = pre(images, return_tensors="np"), pre(images, return_tensors="pt")
    lists = pre(images, return_tensors=None)
    assert type(arrays.pixel_values) is np.ndarray
    assert type(tensors.pixel_values) is torch.Tensor
    assert type(lists.pixel_values) is list
    for values in (arrays.pixel_values, tensors.pixel_values, lists.pixel_values):
        assert_equal(values, expected, pre.backend)
    assert all(type(value) is np.ndarray for value in lists.pixel_values)


def test_lists_may_mix_output_sizes(free):
    images = [noise(50, 41), noise(30, 90), noise(50, 41, 1)]
    values = free(images, return_tensors=None).pixel_values
    assert [value.shape for value in values] == [(3, 24, 20), (3, 20, 60), (3, 24, 20)]
    for value, image in zip(values, images, strict=True):
        assert_equal(value, reference(FREE, image), free.backend)


@pytest.mark.parametrize("return_tensors", ["np", "pt"])
def test_batches_may_not_mix_output_sizes(free, return_tensors):
    with pytest.raises(InputError, match=r"pixel_values: these images give sizes \(3, 20, 60\), \(3, 24, 20\).*None"):
        free([noise(50, 41), noise(30, 90)], return_tensors=return_tensors)


@pytest.mark.parametrize("return_tensors", ["tf", "numpy", "", 0, False])
def test_unknown_return_tensors(pre, return_tensors):
    with pytest.raises(ValueError, match=f"return_tensors: expected 'np', 'pt' or None, got {return_tensors!r}"):
        pre(noise(50, 41), return_tensors=return_tensors)


@pytest.mark.parametrize("count", [1, 2])
def test_tensors_can_be_trained_on(pre, count):
    images = [noise(50 + i, 41) for i in range(count)]
    values = pre(images, return_tensors="pt").pixel_values
    layer = torch.nn.Conv2d(3, 2, 3)
    layer(values).sum().backward()
    assert layer.weight.grad.abs().sum() > 0


def test_tensors_and_arrays_may_be_changed(pre):
    for kind in ("np", "pt"):
        values = pre(noise(50, 41), return_tensors=kind).pixel_values
        values[0, 0, 0, 0] = 7
        assert values[0, 0, 0, 0] == 7


# --- Labels


def test_labels_come_back_as_they_were(pre):
    image, labels, weights = noise(50, 41), ["cat"], np.array([0.5])
    expected = reference(PLAN, image)[None]
    assert_equal(pre(image).pixel_values, expected, pre.backend)
    pair = pre(image, labels)
    assert type(pair) is tuple
    assert len(pair) == 2
    assert pair[1] is labels
    triple = pre(image, labels, weights)
    assert type(triple) is tuple
    assert len(triple) == 3
    assert triple[1] is labels
    assert triple[2] is weights
    for result in (pair, triple):
        assert_equal(result[0].pixel_values, expected, pre.backend)


@pytest.mark.parametrize("labels", [0, [], np.zeros(2), False, "np"])
def test_labels_may_be_anything_but_none(pre, labels):
    result, got = pre(noise(50, 41), labels, return_tensors="pt")
    assert got is labels
    assert type(result.pixel_values) is torch.Tensor
    assert pre(noise(50, 41), y=labels, sample_weight=labels)[1:] == (labels, labels) or type(labels) is np.ndarray


def test_weights_without_labels_are_dropped(pre):
    # As keras.utils.pack_x_y_sample_weight drops them.
    assert type(pre(noise(50, 41), None, np.ones(1))) is Features
    assert type(pre(noise(50, 41), sample_weight=np.ones(1))) is Features


def test_return_tensors_is_a_keyword(pre):
    with pytest.raises(TypeError, match="positional arguments"):
        pre(noise(50, 41), None, None, "pt")


# --- Loading


@pytest.mark.parametrize("backend", ["tensorflow", "ONNX", "", None, 5])
def test_unknown_backends(backend, files):
    with pytest.raises(ValueError, match=f"backend: expected one of auto, onnx, .*, got {backend!r}"):
        runtime.load(files["onnx"], backend)


@pytest.mark.parametrize(
    ("file", "backend", "message"),
    [
        ("onnx", "torchscript", "backend 'torchscript' needs a .pt file; this is an .onnx file"),
        ("torchscript", "onnx", "backend 'onnx' needs an .onnx file; this is a .pt file"),
    ],
)
def test_a_file_of_another_backend(file, backend, message, files):
    with pytest.raises(BackendUnavailable, match=message):
        runtime.load(files[file], backend)


@pytest.mark.parametrize("backend", ["pil", "torch"])
def test_a_torchscript_file_can_be_rebuilt(backend, files):
    image = noise(50, 41)
    out = runtime.load(files["torchscript"], backend)(image)
    assert_equal(out.pixel_values, reference(PLAN, image)[None], backend)


@pytest.mark.parametrize("backend", ["pil", "torch", "torchscript"])
def test_a_fused_file_runs_in_onnxruntime_alone(backend, tmp_path):
    onnx.save(with_plan(build(PLAN), PLAN, **{artifact.FUSED_KEY: "{}"}), tmp_path / "fused.onnx")
    assert runtime.load(tmp_path / "fused.onnx").backend == "onnx"
    with pytest.raises(BackendUnavailable, match=f"a file with a model in it needs backend 'onnx', not '{backend}'"):
        runtime.load(tmp_path / "fused.onnx", backend)


def test_outputs_of_a_fused_file_are_the_models(tmp_path):
    model = build(PLAN)
    model.graph.output[0].name = model.graph.node[-1].output[0] = "logits"
    onnx.save(with_plan(model, PLAN, **{artifact.FUSED_KEY: "{}"}), tmp_path / "fused.onnx")
    pre = runtime.load(tmp_path / "fused.onnx")
    assert pre.output_names == ("logits",)
    images = [noise(50, 41), noise(30, 40)]
    assert_equal(pre(images).logits, np.stack([reference(PLAN, image) for image in images]), "logits")


@pytest.mark.parametrize("backend", ["pil", "onnx"])
def test_devices_are_torchs(backend, files):
    with pytest.raises(BackendUnavailable, match=f"backend '{backend}' runs on the CPU only: leave out device='cuda'"):
        runtime.load(files[backend], backend, device="cuda")


@pytest.mark.parametrize("backend", ["torch", "torchscript"])
@pytest.mark.parametrize("device", ["cpu", torch.device("cpu")])
def test_a_torch_device(backend, device, files):
    image = noise(50, 41)
    out = runtime.load(files[backend], backend, device=device)(image)
    assert_equal(out.pixel_values, reference(PLAN, image)[None], backend)


@pytest.mark.parametrize(
    ("backend", "package", "line"),
    [
        ("pil", "PIL", "pip install pillow"),
        ("onnx", "onnxruntime", "pip install onnxruntime"),
        ("torch", "torch", "pip install torch"),
        ("torchscript", "torch", "pip install torch"),
    ],
)
def test_a_missing_package_is_named_with_its_pip_line(backend, package, line, files, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(BackendUnavailable, match=f"backend '{backend}' needs .*: {line}"):
        runtime.load(files[backend], backend)


def test_missing_packages_at_a_call(files, monkeypatch):
    pre = runtime.load(files["onnx"])
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(BackendUnavailable, match="return_tensors='pt' needs torch: pip install torch"):
        pre(noise(50, 41), return_tensors="pt")
    assert_equal(pre(noise(50, 41)).pixel_values, reference(PLAN, noise(50, 41))[None], "without torch")
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(BackendUnavailable, match="reading image files needs Pillow: pip install pillow"):
        pre(b"data")


def test_onnxruntimes_own_failures_are_input_errors(tmp_path):
    # The Plan lets the size pass; the graph, of another Plan, does not.
    other = make_plan(CenterCrop(16, 18))
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 18]> g (uint8[n, h, w, 3] images) => (uint8[n, 1, 1, 3] pixel_values)'
        "<int64[4] shape = {0, 1, 1, 3}> {pixel_values = Reshape(images, shape)}"
    )
    onnx.save(with_plan(model, other), tmp_path / "model.onnx")
    pre = runtime.load(tmp_path / "model.onnx", backend="onnx")
    with pytest.raises(InputError, match=r"onnxruntime failed on images of shape \(1, 5, 6, 3\): "):
        pre(noise(5, 6))


def test_a_missing_file(tmp_path):
    with pytest.raises(ArtifactError, match=r"missing.onnx: cannot be read"):
        runtime.load(tmp_path / "missing.onnx")


# --- Pickles and threads


def test_a_preprocessor_is_pickled_by_its_file(pre):
    data = pickle.dumps(pre)
    assert len(data) < 5000
    twin = pickle.loads(data)
    assert (twin.plan, twin.backend, twin.output_names) == (pre.plan, pre.backend, pre.output_names)
    images = [noise(50, 41), noise(30, 60)]
    assert_equal(twin(images).pixel_values, pre(images).pixel_values, pre.backend)


def test_a_pickled_preprocessor_needs_its_file(files, tmp_path):
    path = shutil.copy(files["onnx"], tmp_path)
    data = pickle.dumps(runtime.load(path))
    Path(path).unlink()
    with pytest.raises(ArtifactError, match="cannot be read"):
        pickle.loads(data)


def test_eight_threads_share_one_object(pre):
    images = [noise(20 + 7 * (i % 5), 30 + 11 * (i % 3), i) for i in range(64)]
    expected = [reference(PLAN, image)[None] for image in images]
    start = threading.Barrier(8)

    def work(part):
        start.wait()
        return [(i, pre(images[i]).pixel_values) for i in range(part, len(images), 8)]

    with ThreadPoolExecutor(8) as pool:
        for part in pool.map(work, range(8)):
            for i, values in part:
                assert_equal(values, expected[i], f"{pre.backend}, image {i}")
