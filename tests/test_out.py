"""``out=``: outputs in a caller's own memory."""

import types

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from runtime import Features, InputError, Plan, Preprocessor, load
from runtime.ops import (
    Branch,
    CenterCrop,
    ConvertRGB,
    FlipChannels,
    ImageSize,
    Normalize,
    PadToLargest,
    Rescale,
    Resize,
)
from runtime.ops.size import Size

from .helpers import assert_equal, make_plan, noise, write_artifacts

BACKENDS = ("pil", "numba", "torch", "torchscript", "onnx")
RESIZE = Resize(Size(shortest_edge=20), "bicubic", "pillow13")
ONE = make_plan(ConvertRGB(), RESIZE, CenterCrop(16, 18), Rescale(1 / 255), Normalize((0.4,) * 3, (0.3,) * 3))
SEVERAL = make_plan(ImageSize("original_sizes"), RESIZE, Rescale(1 / 255), PadToLargest("pixel_mask"))
IMAGES = [noise(50, 41), noise(30, 60), noise(50, 41, 1)]
SHAPE = (3, 3, 16, 18)
with FakeTensorMode():
    FAKE = torch.zeros(SHAPE)


@pytest.fixture(scope="module", params=BACKENDS)
def one(request, tmp_path_factory):
    return load(write_artifacts(ONE, tmp_path_factory.mktemp("one"))[request.param], request.param)


@pytest.fixture(scope="module", params=BACKENDS)
def several(request, tmp_path_factory):
    return load(write_artifacts(SEVERAL, tmp_path_factory.mktemp("several"))[request.param], request.param)


def views():
    """Memory of every kind, filled with what no output has, by name."""
    wide = np.full((3, 3, 16, 40), 7, np.float32)
    last = torch.full(SHAPE, 7.0).to(memory_format=torch.channels_last)
    return {
        "array": np.full(SHAPE, 7, np.float32),
        "tensor": torch.full(SHAPE, 7.0),
        "a part of an array": wide[..., 1:37:2],
        "backwards": np.full(SHAPE, 7, np.float32)[::-1, :, ::-1],
        "Fortran's order": np.full(SHAPE, 7, np.float32, order="F"),
        "channels last": last,
        "a part of a tensor": torch.full((3, 3, 16, 40), 7.0)[..., :18],
        "trained on": torch.full(SHAPE, 7.0, requires_grad=True),
        "masked": np.ma.masked_array(np.full(SHAPE, 7, np.float32), np.ones(SHAPE, bool), hard_mask=True),
        "the middle of a larger batch": np.full((9, *SHAPE[1:]), 7, np.float32)[3:6],
    }


@pytest.mark.parametrize("name", views())
@pytest.mark.parametrize("in_dict", [True, False])
def test_the_very_memory_is_filled(name, in_dict, one):
    buffer = views()[name]
    expected = one(IMAGES).pixel_values
    result = one(IMAGES, out={"pixel_values": buffer} if in_dict else buffer)
    assert type(result) is Features
    assert result.pixel_values is buffer
    assert_equal(buffer.detach() if isinstance(buffer, torch.Tensor) else buffer, expected, f"{one.backend}, {name}")


def test_what_lies_around_stays(one):
    whole = np.full((9, *SHAPE[1:]), 7, np.float32)
    one(IMAGES, out=whole[3:6])
    assert (whole[:3] == 7).all()
    assert (whole[6:] == 7).all()


@pytest.mark.parametrize("contiguous", [True, False])
def test_numba_writes_there_directly(contiguous, monkeypatch):
    pre = Preprocessor(ONE, "numba")
    made = []
    resize = pre._run._resize
    monkeypatch.setattr(pre._run, "_resize", lambda *args, **kwargs: made.append(resize(*args, **kwargs)) or made[-1])
    buffer = np.zeros(SHAPE, np.float32)
    buffer = buffer if contiguous else buffer[::-1]
    pre(IMAGES, out=buffer)
    assert np.may_share_memory(made[0], buffer) == contiguous
    assert_equal(buffer, pre(IMAGES).pixel_values, "out")


