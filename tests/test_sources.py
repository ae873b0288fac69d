"""Where configs come from: presets, folders, files and the hub's cache; and what a broken one is called."""

import json
import socket
import time

import huggingface_hub
import pytest
import transformers
from huggingface_hub import constants
from PIL import Image

import exporter
from models import sources
from models.families import FAMILIES
from models.presets import PRESETS
from runtime import UnsupportedConfig
from runtime.preprocessor import Preprocessor

from .helpers import assert_equal, noise

VIT = {"image_processor_type": "ViTImageProcessor", "size": {"height": 32, "width": 32}}
CLIP = {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 24}}
SHA, OTHER_SHA = "a" * 40, "b" * 40


def write(folder, **files):
    """``preprocessor_config={…}`` as ``preprocessor_config.json``, and so on."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def refusal(source, **hub):
    with pytest.raises(UnsupportedConfig) as caught:
        sources.find(str(source), **hub)
    (problem,) = caught.value.problems
    return problem


# Presets.


def test_there_are_presets_of_many_families():
    assert len(PRESETS) >= 12
    assert len({preset.checkpoint for preset in PRESETS.values()}) == len(PRESETS)
    assert len({preset.config["image_processor_type"] for preset in PRESETS.values()}) >= 8


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_named_after_its_checkpoint(name):
    preset = PRESETS[name]
    assert name == preset.name == preset.checkpoint.split("/")[1]
    assert preset.config["image_processor_type"].removesuffix("ImageProcessor") in FAMILIES
    assert sources.find(name) == sources.Source(name, preset.config)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_reads_every_key_and_gives_the_pixels_of_transformers(name):
    config = dict(PRESETS[name].config)
    plan = exporter.trace(name, strict=True)
    processor = getattr(transformers, f"{plan.family}ImageProcessorPil")(**config)
    for image in map(Image.fromarray, (noise(37, 53), noise(61, 29))):
        expected = processor(image, return_tensors="np")["pixel_values"]
        assert_equal(Preprocessor(plan, "pil")(image)["pixel_values"], expected, f"{name} at {image.size}")


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_exports_to_both_formats(name, tmp_path):
    plan = exporter.trace(name)
    exporter.to_onnx(plan, tmp_path / "a.onnx")
    exporter.to_torchscript(plan, tmp_path / "a.pt")
    image = noise(37, 53)
    expected = Preprocessor(plan, "pil")(image)["pixel_values"]
    for file in ("a.onnx", "a.pt"):
        got = Preprocessor(plan, "auto", path=tmp_path / file)(image)["pixel_values"]
        assert_equal(got, expected, f"{name} {file}")


def test_a_preset_wins_over_a_folder_of_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = next(iter(PRESETS))
    write(tmp_path / name, preprocessor_config=VIT)
    assert sources.find(name).config == PRESETS[name].config
    assert sources.find(f"./{name}").config == VIT


# Folders and files.


def test_a_folder_with_a_config(tmp_path):
    write(tmp_path, preprocessor_config=VIT)
    assert sources.find(str(tmp_path)) == sources.Source(str(tmp_path), VIT)


def test_a_file_of_any_name(tmp_path):
    write(tmp_path, mine=VIT)
    path = str(tmp_path / "mine.json")
    assert sources.find(path) == sources.Source(path, VIT)


def test_the_nested_config_wins_as_in_transformers(tmp_path):
    nested = {"processor_class": "CLIPProcessor", "image_processor": CLIP}
    write(tmp_path, processor_config=nested, preprocessor_config=VIT)
    expected = transformers.AutoImageProcessor.from_pretrained(tmp_path, backend="pil")
    assert type(expected).__name__ == "CLIPImageProcessorPil"
    assert sources.find(str(tmp_path)).config == CLIP


def test_a_nested_config_is_enough(tmp_path):
    write(tmp_path, processor_config={"image_processor": CLIP})
    assert sources.find(str(tmp_path)).config == CLIP
    assert sources.find(str(tmp_path / "processor_config.json")).config == CLIP


@pytest.mark.parametrize(
    "flat", [CLIP, {"processor_class": "X"}, {"image_processor": None}, {"image_processor": "CLIPImageProcessor"}]
)
def test_a_processor_config_without_a_nested_one_is_ignored(tmp_path, flat):
    write(tmp_path, processor_config=flat, preprocessor_config=VIT)
    assert sources.find(str(tmp_path)).config == VIT


def test_a_flat_processor_config_alone_is_refused(tmp_path):
    write(tmp_path, processor_config=CLIP, config={"model_type": "clip"})
    assert "holds neither preprocessor_config.json nor" in refusal(tmp_path)


def test_a_config_with_a_bom(tmp_path):
    path = tmp_path / "preprocessor_config.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(VIT).encode())
    assert sources.find(str(tmp_path)).config == VIT


@pytest.mark.parametrize("source", [".", "preprocessor_config.json", "processor_config.json"])
def test_the_models_config_beside_it_gives_its_type_and_labels(tmp_path, monkeypatch, source):
    model = {"model_type": "vit", "id2label": {"1": "dog", "0": "cat", "2": "émeu"}}
    size = {"size": {"height": 32, "width": 32}}
    write(tmp_path, preprocessor_config=size, processor_config={"image_processor": size}, config=model)
    monkeypatch.chdir(tmp_path)
    plan = exporter.trace(source)
    assert (plan.family, plan.labels) == ("ViT", ("cat", "dog", "émeu"))


@pytest.mark.parametrize(
    ("id2label", "expected"),
    [
        ({"0": "cat", "1": "dog"}, ("cat", "dog")),
        ({"10": "k", **{str(i): chr(97 + i) for i in range(10)}}, tuple("abcdefghijk")),
        ({"0": "cat", "2": "dog"}, ()),
        ({"1": "cat", "2": "dog"}, ()),
        ({"0": "cat", "1": 5}, ()),
        ({"0": "cat", "x": "dog"}, ()),
        ({"-1": "cat", "0": "dog"}, ()),
        ({"0": "cat", "00": "dog"}, ()),
        (["cat", "dog"], ()),
        ({}, ()),
        (None, ()),
    ],
    ids=str,
)
def test_labels_are_taken_only_where_they_leave_no_gap(id2label, expected):
    assert sources.labels({"id2label": id2label}) == expected


# Broken files.

DEEP = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("<!DOCTYPE html><html>404</html>", "an HTML page, not JSON: download the file itself"),
        ("\n  <html></html>", "an HTML page"),
        ('{"size": 22', "not JSON"),
        ("", "not JSON"),
        ("size: 224", "not JSON"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n", "a Git LFS pointer, not the file: run"),
        ("[1, 2]", "expected a JSON object, got list"),
        ("null", "expected a JSON object, got NoneType"),
        ('"ViT"', "expected a JSON object, got str"),
        ("3" * 5000, "not JSON"),
        (DEEP, "nested too deeply"),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, "nested too deeply"),
        (b'{"size": 224, "\xff": 1}', "not JSON ('utf-8' codec"),
        ('{"size": 224}'.encode("utf-16"), "not JSON ('utf-8' codec"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "not JSON"),
        ('{"a": "' + "x" * sources.LARGEST + '"}', f"larger than {sources.LARGEST} bytes"),
    ],
    ids=lambda value: repr(value[:20]),
)
@pytest.mark.parametrize("name", ["preprocessor_config.json", "processor_config.json", "config.json"])
def test_a_broken_file_is_named_and_described(tmp_path, name, content, words):
    """Whichever of the three it is; the other two are fine."""
    write(tmp_path, preprocessor_config=VIT, config={"model_type": "vit"})
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    for source in (tmp_path, path):
        problem = refusal(source)
        assert problem.startswith(f"{path}: ")
        assert words in problem
        assert len(problem) < 400


def test_a_config_of_just_below_the_limit_is_read(tmp_path):
    path = tmp_path / "preprocessor_config.json"
    path.write_text(json.dumps(VIT).ljust(sources.LARGEST), encoding="utf-8")
    assert sources.find(str(path)).config == VIT


def test_numbers_that_are_no_json_are_refused_by_their_key(tmp_path):
    path = tmp_path / "preprocessor_config.json"
    path.write_text('{"image_processor_type": "ViTImageProcessor", "rescale_factor": NaN}', encoding="utf-8")
    with pytest.raises(UnsupportedConfig, match=r"^rescale_factor: expected a finite number, got nan"):
        exporter.trace(tmp_path)


@pytest.mark.parametrize("source", ["nowhere", "nowhere/", "no/where/at/all", "nowhere.json", "a/b.json", "~", "nul\0"])
def test_a_source_that_is_nowhere_says_what_sources_are(tmp_path, monkeypatch, source):
    monkeypatch.chdir(tmp_path)
    problem = refusal(source)
    assert problem.startswith(f"{source}: no preset, folder or file of this name; ")
    assert "`export-preprocessor presets`" in problem


@pytest.mark.parametrize("source", ["x" * 300, "x" * 5000])
def test_a_name_that_no_file_system_takes(source):
    assert "no preset, folder or file of this name" in refusal(source)


def test_a_misspelt_preset_is_answered_with_the_nearest():
    assert "(did you mean 'vit-base-patch16-224'?)" in refusal("vit-base-patch-224")


def test_a_folder_without_a_config(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')
    problem = refusal(tmp_path)
    assert problem.startswith(f"{tmp_path}: holds neither preprocessor_config.json nor a processor_config.json")


def test_a_config_that_is_a_folder(tmp_path):
    (tmp_path / "preprocessor_config.json").mkdir()
    assert "holds neither" in refusal(tmp_path)


# The hub.


@pytest.fixture
def cache(tmp_path):
    """A hub cache with one repository, ``org/name``: ``main`` is a ViT, ``old`` a CLIP."""
    repository = tmp_path / "models--org--name"
    for reference, sha, config in (("main", SHA, VIT), ("old", OTHER_SHA, CLIP)):
        (repository / "refs").mkdir(parents=True, exist_ok=True)
        (repository / "refs" / reference).write_text(sha)
        write(repository / "snapshots" / sha, preprocessor_config=config)
    return tmp_path


@pytest.fixture(params=["local_files_only", "offline variable", "no network"])
def hub(request, cache, monkeypatch):
    """Options that find the cache, in the three ways of being offline."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", request.param == "offline variable")
    for proxy in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(proxy, raising=False)
        monkeypatch.delenv(proxy.upper(), raising=False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:1")  # nothing listens there

    def fail(*arguments, **more):
        pytest.fail("asked for the hub")

    if request.param == "local_files_only":
        monkeypatch.setattr(sources, "_hub_reachable", fail)
    elif request.param == "offline variable":
        monkeypatch.setattr(socket, "create_connection", fail)
    options = {"cache_dir": cache}
    return {**options, "local_files_only": True} if request.param == "local_files_only" else options


def test_a_hub_id_is_found_in_the_cache(hub):
    assert sources.find("org/name", **hub) == sources.Source("org/name", VIT)
    assert exporter.trace("org/name", **hub).source == "org/name"


@pytest.mark.parametrize("revision", ["old", OTHER_SHA])
def test_a_revision_of_a_hub_id(hub, revision):
    assert sources.find("org/name", revision=revision, **hub).config == CLIP


def test_the_nested_config_wins_on_the_hub_too(cache, hub):
    folder = cache / "models--org--name" / "snapshots" / SHA
    write(folder, processor_config={"image_processor": CLIP}, config={"model_type": "vit", "id2label": {"0": "cat"}})
    found = sources.find("org/name", **hub)
    assert found.config == CLIP
    assert sources.labels(found.model_config) == ("cat",)


def test_a_subfolder_of_a_hub_id(cache, hub):
    write(cache / "models--org--name" / "snapshots" / SHA / "vision", preprocessor_config=CLIP)
    assert sources.find("org/name", subfolder="vision", **hub).config == CLIP


def test_a_broken_file_in_the_cache(cache, hub):
    path = cache / "models--org--name" / "snapshots" / SHA / "preprocessor_config.json"
    path.write_text("<html>")
    assert "an HTML page" in refusal("org/name", **hub)


@pytest.mark.parametrize(
    ("source", "more"),
    [
        ("org/missing", {}),
        ("org/name", {"revision": "missing"}),
        ("org/name", {"subfolder": "missing"}),
        ("google/vit-base-patch16-22", {}),
    ],
)
def test_a_hub_id_that_is_not_in_the_cache_is_said_quickly_and_plainly(hub, source, more):
    start = time.monotonic()
    problem = refusal(source, **more, **hub)
    assert time.monotonic() - start < 5
    assert problem.startswith(f"{source}: no such preset or folder, and no preprocessor_config.json")
    assert "cache" in problem
    assert "\n" not in problem
    assert len(problem) < 300
    assert ("did you mean 'vit-base-patch16-224'" in problem) == source.startswith("google/")


def test_what_the_hub_client_raises_becomes_one_sentence(monkeypatch):
    """A private repository, a lost connection: the first line of the client's own words."""

    def fail(*arguments, **options):
        raise RuntimeError("\n401 Client Error.\nmany\nmore\nlines")

    monkeypatch.setattr(sources, "_hub_reachable", lambda: True)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fail)
    problem = refusal("org/name")
    assert "401 Client Error." in problem
    assert "many" not in problem


def test_the_clients_options_reach_it(tmp_path, monkeypatch):
    seen = []

    def download(name, file, **options):
        seen.append((name, file, options))
        return write(tmp_path, preprocessor_config=VIT, processor_config={}, config={}) / file

    monkeypatch.setattr(sources, "_hub_reachable", lambda: True)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    sources.find("org/name", token="hf_x", revision="r", cache_dir="c", subfolder="s")
    options = {"token": "hf_x", "revision": "r", "cache_dir": "c", "subfolder": "s"}
    assert ("org/name", "preprocessor_config.json", options) in seen


@pytest.mark.parametrize("source", ["../etc", "org//name", "org/name/more", "/org", "org/", "-o/name", "org/a b"])
def test_names_that_are_no_hub_id_never_reach_the_hub(monkeypatch, source):
    def fail(*arguments, **options):
        raise AssertionError("asked the hub")

    monkeypatch.setattr(sources, "_hub", fail)
    assert "no preset, folder or file of this name" in refusal(source)


def test_the_plan_says_where_it_comes_from(tmp_path):
    name = next(iter(PRESETS))
    assert exporter.trace(name).source == name
    assert exporter.trace(write(tmp_path, preprocessor_config=VIT)).source == str(tmp_path)
