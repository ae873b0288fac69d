"""What others run in the same place, to time and to compare: Pillow, transformers, torchvision and ONNX's own Resize.

Each peer does what a Plan says, as its users would write it. One that cannot raises :class:`LeftOut` with the reason.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from runtime.lowering import implementation
from runtime.ops import Cast, CenterCrop, ConvertRGB, FlipChannels, InferLayout, Normalize, Pad, Rescale, Resize, Step
from runtime.ops.resize import FILTERS
from runtime.plan import Plan

if TYPE_CHECKING:
    from PIL import Image

Array = np.ndarray[Any, Any]
Run = Callable[["list[Image.Image]"], Any]

TRANSFORMERS_PIL, TRANSFORMERS_TORCHVISION = "transformers PIL", "transformers torchvision"
MAIN = (TRANSFORMERS_PIL, TRANSFORMERS_TORCHVISION)
"""Whom the figures are given against: what a model's users call otherwise."""


class LeftOut(Exception):
    """A peer that cannot run a Plan; the message says why."""


@dataclass(frozen=True)
class Peer:
    """One way to run a Plan.

    Attributes:
        name: for people.
        run: RGB images of one size to ``[N, C, h, w]``, as an array or a tensor.
        whole: whether it runs all of the Plan; otherwise its result is of another kind.
    """

    name: str
    run: Run
    whole: bool = True


def find(plan: Plan, height: int, width: int, fused: bool = False) -> tuple[list[Peer], list[str]]:
    """The peers that can run ``plan`` on images of this size, and a line for each other one: its name and why not."""
    why = unfit(plan, fused)
    if why is not None:
        return [], [why]
    found, left_out = [], []
    for name, (_, make) in PEERS.items():
        try:
            found.append(Peer(name, made(name, plan, height, width), whole=make is not _pillow))
        except LeftOut as reason:
            left_out.append(f"{name}: {reason}")
        except Exception as error:  # each package refuses in its own way
            left_out.append(f"{name}: {reason_of(error)}")
    return found, left_out


def unfit(plan: Plan, fused: bool) -> str | None:
    """Why no peer runs a file with ``plan`` in it, and perhaps a model behind it."""
    if fused:
        return "peers: the file holds a model, and they do not"
    if plan.channels != 3:
        return f"peers: they are set up for RGB, and the Plan is for {plan.channels} channels"
    return None


def made(name: str, plan: Plan, height: int = 0, width: int = 0) -> Run:
    """One of :data:`PEERS`; transformers' take images of any size.

    Raises:
        LeftOut: it cannot do what the Plan does, or a package is missing.
    """
    packages, make = PEERS[name]
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        raise LeftOut(f"not installed: {', '.join(missing)}")
    return make(plan, height, width)


def reason_of(error: Exception) -> str:
    """One line of an exception."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


def _pillow(plan: Plan, height: int, width: int) -> Run:
    """The one call that everything else is built around; it gives images, not tensors."""
    from PIL import Image

    resize = next((step for step in plan.steps if isinstance(step, Resize)), None)
    if resize is None:
        raise LeftOut("the Plan has no resize")
    if not resize.antialias:
        raise LeftOut("it always antialiases")
    new_height, new_width = resize.output_size(height, width)
    filter, gap = Image.Resampling(FILTERS[resize.filter]), resize.reducing_gap or None
    return lambda images: [image.resize((new_width, new_height), filter, reducing_gap=gap) for image in images]


def _transformers_pil(plan: Plan, height: int, width: int) -> Run:
    processor, dtype = _processor(plan, "Pil", "pil"), _dtype(plan)
    return lambda images: _cast(_pixels(plan, processor(images, return_tensors="np")), dtype)


def _transformers_torchvision(plan: Plan, height: int, width: int) -> Run:
    return on_device(plan, None)


def on_device(plan: Plan, device: str | None) -> Run:
    """transformers' torchvision class, which takes tensors too; on ``device``, or where its images are."""
    processor, dtype = _processor(plan, "", "torchvision"), _dtype(plan)
    return lambda images: _cast(_pixels(plan, processor(images, return_tensors="pt", device=device)), dtype)


