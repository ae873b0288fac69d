"""Float images in [0, 1], which transformers takes with ``do_rescale=False``.

Its PIL classes resize them by way of uint8: times 255 and cut, then resized, then times 1/255
(image_transforms.py:130 and :316). A Plan that resizes with Pillow first and rescales by 1/255 next gives their bits
from the cut levels. Its torchvision classes resize the floats themselves, which no artifact does.

What holds levels in another dtype than uint8 becomes uint8 there too (image_transforms.py:205), or is rescaled in
float64, and so gives the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .errors import InputError
from .ops import CenterCrop, ConvertRGB, ImageSize, Normalize, Rescale, Resize, ScaleOffset
from .plan import Plan

Array = np.ndarray[Any, Any]


def rescales(plan: Plan) -> bool:
    """Whether a Plan does what ``do_rescale`` stands for, which torchvision's classes do inside the normalization."""
    if plan.reference == "torchvision":
        return bool(plan.config.get("do_rescale", True))
    return any(isinstance(step, (Rescale, ScaleOffset)) for step in plan.steps)


def takes_floats(plan: Plan) -> bool:
    """Whether the cut levels of floats give what transformers gives for the floats."""
    steps = [step for step in plan.steps if not isinstance(step, (ConvertRGB, ImageSize))]
    resized = bool(steps) and isinstance(steps[0], Resize) and steps[0].weights == "pillow"
    behind = next((step for step in steps[1:] if not isinstance(step, CenterCrop)), None)
    return resized and plan.reference != "torchvision" and behind == Rescale(1 / 255)


def takes_levels(plan: Plan) -> bool:
    """Whether transformers makes of levels in any dtype what it makes of them in uint8.

    Its PIL classes do where they resize or rescale before all else.
    """
    steps = (step for step in plan.steps if not step.reading and not isinstance(step, (ImageSize, CenterCrop)))
    first = next(steps, None)
    resizes = isinstance(first, Resize) and first.weights == "pillow"
    return plan.reference != "torchvision" and (resizes or isinstance(first, Rescale))


def whole_levels(image: Array) -> Array | None:
    """Whole numbers of 0 to 255, integers or floats, as uint8; None for anything else.

    That includes floats of zeros and ones, which may as well be meant as black and white.
    """
    if image.dtype.kind not in "iuf" or not np.all((image >= 0) & (image <= 255)):  # not for NaN either
        return None
    levels = image.astype(np.uint8)
    if image.dtype.kind == "f" and (levels.max(initial=0) == 1 or np.any(levels != image)):
        return None
    return levels


def normalizes_next(plan: Plan) -> bool:
    """Whether the normalization directly follows the rescaling."""
    pairs = zip(plan.steps, plan.steps[1:], strict=False)
    return any(isinstance(step, Rescale) and isinstance(behind, Normalize) for step, behind in pairs)


def to_levels(image: Array, normalized: bool) -> Array:
    """Floats in [0, 1], of any shape ``[H, W, C]``, to uint8: times 255, rounded to float32, and cut.

    Args:
        image: float16, float32 or float64.
        normalized: :func:`normalizes_next`.

    Raises:
        InputError: other values; or nothing but zeros and ones, which transformers resizes as levels 0 and 1: its
            result has whole numbers too then, and no artifact gives it, unless each channel is of one value.
    """
    if not (np.all(image >= 0) and np.all(image <= 1)):  # not for NaN either
        raise InputError("do_rescale=False: expected values in [0, 1]; pass levels of 0 to 255 as uint8")
    levels: Array = (image.astype(np.float64) * 255).astype(np.float32).astype(np.uint8)
    if np.allclose(image, image.astype(int)) and not (normalized and np.all(levels == levels[:1, :1])):
        raise InputError(
            "do_rescale=False: these values are all 0 or 1, which transformers takes for levels of 0 to 255; pass them"
            " times 255 as uint8, without do_rescale"
        )
    return levels
