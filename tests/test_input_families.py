"""Every kind of input in every family, given to us and to transformers: the same bits, or a refusal."""

import numpy as np
import pytest
import transformers

from models.config import output_name, to_steps
from models.families import FAMILIES
from runtime import InputError, Plan, Preprocessor, UnsupportedConfig

from .families import assert_outputs, config, grouped, threads
from .helpers import INSTALLED_ORDER
from .test_input_kinds import KINDS

EVERY = (
    "pil L", "pil P, alpha", "pil RGBA", "pil CMYK", "pil RGB", "pil LAB", "HWC of 1", "HWC of 3", "HWC of 4",
    "CHW of 3", "ambiguous (3, 33, 3)", "tensor CHW", "levels in int64", "levels in float32", "float64",
)  # fmt: skip
FEW = ("CLIP", "SuperPoint", "Idefics", "RTDetr", "VideoMAE", "EfficientNet")
"""That convert, make gray, know no layout, do not normalize, take videos; and whose means broadcast."""


def in_families():
    for name, family in FAMILIES.items():
        for reference in [INSTALLED_ORDER] * family.has_pil + ["torchvision"] * family.has_torchvision:
            marks = [] if name in FEW else pytest.mark.slow
            yield pytest.param(name, reference, id=f"{name}, {reference}", marks=marks)


@pytest.mark.filterwarnings("ignore:Palette images with Transparency expressed in bytes:UserWarning")
@pytest.mark.parametrize(("name", "reference"), list(in_families()))
def test_every_family_gives_the_bits_or_refuses(name, reference):
    family = FAMILIES[name]
    try:
        steps = to_steps(family, config(name), {}, reference)
        plan = Plan(steps, reference, name, output=output_name(family, config(name), {}), group=family.group)
    except (UnsupportedConfig, ValueError) as error:
        pytest.skip(str(error))
    suffix = "Pil" if family.has_pil and family.has_torchvision and reference != "torchvision" else ""
    theirs, ours = getattr(transformers, f"{name}ImageProcessor{suffix}")(**config(name)), Preprocessor(plan, "pil")
    equal = []
    for kind in EVERY:
        images = grouped(KINDS[kind], plan)
        try:
            with threads(2):
                want = theirs(images, return_tensors="np")
        except Exception:  # transformers raises about anything
            with pytest.raises(InputError):
                ours(images)
            continue
        want = want if hasattr(want, "keys") else {plan.output: want}  # Idefics gives the bare array
        want = {key: np.asarray(value) for key, value in want.items() if np.asarray(value).dtype.kind != "U"}
        try:
            got = ours(images)
        except InputError:
            assert kind not in ("pil RGB", "HWC of 3", "CHW of 3", "tensor CHW"), kind
            continue
        assert_outputs(got, want, plan.bound, f"{name}, {reference}, {kind}")
        equal.append(kind)
    assert len(equal) >= 4
