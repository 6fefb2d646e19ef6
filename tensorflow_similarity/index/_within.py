"""Everything within a distance: of queries, or among the records."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any, overload

import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity.index._keys import keys_in
from tensorflow_similarity.index._records import Rows
from tensorflow_similarity.index._results import Lookup, Neighbors
from tensorflow_similarity.index._search import State, search
from tensorflow_similarity.index.engines.within import Found, within

__all__ = ["Groups", "NeighborsWithin", "Pairs", "check_distance", "groups_of", "lookup_within"]

# Queries looked up at a time.
_PANEL = 4096
# Records of a graph are asked for so many neighbours, then for so many times more, while all of
# them are within the distance; and then all records are looked through.
_FIRST, _TIMES, _MOST = 32, 8, 2048
# Records compared with all others at a time.
_ROWS = 512


def check_distance(value: object) -> float:
    """Checks the distance of a range search, and returns it as a float.

    Raises:
        TypeError: If it is not a number.
        ValueError: If it is NaN.
    """
    return checks.number(value, "max_distance", infinite=True)


class NeighborsWithin:
    """All records within a distance of some queries, in flat columns.

    The neighbours of query i are `ids[offsets[i]:offsets[i + 1]]`, nearest first, and so are
    the other columns. `found[i]` is the list of `Lookup` of query i, and iteration gives
    these lists. `found[2:5]`, or an array of positions, gives those of some queries. Equal are
    those with equal columns.

    Attributes:
        queries: int64 `[m]`: the query of each neighbour.
        ids: int64 `[m]`.
        distances: float32 `[m]`.
        labels: int64 `[m]`; -1 for records without a label. Where the index has class
            names, those, and None there.
        offsets: int64 `[queries + 1]`.
    """

    def __init__(
        self,
        source: Rows,
        offsets: np.ndarray,
        rows: np.ndarray,
        distances: np.ndarray,
        class_names: tuple[str, ...] | None = None,
    ) -> None:
        self.offsets, self._source, self._rows = offsets, source, rows
        self._columns = Neighbors.of_rows(source, rows[None], distances[None], class_names)

    @property
    def ids(self) -> np.ndarray:
        """Ids of the neighbours: int64 `[m]`."""
        return self._columns.ids[0]

    @property
    def distances(self) -> np.ndarray:
        """Distances of the neighbours: float32 `[m]`."""
        return self._columns.distances[0]

    @property
    def labels(self) -> np.ndarray:
        """Labels of the neighbours, `[m]`: class ids, or names where the index has them."""
        return self._columns.labels[0]

    @property
    def keys(self) -> np.ndarray | None:
        """Keys of the neighbours: strings `[m]`; None where records have none."""
        found = self._columns.keys
        return None if found is None else found[0]

    @property
    def queries(self) -> np.ndarray:
        """The query of each neighbour: int64 `[m]`."""
        return np.repeat(np.arange(len(self)), self.counts)

    @property
    def counts(self) -> np.ndarray:
        """How many neighbours each query has: int64 `[queries]`."""
        return np.diff(self.offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @overload
    def __getitem__(self, query: int) -> list[Lookup]: ...

    @overload
    def __getitem__(self, query: slice | list[int] | np.ndarray) -> NeighborsWithin: ...

    def __getitem__(
        self, query: int | slice | list[int] | np.ndarray
    ) -> list[Lookup] | NeighborsWithin:
        if not isinstance(query, int | np.integer):
            return self._of(np.arange(len(self))[query])
        if not -len(self) <= query < len(self):
            raise IndexError(f"There are {len(self)} queries. Received: {query}.")
        query = range(len(self))[query]
        own = slice(self.offsets[query], self.offsets[query + 1])
        rows, distances = self._rows[None, own], self.distances[None, own]
        return Neighbors.of_rows(self._source, rows, distances, self._columns.class_names)[0]

    def _of(self, queries: np.ndarray) -> NeighborsWithin:
        """The neighbours of some queries, in this order."""
        counts = self.counts[queries]
        offsets = np.append(0, np.cumsum(counts))
        places = np.arange(offsets[-1]) + np.repeat(self.offsets[queries] - offsets[:-1], counts)
        return NeighborsWithin(
            self._source,
            offsets,
            self._rows[places],
            self.distances[places],
            self._columns.class_names,
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, NeighborsWithin):
            return NotImplemented
        return np.array_equal(self.offsets, other.offsets) and self._columns == other._columns

    __hash__ = None  # type: ignore[assignment]

    def to_data_frame(self) -> Any:
        """The neighbours as a pandas data frame, as `Neighbors.to_data_frame`.

        Raises:
            ImportError: If pandas is not installed.
        """
        frame, queries = self._columns.to_data_frame(), self.queries
        frame["query"] = queries
        frame["rank"] = np.arange(len(queries)) - self.offsets[queries] + 1
        return frame

    def __iter__(self) -> Iterator[list[Lookup]]:
        return (self[query] for query in range(len(self)))

    def sets(self, of: str = "ids") -> list[set[Any]]:
        """The match set of each query.

        Args:
            of: `"ids"`, the records; `"keys"`, likewise; or `"labels"`, their labels, each by
                itself where records have several, without None.

        Returns:
            A set for each query, empty where nothing is so near.

        Raises:
            ValueError: If `of` is none of these, or records have no keys.
        """
        if of not in ("ids", "keys", "labels"):
            raise ValueError(f"`of` must be 'ids', 'keys' or 'labels'. Received: {of!r}.")
        if of == "keys" and self.keys is None and len(self.ids):
            raise ValueError("`of` must be 'ids' where records have no keys. Received: 'keys'.")
        found = {"ids": self.ids, "keys": self.keys, "labels": self.labels}[of]
        values = [(value,) for value in ([] if found is None else found.tolist())]
        if of == "labels":
            has_label = self._columns.has_label[0].tolist()
            values = [
                () if not there else value if isinstance(value, tuple) else (value,)
                for (value,), there in zip(values, has_label, strict=True)
            ]
        bounds = self.offsets.tolist()
        return [
            set(itertools.chain.from_iterable(values[start:stop]))
            for start, stop in itertools.pairwise(bounds)
        ]

    def __repr__(self) -> str:
        return f"NeighborsWithin({len(self)} queries, {len(self.ids)} neighbors)"


def lookup_within(
    state: State, queries: np.ndarray, limit: float, allowed: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All live rows within a distance of each query, of those that are allowed.

    Returns:
        offsets: Where those of each query begin, int64 `[q + 1]`.
        rows: int64 `[m]`, nearest first for each query.
        distances: float32 `[m]`.
    """
    parts = []
    for start in range(0, len(queries), _PANEL):
        for owners, rows, distances in _found(
            state, queries[start : start + _PANEL], limit, allowed
        ):
            parts.append((start + owners, rows, distances))
    owners, rows, distances = _joined(parts)
    order = np.lexsort((state.rows.ids[rows], distances, owners))
    offsets = np.searchsorted(owners[order], np.arange(len(queries) + 1))
    return offsets, rows[order], distances[order]


