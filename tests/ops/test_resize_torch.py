"""What only the torch backend does: kept weights, pieces, numba's kernel and torch's own, the table in the same op."""

import concurrent.futures
import contextlib
import importlib.machinery
import os
import subprocess
import sys
import types
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from runtime.backends.torch import Preprocess
from runtime.lowering import Resample
from runtime.ops import CenterCrop, Normalize, Rescale, Resize, resize_torch, resize_weights_torch
from runtime.ops.resize import FILTERS, ORDERS
from runtime.ops.resize_torch import ResampleModule, resize_op
from runtime.ops.size import Size
from runtime.ops.table import Table

from ..helpers import INSTALLED_ORDER, assert_equal, first, make_plan, noise, pil_resize, script

OWN = ["bilinear", "bicubic", "lanczos"]
NORMALIZE = Table((Rescale(1 / 255), Normalize((0.5, 0.4, 0.3), (0.2, 0.3, 0.4))))


def module(filter, height, width, crop=None, order="pillow13", weights="pillow", table=None, **more):
    step = Resize(Size(height=height, width=width), filter, order, weights, **more)
    return ResampleModule(Resample(step, CenterCrop(*crop) if crop else None), table).eval()


def views(height, width, seed=0, batch=1, channels=3):
    """The same pixels ``[N, C, H, W]`` as they may lie in memory."""
    pixels = torch.from_numpy(np.stack([noise(height, width, seed + i, channels) for i in range(batch)]))
    wide = torch.full((batch, height + 3, width + 5, channels), 77, dtype=torch.uint8)
    wide[:, 1:-2, 2:-3] = pixels
    apart = torch.full((batch, height, width, 4), 99, dtype=torch.uint8)
    apart[..., :channels] = pixels
    last = pixels.permute(0, 3, 1, 2)
    return {
        "channels last": last,
        "channels first": last.contiguous(),
        "turned": last.transpose(2, 3).contiguous().transpose(2, 3),
        "cut out": wide[:, 1:-2, 2:-3].permute(0, 3, 1, 2),
        "cut out, channels first": wide.permute(0, 3, 1, 2).contiguous()[:, :, 1:-2, 2:-3],
        "four bytes apart": apart[..., :channels].permute(0, 3, 1, 2),
        "four bytes apart, to the end of the memory": apart.flatten()[:-1].as_strided(
            (batch, channels, height, width), (4 * height * width, 1, 4 * width, 4)
        ),
        "read backwards": last.flip(3).contiguous().flip(3),
    }


@pytest.fixture
def without_numba(monkeypatch):
    """As where it is not installed."""
    monkeypatch.setattr(resize_torch, "compiled_kernels", lambda: None)


@pytest.fixture(params=["numba", "torch"])
def either(request, monkeypatch):
    """Eager code with numba's kernel and without."""
    if request.param == "torch":
        monkeypatch.setattr(resize_torch, "compiled_kernels", lambda: None)
    return request.param


# --- Passes


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("size", [(61, 47), (300, 20), (20, 300), (1, 9), (9, 1)])
def test_pixels_may_lie_anyhow(size, order, either):
    expected = {
        filter: first(Resize(Size(height=23, width=31), filter, order).reference(noise(*size))) for filter in FILTERS
    }
    for filter in FILTERS:
        for name, image in views(*size).items():
            assert_equal(module(filter, 23, 31, order=order)(image), expected[filter], f"{filter}, {name}")


@pytest.mark.one_in(3)
@pytest.mark.parametrize(
    "size",
    [
        (3, 400_000),  # a line is longer than a piece
        (400_000, 3),
        (700, 2111),  # pieces that divide nothing
        (2111, 700),
    ],
)
@pytest.mark.parametrize("order", ["pillow12.1", "pillow13"])
def test_large_images_go_in_pieces(size, order, either):
    image = noise(*size)
    step = Resize(Size(height=21, width=34), "bicubic", order)
    resample = module("bicubic", 21, 34, order=order)
    for run in (resample, script(resample)):
        assert_equal(run(torch.from_numpy(image)[None].permute(0, 3, 1, 2)), first(step.reference(image)), size)


