"""The backend whose records are in memory, and which may be kept in a folder."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np

from tensorflow_similarity.distances import Distance
from tensorflow_similarity.index import _graphs, _snapshot
from tensorflow_similarity.index._answers import Wanted, answers
from tensorflow_similarity.index._arguments import check_k
from tensorflow_similarity.index._backend import Changes, Group, Nearest, Selected, Within
from tensorflow_similarity.index._conditions import Condition
from tensorflow_similarity.index._filters import allowed_rows
from tensorflow_similarity.index._graphs import MeasuredRecall
from tensorflow_similarity.index._label_sets import LabelSets
from tensorflow_similarity.index._memory import LiveRecords, found
from tensorflow_similarity.index._metadata import Notes
from tensorflow_similarity.index._payload import JsonPayload
from tensorflow_similarity.index._payload_keys import PayloadKeys
from tensorflow_similarity.index._records import Batch, Rows
from tensorflow_similarity.index._search import State
from tensorflow_similarity.index._snapshot import Contents
from tensorflow_similarity.index._storage_loss import StorageLosses
from tensorflow_similarity.index._vectors import EncodedRows
from tensorflow_similarity.index._within import lookup_within
from tensorflow_similarity.index.engines.files import temporary_folder

__all__ = ["Home", "InMemory", "Nowhere"]


class Home(Protocol):
    """Where records in memory are persisted: nowhere, in a folder, or in a read-only folder."""

    @property
    def contents(self) -> Contents:
        """Records, notes and calibration; `refresh` may replace them."""

    @property
    def path(self) -> str | None:
        """The folder."""

    @property
    def when_built(self) -> Callable[[], None]:
        """What to call when a lookup has built a graph."""

    def changing(self) -> contextlib.AbstractContextManager[None]:
        """Wraps each change. Raises if changes are not allowed."""

    def compact(self) -> None:
        """Drops deleted records, and builds the graph again."""

    def save(self) -> None:
        """Writes a snapshot. ValueError if there is nowhere to write it."""

    def refresh(self) -> bool:
        """Reads changes made there by others; returns whether there were any."""

    def close(self) -> None:
        """Unlocks the folder."""


class Nowhere:
    """No persistence: the records live as long as their index.

    Args:
        contents: The records.
    """

    path = None

    def __init__(self, contents: Contents) -> None:
        self.contents = contents

    def when_built(self) -> None:
        """Nothing."""

    def changing(self) -> contextlib.AbstractContextManager[None]:
        """Wraps each change: does nothing."""
        return contextlib.nullcontext()

    def compact(self) -> None:
        """Drops deleted records, and builds the graph again."""
        self.contents.live.compact()

    def save(self) -> None:
        """Raises: there is nowhere to write.

        Raises:
            ValueError: Always.
        """
        raise ValueError("`path` must be given, as the index lives in no folder.")

    def refresh(self) -> bool:
        """Returns False: there are no changes by others."""
        return False

    def close(self) -> None:
        """Nothing: nothing is held."""


class InMemory:
    """A `Backend` in memory.

    Args:
        home: Holds the records, and keeps them.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._losses, self._keys = StorageLosses(), PayloadKeys()

    @property
    def _live(self) -> LiveRecords:
        return self._home.contents.live

    # -- What it is -------------------------------------------------------------------------

    @property
    def embedding_size(self) -> int:
        return self._home.contents.settings.embedding_size

    @property
    def distance(self) -> Distance:
        return self._home.contents.settings.distance

    @property
    def search(self) -> Any:
        return self._home.contents.settings.search

    @property
    def storage(self) -> str:
        return self._home.contents.settings.storage

    @property
    def engine(self) -> str:
        graph = self._live.state.graph
        return "exact" if graph is None else graph.engine.name

    @property
    def recall(self) -> MeasuredRecall | None:
        return self._live.recall

    @property
    def path(self) -> str | None:
        return self._home.path

    @property
    def notes(self) -> Notes:
        return self._home.contents.about.notes

    def latest_notes(self) -> Notes:
        return self.notes

    @property
    def calibration(self) -> Any:
        return self._home.contents.about.calibration

    @calibration.setter
    def calibration(self, calibration: Any) -> None:
        self._home.contents.about.calibration = calibration

    def get_config(self) -> dict[str, Any]:
        return self._home.contents.settings.get_config()

    def stats(self) -> dict[str, Any]:
        settings, live = self._home.contents.settings, self._live
        state, recall = live.state, live.recall
        rows, graph = state.rows, state.graph
        labels = rows.labels_of(np.flatnonzero(rows.live & rows.has_label))
        arrays: list[Any] = [rows.ids, rows.vectors, rows.labels, rows.has_label, rows.live]
        result: dict[str, Any] = {
            "records": rows.live_count,
            "deleted": rows.dead,
            "embedding_size": settings.embedding_size,
            "distance": settings.distance.name,
            "search": settings.search,
            "engine": self.engine,
            "labelled": len(labels),
            "classes": len(np.unique(labels.values if isinstance(labels, LabelSets) else labels)),
            "data": None if rows.data is None else rows.data.kind,
            "bytes": sum(array.nbytes for array in arrays)
            + sum(0 if each is None else each.nbytes for each in (rows.data, rows.keys))
            + rows.key_map.nbytes,
            "keys": bool(rows.keyed),
            "calibrated": self.calibration is not None,
        }
        if graph is not None:
            result["scanned"] = int(rows.live[graph.covered :].sum())
            result["effort"] = graph.engine.effort
            result["params"] = dict(graph.engine.params)
        if recall is not None:
            result["recall"] = recall.recall
            result["recall_at"] = recall.k
            result["recall_records"] = recall.records
            result["microseconds_per_query"] = recall.seconds * 1e6
            if recall.latency is not None:
                result["microseconds_alone"] = recall.latency * 1e6
        return result

    # -- Records ----------------------------------------------------------------------------

    def count(self, where: Condition | None = None) -> int:
        state = self._live.state
        if where is None:
            return state.rows.live_count
        return int(allowed_rows(where, state, self._keys).sum())

    def ids(self, where: Condition | None = None) -> np.ndarray:
        chosen = self.where(where)
        return chosen.source.ids[chosen.rows]

    def where(self, where: Condition | None = None, most: int | None = None) -> Selected:
        state = self._live.state
        rows = state.rows.live_rows
        if where is not None:
            rows = np.flatnonzero(allowed_rows(where, state, self._keys))
            rows = rows[np.argsort(state.rows.ids[rows], kind="stable")]
        return Selected(state.rows, rows[:most])

    def at(self, ids: np.ndarray) -> Selected:
        rows = self._live.state.rows
        return Selected(rows, found(rows, ids))

    def known(self, ids: np.ndarray) -> np.ndarray:
        return self._live.state.rows.find(ids) >= 0

    def keyed(self) -> bool:
        return bool(self._live.state.rows.keyed)

    def ids_of(self, keys: JsonPayload) -> np.ndarray:
        rows = self._live.state.rows
        at = rows.find_keys(keys)
        return np.where(at >= 0, rows.ids[at], -1) if len(rows) else at

    def has_labels(self) -> bool:
        rows = self._live.state.rows
        return bool((rows.live & rows.has_label).any())

    # -- Searching --------------------------------------------------------------------------

    def check_k(self, k: int, offset: int, queries: int) -> None:
        check_k(k, offset, queries, self.count())

    def nearest(self, queries: np.ndarray, wanted: Wanted, groups: list[Group]) -> Nearest:
        contents = self._home.contents
        state = contents.live.ready(self._home.when_built)
        if not len(state.rows):  # as where a filter lets nothing through
            return _none(state.rows, len(queries), wanted.k)
        masks = [(some, self._allowed(where, state)) for some, where in groups]
        in_rows = wanted.in_rows(state, self._keys)
        rows, distances, scanned = answers(state, queries, in_rows, masks)
        self._losses.check(state, contents.settings.target_recall)
        contents.live.folding.owe(len(queries), scanned)
        return Nearest(state.rows, rows, distances)

    def within(self, queries: np.ndarray, limit: float, where: Condition | None) -> Within:
        contents = self._home.contents
        state = contents.live.ready(self._home.when_built)
        allowed = self._allowed(where, state)
        self._losses.check(state, contents.settings.target_recall)
        return Within(state.rows, *lookup_within(state, queries, limit, allowed))

    def snapshot(self, where: Condition | None = None) -> tuple[State, np.ndarray | None]:
        state = self._live.ready(self._home.when_built)
        return state, self._allowed(where, state)

    def _allowed(self, where: Condition | None, state: State) -> np.ndarray | None:
        return None if where is None else allowed_rows(where, state, self._keys)

    def measure_recall(self, queries: np.ndarray | None, k: int) -> MeasuredRecall | None:
        live, target = self._live, self._home.contents.settings.target_recall
        state = live.state
        if isinstance(state.rows.vectors, EncodedRows):
            measured = self._losses.measure(state, queries, k, target)
            if state.graph is not None:
                live.recall = measured
            return measured
        if state.graph is None:
            return None
        before = live.recall
        measured = live.recall = _graphs.measure(state, state.graph, queries, k)
        same = before is not None and queries is None and before.k == k
        _graphs.warn_below(measured, target, before.recall if before and same else None)
        return measured

    # -- Changes ----------------------------------------------------------------------------

    def add(self, batch: Batch, assign: bool) -> np.ndarray:
        with self._home.changing():
            return self._live.add(batch, assign)

    def upsert(self, batch: Batch) -> np.ndarray:
        with self._home.changing():
            return self._live.upsert(batch)

    def update(self, ids: np.ndarray | None, where: Condition | None, changes: Changes) -> None:
        if ids is not None:
            columns = changes(ids)
            with self._home.changing():
                self._live.update(ids, columns)
            return
        with self._home.changing(), self._exclusive():
            if len(chosen := self.ids(where)):
                self._live.update(chosen, changes(chosen))
            else:
                changes(chosen)  # which refuses what is wrong with them

    def delete(self, ids: np.ndarray | None, where: Condition | None) -> None:
        with self._home.changing(), self._exclusive():
            chosen = self.ids(where) if ids is None else ids
            if ids is not None or len(chosen):
                self._live.delete(chosen)

    @contextlib.contextmanager
    def _exclusive(self) -> Iterator[None]:
        """While held, no other thread can change records or notes."""
        # In the order in which a note is set: what is changed may be noted on the way.
        with self._home.contents.about.lock, self._live.exclusive():
            yield

    def clear(self) -> None:
        with self._home.changing():
            self._live.clear()

    def compact(self) -> None:
        self._home.compact()

    # -- Outside ----------------------------------------------------------------------------

    def save(self, path: str | None) -> None:
        if path is None:
            self._home.save()
        else:
            _snapshot.save(path, self._home.contents)

    def content(self) -> bytes:
        with temporary_folder() as folder:
            file = os.path.join(folder, "index")
            _snapshot.save(file, self._home.contents)
            with open(file, "rb") as written:
                return written.read()

    def refresh(self) -> bool:
        return self._home.refresh()

    def close(self) -> None:
        self._home.close()


def _none(source: Rows, queries: int, k: int) -> Nearest:
    shape = queries, k
    return Nearest(source, np.full(shape, -1), np.full(shape, np.inf, np.float32))
