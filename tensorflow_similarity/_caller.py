"""Where a warning points: at the code that uses the package, however deep the package is."""

from __future__ import annotations

import sys

__all__ = ["levels_to_the_caller"]


def levels_to_the_caller(*through: str) -> int:
    """The `stacklevel` with which `warnings.warn` points at the code that uses the package.

    Args:
        *through: Packages by way of which the code is called, such as `"keras."` for callbacks.
    """
    level, frame = 1, sys._getframe(1)
    inside = ("tensorflow_similarity.", *through)
    while frame.f_back and frame.f_globals.get("__name__", "").startswith(inside):
        level, frame = level + 1, frame.f_back
    return level
