"""Models of transformers with random weights, fused by what their folders say, beside transformers' three parts.

These are its processor, the model's own ONNX file, and its post-processing.
"""

import json
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

import exporter
import runtime
from exporter import cli
from runtime.postprocess import ImageClassification, QuerySegmentation, SemanticSegmentation

from .families import threads
from .fused import run
from .helpers import assert_equal, noise

SIZES = [(48, 90), (90, 48), (64, 64), (5, 7), (1, 30)]
LABELS = {i: f"class {i}" for i in range(7)}


def segformer():
    config = transformers.SegformerConfig(
        num_encoder_blocks=2, depths=[1, 1], hidden_sizes=[8, 16], num_attention_heads=[1, 2], sr_ratios=[4, 2],
        patch_sizes=[7, 3], strides=[4, 2], mlp_ratios=[2, 2], decoder_hidden_size=16, id2label=LABELS,
    )  # fmt: skip
    return transformers.SegformerForSemanticSegmentation(config), ["logits"]


def maskformer():
    backbone = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1], layer_type="basic",
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )  # fmt: skip
    decoder = transformers.DetrConfig(
        d_model=16, decoder_layers=1, decoder_attention_heads=2, decoder_ffn_dim=16, num_queries=9
    )
    config = transformers.MaskFormerConfig(
        backbone_config=backbone, decoder_config=decoder, fpn_feature_size=32, mask_feature_size=32, id2label=LABELS
    )
    network = transformers.MaskFormerForInstanceSegmentation(config)
    return network, ["class_queries_logits", "masks_queries_logits"]


def vit():
    config = transformers.ViTConfig(
        image_size=64, patch_size=16, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        id2label=LABELS,
    )  # fmt: skip
    return transformers.ViTForImageClassification(config), ["logits"]


PROCESSORS = {
    "segformer": {"image_processor_type": "SegformerImageProcessor", "size": {"height": 64, "width": 64}},
    "maskformer": {"image_processor_type": "MaskFormerImageProcessor", "size": {"height": 64, "width": 64}},
    "vit": {"image_processor_type": "ViTImageProcessor", "size": {"height": 64, "width": 64}},
}


def photograph(height, width, seed=0):
    return Image.fromarray(noise(height, width, seed))


class Outputs(torch.nn.Module):
    """Some outputs of a model, as a tuple."""

    def __init__(self, network, names):
        super().__init__()
        self.network, self.names = network, names

    def forward(self, pixel_values):
        outputs = self.network(pixel_values=pixel_values)
        return tuple(outputs[name] for name in self.names)


def checkpoint(folder, make):
    """A folder with a model's ONNX file and its two configs, and the fused file."""
    torch.manual_seed(0)
    network, names = make()
    for parameter in network.parameters():  # so that more than one class is seen
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=2 * parameter[0].numel() ** -0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        torch.onnx.export(
            Outputs(network, names).eval(), (torch.zeros(2, 3, 64, 64),), folder / "model.onnx",
            input_names=["pixel_values"], output_names=names, dynamic_shapes=({0: torch.export.Dim("batch")},),
            dynamo=True, external_data=False, verbose=False,
        )  # fmt: skip
    config = {"architectures": [type(network).__name__], "model_type": make.__name__, "id2label": LABELS}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "preprocessor_config.json").write_text(json.dumps(PROCESSORS[make.__name__]))
    plan = exporter.trace(folder)
    exporter.to_onnx(plan, folder / "fused.onnx", model=folder / "model.onnx")
    return folder


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory):
    return checkpoint(tmp_path_factory.mktemp("segformer"), segformer)


def unfused(folder, processor, images):
    """What the model's own file gives behind transformers' processor."""
    pixels = processor(images=images, return_tensors="np")["pixel_values"]
    outputs = {name: torch.from_numpy(value) for name, value in run(folder / "model.onnx", pixel_values=pixels).items()}
    return SimpleNamespace(**outputs)


def masks(folder, processor, image):
    with threads(2):
        (mask,) = processor.post_process_semantic_segmentation(
            unfused(folder, processor, [image]), target_sizes=[image.size[::-1]]
        )
    return mask.numpy()