@pytest.mark.parametrize("batch", [2, 7, 150])
def test_small_images_go_many_at_once(batch, either):
    images = np.stack([noise(40, 50, seed) for seed in range(batch)])
    expected = first(*(pil_resize(image, 30, 64, "lanczos") for image in images))
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2)
    for run in (module("lanczos", 30, 64), script(module("lanczos", 30, 64))):
        assert_equal(run(pixels), expected, batch)


@pytest.mark.parametrize("filter", FILTERS)
def test_an_image_of_the_right_size_is_copied(filter, either):
    image = torch.from_numpy(first(noise(20, 30)))
    for run in (module(filter, 20, 30), script(module(filter, 20, 30))):
        result = run(image)
        assert_equal(result, image, filter)
        assert result.data_ptr() != image.data_ptr()
        assert result.is_contiguous()


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
def test_any_number_of_channels(channels, either):
    for weights in ("pillow", "torchvision"):
        resample = module("bicubic", 20, 30, (9, 40), "pillow12.1", weights)
        image = torch.from_numpy(first(noise(51, 60, channels=channels)))
        expected = torch.cat([resample(image[:, c : c + 1].repeat(1, 3, 1, 1))[:, :1] for c in range(channels)], 1)
        assert_equal(resample(image), expected, (channels, weights))


# --- Kept weights


@pytest.fixture
def kept(without_numba):
    resize_weights_torch._kept_weights.cache_clear()
    yield resize_weights_torch._kept_weights.cache_info
    resize_weights_torch._kept_weights.cache_clear()


def test_weights_are_kept(kept):
    image = torch.from_numpy(first(noise(50, 60)))
    resample = module("bilinear", 20, 30)
    for _ in range(3):
        resample(image)
    assert (kept().misses, kept().hits) == (2, 4)
    script(resample)(image)
    assert kept().misses + kept().hits == 6, "TorchScript keeps nothing"


def test_what_is_kept_is_bounded(kept):
    for height in range(40, 40 + 2 * kept().maxsize):
        module("box", 7, 7)(torch.zeros(1, 3, height, 7, dtype=torch.uint8))
    assert kept().currsize == kept().maxsize
    misses = kept().misses
    module("box", 2, 7)(torch.zeros(1, 3, 200_000, 7, dtype=torch.uint8))
    assert kept().misses == misses, "large weights are not kept"


def test_every_argument_tells_weights_apart(kept):
    image = torch.from_numpy(first(noise(60, 64)))
    kinds = [
        module(filter, *after, crop, "pillow12.1", weights, **more)
        for filter in ("bilinear", "bicubic")
        for after in ((20, 30), (21, 30), (20, 31))
        for crop in (None, (9, 9), (8, 8))
        for weights, more in (
            ("pillow", {}),
            ("pillow", {"reducing_gap": 1.0}),
            ("torchvision", {}),
            ("torchvision", {"antialias": False}),
        )
    ]
    expected = [script(kind)(image) for kind in kinds]
    for _ in range(2):
        for kind, result in zip(kinds, expected, strict=True):
            assert_equal(kind(image), result, kind.settings)


def test_threads_share_them(kept):
    sizes = [(20 + i % 40, 30 + i % 7) for i in range(200)]
    images = {size: noise(*size) for size in sizes}
    expected = {size: first(pil_resize(images[size], 9, 13, "lanczos")) for size in sizes}
    resample = module("lanczos", 9, 13)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        results = pool.map(lambda size: resample(torch.from_numpy(first(images[size]))), sizes)
        for size, result in zip(sizes, results, strict=True):
            assert_equal(result, expected[size], size)


# --- torch's settings


@contextlib.contextmanager
def changed(place, name, value):
    before = getattr(place, name)
    setattr(place, name, value)
    try:
        yield
    finally:
        setattr(place, name, before)


