"""The module in training code: compiled once, without waiting for a GPU, under torch's settings, in other modules."""

import contextlib
import copy
import functools
import io
import itertools
import json
import pickle

import numpy as np
import pytest
import torch
from torch import nn
from torch._dynamo.utils import counters
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.nn.parallel import DistributedDataParallel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader

import exporter
import runtime
from models.families import FAMILIES
from runtime.backends.torch import Preprocess
from runtime.ops import ResizeKeras, resize_torch, resize_weights_torch
from runtime.ops.size import Size

from .families import config, threads
from .helpers import assert_equal, backends, make_plan, noise, script
from .test_backends import SETTINGS, changed

SAMPLE = (
    "CLIP",  # a resize and a crop
    "Vilt",  # sizes that keep the ratio, a mask
    "BridgeTower",  # the same with a crop behind it
    "DINOv3ViT",  # floats, interpolated
    "Owlv2",  # floats, blurred first
    "DeepseekVLHybrid",  # a branch
    "SLANeXt",  # OpenCV's resize, padding
    "Sam2",  # the image's size as an output
    "Swin2SR",  # mirrored padding
    "VitMatte",  # four channels
)
ONE_BY_ONE = ("Nougat", "PPFormulaNet")
"""What crop_margin leaves of an image follows from its pixels: the host looks at them, and loops over a batch."""

FLOATS = (
    "DepthPro",
    "DINOv3ViT",
    "PPDocLayoutV4",
    "PPOCRV5ServerDet",
    "PPOCRV5ServerRec",
    "RfDetr",
    "UVDoc",
    "ZoeDepth",
)
"""Interpolate has torch's bits on the CPU only, so the image goes there and back."""


FAST = {
    "DeepseekVLHybrid": {"size": {"height": 96, "width": 96}, "high_res_size": {"height": 128, "width": 128}},
    "Owlv2": {"size": {"height": 96, "width": 96}},
    "SLANeXt": {"size": {"height": 128, "width": 128}},
}
"""Smaller sizes for families that take long."""


def families(sample):
    """Those of ``sample``, and the rest where there is time."""
    rest = sorted(set(FAMILIES) - set(sample))
    return [*sample, *(pytest.param(name, marks=pytest.mark.slow) for name in rest)]


@pytest.fixture(scope="module")
def plan_of(tmp_path_factory):
    """Plans of families' defaults by name."""

    @functools.cache
    def make(name):
        file = tmp_path_factory.mktemp(name) / "preprocessor_config.json"
        file.write_text(json.dumps({"image_processor_type": f"{name}ImageProcessor", **config(name)}))
        return exporter.trace(file, **FAST.get(name, {}))

    return make


def batch(plan, height, width, images=1, last=False):
    """Noise, ``[N, C, H, W]``, or ``[N, H, W, C]`` where ``last``."""
    pixels = torch.from_numpy(np.stack([noise(height, width, seed, plan.channels) for seed in range(images)]))
    return pixels if last else pixels.permute(0, 3, 1, 2).contiguous()


def assert_same(got, want, what, dtype=None):
    """The same outputs; floats as ``dtype`` rounds them."""
    assert list(got) == list(want), what
    for name, value in want.items():
        value = value.to(dtype) if dtype is not None and value.is_floating_point() else value
        assert got[name].dtype == value.dtype, f"{what}, {name}"
        assert torch.equal(got[name], value), f"{what}, {name}"


# --- torch.compile


def fifty_sizes():
    """Both orientations, odd, squares."""
    sides = np.random.default_rng(0).integers(40, 161, (47, 2)).tolist()
    return [(161, 40), (64, 64), (40, 161), *map(tuple, sides)]


def count_graphs(plan, batches, backend):
    """How many graphs torch makes of the compiled module for ``batches``, each checked against the eager module."""
    torch._dynamo.reset()
    counters.clear()
    module = Preprocess(plan)
    compiled = torch.compile(module, fullgraph=True, dynamic=True, backend=backend)
    for images in batches:
        assert_same(compiled(images), module(images), f"compiled, {tuple(images.shape)}")
    assert not counters["graph_break"]
    return counters["stats"]["unique_graphs"]


