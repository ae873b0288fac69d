"""Odd images and odd options of a call: the reference's result, or an error of ours."""

import io
import os
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import exporter
from runtime import InputError, load
from runtime.backends.pil import PilBackend
from runtime.ops import CenterCrop, ConvertRGB, Normalize, Rescale, Resize
from runtime.ops.size import Size

from .faults import at_most
from .helpers import assert_equal, make_plan, noise

PLAN = make_plan(
    ConvertRGB(),
    Resize(Size(shortest_edge=18), "bicubic", "pillow13"),
    CenterCrop(16, 16),
    Rescale(1 / 255),
    Normalize((0.48, 0.46, 0.41), (0.27, 0.26, 0.28)),
)
SHAPE = (1, 3, 16, 16)
BACKENDS = ("pil", "numba", "torch", "onnx", "torchscript")
LAST = {"input_data_format": "channels_last"}
IMAGE = noise(31, 23)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    exporter.to_onnx(PLAN, folder / "plan.onnx")
    exporter.to_torchscript(PLAN, folder / "plan.pt")
    return {name: load(folder / ("plan.pt" if name == "torchscript" else "plan.onnx"), name) for name in BACKENDS}


def reference(*images):
    """What the Plan gives for images ``[H, W, 3]``."""
    return np.concatenate([PilBackend(PLAN).run(image[None])["pixel_values"] for image in images])


# --- Pixels wherever they lie


class Plain(np.ndarray):
    pass


def whole(image):
    """Memory in which pixels lie four bytes apart, and lines further."""
    height, width, channels = image.shape
    memory = np.full((height, width + 3, 4), 77, np.uint8)
    memory[:, 1 : 1 + width, :channels] = image
    return memory[:, 1 : 1 + width, :channels]


def unaligned(image):
    memory = np.empty(image.nbytes + 1, np.uint8)[1:].reshape(image.shape)
    memory[:] = image
    return memory


def planes(image):
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(image, -1, 0)), 0, -1)


LAYOUTS = {
    "as it is": lambda image: image,
    "columns first": np.asfortranarray,
    "planes": planes,
    "upside down": lambda image: np.ascontiguousarray(image[::-1])[::-1],
    "mirrored": lambda image: np.ascontiguousarray(image[:, ::-1])[:, ::-1],
    "BGR": lambda image: np.ascontiguousarray(image[..., ::-1])[..., ::-1],
    "every other": lambda image: np.repeat(np.repeat(image, 2, 0), 3, 1)[::2, ::3],
    "four bytes apart": whole,
    "four bytes apart, backwards": lambda image: whole(image[::-1, ::-1])[::-1, ::-1],
    "read-only": lambda image: np.broadcast_to(image, image.shape),
    "read-only, four bytes apart": lambda image: np.broadcast_to(whole(image), image.shape),
    "unaligned": unaligned,
    "a subclass": lambda image: image.view(Plain),
    "masked": lambda image: np.ma.masked_array(image, image > 99),
    "masked, every other": lambda image: np.ma.masked_array(np.repeat(image, 2, 0), True)[::2],
    "a tensor": torch.from_numpy,
    "a tensor of planes": lambda image: torch.from_numpy(planes(image)),
    "a parameter": lambda image: torch.nn.Parameter(torch.from_numpy(image), requires_grad=False),
    "PIL": lambda image: Image.fromarray(image.squeeze(2) if image.shape[2] == 1 else image),
}
sides = st.one_of(st.integers(1, 5), st.integers(1, 40))
pixels = st.builds(noise, sides, sides, st.integers(0, 9), st.sampled_from([3, 3, 1, 4]))


@given(image=pixels, layout=st.sampled_from(sorted(LAYOUTS)))
@settings(max_examples=120)
def test_pixels_lie_anywhere(loaded, image, layout):
    before, expected = image.copy(), reference(ConvertRGB().reference(image))
    got = LAYOUTS[layout](image)
    for backend in BACKENDS:
        assert_equal(loaded[backend](got, **LAST).pixel_values, expected, f"{backend}, {layout}")
    assert np.array_equal(image, before), "the image was changed"


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("writable", [True, False])
@pytest.mark.parametrize(
    "strides", [(1, 3, 1), (3, 1, 1), (0, 3, 1), (40, 0, 1), (7, 3, 0), (0, 0, 0), (1, 1, 1), (5, 4, 1), (80, 1, 27)]
)
def test_pixels_that_share_memory(backend, strides, writable, loaded):
    memory = noise(40, 40).ravel()
    image = np.lib.stride_tricks.as_strided(memory, (20, 23, 3), strides, writeable=writable)
    assert_equal(loaded[backend](image).pixel_values, reference(image.copy()), f"{backend}, {strides}")


