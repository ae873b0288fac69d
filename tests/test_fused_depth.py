"""Tiny random models of transformers in one file with their processors: depths, classes of pixels, masks of prompts."""

import json
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest
import skimage
import torch
import transformers
from onnx import TensorProto, helper
from PIL import Image
from transformers import (
    DPTConfig,
    DPTForDepthEstimation,
    DPTForSemanticSegmentation,
    SamConfig,
    SamMaskDecoderConfig,
    SamModel,
    SamPromptEncoderConfig,
    SamVisionConfig,
)

import exporter
import runtime
from exporter.cli import main
from runtime.postprocess import DepthEstimation, Masks

from .families import threads
from .helpers import assert_equal
from .postprocessing import logits

PHOTO = Path(skimage.__file__).parent / "data" / "chelsea.png"

DPT = DPTConfig(
    hidden_size=16,
    num_hidden_layers=4,
    num_attention_heads=2,
    intermediate_size=16,
    image_size=32,
    patch_size=8,
    backbone_out_indices=[0, 1, 2, 3],
    neck_hidden_sizes=[8, 8, 8, 8],
    fusion_hidden_size=8,
    is_hybrid=False,
    num_labels=5,
)
PADDED = {"size": {"longest_edge": 64}, "pad_size": {"height": 64, "width": 64}}


def onnx_export(model, inputs, path, **names):
    """With any batch, and of prompts any number."""
    axes = ("batch", "prompts", "points")
    shapes = tuple({i: torch.export.Dim(axes[i]) for i in range(3)} for x in inputs[1:])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        torch.onnx.export(
            model.eval(),
            inputs,
            path,
            dynamic_shapes=({0: torch.export.Dim("batch")}, *shapes),
            dynamo=True,
            external_data=False,
            verbose=False,
            **names,
        )


def write_configs(folder, processor, model_config, architecture):
    processor.save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps({**model_config, "architectures": [architecture]}))