SETTINGS = {
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "autocast to float16": lambda: torch.autocast("cpu", dtype=torch.float16),
    "bfloat16 products": lambda: changed(torch.backends.mkldnn.matmul, "fp32_precision", "bf16"),
    "tf32 products": lambda: changed(torch.backends.mkldnn.matmul, "fp32_precision", "tf32"),
    "inference mode": torch.inference_mode,
    "default device": lambda: torch.device("meta"),
}


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("weights", ["pillow", "torchvision"])
def test_torchs_settings_change_nothing(setting, weights, either):
    resample = module("bicubic", 70, 80, (64, 90), "pillow12.1", weights, NORMALIZE)
    scripted = script(resample)
    image = torch.from_numpy(first(noise(300, 200)))
    expected = resample(image)
    resize_weights_torch._kept_weights.cache_clear()
    resize_torch._trusted_kernel.cache_clear()
    if either == "numba":
        resize_torch.compiled_kernels.cache_clear()
    with SETTINGS[setting]():
        inside = [run(image) for run in (resample, scripted)]
    # What the setting found on its first call serves the calls behind it.
    for result in (*inside, resample(image), scripted(image)):
        assert_equal(result.detach().clone(), expected, setting)
    layer = torch.nn.Conv2d(3, 1, 3)
    layer(resample(image)).sum().backward()
    assert layer.weight.grad is not None


# --- torch's own kernel

has_own = pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"), reason="torch's kernel is another here"
)


