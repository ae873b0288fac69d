"""Which family a config belongs to, next to what transformers makes of it; and what is refused by name."""

import json
import re

import pytest
import transformers

from models.config import find_family
from models.families import FAMILIES, MODEL_TYPES
from models.refused import REFUSED, REFUSED_MODEL_TYPES
from runtime import UnsupportedConfig


@pytest.mark.parametrize("suffix", ["ImageProcessor", "ImageProcessorFast", "ImageProcessorPil", "FeatureExtractor"])
@pytest.mark.parametrize("family", FAMILIES)
def test_names_of_a_family(family, suffix):
    assert find_family({"image_processor_type": family + suffix}, {}).name == family


@pytest.mark.parametrize("family", FAMILIES)
def test_old_configs_name_a_feature_extractor(family):
    assert find_family({"feature_extractor_type": f"{family}FeatureExtractor"}, {"model_type": "beit"}).name == family


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_the_models_type_decides_where_the_config_names_none(model_type):
    assert find_family({}, {"model_type": model_type}) is MODEL_TYPES[model_type]


def test_the_image_processor_type_wins_over_all_but_the_users():
    config = {"image_processor_type": "CLIPImageProcessor", "feature_extractor_type": "BeitFeatureExtractor"}
    assert find_family(config, {"model_type": "vit"}).name == "CLIP"
    assert find_family(config, {"model_type": "vit"}, type="DeiT").name == "DeiT"
    assert find_family({**config, "image_processor_type": None}, {"model_type": "vit"}).name == "Beit"


def theirs_of(folder, **files):
    """The class that transformers takes for a folder of these files, without Pil; None where it takes none."""
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    try:
        found = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil", trust_remote_code=False)
    except (ValueError, TypeError):
        return None
    return type(found).__name__.removesuffix("Pil").removesuffix("ImageProcessor")


def test_the_model_config_may_name_the_image_processor(tmp_path):
    """image_processing_auto.py reads that key of ``config.json`` before its model_type."""
    model_config = {"model_type": "vit", "image_processor_type": "ConvNextImageProcessor"}
    assert theirs_of(tmp_path, preprocessor_config={"size": 224}, config=model_config) == "ConvNext"
    assert find_family({"size": 224}, model_config).name == "ConvNext"


@pytest.mark.parametrize(
    "name",
    ["FooImageProcessor", "Tipsv2ImageProcessorPil", "VideoLlavaImageProcessorPil", "CLIPFeatureExtractor", "clip"],
)
def test_a_type_that_transformers_does_not_find_in_the_model_config_is_refused(tmp_path, name):
    """There, unlike in the processor's own config, transformers falls back to the model type."""
    model_config = {"model_type": "vit", "image_processor_type": name}
    assert theirs_of(tmp_path, preprocessor_config={"size": 224}, config=model_config) == "ViT"
    with pytest.raises(UnsupportedConfig, match=rf"^config\.json: image_processor_type: '{name}' is not supported"):
        find_family({"size": 224}, model_config)


def test_the_model_type_of_the_models_config_wins_over_the_processors(tmp_path):
    config, model_config = {"size": 224, "model_type": "clip"}, {"model_type": "vit"}
    assert theirs_of(tmp_path, preprocessor_config=config, config=model_config) == "ViT"
    assert find_family(config, model_config).name == "ViT"
    assert find_family(config, {}).name == "CLIP"


@pytest.mark.parametrize("kept", [{}, {"feature_extractor_type": "BeitFeatureExtractor"}], ids=["no type", "old type"])
@pytest.mark.parametrize("model_config", [{}, {"model_type": "vit"}], ids=["no model", "vit"])
def test_beside_code_of_its_own_an_old_type_does_not_count(tmp_path, kept, model_config):
    config = {"auto_map": {"AutoImageProcessor": "mine.MyProcessor"}, **kept}
    found = theirs_of(tmp_path, preprocessor_config=config, **({"config": model_config} if model_config else {}))
    if found is None:
        with pytest.raises(UnsupportedConfig, match=r"^auto_map: .* never run"):
            find_family(config, model_config)
    else:
        assert find_family(config, model_config).name == found == "ViT"


def test_code_of_its_own_is_named_where_the_type_is_unknown():
    config = {"image_processor_type": "MyImageProcessor", "auto_map": {"AutoImageProcessor": "mine.MyProcessor"}}
    with pytest.raises(UnsupportedConfig, match=r"^image_processor_type: 'MyImageProcessor' is code .* never run$"):
        find_family(config, {"model_type": "vit"})
    assert find_family(config, {}, type="ViT").name == "ViT"
    assert find_family({**config, "image_processor_type": "CLIPImageProcessor"}, {}).name == "CLIP"


