"""Classes that are imported when they are asked for."""

import importlib

import pytest

from runtime import ops, postprocess
from runtime.ops import STEPS
from runtime.ops.step import Step
from runtime.postprocess import POSTPROCESSORS, Postprocess
from runtime.registry import name_of


@pytest.mark.parametrize(("package", "registry"), [(ops, STEPS), (postprocess, POSTPROCESSORS)])
def test_every_class_is_in_the_file_of_its_name(package, registry):
    assert len(registry) == len(list(registry)) > 0
    for name, kind in registry.items():
        assert name in registry
        assert name_of(kind) == name
        assert getattr(importlib.import_module(f"{package.__name__}.{name}"), kind.__name__) is kind
        assert getattr(package, kind.__name__) is kind


def test_steps():
    assert all(issubclass(kind, Step) for kind in STEPS.values())


def test_methods():
    assert all(isinstance(kind(), Postprocess) for kind in POSTPROCESSORS.values())


@pytest.mark.parametrize("registry", [STEPS, POSTPROCESSORS])
def test_what_is_not_there(registry):
    assert "Resize" not in registry
    with pytest.raises(KeyError, match="nothing"):
        registry["nothing"]


@pytest.mark.parametrize("package", [ops, postprocess])
def test_attributes_that_are_not_there(package):
    with pytest.raises(AttributeError, match=f"module '{package.__name__}' has no attribute 'Nothing'"):
        package.Nothing  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'Nothing'"):
        exec(f"from {package.__name__} import Nothing")
