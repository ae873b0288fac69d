"""Where configs come from: presets, folders, files and the hub's cache; and what a broken one is called."""

import hashlib
import http.server
import json
import os
import socket
import threading
import time

import huggingface_hub
import pytest
import transformers
from huggingface_hub import constants
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from huggingface_hub.utils._validators import validate_repo_id
from hypothesis import given
from hypothesis import strategies as st

import exporter
from models import hub as hub_files
from models import sources
from models.presets import PRESETS
from runtime import UnsupportedConfig

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


@pytest.mark.parametrize("flat", [CLIP, {"processor_class": "X"}, {"image_processor": None}])
def test_a_processor_config_without_a_nested_one_is_ignored(tmp_path, flat):
    write(tmp_path, processor_config=flat, preprocessor_config=VIT)
    expected = transformers.AutoImageProcessor.from_pretrained(tmp_path, backend="pil")
    assert type(expected).__name__ == "ViTImageProcessorPil"
    assert sources.find(str(tmp_path)).config == VIT


def test_an_empty_nested_config_wins_too(tmp_path):
    """transformers then takes the model's type; the file beside it is not read."""
    write(tmp_path, processor_config={"image_processor": {}}, preprocessor_config=CLIP, config={"model_type": "vit"})
    expected = transformers.AutoImageProcessor.from_pretrained(tmp_path, backend="pil")
    assert type(expected).__name__ == "ViTImageProcessorPil"
    assert exporter.trace(tmp_path).family == "ViT"
    write(tmp_path / "file", processor_config={"image_processor": {}, **CLIP}, config={"model_type": "vit"})
    assert exporter.trace(tmp_path / "file" / "processor_config.json").family == "ViT"


@pytest.mark.parametrize("nested", ["CLIPImageProcessor", [CLIP], 3, True])
def test_a_nested_config_that_is_no_object(tmp_path, nested):
    path = write(tmp_path, processor_config={"image_processor": nested}, preprocessor_config=VIT)
    for source in (path, path / "processor_config.json"):
        assert f"processor_config.json: image_processor: expected an object, got {type(nested).__name__}" in refusal(
            source
        )


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
        ({"9" * 5000: "cat"}, ()),
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
        ("[" * 5_000_000 + "]" * 5_000_000, f"larger than {sources.LARGEST} bytes"),
        ('{"a":' * 51 + "1" + "}" * 51, "nested too deeply"),
        ('{"a": ' + "[" * 50 + "]" * 50 + "}", "nested too deeply"),
        ('{"size": 224, "size": 384}', "'size' stands in it twice, with different values"),
        ('{"size": {"height": 1, "height": 2}}', "'height' stands in it twice"),
        ('{"size": 1, "size": true}', "'size' stands in it twice"),
        ('{"a": "\\ud800"}', "holds half a character"),
        ('{"\\udfff": 1}', "holds half a character"),
        ('{"a": [["x\\ud83d"]]}', "holds half a character"),
        ('{"a": "' + "x" * 500 + '\\ud800"}', "holds half a character"),
        ('{"size": ' + "9" * 5000 + "}", "not JSON"),
        ("\x00" * 100, "not JSON"),
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


