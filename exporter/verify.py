"""Checks an artifact against the PIL reference, value for value."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from runtime import artifact
from runtime.errors import ArtifactError, InputError, ParityError
from runtime.image import to_rgb
from runtime.ops import CenterCrop, ConvertRGB, Pad, Resize
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
        differing: how many were not equal; -1 where the shapes, the dtypes or the refusals differ.
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
        if isinstance(step, Resize):
            numbers = list(step.size.to_json().values())
            height, width = numbers[0], numbers[-1]
        elif isinstance(step, (CenterCrop, Pad)):
            height, width = step.height, step.width
    around = ((height, width), (height + 1, max(width - 1, 1)), (max(height - 1, 1), width + 1))
    others = ((480, 640), (640, 480), (300, 200), (97, 131), (31, 33), (1, 1), (2, 5), (40, 800), (800, 40))
    return tuple(dict.fromkeys((*others, *around, (1080, 1920), (3000, 4000))))


def verify(
    path: str | os.PathLike[str],
    images: Iterable[Any] = (),
    backends: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> tuple[Row, ...]:
    """Runs a file on noise of many sizes, and on ``images``, and compares every value with the PIL reference's.

    A file with a model in it is compared with the model alone behind the reference's preprocessing.

    Args:
        path: an artifact.
        images: more images to try, of any kind that :func:`runtime.load`'s result takes.
        backends: to check; the file's own by default.
        progress: called before each image with its number, their count and its size.

    Raises:
        ParityError: one value differs; its ``rows`` say where.
        ArtifactError: the file cannot be read.
    """
    path = Path(path)
    plan, fused = artifact.read(path)
    reference = _fused_reference(path, plan) if fused else Preprocessor(plan, "pil")._run.run
    own = "torchscript" if artifact.is_torchscript(path) else "onnx"  # `auto` may run something else
    ours = [Preprocessor(plan, b, path=path, fused=fused) for b in (backends or [own])]
    generator = np.random.default_rng(0)
    cases: list[tuple[str, Array | tuple[int, int]]] = [(f"{h}x{w}", (h, w)) for h, w in sizes(plan)]
    convert = any(isinstance(step, ConvertRGB) for step in plan.steps)
    for i, image in enumerate(images):
        for array in to_rgb(image, convert):
            cases.append((_name(image, i), array))
    rows: list[Row] = []
    for number, (name, case) in enumerate(cases):
        if progress is not None:
            progress(number, len(cases), name)
        batch = generator.integers(0, 256, (1, *case, 3), np.uint8) if isinstance(case, tuple) else case[None]
        expected = _outputs(reference, batch)
        rows += [_compare(p.backend, name, expected, _outputs(p._run.run, batch)) for p in ours]
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


def _compare(backend: str, name: str, expected: dict[str, Array] | None, got: dict[str, Array] | None) -> Row:
    if expected is None or got is None:
        return Row(backend, name, 0, 0 if got is expected else -1)
    values = sum(value.size for value in expected.values())
    form = [{k: (v.shape, v.dtype) for k, v in outputs.items()} for outputs in (expected, got)]
    if form[0] != form[1]:
        return Row(backend, name, values, -1)
    # A model may give NaN, which the same NaN answers.
    same = [np.equal(got[k], v) | ((got[k] != got[k]) & (v != v)) for k, v in expected.items()]
    return Row(backend, name, values, sum(int(np.count_nonzero(~s)) for s in same))


def _fused_reference(path: Path, plan: Plan) -> Callable[[Array], dict[str, Any]]:
    """The PIL reference, and behind it the model of a fused file on its own."""
    import onnx
    import onnxruntime

    from .fuse import model_part

    try:
        model = model_part(onnx.load(path))
    except (KeyError, StopIteration) as error:
        raise ArtifactError(f"{path}: its metadata does not fit its graph; export it again") from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    (image,) = session.get_inputs()
    names = [value.name for value in session.get_outputs()]
    reference = Preprocessor(plan, "pil")._run.run

    def run(batch: Array) -> dict[str, Any]:
        values = session.run(names, {image.name: reference(batch)["pixel_values"]})
        return dict(zip(names, values, strict=True))

    return run
