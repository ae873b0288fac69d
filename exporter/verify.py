"""Checks an artifact against the PIL reference, value for value."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from runtime import artifact
from runtime.errors import ArtifactError, InputError, ParityError
from runtime.image import to_arrays
from runtime.ops import CenterCrop, ConvertRGB, Interpolate, Pad, Resize, ResizeKeras, ResizeOpenCV, ResizeSmoothed
from runtime.plan import Plan
from runtime.preprocessor import Preprocessor

Array = np.ndarray[Any, Any]
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        backend: what ran.
        image: the image's size or name.
        values: how many were compared; 0 where the reference refuses the image, and the backend did so too.
        differing: how many were not equal, or not within the Plan's bound; -1 where the shapes, the dtypes or the
            refusals differ.
    """

    backend: str
    image: str
    values: int
    differing: int


def sizes(plan: Plan) -> tuple[tuple[int, int], ...]:
    """The (height, width) that :func:`verify` tries: both orientations, square, equal to the target and one off it,
    odd, tiny, 1:20 and 20:1, larger than the rest, and 12 megapixels; of a Plan for one size, that one."""
    if plan.input_size is not None:
        return (plan.input_size,)
    height, width = 224, 224
    for step in plan.steps:
        if isinstance(step, (Resize, ResizeKeras, ResizeOpenCV, ResizeSmoothed, Interpolate)):
            height, *more = (number for _, number in step.size.numbers)
            width = more[0] if more else height
        elif isinstance(step, (CenterCrop, Pad)):
            height, width = step.fixed_size or (height, width)
    around = ((height, width), (height + 1, max(width - 1, 1)), (max(height - 1, 1), width + 1))
    others = ((480, 640), (640, 480), (300, 200), (64, 64), (97, 131), (31, 33), (1, 1), (2, 5), (40, 800), (800, 40))
    return tuple(dict.fromkeys((*others, *around, (1080, 1920), (3000, 4000))))