def _torchvision(plan: Plan, height: int, width: int) -> Run:
    """torchvision's functions in the order of the steps: each image on its own while sizes change, then the batch."""
    torch: Any = importlib.import_module("torch")
    functional: Any = importlib.import_module("torchvision.transforms.v2.functional")
    last = max((i for i, step in enumerate(plan.steps) if isinstance(step, (Resize, CenterCrop))), default=-1)
    alone = [_torchvision_step(step, torch, functional) for step in plan.steps[: last + 1]]
    together = [_torchvision_step(step, torch, functional) for step in plan.steps[last + 1 :]]
    pixels = _decoded(plan)

    def run(images: list[Image.Image]) -> Any:
        done = []
        for image in images:
            tensor = torch.from_numpy(pixels(image).copy()).permute(2, 0, 1)
            for step in alone:
                tensor = step(tensor)
            done.append(tensor)
        batch = torch.stack(done)
        for step in together:
            batch = step(batch)
        return batch

    return run


def _torchvision_step(step: Step, torch: Any, functional: Any) -> Callable[[Any], Any]:
    """One step on a tensor ``[..., 3, H, W]``."""
    match step:
        case Resize():
            if step.reducing_gap:
                raise LeftOut("it has no reducing_gap")
            # torchvision's "nearest" is another rule than Pillow's; "nearest-exact" is the same one.
            mode = functional.InterpolationMode("nearest-exact" if step.filter == "nearest" else step.filter)
            return lambda x: functional.resize(x, [*step.output_size(*x.shape[-2:])], mode, antialias=step.antialias)
        case CenterCrop():
            return lambda x: functional.center_crop(x, [step.height, step.width])
        case Rescale(factor, offset):
            if factor == 1 / 255 and not offset:
                return lambda x: functional.to_dtype(x, torch.float32, scale=True)
            return lambda x: x.to(torch.float32) * factor - offset
        case Normalize():
            return lambda x: functional.normalize(x.to(torch.float32), list(step.mean), list(step.std))
        case Pad():
            return lambda x: _pad(functional, step, x)
        case Cast():
            return lambda x: x.to(getattr(torch, step.dtype))
        case FlipChannels():
            return lambda x: x.flip(-3)
        case ConvertRGB() | InferLayout():
            return lambda x: x
        case _:
            raise LeftOut(f"no function of it does '{step}'")


ONNX_MODES: dict[str, dict[str, Any]] = {
    "nearest": {"mode": "nearest"},
    "bilinear": {"mode": "linear"},
    "bicubic": {"mode": "cubic", "cubic_coeff_a": -0.5},
}
"""Pillow's filters as attributes of ONNX's Resize."""


def _pad(functional: Any, step: Pad, image: Any) -> Any:
    """The same padding by torchvision, which has one value for all channels."""
    if len(set(step.value)) > 1:
        raise LeftOut("torchvision pads with one value for all channels")
    (top, bottom), (left, right) = step.padding(*image.shape[-2:])
    return functional.pad(image, [left, top, right, bottom], fill=step.value[0], padding_mode=step.mode)