@pytest.mark.parametrize("auto_map", [None, "mine.MyProcessor", ["mine.MyProcessor"], {"AutoProcessor": "mine.My"}])
def test_another_auto_map_says_nothing(auto_map):
    assert find_family({"auto_map": auto_map, "feature_extractor_type": "BeitFeatureExtractor"}, {}).name == "Beit"


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("ConvNeXTImageProcessor", "ConvNext"),
        ("vitImageProcessor", "ViT"),
        ("ChineseClipFeatureExtractor", "ChineseCLIP"),
        ("Mobile_Net_V2ImageProcessorFast", "MobileNetV2"),
        ("CLIP", "CLIP"),
    ],
)
@pytest.mark.parametrize("key", ["image_processor_type", "feature_extractor_type"])
def test_a_misspelt_type_of_the_same_letters_is_that_type(key, name, family):
    """transformers loads none of them."""
    assert find_family({key: name}, {"model_type": "beit"}).name == family


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("FooBarQuuxImageProcessor", None),
        ("ViTsImageProcessorFast", "ViT"),
        ("MobileNetV3ImageProcessor", "MobileNetV"),
        ("ImageProcessor", None),
        ("", None),
    ],
)
@pytest.mark.parametrize("key", ["image_processor_type", "feature_extractor_type"])
def test_an_unknown_type_never_falls_back_to_the_model_type(key, name, near):
    with pytest.raises(UnsupportedConfig) as caught:
        find_family({key: name}, {"model_type": "vit"})
    (problem,) = caught.value.problems
    assert problem.startswith(f"{key}: {name!r} is not supported")
    assert (f"did you mean '{near}" in problem) if near else ("did you mean" not in problem)
    assert problem.endswith("; give the processor's name as type (--type ViT)")


def test_the_users_type_wins_over_an_unknown_one():
    assert find_family({"image_processor_type": "FooImageProcessor"}, {}, type="ViTImageProcessor").name == "ViT"


def test_an_unknown_type_of_the_user_is_refused():
    with pytest.raises(UnsupportedConfig, match=r"^type: 'Vitt' is not supported \(did you mean 'ViT'\?\)$"):
        find_family({"image_processor_type": "ViTImageProcessor"}, {}, type="Vitt")


@pytest.mark.parametrize(
    "name",
    ["CLIP", "clip", "CLIPImageProcessor", "CLIPImageProcessorFast", "CLIPImageProcessorPil", "CLIPFeatureExtractor"],
)
def test_the_users_type_takes_every_form(name):
    assert find_family({"image_processor_type": "ViTImageProcessor"}, {}, type=name).name == "CLIP"


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_the_users_type_may_be_a_model_type(model_type):
    assert find_family({}, {}, type=model_type) is MODEL_TYPES[model_type]


# Refused by name.


@pytest.mark.parametrize("name", REFUSED)
def test_a_family_that_no_graph_can_stand_for_is_refused_by_name(name):
    words = f": {REFUSED[name].reason}; not supported"
    for type in (f"{name}ImageProcessor", f"{name}ImageProcessorFast", f"{name}FeatureExtractor"):
        of_model = [] if type.endswith("FeatureExtractor") else [({}, {"image_processor_type": type})]
        for arguments in (({"image_processor_type": type}, {}), ({}, {}, type), *of_model):
            with pytest.raises(UnsupportedConfig) as caught:
                find_family(*arguments)
            assert str(caught.value).endswith(f"{type!r}{words}")


@pytest.mark.parametrize("model_type", REFUSED_MODEL_TYPES)
def test_a_model_whose_processor_is_refused(model_type):
    words = f"{model_type!r}: {REFUSED_MODEL_TYPES[model_type].reason}; not supported"
    with pytest.raises(UnsupportedConfig, match=re.escape(f"model_type: {words}")):
        find_family({}, {"model_type": model_type})
    with pytest.raises(UnsupportedConfig, match=re.escape(f"type: {words}")):
        find_family({}, {}, type=model_type)


def test_the_refused_families_are_those_of_transformers():
    from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING_NAMES

    for model_type, refused in REFUSED_MODEL_TYPES.items():
        assert f"{refused.name}ImageProcessor" in IMAGE_PROCESSOR_MAPPING_NAMES[model_type].values()
    assert all(refused.model_types for refused in REFUSED.values())


def test_no_name_means_two_things():
    assert not set(FAMILIES) & set(REFUSED)
    assert not set(MODEL_TYPES) & set(REFUSED_MODEL_TYPES)
    names = [*FAMILIES, *REFUSED]
    assert len({re.sub(r"[^a-z0-9]", "", name.lower()) for name in names}) == len(names)


def test_the_nearest_may_be_refused_too():
    with pytest.raises(UnsupportedConfig, match=r"not supported, nor is the nearest, Qwen2VL: the grid of patches"):
        find_family({"image_processor_type": "Qwen2_5_VLImageProcessor"}, {})


@pytest.mark.parametrize("value", [3, ["ViTImageProcessor"], {"type": "ViT"}, True])
def test_a_type_that_is_no_name_is_refused(value):
    with pytest.raises(UnsupportedConfig, match=r"^image_processor_type: expected a name"):
        find_family({"image_processor_type": value}, {"model_type": "vit"})


@pytest.mark.parametrize("value", [3, ["ViT"], {}, True])
def test_a_type_of_the_user_that_is_no_name(value):
    with pytest.raises(UnsupportedConfig, match=r"^type: expected a name, got "):
        find_family({"image_processor_type": "ViTImageProcessor"}, {}, type=value)


@pytest.mark.parametrize("value", ["vitt", "llama", ""])
def test_an_unknown_model_type_is_refused(value):
    with pytest.raises(UnsupportedConfig, match=r"^model_type: .* is not supported"):
        find_family({}, {"model_type": value})


@pytest.mark.parametrize("value", [3, ["vit"], {}, False])
def test_a_model_type_that_is_no_name_is_refused(value):
    with pytest.raises(UnsupportedConfig, match=r"^model_type: expected a name, got "):
        find_family({}, {"model_type": value})


def test_a_config_without_any_type_says_how_to_give_one():
    with pytest.raises(UnsupportedConfig, match=r"^image_processor_type: .*config\.json.*--type ViT"):
        find_family({"size": 224}, {})
