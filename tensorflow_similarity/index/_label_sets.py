"""Several labels per record: each set that there is has a number, which records hold as label.

So a record has one number whatever it has: what compares, filters or stores labels looks at
few distinct sets, and at numbers for each record.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from tensorflow_similarity.index._columns import Column

__all__ = ["LabelSets", "LabelTable"]


@dataclasses.dataclass(frozen=True)
class LabelSets:
    """Sets of class ids, one after another.

    Attributes:
        values: The ids of all sets, int64 `[m]`; those of a set are distinct and increase.
        ends: Where each set ends among them, int64 `[n]`.
    """

    values: np.ndarray
    ends: np.ndarray

    @classmethod
    def of_matrix(cls, matrix: np.ndarray, ids: np.ndarray) -> LabelSets:
        """The sets of the rows of a bool matrix `[n, c]`, with increasing ids of its columns."""
        rows, columns = np.nonzero(matrix)
        counts = np.bincount(rows, minlength=len(matrix)).astype(np.int64)
        return cls(ids[columns].astype(np.int64), np.cumsum(counts))

    @classmethod
    def of_labels(cls, labels: np.ndarray, known: np.ndarray) -> LabelSets:
        """Sets of one label each; empty ones where it is not known."""
        return cls(labels[known], np.cumsum(known, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.ends)

    @property
    def starts(self) -> np.ndarray:
        """Where each set begins: int64 `[n]`."""
        return np.append(0, self.ends)[:-1]

    def take(self, places: np.ndarray) -> LabelSets:
        """The sets at given places; empty ones for -1."""
        there = places >= 0
        if not len(self):
            return LabelSets(self.values[:0], np.zeros(len(places), np.int64))
        starts = np.where(there, self.starts[places], 0)
        counts = np.where(there, self.ends[places] - starts, 0)
        ends = np.cumsum(counts, dtype=np.int64)
        within = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - counts, counts)
        return LabelSets(self.values[np.repeat(starts, counts) + within], ends)

    def tuples(self) -> list[tuple[int, ...]]:
        """Each set."""
        values, ends = self.values.tolist(), self.ends.tolist()
        starts = [0, *ends[:-1]]
        return [tuple(values[start:end]) for start, end in zip(starts, ends, strict=False)]

    def any(self, hits: np.ndarray) -> np.ndarray:
        """Which sets contain a marked value: bool `[n]`, from bool `[m]`."""
        counts = np.append(0, np.cumsum(hits))
        return counts[self.ends] > counts[self.starts]


class LabelTable:
    """The distinct sets of labels of an index, by number. It only grows.

    For one writer at a time; any number may read.
    """

    def __init__(self) -> None:
        self._numbers: dict[tuple[int, ...], int] = {}
        self._values = Column.empty((), np.int64)
        self._ends = Column.empty((), np.int64)

    @property
    def sets(self) -> LabelSets:
        """The sets in the order of their numbers."""
        ends = self._ends.view()  # first, so that their values are there
        return LabelSets(self._values.view(), ends)

    def numbers(self, sets: LabelSets) -> np.ndarray:
        """The number of each set, int64 `[n]`; new sets are added."""
        known = self._numbers
        result = np.empty(len(sets), np.int64)
        new: list[tuple[int, ...]] = []
        for place, own in enumerate(sets.tuples()):
            number = known.get(own)
            if number is None:
                number = known[own] = len(known)
                new.append(own)
            result[place] = number
        if new:
            values = np.array([value for own in new for value in own], np.int64)
            ends = np.cumsum([len(own) for own in new], dtype=np.int64) + len(self._values)
            self._values.append(values)
            self._ends.append(ends)
        return result

    def decoded(self, numbers: np.ndarray, class_names: Sequence[str] | None = None) -> np.ndarray:
        """The sets with these numbers, of any shape, as tuples of ids or names; None for -1."""
        distinct, places = np.unique(numbers, return_inverse=True)
        found: Any = np.empty(len(distinct), object)
        for place, own in enumerate(self.sets.take(distinct).tuples()):
            if distinct[place] >= 0:
                found[place] = own if class_names is None else tuple(class_names[i] for i in own)
        return np.asarray(found[places.reshape(-1)]).reshape(numbers.shape)
