"""From record ids to rows, vectorised and persistent."""

from __future__ import annotations

import dataclasses

import numpy as np

__all__ = ["IdMap"]

# Insertions into the recent part copy it, so it stays small; merging it copies
# everything, so it must not be too small.
_SMALLEST_MERGE = 4096
_MERGE_SHARE = 16

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
    place = np.searchsorted(keys, ids)
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
