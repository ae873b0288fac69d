"""What the README says is supported is what the registry holds, and together it is all of transformers."""

import functools
import json
from pathlib import Path

import pytest
from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING_NAMES

from exporter import cli
from exporter.coverage import coverage, markdown

ROWS = {row.family: row for row in coverage()}
NOT_A_FAMILY = {"timm_wrapper"}
"""Model types whose config is another library's: read as a source."""


def test_the_readme_has_the_table():
    assert markdown() in Path(__file__).parents[1].joinpath("README.md").read_text()


@functools.cache
def by_model_type():
    """Names of processors by model type, as transformers maps them."""
    mapping = {}
    for model_type, entry in IMAGE_PROCESSOR_MAPPING_NAMES.items():
        names = entry.values() if isinstance(entry, dict) else entry
        mapping[model_type] = {n.removesuffix("Fast").removesuffix("Pil").removesuffix("ImageProcessor") for n in names}
    return mapping


def test_every_model_type_of_transformers_has_a_row():
    ours = {model_type: row.family for row in ROWS.values() for model_type in row.model_types}
    assert set(ours) == set(by_model_type()) - NOT_A_FAMILY
    assert all(family in by_model_type()[model_type] for model_type, family in ours.items())


def test_a_model_type_has_one_row():
    model_types = [model_type for row in ROWS.values() for model_type in row.model_types]
    assert len(model_types) == len(set(model_types))


@pytest.mark.parametrize(
    ("family", "kind", "note"),
    [
        ("CLIP", "exact", ""),
        ("Detr", "exact", ""),
        ("DINOv3ViT", "exact", ""),
        ("Owlv2", "bounded", "2e-06"),
        ("LayoutLMv2", "partly", "apply_ocr"),
        ("Nougat", "exact", ""),
        ("Qwen2VL", "refused", "the grid of patches depends on the image"),
    ],
)
def test_rows(family, kind, note):
    assert ROWS[family].kind == kind
    assert note in ROWS[family].note


def test_the_command(capsys):
    assert cli.main(["coverage"]) == 0
    assert capsys.readouterr().out.strip() == markdown()
    assert cli.main(["coverage", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["family"] for row in rows] == list(ROWS)
    assert set(rows[0]) == {"family", "model_types", "kind", "note"}
