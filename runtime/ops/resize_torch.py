"""Resize, and the crop behind it, in torch: eager, scripted, and as one custom op under ``torch.compile``.

Float64 matrix products run everywhere and are all that TorchScript holds. Eager code keeps its weights, and runs
Triton kernels on a GPU (:mod:`.resize_triton`), numba's on a CPU where it is installed (:mod:`.resize_compiled`), and
otherwise, for reference torchvision, torch's own uint8 kernel on the CPUs where that kernel is the reference.
"""

import functools
import warnings
from collections.abc import Iterator
from typing import Any, List, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import arrays
from .. import geometry as _geometry
from .. import resample as _resample
from ..arrays import torch as torch_arrays
from ..lowering import Resample
from ..shared_tensor import shared_tensor
from .interpolate_torch import check_result, host_op
from .resize_aten import run_kernel
from .resize_weights_torch import axis_weights, computes
from .table import Table
from .table_torch import lookup

geometry = arrays.reload(_geometry, "torch")
resample = arrays.reload(_resample, "torch", xp=torch_arrays)

# --- Passes as matrix products


def resize_lines(image: Tensor, starts: List[int], weights: Tensor, count: int) -> Tensor:
    """uint8 ``[N, C, lines, samples]`` to ``[N, C, count, lines]``: turned, so that the next pass is the same again.

    Sums are float64: integers of 31 bits over a power of two are exact there in any order, and neither a matmul
    precision flag nor autocast touches them.
    """
    if len(starts) == 0:
        return image.transpose(2, 3)
    blocks, block, window = weights.shape
    total, low = blocks * block, starts[0]
    image = image[:, :, :, low : starts[-1] + window]
    batch, channels, lines, samples = image.shape
    # In pieces of 8 MiB, for fresh pages cost a CPU more than the arithmetic; on a GPU, launches do.
    fitting = max(1, (1 << 30 if image.is_cuda else 1 << 23) // (8 * channels * (samples + total)))
    images = max(1, min(batch, fitting // lines))
    pieces = (lines + fitting - 1) // fitting
    height = (lines + pieces - 1) // pieces
    space = torch.empty([images * channels * height * (samples + total)], dtype=torch.float64, device=image.device)
    result = torch.empty([batch, channels, count, lines], dtype=torch.uint8, device=image.device)
    factors = weights.unbind(0)
    for i in range(0, batch, images):
        for j in range(0, lines, height):
            part = image[i : i + images, :, j : j + height]
            n, h = part.shape[0], part.shape[2]
            width = n * channels * h
            source, sums = space[: samples * width], space[samples * width : (samples + total) * width]
            if part.stride(3) > part.stride(2):
                source.view(samples, n, channels, h).copy_(part.permute(3, 0, 1, 2))
                source = source.view(samples, width)
            else:
                source.view(part.shape).copy_(part)
                source = source.view(width, samples).t()
            sums.fill_(0.5)
            parts = sums.view(blocks, block, width).unbind(0)
            for first, factor, into in zip(starts, factors, parts):  # noqa: B905  TorchScript knows no `strict`
                into.addmm_(factor, source[first - low : first - low + window])
            # Behind the clamp, the conversion to uint8 rounds down.
            kept = sums.clamp_(0.0, 255.0)[: count * width].view(count, n, channels, h)
            result[i : i + images, :, :, j : j + height] = kept.permute(1, 2, 0, 3)
    return result


def resize_both(
    image: Tensor, rows: List[int], columns: List[int], filter: str, support: float, kind: str, vertical_first: bool
) -> Tensor:
    """uint8 ``[N, C, H, W]`` to uint8 ``[N, C, h, w]`` by the axes ``rows`` and ``columns``."""
    first, second = columns, rows
    if vertical_first:
        image, first, second = image.transpose(2, 3), rows, columns
    starts, weights = axis_weights(second, filter, support, kind, image.device)
    if len(starts) > 0:  # lines that the second pass does not read need no first pass
        low = starts[0]
        image = image[:, :, low : starts[-1] + weights.shape[2]]
        starts = [start - low for start in starts]
    first_starts, first_weights = axis_weights(first, filter, support, kind, image.device)
    image = resize_lines(image, first_starts, first_weights, first[3])
    image = resize_lines(image, starts, weights, second[3])
    return image.transpose(2, 3) if vertical_first else image


def box_reduce(image: Tensor, rows: int, columns: int) -> Tensor:
    """:func:`runtime.ops.box_reduce.box_reduce` of uint8 ``[N, C, H, W]``."""
    height, width = image.shape[2], image.shape[3]
    new_height, new_width = geometry.reduced(height, rows), geometry.reduced(width, columns)
    padded = F.pad(image, [0, new_width * columns - width, 0, new_height * rows - height])
    blocks = padded.reshape(image.shape[0], image.shape[1], new_height, rows, new_width, columns)
    high = (height - torch.arange(new_height, device=image.device) * rows).clamp_(max=rows)
    wide = (width - torch.arange(new_width, device=image.device) * columns).clamp_(max=columns)
    count = high.reshape(-1, 1) * wide
    total = blocks.sum([3, 5], dtype=torch.int64).to(torch.float64)
    means: Tensor = resample.box_mean(total, count.to(torch.float64))
    return means.to(torch.uint8)


def opacity(image: Tensor, straight: bool) -> Tensor:
    """uint8 ``[N, 4, H, W]``, RGBA to colours multiplied with their opacity, or back where ``straight``."""
    levels = torch.arange(256, dtype=torch.float64, device="cpu")
    colour, alpha = levels.reshape(1, 256), levels.reshape(256, 1)
    table = resample.straight(colour, alpha) if straight else resample.premultiplied(colour, alpha)
    table = table.to(torch.uint8).reshape(-1).to(image.device, non_blocking=image.is_cuda)
    index = image[:, 3:].to(torch.int32) * 256 + image[:, :3]
    return torch.cat([table.index_select(0, index.reshape(-1)).reshape(index.shape), image[:, 3:]], 1)


# --- torch's own kernel


def own_kernel(image: Tensor, filter: str, kind: str) -> Any:
    """torch's uint8 kernel for this resize, or None where it is not the reference."""
    if kind != "torchvision" or image.device.type != "cpu" or image.shape[1] not in (3, 4):
        return None
    return _trusted_kernel(filter)


@functools.cache
def _trusted_kernel(filter: str) -> Any:
    """The kernel of ``filter`` where it exists, computes in integers (x86 with AVX2), and proves it."""
    point = filter.endswith("_point")
    name = f"upsample_{filter.removesuffix('_point')}2d" if point else f"_upsample_{filter}2d_aa"
    kernel = getattr(torch.ops.aten, name, None)
    if kernel is None or torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"):
        return None
    support = _resample.SUPPORT[filter]
    for image, rows, columns in proofs():
        expected = resize_both(image, rows, columns, filter, support, "torchvision", False)
        if not torch.equal(run_kernel(kernel, image, rows, columns), expected):
            return None
    return kernel


def proofs() -> Iterator[Tuple[Tensor, List[int], List[int]]]:
    """Images and axes on which a kernel has to give the bits of :func:`resize_both` before it is used."""
    pixels = torch.arange(2 * 3 * 71 * 53, dtype=torch.int64, device="cpu").pow_(2).remainder_(251).to(torch.uint8)
    image = pixels.reshape(2, 71, 53, 3).permute(0, 3, 1, 2)
    for height, width in ((30, 40), (90, 11)):
        yield image, [71, height, 0, height, 1], [53, width, 0, width, 1]


# --- Compiled kernels


@functools.cache
def gpu_kernels(device: Any) -> Any:
    """The module of Triton kernels, or None where ``device`` cannot run them: they need int8 tensor cores."""
    if device.type != "cuda" or torch.version.hip is not None or torch.cuda.get_device_capability(device) < (8, 0):
        return None
    try:
        from . import resize_triton
    except ImportError:  # torch brings Triton on Linux only
        return None
    return resize_triton if proven(resize_triton, device) else None


@functools.cache
def compiled_kernels() -> Any:
    """The module of numba's kernel for RGB on a CPU, or None. The first call loads the kernel, or compiles it."""
    from . import resize_compiled, resize_numba

    try:
        resize_numba.kernel()
    except ImportError:  # numba is not installed; or it, or its compiler, does not fit what is
        return None
    except Exception:  # told by what follows
        pass
    return resize_compiled if proven(resize_compiled, torch.device("cpu"), "numba") else None


def takes_compiled(image: Tensor, table: Optional[Tensor]) -> bool:
    """Whether :func:`compiled_kernels` may run: torch does not see them, so not where it records what is done."""
    if len(image) == 0 or image.shape[1] != 3 or image.device.type != "cpu" or torch._C._is_tracing():
        return False
    return compiled_table(table)


def compiled_table(table: Optional[Tensor]) -> bool:
    """Whether :func:`compiled_kernels` take it."""
    return table is None or (table.device.type == "cpu" and table.element_size() <= 4)


def proven(kernels: Any, device: Any, compiler: str = "Triton") -> bool:
    """Whether ``kernels`` run on ``device`` and give the bits of :func:`resize_both`, both orders of passes."""
    try:
        for image, rows, columns in proofs():
            for vertical_first in (False, True):
                axes = rows, columns, "bicubic", 2.0, "pillow", vertical_first
                if not torch.equal(kernels.resize(image.to(device), *axes, None).cpu(), resize_both(image, *axes)):
                    return False
    except Exception as error:  # Triton, its compiler and the driver each raise classes of their own
        warnings.warn(f"{compiler} does not run on {device}, and slower code does: {error}", stacklevel=2)
        return False
    return True


# --- The op


def axes(
    height: int, width: int, rule: str, numbers: List[int], order: str, crop: List[int], crop_rule: str, gap: float
) -> Tuple[List[int], List[int], bool]:
    """The axes of an image's rows and columns, as :func:`axis_weights` takes them; whether the vertical pass is first.

    The arguments are :func:`resize`'s.
    """
    new_height, new_width = geometry.output_size(height, width, rule, numbers)
    check_result(new_height, new_width)
    found: Tuple[List[int], List[int], bool] = geometry.both_axes(
        height, width, new_height, new_width, order, crop, crop_rule, gap
    )
    return found


def resize(
    image: Tensor,
    rule: str,
    numbers: List[int],
    filter: str,
    support: float,
    order: str,
    weights: str,
    crop: List[int],
    crop_rule: str,
    reducing_gap: float = 0.0,
    alpha: bool = False,
    table: Optional[Tensor] = None,
) -> Tensor:
    """uint8 ``[N, C, H, W]`` to uint8 ``[N, C, h, w]``, or with ``table`` ``[C, 256]`` to what it says, contiguous.

    ``crop`` is (height, width), or zeros; the other arguments are :class:`.lowering.Resample`'s.
    """
    height, width = image.shape[2], image.shape[3]
    rows, columns, vertical_first = axes(height, width, rule, numbers, order, crop, crop_rule, reducing_gap)
    alpha = alpha and (height != rows[1] or width != columns[1])  # Pillow leaves an image of the right size alone
    if alpha:
        image = opacity(image, False)
    if rows[4] * columns[4] > 1:
        image = box_reduce(image, rows[4], columns[4])
    if not alpha:
        return resize_axes(image, rows, columns, filter, support, weights, vertical_first, table)
    pixels = opacity(resize_axes(image, rows, columns, filter, support, weights, vertical_first, None), True)
    return pixels if table is None else lookup(pixels, table)


def resize_axes(
    image: Tensor,
    rows: List[int],
    columns: List[int],
    filter: str,
    support: float,
    kind: str,
    vertical_first: bool,
    table: Optional[Tensor],
) -> Tensor:
    """:func:`resize` by its axes, in the fastest way that this machine has."""
    if not torch.jit.is_scripting():
        fast = _resize_fast(image, rows, columns, filter, support, kind, vertical_first, table)
        if fast is not None:
            return fast
    pixels = resize_both(image, rows, columns, filter, support, kind, vertical_first)
    return pixels.clone(memory_format=torch.contiguous_format) if table is None else lookup(pixels, table)


def _resize_fast(
    image: Tensor,
    rows: List[int],
    columns: List[int],
    filter: str,
    support: float,
    kind: str,
    vertical_first: bool,
    table: Optional[Tensor],
) -> Optional[Tensor]:
    """:func:`resize_axes` by a kernel of its own, None where there is none."""
    if type(image).__torch_dispatch__ is not Tensor.__torch_dispatch__ or not computes():
        return None  # without memory, such as a FakeTensor
    kernels = gpu_kernels(image.device)
    if kernels is None and rows[4] * columns[4] == 1 and takes_compiled(image, table):
        kernels = compiled_kernels()
    if kernels is not None:
        result: Optional[Tensor] = kernels.resize(image, rows, columns, filter, support, kind, vertical_first, table)
        return result
    # torch's kernel runs horizontally first; and a crop that leaves out most of a result is not worth the whole.
    if vertical_first or rows[1] * columns[1] > 4 * rows[3] * columns[3]:
        return None
    kernel = own_kernel(image, filter, kind)
    if kernel is None:
        return None
    pixels = run_kernel(kernel, image, rows, columns)
    return pixels.contiguous() if table is None else lookup(pixels, table)


# torch.compile sees one op without guards on the size: no recompilation for another size, order of passes or rule.
resize_op = host_op("resize", resize)


@resize_op.register_fake
def _(image: Tensor, rule: str, numbers: List[int], *settings: Any) -> Tensor:
    crop, table = settings[4], settings[8] if len(settings) > 8 else None  # torch fills in no defaults
    sizes: List[int | torch.SymInt]
    if crop[0] > 0:
        sizes = [*crop]
    elif rule == "height, width":
        sizes = [*numbers]
    else:
        context = torch.library.get_ctx()
        sizes = [context.new_dynamic_size(), context.new_dynamic_size()]
    return (image if table is None else table).new_empty([image.shape[0], image.shape[1], *sizes])


class ResampleModule(nn.Module):
    """uint8 ``[N, C, H, W]`` to uint8 ``[N, C, h, w]``, or through ``table`` to its dtype in the same kernels."""

    table: Optional[Tensor]

    def __init__(self, kernel: Resample, table: Optional[Table] = None) -> None:
        super().__init__()
        step, crop = kernel.resize, kernel.crop
        rule, numbers = step.size.rule
        kept, crop_rule = ([crop.height, crop.width], crop.rule) if crop else ([0, 0], "pil")
        self.settings: Tuple[str, List[int], str, float, str, str, List[int], str, float, bool] = (
            rule,
            numbers,
            step.kernel,
            step.support,
            step.order,
            step.weights,
            kept,
            crop_rule,
            float(step.reducing_gap),
            kernel.alpha,
        )
        self.register_buffer("table", torch.from_numpy(table.values()) if table else None, persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        # Two conditions, as TorchScript leaves out the inner one only behind this alone.
        if not torch.jit.is_scripting():  # noqa: SIM102
            if torch.compiler.is_compiling():
                compiled: Tensor = resize_op(image, *self.settings, self.table)
                return compiled
        return resize(image, *self.settings, self.table)

    def each(self, images: List[Any]) -> Tensor:
        """:meth:`forward` of uint8 arrays ``[H, W, C]`` on a CPU as one batch, which they are not copied into before.

        Their sizes may differ, those of the results may not.
        """
        rule, numbers, filter, support, order, weights, crop, crop_rule, gap, _ = self.settings
        if gap == 0.0 and images[0].shape[2] == 3 and compiled_table(self.table):
            kernels = compiled_kernels()
            if kernels is not None:
                size = functools.partial(
                    axes, rule=rule, numbers=numbers, order=order, crop=crop, crop_rule=crop_rule, gap=gap
                )
                batch: Tensor = kernels.resize_each(images, size, filter, support, weights, self.table)
                return batch
        tensors = [shared_tensor(image).permute(2, 0, 1)[None] for image in images]
        pixels = torch.cat([resize(tensor, *self.settings) for tensor in tensors])
        return pixels if self.table is None else lookup(pixels, self.table)
