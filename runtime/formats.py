"""Plans of older formats as the present one: a file that was written once is read for ever."""

from __future__ import annotations

from typing import Any

FORMAT = 2
"""The number in a Plan's JSON; raised when a reader of the old form would misread the new one."""


def upgraded(data: dict[str, Any]) -> dict[str, Any]:
    """A Plan's JSON object, of format 1 or of the present one, as the present one has it.

    Raises:
        KeyError: it lacks a key of its format.
        ValueError, TypeError, AttributeError: one is unknown to it, or has another type.
    """
    if data["format"] != 1:
        return data
    (output,), steps = data["outputs"], [_step(step) for step in data["steps"]]
    rest = {key: value for key, value in data.items() if key not in ("format", "outputs", "steps")}
    new: dict[str, Any] = {"group": "", "config": {}, "architecture": "", "problem_type": "", "postprocess": None}
    return {"format": 2, "output": output, **_with(rest, new), "steps": steps}


def _step(step: dict[str, Any]) -> dict[str, Any]:
    """Format 1 padded at the bottom and the right, with one number, to a fixed size."""
    if step["op"] != "pad":
        return step
    rest = {key: value for key, value in step.items() if key not in ("height", "width", "value")}
    size = {"height": step["height"], "width": step["width"]}
    new = {"centered": False, "mode": "constant", "once": False, "mask": ""}
    return {"size": size, "value": [step["value"]], **_with(rest, new)}


def _with(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Both; ``ValueError`` where the old format has a key that it did not know."""
    if not old.keys().isdisjoint(new):
        raise ValueError(f"unknown keys {', '.join(old.keys() & new)}")
    return old | new
