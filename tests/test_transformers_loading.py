"""``exporter.register_transformers``: what ``AutoImageProcessor`` loads, saves and copies, and where it is used."""

import copy
import json
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
import transformers
from transformers import AutoImageProcessor, AutoProcessor, pipeline
from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING

import exporter
from exporter.coverage import coverage
from exporter.trace import installed_pillow
from exporter.transformers import NAME, Options, processor_class, register, unregister
from models.families import FAMILIES
from models.refused import REFUSED
from runtime import BackendUnavailable, InputError, UnsupportedConfig

from .drop_in import FEW, NEVER, arguments, assert_same, base_of, batches, messages, outcome, pair, picture
from .families import NEEDED, config, threads
from .helpers import noise


@pytest.fixture(scope="module")
def backends():
    """The backend in two forms, until the tests of this file are done."""
    exporter.register_transformers()
    exporter.register_transformers("exact-strict", strict=True)
    yield
    IMAGE_PROCESSOR_MAPPING._extra_content.clear()


# AutoImageProcessor, files, pickles

EXACT = [row.family for row in coverage() if row.kind in ("exact", "partly")]


def folder(path, name, **keys):
    """A folder with the config of a family."""
    (path / "preprocessor_config.json").write_text(
        json.dumps({"image_processor_type": f"{name}ImageProcessor", **keys})
    )
    return path


@pytest.mark.parametrize(
    "name",
    [
        n if n in ("ViT", "CLIP", "DINOv3ViT", "Tipsv2", "VideoMAE") else pytest.param(n, marks=pytest.mark.slow)
        for n in EXACT
    ],
)
def test_an_exact_family_from_its_folder(name, backends, tmp_path):
    """What ``backend="pil"`` gives, by a Plan; the few that are left to transformers say so."""
    source = folder(tmp_path, name, **config(name))
    ours, theirs = (AutoImageProcessor.from_pretrained(source, backend=backend) for backend in (NAME, "pil"))
    calls = {size: arguments(name, picture(*size)) for size in [(97, 131), (131, 97), (64, 64), (33, 400)]}
    left, results = [], 0
    for what, images in [*calls.items(), *batches(name).items()]:
        before = ours.calls.exact if hasattr(ours, "calls") else -1
        with threads(2):
            got, want = (outcome(processor, *images, return_tensors="pt") for processor in (ours, theirs))
        assert_same(got, want, f"{name}, {what}")
        if not isinstance(want, tuple):  # an error
            results += 1
            left += [what] * (before == -1 or ours.calls.exact == before)
    assert results >= 3
    if name in NEVER:
        assert len(left) == results
    else:
        # transformers stretches all lines of a batch to the widest.
        assert left == ["mixed"] * (name in ("PPOCRV5ServerRec", "PPOCRV6SmallRec"))


def test_the_families_that_are_left_to_transformers():
    """Of the exact ones; Owlv2 is within a bound."""
    assert {*NEVER} - {*EXACT} == {"Owlv2"}
    assert len(EXACT) - len({*NEVER} & {*EXACT}) == 76


@pytest.mark.parametrize("name", [*FEW, "Sam2", "ImageGPT", "MaskFormer"])
def test_load_and_save(name, backends, tmp_path):
    """The files are those that transformers' class writes, and say nothing of the backend."""
    keys = {**NEEDED.get(name, {}), "do_rescale": False}
    base_of(name)(**keys).save_pretrained(tmp_path / "source")
    ours = AutoImageProcessor.from_pretrained(tmp_path / "source", backend=NAME, do_normalize=False)
    theirs = AutoImageProcessor.from_pretrained(tmp_path / "source", backend="pil", do_normalize=False)
    assert ours.backend == (NAME if name != "Vivit" else theirs.backend) if hasattr(theirs, "backend") else True
    assert isinstance(ours, base_of(name))
    assert repr(ours) == repr(theirs)
    assert ours.to_dict() == theirs.to_dict()
    for processor, folder in ((ours, "ours"), (theirs, "theirs")):
        processor.save_pretrained(tmp_path / folder)
    files = [(tmp_path / folder / "preprocessor_config.json").read_bytes() for folder in ("ours", "theirs")]
    assert files[0] == files[1]
    again = AutoImageProcessor.from_pretrained(tmp_path / "ours", backend=NAME)
    assert type(again) is type(ours)
    assert again.to_dict() == ours.to_dict()


