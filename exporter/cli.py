"""The ``export-preprocessor`` command.

Exit codes: 0 done, 1 values differ, 2 bad usage or input. An error is a line that says what to do.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import io
import json
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

import exporter
from models.config import UnreadKeyWarning
from models.presets import PRESETS
from models.sources import labels, read_json
from runtime import artifact
from runtime.errors import ArtifactError, InputError, ParityError, PreprocessorError, UnsupportedConfig
from runtime.plan import Plan
from runtime.preprocessor import BACKENDS, load

from . import bench, coverage, report
from .trace import make_plan

COMMANDS = ("export", "verify", "inspect", "run", "bench", "presets", "coverage")
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


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line ``argv``; the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # labels that the terminal cannot show
    parser = build_parser()
    if arguments and arguments[0] not in (*COMMANDS, "-h", "--help", "--version"):
        arguments.insert(0, "export")
    try:
        options = parser.parse_args(arguments)
    except SystemExit as stop:
        return int(stop.code or 0)
    try:
        code: int = options.run(options)
        return code
    except ParityError as error:
        report.table(error.rows)
        return _fail(str(error), 1)
    except UnsupportedConfig as error:
        return _fail("\n".join(error.problems), 2)
    except PreprocessorError as error:
        return _fail(str(error), 2)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except Exception as error:
        if options.traceback:
            raise
        return _fail(f"unexpected {type(error).__name__}: {error}; --traceback shows where", 1)


def _fail(message: str, code: int) -> int:
    report.clear()
    for line in message.splitlines():
        print(f"export-preprocessor: {line}", file=sys.stderr)
    return code


def build_parser() -> Parser:
    """All commands and flags."""
    common = Parser(add_help=False)
    common.add_argument("--traceback", action="store_true", help="show where an unexpected error comes from")
    parser = Parser(
        prog="export-preprocessor",
        description="Image preprocessing configs as one exact artifact. `export` is the default command:"
        " export-preprocessor SOURCE -o FILE",
    )
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)

    def command(
        name: str, run: Callable[[argparse.Namespace], int], text: str, example: str
    ) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            name, parents=[common], help=text, description=text, epilog=f"Example: export-preprocessor {example}"
        )
        sub.set_defaults(run=run)
        return sub

    export = command("export", _export, "write an artifact and verify it", "vit-base-patch16-224 -o vit.onnx")
    _add_source(export)
    export.add_argument("-o", "--output", metavar="FILE", help="what to write: -o vit.onnx, or -o vit.pt (TorchScript)")
    export.add_argument("--format", choices=sorted(set(FORMATS.values())), help="where the suffix does not say")
    export.add_argument("--model", metavar="MODEL.onnx", help="put the preprocessing in front of this model")
    export.add_argument(
        "--labels", metavar="FILE", help="class names, one a line or a JSON list; else config.json's id2label"
    )
    export.add_argument("--opset", type=int, metavar="N", help="of the ONNX file: 18 (default, or the model's) and up")
    export.add_argument("--no-verify", action="store_true", help="skip the comparison with the reference")

    verify = command("verify", _verify, "compare an artifact with the reference", "verify vit.onnx photo.jpg")
    verify.add_argument("file", metavar="FILE")
    verify.add_argument("images", nargs="*", metavar="IMAGE", help="images to try besides noise of many sizes")
    verify.add_argument(
        "--backend", action="append", choices=BACKENDS[1:], help="check this one; may be repeated: --backend torch"
    )

    inspect = command("inspect", _inspect, "show what an artifact or a source does", "inspect vit.onnx")
    _add_source(inspect, "an artifact (.onnx, .pt) or any SOURCE of export")
    inspect.add_argument("--json", action="store_true", help="print the Plan as JSON")

    run = command("run", _run, "run an artifact on images", "run vit.onnx photo.jpg -o out.npz")
    run.add_argument("file", metavar="FILE")
    run.add_argument("images", nargs="+", metavar="IMAGE")
    run.add_argument("-o", "--output", metavar="OUT.npz", help="where to write the output tensors")
    run.add_argument("--backend", default="auto", choices=BACKENDS, help="what runs it: --backend pil")

    timing = command("bench", _bench, "time an artifact beside other libraries", "bench vit.onnx --plot vit.png")
    timing.add_argument("file", metavar="FILE")
    timing.add_argument(
        "--size", action="append", metavar="N|HxW",
        help="of the images, 480x640 and 1080x1920 by default; may be repeated: --size 768x1024",
    )  # fmt: skip
    timing.add_argument(
        "--backend", action="append", choices=BACKENDS, help="time this one only; may be repeated: --backend torch"
    )
    timing.add_argument("--rounds", type=int, default=bench.ROUNDS, metavar="N", help="calls of each: --rounds 101")
    timing.add_argument("--threads", type=int, metavar="N", help="of every library, 2 by default: --threads 1")
    timing.add_argument("--batch", type=int, default=1, metavar="N", help="images a call: --batch 8")
    timing.add_argument("--no-peers", action="store_true", help="time the file's backends only")
    timing.add_argument("--plot", metavar="FILE.png", help="draw the medians too: --plot vit.png (needs matplotlib)")
    timing.add_argument("--json", action="store_true", help="print JSON: every call's time")

    presets = command("presets", _presets, "list the bundled presets", "presets")
    presets.add_argument("--json", action="store_true", help="print the list as JSON")

    covered = command("coverage", _coverage, "list the processors that are supported, and the others", "coverage")
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


def _trace(options: argparse.Namespace) -> Plan:
    """The Plan of SOURCE; warnings about its keys go to stderr, a line each."""
    overrides = dict(_override(item) for item in options.set)
    if options.size is not None:
        overrides["size"] = _size(options.size)
    hub = {"revision": options.revision, "subfolder": options.subfolder, "local_files_only": options.offline or None}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UnreadKeyWarning)
        plan = make_plan(
            options.source,
            overrides,
            {key: value for key, value in hub.items() if value is not None},
            reference=options.reference,
            type=options.type,
            layout=options.layout,
            dtype=options.dtype,
            strict=options.strict,
            channels=options.channels,
            input_size=None if options.input_size is None else _height_width(options.input_size),
        )
    for warning in caught:
        print(f"warning: {warning.message}", file=sys.stderr)
    return plan


def _override(item: str) -> tuple[str, Any]:
    key, equals, text = item.partition("=")
    if not equals or not key.isidentifier():
        raise UnsupportedConfig(f"--set: expected KEY=VALUE, such as do_normalize=false, got {item!r}")
    try:
        return key, json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnsupportedConfig(f"--set {key}: the value {text!r} is not JSON; quote strings as '\"text\"'") from error


def _size(text: str, flag: str = "--size") -> Any:
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(part.isascii() and part.isdecimal() and len(part) < 10 for part in parts):
        raise UnsupportedConfig(f"{flag}: expected N or HEIGHTxWIDTH, such as 384 or 480x640, got {text!r}")
    numbers = [int(part) for part in parts]
    return numbers[0] if len(numbers) == 1 else {"height": numbers[0], "width": numbers[1]}


def _height_width(text: str) -> tuple[int, int]:
    """``--input-size``; a single number is a square's side."""
    size = _size(text, "--input-size")
    return (size["height"], size["width"]) if isinstance(size, dict) else (size, size)


