"""Returns freed memory to the operating system."""

from __future__ import annotations

import ctypes
import functools
from typing import Any

__all__ = ["give_back"]


def give_back() -> None:
    """Returns freed memory that the C library would otherwise keep.

    Building a graph allocates and frees a small piece per node. glibc keeps
    those pages, which can be twice the size of the graph, for the process.
    """
    trim = _trim()
    if trim is not None:
        trim(0)


@functools.cache
def _trim() -> Any:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, TypeError, AttributeError):  # not glibc
        return None
