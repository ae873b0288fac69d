"""Memory, open files and threads stay what they are, whatever happens for however long."""

import sys
from pathlib import Path

import pytest
import torch

import exporter
from runtime.backends.sessions import MOST_SESSIONS
from runtime.ops import CenterCrop, ConvertRGB, Normalize, PadToLargest, Rescale, Resize
from runtime.ops.size import Size
from runtime.turns import cpus

from .helpers import make_plan
from .soak import CANVAS, alone, growth, level, loaded, soaked

STEPS = (
    ConvertRGB(),
    Resize(Size(shortest_edge=64), "bicubic", "pillow13"),
    CenterCrop(60, 60),
    Rescale(1 / 255),
    Normalize((0.48, 0.46, 0.41), (0.27, 0.26, 0.28)),
)
FREE = (
    ConvertRGB(),
    Resize(Size(max_height=80, max_width=200), "bilinear", "pillow13"),
    Rescale(0.5),
    PadToLargest("mask"),
)
BACKENDS = {"numba": "cropped.onnx", "onnx": "cropped.onnx", "torch": "cropped.pt", "torchscript": "cropped.pt"}
MEGABYTES = {"onnx": 48}
"""Of growth that is noise, by backend: what onnxruntime's sessions of single shapes keep. Results that are kept come to
more than 200."""

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent))  # where a spawned process finds tests.soak


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    for name, plan in (("cropped", make_plan(*STEPS)), ("free", make_plan(*FREE))):
        exporter.to_onnx(plan, folder / f"{name}.onnx")
        exporter.to_torchscript(plan, folder / f"{name}.pt")
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    exporter.to_onnx(make_plan(*STEPS), folder / "fused.onnx", model.eval())
    return folder


def test_a_short_soak(folder):
    """So that the long one can be relied on: every kind of call is made, and none is wrong."""
    levels = soaked(folder / "cropped.onnx", "numba", 2, 10)
    assert all(one.files == levels[0].files for one in levels)


@pytest.mark.slow
def test_growth_is_seen():
    levels = [level() for _ in range(4)]
    assert abs(growth(levels)) < 1
    kept = []
    levels += [kept.append(CANVAS.repeat(4, 0)) or level() for _ in range(12)]
    assert growth(levels) > 20


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "backend"),
    [*((name, backend) for backend, name in BACKENDS.items()), ("cropped.pt", "pil"), ("fused.onnx", "onnx"),
     ("free.onnx", "onnx"), ("free.onnx", "numba"), ("free.pt", "torchscript")],
)  # fmt: skip
def test_memory_is_flat(name, backend, folder):
    """Thousands of calls from eight threads, most of sizes that never came before, and a tenth of what is no image."""
    levels = alone(soaked, folder / name, backend, 24, 30)
    assert growth(levels) < MEGABYTES.get(backend, 4), [round(one.memory) for one in levels]
    assert levels[-1].files == levels[4].files
    # Sessions of single shapes may come late, each with a thread for every other CPU.
    assert levels[-1].threads <= levels[4].threads + MOST_SESSIONS * (cpus() - 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backend", "count"), [("pil", 1000), ("numba", 1000), ("torch", 500), ("onnx", 200), ("torchscript", 60)]
)
def test_many_loads_leave_nothing(backend, count, folder):
    levels = alone(loaded, folder / BACKENDS.get(backend, "cropped.onnx"), backend, count)
    assert levels[-1].memory - levels[2].memory < 8, [round(one.memory) for one in levels]
    assert (levels[-1].files, levels[-1].threads) == (levels[2].files, levels[2].threads)