def _onnx_resize(plan: Plan, height: int, width: int) -> Run:
    """A graph of ONNX's standard Resize on uint8, made for one size of image, in onnxruntime."""
    import onnxruntime

    from runtime.arrays.onnx import Formulas
    from runtime.arrays.onnx import Image as GraphImage

    from .graph import Graph, Value
    from .onnx import IR_VERSION, OPSET

    g = Graph()
    source = g.input("images", "uint8", ["batch", height, width, 3])
    image = GraphImage(g.node("Transpose", source, perm=[0, 3, 1, 2]), g.value(height), g.value(width))
    formulas, none, batch = Formulas(g), Value(g, "", "float32"), g.size(source, 0)
    for step in plan.steps:
        x = image.pixels
        match step:
            case Resize():
                if step.filter not in ONNX_MODES:
                    raise LeftOut(f"the operator has no filter {step.filter!r}")
                if step.reducing_gap:
                    raise LeftOut("the operator has no reducing_gap")
                height, width = step.output_size(height, width)
                antialias = int(step.antialias and step.filter != "nearest")
                shape, mode = g.shape(batch, 3, height, width), ONNX_MODES[step.filter]
                x = g.node("Resize", x, none, none, shape, antialias=antialias, **mode)
                image = GraphImage(x, g.value(height), g.value(width))
            case CenterCrop() | Pad() | FlipChannels():
                image = implementation(step, "onnx").lower(g, formulas, step, image)
            case Rescale(factor, offset):
                x = g.cast(x, "float32") * factor
                image = GraphImage(x - offset if offset else x, image.height, image.width)
            case Normalize():
                mean, std = (g.constant(np.reshape(v, (3, 1, 1)), "float32") for v in (step.mean, step.std))
                image = GraphImage((g.cast(x, "float32") - mean) / std, image.height, image.width)
            case Cast():
                image = GraphImage(g.cast(x, step.dtype), image.height, image.width)
            case ConvertRGB() | InferLayout():
                pass
            case _:
                raise LeftOut(f"no operator does '{step}'")
    g.output(image.pixels, plan.output, ["batch", 3, None, None])
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    model = g.build(OPSET, IR_VERSION, "plain_resize").SerializeToString()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    pixels = _decoded(plan)
    return lambda images: session.run(None, {"images": np.stack([pixels(image) for image in images])})[0]


PEERS: dict[str, tuple[tuple[str, ...], Callable[[Plan, int, int], Run]]] = {
    TRANSFORMERS_PIL: (("transformers",), _transformers_pil),
    TRANSFORMERS_TORCHVISION: (("transformers", "torch", "torchvision"), _transformers_torchvision),
    "torchvision v2": (("torch", "torchvision"), _torchvision),
    "ONNX Resize": (("onnx", "onnxruntime"), _onnx_resize),
    "Pillow resize": (("PIL",), _pillow),
}
"""The packages that each needs, and what makes it."""


def _decoded(plan: Plan) -> Callable[[Image.Image], Array]:
    """An image's pixels, converted to RGB where the Plan does so, which copies an RGB image too."""
    convert = any(isinstance(step, ConvertRGB) for step in plan.steps)
    return lambda image: np.asarray(image.convert("RGB") if convert else image)


def _dtype(plan: Plan) -> str | None:
    return next((step.dtype for step in plan.steps if isinstance(step, Cast)), None)


def _cast(value: Any, dtype: str | None) -> Any:
    """The tensor or array in the Plan's last dtype, which transformers leaves to its users."""
    if dtype is None:
        return value
    if isinstance(value, np.ndarray):
        return value.astype(dtype)
    return value.to(getattr(importlib.import_module("torch"), dtype))


def _pixels(plan: Plan, outputs: Any) -> Any:
    return outputs[plan.output] if hasattr(outputs, "keys") else outputs  # Idefics gives the bare tensor


def _processor(plan: Plan, suffix: str, backend: str) -> Any:
    """transformers' class of the Plan's family, with a config that means the Plan."""
    config, name = config_of(plan), f"{plan.family}ImageProcessor{suffix}"
    processor = getattr(importlib.import_module("transformers"), name, None)
    if processor is None:
        raise LeftOut(f"transformers has no {name}")
    made = processor(**config)
    if getattr(made, "backend", None) != backend:
        raise LeftOut(f"this transformers' {name} is not of backend {backend}")
    return made


def config_of(plan: Plan) -> dict[str, Any]:
    """The keywords of transformers' class that mean ``plan``."""
    if not plan.config:
        raise LeftOut("the Plan is not made of a config of transformers")
    return {key: value for key, value in plan.config.items() if key != "image_processor_type"}
