"""The command's flags."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from runtime.preprocessor import BACKENDS

from . import bench, bench_jpeg

SOURCE_FLAGS: dict[str, Any] = {
    "reference": "pillow", "type": None, "size": None, "set": [], "strict": False, "layout": "NHWC", "dtype": "float32",
    "revision": None, "subfolder": None, "offline": False, "input_size": None,
    "channels": 3,
}  # fmt: skip
"""How to read a source, and the defaults."""

FORMATS = {".onnx": "onnx", ".pt": "torchscript"}


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, with where to look, instead of the whole usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"export-preprocessor: {message} (see `{self.prog} --help`)\n")


def build_parser(commands: Mapping[str, Callable[[argparse.Namespace], int]]) -> Parser:
    """All commands and flags; ``commands`` says what runs each."""
    common = Parser(add_help=False)
    common.add_argument("--traceback", action="store_true", help="show where an unexpected error comes from")
    parser = Parser(
        prog="export-preprocessor",
        description="Image preprocessing configs as one exact artifact. `export` is the default command:"
        " export-preprocessor SOURCE -o FILE",
    )
    parser.add_argument("--version", action="version", version=_version())
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)

    def command(name: str, text: str, example: str) -> argparse.ArgumentParser:
        sub = subparsers.add_parser(
            name, parents=[common], help=text, description=text, epilog=f"Example: export-preprocessor {example}"
        )
        sub.set_defaults(run=commands[name])
        return sub

    export = command("export", "write an artifact and verify it", "vit-base-patch16-224 -o vit.onnx")
    _add_source(export)
    export.add_argument("-o", "--output", metavar="FILE", help="what to write: -o vit.onnx, or -o vit.pt (TorchScript)")
    export.add_argument("--format", choices=sorted(set(FORMATS.values())), help="where the suffix does not say")
    export.add_argument("--model", metavar="MODEL.onnx", help="put the preprocessing in front of this model")
    export.add_argument(
        "--map", action="append", default=[], metavar="NAME=MODEL'S NAME",
        help="what the model calls an input, where it is not told by its name or its axes; may be repeated: --map"
        " pixel_values=input",
    )  # fmt: skip
    export.add_argument(
        "--postprocess", default="auto", metavar="NAME",
        help="what to do with the model's outputs: auto (what config.json's architecture is for), none, or a name such"
        " as semantic_segmentation",
    )  # fmt: skip
    export.add_argument(
        "--labels", metavar="FILE", help="class names, one a line or a JSON list; else config.json's id2label"
    )
    export.add_argument(
        "--opset", type=int, metavar="N", help="of the ONNX file: 14 and up; 18 by default, or the model's"
    )
    export.add_argument("--no-verify", action="store_true", help="skip the comparison with the reference")

    verify = command("verify", "compare an artifact with the reference", "verify vit.onnx photo.jpg")
    verify.add_argument("file", metavar="FILE")
    verify.add_argument("images", nargs="*", metavar="IMAGE", help="images to try besides noise of many sizes")
    verify.add_argument(
        "--backend", action="append", choices=BACKENDS[1:], help="check this one; may be repeated: --backend torch"
    )

    inspect = command("inspect", "show what an artifact or a source does", "inspect vit.onnx")
    _add_source(inspect, "an artifact (.onnx, .pt) or any SOURCE of export")
    inspect.add_argument("--json", action="store_true", help="print the Plan as JSON")

    run = command("run", "run an artifact on images", "run vit.onnx photo.jpg -o out.npz")
    run.add_argument("file", metavar="FILE")
    run.add_argument("images", nargs="+", metavar="IMAGE")
    run.add_argument("-o", "--output", metavar="OUT.npz", help="where to write the output tensors")
    run.add_argument("--draw", metavar="OUT.png", help="write the picture with its boxes or its mask: --draw out.png")
    run.add_argument("--threshold", type=float, metavar="X", help="least score of an object: --threshold 0.7")
    run.add_argument("--backend", default="auto", choices=BACKENDS, help="what runs it: --backend pil")
    run.add_argument(
        "--max-pixels",
        type=int,
        metavar="N",
        help="refuse larger images, before they are decoded: --max-pixels 9000000",
    )

    timing = command("bench", "time an artifact beside other libraries", "bench vit.onnx --plot vit.png")
    timing.add_argument("file", metavar="FILE")
    timing.add_argument(
        "--from", dest="start", choices=("decoded", "jpeg", "start"), default="decoded",
        help="decoded images of one size (the default); or JPEGs of mixed sizes, with latency and memory: --from jpeg;"
        " or the start of a process, with imports and loading: --from start",
    )  # fmt: skip
    timing.add_argument(
        "--images", nargs="+", metavar="FILE|FOLDER",
        help="JPEGs in place of those that --from jpeg makes up: --from jpeg --images photos",
    )  # fmt: skip
    timing.add_argument(
        "--size", action="append", metavar="N|HxW",
        help="of the images, 480x640 and 1080x1920 by default; may be repeated: --size 768x1024",
    )  # fmt: skip
    timing.add_argument(
        "--backend", action="append", choices=BACKENDS, help="time this one only; may be repeated: --backend torch"
    )
    timing.add_argument(
        "--rounds", type=int, metavar="N",
        help=f"calls of each, {bench.ROUNDS} by default, or {bench_jpeg.ROUNDS} times all JPEGs: --rounds 101",
    )  # fmt: skip
    timing.add_argument("--threads", type=int, metavar="N", help="of every library, 2 by default: --threads 1")
    timing.add_argument(
        "--batch", type=int, metavar="N", help=f"images a call, 1 by default, or {bench_jpeg.BATCH} JPEGs: --batch 8"
    )
    timing.add_argument("--no-peers", action="store_true", help="time the file's backends only")
    timing.add_argument("--plot", metavar="FILE.png", help="draw the medians too: --plot vit.png (needs matplotlib)")
    timing.add_argument("--json", action="store_true", help="print JSON: every call's time")

    presets = command("presets", "list the bundled presets", "presets")
    presets.add_argument("--json", action="store_true", help="print the list as JSON")

    covered = command("coverage", "list the processors that are supported, and the others", "coverage")
    covered.add_argument("--json", action="store_true", help="print the list as JSON")
    return parser


def _add_source(parser: argparse.ArgumentParser, text: str | None = None) -> None:
    """SOURCE and how to read it."""
    parser.add_argument(
        "source", metavar="SOURCE",
        help=text
        or "a preset (see `presets`), a folder, a preprocessor_config.json, a hub id, or what a library knows by name:"
        " timm:resnet50, torchvision:ResNet50_Weights.DEFAULT, open_clip:ViT-B-32/openai",
    )  # fmt: skip
    parser.add_argument(
        "--reference", default="pillow", choices=("pillow", "pillow13", "pillow12.2", "pillow12.1", "torchvision"),
        help="whose pixels to give; Pillow changed its order of passes in 12.2 (extreme ratios) and in 13 (portraits),"
        " and most public checkpoints were trained with pillow12.1, which stands for all before;"
        " torchvision is transformers' torchvision class on the CPU; pillow (default) is the installed Pillow",
    )  # fmt: skip
    parser.add_argument(
        "--type", help="the processor's name, or the model's type, where the config does not say: --type ViT"
    )
    parser.add_argument("--size", metavar="N|HxW", help="the config key `size`: --size 384, or --size 480x640")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE",
        help="any config key, its value as JSON; may be repeated: --set do_normalize=false --set crop_size=256",
    )  # fmt: skip
    parser.add_argument("--strict", action="store_true", help="refuse keys that the reference does not read")
    parser.add_argument(
        "--layout", default="NHWC", choices=("NHWC", "NCHW"), help="of the ONNX file's input images: --layout NCHW"
    )
    parser.add_argument(
        "--dtype", default="float32", choices=("float32", "float16"), help="of pixel_values: --dtype float16"
    )
    parser.add_argument(
        "--input-size",
        metavar="HxW",
        help="make it for images of this size only, which is faster: --input-size 480x640",
    )
    parser.add_argument(
        "--channels", type=int, default=3, choices=(1, 3, 4),
        help="of the images, where the processor does not convert to RGB: --channels 1 for grayscale, 4 for RGBA",
    )  # fmt: skip
    parser.add_argument("--revision", help="of a hub id: --revision main")
    parser.add_argument("--subfolder", help="of a hub id, where its config is not at the top: --subfolder vision")
    parser.add_argument("--offline", action="store_true", help="take hub files from the local cache only")


def _version() -> str:
    from importlib.metadata import version

    return f"export-preprocessor {version('export-preprocessor')}"
