"""Temporary files of engines whose libraries only know how to write files."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator

__all__ = ["pieces", "temporary_folder"]

_PIECE = 1 << 24


def temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder that is removed at the end of its `with` block."""
    # Where open files cannot be removed, what is left over is left to the system.
    return tempfile.TemporaryDirectory(prefix="tfsim_", ignore_cleanup_errors=True)


def pieces(path: str, start: int = 0) -> Iterator[bytes]:
    """The content of a file from a position on, in pieces."""
    with open(path, "rb") as file:
        file.seek(start)
        while piece := file.read(_PIECE):
            yield piece
