"""Match sets: all near records of each query, compared with those that should match."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity import targets
from tensorflow_similarity.index import Neighbors, NeighborsWithin

__all__ = ["MatchSets", "row_f1"]


def row_f1(predicted: Any, true: Any) -> np.ndarray:
    """F1 of each row between the predicted set P and the true set T.

    `2 |P ∩ T| / (|P| + |T|)`; 1 if both are empty, 0 if only one is. Its mean over rows is the
    row-wise F1 used to score match sets, such as duplicates of products.

    Args:
        predicted: For each row a set (or list, or array) of ids, labels or other comparable
            values. Duplicates count once.
        true: Likewise. None for a row whose true set is unknown.

    Returns:
        float64 `[rows]`; NaN if the true set is unknown, which `np.nanmean` leaves out.

    Raises:
        TypeError: If rows are not sets or sequences.
        ValueError: If lengths differ.

    Example:

    ```python
    from tensorflow_similarity.evaluation import row_f1

    row_f1([{1, 2, 3}, [4], []], [{1, 2}, {5}, []])  # [0.8, 0., 1.]
    ```
    """
    rows, wanted = _sets(predicted, "predicted"), _sets(true, "true")
    if len(rows) != len(wanted):
        raise ValueError(
            f"`predicted` and `true` must hold one set per row each. Received: {len(rows)} and "
            f"{len(wanted)}."
        )
    result = np.full(len(rows), np.nan)
    for place, (found, own) in enumerate(zip(rows, wanted, strict=True)):
        if found is None:
            raise TypeError("`predicted` must hold a set per row. Received among them: None.")
        if own is not None:
            size = len(found) + len(own)
            result[place] = 2 * len(found & own) / size if size else 1.0
    return result


@dataclasses.dataclass(frozen=True, eq=False)
class MatchSets:
    """Candidate matches of each query, with distance and correctness, to choose a threshold.

    At a threshold, a query's match set is every candidate at most that far.

    Attributes:
        queries: int64 `[m]`, the query of each candidate.
        distances: float64 `[m]`.
        right: bool `[m]`, whether it is in the true set of its query.
        relevant: int64 `[queries]`, size of the true set of each query; -1 if unknown, in which
            case the query is left out.
        reach: Match sets are complete at thresholds below this distance; if only k neighbours
            were looked up, there may be more beyond it.

    Example:

    ```python
    from tensorflow_similarity.evaluation import MatchSets
    from tensorflow_similarity.index import Index

    index = Index(embedding_size=1, distance="euclidean")
    index.add([[0.0], [1.0], [4.0], [9.0]])
    near = index.lookup([[0.4], [8.0]], max_distance=5)
    sets = MatchSets.of_sets(near, [{0, 1}, {3}])
    sets.f1([0.5, 1.0, 4.0])  # row-wise F1 at thresholds: [0.333, 1., 0.733]
    sets.best()  # 1.0
    ```
    """

    queries: np.ndarray
    distances: np.ndarray
    right: np.ndarray
    relevant: np.ndarray
    reach: float = np.inf

    @classmethod
    def of_sets(cls, found: Neighbors | NeighborsWithin, true: Any, of: str = "ids") -> MatchSets:
        """Match sets beside true sets that are given.

        Args:
            found: What `Index.lookup` returns, with `k` or with `max_distance`.
            true: For each query a set of ids, keys or labels; None where it is not known.
            of: `"ids"`: sets of records. `"keys"`: likewise, by their keys. `"labels"`: sets of
                labels, each as far as its nearest record, and by itself where records have
                several; records without a label are in none.

        Raises:
            TypeError: If `true` holds no sets, or sets of strings where records have integers, or
                the other way round.
            ValueError: If lengths differ, `of` is none of these, or records have no keys.
        """
        if of not in ("ids", "keys", "labels"):
            raise ValueError(f"`of` must be 'ids', 'keys' or 'labels'. Received: {of!r}.")
        queries, distances, ids, labels, reach = _columns(found)
        values = labels.tolist() if of == "labels" else ids.tolist()
        if of == "keys":
            keys = found.keys
            if keys is None and len(ids):
                raise ValueError("`of` must be 'ids' where records have no keys. Received: 'keys'.")
            values = [] if keys is None else keys[found.ids >= 0].tolist()
        wanted = _sets(true, "true")
        if len(wanted) != len(found):
            raise ValueError(
                f"`true` must hold one set per query: expected {len(found)}. "
                f"Received: {len(wanted)}."
            )
        _check_kind(wanted, values, of, found.keys is not None)
        order = np.lexsort((distances, queries))
        seen: set[tuple[int, Hashable]] = set()
        first, right = [], []
        for place, query in zip(order.tolist(), queries[order].tolist(), strict=True):
            label = values[place]
            # Where records have several labels, all of them.
            for value in label if isinstance(label, tuple) else (label,):
                absent = of == "labels" and (value is None or value == -1)
                if not absent and (query, value) not in seen:
                    seen.add((query, value))
                    first.append(place)
                    own = wanted[query]
                    right.append(own is not None and value in own)
        relevant = [-1 if own is None else len(own) for own in wanted]
        return cls(
            queries[first],
            distances[first],
            np.array(right, bool),
            np.array(relevant, np.int64),
            reach,
        )

    @classmethod
    def of_labels(cls, found: Neighbors, query_labels: Any, relevant: Any) -> MatchSets:
        """Match sets of records, where the true ones are those of the query's class.

        Records without a label are in no set, true or found.

        Args:
            found: What `Index.lookup` returns with `k`.
            query_labels: Class ids or names `[queries]`, None for what is of no known
                class, whose true set is empty; or several labels as `Targets`, of which a
                record must have one.
            relevant: How many records of the index have (one of) the labels of each
                query, `[queries]`.

        Raises:
            TypeError: If labels are neither ids nor names.
            ValueError: If lengths differ, or fewer are relevant than were found.
        """
        right, known, _ = targets.lookup_labels(found.labels, query_labels, "found.labels")
        count = checks.host_array(relevant, "relevant")
        if count.dtype.kind not in "iu" or count.shape != (len(found),):
            raise ValueError(
                f"`relevant` must be integers of shape [{len(found)}]. Received: {count.dtype} of "
                f"shape {list(count.shape)}."
            )
        if (right.sum(axis=1) > count).any():
            query = int(np.argmax(right.sum(axis=1) > count))
            raise ValueError(
                "`relevant` must count all records of the query's class. Received for query "
                f"{query}: {int(count[query])}, and found were {int(right[query].sum())}."
            )
        queries, places = np.nonzero(known & (found.ids >= 0))
        distances = found.distances[queries, places].astype(np.float64)
        reach = _columns(found)[-1]
        own = right[queries, places]
        return cls(queries, distances, own, count.astype(np.int64), reach)

    def f1(self, thresholds: Any) -> np.ndarray:
        """The row-wise F1 at thresholds: the mean of `row_f1` over the queries.

        Args:
            thresholds: Distances `[t]`, in any order.

        Returns:
            float64 `[t]`; NaN if no true set is known.
        """
        known = self.relevant >= 0
        count = int(known.sum())
        if not count:
            return np.full(len(np.atleast_1d(thresholds)), np.nan)
        order = np.lexsort((self.distances, self.queries))
        order = order[known[self.queries[order]]]
        queries = self.queries[order]
        begins = np.append(True, queries[1:] != queries[:-1])[: len(queries)]
        begin = np.maximum.accumulate(np.where(begins, np.arange(len(queries)), 0))
        size = np.arange(len(queries)) - begin + 1
        hits = np.cumsum(self.right[order])
        hits -= (hits - self.right[order])[begin]
        after = 2 * hits / (size + self.relevant[queries])
        # What a query has before the first is 1 where nothing is to be found.
        before = np.where(begins, self.relevant[queries] == 0, np.roll(after, 1))
        by_distance = np.argsort(self.distances[order], kind="stable")
        steps = np.cumsum((after - before)[by_distance])
        levels = np.append(0.0, steps) + (self.relevant == 0).sum()
        ends = self.distances[order][by_distance]
        at = np.searchsorted(ends, np.atleast_1d(thresholds), side="right")
        result: np.ndarray = levels[at] / count
        return result

    def best(self) -> float:
        """The threshold with the largest row-wise F1; of ties, the largest distance.

        Raises:
            ValueError: If no query with a known true set has a candidate.
        """
        candidates = self.candidates()
        if not len(candidates):
            raise ValueError("Match sets must hold at least one neighbour. Received: none.")
        values = self.f1(candidates)
        # Sums that differ by rounding alone are equal.
        return float(candidates[np.flatnonzero(values >= values.max() - 1e-12)[-1]])

    def candidates(self, most: int | None = None) -> np.ndarray:
        """The distances that occur, ascending; of more than `most`, that many evenly."""
        found = np.unique(self.distances[self.relevant[self.queries] >= 0])
        if most is None or len(found) <= most:
            return found
        return found[np.linspace(0, len(found) - 1, most).round().astype(int)]

    def __len__(self) -> int:
        return len(self.relevant)

    def __repr__(self) -> str:
        return f"MatchSets({len(self)} queries, {len(self.queries)} neighbors)"


def _columns(
    found: Neighbors | NeighborsWithin,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, float]:
    """Query, distance, id and label of each neighbour, and how far all are there."""
    if isinstance(found, NeighborsWithin):
        distances = found.distances.astype(np.float64)
        # Beyond the distance that was asked for, nothing is known; it is not kept.
        return found.queries, distances, found.ids, found.labels, np.inf
    queries, places = np.nonzero(found.ids >= 0)
    at = queries, places
    full = found.ids[:, -1] >= 0
    reach = float(found.distances[full, -1].min()) if full.any() else np.inf
    return queries, found.distances[at].astype(np.float64), found.ids[at], found.labels[at], reach


def _sets(rows: Any, name: str) -> list[set[Any] | None]:
    if isinstance(rows, str) or not isinstance(rows, Iterable):
        raise TypeError(f"`{name}` must hold a set per row. Received: {rows!r}.")
    result: list[set[Any] | None] = []
    for row in rows:
        if isinstance(row, np.ndarray):
            row = row.tolist()
        if (row is not None and not isinstance(row, set | frozenset | Sequence)) or (
            isinstance(row, str)
        ):
            raise TypeError(
                f"`{name}` must hold a set, list or array per row, or None where nothing is known. "
                f"Received among them: {row!r}."
            )
        result.append(None if row is None else {_plain(value) for value in row})
    return result


def _check_kind(wanted: list[set[Any] | None], values: list[Any], of: str, keyed: bool) -> None:
    """Refuses names to be found among numbers, or numbers among names: none would be equal."""
    labels = (
        each for value in values for each in (value if isinstance(value, tuple) else (value,))
    )
    known = next((label for label in labels if label is not None), None)
    if known is None:
        return
    named = isinstance(known, str)
    for value in (each for own in wanted if own is not None for each in own):
        if isinstance(value, str) != named:
            raise TypeError(
                f"`true` must hold {of}, such as {known!r}. Received among them: {value!r}."
                + (" Pass of='keys' for keys." if of == "ids" and keyed else "")
            )


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
