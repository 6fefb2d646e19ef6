"""Which keys of the gallery are relevant to a query."""

from __future__ import annotations

import itertools
from typing import Any, Protocol

import numpy as np

from tensorflow_similarity import _checks as checks

__all__ = ["ClassRelevance", "MatrixRelevance", "Relevance"]


class Relevance(Protocol):
    """What ranking asks about relevance. Columns are gallery rows in `order`."""

    #: int64 [keys]: the gallery row of every column.
    order: np.ndarray
    #: int64 [queries]: how many keys are relevant to each query.
    count: np.ndarray
    #: Whether `gains` tells more than `mask`.
    graded: bool
    #: int64 [queries]: an order of the queries in which neighbours are cheap together.
    query_order: np.ndarray

    def mark(self, keys: np.ndarray, queries: np.ndarray) -> None:
        """Sets the lowest bit of `keys` `[queries, keys]` where relevant, in place."""

    def mask(self, queries: np.ndarray) -> np.ndarray:
        """Bool `[queries, keys]`, True where relevant."""

    def gains(self, queries: np.ndarray) -> np.ndarray:
        """Float64 `[queries, keys]`, how relevant; 0 where not."""


class ClassRelevance:
    """Keys of the query's class are relevant.

    The columns are sorted by class, so that the relevant ones are one slice.

    Args:
        labels: int64 `[queries]`.
        gallery_labels: int64 `[keys]`.
        own: int64 `[queries]`, the gallery row that is the query itself, which
            is never relevant; -1 where there is none.
    """

    graded = False

    def __init__(self, labels: np.ndarray, gallery_labels: np.ndarray, own: np.ndarray) -> None:
        self.order = np.argsort(gallery_labels, kind="stable")
        ordered = gallery_labels[self.order]
        self._start = np.searchsorted(ordered, labels, side="left")
        self._stop = np.searchsorted(ordered, labels, side="right")
        finds_itself = (own >= 0) & (gallery_labels[own] == labels)
        self.count = self._stop - self._start - finds_itself
        self.query_order = np.lexsort((self._start, self.count))

    def mark(self, keys: np.ndarray, queries: np.ndarray) -> None:
        start, stop = self._start[queries], self._stop[queries]
        # Queries come sorted by class: one slice for every run of a class.
        edges = np.flatnonzero(np.diff(start, prepend=-1, append=-1))
        for first, last in itertools.pairwise(edges):
            keys[first:last, start[first] : stop[first]] |= 1

    def mask(self, queries: np.ndarray) -> np.ndarray:
        columns = np.arange(len(self.order))
        return (columns >= self._start[queries, None]) & (columns < self._stop[queries, None])

    def gains(self, queries: np.ndarray) -> np.ndarray:
        return self.mask(queries).astype(np.float64)


class MatrixRelevance:
    """Relevance that someone spelt out, as a matrix or as a function of labels.

    Args:
        relevance: bool or grades from 0 up, `[queries, keys]`, or a function that maps
            some queries' labels `[n, ...]` and all the gallery's labels to such `[n, keys]`.
        labels: The queries' labels, any array of `queries` rows.
        gallery_labels: The gallery's.
        own: As for `ClassRelevance`.
        rows: How many queries to count at a time.
    """

    def __init__(
        self,
        relevance: Any,
        labels: np.ndarray,
        gallery_labels: np.ndarray,
        own: np.ndarray,
        rows: int,
    ) -> None:
        self._relevance, self._labels, self._gallery_labels = relevance, labels, gallery_labels
        n = len(labels)
        self.graded = False
        self.order = np.arange(len(gallery_labels))
        self.count = np.zeros(n, np.int64)
        for begin in range(0, n, rows):
            queries = np.arange(begin, min(begin + rows, n))
            mask = self.mask(queries)
            itself = own[queries]
            finds_itself = (itself >= 0) & mask[np.arange(len(queries)), itself]
            self.count[queries] = mask.sum(axis=1) - finds_itself
        self.query_order = np.argsort(self.count, kind="stable")

    def _values(self, queries: np.ndarray) -> np.ndarray:
        """What was given for these queries, checked: bool, or grades."""
        if callable(self._relevance):
            values = self._relevance(self._labels[queries], self._gallery_labels)
            values = checks.host_array(values, "relevance")
        else:
            values = self._relevance[queries]
        expected = (len(queries), len(self.order))
        known = values.shape == expected and values.dtype.kind in "biuf"
        # Not `values < 0`, which is False for NaN.
        if not known or (values.dtype != bool and not (values >= 0).all()):
            raise ValueError(
                "`relevance` must give a matrix [queries, keys] of bool or of grades from 0 up, "
                f"here {expected}. Received: array of shape {values.shape} and dtype "
                f"{values.dtype}" + (", with a negative value or NaN." if known else ".")
            )
        self.graded |= values.dtype != bool
        return values

    def mask(self, queries: np.ndarray) -> np.ndarray:
        values = self._values(queries)
        return values if values.dtype == bool else values > 0

    def gains(self, queries: np.ndarray) -> np.ndarray:
        return self._values(queries).astype(np.float64)

    def mark(self, keys: np.ndarray, queries: np.ndarray) -> None:
        keys |= self.mask(queries)