def _joined(parts: list[Found]) -> Found:
    if not parts:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32)
    owners, rows, distances = (np.concatenate(column) for column in zip(*parts, strict=True))
    return owners, rows, distances


def _found(
    state: State, queries: np.ndarray, limit: float, allowed: np.ndarray | None, start: int = 0
) -> Iterator[Found]:
    """Pairs of queries and rows from `start` on, by the graph where there is one."""
    mask = state.rows.mask if allowed is None else allowed
    left = np.arange(len(queries))
    if state.graph is not None:
        k = _FIRST
        while len(left) and k <= min(_MOST, len(state.rows)):
            rows, distances, _ = search(state, queries[left], k, allowed)
            inside = (distances <= limit) & (rows >= 0)
            done = np.logical_not(inside.all(axis=1))
            owner, place = np.nonzero(inside & done[:, None])
            later = np.flatnonzero(rows[owner, place] >= start)
            owner, place = owner[later], place[later]
            yield left[owner], rows[owner, place], distances[owner, place]
            left, k = left[~done], k * _TIMES
    if len(left):
        vectors = state.rows.vectors
        for owners, rows, distances in within(
            state.scan, queries[left], vectors, limit, start, mask
        ):
            yield left[owners], rows, distances


class Pairs:
    """Pairs of records within a distance, in blocks of columns, computed when iterated over.

    Each pair is there once, its smaller id first; the distance is that from this record
    to the other. Memory is that of a block, however many pairs there are.

    Example:

    ```python
    from tensorflow_similarity.index import Index

    index = Index(embedding_size=1, distance="euclidean")
    index.add([[0.0], [1.0], [9.0]])
    for first, second, distances in index.pairs(max_distance=2):
        print(first, second, distances)  # ids, in blocks: [0] [1] [1.]
    first, second, distances = index.pairs(max_distance=2).columns()  # all, nearest first
    ```
    """

    def __init__(self, state: State, limit: float, allowed: np.ndarray | None = None) -> None:
        self._state, self._limit, self._allowed = state, limit, allowed

    @property
    def source(self) -> Rows:
        """The records, as they were when the pairs were asked for."""
        return self._state.rows

    def rows(self) -> Iterator[Found]:
        """The blocks, as rows of the index instead of ids."""
        source = self._state.rows
        live = source.live if self._allowed is None else self._allowed
        # In the order of their ids a record is compared with those behind it alone.
        in_order = source.tie_order is None
        rows = np.flatnonzero(live)
        for begin in range(0, len(rows), _ROWS):
            own = rows[begin : begin + _ROWS]
            first = int(own[0]) if in_order else 0
            queries = source.vectors[own]
            for owners, others, distances in _found(
                self._state, queries, self._limit, self._allowed, first
            ):
                mine = own[owners]
                kept = np.flatnonzero(source.ids[mine] < source.ids[others])
                if len(kept):
                    yield mine[kept], others[kept], distances[kept]

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        ids = self._state.rows.ids
        return ((ids[a], ids[b], distances) for a, b, distances in self.rows())

    def columns(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """All pairs at once, nearest first.

        Returns:
            first: The smaller id of each: int64 `[m]`.
            second: The larger: int64 `[m]`.
            distances: float32 `[m]`.
        """
        first, second, distances = _joined(list(self))
        order = np.lexsort((second, first, distances))
        return first[order], second[order], distances[order]

    def __repr__(self) -> str:
        return f"Pairs(max_distance={self._limit:g})"


@dataclasses.dataclass(frozen=True)
class Groups:
    """Groups of records connected by chains of near pairs, the largest group first.

    `groups[i]` are the ids of group i, in increasing order, and iteration gives these.

    Attributes:
        ids: The ids of all grouped records, group after group: int64 `[m]`.
        offsets: Where each begins, and the end of the last: int64 `[groups + 1]`.
        keys: The keys of `ids`, strings `[m]`; None where records have none.
    """

    ids: np.ndarray
    offsets: np.ndarray
    keys: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @overload
    def __getitem__(self, group: int) -> np.ndarray: ...

    @overload
    def __getitem__(self, group: slice) -> list[np.ndarray]: ...

    def __getitem__(self, group: int | slice) -> np.ndarray | list[np.ndarray]:
        if isinstance(group, slice):
            return [self[i] for i in range(len(self))[group]]
        group = range(len(self))[group]
        return self.ids[self.offsets[group] : self.offsets[group + 1]]

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[group] for group in range(len(self)))

    @property
    def sizes(self) -> np.ndarray:
        """Records in each group: int64 `[groups]`."""
        return np.diff(self.offsets)

    @property
    def group(self) -> np.ndarray:
        """The group of each of `ids`: int64 `[m]`."""
        return np.repeat(np.arange(len(self)), self.sizes)

    @property
    def duplicates(self) -> np.ndarray:
        """All but the smallest id of each group: what to delete to keep one of each."""
        kept = np.ones(len(self.ids), bool)
        kept[self.offsets[:-1]] = False
        return np.sort(self.ids[kept])

    def __repr__(self) -> str:
        return f"Groups({len(self)} groups of {len(self.ids)} records)"


