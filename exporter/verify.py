"""Checks an artifact against the PIL reference, value for value."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from runtime import artifact
from runtime.errors import InputError, ParityError
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
    odd, tiny, 1:20 and 20:1, larger than the rest, and 12 megapixels, but where post-processing may make a map a class
    of these; of a Plan for one size, that one."""
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
    largest = ((1080, 1920),) if plan.postprocess else ((1080, 1920), (3000, 4000))
    return tuple(dict.fromkeys((*others, *around, *largest)))


def verify(
    path: str | os.PathLike[str],
    images: Iterable[Any] = (),
    backends: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> tuple[Row, ...]:
    """Runs a file on noise of many sizes, and on ``images``, and compares every value with the PIL reference's.

    A file with a model in it is compared with the model alone behind the reference's preprocessing. Where that has a
    bound (:attr:`runtime.Plan.bound`), the model gets the file's own values instead, which are compared with it first.
    Other inputs of the model get zeros and ones at random; where it does not run on these, the preprocessing alone is
    compared, and the rows say so.

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
    scripted = artifact.is_torchscript(path)
    own = "torchscript" if scripted else "onnx"  # `auto` may run something else
    ours = [Preprocessor(plan, b, path=path, fused=fused) for b in (backends or [own])]
    checks: Checks
    if fused:
        from .fusing.checks import FusedChecks

        checks = FusedChecks(path, plan, ours)
    else:
        checks = PlainChecks(plan, ours)
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
        shape = (checks.batch, *(case if isinstance(case, tuple) else case.shape[:2]), plan.channels)
        given = np.broadcast_to(case, shape) if isinstance(case, np.ndarray) else None
        rows += checks.rows(name, generator.integers(0, 256, shape, np.uint8) if given is None else given)
    checks.finish(rows)
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


class Checks(Protocol):
    """What a file is compared with. ``batch`` is how many images it takes at once."""

    batch: int

    def rows(self, name: str, images: Array) -> list[Row]:
        """The comparison of one batch, uint8 ``[N, H, W, C]``; a row for each backend."""
        ...

    def finish(self, rows: Sequence[Row]) -> None:
        """Called with all rows."""
        ...


class PlainChecks:
    """The PIL reference, for a file without a model."""

    batch = 1

    def __init__(self, plan: Plan, ours: Sequence[Preprocessor]) -> None:
        self._ours, self._bound = ours, plan.bound
        self._reference = Preprocessor(plan, "pil")._run.run

    def rows(self, name: str, images: Array) -> list[Row]:
        expected = outputs(self._reference, images)
        return [compare(p.backend, name, expected, outputs(p._run.run, images), self._bound) for p in self._ours]

    def finish(self, rows: Sequence[Row]) -> None:
        pass


def _name(image: Any, position: int) -> str:
    return Path(image).name if isinstance(image, (str, os.PathLike)) else f"image {position}"


def outputs(run: Callable[[Array], dict[str, Any]], batch: Array) -> dict[str, Array] | None:
    """NumPy arrays by name; None where the image is refused."""
    try:
        return {k: v if isinstance(v, np.ndarray) else v.cpu().numpy() for k, v in run(batch).items()}
    except InputError:
        return None


def compare(
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