def run_alone(path, **inputs):
    """The model by itself: its outputs as torch tensors, by name."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    values = session.run(None, inputs)
    return {value.name: torch.from_numpy(array) for value, array in zip(session.get_outputs(), values, strict=True)}


def photographs():
    """A photograph in both orientations."""
    with Image.open(PHOTO) as photo:
        picture = photo.convert("RGB")
    return [picture, picture.transpose(Image.Transpose.ROTATE_90)]


def dpt(folder, kind, output):
    """The fused file, and the processor."""
    torch.manual_seed(0)
    processor = transformers.DPTImageProcessorPil(size={"height": 32, "width": 32})
    write_configs(folder, processor, DPT.to_dict(), kind.__name__)
    onnx_export(
        kind(DPT), (torch.zeros(2, 3, 32, 32),), folder / "model.onnx",
        input_names=["pixel_values"], output_names=[output],
    )  # fmt: skip
    exporter.to_onnx(exporter.trace(folder), folder / "fused.onnx", model=folder / "model.onnx")
    return folder / "fused.onnx", processor


def verify_fixed(folder):
    """A file for one size equals the reference behind the model: all of a Plan for any size would take long."""
    path = folder / "fixed.onnx"
    exporter.to_onnx(exporter.trace(folder, input_size=(50, 41)), path, model=folder / "model.onnx")
    exporter.verify(path)


def test_depths(tmp_path, capsys):
    fused, processor = dpt(tmp_path, DPTForDepthEstimation, "predicted_depth")
    loaded = runtime.load(fused)
    assert loaded.plan.postprocess == DepthEstimation()
    for photo in photographs():
        size = photo.size[::-1]
        outputs = run_alone(tmp_path / "model.onnx", **processor(photo, return_tensors="np"))
        with threads(2):
            (want,) = processor.post_process_depth_estimation(SimpleNamespace(**outputs), target_sizes=[size])
        found = loaded.predict(photo)
        assert list(found) == ["predicted_depth"]
        assert_equal(found["predicted_depth"], want["predicted_depth"].numpy(), f"depths at {size}")
        assert found["predicted_depth"].std() > 0
    capsys.readouterr()
    assert main(["run", str(fused), str(PHOTO), "--draw", str(tmp_path / "out.png")]) == 0
    depths = loaded.predict(PHOTO)["predicted_depth"].astype(np.float64)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "predicted_depth: float32 [1, 300, 451]"
    assert lines[2].strip() == f"predicted_depth: float32 [300, 451], {depths.min():.5g} to {depths.max():.5g}"
    levels = (depths - depths.min()) / (depths.max() - depths.min()) * 255
    with Image.open(tmp_path / "out.png") as drawn:
        assert_equal(np.asarray(drawn), np.rint(levels).astype(np.uint8), "picture")
    verify_fixed(tmp_path)


@pytest.mark.slow
def test_classes_of_pixels(tmp_path):
    fused, processor = dpt(tmp_path, DPTForSemanticSegmentation, "logits")
    for photo in photographs():
        outputs = run_alone(tmp_path / "model.onnx", **processor(photo, return_tensors="np"))
        with threads(2):
            (want,) = processor.post_process_semantic_segmentation(SimpleNamespace(**outputs), [photo.size[::-1]])
        found = runtime.load(fused).predict(photo)
        assert_equal(found["segmentation"], want.numpy(), "mask")
        assert len(found["labels"]) > 1
    exporter.verify(fused, [PHOTO])


def sam(folder):
    """A SAM whose images have 64 pixels a side."""
    torch.manual_seed(1)
    small = {"image_size": 64, "patch_size": 16}
    config = SamConfig(
        vision_config=SamVisionConfig(
            hidden_size=16, output_channels=8, num_hidden_layers=1, num_attention_heads=2, mlp_dim=16, window_size=2,
            global_attn_indexes=[0], num_pos_feats=4, **small,
        ).to_dict(),
        prompt_encoder_config=SamPromptEncoderConfig(
            hidden_size=8, mask_input_channels=4, num_point_embeddings=4, **small
        ).to_dict(),
        mask_decoder_config=SamMaskDecoderConfig(
            hidden_size=8, mlp_dim=16, num_hidden_layers=1, num_attention_heads=2, iou_head_hidden_dim=8,
            iou_head_depth=2,
        ).to_dict(),
    )  # fmt: skip
    model = SamModel(config)

    class Points(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, pixel_values, input_points, input_labels):
            outputs = self.model(pixel_values=pixel_values, input_points=input_points, input_labels=input_labels)
            return outputs.pred_masks, outputs.iou_scores

    inputs = (torch.zeros(2, 3, 64, 64), torch.ones(2, 3, 2, 2), torch.ones(2, 3, 2, dtype=torch.int64))
    onnx_export(
        Points(), inputs, folder / "model.onnx",
        input_names=["pixel_values", "input_points", "input_labels"], output_names=["pred_masks", "iou_scores"],
    )  # fmt: skip
    return {"model_type": "sam"}


def squares(folder):
    """What stands for a SAM: masks are the image's channels, averaged over 4x4 pixels, plus the prompt's point."""
    inputs = [
        helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, ["batch", 3, 64, 64]),
        helper.make_tensor_value_info("input_points", TensorProto.FLOAT, ["batch", "prompts", 1, 2]),
        helper.make_tensor_value_info("input_labels", TensorProto.INT64, ["batch", "prompts", 1]),
    ]
    outputs = [
        helper.make_tensor_value_info("pred_masks", TensorProto.FLOAT, ["batch", "prompts", 3, 16, 16]),
        helper.make_tensor_value_info("iou_scores", TensorProto.FLOAT, ["batch", "prompts", 3]),
    ]
    nodes = [
        helper.make_node("AveragePool", ["pixel_values"], ["pooled"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("Unsqueeze", ["pooled", "first"], ["image"]),
        helper.make_node("ReduceMean", ["input_points"], ["moved"], axes=[3], keepdims=1),
        helper.make_node("Unsqueeze", ["moved", "last"], ["offsets"]),
        helper.make_node("Add", ["image", "offsets"], ["pred_masks"]),
        helper.make_node("ReduceMean", ["pred_masks"], ["iou_scores"], axes=[3, 4], keepdims=0),
    ]
    constants = [
        helper.make_tensor("first", TensorProto.INT64, [1], [1]),
        helper.make_tensor("last", TensorProto.INT64, [1], [4]),
    ]
    graph = helper.make_graph(nodes, "squares", inputs, outputs, constants)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "model.onnx"
    )
    return {"model_type": "sam"}


@pytest.mark.parametrize("make", [squares, pytest.param(sam, marks=pytest.mark.slow)])
def test_masks(make, tmp_path):
    processor = transformers.SamImageProcessorPil(**PADDED)
    write_configs(tmp_path, processor, make(tmp_path), "SamModel")
    fused = tmp_path / "fused.onnx"
    exporter.to_onnx(exporter.trace(tmp_path), fused, model=tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(fused, providers=["CPUExecutionProvider"])
    assert [value.name for value in session.get_inputs()] == ["images", "input_points", "input_labels"]
    points = {"input_points": logits(1, 3, 1, 2), "input_labels": np.ones((1, 3, 1), np.int64)}
    post = runtime.load(fused).plan.postprocess
    assert post == Masks(longest_edge=64, pad_height=64, pad_width=64)
    for photo in photographs():
        given = processor(photo, return_tensors="np")
        sizes = [given.pop(name) for name in ("original_sizes", "reshaped_input_sizes")]
        outputs = run_alone(tmp_path / "model.onnx", **given, **points)
        with threads(2):
            (want,) = processor.post_process_masks(list(outputs["pred_masks"]), *sizes)
        names = [value.name for value in session.get_outputs()]
        assert names == ["pred_masks", "iou_scores", "masks"]
        got = dict(zip(names, session.run(None, {"images": np.asarray(photo)[None], **points}), strict=True))
        found = post.result({name: value[0] for name, value in got.items()}, [])
        assert_equal(found["masks"], want.numpy(), f"masks at {photo.size[::-1]}")
        assert_equal(found["iou_scores"], outputs["iou_scores"][0].numpy(), "scores")
        assert 0 < found["masks"].mean() < 1
    verify_fixed(tmp_path)
