"""The half of an index in Milvus that only reads."""

from __future__ import annotations

import dataclasses
import threading
import warnings
from typing import Any

import numpy as np

from tensorflow_similarity import distances
from tensorflow_similarity.index import _class_names, _results
from tensorflow_similarity.index._answers import (
    Distinct,
    Wanted,
    check_depth,
    check_exclude,
    kept,
    keys_of,
    refuse_both,
    refuse_with_all,
    reranked,
    unknown_distinct,
)
from tensorflow_similarity.index._arguments import check_embeddings, check_ids
from tensorflow_similarity.index._conditions import kinds_compared, parse, tests_of_keys
from tensorflow_similarity.index._filters import Filter, unknown_key, warn_of_kinds
from tensorflow_similarity.index._index import Index
from tensorflow_similarity.index._metadata import calibration_of
from tensorflow_similarity.index._payload_keys import PayloadKeys, names_in
from tensorflow_similarity.index._records import Batch, Records, Rows, Store
from tensorflow_similarity.index._results import Neighbors
from tensorflow_similarity.index._search import State
from tensorflow_similarity.index._within import (
    Groups,
    NeighborsWithin,
    Pairs,
    check_distance,
    groups_of,
)
from tensorflow_similarity.index.engines.exact import ExactScan
from tensorflow_similarity.index.milvus import payloads
from tensorflow_similarity.index.milvus.about import notes_in
from tensorflow_similarity.index.milvus.collection import MOST_ROWS
from tensorflow_similarity.index.milvus.expressions import at_key, expression, of_kind
from tensorflow_similarity.index.milvus.opening import Opened
from tensorflow_similarity.targets import Targets

__all__ = ["MilvusReading"]