@pytest.mark.parametrize(
    "text",
    [
        '{"size": 224, "size": 224}',
        '{"size": {"height": 1}, "size": {"height": 1}}',
        '{"a":' * 49 + "1" + "}" * 49,
        '{"a": "\\ud83d\\ude00 ė"}',
        '{"a": Infinity, "b": -Infinity, "c": NaN}',
        '{"size": ' + "9" * 400 + "}",
    ],
    ids=lambda text: text[:30],
)
def test_what_is_odd_but_certain_is_read(tmp_path, text):
    path = tmp_path / "preprocessor_config.json"
    path.write_text(text, encoding="utf-8")
    assert repr(sources.find(str(path)).config) == repr(json.loads(text))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("size", "9" * 400),
        ("size", "1e400"),
        ("size", "Infinity"),
        ("resample", "9" * 400),
        ("image_mean", "[0.5, -Infinity, 0.5]"),
        ("image_std", "[0.5, 1e999, 0.5]"),
        ("rescale_factor", "9" * 400),
        ("rescale_factor", "NaN"),
    ],
    ids=lambda value: value[:12],
)
def test_numbers_that_nothing_holds_are_refused_by_their_key(tmp_path, key, value):
    path = tmp_path / "preprocessor_config.json"
    path.write_text(f'{{"image_processor_type": "ViTImageProcessor", "{key}": {value}}}', encoding="utf-8")
    with pytest.raises(UnsupportedConfig, match=rf"^{key}(\.height)?: expected ") as caught:
        exporter.trace(tmp_path)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("value", ["[" * 49 + "]" * 49, '{"a":' * 47 + "{}" + "}" * 47, '"' + "x" * 10**6 + '"'])
@pytest.mark.parametrize("key", ["size", "crop_size", "do_resize", "image_mean", "image_processor_type", "model_type"])
def test_monsters_are_refused_in_a_line(tmp_path, key, value):
    path = tmp_path / "preprocessor_config.json"
    type = {} if key.endswith("type") else {"image_processor_type": "CLIPImageProcessor"}
    path.write_text(json.dumps({**type, "do_rescale": True, key: "VALUE"}).replace('"VALUE"', value), encoding="utf-8")
    with pytest.raises(UnsupportedConfig, match=f"^{key}: ") as caught:
        exporter.trace(tmp_path)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("name", ["preprocessor_config.json", "processor_config.json", "config.json"])
def test_nothing_but_a_file_is_opened(tmp_path, name):
    """A pipe would wait for its writer for ever."""
    write(tmp_path, preprocessor_config=VIT)
    path = tmp_path / name
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    assert "no preset, folder or file" in refusal(path)
    if name == "preprocessor_config.json":
        assert "holds neither" in refusal(tmp_path)
    else:
        assert sources.find(str(tmp_path)).config == VIT
        assert sources.find(str(tmp_path / "preprocessor_config.json")).config == VIT


@pytest.mark.parametrize("source", ["/dev/null", "/dev/zero", "/dev/stdin"])
def test_devices_are_no_sources(source):
    assert "no preset, folder or file" in refusal(source)


def test_links_that_lead_nowhere(tmp_path):
    path = tmp_path / "preprocessor_config.json"
    path.symlink_to(path)
    assert "holds neither" in refusal(tmp_path)
    assert "no preset, folder or file" in refusal(path)
    path.unlink()
    path.symlink_to(tmp_path / "missing")
    assert "holds neither" in refusal(tmp_path)
    path.unlink()
    (tmp_path / "real").write_text(json.dumps(VIT))
    path.symlink_to("real")
    assert sources.find(str(tmp_path)).config == VIT


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    def refuse(*arguments, **more):
        raise PermissionError(13, "Permission denied")

    write(tmp_path, preprocessor_config=VIT)
    monkeypatch.setattr("pathlib.Path.open", refuse)
    assert refusal(tmp_path) == f"{tmp_path / 'preprocessor_config.json'}: cannot be read (Permission denied)"


MODEL = {
    "architectures": ["ViTForImageClassification"],
    "model_type": "vit",
    "hidden_size": 8,
    "id2label": {"0": "cat"},
}


@pytest.mark.parametrize("left_out", ["architectures", "model_type", "id2label"])
def test_a_models_config_is_no_processors(tmp_path, left_out):
    """transformers loads neither."""
    config = {key: value for key, value in MODEL.items() if key != left_out}
    write(tmp_path, preprocessor_config=config, config=config)
    for source in (tmp_path, tmp_path / "preprocessor_config.json"):
        assert refusal(source) == (
            f"{tmp_path / 'preprocessor_config.json'}: a model's config, not an image processor's: it is saved under"
            " the name of a preprocessor_config.json"
        )
    assert refusal(tmp_path / "config.json").endswith(": give the folder, or the preprocessor_config.json beside it")


