"""The half of an index that only reads: what it is, lookups, and figures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity import distances
from tensorflow_similarity.index import report, tuning
from tensorflow_similarity.index.about import About
from tensorflow_similarity.index.arguments import check_embeddings, check_ids
from tensorflow_similarity.index.filters import Filter, allowed_rows
from tensorflow_similarity.index.live import LiveRecords, found
from tensorflow_similarity.index.neighbors import Neighbors
from tensorflow_similarity.index.records import Records
from tensorflow_similarity.index.search import search as search_state
from tensorflow_similarity.index.settings import Settings

__all__ = ["IndexReading"]


class IndexReading:
    """What may be asked of an index. All of it may be called by any number of threads."""

    _settings: Settings
    _live: LiveRecords
    _about: About

    # -- What it is -------------------------------------------------------------------------

    @property
    def embedding_size(self) -> int:
        """Numbers in an embedding."""
        return self._settings.embedding_size

    @property
    def distance(self) -> distances.Distance:
        """The distance."""
        return self._settings.distance

    @property
    def search(self) -> Any:
        """What was asked for: `"auto"`, `"exact"`, an engine's name or an engine."""
        return self._settings.search

    @property
    def storage(self) -> str:
        """How embeddings are kept: `"float32"`, `"float16"` or `"int8"`."""
        return self._settings.storage

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
    def calibration(self) -> Any:
        """What decides on matches from distances; None until the index is calibrated."""
        return self._about.calibration

    @calibration.setter
    def calibration(self, calibration: Any) -> None:
        self._about.calibration = calibration

    @property
    def notes(self) -> dict[str, Any]:
        """Notes that are saved with the index, any JSON by name; yours to change.

        They are kept as JSON has them (tuples as lists, keys as strings). Where the
        index lives in a folder, a note is there as soon as it is set. To change a
        part of one, set it anew: what is changed within is only written with the
        next change.

        A `SimilarityModel` keeps in them which weights made the records.
        """
        return self._about.notes

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

    def has(self, ids: Any) -> np.ndarray:
        """Which ids are in use.

        Args:
            ids: Ids `[n]`, or one id.

        Returns:
            bool `[n]`.
        """
        return self._live.state.rows.find(check_ids(ids, distinct=False)) >= 0

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({len(self)} records, embedding_size={self.embedding_size}, "
            f"distance={self.distance.name!r}, search={self.search!r})"
        )

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
        self._live.folding.owe(len(queries), scanned)
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
        before = self._live.recall
        measured = self._live.recall = tuning.measure(state, state.graph, queries, k)
        alike = before is not None and queries is None and before.k == k
        tuning.warn_below(
            measured, self._settings.target_recall, before.recall if before and alike else None
        )
        return measured

    def stats(self) -> dict[str, Any]:
        """What `summary` shows, by name."""
        return report.stats(self._settings, self._live, self.calibration is not None)

    def summary(self, print_fn: Callable[[str], Any] = print) -> None:
        """Prints what the index holds and how it searches.

        Args:
            print_fn: Takes the text.
        """
        print_fn(report.text(self.stats()))

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
        return report.data_frame(self._live.state.rows, num_records)