def test_without_the_type_the_model_says_what_it_is(backends, tmp_path):
    transformers.ViTConfig().save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text('{"size": 32}')
    assert AutoImageProcessor.from_pretrained(tmp_path, backend=NAME).backend == NAME


def test_other_backends_stay_what_they_were(backends, tmp_path):
    for name in ("CLIP", "Sam2", "LlavaNext"):
        (tmp_path / "preprocessor_config.json").write_text(
            json.dumps({"image_processor_type": f"{name}ImageProcessor"})
        )
        processor = AutoImageProcessor.from_pretrained(tmp_path)
        assert type(processor) is getattr(transformers, f"{name}ImageProcessor")
    with pytest.raises(ValueError, match="Could not find module NoSuchClass"):
        transformers.ProcessorMixin.get_possibly_dynamic_module("NoSuchClass")


@pytest.mark.parametrize("name", ["LlavaNext", "Qwen2VL", "Gemma3", "Vivit"])
def test_a_processor_that_is_not_supported(name, backends, tmp_path, caplog):
    """transformers' own PIL class, and a warning; or an error where the backend is strict."""
    folder(tmp_path, name)
    theirs = AutoImageProcessor.from_pretrained(tmp_path, backend="pil")
    assert not messages(caplog)
    ours = AutoImageProcessor.from_pretrained(tmp_path, backend=NAME)
    assert type(ours) is type(theirs)
    (message,) = messages(caplog)
    assert message.startswith(f"backend '{NAME}': left to transformers: {name}: ")
    reason = REFUSED[name].reason if name in REFUSED else "older than transformers' backends"
    with pytest.raises(UnsupportedConfig, match=reason):
        AutoImageProcessor.from_pretrained(tmp_path, backend="exact-strict")
    assert messages(caplog) == [message]


def test_every_processor_of_transformers_has_an_answer(backends):
    """It is one of ours, or transformers' own for a reason."""
    answers = {}
    for classes in IMAGE_PROCESSOR_MAPPING._extra_content.values():
        base = classes.get("pil") or classes["torchvision"]
        answers[base.__name__.removesuffix("Pil").removesuffix("ImageProcessor")] = classes[NAME] is not base
    assert {name for name, taken in answers.items() if taken} == set(FAMILIES) - {"VideoLlava", "Vivit"}
    assert {name for name, taken in answers.items() if not taken} == {*REFUSED, "VideoLlava", "Vivit", "TimmWrapper"}


@pytest.mark.parametrize(
    ("keys", "kind"),
    [
        ({"feature_extractor_type": "CLIPFeatureExtractor"}, "CLIPImageProcessorPil"),
        ({"image_processor_type": "CLIPImageProcessorFast", "size": 224, "crop_size": 200}, "CLIPImageProcessorPil"),
        ({"image_processor_type": "CLIPImageProcessorPil"}, "CLIPImageProcessorPil"),
        ({"image_processor_type": "Sam2ImageProcessorFast"}, "Sam2ImageProcessor"),
    ],
)
@pytest.mark.parametrize("use_fast", [None, True, False])
def test_configs_of_older_releases(keys, kind, use_fast, backends, tmp_path):
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(keys))
    more = {} if use_fast is None else {"use_fast": use_fast}
    ours, theirs = (AutoImageProcessor.from_pretrained(tmp_path, backend=b, **more) for b in ("exact-strict", "pil"))
    assert type(ours).__name__ == type(theirs).__name__ == kind
    assert ours.backend == "exact-strict"
    assert ours.to_dict() == theirs.to_dict()


