"""Backend ``torch`` on a CPU: images are read where they lie, and become one batch without one of copies."""

import numpy as np
import pytest
import torch
from PIL import Image

from runtime import BackendUnavailable
from runtime.backends.pil import PilBackend
from runtime.backends.torch import Preprocess, TorchBackend
from runtime.ops import (
    Branch,
    CenterCrop,
    CropMargin,
    FlipChannels,
    ImageSize,
    Normalize,
    Pad,
    Rescale,
    Resize,
    resize_aten,
    resize_torch,
)
from runtime.ops.size import Size
from runtime.preprocessor import Preprocessor, load
from runtime.shared_pixels import shared_pixels
from runtime.shared_tensor import shared_tensor

from .helpers import assert_equal, make_plan, noise, write_artifacts

VALUES = (Rescale(1 / 255), Normalize((0.48, 0.45, 0.41), (0.27, 0.26, 0.28)))
PLANS = {
    "resized": make_plan(Resize(Size(height=30, width=40), "bicubic", "pillow13"), *VALUES),
    "torchvision": make_plan(Resize(Size(height=30, width=40), "bicubic", "pillow12.1", "torchvision"), *VALUES),
    "uint8": make_plan(Resize(Size(shortest_edge=33), "bilinear", "pillow13"), CenterCrop(40, 30)),
    "cropped first": make_plan(CenterCrop(44, 44), Resize(Size(shortest_edge=30), "lanczos", "pillow13"), *VALUES),
    "several outputs": make_plan(
        Resize(Size(height=30, width=40), "box", "pillow13"),
        ImageSize("sizes"),
        FlipChannels(),
        *VALUES,
        output="pixels",
    ),
    "padded": make_plan(
        Resize(Size(height=30, width=40), "bilinear", "pillow13"), *VALUES, Pad(Size(height=50, width=50))
    ),
}
SIZES = [(60, 50), (51, 64), (60, 50), (60, 50), (45, 99), (30, 40), (5, 7)]


@pytest.fixture(params=["numba", "torch"])
def either(request, monkeypatch):
    """With numba's kernel and without."""
    if request.param == "torch":
        monkeypatch.setattr(resize_torch, "compiled_kernels", lambda: None)
    else:
        pytest.importorskip("numba")
    return request.param


def frozen(array):
    array.flags.writeable = False
    return array


def kinds(array):
    """The same image as users have it."""
    padded = np.full((*array.shape[:2], 4), 255, np.uint8)
    padded[..., :3] = array
    planes = np.ascontiguousarray(np.moveaxis(array, -1, 0))
    return {
        "array": array,
        "read-only array": frozen(array.copy()),
        "channels first": planes,
        "four bytes a pixel": padded[..., :3],
        "read-only, four bytes a pixel": frozen(padded[..., :3]),
        "backwards": array[::-1, ::-1].copy()[::-1, ::-1],
        "read-only, backwards": frozen(array[::-1].copy())[::-1],
        "Fortran": frozen(np.asfortranarray(array)),
        "PIL": Image.fromarray(array),
        "tensor": torch.from_numpy(planes),
        "tensor, channels last": torch.from_numpy(array),
    }


@pytest.mark.parametrize("backend", ["torch", "numba"])
@pytest.mark.parametrize("name", PLANS)
def test_every_kind_of_image(name, backend, either):
    """One by one, many of one size, and all kinds and sizes in one batch."""
    plan = PLANS[name]
    pre, pil = Preprocessor(plan, backend), Preprocessor(plan, "pil")
    arrays = [noise(*size, seed) for seed, size in enumerate(SIZES)]
    expected = [pil(array) for array in arrays]
    for kind in kinds(arrays[0]):
        images = [kinds(array)[kind] for array in arrays]
        for image, one in zip(images, expected, strict=True):
            outputs = pre(image)
            assert tuple(outputs) == plan.outputs
            for output in plan.outputs:
                assert_equal(outputs[output], one[output], f"{kind}, {output}")
        batch = pre(images, return_tensors="pt")
        for output in plan.outputs:
            assert batch[output].is_contiguous()
            assert_equal(batch[output], np.concatenate([one[output] for one in expected]), f"{kind}, {output}")
    mixed = [list(kinds(array).values())[seed] for seed, array in enumerate(arrays)]
    for output in plan.outputs:
        assert_equal(pre(mixed)[output], np.concatenate([one[output] for one in expected]), output)


@pytest.mark.parametrize("backend", ["torch", "numba"])
def test_no_batch_of_copies(backend, either, monkeypatch):
    """Neither of a list nor of one array; and the result is written once."""
    pre = Preprocessor(PLANS["resized"], backend)
    arrays = np.stack([noise(60, 50, seed) for seed in range(3)])
    expected = PilBackend(PLANS["resized"]).run(arrays)["pixel_values"]
    monkeypatch.setattr(np, "stack", None)
    monkeypatch.setattr(torch, "stack", None)
    tensor = torch.from_numpy(np.moveaxis(arrays, -1, 1).copy())
    for images in (arrays, tensor, list(arrays), [Image.fromarray(array) for array in arrays]):
        assert_equal(pre(images)["pixel_values"], expected, backend)


