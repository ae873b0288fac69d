"""Processors of transformers that no static graph can stand for, and why: they are refused by name.

The reasons are read from transformers 5.23, ``models/*/image_processing_*.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Refused:
    """One image processor that is not supported.

    Attributes:
        name: as in ``{name}ImageProcessor``.
        reason: a sentence.
        model_types: of the models that use it, as ``config.json`` names them.
    """

    name: str
    reason: str
    model_types: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.reason}; not supported"


_REASONS: Mapping[str, Mapping[str, str]] = {
    "the number of tiles depends on the image": {
        "Aria": "aria",
        "Cohere2Vision": "cohere2_vision",
        "DeepseekOcr2": "deepseek_ocr2",
        "GraniteDocling": "granite_docling",
        "Idefics3": "idefics3",
        "Lfm2Vl": "lfm2_vl",
        "Llama4": "llama4",
        "LlavaNext": "granite4_vision llava_next llava_next_video",
        "LlavaOnevision": "llava_onevision",
        "MiniCPMOcr": "minicpm_ocr",
        "MiniCPMV4_6": "minicpmv4_6 minicpmv4_7",
        "Mllama": "mllama",
        "Molmo2": "molmo2",
        "PerceptionLM": "perception_lm",
        "Phi4Multimodal": "phi4_multimodal",
        "SmolVLM": "smolvlm",
        "Step3p7": "step3p7",
        "UltraVBert": "ultravbert",
        "UnlimitedOcr": "unlimited_ocr",
    },
    "it may cut an image into tiles, whose number depends on the image": {
        "Eomt": "eomt eomt_dinov3",
        "Gemma3": "gemma3 shieldgemma2 t5gemma2 t5gemma2_encoder",
        "GotOcr2": "aya_vision got_ocr2 internvl qianfan_ocr",
        "Idefics2": "idefics2",
        "Ovis2": "ovis2",
    },
    "the grid of patches depends on the image": {
        "CohereCompass": "cohere_compass",
        "Cosmos3Edge": "cosmos3_edge",
        "Emu3": "emu3",
        "Ernie4_5_VLMoe": "ernie4_5_vl_moe",
        "Fuyu": "fuyu",
        "Gemma4": "embedding_gemma2 gemma4",
        "Gemma4Unified": "gemma4_unified",
        "Glm46V": "glm46v",
        "Glm4v": "glm4v",
        "Glm5Next": "glm5_next",
        "GlmImage": "glm_image",
        "Glmga": "glmga",
        "HunYuanVL": "hunyuan_vl",
        "Inkling": "inkling_mm_model",
        "Inkling2": "inkling2",
        "Kimi_K25": "kimi_k25",
        "Kosmos2_5": "kosmos-2.5",
        "MiniMaxM3VL": "minimax_m3_vl",
        "MuseGlimmer": "muse_glimmer muse_spark",
        "NemotronH_Omni_Reasoning_V3": "nemotron_h_omni",
        "NeoMME": "neomme",
        "PaddleOCRVL": "paddleocr_vl",
        "Pix2Struct": "pix2struct",
        "Pixtral": "lighton_ocr mistral3 mistral_large4 pixtral",
        "Qwen2VL": "colqwen2 cosmos3_omni dots3_note exaone4_5 hyperclovax_vision_v2 lfm3_vl qwen2_5_omni qwen2_5_vl"
        " qwen2_vl qwen3_5 qwen3_5_moe qwen3_omni_moe qwen3_vl qwen4_exp",
        "Siglip2": "siglip2",
        "VideoLlama3": "video_llama_3",
    },
    "it cuts the persons' boxes out of an image, which are an input of their own": {"VitPose": "vitpose"},
}

REFUSED: dict[str, Refused] = {
    name: Refused(name, reason, tuple(model_types.split()))
    for reason, names in _REASONS.items()
    for name, model_types in names.items()
}
"""By transformers' name."""

REFUSED_MODEL_TYPES: dict[str, Refused] = {t: refused for refused in REFUSED.values() for t in refused.model_types}
"""By the ``model_type`` of a model's ``config.json``."""
