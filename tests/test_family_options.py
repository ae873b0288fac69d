"""Keys of families' own, beside the defaults that ``test_families.py`` tests: rows of data."""

import json

import pytest
import transformers

import exporter
from models.families import FAMILIES

from .families import check

SIZES = ((97, 131), (147, 47), (60, 60), (45, 300))

OPTIONS = [
    # Detection
    ("Detr", {"size": 50, "max_size": 60}),
    ("Detr", {"size": 250, "do_convert_rgb": True}),
    ("Detr", {"size": None, "max_size": 7, "pad_and_return_pixel_mask": False}),
    ("Detr", {"size": [50, 70], "pad_and_return_pixel_mask": True, "do_pad": None}),
    ("Detr", {"size": {"max_height": 50, "max_width": 90}, "max_size": 7, "pad_size": 200}),
    ("Detr", {"do_resize": False, "do_normalize": False, "pad_size": {"height": 131, "width": 300}}),
    ("Detr", {"do_rescale": False, "do_normalize": False, "size": {"height": 30, "width": 40}, "pad_size": 45}),
    ("Detr", {"size": 50, "do_center_crop": True, "crop_size": 40, "format": "coco_panoptic"}),
    ("Detr", {"size": {"shortest_edge": 59, "longest_edge": 60}, "do_convert_annotations": False}),
    ("Yolos", {"size": 50, "max_size": 60}),
    ("Yolos", {"size": {"height": 50, "width": 60}}),
    ("Yolos", {"size": {"shortest_edge": 97, "longest_edge": 400}, "pad_size": 500}),
    ("RTDetr", {"size": {"shortest_edge": 50, "longest_edge": 90}, "do_pad": True, "pad_size": 90}),
    ("RTDetr", {"size": 50, "do_resize": False, "do_normalize": True, "do_pad": True}),
    ("RfDetr", {"size": 50, "max_size": 60}),
    ("RfDetr", {"size": {"height": 50, "width": 60}, "resample": 3, "pad_size": 70, "do_convert_rgb": True}),
    ("RfDetr", {"size": 50, "do_rescale": False, "do_normalize": False}),
    ("RfDetr", {"size": 50, "do_rescale": False, "do_normalize": False, "resample": 3}),
    ("RfDetr", {"do_resize": False, "do_pad": None, "rescale_factor": 0.5}),
    ("RfDetr", {"size": 50, "do_normalize": False}),
    ("Owlv2", {"size": 50, "do_normalize": False}),
    ("Owlv2", {"size": {"height": 40, "width": 61}, "resample": 0, "do_center_crop": True, "crop_size": 9}),
    # Segmentation
    ("Mask2Former", {"size": 50, "max_size": 70, "ignore_index": 255, "num_labels": 5}),
    ("Mask2Former", {"size": [50, 70], "size_divisor": 0, "do_pad": False}),
    ("MaskFormer", {"size": {"height": 50, "width": 70}, "pad_size": 100, "do_reduce_labels": True}),
    ("MaskFormer", {"max_size": 801}),
    ("MaskFormer", {"do_resize": False, "size_divisor": None, "do_center_crop": True, "crop_size": 9}),
    ("OneFormer", {"size": {"shortest_edge": 50}, "do_pad": False, "pad_size": 9, "num_text": 3}),
    ("OneFormer", {"size": {"height": 50, "width": 70}, "do_convert_rgb": False, "do_rescale": False}),
    ("Vilt", {"size": 50, "size_divisor": 4, "pad_size": 9}),
    ("Vilt", {"size": {"shortest_edge": 97, "longest_edge": 100}, "do_pad": False, "resample": 2}),
    ("Vilt", {"do_resize": False, "size_divisor": None}),
    ("BridgeTower", {"size": 50, "size_divisor": 4, "crop_size": {"shortest_edge": 61}}),
    ("BridgeTower", {"size": 400, "size_divisor": 1, "do_center_crop": False, "pad_size": 9}),
    ("BridgeTower", {"do_resize": False, "crop_size": {"shortest_edge": 60, "longest_edge": 9}, "do_pad": None}),
    ("Segformer", {"size": {"shortest_edge": 50}, "do_center_crop": True, "crop_size": 40, "do_reduce_labels": True}),
    ("Segformer", {"size": 50, "do_pad": True, "pad_size": 90, "do_convert_rgb": True, "resample": 3}),
    ("SegGpt", {"size": 50, "num_labels": 3, "do_convert_rgb": False}),
    ("SegGpt", {"size": {"max_height": 50, "max_width": 70}, "do_center_crop": True, "crop_size": 40}),
    ("Sam", {"size": {"longest_edge": 50}, "pad_size": 70, "mask_size": 9}),
    (
        "Sam",
        {"size": {"shortest_edge": 9, "longest_edge": 50}, "do_center_crop": True, "crop_size": 40, "do_pad": None},
    ),
    ("Sam", {"do_resize": False, "pad_size": {"height": 131, "width": 300}, "do_normalize": False}),
    ("Sam2", {"size": {"shortest_edge": 50}, "do_center_crop": True, "crop_size": 60, "resample": 3}),
    ("Sam3", {"size": 50, "do_pad": True, "pad_size": 60, "mask_size": {"height": 9, "width": 9}}),
    ("Sam3", {"do_resize": False, "do_rescale": False, "do_normalize": False, "do_convert_rgb": None}),
    ("Sapiens2", {"size": {"height": 50, "width": 71}, "do_pad": True}),
    ("Sapiens2", {"size": {"height": 50, "width": 71}, "do_pad": True, "do_center_crop": True, "crop_size": 60}),
    ("Sapiens2", {"size": {"shortest_edge": 50}, "do_reduce_labels": True, "resample": 3}),
    ("Sapiens2", {"do_resize": False, "do_pad": True, "pad_size": 9, "do_convert_rgb": True}),
    # Depth
    ("DPT", {"size": 50, "keep_aspect_ratio": True}),
    ("DPT", {"size": {"height": 50, "width": 90}, "keep_aspect_ratio": True, "ensure_multiple_of": 14}),
    ("DPT", {"size": {"height": 50, "width": 90}, "ensure_multiple_of": 14}),
    ("DPT", {"size": {"height": 40, "width": 24}, "ensure_multiple_of": 16}),  # between two multiples
    ("DPT", {"do_resize": False, "do_pad": True, "size_divisor": 14, "do_convert_rgb": True}),
    ("DPT", {"size": 50, "keep_aspect_ratio": True, "do_pad": True, "size_divisor": 7, "do_normalize": False}),
    ("DPT", {"size": 50, "do_pad": True, "size_divisor": 32, "do_normalize": False, "do_rescale": False}),
    ("DPT", {"size": 50, "do_center_crop": True, "crop_size": 40, "do_reduce_labels": True, "resample": 2}),
    ("PromptDepthAnything", {"size": 50, "do_pad": True, "do_center_crop": True, "crop_size": 40}),
    ("PromptDepthAnything", {"size": 50, "keep_aspect_ratio": True, "ensure_multiple_of": 14, "size_divisor": 32}),
    ("PromptDepthAnything", {"do_resize": False, "do_pad": True, "size_divisor": 32, "prompt_scale_to_meter": 0.1}),
    ("CHMv2", {"do_resize": True, "size": {"height": 50, "width": 90}, "size_divisor": 32}),
    ("CHMv2", {"do_resize": True, "size": 50, "keep_aspect_ratio": False, "ensure_multiple_of": 7, "do_pad": False}),
    ("CHMv2", {"do_center_crop": True, "crop_size": {"height": 50, "width": 70}}),
    ("GLPN", {"size_divisor": 14, "resample": 3, "size": 7}),
    ("GLPN", {"do_normalize": True, "image_mean": [0.1, 0.2, 0.3], "image_std": 0.5, "do_convert_rgb": True}),
    ("GLPN", {"do_resize": False, "do_center_crop": True, "crop_size": 20}),
    ("GLPN", {"do_rescale": False}),
    ("ZoeDepth", {"size": 50, "keep_aspect_ratio": True, "ensure_multiple_of": 32, "resample": 3}),
    ("ZoeDepth", {"size": 50, "keep_aspect_ratio": False, "do_pad": False}),
    (
        "ZoeDepth",
        {
            "size": {"height": 40, "width": 24},
            "keep_aspect_ratio": False,
            "ensure_multiple_of": 16,
            "do_normalize": False,
        },
    ),
    ("ZoeDepth", {"size": {"height": 50, "width": 70}, "ensure_multiple_of": 0.5, "do_convert_rgb": True}),
    ("ZoeDepth", {"do_resize": False, "do_rescale": True, "do_center_crop": True, "crop_size": 40}),
    ("ZoeDepth", {"do_resize": False, "do_rescale": False, "do_normalize": False}),
    ("DepthPro", {"size": 50, "resample": 3, "do_convert_rgb": True}),
    ("DepthPro", {"size": {"shortest_edge": 50}, "do_rescale": False}),
    ("DepthPro", {"size": {"height": 50, "width": 70}, "do_normalize": False}),
    ("DepthPro", {"size": 50, "do_normalize": False, "do_rescale": False}),
    ("DINOv3ViT", {"size": {"shortest_edge": 50}, "do_center_crop": True, "crop_size": 55, "resample": 3}),
    ("DINOv3ViT", {"size": {"max_height": 50, "max_width": 90}, "do_normalize": False, "do_convert_rgb": True}),
    ("DINOv3ViT", {"size": 50, "do_normalize": False, "do_rescale": False, "resample": 1}),
    ("DINOv3ViT", {"do_resize": False, "rescale_factor": 0.5}),
    # Restoration
    ("Swin2SR", {"size_divisor": 32}),
    ("Swin2SR", {"pad_size": 12, "do_convert_rgb": True, "do_rescale": False}),
    ("Swin2SR", {"do_pad": False, "rescale_factor": 0.5}),
    ("Swin2SR", {"pad_size": 12, "size_divisor": 15, "do_normalize": True, "image_mean": 0.5, "image_std": 0.5}),
    ("UVDoc", {"size": 50, "do_normalize": True, "image_mean": 0.5, "image_std": [0.1, 0.2, 0.3]}),
    ("UVDoc", {"do_resize": False, "do_rescale": False}),
    ("VitMatte", {"size_divisibility": 14}),
    ("VitMatte", {"size_divisibility": 14, "size_divisor": 15, "do_normalize": False}),
    ("VitMatte", {"do_rescale": False, "image_mean": [1, 2, 3], "image_std": [4, 5, 6]}),
    ("VitMatte", {"do_pad": False, "do_normalize": False, "do_rescale": False}),
    ("VitMatte", {"rescale_factor": 0.3, "image_mean": 0.1, "image_std": 0.2}),
    # Key points
    ("SuperPoint", {"size": 50, "do_grayscale": True}),
    ("SuperPoint", {"do_resize": False, "do_grayscale": True, "do_convert_rgb": True}),
    ("SuperPoint", {"size": {"height": 50, "width": 40}, "do_rescale": False, "resample": 3}),
    ("SuperGlue", {"size": {"shortest_edge": 50}, "do_grayscale": False, "do_center_crop": True, "crop_size": 30}),
    ("LightGlue", {"do_resize": False, "rescale_factor": 0.5}),
    ("EfficientLoFTR", {"size": {"height": 50, "width": 40}, "do_normalize": True, "image_mean": 0, "image_std": 1}),
    # Documents
    ("Donut", {"size": [70, 90]}),  # (width, height)
    ("Donut", {"size": [90, 70], "do_align_long_axis": True, "resample": 3}),
    ("Donut", {"size": [40, 60], "do_align_long_axis": True, "do_resize": False, "do_pad": None}),
    ("Donut", {"size": 70, "do_align_long_axis": True, "do_convert_rgb": True}),
    ("Donut", {"size": [700, 90], "do_thumbnail": False}),  # one image is larger then
    ("Donut", {"size": [131, 300], "do_resize": False, "do_thumbnail": False, "do_normalize": False}),
    ("Donut", {"size": [60, 90], "do_resize": False}),
    ("Donut", {"size": [60, 90], "do_resize": False, "resample": None}),
    ("Donut", {"size": [60, 90], "do_center_crop": True, "crop_size": 75, "do_rescale": False}),
    ("Donut", {"do_resize": False, "do_thumbnail": False, "do_pad": None, "do_align_long_axis": True}),
    ("Nougat", {"do_crop_margin": False, "size": {"height": 70, "width": 90}, "resample": 1}),
    ("Nougat", {"size": {"height": 20, "width": 15}, "do_resize": False}),
    ("Nougat", {"do_crop_margin": False, "size": 50, "do_thumbnail": False, "do_pad": False, "resample": 3}),
    ("Nougat", {"do_crop_margin": None, "size": 50, "do_resize": False, "resample": None, "do_normalize": False}),
    ("PPFormulaNet", {"do_crop_margin": False, "size": [70, 90], "do_thumbnail": False, "resample": 1}),
    ("PPFormulaNet", {"do_crop_margin": False, "size": 70, "do_align_long_axis": True, "do_convert_rgb": True}),
    ("LayoutLMv2", {"apply_ocr": False, "size": {"height": 50, "width": 70}, "resample": 3}),
    ("LayoutLMv2", {"apply_ocr": None, "do_resize": False, "do_rescale": True, "rescale_factor": 0.5}),
    ("LayoutLMv3", {"apply_ocr": False, "size": {"shortest_edge": 50}, "do_pad": True, "ocr_lang": "deu"}),
    ("LayoutLMv3", {"apply_ocr": False, "do_rescale": False, "size": 50, "tesseract_config": "--psm 6"}),
    ("TextNet", {"size": 50, "size_divisor": 7, "resample": 3}),
    ("TextNet", {"size": {"shortest_edge": 50, "longest_edge": 60}, "do_center_crop": True, "crop_size": 60}),
    ("TextNet", {"do_resize": False, "do_pad": True, "pad_size": 9, "do_normalize": False}),
    # PaddleOCR
    ("PPDocLayoutV2", {"size": {"shortest_edge": 50}, "resample": 2, "do_center_crop": True, "crop_size": 61}),
    ("PPDocLayoutV3", {"size": [50, 70], "do_pad": True, "pad_size": 90, "do_normalize": False}),
    ("PPDocLayoutV3", {"do_resize": False, "do_rescale": False, "do_normalize": False, "do_convert_rgb": True}),
    ("PPDocLayoutV4", {"size": {"max_height": 50, "max_width": 70}, "resample": 2, "rescale_factor": 0.5}),
    ("PPDocLayoutV4", {"size": 50, "do_center_crop": True, "crop_size": 61, "do_pad": True, "pad_size": 70}),
    ("PPDocLayoutV4", {"size": 50, "do_rescale": False, "do_normalize": False}),
    ("PPDocLayoutV4", {"size": 50, "do_rescale": False, "image_mean": 0.5}),
    ("PPDocLayoutV4", {"do_resize": False, "rescale_factor": 2, "do_normalize": None}),
    ("PPLCNet", {"resize_short": 50, "size_divisor": 8, "crop_size": 40, "resample": 1}),
    ("PPLCNet", {"resize_short": 50, "size_divisor": None, "do_center_crop": False, "do_rescale": False}),
    ("PPLCNet", {"resize_short": None, "size": [50, 70], "crop_size": 90}),
    ("PPLCNet", {"do_resize": False, "do_normalize": False, "do_convert_rgb": True}),
    ("PPOCRV5ServerDet", {"limit_side_len": 70, "limit_type": "min", "resample": 3}),
    ("PPOCRV5ServerDet", {"limit_side_len": 500, "limit_type": "resize_long", "max_side_limit": 200}),
    ("PPOCRV5ServerDet", {"limit_side_len": 90, "max_side_limit": None, "do_normalize": False}),
    ("PPOCRV5ServerDet", {"do_rescale": False, "do_normalize": False, "do_convert_rgb": True}),
    ("PPOCRV5ServerRec", {"max_image_width": 100, "resample": 3}),
    ("PPOCRV5ServerRec", {"size": [30, 60], "pad_size": [30, 90], "do_normalize": False}),
    ("PPOCRV5ServerRec", {"do_center_crop": True, "crop_size": 40, "do_pad": False, "character_list": ["a"]}),
    ("PPOCRV5ServerRec", {"do_resize": False, "do_pad": False, "do_rescale": False, "do_normalize": False}),
    ("PPOCRV6SmallRec", {"max_image_width": 100, "resample": 3, "do_convert_rgb": False}),
    ("PPOCRV6SmallRec", {"size": [30, 60], "pad_size": [30, 90], "image_mean": [0.1, 0.2, 0.3]}),
    ("PPOCRV6SmallRec", {"do_center_crop": True, "crop_size": 40, "do_pad": None, "do_rescale": False}),
    ("SLANeXt", {"size": {"height": 50, "width": 70}, "pad_size": {"height": 70, "width": 80}}),
    ("SLANeXt", {"size": 50, "do_center_crop": True, "crop_size": 40, "do_pad": None, "resample": 0}),
    ("SLANeXt", {"do_resize": False, "do_normalize": False, "pad_size": 300}),
    # Multimodal
    ("DeepseekVL", {"size": 40, "min_size": 0, "do_convert_rgb": True}),
    ("DeepseekVL", {"size": 40, "min_size": 60, "image_mean": [0.0, 1.0, 0.3], "resample": 2}),
    ("DeepseekVL", {"size": 40, "do_pad": False, "do_rescale": False, "image_mean": [116.5, 120.0, 0.5]}),
    ("DeepseekVL", {"do_resize": False, "image_mean": None, "do_normalize": False}),
    ("DeepseekVLHybrid", {"size": 40, "high_res_size": 70, "high_res_resample": 2, "min_size": 9}),
    ("DeepseekVLHybrid", {"size": 70, "high_res_size": 20, "high_res_image_mean": [0.2, 0.4, 0.9], "resample": 1}),
    ("DeepseekVLHybrid", {"size": 40, "high_res_size": 70, "high_res_resample": None, "do_rescale": False}),
    ("DeepseekVLHybrid", {"size": 40, "high_res_size": 70, "image_mean": None, "do_normalize": False}),
    ("DeepseekVLHybrid", {"size": 40, "high_res_size": 70, "high_res_image_std": 0.3, "image_std": [0.1, 0.2, 0.3]}),
    ("Janus", {"size": 40, "min_size": 20}),
    ("Llava", {"size": 40, "crop_size": 37, "do_pad": True}),
    ("Llava", {"size": {"height": 30, "width": 50}, "do_pad": True, "pad_size": 9, "image_mean": [0.1, 0.5, 0.9]}),
    ("Llava", {"do_resize": False, "do_pad": True, "do_center_crop": False, "do_normalize": False}),
    ("Flava", {"size": 40, "crop_size": 37, "return_codebook_pixels": True}),
    ("Flava", {"size": 40, "return_codebook_pixels": True, "codebook_size": 30, "codebook_resample": 2}),
    ("Flava", {"return_codebook_pixels": True, "codebook_do_resize": False, "codebook_crop_size": 90}),
    ("Flava", {"return_codebook_pixels": True, "codebook_do_center_crop": False, "codebook_do_map_pixels": False}),
    ("Flava", {"return_codebook_pixels": True, "codebook_do_rescale": False, "codebook_image_mean": [9.0, 8.0, 7.0]}),
    ("Flava", {"return_codebook_pixels": True, "codebook_do_normalize": False, "codebook_rescale_factor": 0.01}),
    ("Flava", {"size": 40, "do_pad": True, "total_mask_patches": 7, "codebook_size": 3}),
    ("VideoLlava", {"size": 40, "crop_size": {"height": 37, "width": 50}}),
    ("VideoLlava", {"size": {"shortest_edge": 40, "longest_edge": 45}, "image_mean": None, "image_std": None}),
    ("VideoLlava", {"size": None, "crop_size": None, "do_rescale": False, "do_convert_rgb": False}),
    ("VideoLlava", {"do_resize": None, "do_center_crop": False, "do_normalize": False, "rescale_factor": 1}),
    # Classification
    ("Levit", {"size": 41, "crop_size": 37, "do_convert_rgb": True}),
    ("Levit", {"size": {"shortest_edge": 30, "longest_edge": 33}, "do_pad": True, "pad_size": 300}),
    ("Levit", {"size": {"height": 30, "width": 20}, "do_center_crop": False}),
    ("PoolFormer", {"size": 40, "crop_size": 37, "crop_pct": 0.7}),
    ("PoolFormer", {"size": {"height": 30, "width": 20}, "crop_size": 37}),
    ("PoolFormer", {"size": {"height": 30, "width": 30}, "crop_size": 37}),
    ("PoolFormer", {"size": {"max_height": 30, "max_width": 33}, "crop_pct": None, "do_pad": True, "pad_size": 300}),
    ("PoolFormer", {"do_resize": False, "do_center_crop": True, "crop_size": 90}),
    ("Perceiver", {"size": {"height": 30, "width": 20}, "crop_size": {"height": 41, "width": 23}}),
    ("Perceiver", {"size": {"height": 30, "width": 20}, "crop_size": {"height": 21, "width": 33}, "do_rescale": False}),
    ("Perceiver", {"size": {"shortest_edge": 30}, "do_center_crop": False, "do_convert_rgb": True}),
    ("Perceiver", {"do_resize": False, "do_normalize": False, "do_pad": True}),
    ("MobileViT", {"size": 40, "crop_size": 47, "do_normalize": True, "do_reduce_labels": True}),
    ("MobileViT", {"size": 40, "do_center_crop": None, "do_flip_channel_order": False, "rescale_factor": -0.5}),
    ("MobileViT", {"size": {"height": 30, "width": 20}, "do_rescale": False, "do_convert_rgb": True, "do_pad": True}),
    ("ImageGPT", {"size": 30, "clusters": [[0.9, 0.6, 0.4], [-0.6, 0.0, 0.5], [-0.9, -0.3, -0.1]]}),
    ("ImageGPT", {"size": 30, "clusters": [[0, 100, 200], [9, 8, 7]], "do_rescale": False, "image_mean": 0.25}),
    ("ImageGPT", {"do_resize": False, "do_normalize": False, "clusters": [[i / 20, i / 30, 0.5] for i in range(20)]}),
    ("ImageGPT", {"size": 30, "do_color_quantize": False, "do_center_crop": True, "crop_size": 20}),
    ("ImageGPT", {"size": 30, "do_color_quantize": None, "do_rescale": False, "do_normalize": False}),
    # Video
    ("VideoMAE", {"size": 40, "crop_size": 37, "do_pad": True, "pad_size": 9, "do_convert_rgb": True}),
    ("VideoMAE", {"do_resize": False, "crop_size": 80, "do_rescale": False}),
    ("Vivit", {"size": 40, "crop_size": 37, "offset": False}),
    ("Vivit", {"size": {"height": 20, "width": 30}, "offset": None, "do_rescale": False}),
    ("Vivit", {"size": None, "crop_size": None, "image_mean": None, "do_normalize": False, "rescale_factor": 1}),
    ("Tvp", {"size": {"longest_edge": 45}, "crop_size": 50, "pad_size": 60}),
    ("Tvp", {"size": {"longest_edge": 45, "shortest_edge": 9}, "do_center_crop": False, "constant_values": 2.5}),
    ("Tvp", {"size": {"longest_edge": 45}, "do_center_crop": False, "pad_size": 160, "pad_mode": "reflect"}),
    ("Tvp", {"size": {"longest_edge": 45}, "do_center_crop": False, "pad_size": 60, "pad_mode": "symmetric"}),
    ("Tvp", {"size": {"longest_edge": 45}, "do_center_crop": False, "pad_size": 60, "pad_mode": "replicate"}),
    ("Tvp", {"size": [20, 30], "do_pad": False, "do_flip_channel_order": False, "do_convert_rgb": True}),
]