@pytest.mark.parametrize(
    "steps",
    [(), (CropMargin(True),), (Branch("original", ()),), (Resize(Size(height=20, width=30), "bilinear", "pillow13"),)],
)
@pytest.mark.parametrize("backend", ["torch", "torchscript", "pil", "onnx", "numba"])
def test_a_result_is_never_the_callers_memory(steps, backend, tmp_path):
    """Where a Plan leaves pixels as they are: the memory may be read-only, or of ``bytes``."""
    try:
        pre = load(write_artifacts(make_plan(*steps), tmp_path)[backend], backend)
    except BackendUnavailable:
        assert backend == "numba"
        return
    data = noise(20, 30).tobytes()
    array = np.frombuffer(data, np.uint8).reshape(20, 30, 3)
    own = array.copy()
    images = (array, own, torch.from_numpy(own), np.moveaxis(own, -1, 0), own[None], Image.fromarray(array))
    for image in images:
        for form in ("np", "pt"):
            for output in pre(image, return_tensors=form).values():
                for tensor in output if isinstance(output, list) else [output]:
                    values = np.asarray(tensor)
                    assert not np.shares_memory(values, array)
                    assert not np.shares_memory(values, own)
                    values[...] = 7
        assert_equal(own, noise(20, 30), "the caller's array")
        assert_equal(np.asarray(images[-1]), noise(20, 30), "the caller's image")
    assert data == noise(20, 30).tobytes()


@pytest.mark.parametrize("kind", kinds(noise(2, 2)))
def test_a_tensor_of_the_same_memory(kind):
    array = noise(20, 30)
    image = kinds(array)[kind]
    image = np.asarray(image) if kind == "PIL" else image.numpy() if isinstance(image, torch.Tensor) else image
    tensor = shared_tensor(image)
    assert_equal(tensor, image, kind)
    copied = "backwards" in kind
    assert (tensor.data_ptr() == image.ctypes.data) is not copied
    if not copied:
        assert tensor.stride() == image.strides


def test_read_only_memory_with_gaps():
    """In a larger array, and where nothing says whose the bytes between are."""
    column = np.broadcast_to(noise(20, 30)[:, 3:4], (20, 30, 3))
    assert_equal(shared_tensor(column), column, "one column")
    gaps = np.ndarray((20, 30, 3), np.uint8, noise(40, 50).tobytes(), 7, (130, 4, 1))
    assert_equal(shared_tensor(gaps), gaps, "gaps")


def test_the_memory_lives_as_long_as_the_tensor():
    tensor = shared_tensor(frozen(noise(200, 300)))
    again = shared_tensor(shared_pixels(Image.fromarray(noise(200, 300))))
    rest = [noise(200, 300, seed) for seed in range(1, 9)]
    assert_equal(tensor, noise(200, 300), "the tensor")
    assert_equal(again, noise(200, 300), "of an image")
    assert len(rest) == 8


def test_a_pil_image_gives_whole_pixels():
    """torch's own kernel runs on four channels, without a copy."""
    view = shared_pixels(Image.fromarray(noise(20, 30)))
    image = shared_tensor(view[None]).permute(0, 3, 1, 2)
    whole = resize_aten.whole_pixels(image)
    assert whole.shape == (1, 4, 20, 30)
    assert whole.data_ptr() == view.ctypes.data


@pytest.mark.parametrize(("part", "sizes"), [(1, [1] * 5), (3 * 90 * 100 * 2, [2, 2, 1]), (3 * 90 * 100 * 5, [5])])
def test_a_batch_runs_in_parts(part, sizes, monkeypatch):
    """So many values at a time, here of the larger images after; every output is joined."""
    plan = make_plan(ImageSize("sizes"), Pad(Size(height=90, width=100), mask="mask"), *VALUES)
    monkeypatch.setattr("runtime.backends.torch.PART", part)
    ran, forward = [], Preprocess.forward
    monkeypatch.setattr(Preprocess, "forward", lambda self, images: ran.append(len(images)) or forward(self, images))
    images = np.stack([noise(50, 64, seed) for seed in range(5)])
    got, want = TorchBackend(Preprocess(plan), plan).run(images), PilBackend(plan).run(images)
    assert ran == sizes
    assert list(got) == list(want) == ["pixel_values", "sizes", "mask"]
    for name, value in want.items():
        assert_equal(got[name], value, name)


def test_where_images_are_read_in_place(monkeypatch):
    def each(plan):
        return TorchBackend(Preprocess(plan), plan).run_each

    assert each(PLANS["resized"]) is not None
    assert each(PLANS["cropped first"]) is None
    assert each(make_plan()) is None
    monkeypatch.setattr("runtime.backends.torch.usable", lambda device: torch.device("meta"))  # for one elsewhere
    assert each(PLANS["resized"]) is None


def test_no_gradient_and_a_result_to_train_on(either):
    pre = Preprocessor(PLANS["resized"], "torch")
    values = pre([noise(50, 60), noise(51, 60)], return_tensors="pt")["pixel_values"]
    assert not values.requires_grad
    layer = torch.nn.Conv2d(3, 1, 3)
    layer(values).sum().backward()
    assert layer.weight.grad is not None


def test_what_torch_refuses(monkeypatch):
    from runtime import InputError

    backend = TorchBackend(Preprocess(PLANS["resized"]), PLANS["resized"])

    def fails(*_):
        raise RuntimeError("first line\nout of memory")

    monkeypatch.setattr(resize_torch.ResampleModule, "each", fails)
    with pytest.raises(InputError, match=r"torch failed on images of shape \(20, 30, 3\): out of memory"):
        backend.run_each([noise(20, 30)])
