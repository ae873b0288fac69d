"""Keys of families' own that mean nothing there, or that no graph can follow: rows of data."""

import pytest

from models.config import to_steps
from models.families import FAMILIES
from runtime import UnsupportedConfig

PIL, TORCHVISION = "pillow13", "torchvision"
INTEGER = "expected an integer from 1 to 65535, got"
UNIT = "expected an integer from 1 to 65535, or 1 divided by a power of 2, got"
FLOATS = "do_rescale: expected true (and a float as rescale_factor), for floats are resized; or do_resize false, got"
NORMALIZED = "do_rescale: expected true, for torchvision does not normalize uint8; or do_normalize false, got False"
TWO_FILTERS = "resample: expected 2 (bilinear) or 3 (bicubic), got"

PROBLEMS = [
    # Depth
    ("DPT", PIL, {"ensure_multiple_of": 1.5}, f"ensure_multiple_of: {INTEGER} 1.5"),
    ("DPT", PIL, {"ensure_multiple_of": 0, "keep_aspect_ratio": True}, f"ensure_multiple_of: {INTEGER} 0"),
    (
        "DPT",
        PIL,
        {"size": 5, "ensure_multiple_of": 14},
        "ensure_multiple_of: expected less than twice the sides of size",
    ),
    ("DPT", PIL, {"size": {"shortest_edge": 5}}, "size: expected height and width, got {'shortest_edge': 5}"),
    ("DPT", PIL, {"keep_aspect_ratio": 1}, "keep_aspect_ratio: expected true, false or null, got 1"),
    ("DPT", PIL, {"do_pad": True, "size_divisor": 0.5}, f"size_divisor: {INTEGER} 0.5"),
    ("DPT", TORCHVISION, {"do_pad": True}, f"size_divisor: {INTEGER} None"),
    ("CHMv2", TORCHVISION, {"size_divisor": None}, f"size_divisor: {INTEGER} None"),
    ("PromptDepthAnything", TORCHVISION, {"do_pad": True, "size_divisor": -1}, f"size_divisor: {INTEGER} -1"),
    ("GLPN", PIL, {"size_divisor": 0}, f"size_divisor: {INTEGER} 0"),
    ("ZoeDepth", PIL, {"do_rescale": False}, f"{FLOATS} False"),
    ("ZoeDepth", TORCHVISION, {"rescale_factor": 1, "do_normalize": False}, f"{FLOATS} True"),
    ("ZoeDepth", TORCHVISION, {"do_rescale": False, "do_resize": False}, NORMALIZED),
    *(("ZoeDepth", PIL, {"ensure_multiple_of": n}, f"ensure_multiple_of: {UNIT} {n}") for n in (0.1, 0, -32, 1e6)),
    ("ZoeDepth", PIL, {"ensure_multiple_of": "32"}, "ensure_multiple_of: expected a finite number, got '32'"),
    *((name, TORCHVISION, {"resample": 0}, f"{TWO_FILTERS} 0") for name in ("ZoeDepth", "DepthPro", "DINOv3ViT")),
    ("DepthPro", TORCHVISION, {"resample": 1, "do_rescale": False, "do_normalize": False}, f"{TWO_FILTERS} 1"),
    ("DINOv3ViT", TORCHVISION, {"do_rescale": False}, NORMALIZED),
    (
        "DINOv3ViT",
        TORCHVISION,
        {"rescale_factor": 2, "do_normalize": False},
        "rescale_factor: expected a float, or 1, got 2",
    ),
    # Restoration
    ("Swin2SR", PIL, {"size_divisor": 0}, f"size_divisor: {INTEGER} 0"),
    ("Swin2SR", PIL, {"pad_size": {"height": 8, "width": 8}}, f"size_divisor: {INTEGER} {{'height': 8, 'width': 8}}"),
    ("UVDoc", TORCHVISION, {"do_rescale": False}, f"{FLOATS} False"),
    ("UVDoc", TORCHVISION, {"size": {"shortest_edge": 5}}, "size: expected height and width, got {'shortest_edge': 5}"),
    ("VitMatte", PIL, {"do_convert_rgb": True}, "do_convert_rgb: expected false, for the trimap is a fourth channel"),
    ("VitMatte", PIL, {"size_divisor": None}, f"size_divisor: {INTEGER} None"),
    ("VitMatte", TORCHVISION, {"rescale_factor": 2}, "rescale_factor: expected a float, or 1, got 2"),
    # Key points
    *(
        (name, PIL, {"do_rescale": False, "do_grayscale": True}, "do_grayscale: without do_rescale the PIL class gives")
        for name in ("SuperPoint", "SuperGlue", "LightGlue", "EfficientLoFTR")
    ),
    ("SuperGlue", PIL, {"do_grayscale": "yes"}, "do_grayscale: expected true, false or null, got 'yes'"),
    # Multimodal
    (
        "DeepseekVL",
        PIL,
        {"image_mean": 0.5},
        "image_mean: expected a list, for it is the colour of the padding too, got",
    ),
    ("DeepseekVL", PIL, {"image_mean": [0.0, 1.2, 0.3]}, "image_mean: expected numbers from 0 to 1, for they are the"),
    ("DeepseekVL", PIL, {"image_mean": [0.0, -0.2, 0.3]}, "image_mean: expected numbers from 0 to 1, for they are the"),
    ("DeepseekVL", PIL, {"size": {"shortest_edge": 5}}, "size: expected height and width, got {'shortest_edge': 5}"),
    ("DeepseekVL", PIL, {"min_size": -1}, "min_size: expected an integer from 0 to 65535, got -1"),
    ("Janus", TORCHVISION, {"size": [40, 41]}, "size: expected height and width to be the same, got [40, 41]"),
    ("Janus", TORCHVISION, {"min_size": 1.0}, "min_size: expected an integer from 0 to 65535, got 1.0"),
    (
        "DeepseekVLHybrid",
        TORCHVISION,
        {"do_pad": False},
        "do_pad: expected true, without which transformers' torchvision",
    ),
    ("DeepseekVLHybrid", TORCHVISION, {"do_resize": None}, "do_resize: expected true, without which transformers'"),
    (
        "DeepseekVLHybrid",
        PIL,
        {"high_res_size": [5, 6]},
        "high_res_size: expected height and width to be the same, got",
    ),
    ("DeepseekVLHybrid", PIL, {"high_res_size": [0, 0]}, "high_res_size.height: expected an integer from 1 to"),
    ("DeepseekVLHybrid", PIL, {"high_res_image_std": 0}, "high_res_image_std: expected numbers other than 0"),
    ("DeepseekVLHybrid", PIL, {"high_res_image_mean": 0.5, "do_resize": False}, "high_res_image_mean: expected a list"),
    ("DeepseekVLHybrid", PIL, {"rescale_factor": "1"}, "rescale_factor: expected a finite number, got '1'"),
    (
        "Llava",
        PIL,
        {"do_pad": True, "image_mean": 0.5},
        "image_mean: expected a list, for it is the colour of the padding",
    ),
    (
        "Llava",
        TORCHVISION,
        {"do_pad": True, "image_mean": [], "do_normalize": False},
        "image_mean: expected a list, for",
    ),
    ("Flava", PIL, {"return_image_mask": True}, "return_image_mask: expected false, for the mask is random, got True"),
    (
        "Flava",
        PIL,
        {"codebook_size": {"foo": 3}},
        "codebook_size: expected an integer, [height, width], or a known set",
    ),
    ("Flava", PIL, {"return_codebook_pixels": True, "codebook_resample": 9}, "codebook_resample: expected one of 0 "),
    (
        "Flava",
        PIL,
        {"return_codebook_pixels": True, "codebook_do_rescale": False, "codebook_do_normalize": False},
        "codebook_do_map_pixels: expected false without codebook_do_rescale, for the PIL class gives float64 then, got",
    ),
    (
        "VideoLlava",
        PIL,
        {"size": {"longest_edge": 5}},
        "size: expected one of the key sets {height, width}, {shortest_",
    ),
    # Classification
    (
        "Levit",
        PIL,
        {"size": {"max_height": 5, "max_width": 5}},
        "size: expected one of the key sets {height, width}, {sh",
    ),
    *(
        ("PoolFormer", PIL, {"crop_pct": n}, "crop_pct: expected a number above 0, and size / ")
        for n in (0, -1, 225, 0.003)
    ),
    ("PoolFormer", PIL, {"crop_pct": "1"}, "crop_pct: expected a finite number, got '1'"),
    ("Perceiver", PIL, {"size": {"shortest_edge": 5}}, "size: expected height and width, got {'shortest_edge': 5}"),
    ("Perceiver", PIL, {"crop_size": {"shortest_edge": 5}}, "crop_size: expected height and width, got"),
    (
        "MobileViT",
        PIL,
        {"do_normalize": True, "image_std": None},
        "image_std: expected a number, for do_normalize is on,",
    ),
    ("ImageGPT", PIL, {}, "clusters: expected the colours, or do_color_quantize to be false, got None"),
    *(
        (
            "ImageGPT",
            PIL,
            {"clusters": clusters},
            "clusters: expected a list of colours, each three finite numbers, got",
        )
        for clusters in ([], 3, [[1, 2]], [[1, 2, 3], 4], [[1, 2, "3"]], [[1, 2, float("nan")]])
    ),
    (
        "ImageGPT",
        PIL,
        {"clusters": [[1, 2, 3]], "do_rescale": False, "do_normalize": False},
        "do_color_quantize: expected false without do_rescale and do_normalize, for uint8 squares overflow, got True",
    ),
    (
        "ImageGPT",
        PIL,
        {"do_color_quantize": False, "do_center_crop": True},
        "crop_size: expected a size, for do_center_crop is on, though nothing is cropped",
    ),
    # Video
    ("Vivit", PIL, {"do_rescale": False}, "offset: expected false without do_rescale, got True"),
    ("Tvp", PIL, {"pad_mode": "edge"}, "pad_mode: expected one of constant, symmetric, reflect, replicate, got 'edge'"),
    ("Tvp", PIL, {"constant_values": [1, 2, 3]}, "constant_values: expected a finite number, got [1, 2, 3]"),
    ("Tvp", PIL, {"pad_size": None}, "pad_size: expected an integer, [height, width], or one of the key sets"),
]


@pytest.mark.parametrize(("name", "reference", "config", "problem"), PROBLEMS, ids=str)
def test_the_problem_is_named(name, reference, config, problem):
    with pytest.raises(UnsupportedConfig) as error:
        to_steps(FAMILIES[name], config, {}, reference)
    (found,) = error.value.problems
    assert found.startswith(problem)
