"""One call of a transformers image processor: its settings as a Plan, its images as that Plan takes them."""

from __future__ import annotations

import enum
import functools
import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import NoneType
from typing import Any

import numpy as np

from models.config import output_name, to_steps
from models.family import Family
from runtime.errors import InputError, UnsupportedConfig
from runtime.floats import takes_floats
from runtime.ops import Branch, ConvertRGB, Interpolate, Step
from runtime.plan import Plan
from runtime.preprocessor import Preprocessor

from .trace import installed_pillow

SIZES = ((97, 131), (131, 97), (40, 30))
"""(height, width) of the noise that new settings are compared on."""

MOST_SETTINGS = 128
"""Sets of settings whose Plans are kept."""

SCALED = {"do_rescale": True, "rescale_factor": 1 / 255}
"""What a Plan says that takes floats in [0, 1]: they pass by way of uint8 (:mod:`runtime.floats`)."""


class Settings:
    """All that a call's result depends on but the images; equal where the values are.

    Args:
        processor: transformers' image processor, whose attributes are settings too.
        family: of the processor.
        reference: of the Plan.
        images: of the call, of which only their kind is a setting: whether they are floats that are not rescaled.
        inputs: beside the images, such as annotations.
        kwargs: as transformers has resolved them.
        usual: what transformers' class makes of images, inputs and settings.

    Attributes:
        floats: whether the images are floats in [0, 1].

    Raises:
        InputError: there are inputs beside the images; or a setting that cannot be compared.
    """

    def __init__(
        self,
        processor: Any,
        family: Family,
        reference: str,
        images: Any,
        inputs: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        usual: Callable[..., Any],
    ) -> None:
        known = processor.valid_kwargs.__annotations__
        if any(value is not None for value in (*inputs, *(kwargs[name] for name in kwargs if name not in known))):
            raise InputError("expected images only, got inputs beside them")
        self.processor, self.family, self.reference = processor, family, reference
        self.inputs, self.kwargs, self.usual = inputs, kwargs, usual
        self.floats = not kwargs.get("do_rescale") and _are_floats(images)
        attributes = {name: value for name, value in vars(processor).items() if name not in known}
        try:
            self._key = type(processor), self.floats, _default_dtype(), _frozen(kwargs), _frozen(attributes)
            self._hash = hash(self._key)
        except TypeError as error:
            raise InputError(f"expected settings that can be compared: {error}") from error

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Settings) and self._key == other._key


def _default_dtype() -> str:
    """torch's, which transformers' torchvision classes rescale to."""
    torch = sys.modules.get("torch")
    return "" if torch is None else str(torch.get_default_dtype())


def _are_floats(images: Any) -> bool:
    """Whether the first image of all is an array or a tensor of floats."""
    while isinstance(images, (list, tuple)) and images:
        images = images[0]
    return "float" in str(getattr(images, "dtype", ""))


def _frozen(value: Any) -> Any:
    """A value to look up by; numbers with their types, for 1 and 1.0 need not mean the same."""
    kind = type(value)
    if kind in (NoneType, bool, int, float, str):
        return kind, value
    if isinstance(value, dict):
        return tuple([(key, _frozen(value[key])) for key in sorted(value)])
    if isinstance(value, (list, tuple)):
        return tuple([_frozen(item) for item in value])
    if hasattr(value, "tolist"):  # an array or a tensor
        return kind, str(value.dtype), _frozen(value.tolist())
    return _frozen(vars(value)) if kind.__name__ == "SizeDict" else (kind, value)


@dataclass(frozen=True)
class Call:
    """What runs all calls of the same settings.

    Attributes:
        problems: why transformers has to; empty where it need not.
        preprocessor: the Plan's.
        form: transformers' class of results.
        kinds: of each output, in transformers' order: its type and that of its items.
        floats: as of :class:`Settings`.
    """

    problems: tuple[str, ...] = ()
    preprocessor: Preprocessor | None = None
    form: Any = None
    kinds: Mapping[str, tuple[type, type]] | None = None
    floats: bool = False

    def run(self, processor: Any, images: Any, kwargs: Mapping[str, Any]) -> Any:
        """The result for what transformers takes as images.

        Raises:
            UnsupportedConfig: there are :attr:`problems`.
            InputError: for images that no Plan takes.
        """
        if self.preprocessor is None or self.kinds is None:
            raise UnsupportedConfig(self.problems)
        _check_threads(self.preprocessor.plan)
        outputs = _outputs(processor, self.preprocessor, images, kwargs, self.floats)
        return self.form({name: _as(kind, outputs[name]) for name, kind in self.kinds.items()})


