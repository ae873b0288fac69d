"""An nn.Module behind the preprocessing: exported, or scripted, and run as one file."""

import warnings
from collections import namedtuple
from dataclasses import replace

import numpy as np
import pytest
import torch
import transformers
from torch import nn

import exporter
import exporter.fusing.data
import exporter.fusing.module
from runtime import ArtifactError, BackendUnavailable, load

from .fused import plan, run, session, verify
from .helpers import assert_equal, noise
from .test_fuse_inputs import MASKED

Pair = namedtuple("Pair", "scores pooled")


class Network(nn.Module):
    """Scores of an image in one of many forms; dropout tells training from evaluation."""

    def __init__(self, form="tensor"):
        super().__init__()
        self.conv, self.dropout, self.form = nn.Conv2d(3, 8, 3), nn.Dropout(0.5), form

    def forward(self, x):
        pooled = self.dropout(torch.relu(self.conv(x))).mean((2, 3))
        forms = {
            "tensor": pooled,
            "tuple": (pooled, pooled.softmax(-1)),
            "dict": {"logits": pooled, "other": None, "inner": {"deep": pooled * 2}},
            "named": Pair(pooled, pooled + 1),
        }
        return forms[self.form]


def network(form="tensor"):
    torch.manual_seed(0)
    return Network(form)


@pytest.mark.parametrize(
    ("form", "names"),
    [
        pytest.param("tensor", ["output"], marks=pytest.mark.slow),
        pytest.param("tuple", ["output_0", "output_1"], marks=pytest.mark.slow),
        ("dict", ["logits", "deep"]),
        pytest.param("named", ["output_0", "output_1"], marks=pytest.mark.slow),
    ],
)
def test_a_module_is_exported(form, names, tmp_path, capfd):
    module = network(form)
    module.dropout.eval()
    exporter.to_onnx(plan(), tmp_path / "fused.onnx", module)
    assert capfd.readouterr() == ("", "")
    assert (module.training, module.conv.training, module.dropout.training) == (True, True, False)
    assert [value.name for value in session(tmp_path / "fused.onnx").get_outputs()] == names
    assert [path.name for path in tmp_path.iterdir()] == ["fused.onnx"]
    exporter.to_onnx(plan(), tmp_path / "pre.onnx")
    images = np.stack([noise(40, 50, i) for i in range(3)])
    values = torch.from_numpy(run(tmp_path / "pre.onnx", images=images)["pixel_values"])
    with torch.no_grad():
        want = module.eval()(values)
    want = want if form == "tensor" else want["logits"] if form == "dict" else want[0]
    got = run(tmp_path / "fused.onnx", images=images)[names[0]]
    np.testing.assert_allclose(got, want.numpy(), atol=1e-5)  # torch's convolution is not onnxruntime's
    verify(tmp_path / "fused.onnx")


class Masked(nn.Module):
    """What DETR takes."""

    def forward(self, pixel_values, pixel_mask=None):
        mask = torch.ones_like(pixel_values[:, 0]) if pixel_mask is None else pixel_mask.to(pixel_values.dtype)
        return {"sums": (pixel_values * mask[:, None]).sum((2, 3)), "mask": mask}


class Needy(nn.Module):
    def forward(self, pixel_values, input_ids):
        return pixel_values.mean() + input_ids.sum()


class Words(nn.Module):
    def forward(self, x):
        return "a word"


class Broken(nn.Module):
    def forward(self, x):
        return x @ torch.ones(7, 7)


class Unknown(nn.Module):
    """Its result's shape follows from the values, in a way that no exporter knows."""

    def forward(self, x):
        return x.new_tensor(np.sort(x.detach().numpy().ravel())[:3])


@pytest.mark.slow
def test_a_large_modules_weights_lie_beside_the_file(tmp_path, monkeypatch):
    for part in (exporter.fusing.module, exporter.fusing.data):
        monkeypatch.setattr(part, "LARGEST", 100)
    exporter.to_onnx(plan(), tmp_path / "fused.onnx", network())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fused.onnx", "fused.onnx.data"]
    verify(tmp_path / "fused.onnx")


@pytest.mark.slow
def test_a_mask_goes_to_the_parameter_of_its_name(tmp_path):
    exporter.to_onnx(MASKED, tmp_path / "fused.onnx", Masked())
    exporter.to_onnx(MASKED, tmp_path / "pre.onnx")
    images = np.stack([noise(40, 50, i) for i in range(3)])
    want = run(tmp_path / "pre.onnx", images=images)["pixel_mask"].astype(np.float32)
    assert_equal(run(tmp_path / "fused.onnx", images=images)["mask"], want, "mask")


@pytest.mark.slow
def test_a_module_in_half_precision(tmp_path):
    exporter.to_onnx(plan(), tmp_path / "fused.onnx", network().half())
    assert run(tmp_path / "fused.onnx", images=noise(40, 50)[None])["output"].dtype == np.float16
    verify(tmp_path / "fused.onnx")


