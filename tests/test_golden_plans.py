"""Files and Plans of format 2: they load, and give what they gave.

``golden/format2`` was written by :mod:`.golden_writer`; it stays as it is, whatever becomes of that.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from runtime import Plan, load
from runtime.ops import STEPS
from runtime.postprocess import POSTPROCESSORS
from runtime.preprocessor import Preprocessor

from .golden_writer import sums

GOLDEN = Path(__file__).parent / "golden" / "format2"
PLANS = json.loads((GOLDEN / "plans.json").read_text())
FILES = json.loads((GOLDEN / "sums.json").read_text())


def names(document):
    """The steps and the post-processing in a Plan's JSON, those of branches too."""
    if isinstance(document, dict):
        own = [document["op"]] if "op" in document else []
        return own + [name for value in document.values() for name in names(value)]
    return [name for value in document for name in names(value)] if isinstance(document, list) else []


def test_there_is_every_step_and_every_post_processing():
    found = {name for text, _ in PLANS.values() for name in names(json.loads(text))}
    assert found >= {*STEPS, *POSTPROCESSORS}
    assert {json.loads(text)["format"] for text, _ in PLANS.values()} == {2}
    assert {path.name for path in GOLDEN.iterdir()} == {*FILES, "plans.json", "sums.json"}


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_gives_what_it_gave(name):
    text, expected = PLANS[name]
    plan = Plan.from_json(text)
    for backend in ("pil", "numba", "torch"):
        assert sums(Preprocessor(plan, backend)) == expected, backend
    assert Plan.from_json(plan.to_json()) == plan
    kind = json.loads(text)["postprocess"]
    assert kind is None or type(plan.postprocess) is POSTPROCESSORS[kind["op"]]


@pytest.mark.parametrize("name", FILES)
def test_a_file_gives_what_it_gave(name):
    assert FILES[name]
    pre = load(GOLDEN / name, "onnx" if name.endswith(".onnx") else "torchscript")
    assert sums(pre) == FILES[name]


def test_labels_and_boxes():
    white = np.full((30, 40, 3), 255, np.uint8)
    best, *_ = load(GOLDEN / "classified.onnx").predict(white)
    assert best == {"label": "a", "score": 1.0}
    (found,) = load(GOLDEN / "detected.onnx").predict([white], threshold=0.0)
    assert [item["box"] for item in found] == [[20.0, 15.0, 60.0, 45.0]] * 2
