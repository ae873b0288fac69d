"""How far colours are from those of a palette, as ImageGPT measures it.

Plain Python over an array namespace, as :mod:`.resample`. All numbers are float64, and hold float32 ones where a class
computes in float32: two of those have a product that float64 holds, so nothing is rounded but where it says so.
"""

from __future__ import annotations

from .arrays import numpy as xp

FUSED = 12
"""From so many colours on, torch 2.15 adds float32 products unrounded, on CPUs with FMA."""


def distances(
    red: xp.Array, green: xp.Array, blue: xp.Array, palette: list[xp.Array], single: bool, fused: bool
) -> xp.Array:
    """Squared distances ``a² - 2ab + b²``, each sum in the classes' order.

    Args:
        red, green, blue: of the pixels, float32 numbers; any shape that broadcasts with the palette's.
        palette: red, green and blue of every colour, their squares' sum, and what float32 left of the first three.
        single: whether they are computed in float32 (image_processing_imagegpt.py:47), or in float64
            (image_processing_pil_imagegpt.py:38), but for the pixels' own squares.
        fused: whether products are added before they are rounded, as CPUs with FMA do it.
    """
    squares = xp.float32(xp.float32(xp.float32(red * red) + xp.float32(green * green)) + xp.float32(blue * blue))
    first, second, third = red * palette[0], green * palette[1], blue * palette[2]
    if single:
        first = xp.float32(first)
        if not fused:
            second, third = xp.float32(second), xp.float32(third)
        products = xp.float32(xp.float32(first + second) + third)
        return xp.float32(xp.float32(squares - products * 2.0) + palette[3])
    if fused:
        first = first + red * palette[4]
        products = rounded_once(third, blue * palette[6], rounded_once(second, green * palette[5], first))
    else:
        products = (first + second) + third
    return (squares - products * 2.0) + palette[3]


def rounded_once(large: xp.Array, small: xp.Array, more: xp.Array) -> xp.Array:
    """The sum of three numbers as if float64 were wide enough, then rounded; ``small`` is the tail of ``large``.

    The sum of two leaves an error that float64 holds. So there is a sum, its error, and the error of that one, which
    counts only where the first error is half a unit: exactly between two float64 numbers.
    """
    total, error = exact_sum(large, more)
    error, tail = exact_sum(error, small)
    total, error = exact_sum(total, error)
    other = total + error * 2.0
    between = (other - total == error * 2.0) & (error * tail > 0.0)
    return xp.where(between, other, total)


def exact_sum(x: xp.Array, y: xp.Array) -> tuple[xp.Array, xp.Array]:
    """The sum, rounded, and what is missing from it (Knuth's TwoSum)."""
    total = x + y
    part = total - x
    return total, (x - (total - part)) + (y - part)
