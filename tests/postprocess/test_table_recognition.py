"""A table's HTML, equal to transformers'."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st

from exporter import report
from runtime import ArtifactError
from runtime.postprocess import TableRecognition
from runtime.postprocess.table_recognition import TOKENS

from ..postprocessing import of_family, one, run_both, run_numpy
from .test_text_recognition import probabilities

START, END = 0, len(TOKENS) - 1
POST = TableRecognition()


def of_steps(best, run=run_both, classes=50):
    """The outputs of one image."""
    return one(run(POST, {"last_hidden_state": probabilities([best], classes)}))


def theirs(best):
    values = torch.from_numpy(probabilities([best], len(TOKENS)))
    return transformers.SLANeXtImageProcessor().post_process_table_recognition(
        SimpleNamespace(last_hidden_state=values)
    )


def check(best, run):
    got, want = POST.result(of_steps(best, run), ()), theirs(best)
    assert got["structure"] == want["structure"]
    # torch adds in float32.
    assert got["structure_score"] == pytest.approx(want["structure_score"], rel=1e-6)
    return got["structure"][3:-3]


def test_tokens():
    assert list(TOKENS) == transformers.SLANeXtImageProcessor().character


def test_of_its_family():
    assert of_family("SLANeXt", "torchvision")["table_recognition"] == POST


@pytest.mark.parametrize(
    ("best", "want"),
    [
        ([START, 3, 5, 48, 6, END, 5], ["<tbody>", "<tr>", "<td></td>", "</tr>"]),
        ([5, 7, 10, 8, 9], ["<tr>", "<td", ' colspan="2"', ">", "</td>"]),
        ([END, 5, START, 6, END, 1, END], ["<tr>", "</tr>"]),
        ([47], [' rowspan="20"']),
    ],
)
def test_equal_to_transformers(best, want):
    assert check(best, run_both) == want


@given(st.lists(st.integers(1, END - 1), min_size=1, max_size=5), st.lists(st.integers(0, END), max_size=40))
def test_any_table(some, more):
    check([*some, *more], lambda post, outputs: run_numpy(post, outputs, (512, 512)))


@pytest.mark.parametrize("best", [[START, END, 5], [END], [START, START]])
def test_empty_tables(best):
    """transformers fails, for it stacks no scores."""
    found = POST.result(of_steps(best), ())
    assert found["structure"] == ["<html>", "<body>", "<table>", "</table>", "</body>", "</html>"]
    assert math.isnan(found["structure_score"])
    with pytest.raises(RuntimeError):
        theirs(best)


def test_every_image_of_a_batch():
    values = probabilities([[1, 2, END], [3, 4, END]], len(TOKENS))
    results = run_both(POST, {"last_hidden_state": values})
    rows = [POST.result(one(results, i), ())["structure"][3:-3] for i in range(2)]
    assert rows == [["<thead>", "</thead>"], ["<tbody>", "</tbody>"]]


def test_classes_that_are_no_tokens():
    with pytest.raises(ArtifactError, match="the model found class 50, but there are 50 names"):
        POST.result(of_steps([1, 50], classes=60), ())


def test_what_is_printed(capsys):
    report.prediction("table.png", {"structure": ["<table>", "</table>"], "structure_score": np.float64(0.98765432)})
    lines = ["table.png", " structure: <table></table>", " structure_score: 0.98765"]
    assert capsys.readouterr().out.splitlines() == lines
