"""Damaged images, configs, Plans and files: an error of ours, or what the Plan's reference gives."""

import contextlib
import functools
import io
import json
import struct
import warnings
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image, ImageOps

import exporter
import runtime
from exporter.onnx import build
from runtime import ArtifactError, InputError, Plan, PreprocessorError, artifact, checksum, load
from runtime.backends.pil import PilBackend
from runtime.backends.torch import Preprocess
from runtime.lowering import check_size, lower
from runtime.ops import Branch, CenterCrop, ConvertRGB, Normalize, Pad, Rescale, Resize
from runtime.ops.size import Size
from runtime.preprocessor import Preprocessor

from .faults import at_most, damaged, encoded_images, mutated
from .helpers import assert_equal, make_plan, noise, save_script, script, with_plan

SECONDS = 20
"""Of a case; a hundred times what the slowest takes on a busy machine."""

PLAN = make_plan(
    ConvertRGB(),
    Resize(Size(shortest_edge=20), "bicubic", "pillow12.1"),
    CenterCrop(16, 16),
    Rescale(1 / 255),
    Normalize((0.48, 0.46, 0.41), (0.27, 0.26, 0.28)),
    family="CLIP",
    labels=("cat", "dog"),
)
OTHER = replace(PLAN, steps=(*PLAN.steps[:-1], Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))))
MASKED = make_plan(
    Branch("thumb", (Resize(Size(height=8, width=9), "lanczos", "pillow13"),)),
    Pad(Size(height=64, width=65), mask="pixel_mask"),
)
PLANS = [PLAN, OTHER, MASKED, *(exporter.trace(name) for name in ("vit-base-patch16-224", "detr-resnet-50"))]
IMAGE = noise(31, 23)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faults")
    for name, plan in (("plan", PLAN), ("other", OTHER)):
        exporter.to_onnx(plan, folder / f"{name}.onnx")
        exporter.to_torchscript(plan, folder / f"{name}.pt")
    return folder


def reference(plan, image=IMAGE):
    """What the Plan gives for pixels, by its steps' references."""
    return PilBackend(plan).run(image[None])


# --- Images


@functools.cache
def preprocessor(backend):
    return Preprocessor(PLAN, backend)