@pytest.mark.parametrize("key", ["do_resize", "image_mean", "size", "image_processor_type", "feature_extractor_type"])
def test_a_processors_config_may_hold_a_model_type(tmp_path, key):
    config = {"model_type": "vit", "size": 8, key: {"image_mean": [0.5] * 3, "size": 8}.get(key, "x")}
    assert sources.find(str(write(tmp_path, preprocessor_config=config))).config == config


def test_a_files_own_model_type_wins_as_in_transformers(tmp_path):
    """Which takes a file for the model's config too, and a folder's config.json for it."""
    write(tmp_path, preprocessor_config={"model_type": "beit", "size": 24}, config={"model_type": "clip"})
    path = tmp_path / "preprocessor_config.json"
    for source, family in ((tmp_path, "CLIP"), (path, "Beit")):
        expected = transformers.AutoImageProcessor.from_pretrained(source, backend="pil")
        assert type(expected).__name__ == f"{family}ImageProcessorPil"
        assert exporter.trace(source).family == family


def test_in_a_folder_the_config_of_timm_wins_over_the_flat_one(tmp_path):
    """utils/generic.py:874 (``is_timm_local_checkpoint``); not over a nested one, and not on the hub."""
    cfg = {"architecture": "resnet18", "pretrained_cfg": {"input_size": [3, 32, 32], "interpolation": "bilinear"}}
    write(tmp_path, preprocessor_config=VIT, config=cfg)
    assert sources.find(str(tmp_path)).family is not None
    write(tmp_path, processor_config={"image_processor": CLIP})
    assert sources.find(str(tmp_path)).config == CLIP


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


@pytest.mark.parametrize("key", ["revision", "subfolder"])
def test_what_only_a_hub_id_has_is_refused_for_other_sources(tmp_path, key):
    write(tmp_path, preprocessor_config=VIT)
    preset = next(iter(PRESETS))
    for source, kind in (
        (preset, "preset"),
        (tmp_path, "folder"),
        (tmp_path / "preprocessor_config.json", "file"),
        ("torchvision:ResNet18_Weights", "name in torchvision"),
    ):
        assert refusal(source, **{key: "main"}) == f"{key}: is of a hub id, but {source} is a {kind}: leave it out"


def test_what_says_nothing_about_other_sources_passes(tmp_path):
    """A script may give them for every source."""
    write(tmp_path, preprocessor_config=VIT)
    found = sources.find(str(tmp_path), token="x", cache_dir="c", local_files_only=True, revision=None, subfolder=None)
    assert found.config == VIT


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
        monkeypatch.setattr("models.hub.reachable", fail)
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


def test_a_snapshot_of_links_as_the_client_lays_it_out(cache, hub):
    folder = cache / "models--org--name"
    (folder / "blobs").mkdir()
    (folder / "snapshots" / SHA / "preprocessor_config.json").rename(folder / "blobs" / "e3b0")
    (folder / "snapshots" / SHA / "preprocessor_config.json").symlink_to("../../blobs/e3b0")
    assert sources.find("org/name", **hub).config == VIT
    (folder / "blobs" / "e3b0").unlink()
    assert "cache" in refusal("org/name", **hub)


def test_the_cache_gives_what_transformers_finds_in_it(cache, hub, tmp_path):
    for revision, family in (("main", "ViT"), ("old", "CLIP")):
        options = {"cache_dir": cache, "local_files_only": True, "revision": revision}
        expected = transformers.AutoImageProcessor.from_pretrained("org/name", backend="pil", **options)
        assert type(expected).__name__ == f"{family}ImageProcessorPil"
        assert exporter.trace("org/name", revision=revision, **hub).family == family


