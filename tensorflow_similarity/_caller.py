"""Where a warning points: at the code that uses the package, however deep the package is."""

from __future__ import annotations

import sys

__all__ = ["levels_to_the_caller"]


def levels_to_the_caller() -> int:
    """The `stacklevel` with which `warnings.warn` points at the code that uses the package."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back and frame.f_globals.get("__name__", "").startswith("tensorflow_similarity."):
        level, frame = level + 1, frame.f_back
    return level