def decoded(data):
    """As transformers opens a file; None where it fails."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except Exception:  # Pillow raises about anything
        return None


def check_image(data, backend):
    """Whether ``data`` is still an image; what comes out is what its pixels give."""
    with warnings.catch_warnings(record=True) as caught, at_most(SECONDS):
        warnings.simplefilter("always")
        try:
            got = preprocessor(backend)(data)
        except InputError:
            got = None
        expected = decoded(data)
    assert all("PIL" in Path(warning.filename).parts for warning in caught), [str(w.message) for w in caught]
    if got is None:
        if expected is not None and expected.shape[0] * expected.shape[1] < 10**6:
            with pytest.raises(InputError):
                check_size(lower(preprocessor(backend).plan.steps), *expected.shape[:2])
        return False
    assert expected is not None
    for name, values in reference(PLAN, expected).items():
        assert_equal(got[name], values, f"{backend}, {name}")
    return True


def image_campaign(seeds):
    """How many damaged images were refused, and how many came out."""
    images, count = encoded_images(), {True: 0, False: 0}
    for seed in seeds:
        rng = np.random.default_rng((1, seed))
        data = images[sorted(images)[seed % len(images)]]
        for _ in range(rng.integers(1, 4)):
            data = damaged(data, rng) or b"\0"
        count[check_image(data, ("pil", "numba")[seed % 2])] += 1
    return count


def test_damaged_images():
    refused, read = map(image_campaign(range(450)).get, (False, True))
    assert refused > 50 and read > 50


@pytest.mark.slow
def test_many_damaged_images():
    assert sum(image_campaign(range(450, 5000)).values()) == 4550


@pytest.mark.parametrize("name", encoded_images())
def test_images_are_whole_before_they_are_damaged(name):
    assert check_image(encoded_images()[name], "pil")


# --- Plans and configs


def check_plan(document, folder, seal):
    """Whether the document is still a Plan; every backend gives what it says then."""
    text = json.dumps(document)
    with at_most(SECONDS):
        try:
            plan = Plan.from_json(text)
        except ArtifactError:
            return False
        assert Plan.from_json(plan.to_json()) == plan
        try:
            height, width = check_size(lower(plan.steps, plan.channels), *IMAGE.shape[:2])
        except InputError:
            height = width = 0
        if height * width > 10**6:
            return True
        image = IMAGE if plan.channels == 3 else noise(31, 23, channels=plan.channels)
        path = folder / "mutated.onnx"
        path.write_bytes(with_plan(onnx.load(folder / "plan.onnx"), plan).SerializeToString())
        if seal:
            artifact.seal(path)
        results = {}
        for backend in ("pil", "numba", "torch"):
            try:
                loaded = load(path, backend)
                assert loaded.plan == plan
                images = image if not plan.group else [image, image] if plan.group == "pair" else [[image]]
                results[backend] = dict(loaded(images, return_tensors=None))
            except PreprocessorError as error:
                results[backend] = type(error)
        assert len({type(result) for result in results.values()}) == 1, results
        if isinstance(results["pil"], dict):
            for backend in ("numba", "torch"):
                for name, values in results["pil"].items():
                    for got, want in zip(results[backend][name], values, strict=True):
                        _same(got, want, plan.bound, f"{backend}, {name}: {text}")
        with contextlib.suppress(PreprocessorError):  # the graph is another Plan's: an error, or its own result
            load(path, "onnx")(image)
    return True


def _same(got, want, bound, what):
    got, want = np.asarray(got), np.asarray(want)
    if bound:
        assert got.shape == want.shape and np.abs(got - want).max(initial=0) <= bound * np.abs(want).max(initial=0), (
            what
        )
    else:
        assert got.dtype == want.dtype and np.array_equal(got, want, equal_nan=got.dtype.kind == "f"), what


def plan_campaign(seeds, folder):
    count = {True: 0, False: 0}
    for seed in seeds:
        rng = np.random.default_rng((2, seed))
        document = mutated(json.loads(PLANS[seed % len(PLANS)].to_json()), rng)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            count[check_plan(document, folder, bool(seed % 2))] += 1
    return count


def test_mutated_plans(folder):
    refused, read = map(plan_campaign(range(250), folder).get, (False, True))
    assert refused > 50 and read > 10


@pytest.mark.slow
def test_many_mutated_plans(folder):
    assert sum(plan_campaign(range(250, 2000), folder).values()) == 1750


def config_campaign(seeds, folder):
    """Configs that are still understood, and those that are not."""
    count = {True: 0, False: 0}
    configs = [dict(plan.config) for plan in PLANS if plan.config]
    for seed in seeds:
        rng = np.random.default_rng((3, seed))
        text = json.dumps(mutated(configs[seed % len(configs)], rng))
        if seed % 5 == 0:
            text = damaged(text.encode(), rng)
        (folder / "preprocessor_config.json").write_bytes(text if isinstance(text, bytes) else text.encode())
        with at_most(SECONDS), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # keys that transformers does not read are warned of
            try:
                plan = exporter.trace(folder)
            except PreprocessorError:
                count[False] += 1
                continue
            assert Plan.from_json(plan.to_json()) == plan
            count[True] += 1
    return count


def test_mutated_configs(tmp_path):
    refused, read = map(config_campaign(range(400), tmp_path).get, (False, True))
    assert refused > 50 and read > 20


@pytest.mark.slow
def test_many_mutated_configs(tmp_path):
    assert sum(config_campaign(range(400, 4000), tmp_path).values()) == 3600


@pytest.mark.parametrize(
    "text", ["[" * 10**7, '{"a":' * 2 * 10**6, "9" * 10**7, '"' + "\\u0000" * 10**6, "[0," * 10**5, "1e" + "9" * 10**6]
)
def test_absurd_json(text, tmp_path):
    (tmp_path / "preprocessor_config.json").write_text(text)
    with at_most(SECONDS):
        with pytest.raises(ArtifactError, match="the Plan in the file cannot be read"):
            Plan.from_json(text)
        with pytest.raises(PreprocessorError):
            exporter.trace(tmp_path)


def test_a_plan_of_branches_in_branches():
    step = {"op": "rescale", "factor": 0.5}
    for depth in range(400):
        step = {"op": "branch", "name": f"b{depth}", "steps": [step]}
    document = {**json.loads(PLAN.to_json()), "steps": [step]}
    with at_most(SECONDS):
        try:
            plan = Plan.from_json(json.dumps(document))
        except ArtifactError:
            return
        with pytest.raises(PreprocessorError):
            Preprocessor(plan, "pil")(IMAGE)


# --- Files


def check_file(data, path, backend):
    """Whether a damaged file still loads; it is a Plan that was written then, and gives what that gives."""
    path.write_bytes(data)
    with at_most(SECONDS):
        try:
            pre = load(path, backend)
        except (ArtifactError, runtime.BackendUnavailable):
            return False
        assert pre.plan in (PLAN, OTHER)  # which a splice may be whole
        for name, values in reference(pre.plan).items():
            assert_equal(pre(IMAGE)[name], values, f"{backend}, {name}")
    return True


def protected(data, kind):
    """Whether the checksum's own key is still there, so that a load checks it."""
    return checksum.KEY.encode() in data and (kind == "onnx" or data.count(checksum.KEY.encode()) == 2)


