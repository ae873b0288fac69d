"""Training code as it is: one compiled model from pixels to a loss, loaders with the module in them, many processes."""

import functools
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch._dynamo.utils import counters
from torch.utils.data import DataLoader

import exporter

from .helpers import assert_equal, noise

SIZE = (24, 32)
HERE = str(Path(__file__).parent.parent)
"""Where a spawned process finds this file."""


def preprocessing():
    plan = exporter.trace("vit-base-patch16-224", size={"height": SIZE[0], "width": SIZE[1]})
    return exporter.to_module(plan, output="pixel_values")


def whole_model():
    """From pixels to five numbers an image; the same in every process."""
    generator = torch.Generator().manual_seed(0)
    linear = nn.Linear(3 * SIZE[0] * SIZE[1], 5)
    with torch.no_grad():
        linear.weight.normal_(generator=generator)
        linear.bias.zero_()
    return nn.Sequential(preprocessing(), nn.Flatten(), linear)


def images(count, height, width, seed=0):
    """uint8 ``[N, C, H, W]``."""
    pixels = np.stack([noise(height, width, seed + i) for i in range(count)])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()


# One compiled model


@pytest.mark.filterwarnings("ignore:dynamo_pgo force disabled:UserWarning")
@pytest.mark.parametrize(
    "options",
    [
        {"dynamic": True, "backend": "aot_eager"},
        pytest.param({"dynamic": True}, marks=pytest.mark.slow),
        pytest.param({"dynamic": True, "mode": "reduce-overhead"}, marks=pytest.mark.slow),
        pytest.param({"mode": "max-autotune"}, marks=pytest.mark.slow),
        pytest.param({}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_one_graph_from_pixels_to_gradients(options):
    """Values and gradients are the eager model's; nothing is taken from the default compiler's caches."""
    torch._dynamo.reset()
    counters.clear()
    model, eager = whole_model(), whole_model()
    with torch._inductor.config.patch(force_disable_caches=True):
        compiled = torch.compile(model, fullgraph=True, **options)
        for size in [(40, 53), (61, 33), (50, 50), (97, 131)]:
            for one in (compiled, eager):
                one.zero_grad()
                one(images(2, *size)).sum().backward()
            assert_equal(model[2].weight.grad, eager[2].weight.grad, f"{options}, {size}")
    assert not counters["graph_break"]
    if options.get("dynamic"):
        assert counters["stats"]["unique_graphs"] == 1


@pytest.mark.parametrize("mode", ["autocast", "medium precision", "no_grad", "inference_mode", "deterministic"])
def test_settings_of_torch_change_no_bit_of_compiled_code(mode):
    contexts = {
        "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
        "medium precision": lambda: setting(torch.set_float32_matmul_precision, "medium", "highest"),
        "no_grad": torch.no_grad,
        "inference_mode": torch.inference_mode,
        "deterministic": lambda: setting(torch.use_deterministic_algorithms, True, False),
    }
    pre, pixels = preprocessing(), images(2, 40, 53)
    want = pre(pixels)
    torch._dynamo.reset()
    compiled = torch.compile(pre, fullgraph=True, dynamic=True, backend="inductor")
    with contexts[mode]():
        assert_equal(compiled(pixels), want, mode)
    assert_equal(compiled(pixels), want, f"after {mode}")


class setting:  # noqa: N801  used as a function
    """One of torch's settings, and what it is afterwards."""

    def __init__(self, setter, value, before):
        self.setter, self.value, self.before = setter, value, before

    def __enter__(self):
        self.setter(self.value)

    def __exit__(self, *_):
        self.setter(self.before)


# Loaders


def collated(module, photos):
    """What a ``collate_fn`` makes of decoded photographs of mixed sizes."""
    return torch.cat([module(photo[None]) for photo in photos])


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # Python 3.12 warns where threads run
@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_the_module_in_the_workers_of_a_loader(method, monkeypatch):
    """It was called before, so that its threads and compiled code are there when the workers are forked."""
    monkeypatch.syspath_prepend(HERE)
    pre = preprocessing()
    photos = [torch.from_numpy(noise(40 + 9 * i, 50)) for i in range(6)]
    want = collated(pre, photos)
    loader = DataLoader(
        photos, 2, collate_fn=functools.partial(collated, pre), num_workers=2, multiprocessing_context=method
    )
    for _ in range(2):
        assert_equal(torch.cat([*loader]), want, method)


# Processes


def gradients(rank, kind, folder):
    """Writes what a process of two has after one step on its own images."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    try:
        model = whole_model()
        if kind == "fully sharded":
            from torch.distributed.device_mesh import init_device_mesh
            from torch.distributed.fsdp import fully_shard

            parallel = fully_shard(model, mesh=init_device_mesh("cpu", (2,)))
        else:
            parallel = nn.parallel.DistributedDataParallel(model)
            if kind == "compiled":
                parallel = torch.compile(parallel, backend="eager", dynamic=True)
        parallel(images(2, 40 + rank, 50, rank)).sum().backward()
        grads = [p.grad.full_tensor() if hasattr(p.grad, "full_tensor") else p.grad for p in model.parameters()]
        torch.save(grads, f"{folder}/{rank}.pt")
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="torch was built without gloo")
@pytest.mark.parametrize("kind", ["replicated", "compiled", "fully sharded"])
def test_two_processes(kind, tmp_path, monkeypatch):
    """Each has images of a size of its own; both get the mean of the gradients."""
    monkeypatch.syspath_prepend(HERE)
    torch.multiprocessing.spawn(gradients, (kind, str(tmp_path)), nprocs=2)
    model = whole_model()
    (sum(model(images(2, 40 + rank, 50, rank)).sum() for rank in range(2)) / 2).backward()
    for rank in range(2):
        grads = torch.load(tmp_path / f"{rank}.pt")
        for grad, parameter in zip(grads, model.parameters(), strict=True):
            assert_equal(grad, parameter.grad, kind)
