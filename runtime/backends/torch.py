"""A Plan as torch modules."""

import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Dict, cast

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import BackendUnavailable, InputError
from ..lowering import Branched, Kernel, Resample, check_size, implementation, lower, one_by_one
from ..ops import ImageSize, Pad, PadToLargest
from ..ops.resize_torch import ResampleModule
from ..ops.table import Table
from ..plan import Plan
from ..shared_tensor import shared_tensor

Array = np.ndarray[Any, Any]

WITH_OUTPUTS = (Pad, ImageSize, PadToLargest, Branched)
"""Kernels that may give outputs besides the image."""

PART = 1 << 20
"""Values of images in float32 that run at a time: memory for many more comes fresh, zeroed, for each step."""


class Preprocess(nn.Module):
    """uint8 ``[N, H, W, C]`` or ``[N, C, H, W]`` to a dict of tensors.

    A batch whose second axis has the length of C is read as channels first, as transformers reads arrays.

    It has no parameters, an empty ``state_dict``, and one behaviour in training and evaluation. ``.to(device)`` moves
    its tables. ``.half()``, ``.to(dtype)`` and the like, of this module or of one around it, change no step: outputs in
    floats are rounded to that dtype at the end, and ``.float()`` gives the Plan's own again.
    """

    dtype: torch.dtype

    def __init__(self, plan: Plan, modules: "Callable[[Sequence[Kernel]], Iterator[nn.Module]] | None" = None) -> None:
        super().__init__()
        kernels = lower(plan.steps, plan.channels)
        self.stages = nn.ModuleList(to_stages(kernels, modules or to_modules))
        self.channels, self.output, self.one_by_one = plan.channels, plan.output, one_by_one(kernels)
        self.dtype = torch.float32

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Preprocess":
        """What ``.to()`` and its siblings call on each module: the tables go where ``fn`` says, and stay what they are.

        So do they in ``to_empty``, for no checkpoint would fill them again.
        """
        self.dtype = fn(torch.empty(0, dtype=torch.float32, device="cpu")).dtype
        super()._apply(lambda tensor: tensor.to(fn(tensor).device), recurse)  # type: ignore[no-untyped-call]
        return self

    def forward(self, images: Tensor) -> Dict[str, Tensor]:
        if images.dim() != 4 or images.dtype != torch.uint8:
            raise ValueError("expected uint8 images [N, H, W, C] or [N, C, H, W]")
        images = channels_first(images, self.channels)
        if not self.one_by_one or images.shape[0] == 1:
            return self.run(images)
        results = self.run(images[:1])
        for i in range(1, images.shape[0]):
            for name, output in self.run(images[i : i + 1]).items():
                results[name] = torch.cat([results[name], output])
        return results

    def run(self, images: Tensor) -> Dict[str, Tensor]:
        """Images that make one batch, channels first."""
        outputs: Dict[str, Tensor] = {}
        for stage in self.stages:
            images = stage(images, outputs)
        results = {self.output: images}
        for name, output in outputs.items():
            results[name] = output
        if self.dtype != torch.float32:
            for name, output in results.items():
                results[name] = output.to(self.dtype) if output.is_floating_point() else output
        return results


def channels_first(images: Tensor, channels: int) -> Tensor:
    """``[N, C, H, W]`` of that, or of ``[N, H, W, C]``; ``ValueError`` where neither has ``channels``."""
    if images.shape[1] != channels:
        images = images.permute(0, 3, 1, 2)
    if images.shape[1] != channels:
        raise ValueError(f"expected {channels} channels, first or last")
    return images


class Selected(nn.Module):
    """One output of a :class:`Preprocess`, so that a model can stand behind it in ``nn.Sequential``."""

    def __init__(self, module: nn.Module, output: str) -> None:
        super().__init__()
        self.module, self.output = module, output

    def forward(self, images: Tensor) -> Tensor:
        outputs: Dict[str, Tensor] = self.module(images)
        return outputs[self.output]


class Chain(nn.Module):
    """Modules that map an image to an image, one after the other."""

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        super().__init__()
        self.kernels = nn.Sequential(*modules)

    def forward(self, image: Tensor, outputs: Dict[str, Tensor]) -> Tensor:
        result: Tensor = self.kernels(image)
        return result


class BranchModule(nn.Module):
    """``[N, C, H, W]`` stays as it is; the outputs get what the stages make of it."""

    def __init__(self, name: str, stages: Iterable[nn.Module]) -> None:
        super().__init__()
        self.name, self.stages = name, nn.ModuleList(stages)

    def forward(self, image: Tensor, outputs: Dict[str, Tensor]) -> Tensor:
        inner: Dict[str, Tensor] = {}
        result = image
        for stage in self.stages:
            result = stage(result, inner)
        outputs[self.name] = result
        for name, output in inner.items():
            outputs[name] = output
        return image


def to_stages(
    kernels: Sequence[Kernel], modules: Callable[[Sequence[Kernel]], Iterator[nn.Module]]
) -> Iterator[nn.Module]:
    """The modules that run ``kernels``, ``(image, outputs)`` to the next image; ``modules`` as :func:`to_modules`."""
    for has_outputs, group in itertools.groupby(kernels, lambda kernel: isinstance(kernel, WITH_OUTPUTS)):
        if not has_outputs:
            yield Chain(modules(tuple(group)))
            continue
        for kernel in group:
            if isinstance(kernel, Branched):
                yield BranchModule(kernel.name, to_stages(kernel.kernels, modules))
            else:
                yield to_module(kernel)