def groups_of(pairs: Pairs) -> Groups:
    """The groups that pairs connect, in the memory of one block of them and a number a row."""
    source = pairs.source
    parent = np.arange(len(source))
    touched = np.zeros(len(source), bool)
    for first, second, _ in pairs.rows():
        touched[first] = touched[second] = True
        _connect(parent, first, second)
    rows = np.flatnonzero(touched)
    root = _roots(parent, rows)
    _, root = np.unique(root, return_inverse=True)
    sizes = np.bincount(root)
    ids = source.ids[rows]
    smallest = np.full(len(sizes), np.iinfo(np.int64).max)
    np.minimum.at(smallest, root, ids)
    order = np.lexsort((ids, smallest[root], -sizes[root]))
    starts = np.flatnonzero(np.diff(root[order], prepend=-1))
    keys = None if source.keys is None else keys_in(source.keys, rows[order])
    return Groups(ids[order], np.append(starts, len(ids)), keys)


def _roots(parent: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The root of each row; paths are shortened on the way."""
    root = parent[rows]
    while ((above := parent[root]) != root).any():
        root = parent[above]
    parent[rows] = root
    return root


def _connect(parent: np.ndarray, first: np.ndarray, second: np.ndarray) -> None:
    """Joins the sets of rows that pairs connect. Roots are the smallest rows of their sets."""
    while len(first):
        a, b = _roots(parent, first), _roots(parent, second)
        apart = np.flatnonzero(a != b)
        if not len(apart):
            return
        first, second = first[apart], second[apart]
        low, high = np.minimum(a, b)[apart], np.maximum(a, b)[apart]
        # Of several that a root is to be put under, the smallest; the others come next round.
        np.minimum.at(parent, high, low)
