"""The half of an index that changes it: add, upsert, update, delete, clear, compact."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from tensorflow_similarity.index.arguments import check_batch, check_changes, check_ids
from tensorflow_similarity.index.durable import IndexFolder
from tensorflow_similarity.index.reading import IndexReading

__all__ = ["IndexChanging"]


class IndexChanging(IndexReading):
    """What may be done to an index. Any thread may; one at a time does."""

    _folder: IndexFolder | None

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
        batch = check_batch(self.embedding_size, embeddings, labels, data, ids)
        with self._changing():
            return self._live.add(batch, assign=ids is None)

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
        batch = check_batch(self.embedding_size, embeddings, labels, data, ids)
        with self._changing():
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
        changes = check_changes(self.embedding_size, ids, embeddings, labels, data)
        with self._changing():
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
        ids = check_ids(ids)
        with self._changing():
            self._live.delete(ids)

    def clear(self) -> None:
        """Deletes all records. Ids that were assigned are not assigned again."""
        with self._changing():
            self._live.clear()

    def compact(self) -> None:
        """Drops deleted records from memory, and builds the engine's graph anew.

        Lookups become as fast as they can be, and what was deleted is gone.
        Changes by other threads go on meanwhile.
        """
        self._live.compact()
        if self._folder is not None:
            self._folder.fold()

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        """Around each change: notes go to the journal first, and it may be folded after."""
        if self._folder is None:
            yield
            return
        self._folder.tell()
        yield
        self._folder.fold_if_due()