def test_on_the_hub_the_config_of_timm_does_not_win(cache, hub):
    cfg = {"architecture": "resnet18", "pretrained_cfg": {"input_size": [3, 32, 32], "interpolation": "bilinear"}}
    folder = write(cache / "models--org--name" / "snapshots" / SHA, config=cfg)
    assert sources.find("org/name", **hub).config == VIT
    (folder / "preprocessor_config.json").unlink()
    assert sources.find("org/name", **hub).family is not None


def test_a_type_from_the_cached_model(cache, hub):
    write(
        cache / "models--org--name" / "snapshots" / SHA,
        preprocessor_config={"size": 8},
        config={"model_type": "clip", "id2label": {"0": "cat"}},
    )
    plan = exporter.trace("org/name", **hub)
    assert (plan.family, plan.labels) == ("CLIP", ("cat",))


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


@pytest.fixture
def server(monkeypatch, tmp_path):
    """A hub of its own: the repositories of the dict that it gives, and what it was asked for."""
    repositories, asked = {}, []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if "/resolve/" not in self.path:
                return self.send_error(404)
            asked.append((self.path, self.headers.get("Authorization")))
            organisation, name, _, revision, file = self.path.strip("/").split("/", 4)
            content = repositories.get(f"{organisation}/{name}", "RepoNotFound")
            if isinstance(content, dict):
                content = content.get(revision, "RevisionNotFound")
            if isinstance(content, dict):
                content = content.get(file, "EntryNotFound")
            if isinstance(content, str):
                self.send_response(403 if content == "GatedRepo" else 500 if content == "Broken" else 404)
                self.send_header("X-Error-Code", content)
                content = b""
            else:
                self.send_response(200)
                self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
                self.send_header("X-Repo-Commit", SHA if revision == "main" else OTHER_SHA)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            return self.wfile.write(content if self.command == "GET" else b"")

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        endpoint = f"http://127.0.0.1:{running.server_port}"
        monkeypatch.setattr(constants, "ENDPOINT", endpoint)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        )
        yield repositories, asked
        running.shutdown()
        thread.join()


def as_json(config):
    return json.dumps(config).encode()


def test_a_hub_id_is_downloaded_and_then_in_the_cache(server):
    repositories, asked = server
    old = {"vision/processor_config.json": as_json({"image_processor": CLIP})}
    repositories["org/name"] = {"main": {"preprocessor_config.json": as_json(VIT)}, "old": old}
    assert sources.find("org/name", token="hf_secret").config == VIT
    assert {token for _, token in asked} == {"Bearer hf_secret"}
    assert sources.find("org/name", revision="old", subfolder="vision").config == CLIP
    asked.clear()
    assert sources.find("org/name", local_files_only=True).config == VIT
    assert asked == []


@pytest.mark.parametrize(
    ("repository", "options", "reason"),
    [
        (None, {}, "there is none of this name, or it is private and needs a token (HF_TOKEN)"),
        ("GatedRepo", {}, "it is gated: ask for access on its page, and give a token (HF_TOKEN)"),
        ({"main": {}}, {"revision": "v2"}, "it has no revision 'v2'"),
        ({"main": {}}, {}, "it holds none"),
        ({"main": {"config.json": as_json({"model_type": "vit"})}}, {}, "it holds none"),
        ("Broken", {}, "it is not in the local cache, and the hub is not reached"),
    ],
    ids=["missing", "gated", "revision", "empty", "model only", "broken"],
)
def test_what_the_hub_says_becomes_a_sentence(server, monkeypatch, repository, options, reason):
    repositories, _ = server
    if repository is not None:
        repositories["org/name"] = repository
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # the client tries again after a server's fault
    problem = refusal("org/name", token=False, **options)
    assert problem.startswith(
        f"org/name: no such preset or folder, and no preprocessor_config.json of a hub repository: {reason}"
    )
    assert "\n" not in problem
    assert len(problem) < 300


