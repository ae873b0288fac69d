"""Detectors with random weights, exported and fused: from a photograph to the boxes that transformers finds."""

from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest
import torch
import transformers
from PIL import Image
from torch import nn

import exporter
from exporter import cli, draw
from runtime import load
from runtime.postprocess import ObjectDetection

from .helpers import assert_equal, noise

NAMES = {i: f"thing {i}" for i in range(5)}
PHOTOS = [(60, 90), (90, 60), (60, 90), (33, 41)]


def detr():
    """With a mask of what is padding."""
    backbone = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 8], depths=[1, 1], layer_type="basic", out_features=["stage2"]
    )
    config = transformers.DetrConfig(
        use_timm_backbone=False, use_pretrained_backbone=False, backbone=None, backbone_config=backbone, d_model=16,
        encoder_layers=1, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=16,
        decoder_ffn_dim=16, num_queries=7, id2label=NAMES,
    )  # fmt: skip
    processor = transformers.DetrImageProcessorPil(size={"shortest_edge": 40, "longest_edge": 60})
    processor.pad_size = {"height": 64, "width": 96}
    return transformers.DetrForObjectDetection(config), processor


def yolos():
    config = transformers.YolosConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=[64, 96],
        patch_size=16, num_detection_tokens=7, id2label=NAMES,
    )  # fmt: skip
    processor = transformers.YolosImageProcessorPil(size={"height": 64, "width": 96}, do_pad=False)
    return transformers.YolosForObjectDetection(config), processor


def rt_detr():
    backbone = transformers.RTDetrResNetConfig(
        embedding_size=8, hidden_sizes=[8, 8, 8, 8], depths=[1, 1, 1, 1], layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    )  # fmt: skip
    config = transformers.RTDetrConfig(
        backbone_config=backbone, encoder_hidden_dim=16, encoder_in_channels=[8, 8, 8], encoder_layers=1,
        encoder_ffn_dim=16, encoder_attention_heads=2, d_model=16, num_queries=7, decoder_in_channels=[16, 16, 16],
        decoder_ffn_dim=16, decoder_layers=1, decoder_attention_heads=2, num_denoising=0, id2label=NAMES,
    )  # fmt: skip
    processor = transformers.RTDetrImageProcessorPil(size={"height": 64, "width": 96}, do_pad=False)
    return transformers.RTDetrForObjectDetection(config), processor