def test_code_of_a_repository_comes_first_where_it_is_trusted(backends, tmp_path):
    folder(tmp_path, "CLIP", auto_map={"AutoImageProcessor": "code.Mine"})
    (tmp_path / "code.py").write_text(
        "from transformers import CLIPImageProcessorPil\n\n\nclass Mine(CLIPImageProcessorPil):\n    pass\n"
    )
    for trusted, backend in ((True, "pil"), (False, NAME)):
        processor = AutoImageProcessor.from_pretrained(tmp_path, backend=NAME, trust_remote_code=trusted)
        assert processor.backend == backend


def test_what_a_processor_is(backends, tmp_path):
    ours = AutoImageProcessor.from_pretrained(folder(tmp_path, "CLIP"), backend=NAME)
    assert isinstance(ours, transformers.CLIPImageProcessorPil)
    assert isinstance(ours, transformers.image_processing_utils.BaseImageProcessor)
    assert not {"calls"} & {*vars(ours), *ours.to_dict(), *json.loads(ours.to_json_string())}


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda p: pickle.loads(pickle.dumps(p))])
def test_copies(copied):
    ours, theirs = pair("ViT", Options("copied", strict=True), size={"height": 30, "width": 40})
    ours(picture(60, 90))
    again = copied(ours)
    assert type(again) is type(ours)
    assert again.to_dict() == theirs.to_dict()
    assert (ours.calls.exact, again.calls.exact) == (1, 0)
    assert_same(again(picture(60, 90), return_tensors="pt"), theirs(picture(60, 90), return_tensors="pt"))
    again.do_resize = False
    assert ours.do_resize


class Doubled(processor_class(transformers.ViTImageProcessorPil, Options("doubled"))):
    """A caller's own."""

    def normalize(self, image, mean, std, **kwargs):
        return super().normalize(image, mean, std, **kwargs) * 2


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda p: pickle.loads(pickle.dumps(p))])
def test_copies_of_a_callers_class(copied):
    own = Doubled(size={"height": 30, "width": 40})
    again = copied(own)
    assert type(again) is Doubled
    want = own(picture(60, 90), return_tensors="np")
    assert again.calls.exact == own.calls.exact == 0  # the pixels are not a Plan's
    assert_same(again(picture(60, 90), return_tensors="np"), want)
    usual = transformers.ViTImageProcessorPil(size={"height": 30, "width": 40})
    assert np.array_equal(want.pixel_values, usual(picture(60, 90), return_tensors="np").pixel_values * 2)


