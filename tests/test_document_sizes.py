"""The size rules of document families against transformers' own, as Python, TorchScript and ONNX."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import (
    DonutImageProcessorPil,
    PPLCNetImageProcessor,
    PPOCRV5ServerDetImageProcessor,
    PPOCRV5ServerRecImageProcessor,
    PPOCRV6SmallRecImageProcessor,
)
from transformers.image_utils import SizeDict

from exporter.graph import Graph
from runtime import geometry
from runtime.arrays.onnx import Formulas
from runtime.ops import resize_torch

from .helpers import script, session


def sizes():
    """Heights and widths: random ones, and all small ones and those around multiples of 16, which meet every tie."""
    random = np.random.default_rng(0).integers(1, 5000, (2000, 2))
    small = itertools.product(range(1, 20), repeat=2)
    ties = itertools.product([15, 16, 17, 47, 48, 49, 79, 80, 81, 240, 239, 960, 961, 1920, 4000, 4016], repeat=2)
    return [*map(tuple, random.tolist()), *small, *ties, (1, 60_000), (60_000, 1)]


def thumbnail(height, width, box):
    """The size that Donut's thumbnail asks of its resize."""
    asked = []
    processor = SimpleNamespace(resize=lambda image, size, resample: asked.append((size.height, size.width)))
    image = np.empty((3, height, width), np.bool_)
    DonutImageProcessorPil.thumbnail(processor, image, SizeDict(height=box[0], width=box[1]))
    return asked[0] if asked else (height, width)


def lcnet(height, width, edge, divisor):
    size = PPLCNetImageProcessor.get_image_size(None, torch.empty(3, height, width, device="meta"), edge, divisor)
    return size.height, size.width


def detection(height, width, *limits):
    image = torch.empty(3, height, width, device="meta")
    size, _ = PPOCRV5ServerDetImageProcessor.get_image_size(None, image, *limits)
    return size.height, size.width


def line(height, width, processor, box, longest):
    settings = SimpleNamespace(size={"height": box[0], "width": box[1]}, max_image_width=longest)
    size = processor.get_target_size(settings, [(height, width)])
    return size.height, size.width


RULES = [
    *(("thumbnail_height, thumbnail_width", [*box], thumbnail, (box,)) for box in ((30, 20), (20, 30), (512, 512))),
    ("rounded_shortest_edge", [256], lcnet, (256, None)),
    ("rounded_shortest_edge", [7], lcnet, (7, 1)),
    ("rounded_shortest_edge, ceil_to", [33, 8], lcnet, (33, 8)),
    *(
        (f"limit_{rule}", [limit], detection, (limit, kind, None))
        for rule, kind in (("max", "max"), ("min", "min"), ("long", "resize_long"))
        for limit in (1, 80, 960)
    ),
    *(
        (f"limit_{rule}, max_side_limit", [limit, most], detection, (limit, kind, most))
        for rule, kind in (("max", "max"), ("min", "min"), ("long", "resize_long"))
        for limit, most in ((960, 4000), (100, 90), (736, 1), (1, 100))
    ),
    *(
        ("line_height, line_width, max_line_width", [*box, longest], line, (processor, box, longest))
        for processor in (PPOCRV5ServerRecImageProcessor, PPOCRV6SmallRecImageProcessor)
        for box, longest in (((48, 320), 3200), ((32, 33), 100), ((7, 3), 5))
    ),
]


@pytest.mark.parametrize(
    ("rule", "numbers", "of", "settings"), RULES, ids=lambda value: getattr(value, "__name__", str(value)[:60])
)
def test_a_rule_equals_transformers_in_every_form(rule, numbers, of, settings):
    cases = sizes()
    want = [of(*size, *settings) for size in cases]
    assert [geometry.output_size(*size, rule, numbers) for size in cases] == want
    scripted = script(resize_torch.geometry.output_size)
    assert [scripted(*size, rule, numbers) for size in cases] == want
    graph = Graph()
    sides = [graph.input(name, "int64", ["n"]) for name in ("height", "width")]
    for name, size in zip(
        ("rows", "columns"), Formulas(graph).geometry.output_size(*sides, rule, numbers), strict=True
    ):
        graph.output(graph.value(size) + sides[0] * 0, name, ["n"])
    heights, widths = np.array(cases).T
    got = session(graph.build(18, 8, "rule")).run(None, {"height": heights, "width": widths})
    assert list(zip(*(size.tolist() for size in got), strict=True)) == want
