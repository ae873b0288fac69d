"""Images that belong together: pairs, and the frames of a video. Artifacts process them as one batch of images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .errors import InputError
from .features import Features

GROUPS = ("", "pair", "video")
"""Of :attr:`runtime.Plan.group`."""

EXPECTED = {
    "pair": "[image, image], or a list of such pairs",
    "video": "the frames of a video, or a list of videos",
}


def to_groups(images: Any, kind: str) -> list[list[Any]]:
    """Lists of single images, as transformers tells them apart (image_utils.py:244, image_processing_superglue.py:59).

    Args:
        images: one group, as a list or an array ``[images, H, W, C]``, or a list of groups; a video may be one image.
        kind: one of :data:`GROUPS` but the first.

    Raises:
        InputError: for what is no such group.
    """
    if not isinstance(images, (list, tuple)) and _axes(images) not in (4, 5):
        images = [images]
    members = _members(images, kind)
    several = [isinstance(member, (list, tuple)) or _axes(member) == 4 for member in members]
    groups = [_members(member, kind) for member in members] if members and all(several) else [members]
    for group in groups:
        if not group or any(isinstance(image, (list, tuple)) or _axes(image) == 4 for image in group):
            raise InputError(f"expected {EXPECTED[kind]}")
        if kind == "pair" and len(group) != 2:
            raise InputError(f"expected {EXPECTED[kind]}; got {len(group)} in place of two")
    return groups


def _members(group: Any, kind: str) -> list[Any]:
    try:
        return list(group)
    except Exception as error:  # of what only looks like an array
        raise InputError(f"expected {EXPECTED[kind]}, got {type(group).__name__} ({error})") from error


def _axes(value: Any) -> int:
    """Of an array or a dense tensor; 0 for everything else."""
    try:
        return int(value.ndim) if hasattr(value, "shape") else 0
    except Exception:  # a nested tensor, or what only looks like one
        return 0


def regroup(features: Features, lengths: Sequence[int], return_tensors: str | None) -> Features:
    """A batch of images ``[N, ...]`` as one of groups, ``[groups, images, ...]``; lists become lists of lists.

    Raises:
        InputError: the groups differ in length, and are no lists; or a model gives one once for all images.
    """
    if return_tensors is None:
        ends = [sum(lengths[: i + 1]) for i in range(len(lengths))]
        cuts = [slice(end - length, end) for end, length in zip(ends, lengths, strict=True)]
        return Features({name: [value[cut] for cut in cuts] for name, value in features.items()})
    if len(set(lengths)) > 1:
        raise InputError(
            f"these videos have {', '.join(map(str, sorted(set(lengths))))} frames, which cannot be one batch; pass"
            " videos of one length, or return_tensors=None for lists"
        )
    total, shape = sum(lengths), (len(lengths), lengths[0])
    whole = [name for name, value in features.items() if value.ndim == 0 or len(value) != total]
    if whole:
        raise InputError(
            f"{whole[0]}: the model gives it once for all images, not for each: pass return_tensors=None for lists"
        )
    return Features({name: value.reshape(*shape, *value.shape[1:]) for name, value in features.items()})
