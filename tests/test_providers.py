"""onnxruntime's providers and options, and torch's devices: what the caller asks for, or an error."""

import pickle

import numpy as np
import onnxruntime
import pytest
import torch

import exporter
from runtime import BackendUnavailable, load
from runtime.backends import sessions
from runtime.backends import torch as torch_backend
from runtime.ops import Rescale, Resize
from runtime.ops.size import Size
from runtime.preprocessor import Preprocessor

from .helpers import assert_equal, make_plan, noise

PLAN = make_plan(Resize(Size(height=12, width=14), "bilinear", "pillow13"), Rescale(1 / 255))
IMAGE = noise(30, 20)
CPU = ["CPUExecutionProvider"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    exporter.to_onnx(PLAN, folder / "plan.onnx")
    exporter.to_torchscript(PLAN, folder / "plan.pt")
    return folder


@pytest.fixture
def made(monkeypatch):
    """The arguments of every session that is made."""
    calls, make = [], onnxruntime.InferenceSession

    def session(model, options, **more):
        calls.append((options, more))
        return make(model, options, **more)

    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    return calls


def assert_right(pre):
    assert_equal(pre(IMAGE).pixel_values, Preprocessor(PLAN, "pil")(IMAGE).pixel_values, pre.backend)


# --- Providers


@pytest.mark.parametrize("providers", [CPU, tuple(CPU), [("CPUExecutionProvider", {})]])
def test_given_providers(providers, files, made):
    pre = load(files / "plan.onnx", providers=providers)
    assert pre.backend == "onnx"
    assert_right(pre)
    assert made[0][1] == {"providers": list(providers), "enable_fallback": 0}


def test_the_cpu_by_default(files, made):
    load(files / "plan.onnx", "onnx")
    assert made[0][1] == {"providers": CPU, "enable_fallback": 0}


@pytest.mark.parametrize(
    "providers",
    [["CUDAExecutionProvider"], ["CUDAExecutionProvider", *CPU], [("CUDAExecutionProvider", {"use_tf32": 0})]],
)
def test_a_provider_that_is_not_installed(providers, files):
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has it")
    message = r"^CUDAExecutionProvider: not in the installed onnxruntime, which has .*: for CUDA, pip install onnx"
    with pytest.raises(BackendUnavailable, match=message):
        load(files / "plan.onnx", providers=providers)


def test_a_provider_that_does_not_start(files, monkeypatch):
    """It is among those that there are, but the session goes on without it."""
    make = onnxruntime.InferenceSession
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", *CPU])
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda model, options, **_: make(model, options, CPU))
    with pytest.raises(BackendUnavailable, match="CUDAExecutionProvider: onnxruntime has it, but it does not start"):
        load(files / "plan.onnx", providers=["CUDAExecutionProvider", *CPU])


@pytest.mark.parametrize("providers", ["CPUExecutionProvider", [], [5], [None], {}, 5, [("CPUExecutionProvider",)]])
def test_what_are_no_providers(providers, files):
    with pytest.raises(ValueError, match="providers: expected a list of names, or of pairs with options, got"):
        load(files / "plan.onnx", providers=providers)


@pytest.mark.parametrize("argument", [{"providers": CPU}, {"session_options": {}}])
@pytest.mark.parametrize("backend", ["pil", "numba", "torch"])
def test_other_backends_have_none(backend, argument, files):
    with pytest.raises(BackendUnavailable, match=f"backend '{backend}' has no providers and session_options"):
        load(files / "plan.onnx", backend, **argument)
    with pytest.raises(BackendUnavailable, match=r"backend 'onnx' needs an \.onnx file"):
        load(files / "plan.pt", **argument)


# --- Options


OPTIONS = {"intra_op_num_threads": 1, "enable_mem_pattern": False, "session.intra_op.allow_spinning": "0"}


def test_options_take_the_place_of_ours(files, made, capfd):
    """onnxruntime would complain of an entry that is added twice."""
    load(files / "plan.onnx", session_options={"session.force_spinning_stop": "0", "log_severity_level": 2})
    ((options, _),) = made
    assert options.get_session_config_entry("session.force_spinning_stop") == "0"
    assert options.log_severity_level == 2
    assert "already exists" not in "".join(capfd.readouterr())


def test_options_reach_every_session(files, made, monkeypatch):
    monkeypatch.setattr(sessions, "REPEATS", 2)
    pre = load(files / "plan.onnx", session_options=OPTIONS)
    for _ in range(3):
        assert_right(pre)
    assert len(made) == 2
    for options, _ in made:
        assert (options.intra_op_num_threads, options.enable_mem_pattern) == (1, False)
        assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
        assert options.log_severity_level == 4