def verify(
    path: str | os.PathLike[str],
    images: Iterable[Any] = (),
    backends: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> tuple[Row, ...]:
    """Runs a file on noise of many sizes, and on ``images``, and compares every value with the PIL reference's.

    A file with a model in it is compared with the model alone behind the reference's preprocessing. Where that has a
    bound (:attr:`runtime.Plan.bound`), the model gets the graph's values instead, which are compared with it first.

    Args:
        path: an artifact.
        images: more images to try, of any kind that :func:`runtime.load`'s result takes.
        backends: to check; the file's own by default.
        progress: called before each image with its number, their count and its size.

    Raises:
        ParityError: one value differs, or by more than the Plan's bound; its ``rows`` say where.
        ArtifactError: the file cannot be read.
    """
    path = Path(path)
    plan, fused = artifact.read(path)
    reference = _fused_reference(path, plan) if fused else Preprocessor(plan, "pil")._run.run
    own = "torchscript" if artifact.is_torchscript(path) else "onnx"  # `auto` may run something else
    ours = [Preprocessor(plan, b, path=path, fused=fused) for b in (backends or [own])]
    bound = 0.0 if fused else plan.bound
    generator = np.random.default_rng(0)
    cases: list[tuple[str, Array | tuple[int, int]]] = [(f"{h}x{w}", (h, w)) for h, w in sizes(plan)]
    convert = any(isinstance(step, ConvertRGB) for step in plan.steps)
    for i, image in enumerate(images):
        for array in to_arrays(image, convert, plan.channels):
            cases.append((_name(image, i), array))
    rows: list[Row] = []
    for number, (name, case) in enumerate(cases):
        if progress is not None:
            progress(number, len(cases), name)
        shape = (1, *case, plan.channels) if isinstance(case, tuple) else ()
        batch = case[None] if isinstance(case, np.ndarray) else generator.integers(0, 256, shape, np.uint8)
        expected = _outputs(reference, batch)
        rows += [_compare(p.backend, name, expected, _outputs(p._run.run, batch), bound) for p in ours]
    bad = [row for row in rows if row.differing]
    if bad:
        first = bad[0]
        values = (
            f"{first.differing} of {first.values} values differ" if first.differing > 0 else "the results' form differs"
        )
        raise ParityError(
            f"{path}: backend {first.backend} differs from the reference at {first.image}: {values}"
            + (f" (and at {len(bad) - 1} more)" if bad[1:] else ""),
            rows,
        )
    return tuple(rows)


def _name(image: Any, position: int) -> str:
    return Path(image).name if isinstance(image, (str, os.PathLike)) else f"image {position}"


def _outputs(run: Callable[[Array], dict[str, Any]], batch: Array) -> dict[str, Array] | None:
    """NumPy arrays by name; None where the image is refused."""
    try:
        return {k: v if isinstance(v, np.ndarray) else v.cpu().numpy() for k, v in run(batch).items()}
    except InputError:
        return None


def _compare(
    backend: str, name: str, expected: dict[str, Array] | None, got: dict[str, Array] | None, bound: float
) -> Row:
    if expected is None or got is None:
        return Row(backend, name, 0, 0 if got is expected else -1)
    values = sum(value.size for value in expected.values())
    form = [{k: (v.shape, v.dtype) for k, v in outputs.items()} for outputs in (expected, got)]
    if form[0] != form[1]:
        return Row(backend, name, values, -1)
    return Row(backend, name, values, sum(int(np.count_nonzero(~_same(v, got[k], bound))) for k, v in expected.items()))


def _same(expected: Array, got: Array, bound: float) -> Array:
    """Where two arrays agree: on the value, or to within ``bound`` times the largest absolute value, or times 1."""
    # A model may give NaN, which the same NaN answers.
    same: Array = np.equal(got, expected) | ((got != got) & (expected != expected))
    if bound:
        size = np.abs(expected)
        # Behind a cast, numbers that are close may be one step apart.
        limit = bound * max(1.0, float(size.max(initial=0))) + np.spacing(size).astype(np.float64)
        same |= np.abs(got.astype(np.float64) - expected.astype(np.float64)) <= limit
    return same


def _fused_reference(path: Path, plan: Plan) -> Callable[[Array], dict[str, Any]]:
    """The PIL reference, behind it the model of a fused file on its own, and the reference of its post-processing."""
    import onnx

    from .fuse import model_part
    from .postprocess import detach

    try:
        whole = onnx.load(path)
        behind = None if plan.postprocess is None else detach(whole, plan)
        model = model_part(whole)
    except (KeyError, StopIteration) as error:
        raise ArtifactError(f"{path}: its metadata does not fit its graph; export it again") from error
    session = _session(model)
    (image,) = session.get_inputs()
    names = [value.name for value in session.get_outputs()]
    reference = Preprocessor(plan, "pil")._run.run
    preprocess = _graph(plan, reference) if plan.bound else reference

    def run(batch: Array) -> dict[str, Any]:
        values = session.run(names, {image.name: preprocess(batch)[plan.output]})
        outputs = dict(zip(names, values, strict=True))
        return outputs if behind is None else behind(outputs, batch.shape[1:3])

    return run


def _graph(plan: Plan, reference: Callable[[Array], dict[str, Any]]) -> Callable[[Array], dict[str, Any]]:
    """The Plan's own graph, whose values are compared with the reference's: what a model makes of their difference has
    no bound."""
    from .onnx import build

    session = _session(build(replace(plan, layout="NHWC")))

    def run(batch: Array) -> dict[str, Any]:
        expected = reference(batch)
        got = dict(zip(plan.outputs, session.run(None, {"images": batch}), strict=True))
        row = _compare("onnx", "x".join(map(str, batch.shape[1:3])), expected, got, plan.bound)
        if row.differing:
            raise ParityError(
                f"the preprocessing differs from the reference at {row.image}: {row.differing} of {row.values} values"
                f" by more than {plan.bound:g}",
                (row,),
            )
        return got

    return run


def _session(model: Any) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
