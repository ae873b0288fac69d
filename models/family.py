"""A processor family as a row: what its class reads, and what the keys default to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from runtime.ops import Step
from runtime.plan import Plan
from runtime.postprocess import Postprocess

from . import pipeline
from .reader import Reader

Config = dict[str, Any]

IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
CLIP = {
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}
NEAREST, LANCZOS, BILINEAR, BICUBIC = 0, 1, 2, 3

SHARED_KEYS = (
    "do_convert_rgb", "do_resize", "size", "default_to_square", "crop_size", "resample", "do_rescale",
    "rescale_factor", "do_normalize", "image_mean", "image_std", "do_pad", "pad_size", "do_center_crop",
)  # fmt: skip
"""Keys that every class reads (processing_utils.py, ``ImagesKwargs``)."""

LEGACY_KEYS = (
    "do_resize", "size", "resample", "do_center_crop", "crop_size", "do_rescale", "rescale_factor", "do_normalize",
    "image_mean", "image_std",
)  # fmt: skip
"""Keys of the classes that are older than transformers' backends (image_processing_video_llava.py, ``__init__``)."""


def legacy_nulls(config: Config) -> Config:
    """Their constructors take the default in place of these nulls; ``default_to_square`` they never read."""
    nulls = {key for key in ("size", "crop_size", "image_mean", "image_std") if config.get(key) is None}
    return {key: value for key, value in config.items() if key not in nulls | {"default_to_square"}}


@dataclass(frozen=True)
class Family:
    """One image processor of transformers.

    Attributes:
        name: as in ``{name}ImageProcessor``.
        model_types: of the models that use it, as ``config.json`` names them.
        defaults: class attributes; a key that is absent is null.
        own_keys: keys that it reads besides :data:`SHARED_KEYS`.
        written: keys that it saves, but works out anew.
        legacy: rewrites old keys of a file, as the class's constructor does.
        steps: a config's steps, given the reference.
        has_pil: whether transformers has a PIL class; without one, the reference is its torchvision class on the CPU.
        has_torchvision: whether it has a torchvision class; without one, it has a PIL class under the plain name.
        output: the name of the image in the outputs, or a function of the config that gives it.
        group: of :class:`runtime.Plan`: ``pair`` where it takes pairs of images, ``video`` for the frames of videos.
            The steps are those of one image.
        channels: of its images, where that is no choice: 4 for VitMatte, to whose images the trimap is the fourth.
        shared_keys: none for what other libraries read.
        postprocess: the class's ``post_process_*`` methods; functions of the Plan where they depend on it.
        labels: the key of the names of the model's classes, where the processor has them.
    """

    name: str
    model_types: tuple[str, ...]
    defaults: Mapping[str, Any]
    own_keys: tuple[str, ...] = ()
    written: tuple[str, ...] = ()
    legacy: Callable[[Config], Config] = dict
    steps: Callable[[Reader, str], list[Step]] = pipeline.standard
    has_pil: bool = True
    has_torchvision: bool = True
    output: str | Callable[[Config], str] = "pixel_values"
    group: str = ""
    channels: int | None = None
    shared_keys: tuple[str, ...] = SHARED_KEYS
    postprocess: tuple[Postprocess | Callable[[Plan], Postprocess], ...] = ()
    labels: str = ""

    @property
    def keys(self) -> tuple[str, ...]:
        return (*self.shared_keys, *self.own_keys)


def defaults(size: Mapping[str, int], crop: int | None = None, /, **more: Any) -> Config:
    """A class that resizes, rescales by 1/255 and normalizes, and crops where ``crop`` is given."""
    cropping = {"do_center_crop": True, "crop_size": {"height": crop, "width": crop}} if crop else {}
    steps = {"do_resize": True, "do_rescale": True, "do_normalize": True, "rescale_factor": 1 / 255}
    return {"size": size, "default_to_square": True, "resample": BICUBIC, **steps, **cropping, **more}


def square(edge: int) -> Mapping[str, int]:
    return {"height": edge, "width": edge}
