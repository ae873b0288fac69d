"""A fused file taken apart: what its preprocessing gives alone, and what follows from that."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper

from runtime import artifact
from runtime.errors import ArtifactError, InputError
from runtime.fusion import Fusion
from runtime.plan import Plan

from ..postprocess import detach
from .data import check_data
from .match import describe, dtype_name, required
from .names import needed

Array = np.ndarray[Any, Any]

FREE = 3
"""Length of an axis that an input leaves open."""


class Parts:
    """The two halves of a fused file, each in a session of onnxruntime.

    Attributes:
        inputs: of the model, besides what the preprocessing gives; without those that have a default.

    Raises:
        ArtifactError: the file is not whole, or onnxruntime cannot load it.
    """

    def __init__(self, path: Path, plan: Plan) -> None:
        model = onnx.load(path, load_external_data=False)
        self._sides = slice(1, 3) if plan.layout == "NHWC" else slice(2, 4)
        self._behind = None if plan.postprocess is None else detach(model, plan)
        props = {entry.key: entry.value for entry in model.metadata_props}
        self.fusion = Fusion.from_json(props.get(artifact.FUSED_KEY, "null"))
        check_data(model, path)
        known = {value.name: value for value in model.graph.value_info}
        if not self.fusion.values or not set(self.fusion.values.values()) <= set(known):
            raise ArtifactError(f"{path}: its metadata does not fit its graph; export it again")
        values = [known[name] for name in self.fusion.values.values()]
        inputs = required(model.graph)
        self.inputs = [value for value in inputs if value.name != "images"]
        self._path = path
        self._values = list(self.fusion.values.values())
        self._head_part = _part(model, inputs, values)
        self._tail = self._session(_part(model, [*values, *inputs], list(model.graph.output)))
        self.output_names = [value.name for value in self._tail.get_outputs()]

    @functools.cached_property
    def _head(self) -> Any:
        """Opened where it is needed only."""
        return self._session(self._head_part)

    def preprocess(self, images: Array) -> dict[str, Array]:
        """What the model's part takes of the Plan's outputs, computed from the file's ``images``."""
        return dict(zip(self.fusion.values, self._run(self._head, {"images": images}), strict=True))

    def finish(self, outputs: Mapping[str, Array], images: Array, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The file's outputs, from the Plan's, the file's ``images`` and the model's other inputs.

        The post-processing is its NumPy reference.
        """
        values = {value: outputs[name] for name, value in self.fusion.values.items()}
        feeds = {"images": images, **inputs, **values}
        given = dict(zip(self.output_names, self._run(self._tail, feeds), strict=True))
        results = given if self._behind is None else self._behind(given, images.shape[self._sides])
        return {name: value[None] if self.fusion.unbatched else value for name, value in results.items()}

    def _run(self, session: Any, feeds: Mapping[str, Array]) -> list[Array]:
        taken = {value.name for value in session.get_inputs()}
        try:
            results: list[Array] = session.run(None, {name: feeds[name] for name in taken})
        except Exception as error:  # onnxruntime's errors have no common base but Exception
            raise InputError(str(error).strip().splitlines()[0][:200]) from error
        return results

    def _session(self, model: onnx.ModelProto) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(self._path.parent))
        try:
            return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # as above
            reason = str(error).strip().splitlines()[0][:200]
            raise ArtifactError(f"{self._path}: onnxruntime cannot load a part of it ({reason})") from error


def _part(
    model: onnx.ModelProto, inputs: Sequence[onnx.ValueInfoProto], outputs: Sequence[onnx.ValueInfoProto]
) -> onnx.ModelProto:
    """The nodes between ``inputs`` and ``outputs``, without the inputs that they do not need."""
    given = {value.name for value in inputs}
    nodes, names = needed(model.graph.node, [value.name for value in outputs], given)
    defaults = [value for value in model.graph.input if value.name not in given]
    inside = names - given
    graph = helper.make_graph(
        nodes,
        model.graph.name or "part",
        [value for value in (*inputs, *defaults) if value.name in names],
        outputs,
        [tensor for tensor in model.graph.initializer if tensor.name in inside],
        value_info=[value for value in model.graph.value_info if value.name in inside],
        sparse_initializer=[tensor for tensor in model.graph.sparse_initializer if tensor.values.name in inside],
    )
    imports = list(model.opset_import)
    return helper.make_model(graph, functions=model.functions, opset_imports=imports, ir_version=model.ir_version)


def random_inputs(values: Sequence[onnx.ValueInfoProto], rows: int, seed: int) -> dict[str, Array] | None:
    """Zeros and ones for a model's other inputs, which are indices, masks and numbers alike; ``None`` where one is no
    tensor of a known number of axes. The batch's axis has ``rows``."""
    generator, found = np.random.default_rng(seed), {}
    for value in values:
        described = describe(value)
        if value.type.WhichOneof("value") != "tensor_type" or described.shape is None:
            return None
        try:
            dtype = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        except KeyError:
            return None
        shape = [n if isinstance(n, int) else rows if n in ("batch", "groups") else FREE for n in described.shape]
        if dtype.hasobject or dtype_name(value.type.tensor_type.elem_type).startswith(("bfloat", "float8", "string")):
            return None
        found[value.name] = generator.integers(0, 2, shape).astype(dtype)
    return found
