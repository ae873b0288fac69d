"""The library: trace, to_module, to_onnx and to_torchscript, and the files that they write."""

import importlib.util
import os
import pathlib
import subprocess
import sys
import textwrap
import time
import warnings
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import PIL
import pytest
import torch
from onnx import TensorProto

import exporter
from exporter.onnx import OPSETS
from exporter.trace import installed_pillow
from models.presets import PRESETS
from runtime import ArtifactError, BackendUnavailable, UnsupportedConfig, artifact, checksum
from runtime.backends.pil import PilBackend
from runtime.ops import Cast, Resize
from runtime.preprocessor import Preprocessor

from .helpers import assert_equal, noise

ROOT = pathlib.Path(exporter.__file__).parents[1]
SMALL = {"size": {"height": 32, "width": 48}}
IMAGES = (noise(37, 53), noise(90, 41), noise(1, 1), noise(64, 20))


def small(**more):
    return exporter.trace("vit-base-patch16-224", **{**SMALL, **more})


def reference(plan, images):
    """uint8 images ``[H, W, 3]`` of one size as backend ``pil`` gives them."""
    return PilBackend(plan).run(np.stack(images))["pixel_values"]


def session(path):
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def python(code, folder, *arguments, path=None):
    """A fresh Python in ``folder``, which is first on its path, as for scripts in it."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= {"PYTHONPATH": str(path)} if path else {}
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


# trace


def test_the_plan_records_what_was_asked_for():
    plan = small(reference="pillow12.2", layout="NCHW", dtype="float16")
    assert (plan.reference, plan.layout, plan.family) == ("pillow12.2", "NCHW", "ViT")
    assert [step.order for step in plan.steps if isinstance(step, Resize)] == ["pillow12.2"]
    assert plan.steps[-1] == Cast("float16")
    assert small().steps[-1] != Cast("float32")


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("9.5.0", "pillow12.1"),
        ("11.3.0", "pillow12.1"),
        ("12.1.1", "pillow12.1"),
        ("12.2.0", "pillow12.2"),
        ("12.3.0", "pillow12.2"),
        ("12.10.0", "pillow12.2"),
        ("13.0.0", "pillow13"),
        ("13.0.0.dev0", "pillow13"),
        ("14.1.2", "pillow13"),
    ],
)
def test_pillow_means_the_installed_one(monkeypatch, version, expected):
    monkeypatch.setattr(PIL, "__version__", version)
    assert installed_pillow() == expected
    assert small().reference == expected
    assert small(reference="pillow").steps[0].order == expected
    assert small(reference="pillow13").reference == "pillow13"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reference": "pillow14"}, "reference: expected pillow, pillow13, pillow12.2, pillow12.1, torchvision; got"),
        (
            {"reference": "pillow13", "type": "Tipsv2"},
            "reference: transformers has no PIL class for Tipsv2: use torchv",
        ),
        ({"layout": "CHW"}, "layout: expected NHWC or NCHW, got 'CHW'"),
        ({"dtype": "float64"}, "dtype: expected one of float32, float16, got 'float64'"),
        ({"dtype": "uint8"}, "dtype: expected"),
        ({"type": "Nothing"}, "type: 'Nothing' is not supported"),
        ({"sizes": 3}, "sizes: ViT has no such key (did you mean 'size'?)"),
        ({"size": 0}, "size.height: expected an integer from 1"),
    ],
    ids=str,
)
def test_what_trace_refuses(options, message):
    with pytest.raises(UnsupportedConfig) as caught:
        small(**options)
    assert str(caught.value).startswith(message)


def test_a_family_without_a_pil_class_is_torchvisions():
    assert small(type="Tipsv2").reference == "torchvision"
    assert small(reference="torchvision").reference == "torchvision"


def test_trace_takes_paths(tmp_path):
    (tmp_path / "preprocessor_config.json").write_text('{"image_processor_type": "ViTImageProcessor"}')
    assert exporter.trace(tmp_path).steps == exporter.trace(str(tmp_path / "preprocessor_config.json")).steps


def test_a_graph_that_gives_uint8_can_be_cast():
    plan = small(do_rescale=False, do_normalize=False, dtype="float16")
    assert reference(plan, IMAGES[:1]).dtype == np.float16


def test_the_public_names():
    assert exporter.__all__ == [
        "register_transformers",
        "save_config",
        "to_module",
        "to_onnx",
        "to_torchscript",
        "trace",
        "verify",
    ]


# to_module


@pytest.mark.parametrize("options", [{}, {"dtype": "float16"}, {"do_rescale": False, "do_normalize": False}], ids=str)
def test_a_module_takes_either_layout(options):
    plan = small(**options)
    module = exporter.to_module(plan)
    assert not module.training
    for image in IMAGES:
        images = torch.from_numpy(image[None])
        expected = reference(plan, [image])
        for layout in (images.permute(0, 3, 1, 2), *([images] if image.shape[0] != 3 else [])):
            outputs = module(layout)
            assert list(outputs) == ["pixel_values"]
            assert_equal(outputs["pixel_values"], expected, f"{tuple(layout.shape)}")


def test_a_module_runs_on_a_batch():
    images = np.stack([noise(37, 53, seed) for seed in range(3)])
    outputs = exporter.to_module(small())(torch.from_numpy(images))
    assert_equal(outputs["pixel_values"], reference(small(), images), "batch")


# to_onnx: the file


@pytest.fixture(scope="module", params=PRESETS)
def preset(request, tmp_path_factory):
    """A preset's Plan and its ONNX file, as a path and as a model."""
    plan = exporter.trace(request.param)
    path = tmp_path_factory.mktemp("onnx") / f"{request.param}.onnx"
    exporter.to_onnx(plan, path)
    return plan, path, onnx.load(path)


