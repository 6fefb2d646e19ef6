"""The index: records with ids that can be added, deleted, updated and searched."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from tensorflow_similarity import checks, distances
from tensorflow_similarity.index import engines, persistence, report, tuning
from tensorflow_similarity.index.arguments import check_embeddings, check_ids, check_labels
from tensorflow_similarity.index.filters import Filter, allowed_rows
from tensorflow_similarity.index.folding import Folding
from tensorflow_similarity.index.live import LiveRecords, found
from tensorflow_similarity.index.neighbors import Neighbors
from tensorflow_similarity.index.payload import parse_payload
from tensorflow_similarity.index.records import Batch, Records, Store
from tensorflow_similarity.index.search import search as search_state

__all__ = ["Index"]


class Index:
    """Finds the records nearest to a query, and lets records come and go.

    A record has an id, an embedding, and optionally a label and a payload. It
    is found from the moment `add` returns, and no longer from the moment
    `delete` returns. All distances are true ones, computed by direct difference
    whatever the engine; records at equal distance come in the order of their
    ids.

    Lookups may run in any number of threads, also while another thread changes
    the index: each sees the index as it was at one moment.

    Args:
        embedding_size: Numbers in an embedding.
        distance: Any that `distances.get` takes.
        search: `"exact"`; `"nmslib"` (HNSW graphs, approximate); or `"auto"`:
            exact while that takes milliseconds (up to 33 million numbers), and
            a graph beyond, once lookups have cost as much as building one
            does. Engines that do not know a distance leave it to exact search.
        target_recall: The share of the true 10 nearest that an approximate
            engine shall find. Its effort is chosen for that on a sample of the
            records, and what it reached is shown by `summary`.
        search_params: Parameters of the engine, by its own names. For nmslib:
            `M`, `efConstruction`, `post`, `indexThreadQty`, and `ef`, which
            then is not chosen.
        background: Whether graphs are built by a thread of their own, while
            lookups go on without. Else the lookup that finds one due builds it.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range or names nothing known.

    Example:

    ```python
    import numpy as np
    from tensorflow_similarity.index import Index

    index = Index(embedding_size=2, distance="euclidean")
    ids = index.add([[0.0, 0.0], [3.0, 4.0]], labels=[7, 8], data=["origin", "far"])
    neighbors = index.lookup([[0.0, 1.0]], k=2)
    neighbors.labels  # array([[7, 8]])
    neighbors[0][0].data  # 'origin'
    ```
    """

    def __init__(
        self,
        embedding_size: int,
        distance: Any = "cosine",
        search: Any = "auto",
        target_recall: float = 0.95,
        search_params: Mapping[str, Any] | None = None,
        background: bool = False,
    ) -> None:
        self._embedding_size = checks.count(embedding_size, "embedding_size")
        self._distance = distances.get(distance)
        if not isinstance(target_recall, int | float):
            raise TypeError(f"`target_recall` must be a number. Received: {target_recall!r}.")
        if not 0 < target_recall <= 1:
            raise ValueError(f"`target_recall` must be in (0, 1]. Received: {target_recall!r}.")
        if not isinstance(search_params, Mapping | None):
            raise TypeError(f"`search_params` must be a dict. Received: {search_params!r}.")
        if search_params and engines.get(search) is None:
            raise ValueError(
                f"`search_params` are those of an engine, and search={search!r} has no engine. "
                f"Received: {dict(search_params)}."
            )
        self._search = search
        self._folding = Folding(
            engine=engines.get(search),
            distance=self._distance.name,
            params=dict(search_params or {}),
            target_recall=float(target_recall),
            automatic=search == "auto",
            background=bool(background),
        )
        self._folding.new_engine()  # refuses wrong parameters now, not at the first lookup
        self._live = LiveRecords(Store(self._embedding_size), self._distance, self._folding)
        #: Decides on matches from distances; None until the index is calibrated.
        self.calibration: Any = None
        #: Notes that are saved with the index, any JSON by name. A `SimilarityModel` keeps
        #: in them which weights made the records.
        self.notes: dict[str, Any] = {}

    # -- What it is -------------------------------------------------------------------------

    @property
    def embedding_size(self) -> int:
        """Numbers in an embedding."""
        return self._embedding_size

    @property
    def distance(self) -> distances.Distance:
        """The distance."""
        return self._distance

    @property
    def search(self) -> Any:
        """What was asked for: `"auto"`, `"exact"`, an engine's name or an engine."""
        return self._search

    @property
    def engine(self) -> str:
        """What lookups use now: `"exact"`, or the name of the engine that has a graph."""
        graph = self._live.state.graph
        return "exact" if graph is None else graph.engine.name

    @property
    def recall(self) -> tuning.MeasuredRecall | None:
        """What the engine was last measured to find; None for exact search."""
        return self._live.recall

    @property
    def ids(self) -> np.ndarray:
        """The ids of all records, in increasing order: int64 `[n]`."""
        rows = self._live.state.rows
        return rows.ids[rows.live_rows]

    def __len__(self) -> int:
        return self._live.state.rows.live_count

    def __contains__(self, id: object) -> bool:
        if isinstance(id, bool) or not isinstance(id, int | np.integer):
            return False
        return bool(self._live.state.rows.find(np.array([id], np.int64))[0] >= 0)

    def __repr__(self) -> str:
        return (
            f"Index({len(self)} records, embedding_size={self.embedding_size}, "
            f"distance={self._distance.name!r}, search={self._search!r})"
        )

    # -- Changes ----------------------------------------------------------------------------

    def add(
        self, embeddings: Any, labels: Any = None, data: Any = None, ids: Any = None
    ) -> np.ndarray:
        """Adds records. They are found as soon as this returns.

        Args:
            embeddings: Finite numbers `[n, embedding_size]`.
            labels: Class ids `[n]` or `[n, 1]`, of any integer dtype; or None. In a
                list, None stands for a record without a label.
            data: The payload: an array whose first axis is the record (rows
                of images, say), or a list with one JSON value per record, which
                comes back as JSON has it (tuples as lists, keys as strings).
                The first payload decides which of the two an index holds.
            ids: Ids `[n]`, distinct, not negative and not in use; None to have
                them assigned, in increasing order, and none ever twice.

        Returns:
            The ids, int64 `[n]`.

        Raises:
            TypeError: If embeddings, labels, ids or payload have the wrong type.
            ValueError: If a shape or length is wrong, a number is not finite,
                or an id is in use. Nothing has been added then.
        """
        return self._live.add(self._batch(embeddings, labels, data, ids), assign=ids is None)

    def upsert(self, ids: Any, embeddings: Any, labels: Any = None, data: Any = None) -> np.ndarray:
        """Adds records, in place of those with the same ids, which they replace wholly.

        Args:
            ids: Ids `[n]`, distinct and not negative; in use or not.
            embeddings: As for `add`.
            labels: As for `add`.
            data: As for `add`.

        Returns:
            The ids, int64 `[n]`.

        Raises:
            TypeError: As `add`.
            ValueError: As `add`. Nothing has changed then.
        """
        batch = self._batch(embeddings, labels, data, ids)
        self._live.upsert(batch)
        return batch.ids

    def update(
        self, ids: Any, embeddings: Any = None, labels: Any = None, data: Any = None
    ) -> None:
        """Changes what is given of some records, and keeps the rest of them.

        Args:
            ids: Ids `[n]` in use.
            embeddings: As for `add`, or None to keep them.
            labels: Likewise.
            data: Likewise.

        Raises:
            KeyError: If an id is not in use. Nothing has changed then.
            TypeError: As `add`.
            ValueError: As `add`.
        """
        ids = check_ids(ids)
        changes: dict[str, Any] = {}
        if embeddings is not None:
            changes["vectors"] = check_embeddings(embeddings, "embeddings", self.embedding_size)
            if len(changes["vectors"]) != len(ids):
                raise ValueError(
                    f"`embeddings` must hold one row per id: expected {len(ids)}. "
                    f"Received: {len(changes['vectors'])}."
                )
        if labels is not None:
            changes["labels"], changes["has_label"] = check_labels(labels, len(ids))
        if data is not None:
            changes["data"] = parse_payload(data, len(ids))
        self._live.update(ids, changes)

    def delete(self, ids: Any) -> None:
        """Deletes records. They are not found any more when this returns.

        Their bytes leave memory and saved files with `compact`, at the latest.

        Args:
            ids: Ids `[n]` in use, or one id.

        Raises:
            KeyError: If an id is not in use. Nothing has been deleted then.
            TypeError: If the ids are not integers.
            ValueError: If an id is there twice.
        """
        self._live.delete(check_ids(ids))

    def clear(self) -> None:
        """Deletes all records. Ids that were assigned are not assigned again."""
        self._live.clear()

    def compact(self) -> None:
        """Drops deleted records from memory, and builds the engine's graph anew.

        Lookups become as fast as they can be, and what was deleted is gone.
        Changes by other threads go on meanwhile.
        """
        self._live.compact()

    # -- Searching --------------------------------------------------------------------------

    def lookup(self, queries: Any, k: int = 5, filter: Filter | None = None) -> Neighbors:
        """The k nearest records of each query.

        Args:
            queries: Finite numbers `[q, embedding_size]`.
            k: How many. If there are fewer records, columns are padded: id -1,
                label -1, distance inf.
            filter: Which records may be returned: a mapping with any of
                `"labels"` (a class id or several), `"ids"` (likewise) and
                `"data"` (a function of the payload of one record that returns
                a bool), all of which must hold; or such a function alone.

        Returns:
            The `Neighbors`: `.ids`, `.distances`, `.labels`, `[q, k]` each;
            `neighbors[i]` is a list of `Lookup`.

        Raises:
            TypeError: If an argument has the wrong type.
            ValueError: If the index is empty, a query has another size or is not
                finite, or k < 1.
        """
        queries = check_embeddings(queries, "queries", self.embedding_size)
        k = checks.count(k, "k")
        if not len(self):
            raise ValueError("The index is empty: add records before `lookup`.")
        state = self._live.ready()
        allowed = None if filter is None else allowed_rows(filter, state.rows)
        rows, values, scanned = search_state(state, queries, k, allowed)
        self._folding.owe(len(queries), scanned)
        return Neighbors.of_rows(state.rows, rows, values)

    def get(self, ids: Any) -> Records:
        """The records with these ids, in this order.

        Args:
            ids: Ids `[n]` in use, or one id. The same id may be there twice.

        Raises:
            KeyError: If an id is not in use.
        """
        rows = self._live.state.rows
        return rows.records(found(rows, check_ids(ids, distinct=False)))

    def measure_recall(self, queries: Any = None, k: int = 10) -> tuning.MeasuredRecall | None:
        """Measures anew what share of the true nearest the engine finds.

        Warns where that is below the `target_recall`, which happens as records
        come and go.

        Args:
            queries: Embeddings to look up `[q, embedding_size]`; None for a
                sample of the records.
            k: Neighbours to look for.

        Returns:
            What was measured; None while search is exact.
        """
        if queries is not None:
            queries = check_embeddings(queries, "queries", self.embedding_size)
        k = checks.count(k, "k")
        state = self._live.state
        if state.graph is None:
            return None
        self._live.recall = tuning.measure(state, state.graph, queries, k)
        tuning.warn_below(self._live.recall, self._folding.target_recall)
        return self._live.recall

    # -- Outside ----------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the index, its graph and its calibration to one file.

        Whatever happens meanwhile, `path` holds the old index or the new one,
        whole. Changes by other threads during the save are not in the file.

        Args:
            path: The file, which is replaced if it exists.

        Raises:
            OSError: If it cannot be written. What was there is still there.
        """
        persistence.save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Index:
        """Reads what `save` wrote. The index answers as the one that was saved did.

        Args:
            path: The file.

        Raises:
            FileNotFoundError: If there is none.
            CorruptIndexError: If it is not an index, truncated or damaged (a ValueError).
            NewerIndexError: If a newer version of the package wrote it (a ValueError).
        """
        return persistence.load(cls, path)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor, for JSON; the records are not in it."""
        return {
            "embedding_size": self.embedding_size,
            "distance": _serialized(self._distance),
            "search": self.search,
            "target_recall": self._folding.target_recall,
            "search_params": dict(self._folding.params),
            "background": self._folding.background,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Index:
        """An empty index with that config."""
        return cls(**config)

    def stats(self) -> dict[str, Any]:
        """What `summary` shows, by name."""
        return report.stats(self)

    def summary(self, print_fn: Callable[[str], Any] = print) -> None:
        """Prints what the index holds and how it searches.

        Args:
            print_fn: Takes the text.
        """
        print_fn(report.text(self))

    def to_data_frame(self, num_records: int | None = None) -> Any:
        """The records as a pandas data frame, in the order of their ids.

        Args:
            num_records: How many; None for all.

        Returns:
            A `pandas.DataFrame` with `id` as its index and the columns `label`
            (nullable integers), `embedding` and `data`.

        Raises:
            ImportError: If pandas is not installed.
        """
        return report.data_frame(self, num_records)

    def _batch(self, embeddings: Any, labels: Any, data: Any, ids: Any) -> Batch:
        vectors = check_embeddings(embeddings, "embeddings", self.embedding_size)
        class_ids, present = check_labels(labels, len(vectors))
        given = np.empty(0, np.int64) if ids is None else check_ids(ids, len(vectors))
        return Batch(given, vectors, class_ids, present, parse_payload(data, len(vectors)))


def _serialized(distance: distances.Distance) -> Any:
    """The name of a distance of this package, the Keras config of any other."""
    if distance.name in distances.names() and distances.get(distance.name) == distance:
        return distance.name
    return keras.saving.serialize_keras_object(distance)
