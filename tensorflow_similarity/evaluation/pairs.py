"""Pairs of examples: all of a kind, or a uniform sample."""

from __future__ import annotations

import keras
import numpy as np

from tensorflow_similarity.distances import Distance
from tensorflow_similarity.distances.scale import check_scale
from tensorflow_similarity.index.engines.forks import refuse_tensorflow

__all__ = ["different_pairs", "labelled_pairs", "paired_distances", "same_pairs"]

# Distances of pairs computed at once.
_CHUNK_PAIRS = 2**16


def labelled_pairs(
    ids: np.ndarray, most: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions a < b of pairs, and whether each is of one class.

    All pairs if there are at most `most`, else at most that many of each kind.

    Raises:
        ValueError: If there is no pair of one of the kinds.
    """
    n = len(ids)
    order = np.argsort(ids, kind="stable")
    sizes = np.unique(ids, return_counts=True)[1]
    same_total = int((sizes * (sizes - 1) // 2).sum())
    different_total = n * (n - 1) // 2 - same_total
    if not same_total or not different_total:
        raise ValueError(
            "`labels` must make pairs of one class and pairs of two. Received: "
            f"{same_total} pairs of one class, {different_total} of two."
        )
    if n * (n - 1) // 2 <= most:
        a, b = np.triu_indices(n, 1)
        return a, b, ids[a] == ids[b]
    a, b = same_pairs(order, sizes, min(same_total, most), same_total, rng)
    c, d = different_pairs(ids, min(different_total, most), rng)
    same = np.arange(len(a) + len(c)) < len(a)
    a, b = np.concatenate([a, c]), np.concatenate([b, d])
    return np.minimum(a, b), np.maximum(a, b), same


def same_pairs(
    order: np.ndarray, sizes: np.ndarray, wanted: int, total: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Positions of `wanted` same-class pairs: all, or a uniform sample."""
    pairs = sizes * (sizes - 1) // 2
    which = np.arange(total) if wanted == total else np.sort(rng.integers(total, size=wanted))
    starts = np.cumsum(pairs) - pairs
    group = np.searchsorted(starts, which, side="right") - 1
    place = which - starts[group]
    # Pair number p = j (j - 1) / 2 + i joins members i < j of its class. (The root is
    # exact enough up to p = 2**49, classes of 30 million.)
    j = ((1 + np.sqrt(8 * place + 1)) // 2).astype(np.int64)
    i = place - j * (j - 1) // 2
    first = np.cumsum(sizes) - sizes
    return order[first[group] + i], order[first[group] + j]


def different_pairs(
    ids: np.ndarray, wanted: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Positions of a uniform sample of different-class pairs."""
    found: list[np.ndarray] = []
    missing = wanted
    while missing > 0:
        pairs = rng.integers(len(ids), size=(2, 2 * missing + 16))
        pairs = pairs[:, ids[pairs[0]] != ids[pairs[1]]][:, :missing]
        found.append(pairs)
        missing -= pairs.shape[1]
    a, b = np.concatenate(found, axis=1)
    return a, b


def paired_distances(distance: Distance, x: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Distances between rows `a` and rows `b`, float32 `[pairs]`."""
    refuse_tensorflow(f"The distance {distance.name!r} between pairs")
    check_scale(distance, x)
    parts = [
        keras.ops.convert_to_numpy(
            distance.paired(x[a[i : i + _CHUNK_PAIRS]], x[b[i : i + _CHUNK_PAIRS]])
        )
        for i in range(0, len(a), _CHUNK_PAIRS)
    ]
    return np.concatenate(parts).astype(np.float32)