def every_node(nodes):
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                yield from every_node(graph.node)


def test_the_file_is_small(preset):
    _, path, _ = preset
    assert path.stat().st_size < 100_000


def test_the_file_is_valid_onnx_of_opset_18(preset):
    _, _, model = preset
    onnx.checker.check_model(model, full_check=True)
    assert {entry.domain: entry.version for entry in model.opset_import}[""] == 18
    inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    assert signature(inferred.graph.output) == signature(model.graph.output)


def signature(values):
    return {
        value.name: (
            value.type.tensor_type.elem_type,
            [dim.dim_value or dim.dim_param for dim in value.type.tensor_type.shape.dim],
        )
        for value in values
    }


def test_inputs_and_outputs_are_those_of_the_contract(preset):
    plan, _, model = preset
    height, width = reference(plan, IMAGES[:1]).shape[2:]
    static = reference(plan, IMAGES[1:2]).shape[2:] == (height, width)
    size = [height, width] if static else ["output_height", "output_width"]
    assert signature(model.graph.input) == {"images": (TensorProto.UINT8, ["batch", "height", "width", 3])}
    outputs = signature(model.graph.output)
    assert tuple(outputs) == plan.outputs
    assert outputs.pop("pixel_values") == (TensorProto.FLOAT, ["batch", 3, *size])
    masks = {"pixel_mask": (TensorProto.INT64, ["batch", "pixel_mask_height", "pixel_mask_width"])}
    numbers = dict.fromkeys(("original_sizes", "reshaped_input_sizes"), (TensorProto.INT64, ["batch", 2]))
    assert outputs.items() <= {**masks, **numbers}.items()


def test_every_node_has_a_name_of_its_own(preset):
    _, _, model = preset
    for nodes in (model.graph.node, *(function.node for function in model.functions)):
        names = [node.name for node in every_node(nodes)]
        assert all(names)
        assert len(set(names)) == len(names)


def test_the_file_needs_no_resize_and_no_custom_operator(preset):
    _, _, model = preset
    nodes = [*every_node(model.graph.node), *(n for f in model.functions for n in every_node(f.node))]
    own = {(function.domain, function.name) for function in model.functions}
    assert not [node.op_type for node in nodes if node.op_type in ("Resize", "Upsample", "GridSample")]
    assert all(node.domain in ("", "ai.onnx") or (node.domain, node.op_type) in own for node in nodes)
    assert not any(tensor.external_data for tensor in model.graph.initializer)


def test_the_plan_is_in_the_metadata(preset):
    plan, path, model = preset
    properties = {entry.key: entry.value for entry in model.metadata_props}
    assert properties.keys() == {artifact.PLAN_KEY, checksum.KEY}
    assert properties[artifact.PLAN_KEY] == plan.to_json()
    assert artifact.read(path) == (plan, False)
    assert session(path).get_modelmeta().custom_metadata_map == properties


