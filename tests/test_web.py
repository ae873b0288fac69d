"""The same file in Node and in a browser: the bytes that Python's onnxruntime gives."""

import numpy as np
import onnx
import onnxruntime
import pytest

import exporter

from . import javascript
from .helpers import assert_equal, noise

SOURCES = {
    "ViT, bilinear": ("vit-base-patch16-224", {}),
    "ViT, torchvision's integers": ("vit-base-patch16-224", {"reference": "torchvision"}),
    "ViT, channels first, float16": ("vit-base-patch16-224", {"layout": "NCHW", "dtype": "float16"}),
    "ViT, one input size": ("vit-base-patch16-224", {"input_size": (53, 37), "resample": 4}),
    "CLIP, bicubic, crop": ("clip-vit-base-patch32", {}),
    "Chameleon, lanczos": ("chameleon-7b", {"size": {"shortest_edge": 96}, "crop_size": 96}),
    "EfficientNet, nearest": ("efficientnet-b0", {}),
    "DETR, with a mask": ("detr-resnet-50", {"size": {"shortest_edge": 96, "longest_edge": 160}}),
    "SAM, padding and sizes": ("sam-vit-base", {"size": {"longest_edge": 96}, "pad_size": {"height": 96, "width": 96}}),
    "Donut, thumbnail, turned": ("donut-base", {"size": [96, 64], "do_align_long_axis": True}),
    "OWLv2, floats": ("owlv2-base-patch16-ensemble", {"size": {"height": 96, "width": 96}}),
    "DepthPro, floats": ("DepthPro-hf", {"size": {"height": 96, "width": 128}}),
}
SHAPES = [(1, 48, 64), (2, 53, 37), (1, 97, 41), (1, 31, 400), (1, 480, 640), (1, 1, 1), (1, 2, 1), (3, 3, 5)]


def images(plan):
    """Batches of both orientations, odd and tiny sizes; of the one size that the Plan may take."""
    shapes = [(2, *plan.input_size)] if plan.input_size else SHAPES
    batches = [np.stack([noise(height, width, seed=i) for i in range(batch)]) for batch, height, width in shapes]
    return [np.ascontiguousarray(np.moveaxis(b, -1, 1)) for b in batches] if plan.layout == "NCHW" else batches


def in_python(path, images):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return [dict(zip(names, session.run(None, {"images": image}), strict=True)) for image in images]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """By name, each Plan, its file, what it is fed and what Python gives."""
    folder = tmp_path_factory.mktemp("web")
    found = {}
    for i, (name, (source, options)) in enumerate(SOURCES.items()):
        plan, path = exporter.trace(source, **options), folder / f"{i}.onnx"
        exporter.to_onnx(plan, path)
        found[name] = plan, path, images(plan), in_python(path, images(plan))
    return found


@pytest.fixture(scope="module", params=javascript.RUNTIMES)
def outputs(request, exported):
    """The runtime's name and, by name, what it gives."""
    run = javascript.runner(request.param)
    results = run([(path, images) for _, path, images, _ in exported.values()])
    return request.param, dict(zip(exported, results, strict=True))


@pytest.mark.parametrize("name", SOURCES)
def test_every_byte_is_that_of_python(outputs, exported, name):
    runtime, results = outputs
    plan, _, fed, expected = exported[name]
    assert len(fed) == len(results[name])
    for image, got, wanted in zip(fed, results[name], expected, strict=True):
        assert set(got) == set(wanted) == set(plan.outputs)
        for output, value in wanted.items():
            what = f"{name} in {runtime}, {output} of {image.shape}"
            if plan.bound and runtime == "browser":
                # WebAssembly does not fuse a product and a sum, and so rounds floats twice where Python rounds once.
                np.testing.assert_allclose(
                    got[output], value, rtol=0, atol=plan.bound * np.abs(value).max(), err_msg=what
                )
            else:
                assert_equal(got[output], value, what)
                assert got[output].tobytes() == value.tobytes(), what


def read_by(graph):
    """The names of all values that the graph's nodes read, those in branches too."""
    for node in graph.node:
        yield from node.input
        for attribute in node.attribute:
            yield from read_by(attribute.g)


@pytest.mark.parametrize("name", SOURCES)
def test_no_constant_is_left_over(exported, name):
    """onnxruntime warns of each, in the console of every page."""
    graph = onnx.load(exported[name][1]).graph
    assert {constant.name for constant in graph.initializer} <= set(read_by(graph))


@pytest.mark.parametrize("runtime", javascript.RUNTIMES)
def test_an_error_in_javascript_fails(runtime, tmp_path):
    run = javascript.runner(runtime)
    (tmp_path / "no.onnx").write_bytes(b"no model")
    with pytest.raises(AssertionError, match="protobuf parsing failed"):
        run([(tmp_path / "no.onnx", [])])


def test_what_is_not_installed_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(javascript, "MODULES", tmp_path)
    assert javascript.lacking(None, "onnxruntime-node") == "needs Node"
    assert javascript.lacking(None, "onnxruntime-web") == "needs chromium or chromium-browser or google-chrome"
    assert "EXPORT_PREPROCESSOR_NODE_MODULES" in javascript.lacking("node", "onnxruntime-node")
    (tmp_path / "onnxruntime-node").mkdir()
    assert javascript.lacking("node", "onnxruntime-node") is None
