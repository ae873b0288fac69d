"""The size rules of detectors and segmenters against transformers' own, as Python, TorchScript and ONNX."""

import itertools

import numpy as np
import pytest
import torch
from transformers import (
    BridgeTowerImageProcessor,
    BridgeTowerImageProcessorPil,
    Mask2FormerImageProcessor,
    Mask2FormerImageProcessorPil,
    SamImageProcessor,
    SamImageProcessorPil,
    ViltImageProcessor,
    ViltImageProcessorPil,
    YolosImageProcessor,
    YolosImageProcessorPil,
)
from transformers.image_processing_backends import PilBackend, TorchvisionBackend
from transformers.image_utils import SizeDict

from exporter.graph import Graph
from runtime import geometry
from runtime.arrays.onnx import Formulas
from runtime.ops import resize_torch

from .helpers import script, session


def sizes():
    """Heights and widths: random ones, all small ones, and those at which the rules for edges meet their ties."""
    random = np.random.default_rng(1).integers(1, 4000, (600, 2))
    small = itertools.product(range(1, 16), repeat=2)
    ties = itertools.product([48, 59, 60, 61, 384, 400, 639, 640, 799, 800, 801, 1024, 1333, 1334, 1344], repeat=2)
    return [*map(tuple, random.tolist()), *small, *ties, (1, 60_000), (60_000, 1)]


def asked_size(processor, height, width, monkeypatch, **settings):
    """The size that a processor's own ``resize`` asks of its backend's."""
    asked = []
    for backend in (PilBackend, TorchvisionBackend):
        monkeypatch.setattr(backend, "resize", lambda self, image, size, **more: asked.append(size))
    shape = (3, height, width)
    image = np.empty(shape, np.bool_) if isinstance(processor, PilBackend) else torch.empty(shape, device="meta")
    processor.resize(image, resample=2, **settings)
    return asked[0].height, asked[0].width


EDGES = SizeDict(shortest_edge=800, longest_edge=1333)
RULES = [
    *(
        ("scaled_shortest_edge, scaled_longest_edge, floor_to", [short, long, 16], kind, {"size": size})
        for kind in (YolosImageProcessorPil, YolosImageProcessor)
        for short, long in ((800, 1333), (50, 60), (640, 640))
        for size in (SizeDict(shortest_edge=short, longest_edge=long),)
    ),
    *(
        ("shortest_edge, longest_edge, ceil_to", [800, 1333, step], kind, {"size": EDGES, "size_divisor": step})
        for kind in (Mask2FormerImageProcessorPil, Mask2FormerImageProcessor)
        for step in (1, 32)
    ),
    *(
        (
            "half_up_shortest_edge, half_up_longest_edge, floor_to",
            [edge, int(1333 / 800 * edge), step],
            kind,
            {"size": SizeDict(shortest_edge=edge), "size_divisor": step},
        )
        for kind in (
            ViltImageProcessorPil,
            ViltImageProcessor,
            BridgeTowerImageProcessorPil,
            BridgeTowerImageProcessor,
        )
        for edge, step in ((384, 32), (288, 1), (7, 2))
    ),
    *(
        ("half_up_longest_edge", [edge], kind, {"size": SizeDict(longest_edge=edge)})
        for kind in (SamImageProcessorPil, SamImageProcessor)
        for edge in (1024, 7)
    ),
]


@pytest.mark.parametrize(
    ("rule", "numbers", "kind", "settings"), RULES, ids=lambda value: getattr(value, "__name__", str(value)[:60])
)
def test_a_rule_equals_transformers_in_every_form(rule, numbers, kind, settings, monkeypatch):
    cases, processor = sizes(), kind()
    want = [asked_size(processor, *size, monkeypatch, **settings) for size in cases]
    assert [geometry.output_size(*size, rule, numbers) for size in cases] == want
    scripted = script(resize_torch.geometry.output_size)
    assert [scripted(*size, rule, numbers) for size in cases] == want
    graph = Graph()
    height, width = (graph.input(name, "int64", ["n"]) for name in ("height", "width"))
    for i, side in enumerate(Formulas(graph).geometry.output_size(height, width, rule, numbers)):
        graph.output(side, f"side_{i}", ["n"])
    heights, widths = np.array(cases).T
    got = session(graph.build(18, 8, "geometry")).run(None, {"height": heights, "width": widths})
    assert list(zip(*(side.tolist() for side in got), strict=True)) == want


def test_yolos_scales_a_portrait_image_whose_short_side_fits():
    # 1333 * 60 / 1344 is 59.5, which rounds to the 60 that the image has: DETR leaves it as it is then.
    assert geometry.output_size(1344, 60, "shortest_edge, longest_edge, floor_to", [800, 1333, 4]) == (1344, 60)
    rule = "scaled_shortest_edge, scaled_longest_edge, floor_to"
    assert geometry.output_size(1344, 60, rule, [800, 1333, 4]) == (1332, 60)
    assert geometry.output_size(60, 1344, rule, [800, 1333, 4]) == (60, 1344)
