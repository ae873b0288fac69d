"""What a path leads to."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def is_device(path: str | os.PathLike[str]) -> bool:
    """Whether it is there, and neither a file nor a folder: a pipe, say, which may be waited for when it is read.

    Raises:
        OSError: as of ``os.stat``.
        ValueError: it is no path.
    """
    kind = Path(path).stat().st_mode
    return not (stat.S_ISREG(kind) or stat.S_ISDIR(kind))
