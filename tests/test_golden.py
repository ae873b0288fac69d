"""Files that older releases wrote: they load, and give what they gave.

``golden/format1`` was written by the last commit of format 1, under reference ``pillow12.1`` or ``torchvision``; the
sums are those of its own results.
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

import exporter
from runtime import ArtifactError, Plan, artifact, load
from runtime.ops import CenterCrop, Normalize, Pad, Resize
from runtime.ops.size import Size

GOLDEN = Path(__file__).parent / "golden" / "format1"
FILES = sorted(path.name for path in GOLDEN.iterdir())

SUMS = {
    "vit": {
        (60, 45): "b39f4f9173aa2855a83c3d960e520a0b9cbe9f545a3cf3325d36ea8138f90b4a",
        (45, 60): "58efa957b7c3bfcdf19843b26fb68b28d07e421e0762ed387239540bdc4638d0",
        (33, 90): "e7b495d76a2e6fe41a21ed00b48e77ea9cf008f93642638e3079faa4f2c16bfd",
    },
    "clip": {
        (60, 45): "5d8c94f2962dc2e1dc30ab5b97b87445770ef32be3c60e30678b8414226c94e5",
        (45, 60): "c5b5e5a38975f00237b3b7b10c1ca5b5d7d9d76618935ff91006691cfb015508",
        (33, 90): "1cfc3eead0e1b51329265fd9046fd83806b5c977cf93948aa01b7aa59992d85e",
    },
    "clip_torchvision": {
        (60, 45): "c33be07c829145f08b404696d7e728390f2c4d660c932b7258dd2aec11f36e5f",
        (45, 60): "00d39a82d81fd18e0f00d6d7d0e20c6ec838bffbfc2d696e02834ebcfe107ff4",
        (33, 90): "3eda2f2d7a132f27ae6d36ddd32ba01eaa364b01c0ab281157e9b23718e9ec2c",
    },
    "vit_padded": {
        (60, 45): "b0aeca4eabe3c13e5d4cca700b20813883c906221270688a434f981400b53ef8",
        (45, 60): "7a8aa4e2464d37eaafca0dc7083675801a34bd279415c6a5c981b8040d0ab2e6",
        (33, 90): "5bae45fcde7043d9b27b884df843bf1c3436a72947a74a16198e42bd08b2c769",
    },
    "vit_gray_nchw": {
        (60, 45): "4cfd35631e0e7456169a7d43f5c07d1196b7889506b15f007991fcc6dc410f41",
        (45, 60): "6c99861b541e1f20e53d0ff154512657c73915f04be7b0e2c66f7f8194de7ef8",
        (33, 90): "ed767aa94d1ae0767be0e1efbc5165e18bba134b095e79abf5227d118e820231",
    },
    "vit_half_fixed": {(60, 45): "3c818501298831aeeb7cef6ce8c4128e5a8f21cdec29248c326d1b9ba68f8a6b"},
}
"""SHA-256 of ``pixel_values`` by the image's size."""


def image(height, width, channels):
    return np.random.default_rng((height, width, channels)).integers(0, 256, (height, width, channels), np.uint8)


def test_every_file_has_its_sums():
    assert {name.partition(".")[0] for name in FILES} == set(SUMS)


@pytest.mark.parametrize("backend", ["own", "pil", "torch", "numba"])
@pytest.mark.parametrize("name", FILES)
def test_it_gives_what_it_gave(name, backend):
    own = "onnx" if name.endswith(".onnx") else "torchscript"
    pre = load(GOLDEN / name, own if backend == "own" else backend)
    for size, sum_ in SUMS[name.partition(".")[0]].items():
        values = np.ascontiguousarray(pre(image(*size, pre.plan.channels)).pixel_values)
        assert hashlib.sha256(values.tobytes()).hexdigest() == sum_, size


@pytest.mark.parametrize("name", FILES)
def test_it_verifies(name, monkeypatch):
    monkeypatch.setattr(sys.modules["exporter.verify"], "sizes", lambda plan: tuple(SUMS[name.partition(".")[0]]))
    assert not any(row.differing for row in exporter.verify(GOLDEN / name))


def test_what_was_written_otherwise():
    padded = artifact.read(GOLDEN / "vit_padded.onnx")[0]
    assert [type(step) for step in padded.steps[:1]] == [Resize]
    assert padded.steps[-1] == Pad(Size(height=60, width=64), (0.0,))
    assert padded.outputs == ("pixel_values",)
    clip = artifact.read(GOLDEN / "clip_torchvision.pt")[0]
    assert clip.steps[2] == CenterCrop(32, 32, "torchvision")
    assert isinstance(clip.steps[3], Normalize)
    assert Plan.from_json(padded.to_json()) == padded


def old(**changes):
    """The JSON of a file of format 1, changed."""
    text = artifact.onnx_metadata(GOLDEN / "vit_padded.onnx")[artifact.PLAN_KEY]
    return {**json.loads(text), **changes}


@pytest.mark.parametrize(
    "data",
    [
        old(outputs=[]),
        old(outputs=["a", "b"]),
        old(outputs=None),
        old(outputs=[5]),
        old(outputs=["1"]),
        old(steps=None),
        old(steps=[5]),
        old(steps=[{}]),
        old(steps=[{"op": "pad"}]),
        old(steps=[{"op": "pad", "height": 5, "width": "x", "value": 0.0}]),
        old(steps=[{"op": "pad", "height": 5, "width": 5, "value": None}]),
        old(steps=[{"op": "pad", "height": 5, "width": 5, "value": 0.0, "centered": 1, "more": 1}]),
        old(group="pair"),
        old(config={"size": 5}),
        old(more=1),
        {key: value for key, value in old().items() if key != "outputs"},
        {key: value for key, value in old().items() if key != "steps"},
    ],
    ids=str,
)
def test_damaged_plans_of_format_1(data):
    with pytest.raises(ArtifactError, match="the Plan in the file cannot be read"):
        Plan.from_json(json.dumps(data))
