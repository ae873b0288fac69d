"""The Triton kernels: their bits in Triton's interpreter, and that they compile for GPUs that are not here."""

import importlib.util
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.backends.torch import Preprocess
from runtime.lowering import Resample
from runtime.ops import CenterCrop, Normalize, Pad, Rescale, Resize, resize_torch
from runtime.ops.resize import FILTERS, ORDERS
from runtime.ops.resize_torch import ResampleModule, resize_both
from runtime.ops.size import Size
from runtime.ops.table import Table
from runtime.ops.table_torch import lookup
from runtime.resample import SUPPORT, block_weights

from ..helpers import assert_equal, backends, first, make_plan, noise, sides

triton = pytest.importorskip("triton")

from runtime.ops import resize_triton  # noqa: E402

NORMALIZE = (Rescale(1 / 255), Normalize((0.5, 0.4, 0.3), (0.2, 0.3, 0.4)))
TABLE = torch.from_numpy(Table(NORMALIZE).values())
TABLES = {
    "none": None,
    "float32": TABLE,
    "float16": TABLE.to(torch.float16),
    "bfloat16": TABLE.to(torch.bfloat16),
    "float64": TABLE.to(torch.float64),
    "uint8": torch.arange(768, dtype=torch.int64).mul(7).to(torch.uint8).reshape(3, 256),
}


@pytest.fixture(scope="module")
def kernels():
    """The module as it is where ``TRITON_INTERPRET`` is set: its kernels run on the CPU, in NumPy."""
    name = f"{resize_triton.__name__}_interpreted"
    spec = importlib.util.spec_from_file_location(name, resize_triton.__file__)
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_INTERPRET", "1")
        patch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
    assert type(module.resample_kernel).__name__ == "InterpretedFunction"
    return module


def axis(n_in, n_out, crop=None, factor=1):
    offset, count = ((n_out - crop) // 2, crop) if crop else (0, n_out)
    return [n_in, n_out, offset, count, factor]


def layouts(height, width, batch, channels=3):
    """The same pixels as they may lie in memory, first and last bytes on any address."""
    pixels = torch.from_numpy(np.stack([noise(height, width, seed, channels) for seed in range(batch)]))
    wide = torch.zeros(batch, height + 3, width + 2, channels, dtype=torch.uint8)
    wide[:, 2:-1, 1:-1] = pixels
    last = pixels.permute(0, 3, 1, 2)
    return {
        "channels last": last,
        "channels first": last.contiguous(),
        "turned": last.transpose(2, 3).contiguous().transpose(2, 3),
        "cut out": wide[:, 2:-1, 1:-1].permute(0, 3, 1, 2),
        "cut out, channels first": wide.permute(0, 3, 1, 2).contiguous()[:, :, 2:-1, 1:-1],
        "every second": last.repeat_interleave(2, 3).contiguous()[:, :, :, ::2],
    }


def assert_resizes(kernels, image, rows, columns, filter, vertical_first, table="none", kind="pillow", what=""):
    """The kernels give what the float64 products give."""
    arguments = (rows, columns, filter, SUPPORT[filter], kind, vertical_first)
    expected = resize_both(image, *arguments).contiguous()
    if TABLES[table] is not None:
        expected = lookup(expected, TABLES[table])
    result = kernels.resize(image, *arguments, TABLES[table])
    assert result.dtype == expected.dtype and result.shape == expected.shape and result.is_contiguous()
    assert torch.equal(result, expected), f"{tuple(image.shape)} {arguments} {table} {what}"


# --- Bits


@settings(max_examples=20)
@given(
    sizes=st.tuples(sides(70), sides(70), sides(40), sides(40)),
    crop=st.one_of(st.none(), st.tuples(sides(50), sides(50))),
    filter=st.sampled_from([*FILTERS, "bilinear_point", "bicubic_point"]),
    vertical_first=st.booleans(),
    layout=st.integers(0, 5),
    batch=st.integers(1, 3),
    table=st.sampled_from(sorted(TABLES)),
)
def test_any_resize(kernels, sizes, crop, filter, vertical_first, layout, batch, table):
    height, width, new_height, new_width = sizes
    rows, columns = axis(height, new_height, crop and crop[0]), axis(width, new_width, crop and crop[1])
    if sizes[:2] == sizes[2:] and crop in (None, sizes[:2]):
        return
    name, image = list(layouts(height, width, batch).items())[layout]
    kind = "torchvision" if "_" in filter else "pillow"
    assert_resizes(kernels, image, rows, columns, filter, vertical_first, table, kind, name)


@pytest.mark.parametrize("vertical_first", [True, False])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((70, 66), (17, 18)),  # strips and blocks that are not full
        ((64, 64), (16, 16)),  # and full ones
        ((3, 300), (2, 3)),  # windows of many products
        ((300, 3), (3, 2)),
        ((1, 1), (20, 70)),
        ((70, 40), (1, 1)),
        ((33, 20), (33, 9)),  # one pass
        ((33, 20), (9, 20)),
    ],
)
def test_hard_sizes(kernels, before, after, vertical_first):
    for name, image in layouts(*before, 1).items():
        if name in ("channels last", "cut out, channels first"):
            rows, columns = axis(before[0], after[0]), axis(before[1], after[1])
            assert_resizes(kernels, image, rows, columns, "lanczos", vertical_first, "float16", what=name)


