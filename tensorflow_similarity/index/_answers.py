"""Lookups with `distinct`, `exclude` or `offset`, or with a filter for each query."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity._caller import levels_to_the_caller
from tensorflow_similarity.index._arguments import check_ids
from tensorflow_similarity.index._filters import which_keys
from tensorflow_similarity.index._keys import read_keys
from tensorflow_similarity.index._payload_keys import PayloadKeys
from tensorflow_similarity.index._records import Rows
from tensorflow_similarity.index._results import Neighbors
from tensorflow_similarity.index._search import State, search
from tensorflow_similarity.targets import Targets

__all__ = [
    "Distinct",
    "Masked",
    "Wanted",
    "WantedRows",
    "answers",
    "check_depth",
    "check_distinct",
    "check_exclude",
    "for_all",
    "kept",
    "keys_of",
    "refuse_both",
    "refuse_with_all",
    "reranked",
    "unknown_distinct",
]

#: What tells answers apart: `"label"`, a key of the payload, or a function of it.
Distinct = str | Callable[[Any], Hashable]

# Numbers in one table of candidates.
_TABLE = 1 << 22
# If this many candidates of a query are not enough, those found so far are excluded.
_MOST_CANDIDATES = 4096
_TIMES = 4


@dataclasses.dataclass(frozen=True)
class Wanted:
    """The checked arguments of a lookup, for each query.

    Attributes:
        k: Answers.
        offset: The nearest to leave out, which were seen before.
        exclude: For each query, ids that are no answers, distinct ones; None for none.
        distinct: What tells answers apart; None where each record is one.
        limit: The distance that answers have at most.
    """

    k: int
    offset: int = 0
    exclude: list[np.ndarray] | None = None
    distinct: Distinct | None = None
    limit: float | None = None

    def of(self, queries: np.ndarray | None) -> Wanted:
        """The same of some of the queries; None for all."""
        if queries is None or self.exclude is None:
            return self
        return dataclasses.replace(self, exclude=[self.exclude[query] for query in queries])

    def in_rows(self, state: State, keys: PayloadKeys) -> WantedRows:
        """The same in terms of rows.

        Raises:
            ValueError: If no record has the key that tells answers apart, or there is no
                payload for a function.
        """
        exclude = None
        if self.exclude is not None:
            rows = [state.rows.find(ids) for ids in self.exclude]
            exclude = [own[own >= 0] for own in rows]
        told = None if self.distinct is None else keys_of(self.distinct, state, keys)
        return WantedRows(self.k, self.offset, exclude, told, self.limit)


@dataclasses.dataclass(frozen=True)
class WantedRows:
    """What is wanted of each query.

    Attributes:
        k: As of `Wanted`.
        offset: As of `Wanted`.
        exclude: For each query, rows that are no answers; None for none.
        keys: What makes two rows the same answer, -1 for rows that are none: takes rows, int64
            of any shape. None where each row is an answer.
        limit: As of `Wanted`.
    """

    k: int
    offset: int = 0
    exclude: list[np.ndarray] | None = None
    keys: Callable[[np.ndarray], np.ndarray] | None = None
    limit: float | None = None

    @property
    def plain(self) -> bool:
        """Whether only the k nearest rows are wanted, without further conditions."""
        return self.exclude is None and self.keys is None


def check_exclude(
    exclude: Any, count: int, ids_of: Callable[[list[str], str], np.ndarray]
) -> list[np.ndarray]:
    """The ids to exclude from the answers, for each query.

    Args:
        exclude: Ids or keys for each query.
        count: The number of queries.
        ids_of: Gives the ids of keys, -1 for those that are not in use; takes the name of the
            argument, too.

    Raises:
        TypeError: If it is no sequence of sequences of ids.
        ValueError: If it has another length than there are queries.
    """
    if isinstance(exclude, np.ndarray) and exclude.ndim == 2:
        exclude = list(exclude)
    if isinstance(exclude, str | Mapping) or not isinstance(exclude, Sequence):
        raise TypeError(
            "`exclude` must be a list with the ids to leave out for each query, such as "
            f"[[3, 5], []]. Received: {exclude!r}."
        )
    result = []
    for place, ids in enumerate(exclude):
        if np.ndim(ids) != 1:
            raise TypeError(
                "`exclude` must hold a list of ids for each query, such as [[3, 5], []]. "
                f"Received among them: {ids!r}."
            )
        name = f"exclude[{place}]"
        keys = read_keys(ids, name)
        if keys is not None:
            own = ids_of(keys, name)
            own = own[own >= 0]
        elif len(ids):
            own = check_ids(ids, distinct=False, name=name)
        else:
            own = np.empty(0, np.int64)
        result.append(np.unique(own))
    if len(exclude) != count:
        raise ValueError(
            f"`exclude` must hold one list of ids per query: expected {count}. "
            f"Received: {len(exclude)}."
        )
    return result


def check_distinct(distinct: Any) -> Distinct:
    """Checks the argument `distinct`.

    Raises:
        TypeError: If it is neither a string nor a function.
    """
    if not isinstance(distinct, str) and not callable(distinct):
        raise TypeError(
            "`distinct` must be 'label', the name of a key of the payload, or a function of it. "
            f"Received: {distinct!r}."
        )
    return distinct


#: Which queries, and which rows may be returned for them; None for all.
Masked = tuple[np.ndarray | None, np.ndarray | None]


def keys_of(
    distinct: Distinct, state: State, keys: PayloadKeys
) -> Callable[[np.ndarray], np.ndarray]:
    """The keys by which rows count as the same answer, see `WantedRows`.

    Raises:
        ValueError: If no record has the key, or there is no payload for a function.
    """
    rows = state.rows
    if distinct == "label":
        return lambda at: _keys_of_labels(rows, at)
    if isinstance(distinct, str):
        column = keys.column(distinct, state)
        if column is None:
            raise unknown_distinct(distinct, keys.known(state))
        codes = column.codes
        return lambda at: codes[at].astype(np.int64) - 1
    if rows.data is None:
        raise ValueError("`distinct` needs records with `data`; this index has none.")
    return _Computed(distinct, rows)


def unknown_distinct(key: str, known: Sequence[str] = ()) -> ValueError:
    """The error for a key of `distinct` that no record has."""
    return ValueError(
        "`distinct` must be 'label', a key that records have in their `data`, or a "
        f"function of it. Received: {key!r}. {which_keys(key, known)}".rstrip()
    )


def _keys_of_labels(rows: Rows, at: np.ndarray) -> np.ndarray:
    return np.where(rows.has_label[at], rows.labels[at], -1)


def kept(
    rows: np.ndarray, distances: np.ndarray, wanted: WantedRows
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The answers among given candidates, in order, and how many there are."""
    depth = wanted.k + wanted.offset
    own = np.full((len(rows), depth), -1, np.int64)
    near = np.full(own.shape, np.inf, np.float32)
    queries = np.arange(len(rows))
    count, _ = _keep((rows, distances), wanted, wanted.exclude, queries, own, near)
    return *_page(own, near, wanted), count