FIRST, LAST = [(name, False) for name in SAMPLE], [("CLIP", True), ("VitMatte", True)]
REST = [pair for pair in itertools.product(FAMILIES, (False, True)) if pair not in FIRST + LAST]


@pytest.mark.parametrize(
    ("name", "last"), [*FIRST, *LAST, *(pytest.param(*pair, marks=pytest.mark.slow) for pair in REST)]
)
def test_two_graphs_for_all_sizes(plan_of, name, last):
    """One for a single image, one for every batch."""
    plan = plan_of(name)
    sizes = fifty_sizes()[: 50 if name == "CLIP" else 7]
    singles = [batch(plan, *size, last=last) for size in sizes]
    batches = [batch(plan, *size, 2 + i % 4, last) for i, size in enumerate(sizes[:7])]
    if name in ONE_BY_ONE:
        assert count_graphs(plan, singles, "eager") == 1
    else:
        assert count_graphs(plan, [*singles, *batches], "eager") == 2


def test_a_square_first_costs_one_graph_more(plan_of):
    """torch takes for equal what is equal in the first call."""
    plan = plan_of("CLIP")
    assert count_graphs(plan, [batch(plan, *size) for size in [(64, 64), *fifty_sizes()]], "eager") == 2


def test_without_dynamic(plan_of):
    """torch finds out by itself which sizes differ."""
    plan = plan_of("CLIP")
    torch._dynamo.reset()
    counters.clear()
    compiled = torch.compile(Preprocess(plan), fullgraph=True, backend="eager")
    for size in fifty_sizes():
        compiled(batch(plan, *size))
    assert counters["stats"]["unique_graphs"] <= 3


@pytest.mark.parametrize("name", ["CLIP", "Vilt"])
def test_fifty_sizes_by_the_default_compiler(plan_of, name):
    plan = plan_of(name)
    batches = [batch(plan, *size, 2, last) for last in (False, True) for size in fifty_sizes()]
    assert count_graphs(plan, batches, "inductor") == 2  # one a layout


def test_a_graph_for_each_batch_size_where_images_run_one_by_one(plan_of):
    plan = plan_of("Nougat")
    batches = [batch(plan, *size, images) for images in (1, 2, 3) for size in fifty_sizes()[:2]]
    assert count_graphs(plan, batches, "eager") == 3


# --- The device's own time


class Copies(TorchDispatchMode):
    """What is copied from one device to another: the devices, and whether the host waits for it."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if func in (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default):
            source = args[-1] if func is torch.ops.aten.copy_.default else args[0]
            if source.device != result.device:
                self.found.append((source.device.type, result.device.type, bool(kwargs.get("non_blocking"))))
        return result


@pytest.fixture
def on_fake_gpu(monkeypatch):
    """Runs a Plan's module on a GPU that need not be there: the host cannot read tensors without memory."""
    monkeypatch.setattr(resize_torch, "gpu_kernels", lambda device: None)
    resize_weights_torch._kept_weights.cache_clear()

    def run(plan):
        with FakeTensorMode(allow_non_fake_inputs=True), Copies() as copies:
            module = Preprocess(plan).to("cuda")
            copies.found.clear()
            outputs = module(torch.empty(2, plan.channels, 97, 131, dtype=torch.uint8, device="cuda"))
            assert {value.device.type for value in outputs.values()} == {"cuda"}
        return set(copies.found)

    yield run
    resize_weights_torch._kept_weights.cache_clear()  # of weights without memory


@pytest.mark.parametrize("name", families(SAMPLE))
def test_the_host_never_waits_for_the_gpu(plan_of, on_fake_gpu, name):
    """It reads nothing, and what it sends (weights of a size that is new) goes without waiting; or is listed above."""
    if name in ONE_BY_ONE:
        with pytest.raises(DataDependentOutputException):
            on_fake_gpu(plan_of(name))
    elif name in FLOATS:
        assert ("cuda", "cpu", False) in on_fake_gpu(plan_of(name))
    else:
        assert on_fake_gpu(plan_of(name)) <= {("cpu", "cuda", True)}