def test_a_size_that_follows_the_image_stays_open(tmp_path):
    exporter.to_onnx(plan(do_center_crop=False), tmp_path / "fused.onnx", network())
    for size in ((40, 50), (50, 40), (33, 20)):
        assert run(tmp_path / "fused.onnx", images=noise(*size)[None])["output"].shape == (1, 8)


@pytest.mark.slow
def test_a_module_whose_batch_is_fixed(tmp_path):
    class One(nn.Module):
        def forward(self, x):
            if x.shape[0] != 1:
                raise ValueError("one image, please")
            return x.mean((1, 2, 3))

    exporter.to_onnx(plan(), tmp_path / "fused.onnx", One())
    assert session(tmp_path / "fused.onnx").get_inputs()[0].shape[0] == 1
    images = [noise(40, 50, i) for i in range(3)]
    want = [run(tmp_path / "fused.onnx", images=image[None])["output"] for image in images]
    assert_equal(load(tmp_path / "fused.onnx")(images)["output"], np.concatenate(want), "one by one")


@pytest.mark.parametrize("write", [exporter.to_onnx, exporter.to_torchscript])
@pytest.mark.parametrize(
    ("module", "names", "message"),
    [
        (Needy(), {}, "the module's forward needs input_ids too, but the preprocessing gives pixel_values"),
        (Network(), {"pixel_values": "y"}, "the module's forward has no 'y' for pixel_values; it has x"),
        (Network(), {"pixels": "x"}, "map: 'pixels' is none of pixel_values"),
        (Broken(), {}, "fails on what the preprocessing gives: "),
        (Words(), {}, "gives no tensors: let its forward give a tensor, a tuple or a dict of them"),
        (3, {}, "model: expected .* nn.Module, got int"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_modules_that_do_not_fit(write, module, names, message, tmp_path):
    with pytest.raises(ArtifactError, match=message):
        write(plan(), tmp_path / ("a.onnx" if write is exporter.to_onnx else "a.pt"), module, map=names)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_modules_that_cannot_be_exported(tmp_path):
    with pytest.raises(ArtifactError, match=r"torch cannot export the module \(.*\): export it to ONNX yourself"):
        exporter.to_onnx(plan(), tmp_path / "a.onnx", Unknown())
    with pytest.raises(ArtifactError, match=r"the model cannot be scripted \(.*\): give what torch.jit.trace makes"):
        exporter.to_torchscript(plan(), tmp_path / "a.pt", Unknown())
    assert list(tmp_path.iterdir()) == []


# --- transformers' models, tiny and with random weights


def vit():
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=32, patch_size=16
    )
    return transformers.ViTForImageClassification(config), plan(), ["logits"]


def detr():
    backbone = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 8], depths=[1, 1], out_features=["stage2"])
    config = transformers.DetrConfig(
        use_timm_backbone=False, use_pretrained_backbone=False, backbone=None, backbone_config=backbone, d_model=16,
        encoder_layers=1, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2, num_queries=5,
        encoder_ffn_dim=16, decoder_ffn_dim=16,
    )  # fmt: skip
    return transformers.DetrForObjectDetection(config), MASKED, ["logits", "pred_boxes"]


def video():
    config = transformers.VideoMAEConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=32, num_frames=4
    )
    return transformers.VideoMAEForVideoClassification(config), replace(plan(), group="video"), ["logits"]


@pytest.mark.slow
@pytest.mark.parametrize("make", [vit, detr, video])
def test_models_of_transformers(make, tmp_path):
    torch.manual_seed(0)
    model, made, names = make()
    exporter.to_onnx(made, tmp_path / "fused.onnx", model, postprocess="none")
    outputs = [value.name for value in session(tmp_path / "fused.onnx").get_outputs()]
    assert outputs[: len(names)] == names
    frames = 4 if made.group else 3
    images = np.stack([noise(40, 50, i) for i in range(frames)])
    exporter.to_onnx(made, tmp_path / "pre.onnx")
    given = {name: torch.from_numpy(value) for name, value in run(tmp_path / "pre.onnx", images=images).items()}
    with torch.no_grad():
        want = model.eval()(**({name: value[None] for name, value in given.items()} if made.group else given))
    got = run(tmp_path / "fused.onnx", images=images)
    for name in names:
        np.testing.assert_allclose(got[name], want[name].numpy(), atol=1e-4)  # torch's sums are not onnxruntime's
    verify(tmp_path / "fused.onnx")
    assert load(tmp_path / "fused.onnx")(list(images))[names[0]].shape == want[names[0]].shape


# --- TorchScript


