"""A backend of transformers' own ``AutoImageProcessor``: the pixels of its PIL class, by compiled code.

An image processor of this backend is transformers' class with one method in front: the one that gets the images and
every setting, resolved and checked (``_preprocess_image_like_inputs``, image_processing_utils.py:236). So
``from_pretrained``, ``save_pretrained``, ``post_process_*``, pipelines and the errors of arguments are transformers'.
"""

from __future__ import annotations

import contextlib
import copyreg
import functools
import importlib
import importlib.util
import inspect
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from models.families import FAMILIES
from models.family import Family
from models.refused import REFUSED
from runtime.errors import BackendUnavailable, PreprocessorError, UnsupportedConfig
from runtime.plan import REFERENCES

from .trace import installed_pillow
from .transformers_calls import Settings, prepare

NAME = "export-preprocessor"
"""Of the backend, unless the caller wants another."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """What :func:`register` was called with."""

    name: str = NAME
    reference: str = "pillow"
    strict: bool = False


class Backends(dict[str, Any]):
    """Image processor classes by backend, as transformers registers them.

    Where it looks for a class of another kind, it asks all that is registered for its name (processing_utils.py:2049).

    Attributes:
        left: of a backend that has transformers' own class here, why.
    """

    __name__ = "Backends"

    def __init__(self, classes: Mapping[str, Any]) -> None:
        super().__init__(classes)
        self.left: dict[str, str] = dict(getattr(classes, "left", {}))

    def get(self, backend: str, default: Any = None) -> Any:
        """How ``AutoImageProcessor.from_pretrained`` takes a class (image_processing_auto.py:403)."""
        if reason := self.left.get(backend):
            log.warning("backend %r: left to transformers: %s", backend, reason)
        return super().get(backend, default)


@dataclass
class Calls:
    """How often an image processor was called since it was made; nothing of it is saved, copied or pickled.

    Attributes:
        exact: calls that ran here.
        left: calls that were left to transformers' class.
        reason: why the latest of them was.
    """

    exact: int = 0
    left: int = 0
    reason: str = ""


def register(name: str = NAME, *, reference: str = "pillow", strict: bool = False) -> None:
    """Adds a backend to transformers' ``AutoImageProcessor``.

    ``AutoImageProcessor.from_pretrained(source, backend=name)`` then gives an image processor whose calls return what
    transformers' PIL class returns: the same bits, keys and types. Images of uint8 and three channels go through
    compiled code, and so do floats in [0, 1] with ``do_rescale=False`` where the class resizes them by way of uint8.
    All else is left to the class itself: other floats, annotations, segmentation maps, trimaps, texts, other devices,
    settings that no Plan stands for, Owlv2, and resizes of floats where torch has one thread, which gives them other
    bits. Each new set of settings is compared with the class on noise before it is used.

    A processor's ``calls`` (:class:`Calls`) counts both kinds of calls. The first that is left to the class is logged
    as a warning with its reason, the others at level INFO (logger ``exporter.transformers``). Of processors that
    :mod:`models.refused` names, or that are older than transformers' backends, the class itself is registered:
    ``from_pretrained`` warns of that, and ``backend`` of what it gives is not ``name``.

    It imports the configs and image processors of all models, which takes seconds.

    Args:
        name: of the backend; several may be registered, with other options each.
        reference: ``pillow``: the PIL class, and the torchvision class where there is no other; ``torchvision``: the
            torchvision class on the CPU; or a Pillow's pixels by name, such as ``pillow12.1``. Where that is not the
            installed Pillow, no class of transformers can stand in, and the backend is strict.
        strict: leave nothing to transformers' class: ``UnsupportedConfig`` for such a processor when it is made, and
            for such settings when it is called; ``InputError`` for such images.

    Raises:
        BackendUnavailable: there is no transformers, or one without such backends; or no torchvision, where its pixels
            are asked for.
        ValueError: an unknown reference, or the name of one of transformers' own backends.
    """
    if reference not in ("pillow", *REFERENCES):
        raise ValueError(f"reference: expected pillow, {', '.join(REFERENCES)}; got {reference!r}")
    if name in ("pil", "torchvision"):
        raise ValueError(f"name: {name!r} is a backend of transformers' own")
    for package in ("transformers", *(["torchvision"] if reference == "torchvision" else [])):
        if importlib.util.find_spec(package) is None:
            raise BackendUnavailable(f"this backend needs {package}: pip install {package}")
    auto = importlib.import_module("transformers.models.auto.image_processing_auto")
    if "image_processor_classes" not in inspect.signature(auto.AutoImageProcessor.register).parameters:
        raise BackendUnavailable("this transformers has no backends to register: pip install -U transformers")
    pinned = reference not in ("pillow", "torchvision", installed_pillow())
    options = Options(name, reference, strict or pinned)
    configs = importlib.import_module("transformers.models.auto.configuration_auto").CONFIG_MAPPING
    with _without_warnings():
        for model_type, names in auto.IMAGE_PROCESSOR_MAPPING_NAMES.items():
            config = configs[model_type]
            classes = Backends(auto.IMAGE_PROCESSOR_MAPPING[config])  # with the backends that were registered before
            base = _base(classes, reference)
            if base is None:
                continue
            # Without torchvision its class is the PIL one; transformers then finds a processor by the name only.
            classes |= {key: n for key, n in names.items() if n and getattr(classes.get(key), "__name__", "") != n}
            classes[name] = processor_class(base, options)
            classes.left[name] = _reason(base, options) if classes[name] is base else ""
            # AutoImageProcessor.register refuses the stand-ins for classes whose package is missing.
            auto.IMAGE_PROCESSOR_MAPPING.register(config, classes, exist_ok=True)


def unregister(name: str = NAME) -> None:
    """Takes a backend away that :func:`register` added; processors that were made with it go on."""
    auto = importlib.import_module("transformers.models.auto.image_processing_auto")
    for classes in auto.IMAGE_PROCESSOR_MAPPING._extra_content.values():
        if isinstance(classes, Backends):
            classes.pop(name, None)
            classes.left.pop(name, None)


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    """transformers warns of each class that it has another one for, as where there is no torchvision."""
    logger = logging.getLogger("transformers")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _base(classes: Mapping[str, Any], reference: str) -> Any:
    """transformers' class that gives the reference; None where its package is missing."""
    order = ("torchvision", "pil") if reference == "torchvision" else ("pil", "torchvision")
    found = [classes[backend] for backend in order if isinstance(classes.get(backend), type)]
    return next((base for base in found if not getattr(base, "is_dummy", False)), None)