@pytest.mark.slow
def test_a_pickle_in_a_new_process(tmp_path):
    """Where nothing was registered."""
    ours, theirs = pair("ViT", Options(strict=True))
    (tmp_path / "processor").write_bytes(pickle.dumps(ours))
    np.save(tmp_path / "image.npy", noise(60, 90))
    code = (
        "import pickle, numpy as np; p = pickle.load(open('processor', 'rb')); print(p.backend);"
        "np.save('out.npy', p(np.load('image.npy'), return_tensors='np').pixel_values)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == NAME
    assert_same(np.load(tmp_path / "out.npy"), theirs(noise(60, 90), return_tensors="np").pixel_values)


class Pictures(torch.utils.data.Dataset):
    """Images through a processor, as a DataLoader's workers see them."""

    def __init__(self, processor):
        self.processor = processor

    def __len__(self):
        return 4

    def __getitem__(self, i):
        return self.processor(picture(60 + i, 90), return_tensors="pt").pixel_values[0]


def test_workers_of_a_data_loader():
    ours, theirs = pair("ViT", Options(strict=True), size={"height": 30, "width": 40})
    ours(picture(60, 90))  # compiled, and with threads, before the fork
    (got,) = torch.utils.data.DataLoader(Pictures(ours), batch_size=4, num_workers=1, multiprocessing_context="fork")
    assert_same(got, torch.stack([Pictures(theirs)[i] for i in range(4)]))


WITHOUT = """
import importlib.machinery, sys

class Finder(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name in {missing} else super().find_spec(name, path, target)

sys.meta_path = [Finder if finder is importlib.machinery.PathFinder else finder for finder in sys.meta_path]
import exporter, numpy as np
exporter.register_transformers(strict=True)
from transformers import AutoImageProcessor
image = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)
got, want = (AutoImageProcessor.from_pretrained(".", backend=name) for name in ("export-preprocessor", "pil"))
assert got.backend == "export-preprocessor"
assert np.array_equal(got(image, return_tensors="np").pixel_values, want(image, return_tensors="np").pixel_values)
assert not set({missing}) & set(sys.modules)
"""


@pytest.mark.slow
@pytest.mark.parametrize("missing", [("torchvision",), ("torch", "torchvision")])
def test_without_torchvision(missing, tmp_path):
    """transformers then has its PIL classes under two names; and none of ours is said to be missing."""
    (tmp_path / "preprocessor_config.json").write_text('{"image_processor_type": "CLIPImageProcessor"}')
    code = WITHOUT.replace("{missing}", repr(missing))
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert "falling back" not in done.stderr.lower()


# Pipelines and processors of several parts

TINY = {
    "image-classification": lambda: transformers.ViTForImageClassification(
        transformers.ViTConfig(
            hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=32,
            patch_size=8, num_labels=5,
        )
    ),
    "object-detection": lambda: transformers.YolosForObjectDetection(
        transformers.YolosConfig(
            hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=[64, 64],
            patch_size=16, num_detection_tokens=5, num_labels=3,
        )
    ),
    "image-segmentation": lambda: transformers.SegformerForSemanticSegmentation(
        transformers.SegformerConfig(
            num_encoder_blocks=2, depths=[1, 1], sr_ratios=[2, 1], hidden_sizes=[8, 16], patch_sizes=[7, 3],
            strides=[4, 2], num_attention_heads=[1, 2], mlp_ratios=[2, 2], decoder_hidden_size=16, num_labels=4,
        )
    ),
}  # fmt: skip
PROCESSORS = {
    "image-classification": ("ViT", {"size": {"height": 32, "width": 32}}),
    "object-detection": ("Yolos", {"size": {"shortest_edge": 48, "longest_edge": 64}}),
    "image-segmentation": ("Segformer", {"size": {"height": 64, "width": 64}}),
}
OPTIONS = {"object-detection": {"threshold": 0.0}}


@pytest.mark.parametrize("task", TINY)
def test_pipelines(task, backends, tmp_path):
    torch.manual_seed(0)
    model = TINY[task]().eval()
    name, keys = PROCESSORS[task]
    model.save_pretrained(tmp_path)
    base_of(name)(**keys).save_pretrained(tmp_path)
    ours, theirs = (AutoImageProcessor.from_pretrained(tmp_path, backend=name) for name in ("exact-strict", "pil"))
    for source in (model, str(tmp_path)):
        got, want = (
            pipeline(task, model=source, image_processor=processor, device="cpu")(
                [picture(60, 90), picture(90, 61)], **OPTIONS.get(task, {})
            )
            for processor in (ours, theirs)
        )
        assert len(got) == 2
        assert len(got[0]) >= 1
        assert got == want


def test_a_processor_with_a_tokenizer(backends, tmp_path):
    vocabulary = {"<|startoftext|>": 0, "<|endoftext|>": 1, "a": 2, "a</w>": 3, "b</w>": 4}
    tokenizer = transformers.CLIPTokenizer(vocab=vocabulary, merges=[])
    transformers.CLIPProcessor(transformers.CLIPImageProcessorPil(), tokenizer).save_pretrained(tmp_path)
    transformers.CLIPConfig().save_pretrained(tmp_path)
    ours, theirs = (AutoProcessor.from_pretrained(tmp_path, backend=backend) for backend in ("exact-strict", "pil"))
    assert ours.image_processor.backend == "exact-strict"
    got, want = (p(text=["a b"], images=[picture(60, 90)], return_tensors="pt") for p in (ours, theirs))
    assert set(got) == {"input_ids", "attention_mask", "pixel_values"}
    assert_same(got, want)
    for processor, folder in ((ours, "ours"), (theirs, "theirs")):
        processor.save_pretrained(tmp_path / folder)
    files = [(tmp_path / folder / "processor_config.json").read_bytes() for folder in ("ours", "theirs")]
    assert files[0] == files[1]


# Registering


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reference": "pillow9"}, "reference: expected pillow, pillow13, .*; got 'pillow9'"),
        ({"name": "pil"}, "name: 'pil' is a backend of transformers' own"),
        ({"name": "torchvision"}, "name: 'torchvision' is a backend of transformers' own"),
    ],
)
def test_wrong_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        exporter.register_transformers(**options)


