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
    if rule.startswith("scaled_shortest_edge, scaled_longest_edge"):
        return scaled_shortest_longest_edge(height, width, numbers[0], numbers[1])
    if rule.startswith("half_up_shortest_edge, half_up_longest_edge"):
        return half_up_shortest_longest_edge(height, width, numbers[0], numbers[1])
    if rule.startswith("half_up_longest_edge"):
        return half_up_longest_edge(height, width, numbers[0])
    if rule.startswith("rounded_longest_edge, min_edge"):
        new_height, new_width = rounded_longest_edge(height, width, numbers[0])
        return max(new_height, numbers[1]), max(new_width, numbers[1])
    if rule.startswith("rounded_longest_edge"):
        return rounded_longest_edge(height, width, numbers[0])
    if rule.startswith("truncated_longest_edge"):
        return truncated_longest_edge(height, width, numbers[0])
    if rule.startswith("rounded_shortest_edge"):
        return rounded_shortest_edge(height, width, numbers[0])
    if rule.startswith("thumbnail_height, thumbnail_width"):
        return thumbnail(height, width, numbers[0], numbers[1])
    if rule.startswith("limit_"):
        return text_image(height, width, rule, numbers)
    if rule.startswith("line_height, line_width, max_line_width"):
        return numbers[0], text_line_width(height, width, numbers[0], numbers[1], numbers[2])
    if rule.startswith("fit_height, fit_width"):
        return keep_ratio(height, width, max(height / numbers[0], width / numbers[1]))
    if rule.startswith("cover_height, cover_width"):
        return keep_ratio(height, width, min(height / numbers[0], width / numbers[1]))
    if rule.startswith("min_height, min_width"):
        return max(height, numbers[0]), max(width, numbers[1])
    if rule.startswith("square"):
        side = ceil_to(max(height, width), numbers[0])  # both sides, a multiple of its number
        return side, side
    if rule.startswith("nearest_height, nearest_width"):
        ratio = nearest_ratio(height, width, numbers[0], numbers[1])
        return multiples(ratio * height, ratio * width, numbers[2] / numbers[3])
    if rule.startswith("stretched_height, stretched_width"):
        return multiples(numbers[0] / height * height, numbers[1] / width * width, numbers[2] / numbers[3])
    if rule.startswith("sqrt_margin"):
        return sqrt_margin(height, numbers[0]), sqrt_margin(width, numbers[0])
    if rule.startswith("ratio_height, ratio_width"):
        return padded_to_ratio(height, width, numbers[0], numbers[1])
    if rule.startswith("past_multiple"):  # image_processing_pil_swin2sr.py:81
        return (height // numbers[0] + 1) * numbers[0], (width // numbers[0] + 1) * numbers[0]
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


def limited_edge(height: int, width: int, edge: int, longest: int) -> float:
    """``edge``, or what leaves the long side at ``longest`` where that would pass it (image_transforms.py:209)."""
    short = min(height, width)
    long = max(height, width)
    return pick_float(long / short * edge > longest, longest * short / long, edge * 1.0)


def shortest_longest_edge(height: int, width: int, edge: int, longest: int) -> Tuple[int, int]:
    """The short side becomes ``edge`` unless the long one would pass ``longest`` (image_transforms.py:209)."""
    raw = limited_edge(height, width, edge, longest)
    edge = int(round(raw))
    portrait = width < height
    new_height = pick(portrait, int(raw * height / width), edge)
    new_width = pick(portrait, edge, int(raw * width / height))
    kept = min(height, width) == edge
    return pick(kept, height, new_height), pick(kept, width, new_width)


def scaled_shortest_longest_edge(height: int, width: int, edge: int, longest: int) -> Tuple[int, int]:
    """The same, but a portrait image whose short side has its length already does not keep the long one.

    image_processing_pil_yolos.py:268: it matters where ``edge`` was rounded to that length.
    """
    raw = limited_edge(height, width, edge, longest)
    kept_height, kept_width = shortest_longest_edge(height, width, edge, longest)
    portrait = width < height
    return pick(portrait, int(raw * height / width), kept_height), pick(portrait, int(round(raw)), kept_width)


def half_up_shortest_longest_edge(height: int, width: int, edge: int, longest: int) -> Tuple[int, int]:
    """The same rule in floats, both sides rounded at the end, halves up (image_processing_pil_vilt.py:70)."""
    scale = edge / min(height, width)
    landscape = height < width
    new_height = pick_float(landscape, edge * 1.0, scale * height)
    new_width = pick_float(landscape, scale * width, edge * 1.0)
    long = max(new_height, new_width)
    limit = pick_float(long > longest, longest / long, 1.0)
    return int(limit * new_height + 0.5), int(limit * new_width + 0.5)


def half_up_longest_edge(height: int, width: int, edge: int) -> Tuple[int, int]:
    """The long side becomes ``edge``, both sides rounded, halves up (image_processing_pil_sam.py:136)."""
    scale = edge / max(height, width)
    return int(height * scale + 0.5), int(width * scale + 0.5)


def max_height_width(height: int, width: int, max_height: int, max_width: int) -> Tuple[int, int]:
    """The largest size of the same aspect ratio inside a box (image_utils.py:382), float rounding included."""
    scale = min(max_height / height, max_width / width)
    return int(height * scale), int(width * scale)


def rounded_longest_edge(height: int, width: int, edge: int) -> Tuple[int, int]:
    """The long side becomes ``edge``, both sides rounded, halves to even (image_processing_slanext.py:60)."""
    scale = edge / max(height, width)
    return int(round(height * scale)), int(round(width * scale))


def rounded_shortest_edge(height: int, width: int, edge: int) -> Tuple[int, int]:
    """The same of the short side (image_processing_pp_lcnet.py:114)."""
    scale = edge / min(height, width)
    return int(round(height * scale)), int(round(width * scale))


def thumbnail(height: int, width: int, box_height: int, box_width: int) -> Tuple[int, int]:
    """The longer side becomes at most the box's, the other keeps the aspect ratio (image_processing_pil_donut.py:139).

    Even where that leaves the other one larger than the box's; and squares are fitted side by side.
    """
    low, narrow = min(height, box_height), min(width, box_width)
    return pick(width > height, height * narrow // width, low), pick(height > width, width * low // height, narrow)


def text_image(height: int, width: int, rule: str, numbers: List[int]) -> Tuple[int, int]:
    """Both sides rounded to multiples of 32, once the first number has scaled them and the second limited both.

    ``limit_max``: the long side is at most the first number; ``limit_min``: the short one is at least that;
    ``limit_long``: the long one is that (image_processing_pp_ocrv5_server_det.py:310).
    """
    side = min(height, width) if rule.startswith("limit_min") else max(height, width)
    ratio = numbers[0] / side
    if rule.startswith("limit_max"):
        ratio = min(ratio, 1.0)
    if rule.startswith("limit_min"):
        ratio = max(ratio, 1.0)
    height, width = int(height * ratio), int(width * ratio)
    if rule.endswith("max_side_limit"):
        ratio = min(numbers[1] / max(max(height, width), 1), 1.0)
        height, width = int(height * ratio), int(width * ratio)
    return max(int(round(height / 32)) * 32, 32), max(int(round(width / 32)) * 32, 32)


def text_line_width(height: int, width: int, line_height: int, line_width: int, max_line_width: int) -> int:
    """What keeps the aspect ratio at ``line_height`` (image_processing_pp_ocrv5_server_rec.py:117).

    Rounded down, or up where that is less than ``line_width``; at most ``max_line_width``.
    """
    ratio = width / height
    longest = int(line_height * max(ratio, line_width / line_height))
    exact = line_height * ratio
    rounded_up = int(exact) + pick(exact > int(exact), 1, 0)
    return pick(longest > max_line_width, max_line_width, min(longest, rounded_up))


def truncated_longest_edge(height: int, width: int, edge: int) -> Tuple[int, int]:
    """The long side becomes ``edge``, the other is rounded down (image_processing_pil_tvp.py:33)."""
    landscape = height < width
    new_height = pick(landscape, int(edge * (height / width)), edge)
    return new_height, pick(landscape, edge, int(edge * (width / height)))


def keep_ratio(height: int, width: int, ratio: float) -> Tuple[int, int]:
    """Both sides divided by ``ratio`` and rounded, halves to even (timm, data/transforms.py, ``ResizeKeepRatio``)."""
    return int(round(height / ratio)), int(round(width / ratio))


def nearest_ratio(height: int, width: int, new_height: int, new_width: int) -> float:
    """What brings one side to its new length: that which changes the size least (image_processing_pil_dpt.py:92)."""
    rows, columns = new_height / height, new_width / width
    less = max(1 - columns, columns - 1) < max(1 - rows, rows - 1)
    return pick_float(less, columns, rows)


def multiples(height: float, width: float, unit: float) -> Tuple[int, int]:
    """Both sides rounded to multiples of ``unit``, halves to even, then rounded down.

    image_processing_pil_dpt.py:75, of whole units; image_processing_pil_zoedepth.py:79, where one may be a fraction.
    """
    return int(round(height / unit) * unit), int(round(width / unit) * unit)


def sqrt_margin(size: int, factor: int) -> int:
    """With ``int(sqrt(size / 2) * factor)`` on both sides (image_processing_pil_zoedepth.py:169).

    The quarter keeps the root of a square from rounding below it, and reaches no other integer: halves stand before it.
    """
    return int((factor * factor * size / 2 + 0.25) ** 0.5) * 2 + size


def aligned(height: int, width: int, portrait: bool) -> Tuple[int, int]:
    """The size of an image that is turned where needed for its height, or its width, to be the long side."""
    short, long = min(height, width), max(height, width)
    return (long, short) if portrait else (short, long)


def padded_to_ratio(height: int, width: int, ratio_height: int, ratio_width: int) -> Tuple[int, int]:
    """What is missing to the ratio, half of it on each side, rounded down (keras 3.15, src/backend/torch/image.py:268).

    Its float quotients floor to ``//``, as in :func:`shortest_edge`.
    """
    rows = max(width * ratio_height // ratio_width - height, 0)
    columns = max(height * ratio_width // ratio_height - width, 0)
    return height + rows // 2 * 2, width + columns // 2 * 2


def cropped_to_ratio(height: int, width: int, ratio_height: int, ratio_width: int) -> Tuple[int, int]:
    """The largest part that has the ratio, of 1 pixel at least (keras 3.15, src/backend/torch/image.py:252)."""
    rows = max(min(height, width * ratio_height // ratio_width), 1)
    return rows, max(min(width, height * ratio_width // ratio_height), 1)


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


def both_axes(
    height: int, width: int, new_height: int, new_width: int, order: str, crop: List[int], crop_rule: str, gap: float
) -> Tuple[List[int], List[int], bool]:
    """What a resize and the crop behind it do with rows and with columns, and whether the vertical pass is first.

    Args:
        height, width: of the image.
        new_height, new_width: of the resized image.
        order: as of :func:`vertical_first`.
        crop: (height, width); zeros where nothing is cropped.
        crop_rule: as of :func:`crop_offset`.
        gap: ``reducing_gap``; 0 where nothing is averaged before.

    Returns:
        For each axis: samples before and after, the first one that is kept, how many are, and by how many they are
        averaged before.
    """
    factors = [1, 1]
    if gap > 0.0:
        factors = [reduce_factor(height, new_height, gap), reduce_factor(width, new_width, gap)]
    top, left, kept = 0, 0, [new_height, new_width]
    if crop[0] > 0:
        top, left, kept = crop_offset(new_height, crop[0], crop_rule), crop_offset(new_width, crop[1], crop_rule), crop
    rows = [height, new_height, top, kept[0], factors[0]]
    columns = [width, new_width, left, kept[1], factors[1]]
    before = reduced(height, factors[0]), reduced(width, factors[1])
    return rows, columns, vertical_first(before[0], before[1], new_height, new_width, order)


def share_box(
    height: int, width: int, parts: List[int], wholes: List[int], rule: str, black: bool
) -> Tuple[int, int, int, int]:
    """Top, left, height and width of a center crop to shares of the short side.

    Rounded down in floats (image_processing_pil_perceiver.py:71). Where that leaves nothing, a box of at least 1 pixel
    right above the image stands for it, if ``black``.
    """
    short = min(height, width)
    new_height, new_width = int(parts[0] / wholes[0] * short), int(parts[1] / wholes[1] * short)
    top, left = crop_offset(height, new_height, rule), crop_offset(width, new_width, rule)
    if black:
        empty = new_height * new_width < 1
        new_height, new_width = max(new_height, 1), max(new_width, 1)
        top, left = pick(empty, new_height * -1, top), pick(empty, 0, left)
    return top, left, new_height, new_width


def pad_offset(size: int, padded: int, centered: bool) -> int:
    """Rows or columns of padding before the image: of an odd number, the smaller half."""
    return (padded - size) // 2 if centered else 0


def excess(size: int, padded: int, centered: bool, edge: bool) -> int:
    """How many samples the longer border has more than can be mirrored; with ``edge``, the outermost one can."""
    before = pad_offset(size, padded, centered)
    return max(before, padded - size - before) - size + (0 if edge else 1)


def crop_offset(size: int, crop: int, rule: str = "pil") -> int:
    """First row or column of a center crop; negative where the image is smaller and gets padded.

    ``rule`` says where the odd row of padding goes. ``pil``: before (image_transforms.py:495-529 crops from
    ``(size - crop) // 2`` and pads ``ceil((crop - size) / 2)``, the same number with its sign turned);
    ``torchvision``: after (image_processing_backends.py:383-397); ``half_even``: after, too, but crops from
    ``round((size - crop) / 2)``, halves to even (torchvision, transforms/functional.py:583-597); ``half_up``: after,
    and crops from ``(size - crop + 1) // 2``, as a negative ``(crop - size) // 2`` of padding does
    (image_processing_donut.py:93).
    """
    if rule == "half_up":
        return (crop - size) // 2 * -1
    if rule == "pil":
        return (size - crop) // 2
    start = (size - crop) // 2
    if rule == "half_even":
        start = (size - crop + 1) // 4 + (size - crop + 2) // 4
    return pick(size < crop, (crop - size) // 2 * -1, start)