def _export(options: argparse.Namespace) -> int:
    if options.output is None:
        raise UnsupportedConfig(f"no output file: add one with -o, such as -o {_stem(options.source)}.onnx")
    path = Path(options.output)
    kind = options.format or FORMATS.get(path.suffix)
    if kind is None or FORMATS.get(path.suffix, kind) != kind:
        raise UnsupportedConfig(
            f"{path}: expected a name that ends in .onnx or .pt, got {path.suffix or 'no suffix'!r}"
        )
    if kind != "onnx" and (options.model is not None or options.opset is not None):
        raise UnsupportedConfig("--model and --opset are for ONNX files: write to a name that ends in .onnx")
    plan = _trace(options)
    if options.labels:
        plan = _with_labels(plan, Path(options.labels))
    report.plan(plan)
    with artifact.atomic(path) as temporary:
        if kind == "onnx":
            exporter.to_onnx(plan, temporary, options.model, opset=options.opset)
        else:
            exporter.to_torchscript(plan, temporary)
        if not options.no_verify:
            try:
                report.table(exporter.verify(temporary, progress=report.progress))
            except ParityError as error:
                message = str(error).replace(str(temporary), str(path))
                raise ParityError(f"{message}; the file was not written", error.rows) from error
    print(f"wrote {path} ({path.stat().st_size / 1000:.0f} kB)")
    return 0


