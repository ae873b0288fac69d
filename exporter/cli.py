"""The ``export-preprocessor`` command.

Exit codes: 0 done, 1 values differ, 2 bad usage or input. An error is a line that says what to do.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import inspect
import io
import json
import os
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import exporter
from models.config import UnreadKeyWarning
from models.presets import PRESETS
from models.sources import labels, read_json
from runtime import artifact
from runtime.errors import ArtifactError, InputError, ParityError, PreprocessorError, UnsupportedConfig
from runtime.plan import Plan
from runtime.postprocess import Postprocess
from runtime.preprocessor import load

from . import bench, bench_jpeg, bench_start, coverage, report
from .atomic import atomic
from .flags import FORMATS, SOURCE_FLAGS, build_parser
from .fused import model_summary
from .trace import make_plan


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line ``argv``; the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # labels that the terminal cannot show
    parser = build_parser(COMMANDS)
    if arguments and arguments[0] not in (*COMMANDS, "-h", "--help", "--version"):
        arguments.insert(0, "export")
    try:
        options = parser.parse_args(arguments)
    except SystemExit as stop:
        return int(stop.code or 0)
    try:
        code: int = options.run(options)
        sys.stdout.flush()
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
    except BrokenPipeError:  # "| head" has seen enough; Python would write what is left once more, at its exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if options.traceback:
            raise
        return _fail(f"unexpected {type(error).__name__}: {error}; --traceback shows where", 1)


def _fail(message: str, code: int) -> int:
    report.clear()
    for line in message.splitlines():
        print(f"export-preprocessor: {line}", file=sys.stderr)
    return code


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


def _pair(item: str) -> tuple[str, str]:
    """Of ``--map``; the model's names may hold any sign."""
    left, equals, right = item.partition("=")
    if not equals or not left or not right:
        raise UnsupportedConfig(f"--map: expected NAME=MODEL'S NAME, such as pixel_values=input, got {item!r}")
    return left, right


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
    if options.map and options.model is None:
        raise UnsupportedConfig("--map: says what a model's inputs are called: give --model too")
    plan = _trace(options)
    if options.labels:
        plan = _with_labels(plan, Path(options.labels))
    report.plan(plan)
    with atomic(path) as temporary:
        if kind == "onnx":
            names = dict(_pair(item) for item in options.map)
            exporter.to_onnx(
                plan, temporary, options.model, opset=options.opset, postprocess=options.postprocess, map=names
            )
            if options.model is not None:
                from .fusing.data import check_target

                check_target(Path(options.model), path)
        else:
            exporter.to_torchscript(plan, temporary)
        if not options.no_verify:
            try:
                report.table(exporter.verify(temporary, progress=report.progress))
            except ParityError as error:
                message = str(error).replace(str(temporary), str(path))
                raise ParityError(f"{message}; the file was not written", error.rows) from error
            except ArtifactError as error:
                raise ArtifactError(str(error).replace(str(temporary), str(path))) from error
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
        first, *lines = str(model_summary(options.source)).splitlines()
        print(f" then the model in the file: {first}", *(f"  {line}" for line in lines), sep="\n")
    if plan.postprocess is not None:
        print(f" then {plan.postprocess}")
    if plan.labels:
        print(f" {len(plan.labels)} labels: {', '.join(plan.labels[:3])}{', …' if plan.labels[3:] else ''}")
    return 0


def _run(options: argparse.Namespace) -> int:
    if options.output is not None and Path(options.output).suffix != ".npz":
        raise UnsupportedConfig(f"{options.output}: expected a name that ends in .npz")
    if options.max_pixels is not None and options.max_pixels < 1:
        raise UnsupportedConfig(f"--max-pixels: expected a number above 0, got {options.max_pixels}")
    loaded = load(options.file, options.backend, max_pixels=options.max_pixels)
    missing = [image for image in options.images if not Path(image).is_file()]
    if missing:
        raise InputError(f"no such image file: {', '.join(missing)}")
    post = loaded.plan.postprocess
    if post is not None and not set(post.outputs) <= set(loaded.output_names):
        raise ArtifactError(f"{options.file}: gives {', '.join(loaded.output_names)}, which '{post}' does not")
    drawing = None if options.draw is None else _drawing(options, post)
    chosen = {} if options.threshold is None else {"threshold": options.threshold}
    if chosen and (post is None or "threshold" not in inspect.signature(post.result).parameters):
        raise UnsupportedConfig(f"--threshold: {options.file} finds no objects that have scores")
    outputs = loaded(options.images, return_tensors="np" if post is None or options.output is not None else None)
    for name, value in outputs.items():
        print(f"{name}: {_described(value)}")
    count = len(options.images) if post is None else len(outputs[next(iter(post.outputs))])
    for image, row in zip(options.images, _rows(outputs, count), strict=not loaded.plan.group):
        if post is not None:
            result = post.result(row, loaded.plan.labels, **chosen)
            report.prediction(image, result)
            if drawing is not None:
                drawing(image, result)
        elif loaded.plan.labels and not loaded.plan.group:  # a row of the outputs is an image's
            report.top(image, row, loaded.plan.labels)
    if options.output is not None:
        import numpy as np

        with atomic(options.output) as temporary:
            np.savez(temporary, **outputs)
        print(f"wrote {options.output}")
    return 0