def test_numba_with_steps_behind_what_is_compiled():
    plan = make_plan(RESIZE, CenterCrop(16, 18), Rescale(1 / 255), FlipChannels())
    buffer = np.zeros(SHAPE, np.float32)
    result = Preprocessor(plan, "numba")(IMAGES, out=buffer)
    assert_equal(buffer, Preprocessor(plan, "pil")(IMAGES).pixel_values, "out")
    assert result.pixel_values is buffer


def test_several_outputs(several):
    expected = several(IMAGES)
    for kind in ("np", "pt"):
        buffers = {name: np.zeros_like(value) for name, value in expected.items()}
        buffers = buffers if kind == "np" else {name: torch.from_numpy(value) for name, value in buffers.items()}
        result = several(IMAGES, out=buffers)
        assert list(result) == list(expected)
        for name, value in expected.items():
            assert result[name] is buffers[name]
            assert_equal(buffers[name], value, f"{several.backend}, {name}")


def test_outputs_without_a_buffer_are_made(several):
    expected = several(IMAGES)
    mask = np.zeros_like(expected.pixel_mask)
    result = several(IMAGES, out={"pixel_mask": mask})
    assert result.pixel_mask is mask
    for name, value in expected.items():
        assert type(result[name]) is np.ndarray
        assert_equal(result[name], value, name)
    tensors = several(IMAGES, out={"pixel_mask": torch.from_numpy(mask)})
    assert type(tensors.pixel_values) is torch.Tensor
    assert_equal(tensors.pixel_values, expected.pixel_values, "pixel_values")


def test_labels_come_back_beside(one):
    buffer = np.zeros(SHAPE, np.float32)
    result, labels = one(IMAGES, [1, 2, 3], out=buffer)
    assert result.pixel_values is buffer
    assert labels == [1, 2, 3]


@pytest.mark.parametrize("backend", BACKENDS[:3])
def test_an_image_may_be_in_the_memory(backend):
    # uint8 in and out: written where it is read, a resize would read its own output.
    pre = Preprocessor(make_plan(Resize(Size(height=64, width=64), "bilinear", "pillow13")), backend)
    image = noise(128, 128)
    expected = pre(image.copy()).pixel_values
    buffer = image.reshape(-1)[: expected.size].reshape(expected.shape)
    assert np.shares_memory(buffer, image)
    pre(image, out=buffer)
    assert_equal(buffer, expected, backend)


@pytest.mark.parametrize("group", ["pair", "video"])
@pytest.mark.parametrize("backend", ["pil", "numba"])
def test_groups(group, backend):
    pre = Preprocessor(Plan(ONE.steps, "pillow13", group=group), backend)
    groups = [[IMAGES[0], IMAGES[1]], [IMAGES[2], IMAGES[0]]]
    expected = pre(groups).pixel_values
    buffer = np.zeros((2, 2, *SHAPE[1:]), np.float32)
    assert pre(groups, out=buffer).pixel_values is buffer
    assert_equal(buffer, expected, group)


@pytest.mark.parametrize("backend", ["pil", "torch", "numba"])
def test_a_tensor_of_negative_bits(backend):
    buffer = torch.zeros(SHAPE, dtype=torch.complex64).conj().imag
    assert buffer.is_neg()
    pre = Preprocessor(ONE, backend)
    assert pre(IMAGES, out=buffer).pixel_values is buffer
    assert_equal(buffer.resolve_neg().numpy(), pre(IMAGES).pixel_values, backend)


# --- Refusals


def read_only():
    array = np.zeros(SHAPE, np.float32)
    array.flags.writeable = False
    return array


FITS = r"expected float32 \(3, 3, 16, 18\), got "