@functools.cache
def processor_class(base: Any, options: Options) -> Any:
    """The class that takes the place of transformers' ``base``; where it never can, ``base`` itself.

    For a strict backend, making an instance raises ``UnsupportedConfig`` then.
    """
    reason = _reason(base, options)
    if reason and not options.strict:
        return base
    # The name is what is saved; by the module, transformers tells its own from code in a repository, which it prefers.
    values = {
        "__module__": base.__module__, "__qualname__": base.__qualname__, "__doc__": base.__doc__,
        "_exact_base": base, "_exact_options": options, "_exact_family": FAMILIES.get(_family_name(base)),
        "_exact_reason": reason, "_exact_reference": "" if reason else _plan_reference(base, options.reference),
    }  # fmt: skip
    return type(base.__name__, (_Exact, base), values)


def _family_name(base: Any) -> str:
    name: str = base.__name__
    return name.removesuffix("Pil").removesuffix("ImageProcessor")


def _reason(base: Any, options: Options) -> str:
    """Why no Plan ever stands for a processor; empty where one may."""
    try:
        _plan_reference(base, options.reference)
    except UnsupportedConfig as error:
        return str(error)
    return ""


def _plan_reference(base: Any, reference: str) -> str:
    """That of the Plans for a processor, as :func:`exporter.trace` chooses it.

    Raises:
        UnsupportedConfig: there are none, whatever the settings.
    """
    name = _family_name(base)
    family = FAMILIES.get(name)
    if family is None:
        raise UnsupportedConfig(f"{name}: {REFUSED.get(name, 'no such family is known')}")
    backends = importlib.import_module("transformers.image_processing_backends")
    if not issubclass(base, (backends.PilBackend, backends.TorchvisionBackend)):
        raise UnsupportedConfig(f"{name}: its class is older than transformers' backends")
    if reference == "pillow":
        return installed_pillow() if family.has_pil else "torchvision"
    if reference != "torchvision" and not family.has_pil:
        raise UnsupportedConfig(f"{name}: transformers has no PIL class for it")
    return reference


class _Exact:
    """What comes before transformers' class."""

    _exact_base: Any
    _exact_options: Options
    _exact_family: Family
    _exact_reason: str
    _exact_reference: str
    __slots__ = ("calls",)  # no attribute that transformers would save
    calls: Calls

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        made = super().__new__(cls)
        made.calls = Calls()
        return made

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if self._exact_reason:
            raise UnsupportedConfig(self._exact_reason)
        super().__init__(*args, **kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        if type(self) is not processor_class(self._exact_base, self._exact_options):  # a caller's class, of its module
            return copyreg.__newobj__, (type(self),), self.__dict__  # type: ignore[attr-defined]
        return _empty, (self._exact_base, self._exact_options), self.__dict__

    @property
    def backend(self) -> str:
        """The name that the backend is registered under."""
        return self._exact_options.name

    def _preprocess_image_like_inputs(self, images: Any, *args: Any, **kwargs: Any) -> Any:
        """What every call comes to, with all settings; ``args`` are other inputs, such as annotations."""
        usual = super()._preprocess_image_like_inputs  # type: ignore[misc]
        try:
            settings = Settings(self, self._exact_family, self._exact_reference, images, args, kwargs, usual)
            result = prepare(settings).run(self, images, kwargs)
        except PreprocessorError as error:
            if self._exact_options.strict:
                raise
            level = logging.INFO if self.calls.left else logging.WARNING
            self.calls.left, self.calls.reason = self.calls.left + 1, str(error)
            log.log(level, "%s: left to transformers: %s", type(self).__name__, error)
        else:
            self.calls.exact += 1
            return result
        return usual(images, *args, **kwargs)


def _empty(base: Any, options: Options) -> Any:
    """An instance for pickled attributes."""
    made = processor_class(base, options)
    return made.__new__(made)
