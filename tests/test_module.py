"""The module on whatever tensors torch's users have, and under torch's own tools: export, transforms, fake tensors."""

import copy
import importlib

import numpy as np
import pytest
import torch
from torch import nn
from torch._dynamo.exc import Unsupported
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.checkpoint import checkpoint

import exporter
from models.config import to_steps
from models.families import FAMILIES
from runtime import Plan
from runtime.backends.differentiable import Differentiable
from runtime.backends.torch import Preprocess
from runtime.ops import (
    FlipChannels,
    Interpolate,
    Normalize,
    Pad,
    Rescale,
    Resize,
    ResizeKeras,
    ResizeOpenCV,
    ResizeSmoothed,
    resize_torch,
    resize_weights_torch,
)
from runtime.ops.size import Size

from .families import config
from .helpers import INSTALLED_ORDER, assert_equal, make_plan, noise, script

SIZE = Size(height=24, width=32)
VALUES = (Rescale(1 / 255), Normalize((0.5, 0.4, 0.3), (0.2, 0.3, 0.4)))
PLANS = {
    "Pillow": make_plan(Resize(SIZE, "bicubic", "pillow13"), *VALUES),
    "torchvision": make_plan(Resize(SIZE, "bicubic", "pillow12.1", "torchvision"), *VALUES),
    "a table": make_plan(Pad(Size(height=90, width=100)), *VALUES, FlipChannels()),
    "interpolated": make_plan(Rescale(1 / 255), Interpolate(SIZE, "bicubic", True)),
    "blurred": make_plan(Rescale(1 / 255), ResizeSmoothed(SIZE, "scipy")),
    "OpenCV": make_plan(ResizeOpenCV(SIZE), *VALUES),
    "Keras": make_plan(ResizeKeras(SIZE, "bilinear")),
    "mirrored": make_plan(Rescale(1 / 255), Pad(Size(height=90, width=100), centered=True, mode="reflect")),
}


def batch(*size, seed=0, channels=3):
    """uint8 ``[N, C, H, W]`` for (N, H, W)."""
    images, height, width = size
    pixels = np.stack([noise(height, width, seed + i, channels) for i in range(images)])
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(pixels, -1, 1)))


@pytest.fixture(params=["numba", "torch"])
def either(request, monkeypatch):
    """With numba's kernel and without."""
    if request.param == "torch":
        monkeypatch.setattr(resize_torch, "compiled_kernels", lambda: None)
    else:
        pytest.importorskip("numba")


# Tensors

