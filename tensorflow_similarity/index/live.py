"""The living part of an index: one writer at a time, any number of readers.

Readers take `state` once and use nothing else. Writers prepare what they
change aside and publish a new state, so that a lookup sees the records as they
were at one moment, and no lookup waits for a writer or for a graph being built.
"""

from __future__ import annotations

import dataclasses
import threading
from typing import Any

import numpy as np

from tensorflow_similarity.distances import Distance
from tensorflow_similarity.index.engines.exact import ExactScan
from tensorflow_similarity.index.folding import Folding
from tensorflow_similarity.index.records import Batch, Rows, Store
from tensorflow_similarity.index.search import Graph, State
from tensorflow_similarity.index.tuning import MeasuredRecall, warn_below

__all__ = ["LiveRecords", "found"]

# Dead rows are dropped when they are more than the live ones, and this many.
_MOST_DEAD = 4096


class LiveRecords:
    """Records that change while they are searched. Arguments are checked ones.

    Args:
        store: The first records.
        distance: The distance.
        folding: When a graph is built.
        next_id: The first id to assign.
    """

    def __init__(
        self, store: Store, distance: Distance, folding: Folding, next_id: int = 0
    ) -> None:
        self._distance = distance
        self.folding = folding
        self._writing = threading.RLock()
        self._building = threading.Lock()
        self.next_id = next_id
        self._restart(store)

    def _restart(self, store: Store) -> None:
        self._store = store
        self.recall: MeasuredRecall | None = None
        self.state = State(store.rows, ExactScan(self._distance), None)

    def add(self, batch: Batch, assign: bool) -> np.ndarray:
        """Adds records under new ids, assigned or given."""
        with self._writing:
            if assign:
                last = self.next_id + len(batch)
                if last - 1 > np.iinfo(np.int64).max:
                    raise ValueError("No id is left to assign above the largest. Pass `ids`.")
                batch = dataclasses.replace(batch, ids=np.arange(self.next_id, last))
            else:
                known = self.state.rows.find(batch.ids) >= 0
                if known.any():
                    raise ValueError(
                        "`ids` must not be in use; `upsert` replaces records. Received, in use: "
                        f"{batch.ids[known][:5].tolist()}."
                    )
            self._append(batch, None)
        return batch.ids

    def upsert(self, batch: Batch) -> None:
        """Adds records in place of those with the same ids."""
        with self._writing:
            replaced = self.state.rows.find(batch.ids)
            self._append(batch, replaced[replaced >= 0])

    def update(self, ids: np.ndarray, changes: dict[str, Any]) -> None:
        """Replaces some columns of some records."""
        with self._writing:
            rows = found(self.state.rows, ids)
            kept = self.state.rows.batch(rows)
            self._append(dataclasses.replace(kept, **changes), rows)

    def delete(self, ids: np.ndarray) -> None:
        """Deletes records."""
        with self._writing:
            rows = self._store.bury(found(self.state.rows, ids))
            self.state = dataclasses.replace(self.state, rows=rows)
            if rows.dead > max(_MOST_DEAD, rows.live_count):
                self._drop_dead()

    def clear(self) -> None:
        """Deletes all records."""
        with self._writing:
            self._restart(Store(self.state.rows.vectors.shape[1]))

    def compact(self) -> None:
        """Drops dead rows, and builds the graph anew if one is of use."""
        with self._building:
            with self._writing:
                self._drop_dead()
                state = self.state
            if self.folding.worthwhile(state):
                self._build(state)
            else:
                self.adopt(state, None, None)

    def ready(self) -> State:
        """The state for a lookup; builds a graph first, or begins to, where that is due."""
        state = self.state
        if self.folding.due(state) and self._building.acquire(blocking=False):
            if self.folding.background:
                threading.Thread(target=self._build_and_release, name="index-build").start()
            else:
                self._build_and_release()
        return self.state

    def _build_and_release(self) -> None:
        try:
            self._build(self.state)
        finally:
            self._building.release()

    def adopt(self, state: State, graph: Graph | None, recall: MeasuredRecall | None) -> None:
        """Publishes a graph made of `state`, unless its rows have moved since."""
        with self._writing:
            if self.state.scan is state.scan:
                self.state = dataclasses.replace(self.state, graph=graph)
                self.recall = recall

    def _build(self, state: State) -> None:
        self.folding.debt = 0.0
        built = self.folding.build(state)
        if built is not None:
            self.adopt(state, *built)
            graph, recall = built
            if graph.engine.fixed_effort is None:  # else the user has chosen
                warn_below(recall, self.folding.target_recall)

    def _append(self, batch: Batch, replaced: np.ndarray | None) -> None:
        self._store.check_data(batch.data)
        rows = self._store.append(batch, replaced)
        if len(batch):
            self.next_id = max(self.next_id, int(batch.ids.max()) + 1)
        self.state = dataclasses.replace(self.state, rows=rows)

    def _drop_dead(self) -> None:
        """Moves the live rows together, and tells the graph where its own went."""
        old, graph = self.state.rows, self.state.graph
        if not old.dead:
            return
        if graph is not None:
            graph = graph.moved(np.flatnonzero(old.live))
        self._store = Store.of(old.compacted())
        self.state = State(self._store.rows, ExactScan(self._distance), graph)


def found(rows: Rows, ids: np.ndarray) -> np.ndarray:
    """The live rows of ids.

    Raises:
        KeyError: If an id is not in use.
    """
    result = rows.find(ids)
    unknown = result < 0
    if unknown.any():
        raise KeyError(
            f"`ids` must be in use. Received, unknown: {ids[unknown][:5].tolist()}"
            f"{' and more' if unknown.sum() > 5 else ''}."
        )
    return result