def _stem(source: str) -> str:
    return Path(source).stem if "." not in Path(source).stem else "out"


def _with_labels(plan: Plan, path: Path) -> Plan:
    from dataclasses import replace

    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UnsupportedConfig(f"--labels {path}: cannot be read ({error})") from error
    names: Any = text.splitlines()
    try:
        if text.lstrip()[:1] == "[":
            names = json.loads(text)
        elif text.lstrip()[:1] == "{":
            names = labels({"id2label": read_json(path)})
    except (ValueError, RecursionError):
        names = None
    if not names or not all(isinstance(name, str) for name in names):
        raise UnsupportedConfig(
            f'--labels {path}: expected a name a line, a JSON list, or {{"0": name, …}} without gaps'
        )
    return replace(plan, labels=tuple(names))


def _verify(options: argparse.Namespace) -> int:
    report.table(exporter.verify(options.file, options.images, options.backend, report.progress))
    print(f"{options.file}: equal to the reference")
    return 0


def _inspect(options: argparse.Namespace) -> int:
    fused = False
    try:
        plan, fused = artifact.read(options.source)
    except ArtifactError:
        if Path(options.source).suffix in FORMATS and os.path.isfile(options.source):  # noqa: PTH113  never raises
            raise
        plan = _trace(options)
    else:
        typed = [flag for flag, default in SOURCE_FLAGS.items() if getattr(options, flag) != default]
        if typed:
            raise UnsupportedConfig(
                f"--{typed[0].replace('_', '-')}: says how to read a source, but {options.source} is an artifact"
            )
    if options.json:
        print(plan.to_json())
        return 0
    report.plan(plan)
    if fused:
        print(" then the model in the file")
    if plan.labels:
        print(f" {len(plan.labels)} labels: {', '.join(plan.labels[:3])}{', …' if plan.labels[3:] else ''}")
    return 0


def _run(options: argparse.Namespace) -> int:
    if options.output is not None and Path(options.output).suffix != ".npz":
        raise UnsupportedConfig(f"{options.output}: expected a name that ends in .npz")
    loaded = load(options.file, options.backend)
    missing = [image for image in options.images if not Path(image).is_file()]
    if missing:
        raise InputError(f"no such image file: {', '.join(missing)}")
    outputs = loaded(options.images)
    for name, value in outputs.items():
        print(f"{name}: {value.dtype} {list(value.shape)}")
    if loaded.plan.labels and not loaded.plan.group:  # a row of the outputs is an image's
        for i, image in enumerate(options.images):
            report.top(image, {name: value[i] for name, value in outputs.items()}, loaded.plan.labels)
    if options.output is not None:
        import numpy as np

        with artifact.atomic(options.output) as temporary:
            np.savez(temporary, **outputs)
        print(f"wrote {options.output}")
    return 0


def _bench(options: argparse.Namespace) -> int:
    sizes = [_size(size) for size in options.size or ()]
    pairs = [(s["height"], s["width"]) if isinstance(s, dict) else (s, s) for s in sizes]
    progress = functools.partial(report.progress, doing="timing")
    with contextlib.ExitStack() as stack:
        if options.plot is not None:
            from . import chart

            chart.check(options.plot)
            temporary = stack.enter_context(artifact.atomic(options.plot))
        result = bench.measure(
            options.file, pairs, options.backend or (), options.rounds, options.threads, options.batch,
            not options.no_peers, progress,
        )  # fmt: skip
        if options.json:
            report.clear()
            print(json.dumps(result.to_json()))
        else:
            report.timings(result)
        if options.plot is not None:
            chart.draw(result, temporary)
    if options.plot is not None and not options.json:
        print(f"wrote {options.plot}")
    return 0


def _presets(options: argparse.Namespace) -> int:
    plans = {name: exporter.trace(name) for name in PRESETS}
    if options.json:
        print(
            json.dumps([{"name": n, "checkpoint": PRESETS[n].checkpoint, "family": p.family} for n, p in plans.items()])
        )
        return 0
    report.presets([(name, plan, PRESETS[name].checkpoint) for name, plan in plans.items()])
    return 0


def _coverage(options: argparse.Namespace) -> int:
    if options.json:
        print(json.dumps([asdict(row) for row in coverage.coverage()]))
    else:
        print(coverage.markdown())
    return 0