@pytest.mark.parametrize(
    ("buffer", "message"),
    [
        (np.zeros(SHAPE), FITS + r"float64 \(3, 3, 16, 18\)"),
        (np.zeros(SHAPE, np.uint8), FITS + r"uint8 \(3, 3, 16, 18\)"),
        (torch.zeros(SHAPE, dtype=torch.bfloat16), FITS + r"bfloat16 \(3, 3, 16, 18\)"),
        (np.zeros(SHAPE[1:], np.float32), FITS + r"float32 \(3, 16, 18\)"),
        (torch.zeros(4, *SHAPE[1:]), FITS + r"float32 \(4, 3, 16, 18\)"),
        (np.zeros((3, 16, 18, 3), np.float32).transpose(0, 3, 2, 1), FITS + r"float32 \(3, 3, 18, 16\)"),
        (read_only(), "the array is read-only"),
        (np.broadcast_to(np.zeros(18, np.float32), SHAPE), "the array is read-only"),
        (torch.zeros(18).expand(SHAPE), "some of its values lie in one place"),
        (
            np.lib.stride_tricks.as_strided(np.zeros(5000, np.float32), SHAPE, (3456, 1152, 4, 4)),
            "some of its values lie in one place",
        ),
        (
            np.lib.stride_tricks.as_strided(np.zeros(5000, np.float32), SHAPE, (3456, 1152, 72, 2)),
            "some of its values lie in one place",
        ),
        (np.zeros((0, *SHAPE[1:]), np.float32), FITS + r"float32 \(0, 3, 16, 18\)"),
        (torch.zeros(SHAPE).to_sparse(), "expected a dense tensor, got a sparse_coo one"),
        (
            torch.nested.nested_tensor([torch.zeros(2)], layout=torch.jagged),
            "expected a dense tensor, got a nested one",
        ),
        (FAKE, "cannot be written into "),
        (types.SimpleNamespace(data_ptr=int), "expected an array or a torch tensor, got SimpleNamespace"),
        ([0.0], "expected an array or a torch tensor, got list"),
        (5, "expected an array or a torch tensor, got int"),
        ("pixel_values", "expected an array or a torch tensor, got str"),
    ],
    ids=range(19),
)
def test_what_does_not_fit(buffer, message, one):
    with pytest.raises(InputError, match=f"^out: pixel_values: {message}"):
        one(IMAGES, out=buffer)


def test_one_of_several_that_does_not_fit(several):
    expected = several(IMAGES)
    good, bad = np.zeros_like(expected.pixel_values), np.zeros((1, 1), np.int64)
    with pytest.raises(InputError, match=r"out: pixel_mask: expected int64 \(3, 24, 40\), got int64 \(1, 1\)"):
        several(IMAGES, out={"pixel_values": good, "pixel_mask": bad})


def test_names_and_forms(one, several):
    buffer = np.zeros(SHAPE, np.float32)
    with pytest.raises(InputError, match="out: no output is named 'pixels'; there are: pixel_values"):
        one(IMAGES, out={"pixels": buffer})
    with pytest.raises(InputError, match="out: expected a dict of buffers for pixel_values, original_sizes, "):
        several(IMAGES, out=buffer)
    with pytest.raises(ValueError, match="return_tensors: expected 'np' or 'pt' with out, got None"):
        one(IMAGES, out=buffer, return_tensors=None)
    sizes = np.zeros((3, 2), np.int64)
    with pytest.raises(InputError, match="out: original_sizes and pixel_mask share memory"):
        several(IMAGES, out={"original_sizes": sizes, "pixel_mask": sizes.reshape(3, 2, 1)})


def test_outputs_that_are_lists():
    plan = make_plan(Branch("original", ()), RESIZE, CenterCrop(16, 18))
    with pytest.raises(InputError, match="out: original is a list of tensors, which no buffer holds"):
        Preprocessor(plan, "pil")(IMAGES, out={"original": np.zeros(1, np.uint8)})


def test_images_that_fail_leave_the_memory(one):
    buffer = np.full(SHAPE, 7, np.float32)
    with pytest.raises(InputError, match="image 2: "):
        one([*IMAGES[:2], b""], out=buffer)
    assert (buffer == 7).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_tensor_on_a_gpu(one):
    buffer = torch.zeros(SHAPE, device="cuda")
    assert one(IMAGES, out=buffer).pixel_values is buffer
    assert_equal(buffer.cpu(), one(IMAGES).pixel_values, one.backend)


def test_a_tensor_on_another_device_is_copied_to(one):
    # meta holds no values, but goes the way of every device that NumPy cannot show.
    buffer = torch.zeros(SHAPE, device="meta")
    assert one(IMAGES, out=buffer).pixel_values is buffer