@pytest.mark.parametrize("vertical_first", [True, False])
def test_pixels_may_lie_anyhow(kernels, vertical_first):
    for name, image in layouts(13, 21, 2).items():
        assert_resizes(kernels, image, axis(13, 7), axis(21, 9), "bicubic", vertical_first, "bfloat16", what=name)


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_other_numbers_of_channels(kernels, channels):
    for name, image in layouts(20, 31, 1, channels).items():
        assert_resizes(kernels, image, axis(20, 10), axis(31, 16), "bicubic", False, what=name)


@pytest.mark.parametrize("value", [0, 1, 254, 255])
def test_flat_images_stay_flat(kernels, value):
    image = torch.full((1, 1, 21, 10), value, dtype=torch.uint8)
    for filter in FILTERS:
        result = kernels.resize(image, axis(21, 9), axis(10, 16), filter, SUPPORT[filter], "pillow", False, None)
        assert (result == value).all(), filter


def test_nothing_to_do(kernels):
    image = torch.zeros(1, 3, 5, 6, dtype=torch.uint8)
    assert kernels.resize(image, axis(5, 5), axis(6, 6), "box", 0.5, "pillow", False, TABLE) is None


@pytest.mark.parametrize("filter", SUPPORT)
def test_digits_are_the_weights(kernels, filter):
    generator = np.random.default_rng(0)
    for _ in range(60):
        n_in, n_out = (int(n) for n in generator.integers(1, generator.choice([4, 40, 900]), 2))
        if n_in == n_out:
            continue
        kind = "torchvision" if "_" in filter else "pillow"
        _, _, starts, digits, bias = kernels.axis_digits(axis(n_in, n_out), filter, SUPPORT[filter], kind, "cpu")
        start, weights = block_weights(n_in, n_out, 0, n_out, filter, SUPPORT[filter], kind)
        low, middle, high = digits.long().numpy()
        total = low + 256 * middle + 65536 * high
        assert_equal(total[..., : weights.shape[2]], weights.astype(np.int64), (n_in, n_out))
        assert not total[..., weights.shape[2] :].any()
        assert_equal(starts, start.astype(np.int32), (n_in, n_out))
        assert_equal(bias.long(), 2**21 + 128 * total.sum(-1), (n_in, n_out))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
def test_sweep(kernels, seed):
    generator = np.random.default_rng((3, seed))
    for _ in range(10):
        height, width, new_height, new_width = (int(n) for n in generator.integers(1, 120, 4))
        crop = [int(n) for n in generator.integers(1, 90, 2)] if generator.integers(2) else [None, None]
        filter, table = str(generator.choice(list(FILTERS))), str(generator.choice(list(TABLES)))
        name, image = list(layouts(height, width, 2).items())[generator.integers(6)]
        rows, columns = axis(height, new_height, crop[0]), axis(width, new_width, crop[1])
        assert_resizes(kernels, image, rows, columns, filter, bool(generator.integers(2)), table, what=name)


