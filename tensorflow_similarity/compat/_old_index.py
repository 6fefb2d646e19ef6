"""Reads the index folders of TensorFlow Similarity."""

from __future__ import annotations

import json
import os
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from tensorflow_similarity._types import ArrayLike
from tensorflow_similarity.distances.base import DistanceLike
from tensorflow_similarity.index import CorruptIndexError, Index

__all__ = ["convert_index"]

_RECORDS = "index.npz"
_METADATA = "index_metadata.json"
# The distance for each name in the old metadata.
_DISTANCES = {
    "cosine": "cosine",
    "euclidean": "euclidean",
    "squared_euclidean": "squared_euclidean",
    "manhattan": "manhattan",
    "inner_product": "inner_product",
    "snr": "snr",
}


def convert_index(
    path: str | os.PathLike[str],
    *,
    labels: ArrayLike | None = None,
    data: object = None,
    distance: DistanceLike | None = None,
    search: object = "auto",
) -> Index:
    """Reads an index that TensorFlow Similarity 0.17 saved.

    Nothing is unpickled, since pickled objects could run code. Labels and payloads
    that were saved as Python objects (a single None is enough) are therefore not read; pass
    them instead. Record i has id i, as there. The search engine's graph is built again where one is
    used, and thresholds of a calibration are not carried over: call `calibrate` again.

    Args:
        path: The folder that `save_index` or `model.save` wrote. It has `index.npz` in it, or in
            its subfolder `index`.
        labels: Class ids `[n]`. Defaults to `None`: those of the file.
        data: Payloads, one for each record. Defaults to `None`: those of the file.
        distance: Defaults to `None`: that of the file's metadata.
        search: Which engine, see `Index`. Defaults to `"auto"`.

    Returns:
        An `Index`; `index.save("index.tfsim")` writes it, and `model.vector_index = index` gives
        it to a model.

    Raises:
        CorruptIndexError: If the file is damaged (a ValueError).
        FileNotFoundError: If there is no such file.
        ValueError: If labels or data have another length, or there is no distance.

    Example:

    ```python
    import json
    import numpy as np
    from tensorflow_similarity.compat.tensorflow_similarity import convert_index

    # What an old index looks like.
    np.savez("index.npz", embeddings=np.eye(3, dtype="float32"), labels=[4, 5, 6], data=[1, 2, 3])
    with open("index_metadata.json", "w") as file:
        json.dump({"distance": "cosine", "size": 3}, file)

    index = convert_index(".")
    index.lookup(np.eye(3), k=1).labels  # [[4], [5], [6]]
    ```
    """
    folder = _folder(Path(path))
    metadata = _metadata(folder)
    columns = _columns(folder / _RECORDS)
    embeddings = columns["embeddings"]
    if embeddings is None or embeddings.ndim != 2 or embeddings.dtype.kind not in "fiu":
        what = "Python objects" if embeddings is None else f"shape {embeddings.shape}"
        raise CorruptIndexError(
            f"{str(folder / _RECORDS)!r} must hold embeddings of shape [n, dim]. Received: {what}."
        )
    number = len(embeddings)
    if metadata.get("size", number) != number:
        raise CorruptIndexError(
            f"{str(folder)!r} is damaged: its metadata counts {metadata['size']} records, and "
            f"{_RECORDS} has {number}."
        )
    if distance is None:
        distance = _distance(metadata, folder)
    labels = columns["labels"] if labels is None else labels
    data = columns["data"] if data is None else data
    unread = [
        name
        for name, given in (("labels", labels), ("data", data))
        if given is None and columns["pickled"][name]
    ]
    if unread:
        warnings.warn(
            f"`{'` and `'.join(unread)}` of {str(folder)!r} are pickled Python objects, which are "
            f"not read. If there was something in them, pass {unread[0]}=.",
            stacklevel=2,
        )
    if metadata.get("is_calibrated"):
        warnings.warn(
            "The calibration of the old index is not carried over. Call `calibrate` again.",
            stacklevel=2,
        )
    index = Index(embeddings.shape[1], distance=distance, search=search)
    if number:
        index.add(embeddings, labels=labels, data=data, ids=np.arange(number))
    return index


def _folder(path: Path) -> Path:
    """The folder that holds the records."""
    for folder in (path, path / "index"):
        if (folder / _RECORDS).is_file():
            return folder
    if any((folder / "config.json").is_file() for folder in (path, path / "index")):
        raise FileNotFoundError(
            f"`path` must be a folder with {_RECORDS} in it. Received: {str(path)!r}, an index of "
            "a development version, whose records are pickled and are not read. Embed the "
            "examples again."
        )
    raise FileNotFoundError(
        f"`path` must be a folder with {_RECORDS} in it, or in its subfolder 'index'. Received: "
        f"{str(path)!r}."
    )


def _metadata(folder: Path) -> dict[str, Any]:
    file = folder / _METADATA
    if not file.is_file():
        return {}
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CorruptIndexError(f"{str(file)!r} is not JSON: {error}.") from error
    return found if isinstance(found, dict) else {}


def _distance(metadata: dict[str, Any], folder: Path) -> str:
    name = metadata.get("distance")
    if name not in _DISTANCES:
        raise ValueError(
            f"`distance` must be given. Received: None, and {str(folder)!r} names "
            f"{'none' if name is None else repr(name)}."
        )
    return _DISTANCES[name]


def _columns(file: Path) -> dict[str, Any]:
    """The arrays in the file; None for missing ones and for pickled objects."""
    found: dict[str, Any] = {"pickled": {}}
    try:
        # NumPy does not close files that it opens but cannot read.
        with open(file, "rb") as opened, np.load(opened, allow_pickle=False) as arrays:
            for name in ("embeddings", "labels", "data"):
                found[name], found["pickled"][name] = None, False
                if name not in arrays.files:
                    continue
                try:
                    found[name] = arrays[name]
                except ValueError as error:
                    if "pickle" not in str(error).lower():
                        raise
                    found["pickled"][name] = True
    except (ValueError, EOFError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise CorruptIndexError(f"{str(file)!r} cannot be read: {error}.") from error
    return found
