"""Hard negatives mined offline: the nearest candidates that are none of a query's own."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import numpy as np
from keras import ops

from tensorflow_similarity import _checks as checks
from tensorflow_similarity import distances
from tensorflow_similarity._caller import levels_to_the_caller
from tensorflow_similarity._types import ArrayLike
from tensorflow_similarity.distances.base import DistanceLike
from tensorflow_similarity.index import Index

__all__ = ["HardNegatives", "mine_hard_negatives", "search_negatives"]


@dataclasses.dataclass(frozen=True)
class HardNegatives:
    """The hard negatives of some queries, nearest first.

    Attributes:
        rows: int64 `[queries, n]`, rows of the candidates; -1 where there are fewer.
        distances: float32 `[queries, n]`, their distances; inf there.
    """

    rows: np.ndarray
    distances: np.ndarray

    @property
    def complete(self) -> np.ndarray:
        """Which queries have all the negatives that were asked for, bool `[queries]`."""
        return np.all(self.rows >= 0, axis=1)

    def __repr__(self) -> str:
        queries, n = self.rows.shape
        return f"HardNegatives({queries} queries, {n} each, {self.complete.sum()} complete)"


def mine_hard_negatives(
    queries: ArrayLike,
    candidates: ArrayLike,
    query_ids: ArrayLike,
    candidate_ids: ArrayLike,
    *,
    num_negatives: int = 4,
    distance: DistanceLike = "cosine",
    margin: float | None = None,
    skip: int = 0,
    search: str = "exact",
) -> HardNegatives:
    """The nearest candidates of each query that do not belong to it.

    Args:
        queries: Embeddings `[queries, dim]`.
        candidates: Embeddings `[candidates, dim]`.
        query_ids: `[queries]`, integers or strings: what each query belongs to.
        candidate_ids: `[candidates]`, likewise. A candidate belongs to a query if their ids
            are equal: numbers of pairs, ids of items, or class ids.
        num_negatives: How many negatives each query gets.
        distance: The distance, by name or object.
        margin: How much farther than the query's nearest own candidate a negative must be.
            What is nearer is often a positive that nobody has labelled. Defaults to `None`:
            any distance will do.
        skip: How many of the nearest negatives to leave out, for the same reason.
        search: The engine, as for `tensorflow_similarity.index.Index`.

    Returns:
        Rows of the candidates and their distances.

    Raises:
        ValueError, TypeError: If shapes do not fit.

    Example:

    ```python
    from tensorflow_similarity.models import mine_hard_negatives

    candidates = [[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]]
    found = mine_hard_negatives(
        [[1.0, 0.1]], candidates, ["a"], ["a", "b", "c"], num_negatives=2
    )
    found.rows  # [[1, 2]]
    ```

    References:
        Karpukhin et al., *Dense Passage Retrieval*, EMNLP 2020,
        https://arxiv.org/abs/2004.04906; Moreira et al., *NV-Retriever*, 2024,
        https://arxiv.org/abs/2407.15831 (the margin)
    """
    found = search_negatives(
        queries,
        candidates,
        query_ids,
        candidate_ids,
        num_negatives=num_negatives,
        distance=distance,
        margin=margin,
        skip=skip,
        search=search,
    )
    short = int(np.sum(~found.complete))
    if short:
        warnings.warn(
            f"{short} of {len(found.rows)} queries have fewer than {num_negatives} negatives; "
            "their rows end in -1. Ask for fewer, or lower `margin` or `skip`.",
            stacklevel=levels_to_the_caller(),
        )
    return found


def search_negatives(
    queries: Any,
    candidates: Any,
    query_ids: Any,
    candidate_ids: Any,
    *,
    num_negatives: int,
    distance: Any,
    margin: float | None,
    skip: int,
    search: str,
) -> HardNegatives:
    """As `mine_hard_negatives`, for callers that make up for what is missing: no warning."""
    num_negatives = checks.count(num_negatives, "num_negatives")
    skip = checks.count(skip, "skip", minimum=0)
    queries, candidates = (
        checks.embeddings(x, name) for x, name in ((queries, "queries"), (candidates, "candidates"))
    )
    own, theirs = _numbered(query_ids, len(queries), candidate_ids, len(candidates))
    distance = distances.get(distance)
    margin = None if margin is None else checks.number(margin, "margin")
    bound = _bounds(queries, candidates, own, theirs, distance, margin)

    index = Index(candidates.shape[1], distance, search=search)
    index.add(candidates, labels=theirs)
    wanted = num_negatives + skip
    rows = np.full((len(queries), wanted), -1, np.int64)
    far = np.full((len(queries), wanted), np.inf, np.float32)
    open_ = np.arange(len(queries))
    depth = min(2 * wanted + 8, len(candidates))
    while len(open_):
        found = index.lookup(queries[open_], k=depth)
        fits = (
            (found.ids >= 0)
            & (found.labels != own[open_, None])
            & (found.distances >= bound[open_, None])
        )
        # The first of those that fit, in their order.
        place = np.cumsum(fits, axis=1) - 1
        q, column = np.nonzero(fits & (place < wanted))
        rows[open_[q], place[q, column]] = found.ids[q, column]
        far[open_[q], place[q, column]] = found.distances[q, column]
        open_ = open_[fits.sum(axis=1) < wanted]
        if depth == len(candidates):
            break
        depth = min(4 * depth, len(candidates))
    return HardNegatives(rows[:, skip:], far[:, skip:])


def _numbered(
    query_ids: ArrayLike, queries: int, candidate_ids: ArrayLike, candidates: int
) -> tuple[np.ndarray, np.ndarray]:
    sides = []
    for ids, number, name in (
        (query_ids, queries, "query_ids"),
        (candidate_ids, candidates, "candidate_ids"),
    ):
        ids = checks.host_array(ids, name)
        if ids.shape != (number,) or ids.dtype.kind not in "iuUS":
            raise ValueError(
                f"`{name}` must be {number} integers or strings, one for each row. Received: "
                f"shape {ids.shape}, dtype {ids.dtype}."
            )
        sides.append(ids)
    if (sides[0].dtype.kind in "US") != (sides[1].dtype.kind in "US"):
        raise TypeError(
            "`query_ids` and `candidate_ids` must be of one kind. Received: dtypes "
            f"{sides[0].dtype} and {sides[1].dtype}."
        )
    _, numbers = np.unique(np.concatenate(sides), return_inverse=True)
    return numbers[:queries], numbers[queries:]


def _bounds(
    queries: np.ndarray,
    candidates: np.ndarray,
    own: np.ndarray,
    theirs: np.ndarray,
    distance: distances.Distance,
    margin: float | None,
) -> np.ndarray:
    """The least distance of a negative of each query."""
    if margin is None:
        return np.full(len(queries), -np.inf)
    nearest = np.full(len(queries), np.inf)
    order = np.argsort(theirs, kind="stable")
    first = np.searchsorted(theirs[order], own, "left")
    last = np.searchsorted(theirs[order], own, "right")
    # One own candidate of each query at a time: as many steps as the largest group has members.
    for step in range(int(np.max(last - first, initial=0))):
        [some] = np.nonzero(first + step < last)
        rows = order[first[some] + step]
        for begin in range(0, len(some), _ROWS):
            part = slice(begin, begin + _ROWS)
            found = ops.convert_to_numpy(
                distance.paired(queries[some[part]], candidates[rows[part]])
            )
            nearest[some[part]] = np.minimum(nearest[some[part]], found)
    # Without an own candidate nothing says how near is too near.
    return np.where(np.isfinite(nearest), nearest + margin, -np.inf)


_ROWS = 4096