LAYOUTS = {
    "channels last": lambda images: images.to(memory_format=torch.channels_last),
    "every second pixel": lambda images: images[:, :, ::2, ::2],
    "turned": lambda images: images.transpose(2, 3),
    "inside another": lambda images: images[1:, :, 5:, 7:],
    "one image, many times": lambda images: images[:1].expand(4, -1, -1, -1),
    "channels of four": lambda images: torch.cat([images, images[:, :1]], 1)[:, :3],
    "mirrored": lambda images: images.flip(3),
    "a parameter's": lambda images: nn.Parameter(images, requires_grad=False),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", PLANS)
def test_any_layout_of_the_memory(name, layout, either):
    module, images = Preprocess(PLANS[name]), LAYOUTS[layout](batch(3, 77, 90))
    want = module(images.contiguous())["pixel_values"]
    for what, got in (("eager", module(images)), ("channels last", module(images.permute(0, 2, 3, 1)))):
        assert got["pixel_values"].is_contiguous()
        assert_equal(got["pixel_values"], want, what)


@pytest.mark.parametrize("name", ["ViT", "Owlv2", "Vilt", "DeepseekVLHybrid", "VitMatte"])
def test_no_images(name, either):
    check_no_images(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_no_images_of_any_family(name, either):
    check_no_images(name)


def check_no_images(name):
    """An empty batch, as of a rank that has run out of images."""
    family = FAMILIES[name]
    reference, channels = INSTALLED_ORDER if family.has_pil else "torchvision", family.channels or 3
    steps = to_steps(family, config(name), {}, reference, False, channels)
    module, images = Preprocess(Plan(steps, reference, name, channels=channels)), batch(1, 64, 80, channels=channels)
    if name in ("Nougat", "PPFormulaNet"):
        with pytest.raises(ValueError, match="pass one image at a time"):
            module(images[:0])
        return
    got, want = module(images[:0]), module(images)
    assert {key: (v.dtype, v.shape) for key, v in got.items()} == {k: (v.dtype, v[:0].shape) for k, v in want.items()}


@pytest.mark.parametrize("name", PLANS)
def test_no_images_in_a_script(name):
    with torch.jit.optimized_execution(False):  # as in runtime
        scripted = script(Preprocess(PLANS[name]))
        assert len(scripted(batch(1, 64, 80)[:0])["pixel_values"]) == 0


# torch's tools


@pytest.mark.parametrize("name", PLANS)
def test_tensors_without_memory_leave_nothing_behind(name, either):
    """A pass of a FakeTensorMode, as tools that count memory do it; the weights of that size are then computed."""
    module, images = Preprocess(PLANS[name]), batch(2, 41, 53)
    resize_weights_torch._kept_weights.cache_clear()
    with FakeTensorMode(allow_non_fake_inputs=True):
        fake = module(torch.empty(2, 3, 41, 53, dtype=torch.uint8))["pixel_values"]
    got = module(images)["pixel_values"]
    assert (fake.shape, fake.dtype) == (got.shape, got.dtype)
    resize_weights_torch._kept_weights.cache_clear()
    assert_equal(got, module(images)["pixel_values"], name)


@pytest.mark.parametrize(
    "name",
    [
        "Pillow",
        "interpolated",
        *(pytest.param(n, marks=pytest.mark.slow) for n in ("torchvision", "blurred", "OpenCV")),
    ],
)
def test_exported_by_torch(name):
    dim = torch.export.Dim
    sizes = {0: dim("images"), 2: dim("height", min=8, max=4096), 3: dim("width", min=8, max=4096)}
    module = exporter.to_module(PLANS[name], output="pixel_values")
    program = torch.export.export(module, (batch(2, 41, 53),), dynamic_shapes=(sizes,)).module()
    for size in [(2, 41, 53), (3, 61, 33), (4, 50, 50), (5, 9, 100)]:
        assert_equal(program(batch(*size)), module(batch(*size)), f"{name}, {size}")


HOST_OPS = ("crop_margin", "interpolate", "resize", "resize_keras", "resize_opencv", "resize_smoothed")


def test_ops_that_no_cuda_graph_may_record():
    """Those that send what follows from an image's size, or look at its pixels."""
    found = {name for name in HOST_OPS if importlib.import_module(f"runtime.ops.{name}_torch")}
    for name in found:
        assert torch.Tag.cudagraph_unsafe in getattr(torch.ops.export_preprocessor, name).default.tags, name


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", ["Pillow", "torchvision", "OpenCV", "blurred", "a table"])
def test_the_mode_that_records_cuda_graphs(name):
    """Of more sizes than weights are kept for, each again once all were seen."""
    module = Preprocess(PLANS[name])
    torch._dynamo.reset()
    compiled = torch.compile(Preprocess(PLANS[name]).cuda(), fullgraph=True, dynamic=True, mode="reduce-overhead")
    sizes = [(40 + i, 60 - i // 2) for i in range(50)]
    for size in [*sizes, *sizes, *sizes]:
        images = batch(2, *size)
        got = compiled(images.cuda())["pixel_values"].cpu()
        assert_equal(got, module(images)["pixel_values"], f"{name}, {size}")


def test_modes_of_autograd(either):
    """Inference, then training; recomputed in the backward pass."""
    pre = exporter.to_module(PLANS["Pillow"], output="pixel_values")
    images = batch(2, 43, 51)
    resize_weights_torch._kept_weights.cache_clear()
    with torch.inference_mode():
        want = pre(images).numpy()
    model = nn.Sequential(pre, nn.Flatten(), nn.Linear(3 * 24 * 32, 2))
    for run in (model, lambda images: checkpoint(model, images, use_reentrant=False)):
        model.zero_grad()
        run(images).sum().backward()
        assert_equal(model[2].weight.grad, np.repeat(want.reshape(2, -1).sum(0)[None], 2, 0), "gradient")


@pytest.mark.parametrize(
    "moved", [lambda m: m.to(memory_format=torch.channels_last), lambda m: m.share_memory(), lambda m: m.cpu()]
)
def test_moved_as_a_whole(moved):
    module = nn.Sequential(exporter.to_module(PLANS["a table"], output="pixel_values"))
    want = module(batch(2, 41, 53))
    assert_equal(moved(copy.deepcopy(module))(batch(2, 41, 53)), want, "moved")


def test_a_module_loads_nothing_strictly():
    module = exporter.to_module(PLANS["a table"])
    assert module.state_dict() == {}
    assert not [*module.parameters()]
    module.load_state_dict({}, strict=True)
    with pytest.raises(RuntimeError, match="Unexpected key"):
        module.load_state_dict({"values": torch.zeros(3, 256)}, strict=True)


# Transforms of the module with gradients


def near(plan=PLANS["Pillow"]):
    module = Differentiable(plan)
    return lambda images: module(images)["pixel_values"]


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:FutureWarning")  # torch's own, in jvp
def test_gradients_by_torch_func():
    """Of the whole batch, of each image by ``vmap``, and forwards."""
    images, module = batch(2, 41, 53).float(), near()
    leaf = images.clone().requires_grad_()
    (want,) = torch.autograd.grad(module(leaf).square().sum(), leaf)

    def loss(images):
        return module(images).square().sum()

    def of_one(image):
        return loss(image[None])

    assert torch.equal(torch.func.grad(loss)(images), want)
    assert torch.allclose(torch.func.vmap(torch.func.grad(of_one))(images), want, rtol=1e-5, atol=1e-6)
    direction = torch.randn_like(images)
    value, slope = torch.func.jvp(loss, (images,), (direction,))
    assert torch.equal(value, loss(images))
    assert torch.allclose(slope, (want * direction).sum(), rtol=1e-4)


def test_second_derivatives():
    images = torch.from_numpy(np.random.default_rng(0).uniform(100, 150, (1, 3, 4, 5))).requires_grad_()
    module = near(make_plan(Resize(Size(height=3, width=2), "bicubic", "pillow13"), *VALUES))
    assert torch.autograd.gradgradcheck(lambda images: module(images) ** 2, images)


def test_a_layout_changes_no_gradient():
    images = batch(2, 41, 53).float()
    gradients = []
    for given in (images, images.to(memory_format=torch.channels_last), images.permute(0, 2, 3, 1)):
        leaf = given.clone().requires_grad_()
        near()(leaf).square().sum().backward()
        gradients.append(leaf.grad if leaf.shape[1] == 3 else leaf.grad.permute(0, 3, 1, 2))
    assert torch.equal(gradients[0], gradients[1])
    assert torch.equal(gradients[0], gradients[2])


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")  # of torch's own
def test_it_stays_as_it_is_in_a_compiled_model():
    """The graph breaks around it, and a full graph is refused."""
    model = nn.Sequential(exporter.to_module(PLANS["Pillow"], output="pixel_values", differentiable=True), nn.Flatten())
    images = batch(2, 41, 53).float().requires_grad_()
    torch._dynamo.reset()
    assert torch.equal(torch.compile(model, backend="eager")(images), model(images))
    torch._dynamo.reset()
    with pytest.raises(Unsupported, match=r"compiler\.disable"):
        torch.compile(model, backend="eager", fullgraph=True)(images)