def test_keras_resizes_on_the_cpu(on_fake_gpu):
    """As FLOATS."""
    plan = make_plan(ResizeKeras(Size(height=20, width=30), "bilinear"))
    assert ("cuda", "cpu", False) in on_fake_gpu(plan)


def test_weights_are_sent_once(plan_of, on_fake_gpu, monkeypatch):
    plan = plan_of("CLIP")
    assert on_fake_gpu(plan) and on_fake_gpu(plan)  # none are kept that have no memory
    for module in (resize_torch, resize_weights_torch):
        monkeypatch.setattr(module, "computes", lambda: True)
    assert on_fake_gpu(plan)
    assert not on_fake_gpu(plan)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", SAMPLE)
def test_no_synchronization_on_a_gpu(plan_of, name):
    plan = plan_of(name)
    module = Preprocess(plan).cuda()
    module(batch(plan, 97, 131).cuda())  # builds and proves the kernels
    images = [batch(plan, *size).cuda() for size in fifty_sizes()]
    with changed(torch.cuda.set_sync_debug_mode, "error", "default"):
        outputs = [module(image) for image in images]
    for image, output in zip(images, outputs, strict=True):
        assert_same({key: value.cpu() for key, value in output.items()}, Preprocess(plan)(image.cpu()), name)


# --- torch's settings

MORE_SETTINGS = {
    **SETTINGS,
    "autocast to float16": lambda: torch.autocast("cpu", dtype=torch.float16),
    "high matmul precision": lambda: changed(torch.set_float32_matmul_precision, "high", "highest"),
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
}


@pytest.mark.parametrize("name", families(SAMPLE))
def test_torchs_settings_change_no_family(plan_of, name):
    plan = plan_of(name)
    module, images = Preprocess(plan), batch(plan, 97, 131)
    with threads(2 if plan.bound else 1):
        want = module(images)
        for setting, context in MORE_SETTINGS.items():
            if setting == "threads" and plan.bound:  # of their number, torch's float bilinear has two kinds
                continue
            with context():
                got = module(images)
            assert_same(got, want, setting)


# --- In larger modules


@pytest.mark.parametrize("name", families(["CLIP", "DINOv3ViT", "VitMatte"]))
def test_copies_moves_and_dtypes(plan_of, name):
    """Only the result's dtype changes: no table and no number of a step is rounded."""
    plan = plan_of(name)
    module, images = Preprocess(plan), batch(plan, 97, 131)
    want = module(images)
    assert not list(module.parameters()) and not module.state_dict()
    saved = io.BytesIO()
    torch.save(module, saved)
    saved.seek(0)
    twins = {
        "deepcopy": copy.deepcopy(module),
        "pickle": pickle.loads(pickle.dumps(module)),
        "torch.save": torch.load(saved, weights_only=False),
        "train": nn.Sequential(module).train()[0],
        "eval": nn.Sequential(module).eval()[0],
    }
    for what, twin in twins.items():
        assert_same(twin(images), want, what)
    with torch.device("meta"):
        built = Preprocess(plan)
    assert_same(built(images), want, "built for the meta device")
    assert_same(built.to_empty(device="cpu")(images), want, "to_empty")
    outer = nn.Sequential(module)
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        assert_same(outer.to(dtype)(images), want, str(dtype), dtype)
    with torch.jit.optimized_execution(False):  # as in runtime
        assert_same(script(outer.half()[0])(images), want, "scripted", torch.float16)
    assert_same(outer.float()(images), want, "float again")


def test_the_plans_own_dtype_stays(plan_of):
    plan = exporter.trace("clip-vit-base-patch32", dtype="float16")
    images = batch(plan, 60, 50)
    module = Preprocess(plan)
    want = module(images)
    assert want["pixel_values"].dtype == torch.float16
    assert_same(module.float()(images), want, "float")
    assert_same(module.double()(images), want, "double", torch.float64)


def small():
    return exporter.trace("vit-base-patch16-224", size={"height": 24, "width": 32})