class _Computed:
    """Keys computed by a function of the payload, called once per row."""

    def __init__(self, function: Callable[[Any], Hashable], rows: Rows) -> None:
        self._function, self._data = function, rows.data
        self._known = np.full(len(rows), -2, np.int64)
        self._numbers: dict[Hashable, int] = {}
        self._told = False

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        new = np.unique(rows[(rows >= 0) & (self._known[rows] == -2)])
        values: Iterable[Any] = () if self._data is None else self._data.each(new)
        keys = map(self._function, values)
        for row, key in zip(new, keys, strict=True):
            try:
                known = self._numbers.setdefault(key, len(self._numbers))
            except TypeError as error:
                raise TypeError(
                    "`distinct` must give a value that can be hashed for each payload, such as a "
                    f"string or a tuple. Received: {type(key).__name__}."
                ) from error
            self._known[row] = -1 if key is None else known
        if len(new) and self._numbers.keys() == {None} and not self._told:
            self._told = True
            warnings.warn(
                f"`distinct` is a function that returned None for {len(new):,} payloads, all that "
                "it was given: such records are left out. Has it no `return`?",
                stacklevel=levels_to_the_caller(),
            )
        return self._known[rows]


def refuse_both(ids: Any, filter: Any) -> None:
    """Raises unless exactly one of ids and filter is given.

    Raises:
        TypeError: If both are given, or neither.
    """
    if (ids is None) == (filter is None):
        raise TypeError(
            "Either `ids` or `filter` must be given. Received: "
            f"{'neither' if ids is None else 'both'}. `clear()` deletes all records."
        )


def for_all(labels: Any, data: Any, count: int) -> tuple[Any, Any]:
    """One label (or one set of them) and one JSON object, for each of some records."""
    if isinstance(labels, Targets):
        if len(labels) == 1:
            labels = labels.take(np.zeros(count, np.int64))
    elif labels is not None and np.ndim(labels) == 0:
        labels = [labels] * count
    if isinstance(data, Mapping):
        data = [data] * count
    return labels, data