# --- In the module


@pytest.fixture
def on_a_gpu(kernels, monkeypatch):
    """Eager and compiled code takes the kernels; returns the shapes they are called for."""
    shapes = []
    original = kernels.resize

    def resize(image, *arguments):
        shapes.append(tuple(image.shape))
        return original(image, *arguments)

    monkeypatch.setattr(kernels, "resize", resize)
    monkeypatch.setattr(resize_torch, "gpu_kernels", lambda device: kernels)
    return shapes


PIPELINES = {
    "ViT": (Resize(Size(height=24, width=24), "bilinear", "pillow13"), *NORMALIZE),
    "CLIP": (Resize(Size(shortest_edge=24), "bicubic", "pillow12.1"), CenterCrop(24, 24), *NORMALIZE),
    "torchvision": (
        Resize(Size(shortest_edge=24), "lanczos", "pillow12.1", "torchvision"),
        CenterCrop(22, 40, "torchvision"),
        *NORMALIZE,
    ),
    "padded": (
        Resize(Size(max_height=30, max_width=40), "hamming", "pillow12.2"),
        Pad(Size(height=30, width=40), (3,)),
        *NORMALIZE,
    ),
    "reduced": (Resize(Size(shortest_edge=10), "bicubic", "pillow13", reducing_gap=1.0), *NORMALIZE),
}


@pytest.mark.parametrize(("name", "compiled"), [*((name, False) for name in PIPELINES), ("CLIP", True)])
def test_pipelines(name, compiled, on_a_gpu):
    plan = make_plan(*PIPELINES[name])
    module = Preprocess(plan).eval()
    if compiled:
        torch.compiler.reset()
        module = torch.compile(module, fullgraph=True)
    for size, batch in (((40, 51), 2), ((24, 24), 1), ((100, 7), 1)):
        images = np.stack([noise(*size, seed) for seed in range(batch)])
        expected = backends(plan)["pil"](images)["pixel_values"]
        assert_equal(module(torch.from_numpy(first(*images)))["pixel_values"], expected, f"{name} at {size}")
    assert len(on_a_gpu) == 3


@pytest.mark.parametrize("order", ORDERS)
def test_the_table_in_the_last_pass(order, on_a_gpu):
    kernel = Resample(Resize(Size(height=30, width=40), "bicubic", order), CenterCrop(36, 25))
    image = torch.from_numpy(first(noise(81, 33), noise(81, 33, 1)))
    expected = lookup(ResampleModule(kernel)(image), TABLE)
    assert_equal(ResampleModule(kernel, Table(NORMALIZE))(image), expected, order)
    assert len(on_a_gpu) == 2


def test_transparency(on_a_gpu):
    step = Resize(Size(height=20, width=30), "bicubic", "pillow13")
    image = noise(50, 60, channels=4)
    resample = ResampleModule(Resample(step, None, alpha=True))
    assert_equal(resample(torch.from_numpy(first(image))), first(step.reference(image)), "RGBA")
    assert len(on_a_gpu) == 1


def test_which_devices_take_them(monkeypatch):
    assert resize_torch.gpu_kernels(torch.device("cpu")) is None
    monkeypatch.setattr(resize_torch, "proven", lambda kernels, device: True)
    for capability, expected in (((7, 5), None), ((8, 0), resize_triton), ((9, 0), resize_triton)):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device, found=capability: found)
        resize_torch.gpu_kernels.cache_clear()
        assert resize_torch.gpu_kernels(torch.device("cuda", 0)) is expected
    resize_torch.gpu_kernels.cache_clear()
    monkeypatch.setitem(sys.modules, "runtime.ops.resize_triton", None)
    monkeypatch.delattr("runtime.ops.resize_triton")
    assert resize_torch.gpu_kernels(torch.device("cuda", 0)) is None, "no Triton"
    resize_torch.gpu_kernels.cache_clear()