def assert_own_kernel(generator, count, largest):
    """torch itself, our integers and what eager code does with torch's kernel give the same on ``count`` sizes."""
    for _ in range(count):
        filter = str(generator.choice([*OWN, "bilinear", "bicubic"]))
        kind = generator.integers(4)
        limits = [[1, 6], [1, 60], [1, largest], [largest // 2, largest]][kind]
        height, width, new_height, new_width = (int(n) for n in generator.integers(*limits, 4))
        if generator.integers(4) == 0:
            new_height = height
        elif generator.integers(4) == 0:
            new_width = width
        batch = int(generator.integers(1, 4))
        where = f"{filter}, {batch} of {height}x{width} to {new_height}x{new_width}"
        images = views(height, width, int(generator.integers(1000)), batch)
        reference = F.interpolate(images["channels last"], (new_height, new_width), mode=filter, antialias=True)
        resample = module(filter, new_height, new_width, None, "pillow12.1", "torchvision")
        for name, image in images.items():
            assert_equal(resample(image), reference, f"{where}, {name}")
        rows, columns = [height, new_height, 0, new_height, 1], [width, new_width, 0, new_width, 1]
        support = Resize(Size(height=1, width=1), filter, "pillow13").support
        ours = resize_torch.resize_both(image, rows, columns, filter, support, "torchvision", False)
        assert_equal(ours, reference, f"{where}, our integers")


@has_own
@pytest.mark.usefixtures("without_numba")
def test_torchs_kernel_is_ours():
    assert_own_kernel(np.random.default_rng(0), 60, 200)


@has_own
@pytest.mark.slow
@pytest.mark.usefixtures("without_numba")
@pytest.mark.parametrize("seed", range(40))
def test_torchs_kernel_is_ours_at_thousands_of_sizes(seed):
    assert_own_kernel(np.random.default_rng((1, seed)), 100, 900)


@has_own
@pytest.mark.parametrize("filter", OWN)
def test_one_pixel_where_torch_fails_on_channels_first(filter, either):
    """The kernel writes pixels of four channels into results of three, which are in both formats where 1x1."""
    resample = module(filter, 1, 1, None, "pillow12.1", "torchvision")
    for size in [(1, 1), (2, 1), (1, 2), (5, 1), (1, 5), (9, 7)]:
        for batch in (1, 2):
            image = views(*size, batch=batch)
            expected = script(resample)(image["channels last"])
            for name, pixels in image.items():
                assert_equal(resample(pixels), expected, f"{size}, {name}")
    with pytest.raises(RuntimeError, match="INTERNAL ASSERT FAILED"):
        F.interpolate(image["channels first"], (1, 1), mode=filter, antialias=True)


@pytest.fixture
def calls(without_numba, monkeypatch):
    """Sizes that torch's kernel was asked for."""
    sizes = []
    original = resize_torch.run_kernel

    def run(kernel, image, rows, columns):
        sizes.append((rows[1], columns[1]))
        return original(kernel, image, rows, columns)

    resize_torch._trusted_kernel.cache_clear()
    for filter in OWN:
        resize_torch._trusted_kernel(filter)
    monkeypatch.setattr(resize_torch, "run_kernel", run)
    yield sizes
    resize_torch._trusted_kernel.cache_clear()


@has_own
@pytest.mark.parametrize(
    ("filter", "crop", "order", "weights", "used"),
    [
        ("bilinear", None, "pillow12.1", "torchvision", True),
        ("lanczos", (20, 20), "pillow12.1", "torchvision", True),
        ("bicubic", (60, 10), "pillow12.1", "torchvision", True),  # padded
        ("bicubic", (4, 60), "pillow12.1", "torchvision", False),  # most of the result is left out
        ("bilinear", None, "pillow13", "torchvision", False),  # vertical first
        ("bilinear", None, "pillow12.1", "pillow", False),
    ],
)
def test_where_torchs_kernel_runs(filter, crop, order, weights, used, calls):
    image = torch.from_numpy(first(noise(400, 50)))
    resample = module(filter, 40, 30, crop, order, weights)
    expected = script(resample)(image)
    assert calls == []
    assert_equal(resample(image), expected, "eager")
    assert calls == [(40, 30)] * used


@has_own
def test_a_kernel_that_gives_other_bits_is_not_trusted(calls, monkeypatch):
    resample = module("bilinear", 20, 30, None, "pillow12.1", "torchvision")
    image = torch.from_numpy(first(noise(50, 60)))
    expected = resample(image)
    assert calls == [(20, 30)]
    original = resize_torch.run_kernel
    monkeypatch.setattr(resize_torch, "run_kernel", lambda *arguments: original(*arguments) ^ 1)
    resize_torch._trusted_kernel.cache_clear()
    assert_equal(resample(image), expected, "another kernel")
    assert resize_torch._trusted_kernel("bilinear") is None
    assert resize_torch._trusted_kernel("hermite") is None, "torch has no such kernel"


@pytest.mark.slow
@pytest.mark.parametrize("capability", ["default", "avx2"])
def test_other_processors_give_the_same(capability, tmp_path):
    """The integers of reference torchvision where torch's kernel is the general one, or AVX2's."""
    code = """
import sys, numpy, torch
from runtime.lowering import Resample
from runtime.ops import Resize
from runtime.ops.resize_torch import ResampleModule
from runtime.ops.size import Size
results = []
for filter in ("bilinear", "bicubic", "lanczos"):
    for height, width in ((480, 641), (31, 300), (9, 1)):
        pixels = numpy.random.default_rng(height).integers(0, 256, (2, height, width, 3), numpy.uint8)
        step = Resize(Size(height=101, width=64), filter, "pillow12.1", "torchvision")
        image = torch.from_numpy(pixels).permute(0, 3, 1, 2)
        results.append(ResampleModule(Resample(step, None))(image).numpy())
numpy.save(sys.argv[1], numpy.stack(results))
print(torch.backends.cpu.get_cpu_capability())
"""
    results = []
    for name in (capability, None):
        environment = {**os.environ, "ATEN_CPU_CAPABILITY": name} if name else dict(os.environ)
        path = tmp_path / f"{name}.npy"
        done = subprocess.run(
            [sys.executable, "-c", code, str(path)], env=environment, capture_output=True, text=True, check=True
        )
        results.append((done.stdout.strip(), np.load(path)))
    assert results[0][0] == capability.upper()
    assert_equal(results[0][1], results[1][1], capability)


# --- numba's kernel


@pytest.fixture
def asked(monkeypatch):
    """The images, as (number, height, width), that numba's kernel runs on."""
    pytest.importorskip("numba")
    kernels = resize_torch.compiled_kernels()
    shapes = []
    each = kernels.resize_each

    def resize_each(images, *arguments):
        shapes.append((len(images), *images[0].shape[:2]))
        return each(images, *arguments)

    monkeypatch.setattr(kernels, "resize_each", resize_each)
    return shapes


@pytest.mark.parametrize(
    ("weights", "more", "channels", "used"),
    [
        ("pillow", {}, 3, True),
        ("torchvision", {}, 3, True),
        ("torchvision", {"antialias": False}, 3, True),
        ("pillow", {"reducing_gap": 4.0}, 3, True),  # no block is larger than a pixel
        ("pillow", {"reducing_gap": 1.0}, 3, False),
        ("pillow", {}, 1, False),
        ("pillow", {}, 4, False),
    ],
)
@pytest.mark.parametrize("order", ORDERS)
def test_where_numbas_kernel_runs(weights, more, channels, used, order, asked):
    image = torch.from_numpy(first(noise(90, 60, channels=channels)))
    resample = module("bicubic", 40, 30, (44, 20), order, weights, **more)
    expected = script(resample)(image)
    assert asked == []
    assert_equal(resample(image), expected, "eager")
    torch.compiler.reset()
    assert_equal(torch.compile(resample, fullgraph=True)(image), expected, "compiled")
    assert asked == [(1, 90, 60)] * 2 * used


@pytest.mark.parametrize("weights", ["pillow", "torchvision"])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_numbas_kernel_and_any_table(dtype, weights, asked):
    values = torch.arange(3 * 256, dtype=torch.float64).reshape(256, 3).mul(0.37).remainder(251).to(dtype).t()
    resample = module("lanczos", 50, 61, (48, 70), "pillow12.1", weights, NORMALIZE)
    plain = module("lanczos", 50, 61, (48, 70), "pillow12.1", weights)
    resample.table = values
    for name, image in views(75, 70, batch=2).items():
        expected = torch.stack([values[c][plain(image)[:, c].long()] for c in range(3)], 1)
        asked.clear()
        result = resample(image)
        assert result.is_contiguous()
        assert result.dtype == dtype
        assert torch.equal(result, expected), name
        assert asked == [(2, 75, 70)] * (dtype != torch.float64)


def test_several_images_become_one_batch(either):
    """Of different sizes, and in different layouts."""
    sizes = [(50, 60), (50, 60), (51, 60), (50, 60), (9, 7), (33, 33)]
    arrays = [noise(*size, seed) for seed, size in enumerate(sizes)]
    pixels = first(*(pil_resize(array, 33, 33, "bicubic")[6:27, 1:31] for array in arrays))
    for table, dtype in ((None, torch.uint8), (NORMALIZE, torch.float32)):
        expected = np.stack([NORMALIZE.values()[c][pixels[:, c]] for c in range(3)], 1) if table else pixels
        resample = module("bicubic", 33, 33, (21, 30), INSTALLED_ORDER, table=table)
        for name in views(1, 1):
            images = [views(*size, seed)[name][0].permute(1, 2, 0).numpy() for seed, size in enumerate(sizes)]
            result = resample.each(images)
            assert result.is_contiguous()
            assert result.dtype == dtype
            assert_equal(result, expected, name)
        mixed = [list(views(*size, seed).values())[seed] for seed, size in enumerate(sizes)]
        assert_equal(resample.each([image[0].permute(1, 2, 0).numpy() for image in mixed]), expected, "every layout")


def test_several_images_that_numba_does_not_take(asked):
    arrays = [noise(90, 60, seed) for seed in range(3)]
    resample = module("bicubic", 20, 20, reducing_gap=1.0, table=NORMALIZE)
    expected = torch.cat([script(resample)(torch.from_numpy(first(array))) for array in arrays])
    assert_equal(resample.each(arrays), expected, "reduced")
    assert asked == []


def test_threads_are_torchs_at_most(asked, monkeypatch):
    from runtime.ops import resize_numba

    given = []

    def spread(band, rows, cost, most):
        given.append(most)
        band(0, rows)

    monkeypatch.setattr(resize_numba, "spread", spread)
    resample, image = module("bilinear", 20, 30), torch.from_numpy(first(noise(50, 60)))
    for count in (1, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda count=count: count)
        resample(image)
    assert given == [1, 3]


def test_what_torch_records_is_not_hidden_from_it(asked):
    """Numbers that torch does not see computed would be constants in a trace, and a fake image has none."""
    resample = module("bilinear", 20, 30, table=NORMALIZE)
    images = [torch.from_numpy(first(noise(50, 60, seed))) for seed in range(2)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated; and a trace is of one size
        traced = torch.jit.trace(resample, images[0], check_trace=False)
    assert_equal(traced(images[1]), resample(images[1]), "traced")
    assert asked == [(1, 50, 60)]
    with torch._subclasses.FakeTensorMode() as mode:
        fake = module("bilinear", 20, 30)(mode.from_tensor(images[0]))
    assert fake.shape == (1, 3, 20, 30)


def test_a_subclass_with_memory_is_taken(asked):
    class Photo(torch.Tensor):
        pass

    image = torch.from_numpy(first(noise(50, 60)))
    resample = module("bilinear", 20, 30)
    assert_equal(resample(image.as_subclass(Photo)), resample(image), "a subclass")
    assert asked == [(1, 50, 60)] * 2


@pytest.fixture
def fresh():
    """Nothing is known of numba yet."""
    resize_torch.compiled_kernels.cache_clear()
    yield
    resize_torch.compiled_kernels.cache_clear()


@pytest.mark.parametrize(
    "error", [ImportError("Numba needs NumPy 2.3 or less"), AttributeError("numpy.core"), OSError()]
)
def test_a_numba_that_cannot_be_imported(error, fresh, monkeypatch):
    pytest.importorskip("numba")

    class Loader:
        def create_module(self, spec):
            raise error

    def find_spec(name, *_):
        return importlib.machinery.ModuleSpec(name, Loader()) if name.startswith("numba") else None

    for name in [name for name in sys.modules if name.startswith("numba") or "resize_compiled" in name]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("resize_compiled", "resize_numba", "resize_llvm"):
        monkeypatch.delitem(sys.modules, f"runtime.ops.{name}", raising=False)
        monkeypatch.delattr(f"runtime.ops.{name}", raising=False)
    monkeypatch.setattr(sys, "meta_path", [types.SimpleNamespace(find_spec=find_spec), *sys.meta_path])
    image = noise(50, 60)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = module("bicubic", 20, 30)(torch.from_numpy(first(image)))
    assert resize_torch.compiled_kernels() is None
    assert_equal(result, first(pil_resize(image, 20, 30, "bicubic")), "without numba")


def test_numbas_kernel_is_proven_before_it_is_used(fresh, monkeypatch):
    pytest.importorskip("numba")
    from runtime.ops import resize_compiled, resize_numba

    right = resize_compiled.resize
    monkeypatch.setattr(resize_compiled, "resize", lambda *arguments: right(*arguments) ^ 1)
    assert resize_torch.compiled_kernels() is None
    resize_torch.compiled_kernels.cache_clear()

    def fails(*_):
        raise RuntimeError("no such instruction")

    monkeypatch.setattr(resize_compiled, "resize", fails)
    with pytest.warns(UserWarning, match="numba does not run on cpu, and slower code does: no such instruction"):
        assert resize_torch.compiled_kernels() is None
    resize_torch.compiled_kernels.cache_clear()
    monkeypatch.setattr(resize_compiled, "resize", right)
    monkeypatch.setattr(resize_numba, "kernel", fails)
    with pytest.warns(UserWarning, match="numba does not run on cpu, and slower code does: no such instruction"):
        assert resize_torch.compiled_kernels() is None
    monkeypatch.undo()
    resize_torch.compiled_kernels.cache_clear()
    assert resize_torch.compiled_kernels() is resize_compiled


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_the_kernel_is_loaded_by_the_first_image_and_works_in_a_forked_worker():
    """As a DataLoader's worker: one thread, after the parent has used many."""
    pytest.importorskip("numba")
    code = """
import os, sys, numpy, torch
import runtime, runtime.backends.torch
from runtime.lowering import Resample
from runtime.ops import Resize
from runtime.ops.resize_torch import ResampleModule
from runtime.ops.size import Size
resample = ResampleModule(Resample(Resize(Size(height=64, width=64), "bicubic", "pillow13"), None))
assert not any(name.split(".")[0] in ("numba", "llvmlite") for name in sys.modules)
image = torch.arange(3 * 900 * 800).mul(2654435761).bitwise_right_shift(13).to(torch.uint8).reshape(1, 3, 900, 800)
torch.set_num_threads(4)
from runtime import threads
threads._pool.threads = 4
expected = resample(image)
assert "llvmlite" in sys.modules
assert threads._pool._executor is not None
child = os.fork()
if not child:
    torch.set_num_threads(1)
    equal = torch.equal(resample(image), expected)
    os._exit(0 if equal and threads._pool._executor is None else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert torch.equal(resample(image), expected)
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


# --- The table in the same op


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("weights", ["pillow", "torchvision"])
@pytest.mark.parametrize("batch", [1, 3, 40])
def test_the_table_in_the_same_op(weights, batch, dtype, either):
    values = NORMALIZE.values().astype(dtype)
    resample = module("bicubic", 50, 61, (48, 70), "pillow12.1", weights, NORMALIZE)
    resample.table = torch.from_numpy(values)
    images = views(55, 70, batch=batch)
    pixels = module("bicubic", 50, 61, (48, 70), "pillow12.1", weights)(images["channels first"]).numpy()
    expected = np.stack([values[c][pixels[:, c]] for c in range(3)], 1)
    for name, image in images.items():
        result = resample(image)
        assert result.is_contiguous()
        assert_equal(result, expected, name)
    torch.compiler.reset()
    for run in (script(resample), torch.compile(resample, fullgraph=True)):
        assert_equal(run(image), expected, "scripted or compiled")


@pytest.mark.parametrize("rule", ["height, width", "shortest_edge"])
@pytest.mark.parametrize("crop", [[0, 0], [9, 8]])
def test_the_op_with_a_table_keeps_torchs_rules(rule, crop, either):
    image, table = torch.from_numpy(first(noise(50, 41))), torch.from_numpy(NORMALIZE.values())
    settings = (rule, [20, 30], "bicubic", 2.0, "pillow13", "pillow", crop, "pil", 0.0, False, table)
    torch.library.opcheck(resize_op, (image, *settings))


def test_an_image_of_the_right_size_keeps_torchs_rules():
    for layout in (torch.contiguous_format, torch.channels_last):
        image = torch.from_numpy(first(noise(20, 30))).contiguous(memory_format=layout)
        for weights in ("pillow", "torchvision"):
            settings = ("height, width", [20, 30], "bicubic", 2.0, "pillow12.1", weights, [0, 0], "pil")
            torch.library.opcheck(resize_op, (image, *settings))


def test_a_module_adds_nothing_to_a_checkpoint():
    assert not module("box", 2, 2, table=NORMALIZE).state_dict()


# --- Transparency


@pytest.mark.parametrize("filter", FILTERS)
@pytest.mark.parametrize("after", [(20, 31), (40, 60), (50, 60), (51, 60)])
def test_transparency_counts_as_in_pillow(filter, after):
    step = Resize(Size(height=after[0], width=after[1]), filter, "pillow13")
    image = noise(50, 60, channels=4)
    image[::3, ::2, 3] = 0
    image[1::3, ::5, 3] = 255
    resample = ResampleModule(Resample(step, CenterCrop(44, 44), alpha=step.premultiplies))
    expected = first(CenterCrop(44, 44).reference(step.reference(image)))
    pixels = torch.from_numpy(first(image))
    for run in (resample, script(resample)):
        assert_equal(run(pixels), expected, filter)


# --- What is refused


def test_a_rule_that_leaves_no_pixel_is_refused():
    step = Resize(Size(max_height=1, max_width=5), "box", "pillow13")
    resample = ResampleModule(Resample(step, None))
    for run in (resample, script(resample)):
        with pytest.raises((ValueError, torch.jit.Error), match="the size rule leaves no pixel"):
            run(torch.zeros(1, 3, 50, 4, dtype=torch.uint8))


def test_the_whole_module_takes_what_lies_four_bytes_apart(either):
    plan = make_plan(
        Resize(Size(shortest_edge=32), "bilinear", "pillow12.1", "torchvision"), CenterCrop(30, 31), *NORMALIZE.steps
    )
    whole = Preprocess(plan).eval()
    images = views(60, 50, batch=2)
    expected = whole(images["channels first"])["pixel_values"]
    for name, image in images.items():
        assert_equal(whole(image)["pixel_values"], expected, name)