def refuse_with_all(**options: Any) -> None:
    """Raises for arguments that need `k`.

    Raises:
        ValueError: If one is given.
    """
    for name, value in options.items():
        if value is not None and value is not False and not (type(value) is int and value == 0):
            raise ValueError(
                f"`{name}` needs `k`: without it, everything within `max_distance` is returned. "
                f"Received: {name}={value!r}."
            )


def answers(
    state: State, queries: np.ndarray, wanted: WantedRows, groups: list[Masked]
) -> tuple[np.ndarray, np.ndarray, int]:
    """As `nearest`, for groups of queries with a filter each."""
    if len(groups) == 1:
        return nearest(state, queries, wanted, groups[0][1])
    rows = np.full((len(queries), wanted.k), -1, np.int64)
    distances, most = np.full(rows.shape, np.inf, np.float32), 0
    for some, allowed in groups:
        own = wanted
        if some is not None and wanted.exclude is not None:
            own = dataclasses.replace(wanted, exclude=[wanted.exclude[query] for query in some])
        rows[some], distances[some], scanned = nearest(state, queries[some], own, allowed)
        most = max(most, scanned)
    return rows, distances, most


def nearest(
    state: State, queries: np.ndarray, wanted: WantedRows, allowed: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, int]:
    """Rows and distances of the answers `[q, k]`, as `search` gives them.

    There are k wherever that many exist: more candidates are looked at until there are.
    """
    depth = wanted.k + wanted.offset
    if wanted.plain:
        rows, distances, scanned = search(state, queries, depth, allowed)
    else:
        total = state.rows.live_count if allowed is None else int(allowed.sum())
        shape = len(queries), depth
        rows = np.full(shape, -1, np.int64)
        distances = np.full(shape, np.inf, np.float32)
        scanned = total
        _fill(state, queries, wanted, allowed, total, rows, distances)
    return *_page(rows, distances, wanted), scanned


def _page(
    rows: np.ndarray, distances: np.ndarray, wanted: WantedRows
) -> tuple[np.ndarray, np.ndarray]:
    """The answers from the offset on that are within the maximal distance."""
    rows, distances = rows[:, wanted.offset :], distances[:, wanted.offset :]
    if wanted.limit is None:
        return rows, distances
    far = ~(distances <= wanted.limit)
    return np.where(far, -1, rows), np.where(far, np.float32(np.inf), distances)


