"""The backend that stores records in Milvus."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import threading
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from tensorflow_similarity._caller import levels_to_the_caller
from tensorflow_similarity.distances import Distance
from tensorflow_similarity.index import _snapshot
from tensorflow_similarity.index._answers import Wanted, WantedRows, kept, unknown_distinct
from tensorflow_similarity.index._arguments import Settings
from tensorflow_similarity.index._backend import Changes, Group, Nearest, Selected, Within
from tensorflow_similarity.index._class_names import names_in
from tensorflow_similarity.index._conditions import (
    Condition,
    kinds_compared,
    tests_of_keys,
)
from tensorflow_similarity.index._filters import unknown_key, warn_of_kinds
from tensorflow_similarity.index._keys import refuse_mixture
from tensorflow_similarity.index._label_sets import LabelSets
from tensorflow_similarity.index._metadata import Notes, calibration_of
from tensorflow_similarity.index._payload import JsonPayload, PayloadRows
from tensorflow_similarity.index._payload_keys import PayloadKeys, keys_in
from tensorflow_similarity.index._records import Batch, Rows, Store
from tensorflow_similarity.index._search import State
from tensorflow_similarity.index._snapshot import Contents
from tensorflow_similarity.index.engines.exact import ExactScan
from tensorflow_similarity.index.milvus import payloads
from tensorflow_similarity.index.milvus.about import notes_in
from tensorflow_similarity.index.milvus.collection import LONGEST_KEY, MOST_ROWS
from tensorflow_similarity.index.milvus.expressions import at_key, expression, of_kind
from tensorflow_similarity.index.milvus.opening import Opened

__all__ = ["InMilvus"]

_T = TypeVar("_T")
# This many ids are reserved at a time.
_IDS = 4096
# Rows to ask for first, where all within a distance are wanted.
_FIRST = 32


@dataclasses.dataclass(frozen=True)
class _Hits:
    """Results of Milvus: records by id, their rows, and those of each query, nearest first."""

    records: dict[int, dict[str, Any]]
    source: Rows
    rows: np.ndarray
    distances: np.ndarray


class InMilvus:
    """A `Backend` in Milvus.

    Args:
        opened: The collection.
        verbose: 0 for silence, 1 for a progress bar when writing takes long.
    """

    storage = "float32"
    search = engine = "milvus"
    path = recall = None

    def __init__(self, opened: Opened, verbose: int) -> None:
        self._opened, self._verbose = opened, verbose
        self._records, self._about = opened.records, opened.about
        self._kind: dict[str, Any] | None = self._about.read("payload")
        self.notes: Notes = notes_in(self._about)
        self._calibration = calibration_of(self._about.read("calibration"))
        self._next, self._end = 0, 0  # ids that are reserved
        self._counted = self._about.next_id()
        self._writing = threading.RLock()
        self._without_keys = False  # whether records without keys were written here
        self._told: set[Any] = set()  # warnings given already

    # -- What it is -------------------------------------------------------------------------

    @property
    def embedding_size(self) -> int:
        return self._opened.embedding_size

    @property
    def distance(self) -> Distance:
        return self._opened.distance

    @property
    def uri(self) -> str | None:
        """The address of Milvus; None if a client was given."""
        return self._opened.uri

    @property
    def collection(self) -> str:
        """The name of the collection."""
        return self._opened.name

    @property
    def calibration(self) -> Any:
        return self._calibration

    @calibration.setter
    def calibration(self, calibration: Any) -> None:
        self._about.write("calibration", calibration and calibration.get_config())
        self._calibration = calibration

    def latest_notes(self) -> Notes:
        self.notes.become(self._about.read("notes", {}))
        return self.notes

    def get_config(self) -> dict[str, Any]:
        return {
            "embedding_size": self.embedding_size,
            "distance": self.distance.name,
            "search": self.search,
            "search_params": dict(self._opened.search_params),
            "uri": self.uri,
            "collection": self.collection,
        }

    def stats(self) -> dict[str, Any]:
        return {
            "records": self.count(),
            "embedding_size": self.embedding_size,
            "distance": self.distance.name,
            "search": self.search,
            "engine": self.engine,
            "params": dict(self._opened.search_params),
            "uri": self.uri,
            "collection": self.collection,
            "labelled": self._records.count("label is not null"),
            "data": self._kind and self._kind["kind"],
            "keys": self.keyed(),
            "calibrated": self._calibration is not None,
        }

    # -- Records ----------------------------------------------------------------------------

    def count(self, where: Condition | None = None) -> int:
        found = self._records.count(expression(where))
        if not found:
            self._check_keys(where)
        return found

    def ids(self, where: Condition | None = None) -> np.ndarray:
        found = self._records.ids(expression(where))
        if not len(found):
            self._check_keys(where)
        return found

    def where(self, where: Condition | None = None, most: int | None = None) -> Selected:
        return self.at(self.ids(where)[:most])

    def at(self, ids: np.ndarray) -> Selected:
        own = np.unique(ids)
        found = self._records.rows(own)
        _require(own, np.array([id_ in found for id_ in own.tolist()], bool))
        source = self._rows({id_: found[id_] for id_ in own.tolist()})
        return Selected(source, source.find(ids))

    def known(self, ids: np.ndarray) -> np.ndarray:
        return self._records.known(ids)

    def keyed(self) -> bool:
        return self._records.keyed and self._records.holds(keyed=True)

    def ids_of(self, keys: JsonPayload) -> np.ndarray:
        if not self._records.keyed:
            raise self._no_keys()
        texts = self._texts(keys)
        ids = _numbers(texts)
        return np.where(self._in_use(ids, texts), ids, -1)

    def _texts(self, keys: JsonPayload) -> list[str]:
        """Keys as they are stored: JSON, in ASCII."""
        found = keys.each(np.arange(len(keys)))
        return ["" if key is None else json.dumps(key) for key in found]

    def _in_use(self, ids: np.ndarray, texts: list[str]) -> np.ndarray:
        """Which keys are in use, by their ids: bool `[n]`."""
        found = self._records.keys(ids)
        own = zip(ids.tolist(), texts, strict=True)
        return np.array([found.get(id_) == text for id_, text in own], bool)

    def has_labels(self) -> bool:
        return bool(self._records.count("label is not null"))

    def _rows(self, found: dict[int, dict[str, Any]]) -> Rows:
        """Records of Milvus as rows."""
        rows = list(found.values())
        labels = [row["label"] for row in rows]
        keys = [row.get("key") for row in rows]
        # With no records, no key is there to tell.
        keyed = any(keys) or (not rows and self.keyed())
        if self._kind is None and any(row["data"] is not None for row in rows):
            self._kind = self._about.read("payload")  # from another program
        class_ids = np.array([0 if label is None else label for label in labels], np.int64)
        names = names_in(self.notes)
        if names is not None and class_ids.max(initial=-1) >= len(names):
            self.latest_notes()  # of records that another program added meanwhile
        return Store.of(
            Batch(
                np.array(list(found), np.int64),
                np.array([row["vector"] for row in rows], np.float32).reshape(
                    -1, self.embedding_size
                ),
                class_ids,
                np.array([label is not None for label in labels], bool),
                payloads.decoded([row["data"] for row in rows], self._kind),
                payloads.column([key or "null" for key in keys]) if keyed else None,
            )
        ).rows

    # -- Searching --------------------------------------------------------------------------

    def check_k(self, k: int, offset: int, queries: int) -> None:
        if k + offset > MOST_ROWS:
            beyond = f" and offset={offset:,}" if offset else ""
            raise ValueError(
                f"`k` must be at most {MOST_ROWS:,} in Milvus. Received: {k:,}{beyond}."
            )

    def nearest(self, queries: np.ndarray, wanted: Wanted, groups: list[Group]) -> Nearest:
        if len(groups) == 1:
            return self._nearest(queries, wanted, groups[0][1])[1]
        records: dict[int, dict[str, Any]] = {}
        ids = np.full((len(queries), wanted.k), -1)
        distances = np.full(ids.shape, np.inf, np.float32)
        for some, where in groups:
            found, near = self._nearest(queries[some], wanted.of(some), where)
            if len(near.source):
                ids[some] = np.where(near.rows < 0, -1, near.source.ids[near.rows])
                distances[some] = near.distances
            records |= found
        source = self._rows(records)
        rows = source.find(ids.reshape(-1)).reshape(ids.shape)  # -1 is no id
        return Nearest(source, rows, distances)

    def _nearest(
        self, queries: np.ndarray, wanted: Wanted, where: Condition | None
    ) -> tuple[dict[int, dict[str, Any]], Nearest]:
        depth = wanted.k + wanted.offset

        def answer(hits: _Hits) -> tuple[Nearest, np.ndarray]:
            own = self._in_rows(wanted, hits.source)
            rows, distances, count = kept(hits.rows, hits.distances, own)
            return Nearest(hits.source, rows, distances), count >= depth

        hits, found = self._search(queries, depth, where, wanted.limit, answer)
        if found is None:
            shape = len(queries), wanted.k
            none = np.full(shape, -1), np.full(shape, np.inf, np.float32)
            found = Nearest(hits.source, *none)
        return hits.records, found

    def within(self, queries: np.ndarray, limit: float, where: Condition | None) -> Within:
        never = np.zeros(len(queries), bool)
        hits, _ = self._search(queries, _FIRST, where, limit, lambda hits: (None, never))
        inside = (hits.rows >= 0) & (hits.distances <= limit)
        offsets = np.append(0, np.cumsum(inside.sum(axis=1)))
        return Within(hits.source, offsets, hits.rows[inside], hits.distances[inside])

    def _search(
        self,
        queries: np.ndarray,
        ask: int,
        where: Condition | None,
        limit: float | None,
        answer: Callable[[_Hits], tuple[_T, np.ndarray]],
    ) -> tuple[_Hits, _T | None]:
        """Requests records from Milvus until there are enough, or no more within the distance.

        Args:
            queries: The queries.
            ask: How many to ask for first.
            where: What must hold for them.
            limit: The distance that answers have at most.
            answer: The answers among what was found, and which queries have all of theirs:
                bool `[q]`.

        Returns:
            What was found, and the answers; None where nothing was.
        """
        text, ask = expression(where), min(ask, MOST_ROWS)
        while True:
            hits = self._hits(queries, ask, text)
            if not hits.records:
                self._check_keys(where)
                return hits, None
            found, enough = answer(hits)
            done = (hits.rows[:, -1] < 0) | enough
            if limit is not None:
                done |= hits.distances[:, -1] > limit
            if done.all():
                return hits, found
            if ask >= MOST_ROWS:
                warnings.warn(
                    f"Milvus gives {MOST_ROWS:,} rows at most, and {int((~done).sum())} queries "
                    "have answers beyond, which are missing.",
                    stacklevel=levels_to_the_caller(),
                )
                return hits, found
            ask = min(4 * ask, MOST_ROWS)

    def _hits(self, queries: np.ndarray, k: int, filter: str) -> _Hits:
        """What Milvus finds: records, and of each query the rows and true distances, in order."""
        hits = self._records.search(queries, k, filter)
        records = {row["id"]: row for found in hits for row in found}
        source = self._rows(records)
        rows = np.full((len(queries), k), -1)
        if not records:
            return _Hits(records, source, rows, np.full(rows.shape, np.inf, np.float32))
        for query, found in enumerate(hits):
            ids = np.array([row["id"] for row in found], np.int64)
            rows[query, : len(found)] = source.find(ids)
        values = ExactScan(self.distance).distances(queries, source.vectors, rows)
        last = np.where(rows < 0, np.iinfo(np.int64).max, source.ids[rows])
        order = np.lexsort((last, values), axis=-1)
        columns = (np.take_along_axis(each, order, 1) for each in (rows, values))
        return _Hits(records, source, *columns)

    def _check_keys(self, where: Condition | None) -> None:
        """Looks for the reason why a filter found nothing.

        Keys that no record has are refused; comparisons with a kind of value that no record
        has are warned of.
        """
        tests = [] if where is None else tests_of_keys(where)
        if not tests or not self._records.count():
            return
        for test in tests:
            there = f"exists {at_key(test.key)}"
            if not self._records.count(there):
                raise unknown_key(test.key, keys_in(self._some_data("data is not null")))
            asked = kinds_compared(test)
            if not any(self._records.count(of_kind(test.key, kind)) for kind in asked):
                held = {
                    kind: found[0]
                    for kind in ("numbers", "strings", "bools")
                    if kind not in asked
                    and (found := self._some_data(of_kind(test.key, kind), test.key))
                }
                # Here, the opposite does not hold either.
                test = dataclasses.replace(test, operator="eq")
                warn_of_kinds(test, held, self._told)

    def _some_data(self, where: str, key: str | None = None) -> list[Any]:
        """The payload of a record, or what it has under a key; empty where there is none."""
        query = np.ones((1, self.embedding_size), np.float32)
        hits = self._records.search(query, 1, where)[0]
        if self._kind is None or not hits:
            return []
        data = payloads.decoded([row["data"] for row in hits], self._kind)
        found = [] if data is None else list(data.get(np.arange(len(hits))))
        for name in [] if key is None else key.split("."):
            found = [value[name] for value in found]
        return found

    def _in_rows(self, wanted: Wanted, source: Rows) -> WantedRows:
        """The wanted answers in terms of the rows that were found."""
        state, keys, key = (
            State(source, ExactScan(self.distance), None),
            PayloadKeys(),
            wanted.distinct,
        )
        if not isinstance(key, str) or key == "label" or source.data is None:
            return wanted.in_rows(state, keys)
        if keys.column(key, state) is not None:
            return wanted.in_rows(state, keys)
        if not self._records.count(f"exists {at_key(key)}"):
            data = source.data.get(np.arange(len(source)))
            raise unknown_distinct(key, keys_in(data))
        # None of those that were found has the key: others do, farther away.
        plain = dataclasses.replace(wanted, distinct=None).in_rows(state, keys)
        return dataclasses.replace(plain, keys=lambda at: np.full(at.shape, -1))

    def snapshot(self, where: Condition | None = None) -> tuple[State, np.ndarray | None]:
        return State(self.where(where).source, ExactScan(self.distance), None), None

    def measure_recall(self, queries: np.ndarray | None, k: int) -> None:
        """None: what is exact is not known here."""

    # -- Changes ----------------------------------------------------------------------------

    def add(self, batch: Batch, assign: bool) -> np.ndarray:
        with self._writing:
            self._check_keyed(batch)
            if (keys := batch.keys) is not None:
                batch, known = self._numbered(batch, keys)
                if known.any():
                    raise ValueError(
                        "`ids` must not be in use; `upsert` replaces records. Received, in use: "
                        f"{keys.get(np.flatnonzero(known)[:5])}."
                    )
            elif assign:
                batch = dataclasses.replace(batch, ids=self._assigned(len(batch)))
            elif (known := self.known(batch.ids)).any():
                raise ValueError(
                    "`ids` must not be in use; `upsert` replaces records. Received, in use: "
                    f"{batch.ids[known][:5].tolist()}."
                )
            self._write(batch)
        return batch.ids

    def upsert(self, batch: Batch) -> np.ndarray:
        with self._writing:
            self._check_keyed(batch)
            if batch.keys is not None:
                batch, _ = self._numbered(batch, batch.keys)
            self._write(batch)
        return batch.ids

    def _check_keyed(self, batch: Batch) -> None:
        """Raises for a mix of records with and without keys."""
        given = batch.keys is not None
        if given and not self._records.keyed:
            raise self._no_keys()
        if not len(batch) or not self._records.keyed or (self._without_keys and not given):
            return
        if self._records.holds(keyed=not given):
            refuse_mixture(not given)

    def _numbered(self, batch: Batch, keys: JsonPayload) -> tuple[Batch, np.ndarray]:
        """Records with keys under their ids, and which of the keys are in use.

        The id of a key is a number made of it, and the same for all programs: two that write
        the same key write the same record.
        """
        texts = self._texts(keys)
        for place, text in enumerate(texts):
            if len(text) > LONGEST_KEY:
                raise ValueError(
                    f"`ids` must take at most {LONGEST_KEY:,} bytes each in Milvus, as JSON. "
                    f"Received at {place}: {len(text):,} bytes."
                )
        ids = _numbers(texts)
        own: dict[int, str] = {}
        found = self._records.keys(ids)
        for id_, text in zip(ids.tolist(), texts, strict=True):
            other = own.setdefault(id_, found.get(id_, text))
            if other != text:
                raise ValueError(
                    "`ids` must have different numbers in Milvus, which are made of them, and "
                    f"these two have the same: {json.loads(text)!r} and "
                    f"{json.loads(other or 'null')!r}. Write one of them in another way."
                )
        known = np.array([id_ in found for id_ in ids.tolist()], bool)
        return dataclasses.replace(batch, ids=ids), known

    def _no_keys(self) -> TypeError:
        return TypeError(
            f"`ids` must be integers in the collection {self.collection!r}, which was made by an "
            "earlier version of this package, without keys. Received: strings. Copy the records "
            "to a new one: MilvusIndex(..., collection='other')."
        )

    def update(self, ids: np.ndarray | None, where: Condition | None, changes: Changes) -> None:
        with self.notes.lock, self._writing:
            ids = self.ids(where) if ids is None else ids
            columns = changes(ids)
            chosen = self.at(ids)
            self._write(dataclasses.replace(chosen.source.batch(chosen.rows), **columns))

    def delete(self, ids: np.ndarray | None, where: Condition | None) -> None:
        with self._writing:
            if ids is None:
                ids = self.ids(where)
            else:
                _require(ids, self.known(ids))
            self._records.delete(ids)

    def clear(self) -> None:
        with self._writing:
            self._records.drop()
            self._records.create()
            self._without_keys = False
            self._kind = None
            self._about.write("payload", None)

    def compact(self) -> None:
        self._opened.call("flush", collection_name=self.collection)
        self._opened.call("compact", collection_name=self.collection)

    def _write(self, batch: Batch) -> None:
        if isinstance(batch.labels, LabelSets):
            raise TypeError(
                "`labels` must be one for each record in Milvus. Received: several. Keep them in "
                "the payload, data=[{'labels': [3, 5]}, ...], or the index in memory or a folder."
            )
        if not len(batch):
            return
        objects = self._encoded(batch.data, len(batch))
        last = 0 if batch.keys is not None else int(batch.ids.max()) + 1
        if last > max(self._counted, self._end):
            # Another program may have counted further meanwhile: never back.
            self._counted = max(self._counted, self._about.next_id())
            if last > self._counted:
                self._about.count_from(last)
                self._counted = last
        columns = zip(
            batch.ids.tolist(),
            np.asarray(batch.vectors[:]),
            batch.labels.tolist(),
            batch.has_label.tolist(),
            objects,
            [""] * len(batch) if batch.keys is None else self._texts(batch.keys),
            strict=True,
        )
        rows = (
            {
                "id": id_,
                "vector": vector,
                "label": label if known else None,
                "data": item,
                "key": key,
            }
            for id_, vector, label, known, item, key in columns
        )
        self._records.upsert(rows, len(batch), self._verbose)
        self._without_keys = batch.keys is None

    def _encoded(self, data: PayloadRows | None, count: int) -> list[dict[str, Any] | None]:
        """A payload in the form that the index uses; the first payload decides on it."""
        if data is None:
            return payloads.encoded(None, count)
        if self._kind is None:
            self._kind = self._about.read("payload")  # another program may have been first
        kind = self._kind or payloads.kind_of(data)
        objects = payloads.encoded(payloads.of_kind(data, kind), count)
        if self._kind is None:
            self._about.write("payload", kind)
            self._kind = kind
        return objects

    def _assigned(self, count: int) -> np.ndarray:
        """Ids that were never assigned before."""
        while True:
            if self._end - self._next < count:
                self._next = self._about.reserve(max(count, _IDS))
                self._end = self._counted = self._next + max(count, _IDS)
            first, self._next = self._next, self._next + count
            if not self._records.count(f"id >= {first} and id < {first + count}"):
                return np.arange(first, first + count)

    # -- Outside ----------------------------------------------------------------------------

    def save(self, path: str | None) -> None:
        if path is None:  # Everything is stored in Milvus already.
            return
        copy = Contents.empty(Settings(self.embedding_size, self.distance))
        copy.about.notes.update(self.notes)
        copy.about.calibration = self._calibration
        copy.live.upsert(self.where().source.compacted())
        _snapshot.save(path, copy)

    def content(self) -> bytes:
        raise TypeError(
            "A MilvusIndex cannot be copied or pickled. Attach to its records where they are "
            f"needed: MilvusIndex.open({self.uri!r}, {self.collection!r})."
        )

    def refresh(self) -> bool:
        return False  # Records are read from Milvus with each lookup.

    def close(self) -> None:
        self._opened.end()


def _numbers(texts: list[str]) -> np.ndarray:
    """The ids of keys: int64 `[n]`. Below 2**62, as a copy in memory counts on from them."""
    digests = (hashlib.blake2b(text.encode(), digest_size=8).digest() for text in texts)
    numbers = (int.from_bytes(digest, "little") >> 2 for digest in digests)
    return np.fromiter(numbers, np.int64, len(texts))


def _require(ids: np.ndarray, known: np.ndarray) -> None:
    if not known.all():
        unknown = ids[~known]
        raise KeyError(
            f"`ids` must be in use. Received, unknown: {unknown[:5].tolist()}"
            f"{' and more' if len(unknown) > 5 else ''}."
        )
