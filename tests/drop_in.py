"""Image processors of our backend beside transformers' own classes, and how their results are compared."""

import numpy as np
import transformers
from PIL import Image

from exporter.transformers import Options, processor_class
from models.families import FAMILIES

from .families import config
from .helpers import noise

FORMS = ("pt", "np", None)

TORCHVISION = Options(reference="torchvision")

NEVER = {
    "OneFormer": "transformers' class gives pixel_values, pixel_mask, task_inputs",
    "VideoLlava": "VideoLlava: its class is older than transformers' backends",
    "VitMatte": "expected images only, got inputs beside them",
    "Vivit": "Vivit: its class is older than transformers' backends",
    "Owlv2": "Owlv2's resize of floats has not the same bits everywhere",
}
"""Families that are left to transformers, with the reason."""

BY_THREADS = ("DepthPro", "RfDetr", "UVDoc", "ZoeDepth")
"""Families whose floats torch resizes to other bits on one thread."""

FEW = (
    "Beit", "CLIP", "ConvNext", "Detr", "DINOv3ViT", "Donut", "Flava", "Idefics", "LayoutLMv3", "OneFormer", "PI0",
    "PPOCRV5ServerDet", "SuperGlue", "Swin2SR", "UVDoc", "VideoMAE", "ViT", "VitMatte", "Vivit", "ZoeDepth",
)  # fmt: skip
"""Of each kind of class one, the small ones."""


def picture(height, width, seed=0):
    return Image.fromarray(noise(height, width, seed))


def base_of(name, reference="pillow"):
    """transformers' class that gives the reference."""
    family = FAMILIES[name]
    pil = family.has_pil and family.has_torchvision and reference != "torchvision"
    return getattr(transformers, f"{name}ImageProcessor{'Pil' if pil else ''}")


def pair(name, options=None, **keys):
    """Of one family with these keys: the processor of our backend, and transformers' own."""
    options = options or Options()
    base, keys = base_of(name, options.reference), {**config(name), **keys}
    return processor_class(base, options)(**keys), base(**keys)


def outcome(processor, *images, **kwargs):
    """The result, or what the error says."""
    try:
        return processor(*images, **kwargs)
    except Exception as error:  # transformers raises about anything
        return type(error), str(error)


def assert_same(got, want, what=""):
    """Types, keys in order, dtypes, shapes and bits."""
    assert type(got) is type(want), f"{what}: {got}, expected {want}"
    if hasattr(want, "keys"):
        assert list(got) == list(want), what
        for key in want:
            assert_same(got[key], want[key], f"{what}: {key}")
    elif isinstance(want, (list, tuple)) or str(getattr(want, "dtype", "")) == "object":  # NumPy mixes sizes
        assert len(got) == len(want), what
        for mine, theirs in zip(got, want, strict=True):
            assert_same(mine, theirs, what)
    elif hasattr(want, "dtype"):
        assert (got.dtype, got.shape) == (want.dtype, want.shape), what
        assert getattr(want, "is_meta", False) or np.array_equal(got, want), (
            f"{what}: {int((got != want).sum())} of {want.size} values differ"
        )
    else:
        assert got == want, what


def arguments(name, image):
    """What the family takes for one image."""
    if name == "VitMatte":
        return image, image.convert("L")
    return ({"": image, "pair": [image, image], "video": [image, image]}[FAMILIES[name].group],)


def batches(name):
    """What the family takes for several images at once, by name: of mixed sizes, and of one."""
    mixed, one = [picture(60, 90), picture(90, 61, 1), picture(60, 90, 2)], [picture(64, 80, 3), picture(64, 80, 4)]
    if name == "VitMatte":
        return {"mixed": (mixed, [image.convert("L") for image in mixed])}
    group = FAMILIES[name].group
    groups = {"": lambda images: images, "pair": lambda images: [images[:2], images[-2:]], "video": lambda i: [i, i]}
    return {what: (groups[group](images),) for what, images in (("mixed", mixed), ("one size", one))}


def messages(caplog):
    """What was left to transformers, and why; ``caplog`` must be at level INFO."""
    return [record.getMessage() for record in caplog.records if record.name == "exporter.transformers"]