@pytest.mark.parametrize(
    ("package", "reference"),
    [("transformers", "pillow"), ("transformers", "torchvision"), ("torchvision", "torchvision")],
)
def test_a_missing_package(package, reference, monkeypatch):
    find_spec = exporter.transformers.importlib.util.find_spec
    monkeypatch.setattr(
        exporter.transformers.importlib.util, "find_spec", lambda name: None if name == package else find_spec(name)
    )
    with pytest.raises(BackendUnavailable, match=f"needs {package}: pip install {package}"):
        exporter.register_transformers(reference=reference)


def test_registered_again_and_taken_away(tmp_path, caplog):
    """The latest options hold; a user's own backend stays, whether it was registered before or after."""

    class Mine(transformers.CLIPImageProcessorPil):
        pass

    def load(backend):
        return AutoImageProcessor.from_pretrained(tmp_path, backend=backend)

    try:
        AutoImageProcessor.register(transformers.CLIPConfig, image_processor_classes={"mine": Mine}, exist_ok=True)
        register("twice", strict=True)
        register("other", reference="torchvision")
        folder(tmp_path, "LlavaNext")
        with pytest.raises(UnsupportedConfig, match="the number of tiles"):
            load("twice")
        register("twice")
        register("third")
        caplog.clear()
        assert load("twice").backend == "pil"
        assert len(messages(caplog)) == 1
        unregister("third")
        caplog.clear()
        assert load("third").backend == "pil"
        assert not messages(caplog)
        folder(tmp_path, "CLIP")
        AutoImageProcessor.register(transformers.CLIPConfig, image_processor_classes={"later": Mine}, exist_ok=True)
        assert [type(load(name)) for name in ("mine", "later")] == [Mine, Mine]
        assert isinstance(load("other"), transformers.CLIPImageProcessor)
        made = load("twice")
        assert made.backend == "twice"
        unregister("twice")
        unregister("never registered")
        assert load("twice").backend != "twice"
        assert load("other").backend == "other"
        assert type(load("mine")) is Mine
        assert_same(made(picture(60, 90)), load("pil")(picture(60, 90)))
        assert made.calls.exact == 1
    finally:
        IMAGE_PROCESSOR_MAPPING._extra_content.clear()


def test_a_transformers_without_backends(monkeypatch):
    monkeypatch.setattr(AutoImageProcessor, "register", staticmethod(lambda config_class, exist_ok=False: None))
    with pytest.raises(BackendUnavailable, match="no backends to register: pip install -U transformers"):
        exporter.register_transformers()


def test_nothing_is_imported_before_it_is_needed():
    code = "import sys, exporter; assert not {'transformers', 'torch', 'exporter.transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.skipif(installed_pillow() == "pillow12.1", reason="needs a Pillow with another order of passes")
def test_an_older_pillow_is_strict(backends, tmp_path):
    register("pillow-12.1", reference="pillow12.1")
    (tmp_path / "preprocessor_config.json").write_text('{"image_processor_type": "ViTImageProcessor"}')
    processor = AutoImageProcessor.from_pretrained(tmp_path, backend="pillow-12.1")
    with pytest.raises(InputError, match="got float64"):
        processor(np.zeros((60, 90, 3)))
    (tmp_path / "preprocessor_config.json").write_text('{"image_processor_type": "Sam2ImageProcessor"}')
    with pytest.raises(UnsupportedConfig, match="Sam2: transformers has no PIL class for it"):
        AutoImageProcessor.from_pretrained(tmp_path, backend="pillow-12.1")