def test_what_the_hub_client_raises_becomes_one_sentence(monkeypatch):
    """A private repository, a lost connection: the first line of the client's own words."""

    def fail(*arguments, **options):
        raise RuntimeError("\n401 Client Error.\nmany\nmore\nlines")

    monkeypatch.setattr("models.hub.reachable", lambda: True)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fail)
    problem = refusal("org/name")
    assert "401 Client Error." in problem
    assert "many" not in problem


@pytest.mark.parametrize("file", ["processor_config.json", "preprocessor_config.json", "config.json"])
def test_what_was_found_before_an_error_is_not_taken_for_all(tmp_path, monkeypatch, file):
    """A later file could have won over it, or named its type."""
    write(tmp_path, preprocessor_config=VIT, processor_config={}, config={})

    def download(name, asked, **options):
        if asked == file:
            raise RuntimeError("503 Server Error")
        return tmp_path / asked

    monkeypatch.setattr("models.hub.reachable", lambda: True)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    assert refusal("org/name").endswith("no preprocessor_config.json of a hub repository: 503 Server Error")


def test_files_that_the_repository_lacks_are_no_error(tmp_path, monkeypatch):
    write(tmp_path, preprocessor_config=VIT)

    def download(name, asked, **options):
        if not (tmp_path / asked).exists():
            raise EntryNotFoundError("404")
        return tmp_path / asked

    monkeypatch.setattr("models.hub.reachable", lambda: True)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    assert sources.find("org/name").config == VIT
    (tmp_path / "preprocessor_config.json").unlink()
    assert refusal("org/name").endswith("hub repository: it holds none")


def test_a_connection_that_is_lost_on_the_way_leaves_the_cache(cache, monkeypatch):
    def download(name, asked, **options):
        raise LocalEntryNotFoundError("no connection")

    monkeypatch.setattr("models.hub.reachable", lambda: True)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    assert sources.find("org/name", cache_dir=cache).config == VIT
    assert sources.find("org/name", cache_dir=cache, revision="old").config == CLIP
    assert "the hub is not reached" in refusal("org/other", cache_dir=cache)


def test_the_clients_options_reach_it(tmp_path, monkeypatch):
    seen = []

    def download(name, file, **options):
        seen.append((name, file, options))
        write(tmp_path, preprocessor_config=VIT, processor_config={}, config={}, open_clip_config={})
        return tmp_path / file

    monkeypatch.setattr("models.hub.reachable", lambda: True)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    sources.find("org/name", token="hf_x", revision="r", cache_dir="c", subfolder="s/")
    options = {"token": "hf_x", "revision": "r", "cache_dir": "c", "subfolder": "s"}
    assert {file for _, file, _ in seen} == set(sources.FILES)
    assert ("org/name", "preprocessor_config.json", options) in seen


@pytest.mark.parametrize(
    "source", ["../etc", "org//name", "org/name/more", "/org", "org/", "-o/name", "org/a b", "org/a--b"]
)
def test_names_that_are_no_hub_id_never_reach_the_hub(monkeypatch, source):
    def fail(*arguments, **options):
        raise AssertionError("asked the hub")

    monkeypatch.setattr("models.hub.fetch", fail)
    assert "no preset, folder or file of this name" in refusal(source)


def test_the_plan_says_where_it_comes_from(tmp_path):
    name = next(iter(PRESETS))
    assert exporter.trace(name).source == name
    assert exporter.trace(write(tmp_path, preprocessor_config=VIT)).source == str(tmp_path)


def is_valid(name):
    try:
        validate_repo_id(name)
    except ValueError:
        return False
    return name.count("/") == 1  # a name alone is a preset's, or an old one of the hub's own


@given(
    st.one_of(
        st.from_regex(r"[aZ0_.\-/é ]{0,8}", fullmatch=True),
        st.integers(94, 98).map(lambda length: f"org/{'x' * length}"),
        st.sampled_from(["org/a.git", "org/a--b", "a..b/c", "org/a", "ORG/a_b.c-d"]),
    )
)
def test_names_of_repositories_are_those_of_the_client(name):
    assert hub_files.is_repository(name) == is_valid(name)
