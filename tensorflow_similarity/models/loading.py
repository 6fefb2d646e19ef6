"""Reads `.keras` files, with clear errors for those that cannot be read."""

from __future__ import annotations

import os
import zipfile
import zlib
from typing import Any

import keras

from tensorflow_similarity.models import persistence

__all__ = ["load_model"]

_BEGIN = b"PK\x03\x04"


def load_model(
    filepath: str | os.PathLike[str], trust_graph: bool | None = None, **options: Any
) -> Any:
    """Like `keras.saving.load_model`, for `.keras` files.

    Args:
        filepath: The file, or the folder that `save(..., zipped=False)` wrote.
        trust_graph: Whether the graph of the index is read, see `Index.load`.
        **options: As in Keras.

    Raises:
        FileNotFoundError: If it does not exist.
        ValueError: If it is truncated, damaged, or no `.keras` file.
    """
    path = os.fspath(filepath)
    # Keras reports every file that is not a zip file as not found.
    if "://" not in path and not os.path.isdir(path):
        if not os.path.exists(path):
            raise FileNotFoundError(f"`filepath` must be a file that exists. Received: {path!r}.")
        if not zipfile.is_zipfile(path):
            raise ValueError(
                f"`filepath` must be a .keras file. Received: {path!r}, {_what(path)}."
            )
    if os.path.isfile(os.path.join(path, "saved_model.pb")):
        raise ValueError(
            f"`filepath` must be a .keras file. Received: {path!r}, a SavedModel. To read one of "
            "Keras 2, build its layers again: `load_weights` of "
            "`tensorflow_similarity.compat.tensorflow_similarity` reads its weights, and "
            "`convert_index` its index. `keras.layers.TFSMLayer` runs it as it is."
        )
    try:
        with persistence.trusting(trust_graph):
            return keras.saving.load_model(path, **options)
    except (EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(
            f"`filepath` must be a .keras file that is whole. Received: {path!r}, which is damaged "
            f"({error}). Copy it anew, or use another copy."
        ) from error


def _what(path: str) -> str:
    """Describes a file that is not a zip file."""
    size = os.path.getsize(path)
    if not size:
        return "which is empty: writing it was interrupted, or the disk was full"
    with open(path, "rb") as file:
        begin = file.read(len(_BEGIN))
    if begin == _BEGIN:
        return (
            f"which is truncated: it has {size:,} bytes, and the directory at its end is missing. "
            "Copy it anew, or use another copy"
        )
    return "which is no zip file, as .keras files are"