def test_segformer(segmenter):
    fused = runtime.load(segmenter / "fused.onnx")
    processor = transformers.SegformerImageProcessorPil.from_pretrained(segmenter)
    assert fused.plan.postprocess == SemanticSegmentation()
    images = [photograph(*size) for size in SIZES]
    want = [masks(segmenter, processor, image) for image in images]
    assert len(np.unique(np.concatenate([mask.ravel() for mask in want]))) > 2
    single = [fused.predict(image) for image in images]
    for mask, one, other in zip(want, single, fused.predict(images), strict=True):
        assert_equal(one["segmentation"], mask, f"{mask.shape}")
        assert_equal(other["segmentation"], mask, f"{mask.shape} in a list")
        assert one["labels"] == other["labels"] == {int(i): LABELS[int(i)] for i in np.unique(mask)}


def test_segformer_of_images_of_one_size(segmenter):
    fused = runtime.load(segmenter / "fused.onnx")
    processor = transformers.SegformerImageProcessorPil.from_pretrained(segmenter)
    images = [photograph(40, 70, seed) for seed in range(3)]
    outputs = unfused(segmenter, processor, images)
    with threads(2):
        want = processor.post_process_semantic_segmentation(outputs, target_sizes=[(40, 70)] * 3)
    for mask, got in zip(want, fused.predict(images), strict=True):
        assert_equal(got["segmentation"], mask.numpy(), "mask")


def test_the_command_says_and_draws_what_is_in_a_photograph(segmenter, tmp_path, capsys):
    photo, out = tmp_path / "photo.png", tmp_path / "out.png"
    photograph(50, 80).save(photo)
    assert cli.main(["run", str(segmenter / "fused.onnx"), str(photo), "--draw", str(out)]) == 0
    mask = runtime.load(segmenter / "fused.onnx").predict(photo)["segmentation"]
    shares = {LABELS[int(i)]: np.mean(mask == i) for i in np.unique(mask)}
    lines = capsys.readouterr().out.splitlines()
    falling = sorted(shares, key=lambda name: -shares[name])
    printed = [line.split(maxsplit=1) for line in lines[lines.index(str(photo)) + 1 :] if "%" in line]
    assert printed == [[f"{shares[name]:.2%}", name] for name in falling]
    with Image.open(out) as drawn:
        assert drawn.size == (80, 50)
        blended = np.asarray(drawn, np.float64) - noise(50, 80) / 2
    for i in np.unique(mask):  # half of what is left is the class's colour
        assert np.ptp(blended[mask == i], axis=0).max() <= 1


def test_vit(tmp_path):
    folder = checkpoint(tmp_path, vit)
    fused = runtime.load(folder / "fused.onnx")
    processor = transformers.ViTImageProcessorPil.from_pretrained(folder)
    assert fused.plan.postprocess == ImageClassification()
    images = [photograph(*size) for size in SIZES]
    for image, got in zip(images, fused.predict(images), strict=True):
        scores, classes = unfused(folder, processor, [image]).logits.softmax(1).topk(5)
        assert [item["label"] for item in got] == [LABELS[i] for i in classes[0].tolist()]
        np.testing.assert_allclose([item["score"] for item in got], scores[0].numpy(), rtol=1e-6)
        assert fused.predict(image) == got


@pytest.mark.slow
def test_maskformer(tmp_path):
    folder = checkpoint(tmp_path, maskformer)
    fused = runtime.load(folder / "fused.onnx")
    processor = transformers.MaskFormerImageProcessorPil.from_pretrained(folder)
    assert fused.plan.postprocess == QuerySegmentation()
    images = [photograph(*size) for size in SIZES]
    want = [masks(folder, processor, image) for image in images]
    assert len(np.unique(np.concatenate([mask.ravel() for mask in want]))) > 1
    for mask, image, other in zip(want, images, fused.predict(images), strict=True):
        assert_equal(fused.predict(image)["segmentation"], mask, f"{mask.shape}")
        assert_equal(other["segmentation"], mask, f"{mask.shape} in a list")