def classes(name):
    """The references that transformers has a class for, and that class."""
    family = FAMILIES[name]
    if family.has_pil:
        yield "pillow", getattr(transformers, f"{name}ImageProcessor{'Pil' if family.has_torchvision else ''}")
    if family.has_torchvision:
        yield "torchvision", getattr(transformers, f"{name}ImageProcessor")


PIL_OPTIONS = [
    ("DeepseekVL", {"size": 40, "resample": 0}),
    ("DeepseekVLHybrid", {"size": 40, "high_res_size": 70, "do_pad": False}),
    ("DeepseekVLHybrid", {"do_resize": False, "image_mean": [0.1, 0.2, 0.3]}),
    ("DeepseekVLHybrid", {"size": 40, "high_res_size": 70, "high_res_resample": 0, "resample": 2}),
    ("Flava", {"return_codebook_pixels": True, "codebook_size": {"shortest_edge": 30}, "codebook_resample": 0}),
    ("Llava", {"size": 40, "do_pad": True, "image_mean": None, "do_normalize": False}),
    ("MobileViT", {"size": 40, "rescale_factor": 2}),
]
"""Those that transformers' torchvision classes fail on, or that no torchvision reference has."""

CASES = [
    pytest.param(name, config, reference, kind, id=f"{name}, {reference}, {config}")
    for name, config in (*OPTIONS, *PIL_OPTIONS)
    for reference, kind in classes(name)
    if reference == "pillow" or (name, config) not in PIL_OPTIONS
]