@pytest.mark.parametrize(
    ("config", "size"),
    [
        ({"size": {"shortest_edge": 40}}, ["output_height", "output_width"]),
        ({"size": {"max_height": 40, "max_width": 50}}, ["output_height", "output_width"]),
        ({"do_resize": False}, ["output_height", "output_width"]),
        ({"size": {"shortest_edge": 40}, "do_center_crop": True, "crop_size": 30}, [30, 30]),
        ({"size": {"max_height": 40, "max_width": 50}, "do_pad": True, "pad_size": [60, 70]}, [60, 70]),
    ],
    ids=str,
)
def test_sizes_that_depend_on_the_image_are_named(config, size, tmp_path):
    exporter.to_onnx(small(**config), tmp_path / "a.onnx")
    output = signature(onnx.load(tmp_path / "a.onnx").graph.output)
    assert output["pixel_values"][1] == ["batch", 3, *size]


@pytest.mark.parametrize(
    ("options", "dtype"),
    [
        ({}, TensorProto.FLOAT),
        ({"dtype": "float16"}, TensorProto.FLOAT16),
        ({"do_rescale": False}, TensorProto.FLOAT),
        ({"do_normalize": False}, TensorProto.FLOAT),
        ({"do_rescale": False, "do_normalize": False}, TensorProto.UINT8),
        ({"do_rescale": False, "do_normalize": False, "do_resize": False}, TensorProto.UINT8),
    ],
    ids=str,
)
@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
def test_dtypes_and_layouts(options, dtype, layout, tmp_path):
    plan = small(layout=layout, **options)
    path = tmp_path / "a.onnx"
    exporter.to_onnx(plan, path)
    graph = onnx.load(path).graph
    axes = ["batch", "height", "width", 3] if layout == "NHWC" else ["batch", 3, "height", "width"]
    assert signature(graph.input)["images"] == (TensorProto.UINT8, axes)
    assert signature(graph.output)["pixel_values"][0] == dtype
    image = noise(37, 53)[None]
    feed = image if layout == "NHWC" else np.ascontiguousarray(image.transpose(0, 3, 1, 2))
    (got,) = session(path).run(None, {"images": feed})
    assert_equal(got, reference(plan, image), f"{options} {layout}")


@pytest.mark.parametrize("name", ["clip-vit-base-patch32", "vit-base-patch16-224"])
def test_one_file_serves_every_batch_height_and_width(name, tmp_path):
    plan = exporter.trace(name)
    exporter.to_onnx(plan, tmp_path / "a.onnx")
    run = session(tmp_path / "a.onnx").run
    for count, height, width in ((1, 37, 53), (3, 53, 37), (2, 224, 224), (5, 1, 1), (1, 300, 40), (4, 2, 90)):
        images = np.stack([noise(height, width, seed) for seed in range(count)])
        (got,) = run(None, {"images": images})
        assert_equal(got, reference(plan, images), f"{name}, {count} of {height}x{width}")


@pytest.mark.parametrize("opset", OPSETS)
def test_every_opset_that_is_offered(opset, tmp_path):
    plan = small(size={"shortest_edge": 40}, resample=1)
    exporter.to_onnx(plan, tmp_path / "a.onnx", opset=opset)
    model = onnx.load(tmp_path / "a.onnx")
    assert {entry.domain: entry.version for entry in model.opset_import}[""] == opset
    (got,) = session(tmp_path / "a.onnx").run(None, {"images": noise(90, 41)[None]})
    assert_equal(got, reference(plan, [noise(90, 41)]), f"opset {opset}")


@pytest.mark.parametrize("opset", [-1, 0, 13, OPSETS[-1] + 1, 99])
def test_other_opsets_are_refused(opset, tmp_path):
    with pytest.raises(ArtifactError, match=rf"opset: expected 14 to {OPSETS[-1]}, got {opset}"):
        exporter.to_onnx(small(), tmp_path / "a.onnx", opset=opset)
    assert list(tmp_path.iterdir()) == []


def test_the_same_plan_gives_the_same_bytes(tmp_path):
    for name in ("a.onnx", "b.onnx"):
        exporter.to_onnx(small(), tmp_path / name)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_labels_travel_with_the_file(tmp_path):
    plan = replace(small(), labels=("cat", "Émeu", "犬"))
    exporter.to_onnx(plan, tmp_path / "a.onnx")
    exporter.to_torchscript(plan, tmp_path / "a.pt")
    for name in ("a.onnx", "a.pt"):
        assert artifact.read(tmp_path / name)[0].labels == ("cat", "Émeu", "犬")


