"""Indexing piece by piece, for data larger than memory, with continuation after an interruption."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from tqdm.auto import tqdm

from tensorflow_similarity._types import ArrayLike
from tensorflow_similarity.index._arguments import check_ids
from tensorflow_similarity.index._keys import read_keys
from tensorflow_similarity.models.batches import Batches
from tensorflow_similarity.models.binding import IndexBinding
from tensorflow_similarity.targets import Targets

__all__ = ["index_in_pieces"]

# Records added at a time: each piece is on disk before the next is embedded.
_PIECE = 1024


def index_in_pieces(
    binding: IndexBinding, batches: Batches, data: Any, ids: ArrayLike, verbose: int
) -> np.ndarray:
    """Embeds and adds the examples that are not in the index yet, in pieces.

    Args:
        binding: The index of the model.
        batches: The examples.
        data: The payload of each, or None.
        ids: The id or key of each; None for its position.
        verbose: 0 for silence, otherwise a progress bar if it takes long.

    Returns:
        int64 `[n]`, the ids of all examples.

    Raises:
        ValueError: If there are no examples, or not as many as ids or data.
    """
    keys = None if ids is None else read_keys(ids, distinct=True)
    given: np.ndarray | None = None
    if keys is not None:
        given = np.array(keys, object)
    elif ids is not None:
        given = check_ids(ids)
    data = _by_position(data)
    pieces: list[tuple[np.ndarray, np.ndarray, Any]] = []
    seen: list[np.ndarray] = []
    start = 0

    def add() -> None:
        if not pieces:
            return
        embeddings = np.concatenate([piece[0] for piece in pieces])
        places = np.concatenate([piece[1] for piece in pieces])
        if batches.arrays is None:
            labels = batches.labels([piece[2] for piece in pieces])
        else:
            known = batches.arrays[1]
            labels = None if known is None else known.take(places)
        own = places if given is None else given[places]
        binding.add(embeddings, labels, _rows(data, places), own)
        pieces.clear()

    with tqdm(
        total=batches.count, desc="Indexing", unit="batch", delay=0.5, disable=not verbose
    ) as progress:
        for x, y in batches:
            places = np.arange(start, start + _length(x))
            start += len(places)
            _require(given, start, "ids", at_least=True)
            _require(data, start, "data", at_least=True)
            labels = binding.record_embedder.labels_of(y, len(places))
            seen.append(places if given is None else given[places])
            new = np.flatnonzero(~_known(binding, seen[-1]))
            if len(new):
                if len(new) < len(places):
                    x = keras.tree.map_structure(lambda leaf, new=new: _taken(leaf, new), x)
                embeddings = binding.record_embedder.call(x)
                pieces.append((embeddings, places[new], _labels(labels, new)))
            if sum(len(piece[0]) for piece in pieces) >= _PIECE:
                add()
            progress.update()
    if not seen:
        raise ValueError("`x` must hold at least one example. Received: an empty dataset.")
    _require(given, start, "ids", at_least=False)
    _require(data, start, "data", at_least=False)
    add()
    every = np.concatenate(seen)
    return every if keys is None else binding.require_made().ids_of(every)


def _labels(labels: Any, rows: np.ndarray) -> Any:
    # Those of arrays are taken by place, all at once.
    return None if labels is None or isinstance(labels, Targets) else labels[rows]


def _known(binding: IndexBinding, ids: np.ndarray) -> np.ndarray:
    return np.zeros(len(ids), bool) if binding.index is None else binding.index.has(ids)


def _length(x: object) -> int:
    return int(keras.tree.flatten(x)[0].shape[0])


def _taken(leaf: Any, rows: np.ndarray) -> Any:
    return keras.ops.take(leaf, rows, axis=0) if keras.ops.is_tensor(leaf) else leaf[rows]


def _by_position(data: object) -> Any:
    """Payloads that can be indexed by an array of positions; files are not read."""
    # TensorFlow takes none. HDF5 and Zarr, which have chunks, do; pandas by its own name.
    if data is None or isinstance(data, list | tuple) or hasattr(data, "chunks"):
        return data
    if hasattr(data, "iloc"):
        return data
    return np.asarray(data)


def _rows(data: Any, places: np.ndarray) -> Any:
    if data is None:
        return None
    if hasattr(data, "iloc"):
        return data.iloc[places]
    if not isinstance(data, list | tuple):
        return data[places]
    return [data[place] for place in places.tolist()]


def _require(values: Any, count: int, name: str, at_least: bool) -> None:
    if values is None or len(values) == count or (at_least and len(values) > count):
        return
    raise ValueError(
        f"`{name}` must hold one value per example: expected {count}"
        f"{' or more' if at_least else ''}. Received: {len(values)}."
    )
