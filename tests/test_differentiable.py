"""The module with gradients: as near the exact one as it says, its gradients right, or refused by the step's name."""

import numpy as np
import pytest
import skimage.data
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import exporter
from models.config import to_steps
from models.families import FAMILIES
from runtime import Plan, UnsupportedConfig
from runtime.backends.differentiable import Differentiable
from runtime.backends.torch import Preprocess
from runtime.ops import (
    AlignLongAxis,
    Branch,
    Cast,
    CenterCrop,
    ChannelsLast,
    Clamp,
    CropMargin,
    CropToRatio,
    FlipChannels,
    Grayscale,
    Interpolate,
    Normalize,
    Pad,
    Rescale,
    Resize,
    ResizeKeras,
    ResizeOpenCV,
    ResizeSmoothed,
    ScaleOffset,
)
from runtime.ops.resize import FILTERS, ORDERS
from runtime.ops.size import Size
from runtime.resample import SUPPORT, block_values

from .families import NEEDED, config, threads
from .helpers import make_plan, noise, sides

LEVELS = {"nearest": 0, "box": 1, "bilinear": 1, "hamming": 1, "bicubic": 1.2, "lanczos": 1.3}
"""What the docstring says, in levels."""

PHOTOGRAPHS = {name: getattr(skimage.data, name)() for name in ("astronaut", "chelsea", "coffee", "rocket")}


def first(*images):
    """``[N, C, H, W]``."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)


def off(plan, images):
    """The largest difference from the exact module."""
    exact, near = Preprocess(plan)(images), Differentiable(plan)(images.float())
    assert list(near) == list(exact)
    differences = [0.0]
    for name, value in exact.items():
        assert near[name].shape == value.shape, name
        differences.append((near[name].double() - value.double()).abs().max().item())
    return max(differences)


# --- How near it is


@pytest.mark.parametrize("filter", LEVELS)
@given(st.tuples(sides(120), sides(120)), st.tuples(sides(120), sides(120)), st.sampled_from(ORDERS))
@settings(max_examples=40)
def test_as_near_as_it_says_on_noise(filter, size, target, order):
    plan = make_plan(Resize(Size(height=target[0], width=target[1]), filter, order))
    assert off(plan, first(noise(*size))) <= LEVELS[filter] + 1e-3  # weights of 22 bits


@pytest.mark.parametrize("filter", LEVELS)
@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_as_near_as_it_says_on_photographs(filter, name):
    for reference in ("pillow", "torchvision"):
        size = Size(height=224, width=224)
        if reference == "torchvision" and filter not in ("bilinear", "bicubic"):
            continue
        plan = make_plan(Resize(size, filter, "pillow12.1", reference))
        # torchvision's weights have fewer bits.
        most = LEVELS[filter] + (0.1 if reference == "torchvision" else 1e-3)
        assert off(plan, first(PHOTOGRAPHS[name][..., :3])) <= most


@pytest.mark.parametrize("filter", LEVELS)
def test_where_the_levels_come_from(filter):
    """Half a level of the last rounding, and half of each sample's before it, by the weights."""
    if filter == "nearest":
        return
    largest = 0.0
    for n_in, n_out in [(640, 224), (224, 640), (97, 96), (500, 33), (33, 500), (2, 301), (1000, 999)]:
        _, values = block_values(n_in, n_out, 0, n_out, filter, SUPPORT[filter], n_out, 1)
        largest = max(largest, np.abs(values).sum(-1).max())
    assert 0.5 + 0.5 * largest <= LEVELS[filter]