# Files by themselves.


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """A folder with both artifacts, four images and the reference's pixels, and nothing else."""
    folder = tmp_path_factory.mktemp("bare")
    plan = exporter.trace("clip-vit-base-patch32", size=40, crop_size=36)
    exporter.to_onnx(plan, folder / "a.onnx")
    exporter.to_torchscript(plan, folder / "a.pt")
    for i, image in enumerate(IMAGES):
        np.save(folder / f"image{i}.npy", image[None])
    return folder, [reference(plan, [image]) for image in IMAGES]


WITHOUT_US = """
import sys
import numpy as np

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("runtime", "models", "exporter"):
            raise ModuleNotFoundError(f"{name} is not here")

sys.meta_path.insert(0, Refuse())
"""
WITH_ONNXRUNTIME = """
import onnxruntime
run = onnxruntime.InferenceSession("a.onnx", providers=["CPUExecutionProvider"]).run
for i in range(4):
    np.save(f"onnx{i}.npy", run(["pixel_values"], {"images": np.load(f"image{i}.npy")})[0])
"""
WITH_TORCH = """
import torch
module = torch.jit.load("a.pt")
for i in range(4):
    images = torch.from_numpy(np.load(f"image{i}.npy"))
    np.save(f"torch{i}.npy", module(images.permute(0, 3, 1, 2))["pixel_values"].numpy())
"""


@pytest.mark.parametrize(("name", "code"), [("onnx", WITH_ONNXRUNTIME), ("torch", WITH_TORCH)])
def test_a_file_runs_where_this_package_is_not_installed(bare, name, code):
    folder, expected = bare
    done = python(WITHOUT_US + code, folder)
    assert done.returncode == 0, done.stderr
    for i, want in enumerate(expected):
        assert_equal(np.load(folder / f"{name}{i}.npy"), want, f"{name}, image {i}")


def test_the_refusal_above_works(bare):
    folder, _ = bare
    done = python(WITHOUT_US + "import runtime", folder)
    assert "runtime is not here" in done.stderr


@pytest.mark.parametrize("name", ["owlvit-base-patch32", "chameleon-7b"])
def test_exports_take_seconds(name, tmp_path):
    """Of the largest graphs there are."""
    start = time.monotonic()
    plan = exporter.trace(name)
    exporter.to_onnx(plan, tmp_path / "a.onnx")
    exporter.to_torchscript(plan, tmp_path / "a.pt")
    assert time.monotonic() - start < 5


