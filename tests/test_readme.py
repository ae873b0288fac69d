"""Every command and code block of the README runs, in order, in one folder; .ci/run runs those that install."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
import skimage
from onnx import TensorProto, helper

from . import javascript

ROOT = Path(__file__).parent.parent
BLOCKS = re.findall(r"```(bash|python|js)\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
INSTALLS = [line for kind, text in BLOCKS if kind == "bash" for line in text.splitlines() if "pip install" in line]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What the README takes for granted: two pictures, a model and its labels."""
    folder = tmp_path_factory.mktemp("readme")
    pictures = Path(skimage.__file__).parent / "data"
    shutil.copy(pictures / "rocket.jpg", folder / "photo.jpg")
    shutil.copy(pictures / "chelsea.png", folder / "portrait.png")
    image = helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, ["batch", 3, 224, 224])
    scores = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3])
    nodes = [
        helper.make_node("GlobalAveragePool", ["pixel_values"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["logits"]),
    ]
    graph = helper.make_graph(nodes, "model", [image], [scores])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), folder / "model.onnx"
    )
    (folder / "labels.txt").write_text("red\ngreen\nblue\n")
    (folder / "node_modules").symlink_to(javascript.MODULES)  # where Node looks for what is imported
    return folder


def test_commands_then_code(folder):
    """One test, for each block uses the files of those before."""
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    ran = 0
    for kind, text in BLOCKS:
        if kind == "python":
            arguments = [sys.executable, "-W", "error::UserWarning", "-c", text]
            subprocess.run(arguments, cwd=folder, env=environment, check=True, timeout=300)
            ran += 1
            continue
        if kind == "js":
            if javascript.lacking(javascript.NODE, "onnxruntime-node") is None:
                command = [javascript.NODE, "--input-type=module", "-e", text]
                subprocess.run(command, cwd=folder, check=True, timeout=300)
            continue
        for line in text.splitlines():
            # Installs, the tests and the linters run in .ci/run: see below.
            command = line.partition("#")[0].strip()
            if command.startswith("pip install '.[export]' && "):
                command = command.partition(" && ")[2]
            if command.startswith(("pip install", "pytest")):
                continue
            subprocess.run(command, shell=True, cwd=folder, env=environment, check=True, timeout=300)
            ran += 1
    assert ran >= 12
    assert (folder / "vit.onnx").exists()


@pytest.mark.parametrize("line", INSTALLS)
def test_ci_runs_the_commands_that_install(line):
    """.ci/run takes each from the README by the name of its extra."""
    extra = re.match(r"pip install '\.\[(\w+)\]' && ", line)[1]
    assert f'eval "$(readme_command {extra})"' in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_a_page_for_newcomers():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 150