@functools.lru_cache(maxsize=MOST_SETTINGS)
def prepare(settings: Settings) -> Call:
    """A Plan for the settings, compared with transformers' class; kept, whether there is one or not."""
    try:
        return _prepare(settings)
    except UnsupportedConfig as error:
        return Call(error.problems)


def _prepare(settings: Settings) -> Call:
    reference = settings.reference
    # transformers gives the installed Pillow's pixels; from those, others differ in the order of the passes only.
    known = reference if reference == "torchvision" else installed_pillow()
    plan = _plan(settings, known)
    _check_threads(plan)
    call = None
    for height, width in SIZES:
        images = _noise(height, width, plan.group, settings)
        try:
            want = settings.usual(images, *settings.inputs, **settings.kwargs)
        except Exception:  # the image may be too large for a padding, say, and transformers raises about anything
            continue
        if set(want) != set(plan.outputs):
            raise UnsupportedConfig(f"transformers' class gives {', '.join(want)}")
        if call is None:
            kinds = {name: (type(value), type(value[0])) for name, value in want.items()}
            call = Call((), _preprocessor(plan), type(want), kinds, settings.floats)
        got = call.run(settings.processor, images, settings.kwargs)
        if not all(_same(got[name], want[name]) for name in want):
            raise UnsupportedConfig("transformers' class gives something else")
    if call is None:
        raise UnsupportedConfig("transformers' class takes none of the images that settings are compared on")
    return call if known == reference else replace(call, preprocessor=_preprocessor(_plan(settings, reference)))


def _plan(settings: Settings, reference: str) -> Plan:
    """Of settings that transformers has resolved, so that old forms of a config are gone."""
    family, processor = replace(settings.family, legacy=dict), settings.processor
    values = {key: vars(processor)[key] for key in family.keys if key in vars(processor)}
    values |= {key: settings.kwargs[key] for key in family.keys if key in settings.kwargs}
    config = {key: _plain(value) for key, value in values.items()} | (SCALED if settings.floats else {})
    steps = to_steps(family, config, {}, reference)
    try:
        plan = Plan(steps, reference, family.name, output=output_name(family, config, {}), group=family.group)
    except ValueError as error:
        raise UnsupportedConfig(str(error)) from error
    if plan.bound:
        raise UnsupportedConfig(f"{family.name}'s resize of floats has not the same bits everywhere")
    if settings.floats and not takes_floats(plan):
        raise UnsupportedConfig(f"{family.name} does not resize these floats by way of uint8")
    return plan


def _interpolations(steps: Sequence[Step]) -> Iterator[Interpolate]:
    """The resizes of floats."""
    for step in steps:
        if isinstance(step, Branch):
            yield from _interpolations(step.steps)
        elif isinstance(step, Interpolate):
            yield step


def _check_threads(plan: Plan) -> None:
    """Raises ``InputError`` where transformers' class has other bits: on one thread, torch's bilinear positions are
    others (see ``Interpolate``).
    """
    if any(step.filter == "bilinear" and not step.antialias for step in _interpolations(plan.steps)):
        import torch

        if torch.get_num_threads() == 1:
            raise InputError(
                "expected more than one thread of torch, whose floats are resized to other bits on one: set"
                " torch.set_num_threads(2)"
            )