def test_a_scripted_file_takes_either_layout(tmp_path):
    exporter.to_torchscript(small(), tmp_path / "a.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch deprecates torch.jit
        module = torch.jit.load(tmp_path / "a.pt")
    images = torch.from_numpy(noise(37, 53)[None])
    for layout in (images, images.permute(0, 3, 1, 2)):
        assert_equal(module(layout)["pixel_values"], reference(small(), [noise(37, 53)]), f"{layout.shape}")


def test_the_plan_is_beside_the_scripted_code(tmp_path):
    plan = small(dtype="float16")
    exporter.to_torchscript(plan, tmp_path / "a.pt")
    extra = {artifact.PLAN_ENTRY: ""}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch deprecates torch.jit
        torch.jit.load(tmp_path / "a.pt", _extra_files=extra)
    assert extra[artifact.PLAN_ENTRY].decode() == plan.to_json()
    assert artifact.read(tmp_path / "a.pt") == (plan, False)


# Writing.

WRITERS = {"a.onnx": exporter.to_onnx, "a.pt": exporter.to_torchscript}


@pytest.fixture(params=WRITERS)
def writer(request, tmp_path):
    return WRITERS[request.param], tmp_path / request.param


def break_writing(monkeypatch, error):
    """Half of each file is written, then it fails."""

    def fail(self, data):
        with self.open("wb") as file:
            file.write(data[: len(data) // 2])
        raise error

    def fail_script(module, path, **more):
        fail(pathlib.Path(path), b"half a file")

    monkeypatch.setattr(pathlib.Path, "write_bytes", fail)
    monkeypatch.setattr(torch.jit, "save", fail_script)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=repr)
def test_a_failing_export_leaves_nothing(writer, monkeypatch, error):
    write, path = writer
    break_writing(monkeypatch, error)
    with pytest.raises((ArtifactError, type(error))):
        write(small(), path)
    assert list(path.parent.iterdir()) == []


def test_a_failing_export_keeps_the_file_that_was_there(writer, monkeypatch):
    write, path = writer
    path.write_text("precious")
    break_writing(monkeypatch, OSError(28, "No space left on device"))
    with pytest.raises((ArtifactError, OSError)):
        write(small(), path)
    assert path.read_text() == "precious"
    assert list(path.parent.iterdir()) == [path]


def test_an_export_replaces_the_file_that_was_there(writer):
    write, path = writer
    path.write_text("old")
    write(small(), path)
    assert artifact.read(path)[0] == small()
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
def test_a_file_is_as_readable_as_any_other(writer):
    write, path = writer
    other = path.with_name("other")
    other.write_text("x")
    write(small(), path)
    assert path.stat().st_mode == other.stat().st_mode


def test_a_folder_that_is_missing_is_said(writer):
    write, path = writer
    with pytest.raises(ArtifactError, match=r"missing.*cannot be written \(No such file or directory\)"):
        write(small(), path.parent / "missing" / path.name)
    assert list(path.parent.iterdir()) == []


def test_a_target_that_is_a_folder_is_said(writer):
    write, path = writer
    path.mkdir()
    with pytest.raises(ArtifactError, match="cannot be written"):
        write(small(), path)
    assert list(path.parent.iterdir()) == [path]


def test_paths_may_be_strings_with_spaces_and_accents(writer):
    write, path = writer
    path = path.with_name(f"café 犬 {path.name}")
    write(small(), str(path))
    assert_equal(
        Preprocessor(small(), "auto", path=path)(IMAGES[0])["pixel_values"], reference(small(), IMAGES[:1]), path.name
    )


@pytest.mark.parametrize(
    ("package", "export"),
    [
        ("torch", lambda folder: exporter.to_module(small())),
        ("torch", lambda folder: exporter.to_torchscript(small(), folder / "a.pt")),
        ("onnx", lambda folder: exporter.to_onnx(small(), folder / "a.onnx")),
    ],
)
def test_a_missing_package_is_named_with_its_cure(monkeypatch, tmp_path, package, export):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: (name != package and find_spec(name, *more)) or None
    )
    with pytest.raises(BackendUnavailable, match=rf"needs {package}: pip install 'export-preprocessor\[export\]'"):
        export(tmp_path)
    assert list(tmp_path.iterdir()) == []


# Packages of the same names.


@pytest.mark.parametrize("theirs", ["models.py", "models/__init__.py", "runtime.py", "runtime/__init__.py"])
def test_a_sibling_hidden_by_a_users_own_is_explained(tmp_path, theirs):
    path = tmp_path / theirs
    path.parent.mkdir(exist_ok=True)
    path.write_text("")
    name = pathlib.Path(theirs).parts[0].removesuffix(".py")
    done = python("import exporter", tmp_path, path=ROOT)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: export-preprocessor needs its package")
    assert f"{name!r} at {ROOT / name}" in last
    assert f"Python finds {tmp_path.resolve() / (theirs.removesuffix('/__init__.py'))}" in last
    assert "rename yours, or run from another folder" in last


@pytest.mark.parametrize("theirs", ["models.py", "models/__init__.py", "exporter.py"])
def test_serving_does_not_mind_a_users_own(tmp_path, theirs):
    """``runtime`` imports none of its siblings."""
    path = tmp_path / theirs
    path.parent.mkdir(exist_ok=True)
    path.write_text("raise SystemExit('imported')")
    exporter.to_onnx(small(), tmp_path / "a.onnx")
    np.save(tmp_path / "image.npy", IMAGES[0])
    code = """
    import numpy as np
    import runtime
    np.save("out.npy", runtime.load("a.onnx")(np.load("image.npy")).pixel_values)
    """
    done = python(code, tmp_path, path=ROOT)
    assert done.returncode == 0, done.stderr
    assert_equal(np.load(tmp_path / "out.npy"), reference(small(), IMAGES[:1]), theirs)


def test_a_users_plain_folder_of_models_stays_importable(tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "mine.py").write_text("name = 'mine'")
    done = python("import exporter, models.mine, models.families; print(models.mine.name)", tmp_path, path=ROOT)
    assert (done.returncode, done.stdout.strip()) == (0, "mine"), done.stderr