def classifier():
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 24 * 32, 5))


def test_one_output_in_front_of_a_model():
    plan, model = small(), classifier()
    images = batch(plan, 60, 50, 2)
    values = exporter.to_module(plan)(images)["pixel_values"]
    both = nn.Sequential(exporter.to_module(plan, output="pixel_values"), model)
    assert_equal(both(images).detach(), model(values).detach(), "eager")
    with torch.jit.optimized_execution(False):
        assert_equal(script(both)(images).detach(), model(values).detach(), "scripted")
    both(images).sum().backward()
    assert model[1].weight.grad.abs().sum() > 0
    halved = copy.deepcopy(both).half()
    assert_equal(halved[0](images), values.half(), "half")
    assert_equal(halved(images).detach(), copy.deepcopy(model).half()(values.half()).detach(), "half")


def test_a_second_output_alone(plan_of):
    plan = plan_of("Vilt")
    images = batch(plan, 60, 50)
    got = exporter.to_module(plan, output="pixel_mask")(images)
    assert_equal(got, Preprocess(plan)(images)["pixel_mask"], "pixel_mask")


def test_an_output_that_is_not_there(plan_of):
    with pytest.raises(ValueError, match="output: expected one of pixel_values, pixel_mask, got 'mask'"):
        exporter.to_module(plan_of("Vilt"), output="mask")


def test_a_checkpoint_is_the_models_alone(tmp_path):
    both = nn.Sequential(exporter.to_module(small(), output="pixel_values"), classifier())
    torch.save(both.state_dict(), tmp_path / "both.pt")
    state = torch.load(tmp_path / "both.pt", weights_only=True)
    assert set(state) == {"1.1.weight", "1.1.bias"}
    other = nn.Sequential(exporter.to_module(small(), output="pixel_values"), classifier())
    other.load_state_dict(state)
    images = batch(small(), 60, 50)
    assert_equal(other(images).detach(), both(images).detach(), "loaded")


@pytest.fixture
def process_group():
    if not torch.distributed.is_available() or not torch.distributed.is_gloo_available():
        pytest.skip("torch was built without gloo")
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


def test_distributed_data_parallel(process_group):
    plan = small()
    both = nn.Sequential(exporter.to_module(plan, output="pixel_values"), classifier())
    parallel = DistributedDataParallel(both)
    images = batch(plan, 60, 50, 2)
    parallel(images).sum().backward()
    values = backends(plan)["pil"](images.permute(0, 2, 3, 1).numpy())["pixel_values"]
    want = torch.from_numpy(values).flatten(1).sum(0).expand(5, -1)
    assert_equal(both[1][1].weight.grad, want, "gradient")


@pytest.mark.parametrize("autocast", [False, True])
def test_a_step_of_training(autocast):
    plan = small()
    pre = torch.compile(exporter.to_module(plan, output="pixel_values"), fullgraph=True, dynamic=True, backend="eager")
    model = classifier()
    optimizer = torch.optim.SGD(model.parameters(), 0.001)
    images = batch(plan, 60, 50, 4)
    losses = []
    for _ in range(5):
        with torch.autocast("cpu", torch.bfloat16) if autocast else contextlib.nullcontext():
            loss = nn.functional.cross_entropy(model(pre(images)), torch.arange(4))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


# --- In a DataLoader


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # Python 3.12 warns where threads run
@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_workers_of_a_data_loader(tmp_path, method):
    """The Preprocessor is what makes a batch: two workers get it, by its file where they are spawned."""
    plan = small()
    exporter.to_onnx(plan, tmp_path / "small.onnx")
    images = [noise(40 + 7 * i, 50) for i in range(6)]
    pre = functools.partial(runtime.load(tmp_path / "small.onnx"), return_tensors="pt")
    loader = DataLoader(images, 2, collate_fn=pre, num_workers=2, multiprocessing_context=method)
    got = torch.cat([features["pixel_values"] for features in loader])
    assert_equal(got, np.concatenate([backends(plan)["pil"](image[None])["pixel_values"] for image in images]), method)
