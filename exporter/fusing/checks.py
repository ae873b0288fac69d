"""What a file with a model in it is compared with: its own model, behind the reference's preprocessing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from runtime import artifact
from runtime.errors import ArtifactError, InputError, ParityError
from runtime.plan import Plan
from runtime.preprocessor import Preprocessor

from ..verify import Row, compare, outputs
from .parts import Parts, random_inputs

if TYPE_CHECKING:
    from .script_parts import ScriptParts

Array = np.ndarray[Any, Any]

WITHOUT = "{}, without its model"
"""A row's backend where only the preprocessing could be compared."""


class FusedChecks:
    """:class:`exporter.verify.Checks` of a fused file."""

    def __init__(self, path: Path, plan: Plan, ours: Sequence[Preprocessor]) -> None:
        self._path, self._plan, self._ours = path, plan, ours
        self._parts: Parts | ScriptParts
        if artifact.is_torchscript(path):
            from .script_parts import ScriptParts

            self._parts = ScriptParts(path, plan)
        else:
            self._parts = Parts(path, plan)
        self._reference = Preprocessor(plan, "pil")._run.run
        self._error: InputError | None = None
        fusion = self._parts.fusion
        length = (fusion.length or 2) if fusion.group else 1
        self.batch = fusion.batch or (max(length, 2) if plan.group else 1)
        self._rows = range(self.batch // length)
        self._inputs = random_inputs(self._parts.inputs, len(self._rows), 0)

    def rows(self, name: str, images: Array) -> list[Row]:
        try:
            reference = self._reference(images)
        except InputError:
            return [compare(p.backend, name, None, self._run(p, images), 0.0) for p in self._ours]
        expected = self._expected(reference, images)
        if expected is None and self._parts.inputs:  # the model wants other values than those at random
            got = self._parts.preprocess(self._laid_out(images))
            wanted = {key: reference[key] for key in got}
            return [compare(WITHOUT.format(p.backend), name, wanted, got, self._plan.bound) for p in self._ours]
        return [compare(p.backend, name, expected, self._run(p, images), 0.0) for p in self._ours]

    def finish(self, rows: Sequence[Row]) -> None:
        """Raises ``ArtifactError`` where the model ran on no image."""
        if self._error is not None and not any(row.values for row in rows):
            raise ArtifactError(f"{self._path}: the model fails on every image: {self._error}") from self._error

    def _expected(self, reference: Mapping[str, Array], images: Array) -> dict[str, Array] | None:
        """What the model makes of the reference's values; ``None`` where it does not run."""
        if self._plan.bound:
            reference = self._own(reference, images)
        if self._inputs is None:
            return None
        try:
            return self._parts.finish(reference, self._laid_out(images), self._inputs)
        except InputError as error:
            self._error = error
            return None

    def _own(self, reference: Mapping[str, Array], images: Array) -> dict[str, Array]:
        """The file's own values, compared with the reference's: what a model makes of their difference has no bound."""
        got = self._parts.preprocess(self._laid_out(images))
        wanted = {key: reference[key] for key in got}
        row = compare("onnx", "x".join(map(str, images.shape[1:3])), wanted, got, self._plan.bound)
        if row.differing:
            raise ParityError(
                f"the preprocessing differs from the reference at {row.image}: {row.differing} of {row.values} values"
                f" by more than {self._plan.bound:g}",
                (row,),
            )
        return got

    def _run(self, preprocessor: Preprocessor, images: Array) -> dict[str, Array] | None:
        try:
            if self._inputs:
                backend: Any = preprocessor._run
                return dict(backend.run_with(images, self._inputs, self._rows))
            return outputs(preprocessor._run.run, images)
        except InputError:
            return None

    def _laid_out(self, images: Array) -> Array:
        channels_first = self._plan.layout == "NCHW"
        return np.ascontiguousarray(images.transpose(0, 3, 1, 2) if channels_first else images)
