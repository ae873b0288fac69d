"""Bundled presets: the numbers of public checkpoints' own configs, so that they export offline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .family import BICUBIC, BILINEAR, CLIP, HALF, IMAGENET, NEAREST


@dataclass(frozen=True)
class Preset:
    """One checkpoint's preprocessing.

    Attributes:
        name: the last part of the checkpoint's id.
        checkpoint: its id on the hub.
        config: what its ``preprocessor_config.json`` says, beside the class's defaults.
    """

    name: str
    checkpoint: str
    config: Mapping[str, Any]


def _preset(checkpoint: str, family: str, **config: Any) -> Preset:
    name = checkpoint.rpartition("/")[2]
    return Preset(name, checkpoint, {"image_processor_type": f"{family}ImageProcessor", **config})


_PRESETS = (
    _preset("microsoft/beit-base-patch16-224", "Beit", size=224, resample=BILINEAR, **HALF, do_center_crop=False),
    _preset("Salesforce/blip-image-captioning-base", "Blip", size=384, resample=BICUBIC, **CLIP),
    _preset("Salesforce/blip-vqa-base", "Blip", size=384, resample=BICUBIC, **CLIP),
    _preset("facebook/chameleon-7b", "Chameleon"),
    _preset("openai/clip-vit-base-patch16", "CLIP", size=224, crop_size=224, resample=BICUBIC, **CLIP),
    _preset("openai/clip-vit-base-patch32", "CLIP", size=224, crop_size=224, resample=BICUBIC, **CLIP),
    _preset("openai/clip-vit-large-patch14", "CLIP", size=224, crop_size=224, resample=BICUBIC, **CLIP),
    _preset("openai/clip-vit-large-patch14-336", "CLIP", size=336, crop_size=336, resample=BICUBIC, **CLIP),
    _preset("microsoft/conditional-detr-resnet-50", "ConditionalDetr", size=800, max_size=1333, **IMAGENET),
    _preset("facebook/convnext-tiny-224", "ConvNext", size=224, crop_pct=0.875, resample=BICUBIC, **IMAGENET),
    _preset("facebook/convnext-base-384", "ConvNext", size=384, crop_pct=1.0, resample=BICUBIC, **IMAGENET),
    _preset("SenseTime/deformable-detr", "DeformableDetr", size=800, max_size=1333, **IMAGENET),
    _preset("facebook/deit-base-distilled-patch16-224", "DeiT", size=256, crop_size=224, resample=BICUBIC, **IMAGENET),
    _preset("apple/DepthPro-hf", "DepthPro", size={"height": 1536, "width": 1536}, resample=BILINEAR, **HALF),
    _preset("depth-anything/Depth-Anything-V2-Small-hf", "DPT", size={"height": 518, "width": 518}, resample=BICUBIC,
            keep_aspect_ratio=True, ensure_multiple_of=14, **IMAGENET),
    _preset("facebook/detr-resnet-50", "Detr", size=800, max_size=1333, **IMAGENET),
    _preset("facebook/detr-resnet-101", "Detr", size=800, max_size=1333, **IMAGENET),
    _preset("facebook/dinov2-base", "Bit", size={"shortest_edge": 256}, crop_size=224, resample=BICUBIC, **IMAGENET),
    _preset("facebook/dinov2-large", "Bit", size={"shortest_edge": 256}, crop_size=224, resample=BICUBIC, **IMAGENET),
    _preset("naver-clova-ix/donut-base", "Donut", size=[1920, 2560], do_align_long_axis=False, resample=BILINEAR,
            **HALF),
    _preset("Intel/dpt-large", "DPT", size=384, resample=BICUBIC, **HALF),
    _preset("google/efficientnet-b0", "EfficientNet", size=224, crop_size=289, do_center_crop=False, resample=NEAREST,
            image_mean=[0.485, 0.456, 0.406], image_std=[0.47853944, 0.4732864, 0.47434163], include_top=True),
    _preset("facebook/flava-full", "Flava", size=224, crop_size=224, resample=BICUBIC, **CLIP),
    _preset("vinvino02/glpn-kitti", "GLPN"),
    _preset("IDEA-Research/grounding-dino-tiny", "GroundingDino", size={"shortest_edge": 800, "longest_edge": 1333},
            **IMAGENET),
    _preset("facebook/levit-128S", "Levit", size=224, resample=BICUBIC, **IMAGENET),
    _preset("llava-hf/llava-1.5-7b-hf", "CLIP", size={"shortest_edge": 336}, crop_size=336, resample=BICUBIC, **CLIP),
    _preset("facebook/maskformer-swin-base-coco", "MaskFormer", size=800, max_size=1333, size_divisor=32, **IMAGENET),
    _preset("google/mobilenet_v1_1.0_224", "MobileNetV1", size={"shortest_edge": 256}, crop_size=224, **HALF,
            resample=BILINEAR),
    _preset("google/mobilenet_v2_1.0_224", "MobileNetV2", size={"shortest_edge": 256}, crop_size=224, **HALF,
            resample=BILINEAR),
    _preset("apple/mobilevit-small", "MobileViT", size=288, crop_size=256, resample=BILINEAR),
    _preset("google/owlv2-base-patch16-ensemble", "Owlv2", size={"height": 960, "width": 960}, **CLIP),
    _preset("google/owlvit-base-patch32", "OwlViT", size=768, crop_size=768, do_center_crop=False, resample=BICUBIC,
            **CLIP),
    _preset("deepmind/vision-perceiver-conv", "Perceiver", size=224, crop_size=256, resample=BICUBIC, **IMAGENET),
    _preset("sail/poolformer_s12", "PoolFormer", size=224, crop_pct=0.9, resample=BICUBIC, **IMAGENET),
    _preset("microsoft/resnet-50", "ConvNext", size=224, crop_pct=0.875, resample=BICUBIC, **IMAGENET),
    _preset("PekingU/rtdetr_r50vd", "RTDetr", size={"height": 640, "width": 640}, do_normalize=False, **IMAGENET),
    _preset("facebook/sam-vit-base", "Sam", size={"longest_edge": 1024}, pad_size={"height": 1024, "width": 1024},
            **IMAGENET),
    _preset("nvidia/segformer-b0-finetuned-ade-512-512", "Segformer", size=512, resample=BILINEAR, **IMAGENET),
    _preset("google/siglip-base-patch16-224", "Siglip", size={"height": 224, "width": 224}, resample=BICUBIC, **HALF),
    _preset("google/siglip-so400m-patch14-384", "Siglip", size={"height": 384, "width": 384}, resample=BICUBIC, **HALF),
    _preset("magic-leap-community/superpoint", "SuperPoint", size={"height": 480, "width": 640}),
    _preset("caidas/swin2SR-classical-sr-x2-64", "Swin2SR", pad_size=8),
    _preset("microsoft/swin-tiny-patch4-window7-224", "ViT", size=224, resample=BICUBIC, **IMAGENET),
    _preset("microsoft/swinv2-tiny-patch4-window8-256", "ViT", size=256, resample=BICUBIC, **IMAGENET),
    _preset("MCG-NJU/videomae-base", "VideoMAE", size=224, resample=BILINEAR, **IMAGENET),
    _preset("dandelin/vilt-b32-mlm", "Vilt", size=384, size_divisor=32, resample=BICUBIC, **HALF),
    _preset("google/vit-base-patch16-224", "ViT", size=224, resample=BILINEAR, **HALF),
    _preset("google/vit-base-patch16-384", "ViT", size=384, resample=BILINEAR, **HALF),
    _preset("google/vit-large-patch16-224", "ViT", size=224, resample=BILINEAR, **HALF),
    _preset("hustvl/yolos-tiny", "Yolos", size=512, max_size=1333, **IMAGENET),
    _preset("Intel/zoedepth-nyu-kitti", "ZoeDepth", size={"height": 384, "width": 512}, ensure_multiple_of=32,
            keep_aspect_ratio=True, resample=BILINEAR, **HALF),
)  # fmt: skip

PRESETS: dict[str, Preset] = {preset.name: preset for preset in _PRESETS}
"""By name."""
