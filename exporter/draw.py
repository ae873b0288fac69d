"""A picture with what a model found in it: boxes, points, a mask, or a map."""

from __future__ import annotations

import colorsys
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageOps, UnidentifiedImageError

from runtime.errors import InputError, UnsupportedConfig

Array = np.ndarray[Any, Any]

SHARE = 0.5
"""Of a mask's colour in a pixel."""

GOLDEN = 0.618034
"""Steps of this much around the circle of hues keep neighbouring classes apart."""


def check(path: str | os.PathLike[str]) -> None:
    """Raises ``UnsupportedConfig`` where ``path`` is no PNG file's name."""
    if Path(path).suffix.lower() != ".png":
        raise UnsupportedConfig(f"{path}: expected a name that ends in .png")


def draw(image: str | os.PathLike[str], result: Any, path: str | os.PathLike[str]) -> None:
    """Writes ``image`` with ``result`` over it as a PNG.

    Args:
        image: the file that the result is of.
        result: what :meth:`runtime.Preprocessor.predict` gives for one image: a list with boxes in it, or a dict with
            points, a mask or a map.
        path: the file to write.

    Raises:
        InputError: there is nothing in the result that can be drawn, or the image cannot be read.
    """
    try:
        with Image.open(image) as opened:
            picture = ImageOps.exif_transpose(opened).convert("RGB")  # as it is read
    except (OSError, UnidentifiedImageError) as error:
        raise InputError(f"{image}: cannot be read ({error})") from error
    if isinstance(result, list) and all("box" in found for found in result):
        picture = _boxes(picture, result)
    elif isinstance(result, Mapping) and "keypoints" in result:
        picture = _points(picture, result["keypoints"], result["scores"])
    elif isinstance(result, Mapping) and "segmentation" in result:
        picture = _mask(picture, result["segmentation"])
    elif isinstance(result, Mapping) and "masks" in result:
        picture = _prompts(picture, result["masks"], result.get("iou_scores"))
    elif isinstance(result, Mapping):
        picture = _map(result)
    else:
        raise InputError("this result has neither boxes nor a mask, which could be drawn")
    picture.save(path, format="PNG")


def colour(number: int) -> tuple[int, int, int]:
    """Of a class: bright, and unlike those of the next ones."""
    red, green, blue = colorsys.hsv_to_rgb(number * GOLDEN % 1.0, 0.8, 1.0)
    return round(red * 255), round(green * 255), round(blue * 255)


def _boxes(picture: Image.Image, found: list[Mapping[str, Any]]) -> Image.Image:
    names = sorted({str(item.get("label", "")) for item in found})
    pen = ImageDraw.Draw(picture)
    width = max(round(min(picture.size) / 250), 1)
    for item in sorted(found, key=lambda item: float(item["score"])):  # the best on top
        left, top, right, bottom = item["box"]
        name = str(item.get("label", ""))
        shade = colour(names.index(name))
        pen.rectangle((left, top, max(left, right), max(top, bottom)), outline=shade, width=width)
        text = f"{name} {item['score']:.0%}".strip()
        place = pen.textbbox((left + width, top + width), text)
        pen.rectangle(place, fill=shade)
        pen.text((left + width, top + width), text, fill="black")
    return picture


def _points(picture: Image.Image, keypoints: Array, scores: Array) -> Image.Image:
    """From red, the best one, to green."""
    pen = ImageDraw.Draw(picture)
    radius = max(min(picture.size) // 200, 1)
    for rank, i in reversed(list(enumerate(np.argsort(-scores, kind="stable")))):  # the best on top
        x, y = map(int, keypoints[i])
        red, green, blue = colorsys.hsv_to_rgb(rank / len(scores) / 3, 1.0, 1.0)
        shade = round(red * 255), round(green * 255), round(blue * 255)
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=shade)
    return picture


def _mask(picture: Image.Image, mask: Array) -> Image.Image:
    """Class 0 too: what it means differs between models."""
    classes, index = np.unique(mask, return_inverse=True)
    colours = np.array([colour(int(number)) for number in classes], np.float64)[index.reshape(mask.shape)]
    pixels = np.asarray(picture, np.float64)
    return Image.fromarray(np.rint(pixels * (1 - SHARE) + colours * SHARE).astype(np.uint8))


def _prompts(picture: Image.Image, masks: Array, scores: Array | None) -> Image.Image:
    """The best mask of each prompt, ``[prompts, masks, height, width]``; the first one where there are no scores."""
    best = np.zeros(len(masks), int) if scores is None else scores.argmax(axis=1)
    pixels = np.array(picture, np.float64)
    for number, place in enumerate(best):
        mask = masks[number, place]
        pixels[mask] = pixels[mask] * (1 - SHARE) + np.array(colour(number)) * SHARE
    return Image.fromarray(np.rint(pixels).astype(np.uint8))


def _map(result: Mapping[str, Any]) -> Image.Image:
    """A map of numbers by itself, from its smallest, black, to its largest, white; of three a pixel, in colours."""
    for value in result.values():
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "fb":
            continue
        if value.ndim == 2 or (value.ndim == 3 and len(value) == 3):
            numbers = value.astype(np.float64)
            numbers = np.where(np.isfinite(numbers), numbers, 0.0)
            low, high = numbers.min(), numbers.max()
            levels = np.rint((numbers - low) / max(high - low, 1e-30) * 255).astype(np.uint8)
            return Image.fromarray(levels if levels.ndim == 2 else np.ascontiguousarray(levels.transpose(1, 2, 0)))
    raise InputError("this result has neither boxes nor a mask, which could be drawn")