def file_campaign(seeds, folder, kind):
    count = {True: 0, False: 0}
    own = {"onnx": "onnx", "pt": "torchscript"}[kind]
    whole, other = (folder / f"plan.{kind}").read_bytes(), (folder / f"other.{kind}").read_bytes()
    for seed in seeds:
        rng = np.random.default_rng((4, seed))
        if seed % 10 == 9:  # the head of one file, the tail of another
            cut = int(rng.integers(len(whole)))
            data = whole[:cut] + other[cut:]
        else:
            data = damaged(whole, rng)
        if protected(data, kind):
            count[check_file(data, folder / f"damaged.{kind}", (own, "pil")[seed % 2])] += 1
    return count


@pytest.mark.parametrize("kind", ["onnx", "pt"])
def test_damaged_files(kind, folder):
    assert file_campaign(range(400), folder, kind)[False] > 200


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["onnx", "pt"])
def test_many_damaged_files(kind, folder):
    assert file_campaign(range(400, 4000), folder, kind)[False] > 2700


# --- A Plan and a graph of different Plans, bound by a checksum all the same


GRAY = make_plan(Resize(Size(height=16, width=16), "bilinear", "pillow13"), channels=1)
SIZED = make_plan(Resize(Size(height=16, width=16), "bilinear", "pillow13"), input_size=(31, 23))


@pytest.mark.parametrize("seal", [True, False])
@pytest.mark.parametrize(
    ("plan", "graph", "message"),
    [
        (PLAN, GRAY, r"its Plan takes \[batch, height, width, 3\], and its graph \['batch', 'height', 'width', 1\]"),
        (
            PLAN,
            replace(PLAN, layout="NCHW"),
            r"its Plan takes \[batch, height, width, 3\], and its graph \['batch', 3,",
        ),
        (replace(PLAN, layout="NCHW"), PLAN, r"its Plan takes \[batch, 3, height, width\], and its graph"),
        (SIZED, PLAN, r"its Plan takes \[batch, 31, 23, 3\], and its graph"),
        (PLAN, MASKED, r"its Plan gives pixel_values, and its graph pixel_values, thumb, pixel_mask"),
        (replace(PLAN, output="image"), PLAN, r"its Plan gives image, and its graph pixel_values"),
    ],
)
def test_a_plan_that_disagrees_with_the_graph(plan, graph, message, seal, tmp_path):
    path = tmp_path / "model.onnx"
    onnx.save(with_plan(build(graph), plan), path)
    if seal:
        artifact.seal(path)
    with pytest.raises(ArtifactError, match=f"model.onnx: {message}"):
        load(path, "onnx")
    assert load(path, "pil").plan == plan


