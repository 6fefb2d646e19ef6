"""What an index tells about itself.

What a lookup returns: columns, and objects for those who look.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any, overload

import numpy as np

from tensorflow_similarity import targets
from tensorflow_similarity._extras import missing
from tensorflow_similarity.index._keys import keys_in
from tensorflow_similarity.index._records import Records, Rows

__all__ = ["Lookup", "Neighbors", "data_frame", "text"]


_SHOWN = 40  # characters of a payload


def _cut(data: object) -> str:
    """The repr of a payload, shortened with an ellipsis."""
    text = repr(data)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _equal(first: Any, second: Any) -> bool:
    """Whether two values of a record are equal, arrays by shape and content, NaN as itself."""
    if isinstance(first, np.ndarray) or isinstance(second, np.ndarray):
        if type(first) is not type(second) or first.shape != second.shape:
            return False
        numbers = first.dtype.kind in "fc" and second.dtype.kind in "fc"
        return np.array_equal(first, second, equal_nan=numbers)
    if isinstance(first, float) and isinstance(second, float):
        return first == second or (first != first and second != second)
    return bool(first == second)


@dataclasses.dataclass(eq=False)
class Lookup:
    """One neighbour of one query. Two are equal if all that they hold is.

    Attributes:
        rank: Its place, 1 for the nearest.
        distance: Its distance to the query.
        label: Its label, an id or a name; a tuple where records have several; or None.
        embedding: Its embedding, `[dim]`, or None where only arrays are known.
        data: Its payload, or None.
        id: Its id.
        key: Its key, or None.
    """

    rank: int
    distance: float
    label: int | str | tuple[int | str, ...] | None = None
    embedding: np.ndarray | None = None
    data: object = None
    id: int | None = None
    key: str | None = None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Lookup):
            return NotImplemented
        names = [field.name for field in dataclasses.fields(self)]
        return all(_equal(getattr(self, name), getattr(other, name)) for name in names)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        parts = [f"rank={self.rank}", f"distance={self.distance:.4g}", f"label={self.label}"]
        parts.append(f"id={self.id}" if self.key is None else f"key={self.key!r}")
        if self.data is not None:
            data = self.data
            parts.append(
                f"data=array{data.shape}" if isinstance(data, np.ndarray) else f"data={_cut(data)}"
            )
        return f"Lookup({', '.join(parts)})"


class Neighbors:
    """The neighbours of some queries, nearest first, in columns.

    `neighbors[i]` is the list of `Lookup` of query i, made when asked for;
    `neighbors[a:b]` are the neighbours of some of the queries. Records appear
    as they were at the time of the lookup, whatever happened to them since;
    for that, their storage is kept until the neighbours are let go. Two are equal if
    their ids, distances and labels are.

    Attributes:
        ids: int64 `[queries, k]`; -1 where there were fewer than k records.
        distances: float32 `[queries, k]`; inf there.
        labels: int64 `[queries, k]`; -1 there, and for records without a label. Where the
            index has class names, those, and None there. Where records have several labels,
            a tuple of ids or names each, and None there.
            index has class names, those, and None there.
        keys: Strings `[queries, k]` in an array of objects, None there; None where records have
            no keys.
    """

    def __init__(
        self,
        ids: np.ndarray,
        distances: np.ndarray,
        labels: np.ndarray | None = None,
        *,
        source: Rows | None = None,
        rows: np.ndarray | None = None,
        class_names: tuple[str, ...] | None = None,
    ) -> None:
        self.ids = ids
        self.distances = distances
        self._label_ids = np.full(ids.shape, -1, np.int64) if labels is None else labels
        self.class_names = class_names
        self._source = source
        self._rows = rows

    @classmethod
    def none(cls, queries: int, k: int, class_names: tuple[str, ...] | None = None) -> Neighbors:
        """No neighbours: padding only."""
        shape = queries, k
        return cls(
            np.full(shape, -1),
            np.full(shape, np.inf, np.float32),
            class_names=class_names,
        )

    @classmethod
    def of_rows(
        cls,
        source: Rows,
        rows: np.ndarray,
        distances: np.ndarray,
        class_names: tuple[str, ...] | None = None,
    ) -> Neighbors:
        """The neighbours at these rows; -1 for padding."""
        if not len(source):
            return cls.none(len(rows), rows.shape[1], class_names)
        ids, labels = source.ids[rows], source.labels[rows]
        absent = ~source.has_label[rows]
        padding = rows < 0
        if padding.any():
            ids[padding] = -1
            absent |= padding
        labels[absent] = -1
        return cls(ids, distances, labels, source=source, rows=rows, class_names=class_names)

    @functools.cached_property
    def keys(self) -> np.ndarray | None:
        """The keys, `[queries, k]`; see above."""
        if self._source is None or self._rows is None or self._source.keys is None:
            return None
        return keys_in(self._source.keys, self._rows)

    @functools.cached_property
    def labels(self) -> np.ndarray:
        """The labels, `[queries, k]`; see above."""
        if self._source is not None and self._source.table is not None:
            return self._source.table.decoded(self._label_ids, self.class_names)
        return targets.decode(self._label_ids, self.class_names)

    def __len__(self) -> int:
        return len(self.ids)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Neighbors):
            return NotImplemented
        return all(
            _equal(getattr(self, name), getattr(other, name))
            for name in ("ids", "distances", "labels", "has_label")
        )

    __hash__ = None  # type: ignore[assignment]

    @property
    def k(self) -> int:
        """Columns: the neighbours that were asked for."""
        return self.ids.shape[1]

    @property
    def has_label(self) -> np.ndarray:
        """Whether there is a record with a label: bool `[queries, k]`."""
        if self._source is None or self._rows is None:
            return self.ids >= 0
        return (self.ids >= 0) & (self._label_ids != -1)

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
            self._label_ids[query],
            source=self._source,
            rows=None if self._rows is None else self._rows[query],
            class_names=self.class_names,
        )

    def columns(self, order: np.ndarray) -> Neighbors:
        """The neighbours at these places `[queries, m]` of each query, in this order."""
        return Neighbors(
            np.take_along_axis(self.ids, order, 1),
            np.take_along_axis(self.distances, order, 1),
            np.take_along_axis(self._label_ids, order, 1),
            class_names=self.class_names,
            source=self._source,
            rows=None if self._rows is None else np.take_along_axis(self._rows, order, 1),
        )

    def __iter__(self) -> Iterator[list[Lookup]]:
        return (self._lookups(query) for query in range(len(self)))

    def to_data_frame(self) -> Any:
        """The neighbours as a pandas data frame, one row each, without padding.

        Returns:
            A `pandas.DataFrame` with the columns `query` (its position), `rank` (1 for the
            nearest), `id`, `key` where records have keys, `distance`, `label` and `data`.

        Raises:
            ImportError: If pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise missing("`to_data_frame`", "pandas", "pandas") from error
        queries, ranks = np.nonzero(self.ids >= 0)
        labels: Any = self.labels[queries, ranks]
        if labels.dtype != object:
            labels = pd.array(labels, dtype="Int64")
            labels[~self.has_label[queries, ranks]] = pd.NA
        data: list[Any] = [None] * len(queries)
        if self._source is not None and self._rows is not None and self._source.data is not None:
            data = list(self._source.data.get(self._rows[queries, ranks]))
        return pd.DataFrame(
            {
                "query": queries,
                "rank": ranks + 1,
                "id": self.ids[queries, ranks],
                **({} if self.keys is None else {"key": self.keys[queries, ranks]}),
                "distance": self.distances[queries, ranks],
                "label": pd.Series(labels),
                "data": pd.Series(data, dtype=object),
            }
        )

    def _lookups(self, query: int) -> list[Lookup]:
        found = np.flatnonzero(self.ids[query] >= 0)
        ids, distances = self.ids[query][found].tolist(), self.distances[query][found].tolist()
        labels: list[Any] = self.labels[query][found].tolist()
        embeddings: Any = [None] * len(found)
        data: list[Any] = [None] * len(found)
        if self._source is not None and self._rows is not None:
            rows = self._rows[query][found]
            embeddings = self._source.vectors[rows]
            if self._source.data is not None:
                data = self._source.data.get(rows)
            has_label = self.has_label[query][found].tolist()
            labels = [
                label if there else None for label, there in zip(labels, has_label, strict=True)
            ]
        keys = [None] * len(found) if self.keys is None else self.keys[query][found].tolist()
        columns = zip(distances, labels, embeddings, data, ids, keys, strict=True)
        return [Lookup(rank, *values) for rank, values in enumerate(columns, 1)]

    def __repr__(self) -> str:
        shown_of = self[:3]  # whose keys alone are read
        names = shown_of.ids if shown_of.keys is None else shown_of.keys
        shown = "\n".join(
            "  "
            + ", ".join(
                f"{name!r} ({distance:.4g})"
                for id_, name, distance in zip(*(each.tolist() for each in row), strict=True)
                if id_ >= 0
            )
            for row in zip(
                shown_of.ids[:, :5], names[:, :5], shown_of.distances[:, :5], strict=True
            )
        )
        of = "id" if shown_of.keys is None else "key"
        more = "\n  …" if len(self) > 3 else ""
        return f"Neighbors({len(self)} queries, k={self.k}), {of} (distance):\n{shown}{more}"