class MilvusReading(Index):
    """What may be asked of an index in Milvus."""

    def _hold_collection(self, opened: Opened, verbose: int) -> None:
        self._opened, self._verbose = opened, verbose
        self._size, self._distance = opened.embedding_size, opened.distance
        self._kind: dict[str, Any] | None = self._opened.about.read("payload")
        self._notes = notes_in(opened.about)
        self._calibration = calibration_of(self._opened.about.read("calibration"))
        self._next, self._end = 0, 0  # ids that are reserved
        self._counted = self._opened.about.next_id()
        self._writing = threading.RLock()
        self._told: set[Any] = set()  # what was warned of

    # -- What it is -------------------------------------------------------------------------

    @property
    def embedding_size(self) -> int:
        return self._size

    @property
    def distance(self) -> distances.Distance:
        return self._distance

    @property
    def search(self) -> str:
        return "milvus"

    @property
    def engine(self) -> str:
        return "milvus"

    @property
    def uri(self) -> str | None:
        """Where Milvus is; None if a client was given."""
        return self._opened.uri

    @property
    def collection(self) -> str:
        """The name of the collection."""
        return self._opened.name

    @property
    def path(self) -> None:
        return None

    @property
    def storage(self) -> str:
        return "float32"

    @property
    def recall(self) -> None:
        return None

    @property
    def calibration(self) -> Any:
        return self._calibration

    @calibration.setter
    def calibration(self, calibration: Any) -> None:
        self._opened.about.write("calibration", calibration and calibration.get_config())
        self._calibration = calibration

    @property
    def notes(self) -> Any:
        return self._notes

    @property
    def class_names(self) -> tuple[str, ...] | None:
        return _class_names.names_in(self.notes)

    @property
    def ids(self) -> np.ndarray:
        return self._opened.records.ids()

    def __len__(self) -> int:
        return self._opened.records.count()

    def _has_labels(self) -> bool:
        return bool(self._opened.records.count("label is not null"))

    def has(self, ids: Any) -> np.ndarray:
        return self._opened.records.known(check_ids(ids, distinct=False))

    def __contains__(self, id: object) -> bool:
        if isinstance(id, bool) or not isinstance(id, int | np.integer) or not 0 <= id < 2**63:
            return False
        return bool(self._opened.records.known(np.array([id], np.int64))[0])

    # -- Searching --------------------------------------------------------------------------

    def lookup(  # type: ignore[override]
        self,
        queries: Any,
        k: int | None = None,
        filter: Filter | None = None,
        *,
        max_distance: float | None = None,
        distinct: Distinct | None = None,
        exclude: Any = None,
        offset: int = 0,
        rerank: Any = None,
        rerank_top: int = 100,
    ) -> Neighbors | NeighborsWithin:
        queries = check_embeddings(queries, "queries", self._size)
        limit = None if max_distance is None else check_distance(max_distance)
        whole = k is None and limit is not None
        if whole:
            refuse_with_all(distinct=distinct, exclude=exclude, offset=offset, rerank=rerank)
        if filter is not None and isinstance(filter, list | tuple):
            raise TypeError("`filter` must be one for all queries in Milvus. Received: a list.")
        k, offset, depth = check_depth(5 if k is None else k, offset, rerank, rerank_top)
        if k + offset > MOST_ROWS:
            raise ValueError(f"`k` must be at most {MOST_ROWS:,} in Milvus. Received: {k:,}.")
        text, ask = expression(filter, self._notes), min(depth + offset, MOST_ROWS)
        while True:
            source, rows, values = self._nearest(queries, ask, text)
            if source is None:
                self._check_keys(filter)
                none = np.empty((0,), np.int64)
                source = self._store({})
                if whole:
                    offsets = np.zeros(len(queries) + 1, np.int64)
                    return NeighborsWithin(source, offsets, none, np.empty(0, np.float32))
                shape = len(queries), k
                return Neighbors(np.full(shape, -1), np.full(shape, np.inf, np.float32))
            # More are asked for while there may be more answers.
            seen = (rows[:, -1] < 0) if len(rows) else np.ones(0, bool)
            if limit is not None:
                seen |= values[:, -1] > limit
            if whole:
                enough = seen
            else:
                wanted = Wanted(
                    depth,
                    offset,
                    None if exclude is None else check_exclude(exclude, len(queries), source),
                    None if distinct is None else self._keys_of(distinct, source),
                    limit,
                )
                found, near, count = kept(rows, values, wanted)
                enough = seen | (count >= depth + offset)
            if enough.all():
                break
            if ask >= MOST_ROWS:
                warnings.warn(
                    f"Milvus gives {MOST_ROWS:,} rows at most, and {int((~enough).sum())} queries "
                    "have answers beyond, which are missing.",
                    stacklevel=2,
                )
                break
            ask = min(4 * ask, MOST_ROWS)
        if whole:
            inside = (rows >= 0) & (values <= limit)
            counts = np.append(0, np.cumsum(inside.sum(axis=1)))
            names = self._names_of(source)
            return NeighborsWithin(source, counts, rows[inside], values[inside], names)
        neighbors = Neighbors.of_rows(source, found, near, self._names_of(source))
        return neighbors if rerank is None else reranked(queries, neighbors, rerank, k)

    def _nearest(
        self, queries: np.ndarray, k: int, filter: str
    ) -> tuple[Rows | None, np.ndarray, np.ndarray]:
        """What Milvus finds: records, and of each query the rows and true distances, in order."""
        hits = self._opened.records.search(queries, k, filter)
        places = np.full((len(queries), k), -1)
        if not any(hits):
            return None, places, np.full(places.shape, np.inf, np.float32)
        source = self._store({row["id"]: row for found in hits for row in found})
        for query, found in enumerate(hits):
            places[query, : len(found)] = source.find(
                np.array([row["id"] for row in found], np.int64)
            )
        values = ExactScan(self._distance).distances(queries, source.vectors, places)
        last = np.where(places < 0, np.iinfo(np.int64).max, source.ids[places])
        order = np.lexsort((last, values), axis=-1)
        return source, np.take_along_axis(places, order, 1), np.take_along_axis(values, order, 1)

    def _check_keys(self, filter: Filter | None) -> None:
        """Looks for the reason where a filter found nothing.

        Keys that no record has are refused; comparisons with a kind of value that no record
        has are warned of.
        """
        records = self._opened.records
        tests = [] if filter is None else tests_of_keys(parse(filter, self._notes))
        if not tests or not records.count():
            return
        for test in tests:
            there = f"exists {at_key(test.key)}"
            if not records.count(there):
                raise unknown_key(test.key, names_in(self._some_data("data is not null")))
            asked = kinds_compared(test)
            if not any(records.count(of_kind(test.key, kind)) for kind in asked):
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
        hits = self._opened.records.search(np.ones((1, self._size), np.float32), 1, where)[0]
        if self._kind is None or not hits:
            return []
        data = payloads.decoded([row["data"] for row in hits], self._kind)
        found = [] if data is None else list(data.get(np.arange(len(hits))))
        for name in [] if key is None else key.split("."):
            found = [value[name] for value in found]
        return found

    def groups(self, max_distance: float, filter: Filter | None = None) -> Groups:
        """As `Index.groups`, of all records: they are read from Milvus first."""
        return groups_of(self.pairs(max_distance, filter))

    def count(self, filter: Filter | None = None) -> int:
        found = self._opened.records.count(expression(filter, self._notes))
        if not found:
            self._check_keys(filter)
        return found

    def _ids_where(self, filter: Filter) -> np.ndarray:
        found = self._opened.records.ids(expression(filter, self._notes))
        if not len(found):
            self._check_keys(filter)
        return found

    def _keys_of(self, distinct: Distinct, source: Rows) -> Any:
        state, keys = State(source, ExactScan(self._distance), None), PayloadKeys(self._notes)
        if isinstance(distinct, str) and distinct != "label" and source.data is not None:
            if keys.column(distinct, state) is not None:
                return keys_of(distinct, state, keys)
            if self._opened.records.count(f"exists {at_key(distinct)}"):  # farther away
                return lambda at: np.full(at.shape, -1)
            raise unknown_distinct(distinct, names_in(source.data.get(np.arange(len(source)))))
        return keys_of(distinct, state, keys)

    def pairs(self, max_distance: float, filter: Filter | None = None) -> Pairs:
        """As `Index.pairs`, of all records: they are read from Milvus first."""
        limit = check_distance(max_distance)
        ids = self.ids if filter is None else self._ids_where(filter)
        return Pairs(State(self._rows(ids), ExactScan(self._distance), None), limit)

    def get(self, ids: Any = None, *, filter: Filter | None = None) -> Records:
        refuse_both(ids, filter)
        ids = check_ids(ids, distinct=False) if filter is None else self._ids_where(filter)
        source = self._rows(np.unique(ids))
        return source.records(source.find(ids)).named(self._names_of(source))

    def measure_recall(self, queries: Any = None, k: int = 10) -> None:
        """None: what is exact is not known here."""

    def _rows(self, ids: np.ndarray) -> Rows:
        """The records with these distinct ids, in this order."""
        found = self._opened.records.rows(ids)
        self._require(ids, np.array([id_ in found for id_ in ids.tolist()], bool))
        return self._store({id_: found[id_] for id_ in ids.tolist()})

    def _store(self, found: dict[int, dict[str, Any]]) -> Rows:
        """Rows of Milvus as those of an index."""
        rows = list(found.values())
        labels = [row["label"] for row in rows]
        if self._kind is None and any(row["data"] is not None for row in rows):
            self._kind = self._opened.about.read("payload")  # of another program
        return Store.of(
            Batch(
                np.array(list(found), np.int64),
                np.array([row["vector"] for row in rows], np.float32).reshape(-1, self._size),
                np.array([0 if label is None else label for label in labels], np.int64),
                np.array([label is not None for label in labels], bool),
                payloads.decoded([row["data"] for row in rows], self._kind),
            )
        ).rows

    def _require(self, ids: np.ndarray, known: np.ndarray) -> None:
        if not known.all():
            unknown = ids[~known]
            raise KeyError(
                f"`ids` must be in use. Received, unknown: {unknown[:5].tolist()}"
                f"{' and more' if len(unknown) > 5 else ''}."
            )

    def stats(self) -> dict[str, Any]:
        return {
            "records": len(self),
            "embedding_size": self._size,
            "distance": self._distance.name,
            "search": "milvus",
            "engine": "milvus",
            "params": dict(self._opened.search_params),
            "uri": self._opened.uri,
            "collection": self._opened.name,
            "labelled": self._opened.records.count("label is not null"),
            "data": self._kind and self._kind["kind"],
            "calibrated": self._calibration is not None,
        }

    def summary(self, print_fn: Any = print) -> None:
        of = self.stats()
        lines = [
            ("records", f"{of['records']:,}"),
            ("labels", f"{of['labelled']:,} records"),
            ("data", of["data"] or "none"),
            ("embeddings", f"{of['embedding_size']} numbers, {of['distance']} distance"),
            ("search", f"milvus: collection {of['collection']} in {of['uri']}"),
            ("calibrated", "yes" if of["calibrated"] else "no"),
        ]
        print_fn("\n".join(["Index", *(f"  {name + ':':<12} {value}" for name, value in lines)]))

    def to_data_frame(self, num_records: int | None = None) -> Any:
        source = self._rows(self.ids[:num_records])
        return _results.data_frame(source, None, self._names_of(source))

    def _encode(self, labels: Targets | None, length: int) -> tuple[np.ndarray, np.ndarray]:
        if labels is not None and labels.class_names is not None:
            self._read_notes()  # Another program may have added names.
        return super()._encode(labels, length)

    def _names_of(self, source: Rows) -> tuple[str, ...] | None:
        """The class names, with those of records that another program added meanwhile."""
        names = self.class_names
        if names is not None and source.labels.max(initial=-1) >= len(names):
            self._read_notes()
        return self.class_names

    def _read_notes(self) -> None:
        self._notes.become(self._opened.about.read("notes", {}))
