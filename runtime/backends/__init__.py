"""Backends, one a file, imported only when asked for. Each one's ``load`` gives a :class:`Backend`."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np


class Backend(Protocol):
    """Runs a Plan on images of one size.

    One that reads images wherever they lie has ``run_each`` too, which takes a list of uint8 ``[H, W, 3]``: pixels may
    be 4 bytes apart, and sizes may differ, but not those behind the Plan's first kernel. One that can write its result
    anywhere has ``run_into`` besides, ``run_each`` with memory for the image's output, contiguous and apart from the
    images; what has another shape or dtype, or ``None``, is left alone.
    """

    output_names: tuple[str, ...]

    def run(self, images: np.ndarray[Any, Any]) -> dict[str, Any]:
        """uint8 ``[N, H, W, 3]``, of any strides, to a batch of each output, as NumPy arrays or torch tensors."""
        ...