def to_modules(kernels: Sequence[Kernel]) -> Iterator[nn.Module]:
    """The modules that run ``kernels`` without outputs; one runs a resize and the table behind it."""
    for i, kernel in enumerate(kernels):
        behind = kernels[i + 1] if i + 1 < len(kernels) else None
        if isinstance(kernel, Resample):
            yield ResampleModule(kernel, behind if isinstance(behind, Table) else None)
        elif not (isinstance(kernel, Table) and i > 0 and isinstance(kernels[i - 1], Resample)):
            yield to_module(kernel)


def to_module(kernel: Kernel) -> nn.Module:
    """The module that runs one kernel: of the kernel's name, in the file beside it."""
    module: nn.Module = getattr(implementation(kernel, "torch"), f"{type(kernel).__name__}Module")(kernel)
    return module


_forked = False


def _after_fork() -> None:
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def usable(device: Any) -> torch.device:
    """A device by its name; the CPU for ``None``.

    Raises:
        BackendUnavailable: torch cannot use it here.
        ValueError: it is none, or none that holds values.
    """
    try:
        found = torch.device("cpu" if device is None else device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"device: expected such as 'cpu' or 'cuda:0', got {device!r}") from error
    if found.type == "meta":
        raise ValueError("device: expected one that computes, got 'meta'")
    try:
        torch.empty(1, device=found)
    except Exception as error:  # it raises an AssertionError, a RuntimeError or a NotImplementedError
        reason = str(error).strip().splitlines()[0][:200]
        raise BackendUnavailable(f"torch cannot use the device '{found}' ({reason})") from error
    return found


class TorchBackend:
    """Runs a module, built or scripted, without gradients."""

    def __init__(self, module: Any, plan: Plan, device: Any = None) -> None:
        self.output_names = plan.outputs
        self._device = usable(device)
        self._module = module.to(self._device).eval()
        on_cpu = self._device.type == "cpu" and isinstance(module, Preprocess)
        self.run_each = self._run_each if on_cpu and _resizes_first(module) else None
        self._kernels = lower(plan.steps, plan.channels) if on_cpu else ()

    def run(self, images: Array) -> dict[str, Tensor]:
        # Channels first, so that the module need not guess.
        batch = shared_tensor(images).to(self._device).permute(0, 3, 1, 2)
        parts = [self._guarded(self._module, part) for part in torch.split(batch, self._part(*images.shape))]
        if len(parts) == 1:
            return cast("dict[str, Tensor]", _own(parts[0], batch))
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def _part(self, batch: int, height: int, width: int, channels: int) -> int:
        """How many images run at a time: on a CPU no more than make :data:`PART` values, before or after."""
        if not self._kernels or batch == 1:
            return batch
        new_height, new_width = check_size(self._kernels, height, width)
        return max(1, PART // (max(height * width, new_height * new_width) * channels))

    def _run_each(self, images: list[Array]) -> dict[str, Tensor]:
        """As :class:`.Backend` says: the first kernel makes one batch of them."""
        return self._guarded(self._each, images)

    def _each(self, images: list[Array]) -> dict[str, Tensor]:
        """What the module gives."""
        chain, *stages = list[Any](self._module.stages)
        resize, *kernels = chain.kernels
        outputs: dict[str, Tensor] = {}
        batch = resize.each(images)
        for kernel in kernels:
            batch = kernel(batch)
        for stage in stages:
            batch = stage(batch, outputs)
        return {self._module.output: batch, **outputs}

    def _guarded(self, run: Callable[[Any], dict[str, Tensor]], images: Any) -> dict[str, Tensor]:
        if _forked and torch.get_num_threads() > 1:
            torch.set_num_threads(1)  # the parent's are not here, and OpenMP waits for them
        try:
            with torch.no_grad():  # inference_mode's tensors could not be trained on
                return run(images)
        except (ValueError, RuntimeError, torch.jit.Error) as error:
            shape = tuple(images[0].shape if isinstance(images, list) else images.shape)
            reason = str(error).strip().splitlines()[-1]
            raise InputError(f"torch failed on images of shape {shape}: {reason}") from error


def _own(result: Any, images: Tensor) -> Any:
    """Copies of the tensors in a result that lie in the caller's memory: where a Plan leaves pixels as they are."""
    if isinstance(result, dict):
        return {name: _own(value, images) for name, value in result.items()}
    if isinstance(result, (list, tuple)):
        return [_own(value, images) for value in result]
    shared = isinstance(result, Tensor) and result.untyped_storage().data_ptr() == images.untyped_storage().data_ptr()
    return result.clone() if shared else result


def _resizes_first(module: Preprocess) -> bool:
    """Whether the first thing that it does is a resize."""
    stages: Any = module.stages
    return len(stages) > 0 and isinstance(stages[0], Chain) and isinstance(stages[0].kernels[0], ResampleModule)