def _described(value: Any) -> str:
    """The dtype and the shape of a batch, or those in a list of arrays."""
    if not isinstance(value, list):
        return f"{value.dtype} {list(value.shape)}"
    shapes = sorted({row.shape for row in value})
    count = len(value) if len(shapes) == 1 else 1
    return f"{value[0].dtype} {' and '.join(str([count, *shape]) for shape in shapes)}"


def _rows(outputs: Mapping[str, Any], count: int) -> list[dict[str, Any]]:
    """The outputs of each image, without those that a model gives once for all."""
    columns = {name: value for name, value in outputs.items() if getattr(value, "ndim", 1) and len(value) == count}
    return [{name: column[i] for name, column in columns.items()} for i in range(count)]


def _drawing(options: argparse.Namespace, post: Postprocess | None) -> Callable[[str, Any], None]:
    """What draws a result over its image into ``--draw``."""
    from . import draw

    if post is None:
        raise UnsupportedConfig(f"--draw: {options.file} has no post-processing, so there is nothing to draw")
    if len(options.images) != 1:
        raise UnsupportedConfig(f"--draw: expected one image, got {len(options.images)}")
    draw.check(options.draw)

    def over(image: str, result: Any) -> None:
        with atomic(options.draw) as temporary:
            draw.draw(image, result, temporary)
        print(f"wrote {options.draw}")

    return over


def _bench(options: argparse.Namespace) -> int:
    if options.start != "decoded":
        return _bench_jpeg(options) if options.start == "jpeg" else _bench_start(options)
    if options.images is not None:
        raise UnsupportedConfig("--images: says which JPEGs to start from: give --from jpeg too")
    sizes = [_size(size) for size in options.size or ()]
    pairs = [(s["height"], s["width"]) if isinstance(s, dict) else (s, s) for s in sizes]
    progress = functools.partial(report.progress, doing="timing")
    with contextlib.ExitStack() as stack:
        if options.plot is not None:
            from . import chart

            chart.check(options.plot)
            temporary = stack.enter_context(atomic(options.plot))
        result = bench.measure(
            options.file, pairs, options.backend or (), bench.ROUNDS if options.rounds is None else options.rounds,
            options.threads, 1 if options.batch is None else options.batch, not options.no_peers, progress,
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


def _bench_jpeg(options: argparse.Namespace) -> int:
    for flag in ("size", "plot"):
        if getattr(options, flag) is not None:
            raise UnsupportedConfig(f"--{flag}: is for images of one size: leave out --from jpeg")
    result = bench_jpeg.measure(
        options.file, options.images or (), options.backend or (), options.rounds, options.threads, options.batch,
        not options.no_peers, functools.partial(report.progress, doing="timing"),
    )  # fmt: skip
    if options.json:
        report.clear()
        print(json.dumps(result.to_json()))
    else:
        report.encoded(result)
    return 0


def _bench_start(options: argparse.Namespace) -> int:
    for flag in ("images", "size", "threads", "batch", "plot"):
        if getattr(options, flag) is not None:
            raise UnsupportedConfig(f"--{flag}: has no meaning with --from start")
    starts = bench_start.measure(options.file, options.backend or (), options.rounds)
    if options.json:
        print(json.dumps([start.to_json() for start in starts]))
    else:
        report.starts(starts)
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


COMMANDS: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "export": _export,
    "verify": _verify,
    "inspect": _inspect,
    "run": _run,
    "bench": _bench,
    "presets": _presets,
    "coverage": _coverage,
}