class Scores(nn.Module):
    """As ``Network``, in a form that torch.jit.script takes."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.dropout = nn.Conv2d(3, 8, 3), nn.Dropout(0.5)

    def forward(self, x):
        return self.dropout(torch.relu(self.conv(x))).mean((2, 3))


class Several(Scores):
    def forward(self, x):
        scores = self.dropout(torch.relu(self.conv(x))).mean((2, 3))
        return scores, {"twice": scores * 2, "mean": scores.mean()}


def script(module):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch deprecates TorchScript
        return torch.jit.script(module)


def trace(module):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as above
        return torch.jit.trace(module.eval(), torch.zeros(2, 3, 32, 32), check_trace=False)


@pytest.mark.parametrize("make", [script, trace, lambda module: module])
def test_a_scripted_model_behind_the_preprocessing(make, tmp_path):
    model = make(Scores())
    training = model.training
    exporter.to_torchscript(plan(do_resize=True, size=40), tmp_path / "fused.pt", model)
    assert model.training == training
    exporter.to_torchscript(plan(do_resize=True, size=40), tmp_path / "pre.pt")
    fused, pre = load(tmp_path / "fused.pt"), load(tmp_path / "pre.pt", "torchscript")
    assert (fused.backend, fused.output_names) == ("torchscript", ("output",))
    images = [noise(40, 50), noise(50, 40), noise(40, 50, 1)]
    with torch.no_grad():
        want = np.concatenate(
            [model.eval()(pre(image, return_tensors="pt")["pixel_values"]).numpy() for image in images]
        )
    assert fused(images)["output"].shape == (3, 8)
    assert_equal(np.concatenate([fused(image)["output"] for image in images]), want, "output")
    rows = verify(tmp_path / "fused.pt", [noise(30, 40)])
    assert [(row.backend, row.values, row.differing) for row in rows] == [("torchscript", 8, 0)] * 3
    for backend in ("onnx", "torch", "pil"):
        with pytest.raises(BackendUnavailable, match="a file with a model in it needs backend 'torchscript', not"):
            load(tmp_path / "fused.pt", backend)
    assert list(load(tmp_path / "fused.pt")(images[0])) == ["output"]


def test_a_scripted_models_results_have_names(tmp_path):
    exporter.to_torchscript(plan(), tmp_path / "fused.pt", script(Several()))
    assert load(tmp_path / "fused.pt").output_names == ("output_0", "twice", "mean")
    got = load(tmp_path / "fused.pt")(noise(40, 50))
    assert_equal(got["twice"], got["output_0"] * 2, "twice")
    verify(tmp_path / "fused.pt")


def test_a_file_of_both_runs_without_this_package(tmp_path):
    exporter.to_torchscript(plan(), tmp_path / "fused.pt", script(Scores()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as above
        loaded = torch.jit.load(str(tmp_path / "fused.pt"))
    got = loaded(torch.from_numpy(noise(40, 50)[None])).detach().numpy()
    assert_equal(got, load(tmp_path / "fused.pt")(noise(40, 50))["output"], "torch.jit.load")


@pytest.mark.parametrize("parameter", ["pixel_mask", "m"])
def test_a_scripted_model_takes_masks(parameter, tmp_path):
    class Model(nn.Module):
        def forward(self, pixel_values: torch.Tensor, pixel_mask: torch.Tensor):
            return pixel_values.sum(1) * pixel_mask

    class Renamed(nn.Module):
        def forward(self, x: torch.Tensor, m: torch.Tensor):
            return x.sum(1) * m

    names = {} if parameter == "pixel_mask" else {"pixel_values": "x", "pixel_mask": "m"}
    exporter.to_torchscript(MASKED, tmp_path / "fused.pt", script(Renamed() if names else Model()), map=names)
    values = load(tmp_path / "fused.pt")(noise(40, 50))["output"]
    exporter.to_torchscript(MASKED, tmp_path / "pre.pt")
    pre = load(tmp_path / "pre.pt", "torchscript")(noise(40, 50), return_tensors="pt")
    assert_equal(values, (pre["pixel_values"].sum(1) * pre["pixel_mask"]).numpy(), "masked")
    verify(tmp_path / "fused.pt")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_scripted_model_of_another_dtype(dtype, tmp_path):
    class Scale(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1, dtype=dtype))

        def forward(self, x):
            return (x * self.weight).to(torch.float32)

    exporter.to_torchscript(plan(), tmp_path / "fused.pt", script(Scale()))
    exporter.to_torchscript(plan(), tmp_path / "pre.pt")
    pre = load(tmp_path / "pre.pt", "torchscript")(noise(40, 50), return_tensors="pt")["pixel_values"]
    got = load(tmp_path / "fused.pt")(noise(40, 50))["output"]
    assert_equal(got, pre.to(dtype).to(torch.float32).numpy(), str(dtype))
    verify(tmp_path / "fused.pt")


@pytest.mark.parametrize("group", ["pair", "video"])
def test_a_scripted_model_takes_groups(group, tmp_path):
    class Differences(nn.Module):
        def forward(self, x):
            return x[:, 1:] - x[:, :-1]

    made = replace(plan(), group=group)
    exporter.to_torchscript(made, tmp_path / "fused.pt", script(Differences()))
    exporter.to_torchscript(made, tmp_path / "pre.pt")
    groups = [[noise(40, 50, 9 * i + j) for j in range(2 if group == "pair" else 4)] for i in range(3)]
    values = load(tmp_path / "pre.pt", "torchscript")(groups)["pixel_values"]
    got = load(tmp_path / "fused.pt")(groups)["output"]
    assert_equal(got, values[:, 1:] - values[:, :-1], group)
    verify(tmp_path / "fused.pt")
