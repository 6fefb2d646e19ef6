"""Errors about the files of an index."""

from __future__ import annotations

import os

__all__ = [
    "CorruptIndexError",
    "IndexFileError",
    "IndexLockedError",
    "NewerIndexError",
    "advice_on_folder",
]


class IndexFileError(ValueError):
    """A file that cannot be read as an index."""


class CorruptIndexError(IndexFileError):
    """A file that is not an index, or is damaged."""


class NewerIndexError(IndexFileError):
    """A file written by a newer version of the package."""


class IndexLockedError(OSError):
    """A folder that another index, perhaps of another process, has open."""


def advice_on_folder(path: str) -> str:
    """Advice for a folder saved by TensorFlow Similarity, with an index or a model."""
    old = [os.path.join(path, *parts) for parts in (["index.npz"], ["index", "index.npz"])]
    if not any(map(os.path.isfile, old)):
        return ""
    return (
        " It looks like one of TensorFlow Similarity, which "
        "`tensorflow_similarity.compat.tensorflow_similarity.convert_index` reads."
    )