@pytest.mark.one_in(3)
@pytest.mark.parametrize(("name", "config", "reference", "kind"), CASES)
def test_every_backend_equals_transformers(name, config, reference, kind, tmp_path):
    file = tmp_path / "preprocessor_config.json"
    file.write_text(json.dumps({"image_processor_type": f"{name}ImageProcessor", **config}))
    assert check(kind(**config), exporter.trace(file, reference=reference), SIZES, f"{name} {config}") >= 3


MIRRORED = [
    pytest.param(name, config, reference, kind, id=f"{name}, {reference}")
    for name, config in (("Swin2SR", {}), ("ZoeDepth", {"size": {"height": 40, "width": 50}}))
    for reference, kind in classes(name)
]


@pytest.mark.parametrize(("name", "config", "reference", "kind"), MIRRORED)
def test_images_smaller_than_their_borders(name, config, reference, kind, tmp_path):
    """NumPy mirrors them again and again; torchvision fails, and so do we."""
    sizes = ((1, 1), (1, 9), (4, 9), (9, 4), (5, 5), (3, 20))
    file = tmp_path / "preprocessor_config.json"
    file.write_text(json.dumps({"image_processor_type": f"{name}ImageProcessor", **config}))
    compared = check(kind(**config), exporter.trace(file, reference=reference), sizes, f"{name} {config}")
    assert compared == {("Swin2SR", "torchvision"): 3, ("ZoeDepth", "torchvision"): 1}.get(
        (name, reference), len(sizes)
    )
