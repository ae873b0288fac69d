"""What configs mean: families, presets, and where configs come from."""

from __future__ import annotations

import pkgutil

# `models` is what people call a folder of their own; theirs, where it is a plain folder too, stays importable.
__path__ = pkgutil.extend_path(__path__, __name__)
