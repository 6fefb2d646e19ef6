"""What may be wrong with the files of an index."""

from __future__ import annotations

__all__ = ["CorruptIndexError", "IndexFileError", "IndexLockedError", "NewerIndexError"]


class IndexFileError(ValueError):
    """A file that cannot be read as an index."""


class CorruptIndexError(IndexFileError):
    """A file that is not an index, or is damaged."""


class NewerIndexError(IndexFileError):
    """A file written by a newer version of the package."""


class IndexLockedError(OSError):
    """A folder that another index, perhaps of another process, has open."""
