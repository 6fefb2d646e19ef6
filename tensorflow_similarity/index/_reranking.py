"""Re-ranking without another model: by shared neighbours, and by expanded queries."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity._types import ArrayLike
from tensorflow_similarity.index._arguments import check_embeddings
from tensorflow_similarity.index._results import Neighbors

if TYPE_CHECKING:
    from tensorflow_similarity.index._index import Index

__all__ = ["KReciprocal", "expand_queries"]

# Records whose neighbours are looked up at a time.
_BATCH = 4096


def expand_queries(index: Index, queries: ArrayLike, k: int = 5, alpha: float = 3.0) -> np.ndarray:
    """Queries moved towards their neighbours: look these up in place of the queries.

    The mean of a query and its k nearest records, of which the i-th counts
    `(1 - i / (k + 1)) ** alpha`: average query expansion for `alpha=0`. It helps where the first
    neighbours are mostly right, and harms where they are not.

    Args:
        index: The index.
        queries: Finite numbers `[q, embedding_size]`.
        k: Neighbours of each query.
        alpha: How much less the farther of them count, at least 0.

    Returns:
        float32 `[q, embedding_size]`, of the length of the queries for the cosine distance; the
        queries themselves where the index is empty.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range.

    Example:

    ```python
    from tensorflow_similarity.index import Index, expand_queries

    index = Index(embedding_size=2, distance="euclidean")
    index.add([[0.0, 1.0], [0.0, 3.0], [9.0, 9.0]])
    expand_queries(index, [[0.0, 2.0]], k=2, alpha=0)  # [[0., 2.]]
    ```

    Reference:
        Radenović et al., *Fine-tuning CNN Image Retrieval with No Human Annotation*, TPAMI
        2018, https://arxiv.org/abs/1711.02512
    """
    _check_index(index)
    queries = check_embeddings(queries, "queries", index.embedding_size, index.distance)
    k = checks.count(k, "k")
    alpha = checks.number(alpha, "alpha")
    if alpha < 0:
        raise ValueError(f"`alpha` must be at least 0. Received: {alpha}.")
    found = index.lookup(queries, k=k)
    weights = np.append(1, (1 - np.arange(1, k + 1) / (k + 1)) ** alpha)
    there = np.concatenate([np.ones((len(queries), 1), bool), found.ids >= 0], axis=1)
    own, places = np.unique(found.ids, return_inverse=True)
    records = np.zeros((len(own), queries.shape[1]), np.float32)
    records[own >= 0] = index.get(own[own >= 0]).embeddings
    rows = np.concatenate([queries[:, None], records[places.reshape(found.ids.shape)]], axis=1)
    lengths = np.linalg.norm(queries, axis=1, keepdims=True)
    if index.distance.name == "cosine":
        sizes = np.linalg.norm(rows, axis=2, keepdims=True)
        rows = rows / np.where(sizes > 0, sizes, 1)
    own_weights = weights * there
    mean = np.einsum("qm,qmd->qd", own_weights / own_weights.sum(axis=1, keepdims=True), rows)
    if index.distance.name == "cosine":
        sizes = np.linalg.norm(mean, axis=1, keepdims=True)
        mean = mean / np.where(sizes > 0, sizes, 1) * lengths
    return mean.astype(np.float32)


class KReciprocal:
    """Re-ranks by the neighbours that a query and a record share, for `lookup(rerank=)`.

    Two examples of a class are neighbours of each other, and have neighbours in
    common. Of each record, the neighbours that have it as a neighbour too are kept, with a
    weight that falls with their distance; the Jaccard distance between those of the
    query and those of a record, mixed with their distance, gives the new order.

    The neighbours of all records are looked up once, when this is made: make it again after
    the index has changed. It holds 12 bytes a neighbour of each record.

    Args:
        index: The index, whose distances are not negative.
        k: Neighbours of each that are looked at. At least as many candidates are of use.
        expand: So many nearest records, with the query, share their neighbours with it.
        weight: The weight of the original distance, between 0 and 1.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range, the index is empty, or a distance is negative.

    Example:

    ```python
    import numpy as np
    from tensorflow_similarity.index import Index, KReciprocal

    x = np.random.default_rng(0).normal(size=(100, 8))
    index = Index(embedding_size=8, distance="euclidean")
    index.add(x)
    index.lookup(x[:3], k=5, rerank=KReciprocal(index), rerank_top=50)
    ```

    Reference:
        Zhong et al., *Re-ranking Person Re-identification with k-reciprocal Encoding*, CVPR
        2017, https://arxiv.org/abs/1701.08398
    """

    def __init__(self, index: Index, k: int = 20, expand: int = 6, weight: float = 0.3) -> None:
        _check_index(index)
        k = checks.count(k, "k")
        self._expand = checks.count(expand, "expand", minimum=0)
        self._weight = checks.fraction(weight, "weight", ends=True)
        self._ids = index.ids
        if not len(self._ids):
            raise ValueError("The index is empty: add records before re-ranking.")
        self._k = k = min(k, len(self._ids))
        found, near = [], []
        for start in range(0, len(self._ids), _BATCH):
            part = index.lookup(index.get(self._ids[start : start + _BATCH]).embeddings, k=k)
            found.append(np.searchsorted(self._ids, part.ids))
            near.append(part.distances)
        self._near = np.concatenate(near)
        if self._near.min() < 0:
            raise ValueError(
                f"`index` must have a distance that is not negative. Received: "
                f"{index.distance.name!r}, with {self._near.min():g}."
            )
        self._found = np.concatenate(found)
        # Reciprocal neighbours.
        self._mutual = self._near <= self._near[self._found, -1]
        scale = float(np.median(self._near[:, -1])) or 1.0
        self._scale = scale
        self._weights = np.where(self._mutual, np.exp(-self._near / scale), 0).astype(np.float32)

    def __call__(self, queries: np.ndarray, neighbors: Neighbors) -> np.ndarray:
        """The new distance of each neighbour, `[q, m]`."""
        result = np.full(neighbors.ids.shape, np.inf)
        for query, (ids, distances) in enumerate(
            zip(neighbors.ids, neighbors.distances, strict=True)
        ):
            there = np.flatnonzero(ids >= 0)
            if len(there):
                result[query, there] = self._of_one(ids[there], distances[there])
        return result

    def _of_one(self, ids: np.ndarray, distances: np.ndarray) -> np.ndarray:
        rows = np.searchsorted(self._ids, ids)
        rows[rows == len(self._ids)] = 0
        if (self._ids[rows] != ids).any():
            raise ValueError(
                "The index has records that it had not when `KReciprocal` was made. Make it again."
            )
        first, near = rows[: self._k], distances[: self._k]
        mutual = near <= self._near[first, -1]
        own = np.where(mutual, np.exp(-near / self._scale), 0)
        columns, places = np.unique(
            np.concatenate([self._found[rows].ravel(), first]), return_inverse=True
        )
        table = np.zeros((len(rows), len(columns)), np.float32)
        inner = places[: rows.size * self._k].reshape(len(rows), self._k)
        np.put_along_axis(table, inner, self._weights[rows], axis=1)
        query = np.zeros(len(columns), np.float32)
        query[places[rows.size * self._k :]] = own
        if self._expand:
            query = (query + table[: self._expand].sum(axis=0)) / (1 + len(table[: self._expand]))
        shared = np.minimum(table, query).sum(axis=1)
        whole = np.maximum(table, query).sum(axis=1)
        jaccard = 1 - shared / np.where(whole > 0, whole, 1)
        most = float(distances.max()) or 1.0
        return (1 - self._weight) * jaccard + self._weight * distances / most


def _check_index(index: object) -> None:
    if not hasattr(index, "embedding_size") or not hasattr(index, "lookup"):
        raise TypeError(f"`index` must be an Index. Received: {type(index).__name__}.")