def _fill(
    state: State,
    queries: np.ndarray,
    wanted: WantedRows,
    allowed: np.ndarray | None,
    total: int,
    rows: np.ndarray,
    distances: np.ndarray,
) -> None:
    depth = rows.shape[1]
    dropped = np.zeros(len(queries), np.int64)
    if wanted.exclude is not None:
        dropped[:] = [len(own) for own in wanted.exclude]
    asked = np.minimum(depth + dropped + (3 * depth if wanted.keys else 0), total)
    # Queries that need about the same number of candidates are searched together.
    left = np.argsort(asked, kind="stable")
    while len(left):
        later = []
        while len(left):
            k = max(int(asked[left[0]]), 1)
            some = left[asked[left] <= 2 * k]
            k = max(int(asked[some].max()), 1)
            some = some[: max(1, _TABLE // k)]
            left = left[len(some) :]
            found = search(state, queries[some], k, allowed)[:2]
            own = None if wanted.exclude is None else [wanted.exclude[query] for query in some]
            count, last = _keep(found, wanted, own, some, rows, distances)
            enough = (count >= depth) | (k >= total)
            if wanted.limit is not None:
                enough |= last > wanted.limit
            later.append(some[~enough])
        left = np.concatenate(later)
        few = asked[left] < _MOST_CANDIDATES
        asked[left] = np.minimum(asked[left] * _TIMES, total)
        for query in left[~few]:
            _one_by_one(state, queries, wanted, allowed, query, rows, distances)
        left = left[few]


def _keep(
    found: tuple[np.ndarray, np.ndarray],
    wanted: WantedRows,
    exclude: list[np.ndarray] | None,
    queries: np.ndarray,
    rows: np.ndarray,
    distances: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Writes the answers among candidates; returns their number and the last distance seen."""
    candidates, values = found
    valid = candidates >= 0
    last = np.where(valid[:, -1], values[:, -1], np.inf)
    if exclude is not None:
        base = candidates.max(initial=0) + 1
        own = [query * base + out[out < base] for query, out in enumerate(exclude)]
        places = np.arange(len(candidates))[:, None] * base + candidates
        valid &= ~np.isin(places, np.concatenate(own))
    if wanted.keys is not None:
        valid &= _first_of_each(np.where(valid, wanted.keys(candidates), -1))
    depth = rows.shape[1]
    order = np.argsort(~valid, axis=1, kind="stable")[:, :depth]
    count = valid.sum(axis=1)
    there = np.arange(order.shape[1]) < count[:, None]
    width = order.shape[1]
    rows[queries, :width] = np.where(there, np.take_along_axis(candidates, order, 1), -1)
    distances[queries, :width] = np.where(there, np.take_along_axis(values, order, 1), np.inf)
    return count, last


def _first_of_each(keys: np.ndarray) -> np.ndarray:
    """Marks the first occurrence of each key in its row; -1 is never marked."""
    order = np.argsort(keys, axis=1, kind="stable")
    ordered = np.take_along_axis(keys, order, 1)
    first = np.ones(keys.shape, bool)
    first[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    result = np.empty(keys.shape, bool)
    np.put_along_axis(result, order, first & (ordered != -1), 1)
    return result


def _one_by_one(
    state: State,
    queries: np.ndarray,
    wanted: WantedRows,
    allowed: np.ndarray | None,
    query: int,
    rows: np.ndarray,
    distances: np.ndarray,
) -> None:
    """Looks for further answers of a query among rows that are none of those it has."""
    depth = rows.shape[1]
    mask = state.rows.live.copy() if allowed is None else allowed.copy()
    if wanted.exclude is not None:
        mask[wanted.exclude[query]] = False
    keys = None
    if wanted.keys is not None:
        keys = wanted.keys(np.arange(len(state.rows)))
        mask &= keys != -1
    have = int((rows[query] >= 0).sum())
    while have < depth:
        gone = rows[query, :have]
        if keys is None:
            mask[gone] = False
        else:
            mask &= ~np.isin(keys, keys[gone])
        left = int(mask.sum())
        if not left:
            return
        ask = min(4 * depth, left)
        found, values, _ = search(state, queries[query : query + 1], ask, mask)
        first = np.ones_like(found, bool) if keys is None else _first_of_each(keys[found])
        new = np.flatnonzero(first[0] & (found[0] >= 0))[: depth - have]
        rows[query, have : have + len(new)] = found[0][new]
        distances[query, have : have + len(new)] = values[0][new]
        have += len(new)
        if not len(new):
            return


def reranked(
    queries: np.ndarray, neighbors: Neighbors, rerank: Callable[..., Any], k: int
) -> Neighbors:
    """The first k neighbours after re-ranking by a function.

    Raises:
        ValueError: If it gives another shape, or NaN for a neighbour.
    """
    given = rerank(queries, neighbors)
    if given is None:
        raise TypeError(
            "`rerank` must be a function that gives a number for each neighbor. Received: one that "
            "returned None. Has it no `return`?"
        )
    values = checks.numbers(given, "rerank")
    there = neighbors.ids >= 0
    if values.shape != neighbors.ids.shape or np.isnan(values[there]).any():
        raise ValueError(
            "`rerank` must give a number for each neighbor, the smallest for the best: an array "
            f"of shape {neighbors.ids.shape} without NaN. Received: shape {values.shape}."
        )
    order = np.argsort(np.where(there, values, np.inf), axis=1, kind="stable")
    # Padding stays last, whatever values the function returns.
    last = np.argsort(~np.take_along_axis(there, order, 1), axis=1, kind="stable")
    order = np.take_along_axis(order, last, 1)
    return neighbors.columns(order[:, :k])


def check_depth(k: Any, offset: Any, rerank: Any, rerank_top: Any) -> tuple[int, int, int]:
    """Checks `k`, `offset` and the number of candidates to re-rank.

    Raises:
        TypeError: If one is no whole number, or `rerank` no function.
        ValueError: If one is out of range.
    """
    k = checks.count(k, "k")
    offset = checks.count(offset, "offset", minimum=0)
    if rerank is None:
        return k, offset, k
    if not callable(rerank):
        raise TypeError(
            "`rerank` must be a function of queries and their neighbors that gives a number for "
            f"each neighbor. Received: {rerank!r}."
        )
    if offset:
        raise ValueError("`offset` and `rerank` cannot be combined: what is found is put in order.")
    top = checks.count(rerank_top, "rerank_top")
    return k, offset, max(k, top)
