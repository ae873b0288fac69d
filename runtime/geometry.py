"""Sizes, offsets and the order of passes, as integer functions of height and width.

Like :mod:`.resample`, this source runs on Python integers (NumPy, eager torch), on symbolic ones (``torch.compile``),
as TorchScript and as ONNX nodes (see :mod:`.arrays`). So it holds no ``if`` on a size: :func:`pick` chooses.

Sizes are (height, width). File names below are of transformers 5.23.
"""

from __future__ import annotations

from typing import List, Tuple


def pick(condition: bool, yes: int, no: int) -> int:
    """``yes`` where ``condition`` holds, else ``no``."""
    return yes if condition else no


def pick_float(condition: bool, yes: float, no: float) -> float:
    """:func:`pick` for floats."""
    return yes if condition else no


def output_size(height: int, width: int, rule: str, numbers: List[int]) -> Tuple[int, int]:
    """The size that ``rule`` gives; ``numbers`` are its own, in the order of the rule's name.

    A name that ends in ``floor_to`` or ``ceil_to`` rounds both sides of the rule before it to a multiple of the last
    number; alone, it rounds the image's.
    """
    if rule.endswith("floor_to"):
        height, width = base_size(height, width, rule[:-8], numbers)
        return height // numbers[-1] * numbers[-1], width // numbers[-1] * numbers[-1]
    if rule.endswith("ceil_to"):
        height, width = base_size(height, width, rule[:-7], numbers)
        return ceil_to(height, numbers[-1]), ceil_to(width, numbers[-1])
    return base_size(height, width, rule, numbers)


def base_size(height: int, width: int, rule: str, numbers: List[int]) -> Tuple[int, int]:
    """:func:`output_size` before it rounds to a multiple."""
    if rule.startswith("height, width"):
        return numbers[0], numbers[1]
    if rule.startswith("shortest_edge, longest_edge"):
        return shortest_longest_edge(height, width, numbers[0], numbers[1])
    if rule.startswith("shortest_edge"):
        return shortest_edge(height, width, numbers[0])
    if rule.startswith("max_height, max_width"):
        return max_height_width(height, width, numbers[0], numbers[1])
    if rule.startswith("rounded_longest_edge"):
        return rounded_longest_edge(height, width, numbers[0])
    if rule.startswith("fit_height, fit_width"):
        return keep_ratio(height, width, max(height / numbers[0], width / numbers[1]))
    if rule.startswith("cover_height, cover_width"):
        return keep_ratio(height, width, min(height / numbers[0], width / numbers[1]))
    if rule.startswith("min_height, min_width"):
        return max(height, numbers[0]), max(width, numbers[1])
    if rule.startswith("square"):
        side = ceil_to(max(height, width), numbers[0])  # both sides, a multiple of its number
        return side, side
    return height, width


def ceil_to(size: int, multiple: int) -> int:
    """The next multiple, or ``size`` itself."""
    return (size + (multiple - 1)) // multiple * multiple


def shortest_edge(height: int, width: int, edge: int) -> Tuple[int, int]:
    """The short side becomes ``edge``, the other keeps the aspect ratio, rounded down.

    image_transforms.py:302 has ``int(edge * long / short)``; below 2**53 the float quotient floors to ``//``.
    """
    short = min(height, width)
    return edge * height // short, edge * width // short


def shortest_longest_edge(height: int, width: int, edge: int, longest: int) -> Tuple[int, int]:
    """The short side becomes ``edge`` unless the long one would pass ``longest`` (image_transforms.py:209)."""
    short = min(height, width)
    long = max(height, width)
    raw = pick_float(long / short * edge > longest, longest * short / long, edge * 1.0)
    edge = int(round(raw))
    portrait = width < height
    new_height = pick(portrait, int(raw * height / width), edge)
    new_width = pick(portrait, edge, int(raw * width / height))
    return pick(short == edge, height, new_height), pick(short == edge, width, new_width)


def max_height_width(height: int, width: int, max_height: int, max_width: int) -> Tuple[int, int]:
    """The largest size of the same aspect ratio inside a box (image_utils.py:382), float rounding included."""
    scale = min(max_height / height, max_width / width)
    return int(height * scale), int(width * scale)


def rounded_longest_edge(height: int, width: int, edge: int) -> Tuple[int, int]:
    """The long side becomes ``edge``, both sides rounded, halves to even (image_processing_slanext.py:60)."""
    scale = edge / max(height, width)
    return int(round(height * scale)), int(round(width * scale))


def keep_ratio(height: int, width: int, ratio: float) -> Tuple[int, int]:
    """Both sides divided by ``ratio`` and rounded, halves to even (timm 1.0, data/transforms.py, ``ResizeKeepRatio``)."""
    return int(round(height / ratio)), int(round(width / ratio))


def vertical_first(height: int, width: int, new_height: int, new_width: int, order: str) -> bool:
    """Whether the vertical pass runs before the horizontal one.

    ``order``: ``pillow13`` (Resample.c), ``pillow12.2`` (12.2-12.3, PIL/Image.py ``resize``), ``pillow12.1`` (every
    older one: never). Rounding to uint8 between the passes makes the order visible in the pixels.
    """
    if order == "pillow13":
        return (height > new_height) & (height - new_height > (width - new_width) * 2)
    if order == "pillow12.2":
        return (height > width * 100) & (new_height < height)
    return height < 0


def reduce_factor(n_in: int, n_out: int, gap: float) -> int:
    """By how many samples a side is averaged before the resize: Pillow's ``reducing_gap`` (PIL/Image.py ``resize``)."""
    return max(int(n_in / n_out / gap), 1)


def reduced(n_in: int, factor: int) -> int:
    """The samples that are left then: the last one may stand for fewer than ``factor``."""
    return (n_in + (factor - 1)) // factor


def pad_offset(size: int, padded: int, centered: bool) -> int:
    """Rows or columns of padding before the image: of an odd number, the smaller half."""
    return (padded - size) // 2 if centered else 0


def crop_offset(size: int, crop: int, rule: str = "pil") -> int:
    """First row or column of a center crop; negative where the image is smaller and gets padded.

    ``rule`` says where the odd row of padding goes. ``pil``: before (image_transforms.py:495-529 crops from
    ``(size - crop) // 2`` and pads ``ceil((crop - size) / 2)``, the same number with its sign turned);
    ``torchvision``: after (image_processing_backends.py:383-397); ``half_even``: after, too, but crops from
    ``round((size - crop) / 2)``, halves to even (torchvision, transforms/functional.py:583-597).
    """
    if rule == "pil":
        return (size - crop) // 2
    start = (size - crop) // 2
    if rule == "half_even":
        start = (size - crop + 1) // 4 + (size - crop + 2) // 4
    return pick(size < crop, (crop - size) // 2 * -1, start)