def test_a_kernel_is_proven_before_it_is_used(kernels, monkeypatch):
    device = torch.device("cpu")
    assert resize_torch.proven(kernels, device)
    right = kernels.resize
    monkeypatch.setattr(kernels, "resize", lambda *arguments: right(*arguments) + 1)
    assert not resize_torch.proven(kernels, device)

    def fails(*arguments):
        raise RuntimeError("no such instruction")

    monkeypatch.setattr(kernels, "resize", fails)
    with pytest.warns(UserWarning, match="Triton does not run on cpu, and slower code does: no such instruction"):
        assert not resize_torch.proven(kernels, device)


# --- Compiled


def compile_for(capability, dtype="fp32", ones=(), wide=(), **choices):
    """The kernel for a GPU of ``capability``; Triton compiles arguments that are 1, ``ones``, as constants."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    kernel = resize_triton.resample_kernel
    tiles = {"LINES": resize_triton.LINES, "OUTPUTS": resize_triton.OUTPUTS, "TAPS": resize_triton.TAPS}
    constants = {**tiles, **choices, **dict.fromkeys(ones, 1)}
    pointers = {"image": "*u8", "starts": "*i32", "bias": "*i32", "digits": "*i8", "result": f"*{dtype}"}
    types = {**pointers, "table": f"*{dtype}", **dict.fromkeys(constants, "constexpr"), **dict.fromkeys(wide, "i64")}
    source = ASTSource(
        fn=kernel,
        signature={name: types.get(name, "i32") for name in kernel.arg_names},
        constexprs={(kernel.arg_names.index(name),): value for name, value in constants.items()},
    )
    options = {"num_warps": resize_triton.WARPS, "num_stages": 1, "enable_fp_fusion": False}
    return triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options).asm["ptx"]


NUMBERS = ["skipped", "channels", "lines", "samples", "count", "blocks"]
STRIDES = ["image_n", "image_c", "image_slow", "result_n", "result_c", "result_l", "result_k"]


@pytest.mark.parametrize(
    ("capability", "product"),
    [
        (80, "mma.sync.aligned.m16n8k32.row.col.satfinite.s32.s8.s8.s32"),
        (90, "wgmma.mma_async.sync.aligned.m64n8k32.s32.s8.s8"),
    ],
)
def test_products_are_of_integers(capability, product):
    ptx = compile_for(capability, TABLE=True, INTERLEAVED=True, LINES_FAST=False)
    assert product in ptx
    assert not any(word in ptx for word in ("mul.f32", "fma.rn", "add.f32", "cvt.rn"))


@pytest.mark.slow
@pytest.mark.parametrize("lines_fast", [True, False])
@pytest.mark.parametrize("interleaved", [True, False])
@pytest.mark.parametrize("capability", [80, 86, 89, 90, 100, 120])
def test_every_form_compiles(capability, interleaved, lines_fast):
    choices = {"INTERLEAVED": interleaved, "LINES_FAST": lines_fast}
    for dtype in ("u8", "fp32", "fp16", "bf16"):
        compile_for(capability, dtype, TABLE=True, **choices)
    compile_for(capability, "u8", TABLE=False, **choices)
    for ones in ([name] for name in (*NUMBERS, *STRIDES)):
        compile_for(capability, ones=ones, TABLE=True, **choices)
    compile_for(capability, ones=[*NUMBERS, *STRIDES], TABLE=True, **choices)
    compile_for(capability, wide=STRIDES, TABLE=True, **choices)


# --- On a GPU


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("filter", FILTERS)
def test_on_a_gpu(filter):
    for before, after in (((480, 640), (224, 224)), ((61, 1001), (17, 33)), ((1, 5), (70, 40)), ((900, 31), (30, 31))):
        for name, image in layouts(*before, 2).items():
            for vertical_first in (True, False):
                for table in (None, TABLE):
                    arguments = (axis(before[0], after[0]), axis(before[1], after[1], 20), filter, SUPPORT[filter])
                    expected = resize_both(image, *arguments, "pillow", vertical_first)
                    expected = expected.contiguous() if table is None else lookup(expected, table)
                    moved = None if table is None else table.cuda()
                    result = resize_triton.resize(image.cuda(), *arguments, "pillow", vertical_first, moved)
                    assert torch.equal(result.cpu(), expected), (filter, before, after, name, vertical_first)