def test_a_plan_that_disagrees_with_the_script(tmp_path):
    path = tmp_path / "model.pt"
    save_script(script(Preprocess(MASKED).eval()), path, PLAN)
    artifact.seal(path)
    pre = load(path, "torchscript")
    with pytest.raises(ArtifactError, match="the file says that it gives pixel_values: got pixel_values, thumb, "):
        pre(IMAGE)


@pytest.mark.parametrize("number", [0, 3, 2**70, -1, 2.0, "2", None, True, [2]])
@pytest.mark.parametrize("name", ["plan.onnx", "plan.pt"])
def test_wrong_format_numbers(number, name, folder, tmp_path):
    text = json.dumps({**json.loads(PLAN.to_json()), "format": number})
    path = tmp_path / name
    if name.endswith(".onnx"):
        proto = onnx.load(folder / name)
        onnx.helper.set_model_props(proto, {artifact.PLAN_KEY: text})
        onnx.save(proto, path)
    else:
        with zipfile.ZipFile(folder / name) as whole, zipfile.ZipFile(path, "w") as archive:
            for entry in whole.namelist():
                if not entry.endswith(checksum.KEY):
                    archive.writestr(entry, text if entry.endswith(artifact.PLAN_ENTRY) else whole.read(entry))
    with pytest.raises(ArtifactError, match=r"the Plan has format .*, this release reads 1 to 2: update the package"):
        load(path)


# --- Absurd sizes


@pytest.mark.parametrize("backend", ["pil", "numba"])
@pytest.mark.parametrize("shape", [(10**5, 10**5, 3), (3, 10**6, 10**6), (1, 10**9, 3), (2, 10**5, 10**5, 3)])
def test_absurd_arrays(shape, backend):
    """They take a byte of memory, and would take gigabytes."""
    with at_most(SECONDS):
        for image in (np.broadcast_to(np.uint8(5), shape), torch.tensor(5, dtype=torch.uint8).expand(shape)):
            with pytest.raises(InputError, match=r"expected at most 178956970 pixels, got \d+x\d+"):
                preprocessor(backend)(image)


def header(width, height):
    """A PNG of so many pixels, of which it has none."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(2**31 - 1, 2**31 - 1), (65_535, 65_535), (20_000, 20_000), (1, 2**31 - 1)])
def test_images_that_unpack_to_gigabytes(size):
    with at_most(SECONDS):
        with pytest.raises(InputError, match=r"the image is too large: Image size \(\d+ pixels\) exceeds limit"):
            preprocessor("pil")(header(*size))
        with pytest.raises(InputError, match="not an image that Pillow can read"):
            preprocessor("pil")(header(20, 30))


@pytest.mark.parametrize("shape", [[2**45], [2**20, 2**20, 2**10], [2**62]])
def test_a_graph_of_absurd_sizes(shape, tmp_path):
    """Where somebody has written one beside a Plan: an error of ours when it loads or runs."""
    text = (
        '<ir_version: 8, opset_import: ["": 18]> g (uint8[batch, height, width, 3] images) => (float[n] pixel_values)'
        f" {{s = Constant <value: tensor = int64[{len(shape)}] {{{', '.join(map(str, shape))}}}> ()\n"
        "large = ConstantOfShape (s)\n f = Cast <to = 1> (images)\n sum = ReduceSum (f)\n"
        " whole = Add (large, sum)\n flat = Constant <value: tensor = int64[1] {-1}> ()\n"
        " pixel_values = Reshape (whole, flat)}"
    )
    onnx.save(with_plan(onnx.parser.parse_model(text), PLAN), tmp_path / "model.onnx")
    with at_most(SECONDS), pytest.raises(PreprocessorError, match=r"onnxruntime (cannot load|failed)"):
        load(tmp_path / "model.onnx", "onnx")(IMAGE)
