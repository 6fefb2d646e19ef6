"""What a lookup returns: columns, and objects for those who look."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, overload

import numpy as np

from tensorflow_similarity.index.records import Rows

__all__ = ["Lookup", "Neighbors"]


@dataclasses.dataclass
class Lookup:
    """One neighbour of one query.

    Attributes:
        rank: Its place, 0 for the nearest.
        distance: Its distance to the query.
        label: Its label, or None.
        embedding: Its embedding, `[dim]`, or None where only arrays are known.
        data: Its payload, or None.
        id: Its id.
    """

    rank: int
    distance: float
    label: int | None = None
    embedding: np.ndarray | None = None
    data: Any = None
    id: int | None = None

    def __repr__(self) -> str:
        parts = [f"rank={self.rank}", f"distance={self.distance:.4g}", f"label={self.label}"]
        parts.append(f"id={self.id}")
        if self.data is not None:
            data = self.data
            parts.append(
                f"data=array{data.shape}" if isinstance(data, np.ndarray) else f"data={data!r:.40}"
            )
        return f"Lookup({', '.join(parts)})"


class Neighbors:
    """The neighbours of some queries, nearest first, in columns.

    `neighbors[i]` is the list of `Lookup` of query i, made when asked for;
    `neighbors[a:b]` are the neighbours of some of the queries. Records appear
    as they were at the time of the lookup, whatever happened to them since;
    for that, their storage is kept until the neighbours are let go.

    Attributes:
        ids: int64 `[queries, k]`; -1 where there were fewer than k records.
        distances: float32 `[queries, k]`; inf there.
        labels: int64 `[queries, k]`; -1 there, and for records without a label.
    """

    def __init__(
        self,
        ids: np.ndarray,
        distances: np.ndarray,
        labels: np.ndarray | None = None,
        *,
        source: Rows | None = None,
        rows: np.ndarray | None = None,
    ) -> None:
        self.ids = ids
        self.distances = distances
        self.labels = np.full(ids.shape, -1, np.int64) if labels is None else labels
        self._source = source
        self._rows = rows

    @classmethod
    def of_rows(cls, source: Rows, rows: np.ndarray, distances: np.ndarray) -> Neighbors:
        """The neighbours at these rows; -1 for padding."""
        ids, labels = source.ids[rows], source.labels[rows]
        absent = ~source.has_label[rows]
        padding = rows < 0
        if padding.any():
            ids[padding] = -1
            absent |= padding
        labels[absent] = -1
        return cls(ids, distances, labels, source=source, rows=rows)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def k(self) -> int:
        """Columns: the neighbours that were asked for."""
        return self.ids.shape[1]

    @property
    def has_label(self) -> np.ndarray:
        """Where there is a record with a label: bool `[queries, k]`."""
        if self._source is None or self._rows is None:
            return self.ids >= 0
        return (self.ids >= 0) & self._source.has_label[self._rows]

    @overload
    def __getitem__(self, query: int) -> list[Lookup]: ...

    @overload
    def __getitem__(self, query: slice | np.ndarray) -> Neighbors: ...

    def __getitem__(self, query: int | slice | np.ndarray) -> list[Lookup] | Neighbors:
        if isinstance(query, int | np.integer):
            return self._lookups(int(query))
        return Neighbors(
            self.ids[query],
            self.distances[query],
            self.labels[query],
            source=self._source,
            rows=None if self._rows is None else self._rows[query],
        )

    def __iter__(self) -> Iterator[list[Lookup]]:
        return (self._lookups(query) for query in range(len(self)))

    def _lookups(self, query: int) -> list[Lookup]:
        found = np.flatnonzero(self.ids[query] >= 0)
        ids, distances = self.ids[query][found].tolist(), self.distances[query][found].tolist()
        labels: list[int | None] = self.labels[query][found].tolist()
        embeddings: Any = [None] * len(found)
        data: list[Any] = [None] * len(found)
        if self._source is not None and self._rows is not None:
            rows = self._rows[query][found]
            embeddings = self._source.vectors[rows]
            if self._source.data is not None:
                data = self._source.data.get(rows)
            has_label = self._source.has_label[rows].tolist()
            labels = [
                label if there else None for label, there in zip(labels, has_label, strict=True)
            ]
        columns = zip(distances, labels, embeddings, data, ids, strict=True)
        return [Lookup(rank, *values) for rank, values in enumerate(columns)]

    def __repr__(self) -> str:
        shown = "\n".join(
            "  "
            + ", ".join(
                f"{id_} ({distance:.4g})"
                for id_, distance in zip(ids.tolist(), distances.tolist(), strict=True)
                if id_ >= 0
            )
            for ids, distances in zip(self.ids[:3, :5], self.distances[:3, :5], strict=True)
        )
        more = "\n  …" if len(self) > 3 else ""
        return f"Neighbors({len(self)} queries, k={self.k}), id (distance):\n{shown}{more}"
