"""The results of single images as one batch, in the form that a caller asks for."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from .decode import most_pixels
from .errors import BackendUnavailable, InputError
from .features import Features
from .ops.size import Size


def convert(output: dict[str, Any], count: int, return_tensors: str | None, lists: Collection[str] = ()) -> Features:
    """A batch of ``count`` as NumPy arrays (``np``), torch tensors (``pt``), or lists of arrays (``None``).

    Those in ``lists`` become lists in any case, one array or tensor an image.
    """
    formed = {name: _form(value, return_tensors) for name, value in output.items()}
    return Features({k: _rows(v, count) if return_tensors is None or k in lists else v for k, v in formed.items()})


def split(output: dict[str, Any], count: int, return_tensors: str | None) -> list[dict[str, Any]]:
    """The outputs of each of ``count`` images that were run as one batch, beside others.

    Raises:
        InputError: a model gives one once for all of them, such as a loss, and no lists are asked for.
    """
    for name, value in output.items():
        if return_tensors is not None and not _has_rows(value, count):
            raise InputError(
                f"{name}: the model gives it once for all images, not for each: pass images of one size, or"
                " return_tensors=None for lists"
            )
    columns = {name: _rows(value, count) for name, value in output.items()}
    return [{name: column[i] for name, column in columns.items()} for i in range(count)]


def _rows(value: Any, count: int) -> list[Any]:
    """Of a batch; what is there once for all images goes to each."""
    return list(value) if _has_rows(value, count) else [value] * count


def _has_rows(value: Any, count: int) -> bool:
    return value.ndim > 0 and len(value) == count


def check_one_size(rule: Size, sizes: Collection[tuple[int, int]]) -> None:
    """Raises ``InputError`` where ``rule`` is one of :attr:`.Size.is_of_batch`, and images of ``sizes`` differ by it.

    A graph sees images of one size, and so cannot know the widest of others.
    """
    widths = sorted({rule.output_size(*size)[1] for size in sizes})
    if len(widths) > 1:
        raise InputError(
            f"these images would be {', '.join(map(str, widths))} pixels wide, but transformers stretches all of a"
            " batch to the widest one's width: pass each width by itself"
        )


def _form(value: Any, return_tensors: str | None) -> Any:
    """An array or a tensor as what was asked for."""
    if return_tensors != "pt":
        return value if isinstance(value, np.ndarray) else value.cpu().numpy()
    try:
        import torch
    except ImportError as error:
        raise BackendUnavailable("return_tensors='pt' needs torch: pip install torch") from error
    return torch.from_numpy(value) if isinstance(value, np.ndarray) else value


def stack(
    results: Sequence[dict[str, Any]],
    names: Sequence[str],
    padded: Collection[str],
    return_tensors: str | None,
    lists: Collection[str] = (),
    max_pixels: int | None = None,
) -> Features:
    """The outputs ``names`` of single images as one batch, in the order of the images.

    Those in ``padded`` get zeros at the bottom and the right, up to the largest; those in ``lists`` stay lists.

    Raises:
        InputError: others differ in size; or the largest height and width make more than ``max_pixels``.
    """
    columns = {name: [result[name] for result in results] for name in names}
    for name, values in columns.items():
        if name in padded:
            height, width = (max(value.shape[axis] for value in values) for axis in (-2, -1))
            most = most_pixels(max_pixels)
            if height * width > most:
                raise InputError(
                    f"{name}: these images would be padded to {height}x{width}: expected at most {most} pixels"
                )
            columns[name] = [_pad(value, height, width) for value in values]
            continue
        shapes = {tuple(value.shape) for value in values}
        if return_tensors is not None and name not in lists and len(shapes) > 1:
            raise InputError(
                f"{name}: these images give sizes {', '.join(map(str, sorted(shapes)))}, which cannot be one batch;"
                " pass images of one size, or return_tensors=None for a list"
            )
    return Features(
        {
            name: [_form(value, return_tensors) for value in values]
            if return_tensors is None or name in lists
            else _form(_stacked(values), return_tensors)
            for name, values in columns.items()
        }
    )


def _stacked(values: Sequence[Any]) -> Any:
    """Arrays, or tensors, as one."""
    if isinstance(values[0], np.ndarray):
        return np.stack(values)
    import torch

    return torch.stack(list(values))


def _pad(value: Any, height: int, width: int) -> Any:
    """``[..., H, W]`` to ``[..., height, width]``, an array or a tensor."""
    bottom, right = height - value.shape[-2], width - value.shape[-1]
    if isinstance(value, np.ndarray):
        return np.pad(value, [(0, 0)] * (value.ndim - 2) + [(0, bottom), (0, right)])
    import torch

    return torch.nn.functional.pad(value, [0, right, 0, bottom])
