"""Maps of numbers a pixel: how they get the image's size back."""

from __future__ import annotations

from typing import Any


def check_fit(fit_height: int, fit_width: int) -> None:
    """Raises ``ValueError`` for sides that are no size, nor both 0."""
    sides = (fit_height, fit_width)
    if not all(type(side) is int and side >= 0 for side in sides) or (fit_height == 0) != (fit_width == 0):
        raise ValueError(f"fit_height, fit_width: expected a size, or 0 and 0, got {fit_height!r} and {fit_width!r}")


def describe(fit_height: int, fit_width: int) -> str:
    """What :func:`restored` does, in words."""
    without = f" without the padding to {fit_height}x{fit_width}" if fit_height else ""
    return f"resized to the image{without}, bilinear"


def restored(xp: Any, maps: Any, size: tuple[Any, Any], fit_height: int, fit_width: int) -> Any:
    """Maps of the image's ``size``: bilinear, not antialiased (image_processing_sapiens2.py:1028).

    Args:
        xp: the namespace.
        maps: float32 ``[batch, channels, height, width]``.
        size: of the image.
        fit_height, fit_width: the size that the image was fitted into, in the middle of padding, which the maps have
            too and which is cropped away; 0 and 0 where it was not.
    """
    if fit_height:
        fit = fit_height, fit_width
        inner = xp.geometry.max_height_width(*size, *fit)
        for axis, (side, padded) in enumerate(zip(inner, fit, strict=True), 2):
            before = xp.geometry.pad_offset(side, padded, True)
            maps = xp.slice(maps, before, before + side, axis)
    return xp.interpolate(maps, size, "bilinear")
