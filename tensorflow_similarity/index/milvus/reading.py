"""The half of an index in Milvus that only reads."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity import distances
from tensorflow_similarity.index import _class_names, _results
from tensorflow_similarity.index._arguments import check_embeddings, check_ids
from tensorflow_similarity.index._filters import Filter
from tensorflow_similarity.index._index import Index
from tensorflow_similarity.index._metadata import calibration_of
from tensorflow_similarity.index._records import Batch, Records, Rows, Store
from tensorflow_similarity.index._results import Neighbors
from tensorflow_similarity.index.engines.exact import ExactScan
from tensorflow_similarity.index.milvus import payloads
from tensorflow_similarity.index.milvus.about import notes_in
from tensorflow_similarity.index.milvus.collection import MOST_ROWS
from tensorflow_similarity.index.milvus.expressions import expression
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
        return _class_names.names_in(self._notes)

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

    def lookup(self, queries: Any, k: int = 5, filter: Filter | None = None) -> Neighbors:
        queries = check_embeddings(queries, "queries", self._size)
        k = checks.count(k, "k")
        if k > MOST_ROWS:
            raise ValueError(f"`k` must be at most {MOST_ROWS:,} in Milvus. Received: {k:,}.")
        hits = self._opened.records.search(queries, k, expression(filter, self._notes))
        if not any(hits):
            if not len(self):
                raise ValueError("The index is empty: add records before `lookup`.")
            shape = len(queries), k
            return Neighbors(np.full(shape, -1), np.full(shape, np.inf, np.float32))
        source = self._store({row["id"]: row for found in hits for row in found})
        places = np.full((len(queries), k), -1)
        for query, found in enumerate(hits):
            places[query, : len(found)] = source.find(
                np.array([row["id"] for row in found], np.int64)
            )
        values = ExactScan(self._distance).distances(queries, source.vectors, places)
        last = np.where(places < 0, np.iinfo(np.int64).max, source.ids[places])
        order = np.lexsort((last, values), axis=-1)
        return Neighbors.of_rows(
            source,
            np.take_along_axis(places, order, 1),
            np.take_along_axis(values, order, 1),
            self._names_of(source),
        )

    def get(self, ids: Any) -> Records:
        ids = check_ids(ids, distinct=False)
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