class Detector(nn.Module):
    """A model whose results are the two that post-processing reads."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, pixel_values, pixel_mask=None):
        mask = {} if pixel_mask is None else {"pixel_mask": pixel_mask}
        outputs = self.model(pixel_values, **mask)
        return outputs.logits, outputs.pred_boxes


@pytest.fixture(
    scope="module",
    params=[pytest.param(detr, id="detr"), pytest.param(yolos, id="yolos"),
            pytest.param(rt_detr, id="rt_detr", marks=pytest.mark.slow)],
)  # fmt: skip
def fused(request, tmp_path_factory):
    """The folder of ``model.onnx``, ``fused.onnx`` and photographs; transformers' processor; and a threshold.

    Three objects of the first photograph are above it.
    """
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("detector")
    model, processor = request.param()
    with torch.no_grad():
        for values in model.parameters():
            values.normal_(std=0.5)  # as they are initialised, queries are alike
    fixed = request.param is rt_detr  # which torch exports for one size of batch only
    inputs = {"pixel_values": torch.randn(1 if fixed else 2, 3, 64, 96)}
    if processor.do_pad:
        inputs["pixel_mask"] = torch.ones(2, 64, 96, dtype=torch.int64)
    torch.onnx.export(
        Detector(model).eval(), (), folder / "model.onnx", kwargs=inputs, dynamo=True, input_names=list(inputs),
        dynamic_shapes=None if fixed else {name: {0: torch.export.Dim.DYNAMIC} for name in inputs},
        output_names=["logits", "pred_boxes"], verbose=False,
    )  # fmt: skip
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(folder)
    processor.save_pretrained(folder)
    exporter.to_onnx(exporter.trace(str(folder)), folder / "fused.onnx", model=folder / "model.onnx")
    for i, size in enumerate(PHOTOS):
        Image.fromarray(noise(*size, seed=i)).save(folder / f"{i}.png")
    scores = load(folder / "fused.onnx")(str(folder / "0.png"))["scores"][0]
    third, fourth = np.sort(scores)[[-3, -4]].tolist()
    return folder, processor, (third + fourth) / 2


def expected(folder, processor, threshold, photo):
    """What transformers finds in a photograph with the model by itself."""
    with Image.open(photo) as image:
        inputs = processor(image, return_tensors="np")
        size = image.size[::-1]
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    feeds = {value.name: inputs[value.name] for value in session.get_inputs()}
    outputs = dict(zip(("logits", "pred_boxes"), map(torch.from_numpy, session.run(None, feeds)), strict=True))
    results = processor.post_process_object_detection(SimpleNamespace(**outputs), threshold, target_sizes=[size])
    return {name: value.numpy() for name, value in results[0].items()}


def test_the_same_objects(fused):
    folder, processor, threshold = fused
    loaded = load(folder / "fused.onnx")
    photos = [str(folder / f"{i}.png") for i in range(len(PHOTOS))]
    every = loaded.predict(photos, threshold=threshold)
    for photo, found in zip(photos, every, strict=True):
        want = expected(folder, processor, threshold, photo)
        assert loaded.predict(photo, threshold=threshold) == found
        assert [item["label"] for item in found] == [NAMES[label] for label in want["labels"]]
        assert_equal(np.array([item["box"] for item in found], np.float32), want["boxes"], "boxes")
        np.testing.assert_allclose([item["score"] for item in found], want["scores"], rtol=5e-7)
    assert len(every[0]) == 3
    assert every[0] != every[2]


def test_outputs_of_the_file(fused):
    folder, *_ = fused
    plan, images = load(folder / "fused.onnx").plan, noise(50, 70)[None]
    assert isinstance(plan.postprocess, ObjectDetection)
    session = onnxruntime.InferenceSession(folder / "fused.onnx", providers=["CPUExecutionProvider"])
    outputs = dict(zip([v.name for v in session.get_outputs()], session.run(None, {"images": images}), strict=True))
    shapes = {name: (str(value.dtype), value.shape) for name, value in outputs.items()}
    assert shapes == {
        "logits": ("float32", outputs["logits"].shape),
        "pred_boxes": ("float32", (1, 7, 4)),
        "scores": ("float32", (1, 7)),
        "labels": ("int64", (1, 7)),
        "boxes": ("float32", (1, 7, 4)),
    }


def test_boxes_are_printed_and_drawn(fused, capsys):
    folder, _, threshold = fused
    found = load(folder / "fused.onnx").predict(str(folder / "0.png"), threshold=threshold)
    best = max(found, key=lambda item: item["score"])
    arguments = ["run", "fused.onnx", "0.png", "--draw", "out.png"]
    arguments = [str(folder / part) if "." in part else part for part in arguments]
    assert cli.main([*arguments, "--threshold", str(threshold)]) == 0
    lines = capsys.readouterr().out.splitlines()
    box = " ".join(f"{number:.1f}" for number in best["box"])
    assert f" {best['score']:7.2%}  {best['label']}  {box}" in lines
    with Image.open(folder / "out.png") as picture:
        pixels = np.asarray(picture)
    left, top, right, bottom = best["box"]
    names = sorted({item["label"] for item in found})
    row = int(np.clip((top + bottom) / 2, 0, 59))
    column = int(np.clip((left + right) / 2, 0, 89))
    edges = [(row, x) for x in (left, right) if 0 <= x < 89] + [(y, column) for y in (top, bottom) if 0 <= y < 59]
    assert edges
    for y, x in edges:
        near = [tuple(pixels[j, i]) for j in {int(y), round(y)} for i in {int(x), round(x)}]
        assert draw.colour(names.index(best["label"])) in near