# --- What is no image


class Shown:
    """What NumPy could make an array of."""

    def __array__(self, *_):
        return IMAGE


class NoPath(os.PathLike):
    def __fspath__(self):
        return 5


def image_of(mode, size=(23, 31)):
    return Image.new(mode, size)


def closed():
    image = Image.fromarray(IMAGE)
    image.close()
    return image


def closed_file():
    file = io.BytesIO()
    Image.fromarray(IMAGE).save(file, "PNG")
    image = Image.open(file)
    image.close()
    return image


def truncated():
    file = io.BytesIO()
    Image.fromarray(IMAGE).save(file, "PNG")
    return Image.open(io.BytesIO(file.getvalue()[:-300]))


def released():
    view = memoryview(b"abc")
    view.release()
    return view


FLOATS = IMAGE.astype(np.float32) + 0.25
SHAPES = [
    *[(), (5,), (0,), (0, 0), (0, 5, 3), (5, 0, 3), (3, 0, 0), (5, 6, 0), (5, 6, 2), (5, 6, 7)],
    *[(0, 5, 6, 3), (2, 0, 6, 3), (2, 5, 6, 7), (1, 1, 5, 6, 3)],
]
NO_IMAGES = {
    **{f"of {dtype}": lambda dtype=dtype: FLOATS.astype(dtype) for dtype in ("f2", "f8", "c16", "O", "S3", "U3", "?")},
    "of dates": lambda: IMAGE.astype("M8[s]"),
    "of negative levels": lambda: IMAGE.astype(np.int16) - 300,
    "of levels above 255": lambda: IMAGE.astype(">u4") + 256,
    "of NaN": lambda: np.full((5, 6, 3), np.nan),
    "of records": lambda: np.zeros((31, 23), [("red", "u1"), ("green", "u1"), ("blue", "u1")]),
    "of voids": lambda: IMAGE.view("V1"),
    **{f"of shape {shape}": lambda shape=shape: np.zeros(shape, np.uint8) for shape in SHAPES},
    "a float tensor": lambda: torch.from_numpy(FLOATS),
    "a tensor with gradients": lambda: torch.from_numpy(FLOATS).requires_grad_(),
    "a bfloat16 tensor": lambda: torch.from_numpy(FLOATS).bfloat16(),
    "a complex tensor": lambda: torch.from_numpy(FLOATS).to(torch.complex64),
    "a bool tensor": lambda: torch.from_numpy(IMAGE) > 3,
    "a sparse tensor": lambda: torch.from_numpy(IMAGE).to_sparse(),
    "a meta tensor": lambda: torch.empty(31, 23, 3, dtype=torch.uint8, device="meta"),
    "an MKL tensor": lambda: torch.from_numpy(FLOATS).to_mkldnn(),
    "a tensor without axes": lambda: torch.tensor(5, dtype=torch.uint8),
    "an image of no pixels": lambda: image_of("RGB", (0, 5)),
    "an image without a mode": Image.Image,
    "a closed image": closed,
    "a closed file": closed_file,
    "a truncated file": truncated,
    **{
        f"{type(value).__name__} {value!r}"[:20]: lambda value=value: value
        for value in (
            *(None, 5, 1.5, True, ..., b"", b"\0" * 100, bytearray(b"x"), memoryview(b"xx"), {1}, {"a": 5}, range(3)),
            *("", "nowhere.png", "a\0b", "\ud800", "a" * 5000, "http://localhost/x.png", "data:image/png;base64,abc"),
            *("data:image/", np.float32(3), np.ndarray, object(), len),
        )
    },
    "bytes that are apart": lambda: memoryview(np.arange(10, dtype=np.uint8)[::2]),
    "released bytes": released,
    "a generator": lambda: (image for image in [IMAGE]),
    "an open file": lambda: io.BytesIO(b"abc"),
    "no path": NoPath,
    "a folder": lambda: os.fspath(os.curdir),
    "what could become an array": Shown,
    "an empty list": list,
    "lists of nothing": lambda: [[], []],
    "lists in lists in lists": lambda: [[[IMAGE]]],
}


@pytest.mark.parametrize("kind", NO_IMAGES)
def test_what_is_no_image(kind, loaded):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch has some of these in beta
        images = [NO_IMAGES[kind]() for _ in range(10)]
    for backend, alone, beside in zip(BACKENDS, images[::2], images[1::2], strict=True):
        with at_most(10), pytest.raises(InputError):
            loaded[backend](alone)
        if kind == "an empty list":
            assert_equal(loaded[backend]([IMAGE, beside]).pixel_values, reference(IMAGE), kind)
            continue
        with at_most(10), pytest.raises(InputError, match=r"^image 1: "):
            loaded[backend]([IMAGE, beside])