NORMALIZE = Normalize((0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
STEPS = {
    "crop": ((Resize(Size(shortest_edge=24), "bicubic", "pillow13"), CenterCrop(20, 30), Rescale(1 / 255)), 1.2 / 255),
    "larger crop": ((CenterCrop(60, 70), CropToRatio(2, 3), Rescale(1 / 255, 1.0)), 1e-6),
    "pad": ((Pad(Size(height=60, width=70), (7.0,), mask="mask"), ScaleOffset((0.1, 0.2, 0.3), (1, 2, 3))), 1e-5),
    "mirror": ((Pad(Size(height=60, width=70), mode="symmetric"), FlipChannels(), AlignLongAxis(True)), 0),
    "values": ((Rescale(1 / 255), NORMALIZE, Clamp(-1, 1), ChannelsLast()), 1e-6),
    "gray": ((Rescale(1 / 255), Grayscale(True)), 1e-6),
    "float16": ((Rescale(1 / 255), Cast("float16")), 0),
    "float32": ((Rescale(1 / 255), Cast("float32")), 1e-6),
    "thumbnail": ((Resize(Size(height=9, width=8), "bicubic", "pillow13", reducing_gap=2.0),), 1.8),
    "opencv": ((ResizeOpenCV(Size(height=20, width=60)),), 0.6),
    "keras": ((ResizeKeras(Size(height=20, width=60), "bilinear"),), 0.5),
    "keras, nearest": ((ResizeKeras(Size(height=20, width=60), "nearest"),), 0),
    "interpolated": ((Rescale(1 / 255), Interpolate(Size(height=20, width=60), "bicubic", True)), 0),
    "smoothed": ((Rescale(1 / 255), ResizeSmoothed(Size(height=20, width=16), "scipy")), 1e-6),
    "branch": ((Branch("low", (Resize(Size(height=9, width=8), "box", "pillow13"),)), CenterCrop(20, 30)), 1),
}


@pytest.mark.parametrize("name", STEPS)
def test_every_step(name):
    steps, most = STEPS[name]
    plan = make_plan(*steps)
    assert off(plan, first(noise(45, 52), noise(45, 52, 1))) <= most
    images = first(noise(45, 52)).double().requires_grad_()
    values = Differentiable(plan)(images)[plan.output]
    assert values.dtype == (torch.float16 if name == "float16" else torch.float64)
    values.sum().backward()
    assert images.grad.abs().sum() > 0


@pytest.mark.parametrize("name", [n for n in STEPS if n not in ("float16", "interpolated")])
def test_gradients(name):
    """Against finite differences; pixels away from what is clipped."""
    generator = np.random.default_rng(0)
    images = torch.from_numpy(generator.uniform(100, 150, (1, 3, 6, 7))).requires_grad_()
    small = Differentiable(make_plan(*shrunk(STEPS[name][0])))
    assert torch.autograd.gradcheck(lambda x: tuple(v for v in small(x).values() if v.requires_grad), images)


def shrunk(steps):
    """The same steps for an image of 6 x 7, with numbers small enough for finite differences."""
    if any(isinstance(step, Resize) and step.reducing_gap for step in steps):  # blocks of 2 x 3
        return (Resize(Size(height=3, width=2), "bicubic", "pillow13", reducing_gap=1.0),)
    sizes = {
        Resize: lambda s: Resize(Size(height=4, width=5), s.filter, s.order),
        ResizeOpenCV: lambda s: ResizeOpenCV(Size(height=4, width=9)),
        ResizeKeras: lambda s: ResizeKeras(Size(height=4, width=9), s.filter),
        ResizeSmoothed: lambda s: ResizeSmoothed(Size(height=4, width=4), s.library),
        CenterCrop: lambda s: CenterCrop(3, 9),
        Pad: lambda s: Pad(Size(height=9, width=9), s.value, mode=s.mode, mask=s.mask),
        Branch: lambda s: Branch(s.name, shrunk(s.steps)),
    }
    return tuple(sizes.get(type(step), lambda s: s)(step) for step in steps)


def test_what_is_clipped_has_no_gradient():
    """Beside an edge lanczos would pass 255."""
    plan = make_plan(Resize(Size(height=8, width=8), "lanczos", "pillow13"))
    images = torch.zeros(1, 3, 8, 4).index_fill_(3, torch.tensor([2, 3]), 255.0).requires_grad_()
    values = Differentiable(plan)(images)["pixel_values"]
    clipped = values > 254.999
    assert 0 < clipped.sum() < values.numel() / 2
    (gradient,) = torch.autograd.grad(values[clipped].sum(), images, retain_graph=True)
    assert not gradient.any()
    (gradient,) = torch.autograd.grad(values.sum(), images)
    assert gradient.any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_layouts_and_dtypes(dtype):
    plan = make_plan(*STEPS["crop"][0], NORMALIZE)
    images = first(noise(45, 52)).to(dtype)
    module = Differentiable(plan)
    want = module(images)["pixel_values"]
    assert want.dtype == dtype
    assert torch.equal(module(images.permute(0, 2, 3, 1))["pixel_values"], want)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(module(images)["pixel_values"], want)
    compiled = torch.compile(module, backend="eager")(images)["pixel_values"]  # runs as it is
    assert torch.equal(compiled, want)
    assert torch.equal(nn.Sequential(module).half()[0](images)["pixel_values"], want.half())


# --- What it is for


def test_an_inversion_finds_the_image():
    """Gradients descend to pixels that the exact module makes the same values of."""
    plan = exporter.trace("vit-base-patch16-224", size={"height": 12, "width": 12})
    module = exporter.to_module(plan, output="pixel_values", differentiable=True)
    want = exporter.to_module(plan, output="pixel_values")(first(noise(24, 20)))
    images = torch.full((1, 3, 24, 20), 127.0, requires_grad=True)
    optimizer = torch.optim.Adam([images], 4.0)
    for _ in range(150):
        loss = (module(images) - want).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    pixels = images.detach().round().clamp(0, 255).to(torch.uint8)
    found = exporter.to_module(plan, output="pixel_values")(pixels)
    assert (found - want).abs().max() <= 3 * 2 / 255  # three levels


# --- Families, and what is refused

NONE = {"ImageGPT": "the nearest of 40 colours", "Nougat": "the margin", "PPFormulaNet": "the margin"}


def plan_of(name):
    family = FAMILIES[name]
    reference, channels = "pillow13" if family.has_pil else "torchvision", family.channels or 3
    return Plan(to_steps(family, config(name), {}, reference, False, channels), reference, name, channels=channels)


@pytest.mark.parametrize(
    "name", [n if n in ("ViT", "Detr", "VitMatte") else pytest.param(n, marks=pytest.mark.slow) for n in FAMILIES]
)
def test_families(name):
    """Every one has its gradients, or says which step has none; no value is further off than a resize makes it."""
    assert set(NEEDED) & set(NONE) == {"ImageGPT"}
    plan = plan_of(name)
    if name in NONE:
        with pytest.raises(UnsupportedConfig, match=f"differentiable: '.*{NONE[name]}.*' has no gradient"):
            Differentiable(plan)
        return
    with threads(2 if plan.bound else 1):
        images = first(noise(97, 131, channels=plan.channels))
        values = Preprocess(plan)(images)[plan.output]
        steps = [step for step in plan.steps if isinstance(step, (Rescale, ScaleOffset, Normalize))]
        level = np.abs(np.diff(scaled(steps, plan.channels), axis=0)).max()
        assert off(plan, images) <= 1.3 * roundings(plan.steps) * level + 1e-6
    floats = images.float().requires_grad_()
    Differentiable(plan)(floats)[plan.output].sum().backward()
    assert floats.grad.isfinite().all() and floats.grad.abs().sum() > 0
    assert values.shape[0] == 1


def roundings(steps):
    """Resizes, and averages before them: each rounds what the one before it gave."""
    inner = max((roundings(step.steps) for step in steps if isinstance(step, Branch)), default=0)
    return max(1, inner + sum(1 + bool(step.reducing_gap) for step in steps if isinstance(step, Resize)))


def scaled(steps, channels):
    """Two neighbouring levels after ``steps``: float64 ``[2, channels]``."""
    values = np.repeat(np.array([[100.0], [101.0]]), channels, 1)
    for step in steps:
        values = step.reference(values).astype(np.float64)
    return values


def test_all_that_is_refused_is_named():
    steps = (Branch("cut", (CropMargin(True),)), Resize(Size(height=8, width=8), "bicubic", "pillow13"))
    with pytest.raises(UnsupportedConfig) as caught:
        exporter.to_module(make_plan(CropMargin(False), *steps), differentiable=True)
    assert len(caught.value.problems) == 2
    with pytest.raises(UnsupportedConfig, match=r"differentiable: 'resize .*' of transparent images"):
        exporter.to_module(make_plan(steps[1], channels=4), differentiable=True)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), "expected images of float32 or float64"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.float16), "expected images of float32 or float64"),
        (torch.zeros(3, 8, 8), "expected images of float32 or float64"),
        (torch.zeros(1, 4, 8, 8), "expected 3 channels, first or last"),
    ],
)
def test_other_tensors_are_refused(images, message):
    with pytest.raises(ValueError, match=message):
        Differentiable(make_plan())(images)


def test_it_says_that_it_is_not_exact():
    assert "not exact" in Differentiable.__doc__.replace("*", "")
    assert "not exact" in repr(Differentiable(make_plan()))
    assert "not exact" in exporter.to_module.__doc__
    assert set(LEVELS) <= set(FILTERS)
