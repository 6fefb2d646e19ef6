"""Records in columns: ids, labels, embeddings and payload, with tombstones.

From record ids to rows, vectorised and persistent.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np

from tensorflow_similarity import targets
from tensorflow_similarity.index._columns import Column, RowArray
from tensorflow_similarity.index._keys import equal, hashes_of, keys_in
from tensorflow_similarity.index._label_sets import LabelSets, LabelTable
from tensorflow_similarity.index._payload import JsonPayload, Payload, PayloadRows
from tensorflow_similarity.index._vectors import EncodedRows, VectorColumn

__all__ = ["Batch", "IdMap", "Records", "Rows", "Store"]

# Insertions into the recent part copy it, so it stays small; merging it copies
# everything, so it must not be too small.
_SMALLEST_MERGE = 4096
_MERGE_SHARE = 16

# So many are searched for in order.
_MANY = 4096

_NO_IDS = np.empty(0, np.int64)


@dataclasses.dataclass(frozen=True)
class IdMap:
    """An immutable map from int64 ids to rows; `insert` returns a new one.

    Two sorted arrays, one large and one recent, which is merged into the large
    one when it has grown to a sixteenth of it. While ids only ever increase
    (as assigned ids do) the large one is the column of ids itself, and the map
    needs no memory of its own.

    An id that is inserted again maps to its new row. Nothing is removed: the
    caller knows which rows are alive.
    """

    ids: np.ndarray = dataclasses.field(default_factory=lambda: _NO_IDS)
    rows: np.ndarray | None = None  # None: row i holds ids[i]
    recent_ids: np.ndarray = dataclasses.field(default_factory=lambda: _NO_IDS)
    recent_rows: np.ndarray = dataclasses.field(default_factory=lambda: _NO_IDS)

    @classmethod
    def of_column(cls, ids: np.ndarray) -> IdMap:
        """The map of a column of ids, where a later row wins over an earlier one."""
        if len(ids) < 2 or bool((np.diff(ids) > 0).all()):
            return cls(ids=ids)
        # The last of equal ids is the first of the reversed column.
        unique, first = np.unique(ids[::-1], return_index=True)
        return cls(ids=unique, rows=len(ids) - 1 - first)

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays, some of which may be columns of the index."""
        arrays = (self.ids, self.rows, self.recent_ids, self.recent_rows)
        return sum(0 if array is None else array.nbytes for array in arrays)

    @property
    def in_order(self) -> bool:
        """Whether the ids increase from row to row."""
        return self.rows is None and not len(self.recent_ids)

    def find(self, ids: np.ndarray) -> np.ndarray:
        """The row of each id, int64 `[n]`; -1 where the id was never inserted."""
        rows = _find(self.ids, self.rows, ids)
        if len(self.recent_ids):
            recent = _find(self.recent_ids, self.recent_rows, ids)
            rows = np.where(recent >= 0, recent, rows)
        return rows

    def insert(self, column: np.ndarray, start: int) -> IdMap:
        """The map after the ids `column[start:]` were appended, without duplicates.

        Args:
            column: All ids, of all rows.
            start: The first row that is new.
        """
        new = column[start:]
        if not len(new):
            return self
        increasing = len(new) < 2 or bool((np.diff(new) > 0).all())
        if self.in_order and increasing and (start == 0 or new[0] > column[start - 1]):
            return IdMap(ids=column)
        if not start:
            return IdMap.of_column(column)
        recent_ids, recent_rows = _merge(
            self.recent_ids, self.recent_rows, new, np.arange(start, len(column))
        )
        merged = dataclasses.replace(self, recent_ids=recent_ids, recent_rows=recent_rows)
        if len(recent_ids) > max(_SMALLEST_MERGE, len(self.ids) // _MERGE_SHARE):
            rows = np.arange(len(self.ids)) if self.rows is None else self.rows
            all_ids, all_rows = _merge(self.ids, rows, recent_ids, recent_rows)
            return IdMap(ids=all_ids, rows=all_rows)
        return merged


def _find(keys: np.ndarray, rows: np.ndarray | None, ids: np.ndarray) -> np.ndarray:
    if not len(keys):
        return np.full(len(ids), -1, np.int64)
    if len(ids) < _MANY:
        place = np.searchsorted(keys, ids)
    else:  # in their order, which reads memory once from end to end
        order = np.argsort(ids)
        place = np.empty(len(ids), np.int64)
        place[order] = np.searchsorted(keys, ids[order])
    place[place == len(keys)] = 0
    return np.where(keys[place] == ids, place if rows is None else rows[place], -1)


def _merge(
    old_ids: np.ndarray, old_rows: np.ndarray, new_ids: np.ndarray, new_rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Merges two maps into one sorted by id; the new rows win."""
    order = np.argsort(new_ids)
    new_ids, new_rows = new_ids[order], new_rows[order]
    if len(old_ids):
        kept = _find(new_ids, None, old_ids) < 0
        old_ids, old_rows = old_ids[kept], old_rows[kept]
    place = np.searchsorted(old_ids, new_ids)
    return np.insert(old_ids, place, new_ids), np.insert(old_rows, place, new_rows)


@dataclasses.dataclass(frozen=True)
class Records:
    """Records of an index, in columns; `None` labels and data where there are none.

    Attributes:
        ids: int64 `[n]`.
        embeddings: float32 `[n, dim]`, as they were added; rounded where the index
            stores them in fewer bytes.
        labels: int64 `[n]`, -1 where `has_label` is False; class names, and None there,
            where records have names. Where records have several labels, a tuple of ids or
            names each, and None there.
        has_label: bool `[n]`.
        data: The payload: an array `[n, ...]`, a list of `n` values, or None if
            the index holds no payload.
        keys: The keys of the records, strings `[n]` in an array of objects, or None if
            they have none.
    """

    ids: np.ndarray
    embeddings: np.ndarray
    labels: np.ndarray
    has_label: np.ndarray
    data: np.ndarray | list[Any] | None
    keys: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def named(self, class_names: tuple[str, ...] | None) -> Records:
        """The records with the names of their classes, where they have names."""
        if class_names is None:
            return self
        if self.labels.dtype == object:
            labels = np.empty(len(self), object)
            for place, own in enumerate(self.labels):
                if own is not None:
                    labels[place] = tuple(class_names[id_] for id_ in own)
            return dataclasses.replace(self, labels=labels)
        return dataclasses.replace(self, labels=targets.decode(self.labels, class_names))

    def __repr__(self) -> str:
        return f"Records({len(self)} of embedding size {self.embeddings.shape[1]})"


@dataclasses.dataclass(frozen=True)
class Batch:
    """Checked records to be stored. With keys, ids may not be assigned yet."""

    ids: np.ndarray
    vectors: RowArray
    labels: np.ndarray | LabelSets
    has_label: np.ndarray
    data: PayloadRows | None
    keys: JsonPayload | None = None

    def __len__(self) -> int:
        return len(self.vectors)


@dataclasses.dataclass(frozen=True)
class Rows:
    """An immutable snapshot of all rows, including deleted ones.

    A record that is updated gets a new row, and its old one is dead. Where there is a
    `table`, labels are the numbers of sets of them in it.
    """

    ids: np.ndarray
    vectors: RowArray
    labels: np.ndarray
    has_label: np.ndarray
    live: np.ndarray
    dead: int
    data: PayloadRows | None
    id_map: IdMap
    table: LabelTable | None = None
    keys: JsonPayload | None = None
    key_map: IdMap = dataclasses.field(default_factory=IdMap)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def live_count(self) -> int:
        return len(self) - self.dead

    @functools.cached_property
    def live_rows(self) -> np.ndarray:
        """The live rows, in the order of their ids."""
        rows = np.flatnonzero(self.live)
        return rows if self.id_map.in_order else rows[np.argsort(self.ids[rows])]

    @property
    def mask(self) -> np.ndarray | None:
        """Which rows are alive; None where all are."""
        return self.live if self.dead else None

    @property
    def tie_order(self) -> np.ndarray | None:
        """Sort keys that order rows by id; None if rows are in that order already."""
        return None if self.id_map.in_order else self.ids

    def find(self, ids: np.ndarray) -> np.ndarray:
        """The live row of each id, -1 where there is none."""
        rows = self.id_map.find(ids)
        if self.dead and len(self):
            rows = np.where(self.live[rows], rows, -1)
        return rows

    @property
    def keyed(self) -> bool | None:
        """Whether the records have keys; None if there are no records."""
        return None if not self.live_count else self.keys is not None

    def find_keys(self, keys: JsonPayload) -> np.ndarray:
        """The live row of each key, -1 where there is none."""
        if self.keys is None or not len(self):
            return np.full(len(keys), -1)
        rows = self.key_map.find(hashes_of(keys))
        places = np.flatnonzero(rows >= 0)
        same = equal(keys, places, self.keys, rows[places])
        for place in places[~same].tolist():
            # Two keys of one number: next to never. One that is deleted may hide another.
            own = np.flatnonzero(self.live)
            own = own[equal(self.keys, own, keys, np.full(len(own), place))]
            rows[place] = own[-1] if len(own) else -1
        return np.where(self.live[rows] & (rows >= 0), rows, -1)

    def records(self, rows: np.ndarray) -> Records:
        """Copies out these rows."""
        has_label = self.has_label[rows] & (self.labels[rows] != -1)
        labels = np.where(has_label, self.labels[rows], -1)
        return Records(
            ids=self.ids[rows],
            embeddings=self.vectors[rows],
            labels=labels if self.table is None else self.table.decoded(labels),
            has_label=has_label,
            data=None if self.data is None else self.data.columnar(rows),
            keys=None if self.keys is None else keys_in(self.keys, rows),
        )

    def labels_of(self, rows: Any = slice(None)) -> np.ndarray | LabelSets:
        """The labels of some rows, as if they were to be added."""
        if self.table is None:
            return self.labels[rows]
        return self.table.sets.take(np.where(self.has_label[rows], self.labels[rows], -1))

    def batch(self, rows: np.ndarray) -> Batch:
        """These rows, as if they were to be added."""
        vectors = self.vectors
        return Batch(
            self.ids[rows],
            vectors.taken(rows) if isinstance(vectors, EncodedRows) else vectors[rows],
            self.labels_of(rows),
            self.has_label[rows],
            None if self.data is None else self.data.take(rows),
            None if self.keys is None else self.keys.take(rows),
        )

    def compacted(self) -> Batch:
        """All live rows in order; without a copy if all are live."""
        if self.dead:
            return self.batch(np.flatnonzero(self.live))
        labels = self.labels_of()
        return Batch(self.ids, self.vectors, labels, self.has_label, self.data, self.keys)


class Store:
    """The growing columns. For one writer at a time; readers use `rows`.

    Args:
        embedding_size: Numbers in an embedding.
        storage: How embeddings are stored, one of `STORAGES`.
    """

    def __init__(self, embedding_size: int, storage: str = "float32") -> None:
        self._ids = Column.empty((), np.int64)
        self._vectors = VectorColumn.empty(embedding_size, storage)
        self._labels = Column.empty((), np.int64)
        self._has_label = Column.empty((), bool)
        self._live = Column.empty((), bool)
        self._data, self._keys = Payload(), Payload()
        self._table: LabelTable | None = None
        self._hashes = Column.empty((), np.int64)
        self.rows = self._snapshot(IdMap(), IdMap(), dead=0)

    @classmethod
    def of(cls, batch: Batch, live: np.ndarray | None = None) -> Store:
        """A store that uses the arrays of the batch without a copy.

        Args:
            batch: The first records.
            live: bool `[n]`, which of them are alive; None for all.
        """
        live = np.ones(len(batch), bool) if live is None else live
        store = cls.__new__(cls)
        store._ids = Column(batch.ids)
        store._vectors = VectorColumn.of(batch.vectors)
        labels, store._table = batch.labels, None
        if isinstance(labels, LabelSets):
            store._table = LabelTable()
            labels = store._table.numbers(labels)
        store._labels = Column(labels)
        store._has_label = Column(batch.has_label)
        store._live = Column(live)
        store._data = Payload(batch.data, len(batch))
        store._keys = Payload(batch.keys, len(batch))
        store._hashes = Column(_hashes(batch.keys))
        dead = len(batch) - int(live.sum())
        key_map = IdMap.of_column(store._hashes.view())
        store.rows = store._snapshot(IdMap.of_column(batch.ids), key_map, dead)
        return store

    def emptied(self) -> Store:
        """A store of the same kind without records."""
        return Store(self.rows.vectors.shape[1], self._vectors.storage)

    def check_data(self, data: PayloadRows | None) -> None:
        """Raises if the payload is incompatible with the stored one."""
        self._data.check(data)

    def append(self, batch: Batch, replaced: np.ndarray | None = None) -> Rows:
        """Adds checked records, and marks the rows that they replace as deleted."""
        start = len(self.rows)
        labels, table = self._numbered(batch)
        # After an append that failed half-way, columns may be longer than what
        # was published.
        columns: list[tuple[Column | VectorColumn, Any]] = [
            (self._ids, batch.ids),
            (self._vectors, batch.vectors),
            (self._labels, labels),
            (self._has_label, batch.has_label),
            (self._live, np.ones(len(batch), bool)),
        ]
        for column, values in columns:
            column.truncate(start)
            column.append(values)
        self._data.append(start, batch.data, len(batch))
        self._table = table
        self._keys.append(start, batch.keys, len(batch))
        id_map = self.rows.id_map.insert(self._ids.view(), start)
        key_map = self.rows.key_map
        if batch.keys is not None:
            self._hashes.truncate(start)
            self._hashes.append(_hashes(batch.keys))
            key_map = key_map.insert(self._hashes.view(), start)
        dead = self.rows.dead
        if replaced is not None and len(replaced):
            dead += self._bury(replaced)
        self.rows = self._snapshot(id_map, key_map, dead)
        return self.rows

    def check_labels(self, batch_labels: np.ndarray | LabelSets) -> None:
        """Raises if records are given several labels but stored ones have a single label."""
        if isinstance(batch_labels, LabelSets) and self._table is None and self._labelled():
            raise TypeError(
                "`labels` must be one for each record, as those of the records of the index are. "
                "Received: several. Index all records again with several labels; one label is a "
                "set of one."
            )

    def _labelled(self) -> bool:
        return bool((self.rows.live & self.rows.has_label).any())

    def _numbered(self, batch: Batch) -> tuple[np.ndarray, LabelTable | None]:
        """The labels as they are stored, and the table that they are numbers of."""
        labels, table = batch.labels, self._table
        if not batch.has_label.any():
            return np.zeros(len(batch), np.int64), table
        if not isinstance(labels, LabelSets):
            if table is None:
                return labels, table
            if not self._labelled():  # No record with several labels is left.
                return labels, None
            labels = LabelSets.of_labels(labels, batch.has_label)
        table = LabelTable() if table is None else table
        return table.numbers(labels), table

    def bury(self, rows: np.ndarray) -> Rows:
        """Marks live rows as deleted."""
        self._live.truncate(len(self.rows))
        dead = self.rows.dead + self._bury(rows)
        self.rows = self._snapshot(self.rows.id_map, self.rows.key_map, dead)
        return self.rows

    def _bury(self, rows: np.ndarray) -> int:
        # In existing snapshots the rows stay live.
        self._live = self._live.copy()
        self._live.view()[rows] = False
        return len(rows)

    def _snapshot(self, id_map: IdMap, key_map: IdMap, dead: int) -> Rows:
        keys = self._keys.view()
        return Rows(
            ids=self._ids.view(),
            vectors=self._vectors.view(),
            labels=self._labels.view(),
            has_label=self._has_label.view(),
            live=self._live.view(),
            dead=dead,
            data=self._data.view(),
            id_map=id_map,
            table=self._table,
            keys=keys if isinstance(keys, JsonPayload) else None,
            key_map=key_map,
        )


def _hashes(keys: JsonPayload | None) -> np.ndarray:
    return _NO_IDS if keys is None else hashes_of(keys)
