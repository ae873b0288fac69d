"""Sizes, offsets and the order of passes, as integer functions of height and width.

Like :mod:`.resample`, this source runs on Python integers (NumPy, eager torch), on symbolic ones (``torch.compile``),
as TorchScript and as ONNX nodes (see :mod:`.arrays`). So it holds no ``if`` on a size: :func:`pick` chooses.

Sizes are (height, width). File names below are of transformers 5.23.
"""

from __future__ import annotations

from typing import Tuple


def pick(condition: bool, yes: int, no: int) -> int:
    """``yes`` where ``condition`` holds, else ``no``."""
    return yes if condition else no


def pick_float(condition: bool, yes: float, no: float) -> float:
    """:func:`pick` for floats."""
    return yes if condition else no


def output_size(height: int, width: int, rule: str, first: int, second: int) -> Tuple[int, int]:
    """The size that ``rule`` gives; ``first`` and ``second`` are its numbers, in the order of the rule's name."""
    if rule == "shortest_edge":
        return shortest_edge(height, width, first)
    if rule == "shortest_edge, longest_edge":
        return shortest_longest_edge(height, width, first, second)
    if rule == "max_height, max_width":
        return max_height_width(height, width, first, second)
    if rule == "rounded_longest_edge":
        return rounded_longest_edge(height, width, first)
    return first, second


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


def crop_offset(size: int, crop: int, rule: str = "pil") -> int:
    """First row or column of a center crop; negative where the image is smaller and gets padded.

    ``rule`` says where the odd row of padding goes. ``pil``: before (image_transforms.py:495-529 crops from
    ``(size - crop) // 2`` and pads ``ceil((crop - size) / 2)``, the same number with its sign turned);
    ``torchvision``: after (image_processing_backends.py:383-397).
    """
    if rule == "torchvision":
        return pick(size < crop, (crop - size) // 2 * -1, (size - crop) // 2)
    return (size - crop) // 2