def test_a_tensor_that_stands_for_many(loaded):
    def run(image):
        with pytest.raises(InputError, match="expected a tensor that holds values"):
            loaded["pil"](image)
        with pytest.raises(InputError, match="out: pixel_values: "):
            loaded["pil"](IMAGE, out=image)
        return image

    torch.vmap(run)(torch.zeros(2, *IMAGE.shape, dtype=torch.uint8))


MODES = [
    *["1", "L", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "LA", "PA", "RGBX", "RGBa", "La"],
    *["I;16", "I;16L", "I;16B", "I;16N"],
]


@pytest.mark.parametrize("mode", MODES)
def test_every_mode(mode, loaded):
    """Pillow's own conversion, where there is one."""
    try:
        want = reference(np.asarray(ConvertRGB().reference_pil(image_of(mode))))
    except ValueError:
        want = None
    for backend in BACKENDS:
        if want is None:
            with pytest.raises(InputError, match="not an image that Pillow can read"):
                loaded[backend](image_of(mode))
        else:
            assert_equal(loaded[backend](image_of(mode)).pixel_values, want, backend)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_not_waited_for(loaded, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with at_most(10), pytest.raises(InputError, match="pipe: a pipe or a device, not a file"):
        loaded["pil"](tmp_path / "pipe")


def test_a_file_that_vanishes(loaded, tmp_path):
    """Pillow holds it open; by its path it is gone."""
    path = tmp_path / "image.png"
    Image.fromarray(IMAGE).save(path)
    with Image.open(path) as opened:
        path.unlink()
        assert_equal(loaded["numba"](opened).pixel_values, reference(IMAGE), "opened")
    with pytest.raises(InputError, match=r"^image 2: no such image file: .*image.png$"):
        loaded["numba"]([IMAGE, IMAGE, path])


# --- Lists

whole_images = st.builds(
    lambda height, width, seed: (noise(height, width, seed), True),
    *[st.integers(5, 30)] * 2,
    st.integers(0, 3),
)
no_images = st.sampled_from([None, b"no image", "nowhere.png", FLOATS, np.zeros((0, 3, 3), np.uint8)])
leaves = st.one_of(whole_images, no_images.map(lambda value: (value, False)))
inner = st.lists(st.one_of(leaves, st.lists(leaves, max_size=1)), max_size=3)
lists = st.lists(st.one_of(whole_images, leaves, inner), max_size=5)


def flat(items, depth=1):
    """``(position, image, whether it is one)`` of all that is in nested lists of leaves, as positions are written."""
    for i, item in enumerate(items):
        if isinstance(item, tuple):
            yield f"image {i}: ", *item
        elif depth == 2:
            yield f"image {i}: ", item, False
        else:
            for position, image, fine in flat(item, 2):
                yield f"image {i}: {position}", image, fine


def bare(items):
    return [item[0] if isinstance(item, tuple) else bare(item) for item in items]


@given(items=lists, backend=st.sampled_from(BACKENDS), kind=st.sampled_from([list, tuple]))
@settings(max_examples=150)
def test_lists(loaded, items, backend, kind):
    found = list(flat(items))
    wrong = [position for position, _, fine in found if not fine]
    if found and not wrong:
        got = loaded[backend](kind(bare(items)), **LAST).pixel_values
        assert_equal(got, reference(*(image for _, image, _ in found)), backend)
        return
    with pytest.raises(InputError) as raised:
        loaded[backend](kind(bare(items)), **LAST)
    assert str(raised.value).startswith(wrong[0] if wrong else "expected at least one image, got an empty list")


# --- Options


class Unfriendly:
    """Compares with nothing, and is neither true nor false."""

    __hash__ = None

    def __eq__(self, other):
        raise RuntimeError("compared")

    def __bool__(self):
        raise RuntimeError("asked")


GARBAGE = [
    *["", "tf", "NP", b"np", 0, 2, 1.5, float("nan"), [], ["np"], {}, {"np"}, np.array(["np", "pt"]), object],
    Unfriendly(),
]


@pytest.mark.parametrize("value", [*GARBAGE, False, True], ids=lambda value: repr(value)[:20])
@pytest.mark.parametrize("name", ["return_tensors", "input_data_format", "do_rescale"])
def test_garbage_for_an_option(name, value, loaded):
    if name == "do_rescale" and isinstance(value, bool):
        return
    for backend in BACKENDS:
        with pytest.raises(ValueError, match=f"^{name}: expected "):
            loaded[backend](IMAGE, **{name: value})
        with pytest.raises(ValueError, match=f"^{name}: expected "):
            list(loaded[backend].map([IMAGE], **{name: value}))


@pytest.mark.parametrize("value", [v for v in GARBAGE if type(v) is not dict], ids=lambda value: repr(value)[:20])
def test_garbage_for_inputs(value, loaded):
    for backend in BACKENDS:
        with pytest.raises(InputError, match="inputs: expected a dict of arrays by name, got "):
            loaded[backend](IMAGE, inputs=value)


@pytest.mark.parametrize("value", [*GARBAGE[:-1], np.float32(3), [0.0] * 768], ids=lambda value: repr(value)[:20])
def test_garbage_for_out(value, loaded):
    for backend in BACKENDS:
        if isinstance(value, dict):
            assert_equal(loaded[backend](IMAGE, out=value).pixel_values, reference(IMAGE), backend)
        else:
            with pytest.raises(InputError, match=r"^out: pixel_values: expected .*, got "):
                loaded[backend](IMAGE, out=value)


def strided(array):
    """The same shape, its axes in the memory the other way round, and gaps."""
    return np.zeros([2 * n for n in array.shape[::-1]], array.dtype).T[tuple(slice(None, None, 2) for _ in array.shape)]


def tensor(**options):
    return lambda array: torch.zeros(array.shape, dtype=getattr(torch, array.dtype.name, torch.float32), **options)


FORMS = {
    "an array": lambda array: array,
    "columns first": np.asfortranarray,
    "backwards": lambda array: array[:, :, ::-1, ::-1],
    "with gaps": strided,
    "unaligned": lambda array: (
        np.frombuffer(bytearray(array.nbytes + 1), np.uint8)[1:].view(array.dtype).reshape(array.shape)
    ),
    "a subclass": lambda array: array.view(Plain),
    "masked": lambda array: np.ma.masked_array(array, True, hard_mask=True),
    "read-only": lambda array: np.broadcast_to(array, array.shape),
    "one place": lambda array: np.lib.stride_tricks.as_strided(array, array.shape, (0,) * array.ndim),
    "overlapping": lambda array: np.lib.stride_tricks.as_strided(array, array.shape, (array.itemsize,) * array.ndim),
    "a tensor": tensor(),
    "a tensor with gradients": lambda array: torch.zeros(array.shape).requires_grad_(),
    "channels last": lambda array: torch.zeros(array.shape).contiguous(memory_format=torch.channels_last),
    "an expanded tensor": lambda array: torch.zeros(1).expand(array.shape),
    "a sparse tensor": lambda array: torch.zeros(array.shape).to_sparse(),
}
REFUSED = {"read-only", "one place", "overlapping", "an expanded tensor", "a sparse tensor"}
FITTING = [SHAPE] * 4 + [(2, 3, 16, 16), (1, 3, 16, 15), (0, 3, 16, 16), (1, 16, 16, 3)]


@given(
    form=st.sampled_from(sorted(FORMS)),
    shape=st.sampled_from(FITTING),
    dtype=st.sampled_from(["f4"] * 4 + ["f8", ">f4", "u1", "f2"]),
    backend=st.sampled_from(BACKENDS),
)
@settings(max_examples=250)
def test_memory_of_the_callers(loaded, form, shape, dtype, backend):
    array = np.zeros(shape, dtype)
    buffer = FORMS[form](array)
    fits = tuple(buffer.shape) == SHAPE and str(buffer.dtype).endswith("float32") and form not in REFUSED
    if not fits:
        with pytest.raises(InputError, match=r"^out: pixel_values: "):
            loaded[backend](IMAGE, out=buffer)
        assert not array.any(), "it was written to"
        return
    result = loaded[backend](IMAGE, out=buffer).pixel_values
    assert result is buffer
    values = buffer.detach().numpy() if isinstance(buffer, torch.Tensor) else np.asarray(buffer)
    assert_equal(values, reference(IMAGE), f"{backend}, {form}")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("tensors", [False, True])
def test_memory_that_holds_the_image_too(backend, tensors, loaded):
    out = np.zeros(SHAPE, np.float32)
    image = out.view(np.uint8).reshape(-1).reshape(32, 32, 3)
    image[:] = noise(32, 32)
    given = [image[:20, :20], Image.fromarray(image[:20, :20])][tensors]
    expected = reference(image[:20, :20].copy())
    loaded[backend](given, out=torch.from_numpy(out) if tensors else out)
    assert_equal(out, expected, backend)