def test_an_object_of_options_is_for_one_session(files, made, monkeypatch):
    monkeypatch.setattr(sessions, "REPEATS", 2)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    pre = load(files / "plan.onnx", session_options=options)
    for _ in range(4):
        assert_right(pre)
    assert [given for given, _ in made] == [options]
    assert options.log_severity_level == onnxruntime.SessionOptions().log_severity_level, "it was changed"
    with pytest.raises(TypeError, match="SessionOptions"):
        pickle.dumps(pre)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threads": 1}, "threads=1: onnxruntime.SessionOptions has no such attribute"),
        ({"add_session_config_entry": 1}, "has no such attribute"),
        ({5: 1}, "5=1: onnxruntime.SessionOptions has no such attribute"),
        ({"intra_op_num_threads": "many"}, "session_options: intra_op_num_threads='many': "),
        ({"session." + "x" * 2000: 1}, "session_options: session.xxx"),
        (5, "expected a dict or an onnxruntime.SessionOptions, got int"),
        ([], "expected a dict or an onnxruntime.SessionOptions, got list"),
    ],
)
def test_options_that_there_are_not(options, message, files):
    with pytest.raises(ValueError, match=message):
        load(files / "plan.onnx", session_options=options)


def test_a_pickle_has_them(files, made):
    pre = load(files / "plan.onnx", providers=CPU, session_options=OPTIONS, max_pixels=700)
    twin = pickle.loads(pickle.dumps(pre))
    assert made[0][1] == made[1][1]
    assert made[1][0].intra_op_num_threads == 1
    assert_right(twin)
    with pytest.raises(ValueError, match="expected at most 700 pixels, got 30x24"):
        twin(noise(30, 24))


# --- Devices


@pytest.mark.parametrize("name", ["plan.onnx", "plan.pt"])
@pytest.mark.parametrize("device", ["cuda", "cuda:0", torch.device("cuda"), 0])
def test_a_device_that_is_not_there(name, device, files):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(BackendUnavailable, match=r"^torch cannot use the device 'cuda(:0)?' \(.+\)$"):
        load(files / name, device=device)


@pytest.mark.parametrize("device", ["gpu", "", "cuda:x", 1.5, [], "cpu:-1"])
def test_what_is_no_device(device, files):
    with pytest.raises(ValueError, match="device: expected such as 'cpu' or 'cuda:0', got"):
        load(files / "plan.onnx", device=device)


def test_a_device_without_values(files):
    with pytest.raises(ValueError, match="device: expected one that computes, got 'meta'"):
        load(files / "plan.onnx", device="meta")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", ["plan.onnx", "plan.pt"])
def test_on_a_gpu(name, files):
    pre = load(files / name, device="cuda")
    got = pre(IMAGE, return_tensors="pt").pixel_values
    assert got.is_cuda
    assert_equal(got.cpu().numpy(), Preprocessor(PLAN, "pil")(IMAGE).pixel_values, name)


def test_the_cpu_is_a_device():
    assert torch_backend.usable(None) == torch_backend.usable("cpu") == torch.device("cpu")


# --- The limit of an image's size


@pytest.mark.parametrize("backend", ["pil", "onnx", "numba", "torch"])
def test_max_pixels(backend, files, tmp_path):
    from PIL import Image

    pre = load(files / "plan.onnx", backend, max_pixels=600)
    path = tmp_path / "image.png"
    for image in (noise(30, 20), noise(20, 30)):
        Image.fromarray(image).save(path)
        for given in (
            image,
            path,
            path.read_bytes(),
            Image.fromarray(image),
            Image.open(path),
            image.transpose(2, 0, 1),
        ):
            assert pre(given).pixel_values.shape == (1, 3, 12, 14)
    large = noise(30, 21)
    Image.fromarray(large).save(path)
    with Image.open(path) as opened:
        for given in (large, path, path.read_bytes(), Image.fromarray(large), opened, torch.from_numpy(large)):
            with pytest.raises(ValueError, match="expected at most 600 pixels, got 30x21"):
                pre(given)
            with pytest.raises(ValueError, match="image 1: expected at most 600 pixels, got 30x21"):
                pre([noise(3, 4), given])
        assert opened.tile, "it was decoded"


@pytest.mark.parametrize("value", [0, -1, 1.5, "5", True, np.int64(5)])
def test_what_is_no_limit(value, files):
    with pytest.raises(ValueError, match="max_pixels: expected a number above 0, got"):
        load(files / "plan.onnx", max_pixels=value)