def text(of: dict[str, Any]) -> str:
    """The figures of `Index.stats` as text, without those that are None."""
    records, labels = f"{of['records']:,}", f"{of['labelled']:,} records"
    if of.get("deleted"):
        records += f" (and {of['deleted']:,} deleted)"
    if "classes" in of:
        labels += f" in {of['classes']:,} classes"
    lines = [
        ("records", records),
        ("labels", labels),
        ("data", of["data"] or "none"),
        *([("keys", "strings, in place of ids")] if of.get("keys") else []),
        ("embeddings", f"{of['embedding_size']} numbers, {of['distance']} distance"),
    ]
    if "bytes" in of:
        lines.append(("memory", f"{of['bytes'] / 2**20:,.1f} MiB of records"))
    if "collection" in of:
        how = f"{of['search']}: collection {of['collection']} in {of['uri']}"
    elif of["search"] == of["engine"]:
        how = of["search"]
    else:
        how = f"{of['search']}: {of['engine']}"
    lines.append(("search", how))
    if "effort" in of:
        params = "".join(f"{name} {value}, " for name, value in of["params"].items())
        beside = f"{of['scanned']:,} records scanned beside it"
        lines.append(("graph", f"{params}effort {of['effort']}, {beside}"))
    if "recall" in of:
        found = f"{of['recall']:.1%} of the true {of['recall_at']} nearest"
        cost = f"{of['microseconds_per_query']:.0f} µs a query"
        if "microseconds_alone" in of:
            cost += f" in a batch and {of['microseconds_alone']:.0f} µs alone"
        lines.append(("recall", f"{found}, {cost}, measured at {of['recall_records']:,} records"))
    lines.append(("calibrated", "yes" if of["calibrated"] else "no"))
    return "\n".join(["Index", *(f"  {name + ':':<12} {value}" for name, value in lines)])


def data_frame(records: Records, class_names: tuple[str, ...] | None = None) -> Any:
    """Records, whose labels are class ids, as a pandas data frame."""
    try:
        import pandas as pd
    except ImportError as error:
        raise missing("`to_data_frame`", "pandas", "pandas") from error
    labels: Any = records.named(class_names).labels
    if labels.dtype != object:
        labels = pd.array(labels, dtype="Int64")
        labels[~records.has_label] = pd.NA
    data = [None] * len(records) if records.data is None else list(records.data)
    return pd.DataFrame(
        {
            **({} if records.keys is None else {"key": records.keys}),
            "label": pd.Series(labels, index=records.ids),
            "embedding": pd.Series(list(records.embeddings), dtype=object, index=records.ids),
            "data": pd.Series(data, dtype=object, index=records.ids),
        },
        index=pd.Index(records.ids, name="id"),
    )
