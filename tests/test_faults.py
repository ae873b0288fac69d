"""Damaged images, configs, Plans and files: an error of ours, or what the Plan's reference gives."""

import contextlib
import functools
import io
import json
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image, ImageOps

import exporter
import runtime
from runtime import ArtifactError, InputError, Plan, PreprocessorError, artifact, checksum, load
from runtime.backends.pil import PilBackend
from runtime.lowering import check_size
from runtime.ops import Branch, CenterCrop, ConvertRGB, Normalize, Pad, Rescale, Resize
from runtime.ops.size import Size
from runtime.preprocessor import Preprocessor

from .faults import at_most, damaged, encoded_images, mutated
from .helpers import assert_equal, make_plan, noise, with_plan

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
                check_size(preprocessor(backend)._kernels, *expected.shape[:2])
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
    assert sum(image_campaign(range(450, 20_000)).values()) == 19_550


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
            height, width = check_size(Preprocessor(plan, "pil")._kernels, *IMAGE.shape[:2])
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
    assert sum(plan_campaign(range(250, 5000), folder).values()) == 4750


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
    assert sum(config_campaign(range(400, 20_000), tmp_path).values()) == 19_600


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
    assert file_campaign(range(400, 20_000), folder, kind)[False] > 15_000
