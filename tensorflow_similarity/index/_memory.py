"""The living part of an index: one writer at a time, any number of readers.

Readers take `state` once and use nothing else. Writers prepare what they
change aside and publish a new state, so that a lookup sees the records as they
were at one moment, and no lookup waits for a writer or for a graph being built.
Where there is a journal, a change is in it before it is published.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tensorflow_similarity._caller import levels_to_the_caller
from tensorflow_similarity.distances import Distance
from tensorflow_similarity.index._columns import LARGEST_IN_MEMORY, lies_in_file
from tensorflow_similarity.index._graphs import Folding, MeasuredRecall, warn_below
from tensorflow_similarity.index._journal import Change, Journal
from tensorflow_similarity.index._keys import keys_in, refuse_mixture
from tensorflow_similarity.index._payload import JsonPayload
from tensorflow_similarity.index._records import Batch, Rows, Store
from tensorflow_similarity.index._search import Graph, State
from tensorflow_similarity.index.engines.exact import ExactScan

__all__ = ["LiveRecords", "RecordsNow", "found"]

# Deleted rows are dropped when they outnumber the live ones and are at least this many.
_MOST_DEAD = 4096


@dataclasses.dataclass(frozen=True)
class RecordsNow:
    """A consistent snapshot of the records.

    Attributes:
        state: The records.
        next_id: The first id to assign.
        recall: What the graph was measured to find.
    """

    state: State
    next_id: int
    recall: MeasuredRecall | None


class LiveRecords:
    """Records that can change while they are searched. Arguments must be checked already.

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
        #: Where changes are written before they are applied; None for nowhere.
        self.journal: Journal | None = None
        self._restart(store)

    def _restart(self, store: Store) -> None:
        self._store = store
        self.recall: MeasuredRecall | None = None
        self.state = State(store.rows, ExactScan(self._distance), None)

    def add(self, batch: Batch, assign: bool) -> np.ndarray:
        """Adds records under new ids, assigned or given."""
        with self._writing:
            self._check_keyed(batch)
            if batch.keys is not None:
                known = self.state.rows.find_keys(batch.keys) >= 0
                if known.any():
                    raise ValueError(
                        "`ids` must not be in use; `upsert` replaces records. Received, in use: "
                        f"{keys_in(batch.keys, np.flatnonzero(known)[:5]).tolist()}."
                    )
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
            self._store.check_data(batch.data)
            self._store.check_labels(batch.labels)
            with self._journaled(Change.of_batch("add", batch)):
                self._append(batch, None)
        return batch.ids

    def upsert(self, batch: Batch) -> np.ndarray:
        """Adds records in place of those with the same ids, or keys; gives their ids."""
        with self._writing:
            self._check_keyed(batch)
            self._store.check_data(batch.data)
            self._store.check_labels(batch.labels)
            if batch.keys is not None and len(batch.ids) < len(batch):
                batch = dataclasses.replace(batch, ids=self._ids_of_keys(batch.keys))
            replaced = self.state.rows.find(batch.ids)
            with self._journaled(Change.of_batch("upsert", batch)):
                self._append(batch, replaced[replaced >= 0])
        return batch.ids

    def _check_keyed(self, batch: Batch) -> None:
        """Raises for a mix of records with and without keys.

        Raises:
            TypeError: If the records of the index have keys and these not, or likewise.
        """
        keyed = self.state.rows.keyed
        if keyed is None or not len(batch) or keyed == (batch.keys is not None):
            return
        refuse_mixture(keyed)

    def _ids_of_keys(self, keys: JsonPayload) -> np.ndarray:
        """The ids of records with these keys, new ones where there is none."""
        rows = self.state.rows
        at = rows.find_keys(keys)
        new = at < 0
        last = self.next_id + int(new.sum())
        if last - 1 > np.iinfo(np.int64).max:
            raise ValueError("No id is left to assign above the largest.")
        ids = np.empty(len(at), np.int64)
        ids[~new] = rows.ids[at[~new]]
        ids[new] = np.arange(self.next_id, last)
        return ids

    def update(self, ids: np.ndarray, changes: dict[str, Any]) -> None:
        """Replaces some columns of some records."""
        with self._writing:
            rows = found(self.state.rows, ids)
            self._store.check_data(changes.get("data"))
            if "labels" in changes:
                self._store.check_labels(changes["labels"])
            kept = self.state.rows.batch(rows)
            with self._journaled(Change("update", {"ids": ids, **changes})):
                self._append(dataclasses.replace(kept, **changes), rows)

    def delete(self, ids: np.ndarray) -> None:
        """Deletes records."""
        with self._writing:
            rows = found(self.state.rows, ids)
            with self._journaled(Change("delete", {"ids": ids})):
                left = self._store.bury(rows)
                self.state = dataclasses.replace(self.state, rows=left)
            if left.dead > max(_MOST_DEAD, left.live_count):
                # The records are deleted even if their rows could not be dropped.
                with contextlib.suppress(MemoryError, OSError):
                    self._drop_dead()

    def clear(self) -> None:
        """Deletes all records."""
        with self._writing, self._journaled(Change("clear", {})):
            self._restart(self._store.emptied())

    def replay(self, change: Change) -> None:
        """Applies a change from a journal."""
        columns = change.columns
        if change.name in ("add", "upsert"):
            batch = Batch(**columns)
            if change.name == "add":
                self.add(batch, assign=False)
            else:
                self.upsert(batch)
        elif change.name == "update":
            self.update(columns["ids"], {k: v for k, v in columns.items() if k != "ids"})
        elif change.name == "delete":
            self.delete(columns["ids"])
        elif change.name == "clear":
            self.clear()
        else:
            raise ValueError(f"No change has the name {change.name!r}.")

    def exclusive(self) -> contextlib.AbstractContextManager[Any]:
        """While held, no other thread can change the records."""
        return self._writing

    def now(self) -> RecordsNow:
        """The records at this moment."""
        with self._writing:
            return RecordsNow(self.state, self.next_id, self.recall)

    def continue_in(self, journal: Journal) -> tuple[RecordsNow, Journal | None]:
        """Switches to another journal; returns the state so far, and the previous journal."""
        with self._writing:
            former, self.journal = self.journal, journal
            return self.now(), former

    def note(self, about: dict[str, Any]) -> None:
        """Writes an entry to the journal that is not a change of records."""
        with self._writing:
            if self.journal is not None:
                self.journal.append(about, {})

    def close(self) -> None:
        """Closes the journal; no changes are possible afterwards."""
        with self._writing:
            if self.journal is not None:
                self.journal.close()

    def compact(self) -> None:
        """Drops deleted rows, and rebuilds the graph if one is useful."""
        with self._building:
            state = self._compacted()
            if self.folding.worthwhile(state):
                self._build(state)
            else:
                self.adopt(state, None, None)

    def ready(self, when_built: Callable[[], None]) -> State:
        """The state for a lookup; first builds a graph, or starts to, if one is due.

        Args:
            when_built: Called when that was done.
        """
        state = self.state
        if self.folding.due(state) and self._building.acquire(blocking=False):
            if self.folding.background:
                try:
                    build = functools.partial(self._build_and_release, when_built)
                    threading.Thread(target=build, name="index-build").start()
                except RuntimeError:  # no more threads can be started
                    self._build_and_release(when_built)
            else:
                self._build_and_release(when_built)
        return self.state

    def _build_and_release(self, when_built: Callable[[], None]) -> None:
        """Builds automatically; a failure only warns, and is retried later."""
        try:
            self._build(self._in_place())
        except Exception as error:
            self.folding.failed(self.state)
            warnings.warn(
                f"No graph of the index could be built: {type(error).__name__}: {error}. All is "
                "found without it, by exact search, until another try; `compact` builds at once.",
                stacklevel=levels_to_the_caller(),
            )
            return
        finally:
            self._building.release()
        when_built()

    def adopt(self, state: State, graph: Graph | None, recall: MeasuredRecall | None) -> None:
        """Publishes a graph built from `state`, unless rows have moved since."""
        with self._writing:
            if self.state.scan is state.scan:
                self.state = dataclasses.replace(self.state, graph=graph)
                self.recall = recall

    def _build(self, state: State) -> None:
        self.folding.debt = 0.0
        built = self.folding.build(state)
        self.folding.patience = 0.0
        if built is not None:
            self.adopt(state, *built)
            graph, recall = built
            # No warning for an effort that the user chose.
            if graph is not None and recall is not None and graph.engine.fixed_effort is None:
                warn_below(recall, self.folding.target_recall)

    @contextlib.contextmanager
    def _journaled(self, change: Change) -> Iterator[None]:
        """Writes a checked change to the journal, and undoes that if the change fails."""
        journal, before = self.journal, self.state
        if journal is None:
            yield
            return
        end = journal.end
        try:
            journal.append(*change.entry())
            yield
        except BaseException:
            if self.state is before and journal.end != end:
                journal.cut(end)
            raise

    def _append(self, batch: Batch, replaced: np.ndarray | None) -> None:
        store, before = self._store, self.state.rows
        if len(batch) and before.keyed is None and (before.keys is None) != (batch.keys is None):
            # No records are left, so the next ones may have keys or not.
            store = store.emptied()
        rows = store.append(batch, replaced)
        if len(batch):
            self.next_id = max(self.next_id, int(batch.ids.max()) + 1)
        if store is not self._store:
            self._restart(store)
        else:
            self.state = dataclasses.replace(self.state, rows=rows)

    def _compacted(self) -> State:
        with self._writing:
            self._drop_dead()
            return self.state

    def _in_place(self) -> State:
        """The state, without deleted rows if a graph can then share the rows.

        What lies in files stays there.
        """
        rows = self.state.rows
        movable = isinstance(rows.vectors, np.ndarray) and not lies_in_file(rows.vectors)
        small = rows.data is None or rows.data.nbytes <= LARGEST_IN_MEMORY
        if rows.dead and movable and small and self.folding.in_place:
            return self._compacted()
        return self.state

    def _drop_dead(self) -> None:
        """Moves the live rows together, and updates the graph accordingly."""
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