def _plain(value: Any) -> Any:
    """A value as a config has it."""
    if type(value).__name__ == "SizeDict":
        return dict(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    return value.value if isinstance(value, enum.Enum) else value


def _preprocessor(plan: Plan) -> Preprocessor:
    """On the fastest backend that needs no file."""
    if any(_interpolations(plan.steps)):
        return Preprocessor(plan, "torch")  # whose own resize of floats it is
    if importlib.util.find_spec("numba") is not None:
        return Preprocessor(plan, "numba")
    return Preprocessor(plan, "torch" if plan.reference == "torchvision" else "pil")


def _noise(height: int, width: int, group: str, settings: Settings) -> Any:
    """An image, or a group of them."""
    from PIL import Image

    image: Any
    generator = np.random.default_rng(height)
    if settings.floats:
        array = generator.uniform(0, 1, (height, width, 3))
        image = np.moveaxis(array, -1, 0) if settings.kwargs.get("input_data_format") == "channels_first" else array
    else:
        image = Image.fromarray(generator.integers(0, 256, (height, width, 3), np.uint8))
    return {"": image, "pair": [image, image], "video": [image]}[group]


def _outputs(
    processor: Any, preprocessor: Preprocessor, images: Any, kwargs: Mapping[str, Any], floats: bool
) -> dict[str, Any]:
    """A Plan's outputs by name, arrays or tensors or lists of arrays as ``return_tensors`` says.

    Raises:
        InputError: for images that no Plan takes, and for other tensors.
    """
    tensors, device = kwargs.get("return_tensors"), kwargs.get("device")
    tensors = tensors.value if isinstance(tensors, enum.Enum) else tensors
    if tensors not in ("np", "pt", None):
        raise InputError(f"return_tensors: expected 'np', 'pt' or None, got {tensors!r}")
    plan = preprocessor.plan
    # The PIL classes take a device, and stay on the CPU.
    if plan.reference == "torchvision" and device is not None and str(device).partition(":")[0] != "cpu":
        raise InputError(f"device: expected the CPU, got {device}")
    convert = any(isinstance(step, ConvertRGB) for step in plan.steps)
    read = functools.partial(_read, processor, convert, kwargs.get("input_data_format"), floats)
    run = functools.partial(preprocessor, return_tensors=tensors, do_rescale=False if floats else None)
    # transformers itself takes apart what it was given, and reads paths and addresses.
    found = processor._prepare_images_structure(images)
    if plan.group == "video":
        return run([[read(image) for image in video] for video in found])
    pixels = [read(image) for image in found]
    if plan.group == "pair":
        return run(list(zip(pixels[::2], pixels[1::2], strict=True)))
    return run(pixels)


def _read(processor: Any, convert: bool, layout: Any, floats: bool, image: Any) -> Any:
    """A PIL image in mode RGB, or ``[3, H, W]`` of whatever else, as transformers reads it; uint8, or ``floats``."""
    if getattr(image, "mode", None) == "RGB" and not floats:
        return image
    if isinstance(image, (list, tuple)):
        raise InputError("expected images, got lists of them")
    if getattr(getattr(image, "device", None), "type", "cpu") != "cpu":
        raise InputError(f"expected images on the CPU, got {image.device}")
    pixels = processor.process_image(image, do_convert_rgb=convert, input_data_format=layout)
    dtype = str(pixels.dtype).removeprefix("torch.")
    if not (dtype.startswith("float") if floats else dtype == "uint8") or pixels.ndim != 3 or len(pixels) != 3:
        kind = "floats" if floats else "uint8"
        raise InputError(f"expected images of {kind} and 3 channels, got {dtype} of shape {tuple(pixels.shape)}")
    return pixels if isinstance(pixels, np.ndarray) else pixels.numpy()


def _as(kinds: tuple[type, type], output: Any) -> Any:
    """The output; a list of arrays as transformers gives it: tuples for sizes, tensors, or all tensors as one."""
    whole, item = kinds
    if not isinstance(output, list):
        return output
    if issubclass(item, tuple):
        return [item(size.tolist()) for size in output]
    if item.__name__ != "Tensor":
        return output
    import torch

    def tensor(part: Any) -> Any:
        if isinstance(part, list):
            return torch.stack([tensor(array) for array in part])
        return torch.from_numpy(part) if isinstance(part, np.ndarray) else part

    tensors = [tensor(part) for part in output]
    return tensors if whole is list else torch.stack(tensors)


def _same(got: Any, want: Any) -> bool:
    """The same types, dtypes, shapes and bits."""
    if type(got) is not type(want):
        return False
    if isinstance(want, list):
        return len(got) == len(want) and all(map(_same, got, want))
    if hasattr(want, "dtype"):
        return got.dtype == want.dtype and got.shape == want.shape and bool((got == want).all())
    return bool(got == want)
