"""The nearest targets of some queries, in columns, for the classification metrics."""

from __future__ import annotations

import numpy as np

from tensorflow_similarity.distances import Distance
from tensorflow_similarity.index import Index
from tensorflow_similarity.targets import Targets

__all__ = ["nearest_targets"]


def nearest_targets(
    queries: np.ndarray,
    targets: np.ndarray | None,
    target_labels: Targets,
    distance: Distance,
    k: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Distances and labels of the k nearest targets, each `[queries, k]`.

    Args:
        queries: Embeddings.
        targets: Embeddings; None for the queries themselves, each excluded from its own
            search.
        target_labels: Classes of the targets.
        distance: The distance.
        k: Number of neighbours.
    """
    others = targets is None
    records = queries if targets is None else targets
    index = Index(records.shape[1], distance=distance, search="exact")
    index.add(records, labels=target_labels, ids=np.arange(len(records)))
    found = index.lookup(queries, k=k + others)
    if not others:
        return found.distances, found.labels
    own = found.ids == np.arange(len(queries))[:, None]
    # Equal examples may have displaced the query itself; then the last one is dropped.
    own[~own.any(axis=1), -1] = True
    return found.distances[~own].reshape(-1, k), found.labels[~own].reshape(-1, k)
