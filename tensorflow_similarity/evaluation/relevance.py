"""Which keys of the gallery are relevant to which queries."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Protocol

import numpy as np

from tensorflow_similarity import _checks as checks

__all__ = ["ClassRelevance", "MatrixRelevance", "Relevance", "WithIgnored"]


class Relevance(Protocol):
    """The relevance interface of ranking. Columns are gallery rows in `order`."""

    #: int64 [keys]: the gallery row of every column.
    order: np.ndarray
    #: int64 [queries]: number of keys relevant to each query.
    count: np.ndarray
    #: int64 [queries]: an order of the queries in which neighbours are cheap together.
    query_order: np.ndarray

    @property
    def graded(self) -> bool:
        """Whether relevance is graded, so that `gains` differs from `mask`."""

    def mark(self, keys: np.ndarray, queries: np.ndarray) -> None:
        """Sets the lowest bit of `keys` `[queries, keys]` where relevant, in place."""

    def mask(self, queries: np.ndarray) -> np.ndarray:
        """Bool `[queries, keys]`, True where relevant."""

    def gains(self, queries: np.ndarray) -> np.ndarray:
        """Float64 `[queries, keys]`, the grades; 0 where not relevant."""

    def ignored(self, queries: np.ndarray) -> np.ndarray | None:
        """Bool `[queries, keys]`, True where the key is left out of the query's ranking.

        None if there are none. `count` excludes these keys; `mask` and `gains` may include them.
        """


class ClassRelevance:
    """Keys of the query's class are relevant.

    The columns are sorted by class, so that the relevant ones are one slice.

    Args:
        labels: int64 `[queries]`.
        known: bool `[queries]`: False for a query of unknown class, to which nothing is
            relevant.
        gallery_labels: int64 `[keys]`.
        gallery_known: bool `[keys]`: False for keys of unknown class, which are relevant
            to nothing.
        own: int64 `[queries]`, the gallery row that is the query itself, which
            is never relevant; -1 where there is none.
    """

    graded = False

    def __init__(
        self,
        labels: np.ndarray,
        known: np.ndarray,
        gallery_labels: np.ndarray,
        gallery_known: np.ndarray,
        own: np.ndarray,
    ) -> None:
        # Keys of unknown class come last, where no slice reaches.
        self.order = np.lexsort((gallery_labels, ~gallery_known))
        ordered = gallery_labels[self.order[: int(gallery_known.sum())]]
        self._start = np.searchsorted(ordered, labels, side="left")
        self._stop = np.searchsorted(ordered, labels, side="right")
        self._start[~known] = self._stop[~known] = 0
        finds_itself = (own >= 0) & known & gallery_known[own] & (gallery_labels[own] == labels)
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

    def ignored(self, queries: np.ndarray) -> np.ndarray | None:
        return None


class MatrixRelevance:
    """Explicit relevance: a matrix, requested in blocks of queries.

    Args:
        relevance: Maps positions of some queries `[n]` to bool, or to grades from 0 up,
            `[n, keys]`; NaN where the key is to be left out of the query's ranking.
        keys: The size of the gallery.
        own: As for `ClassRelevance`.
        rows: Number of queries to count at a time.
    """

    def __init__(
        self, relevance: Callable[[np.ndarray], np.ndarray], keys: int, own: np.ndarray, rows: int
    ) -> None:
        self._relevance = relevance
        n = len(own)
        self.graded = False
        self._any_ignored = False
        self.order = np.arange(keys)
        self.count = np.zeros(n, np.int64)
        for begin in range(0, n, rows):
            queries = np.arange(begin, min(begin + rows, n))
            values = self._values(queries)
            if values.dtype.kind == "f":
                self._any_ignored |= bool(np.isnan(values).any())
            itself = own[queries]
            mask = values > 0
            finds_itself = (itself >= 0) & mask[np.arange(len(queries)), itself]
            self.count[queries] = mask.sum(axis=1) - finds_itself
        self.query_order = np.argsort(self.count, kind="stable")

    def _values(self, queries: np.ndarray) -> np.ndarray:
        """The given relevance of these queries, checked: bool, or grades."""
        values = checks.host_array(self._relevance(queries), "relevance")
        expected = (len(queries), len(self.order))
        known = values.shape == expected and values.dtype.kind in "biuf"
        if not known or (values.dtype != bool and (values < 0).any()):
            raise ValueError(
                "`relevance` must give a matrix [queries, keys] of bool or of grades from 0 up "
                f"(NaN: the pair is ignored), here {expected}. Received: array of shape "
                f"{values.shape} and dtype {values.dtype}"
                + (", with a negative value." if known else ".")
            )
        self.graded |= values.dtype != bool
        return values

    def mask(self, queries: np.ndarray) -> np.ndarray:
        values = self._values(queries)
        return values if values.dtype == bool else values > 0

    def gains(self, queries: np.ndarray) -> np.ndarray:
        return np.nan_to_num(self._values(queries).astype(np.float64), posinf=np.inf)

    def ignored(self, queries: np.ndarray) -> np.ndarray | None:
        return np.isnan(self._values(queries)) if self._any_ignored else None

    def mark(self, keys: np.ndarray, queries: np.ndarray) -> None:
        keys |= self.mask(queries)


class WithIgnored:
    """Relevance with some pairs left out of the ranking.

    Args:
        relevance: The relevance.
        ignore: Maps positions of some queries `[n]` to bool `[n, keys]`, columns in the
            order of the gallery: True where the key is left out of the query's ranking.
        own: As for `ClassRelevance`.
        rows: Number of queries to count at a time.
        same_class: Whether only keys that are relevant to the query are left out.
    """

    def __init__(
        self,
        relevance: Relevance,
        ignore: Callable[[np.ndarray], np.ndarray],
        own: np.ndarray,
        rows: int,
        same_class: bool,
    ) -> None:
        self._relevance, self._ignore, self._same_class = relevance, ignore, same_class
        self.order = relevance.order
        self.count = relevance.count.copy()
        column = np.empty(len(self.order), np.int64)
        column[self.order] = np.arange(len(self.order))
        #: Number of pairs left out.
        self.pairs = 0
        for begin in range(0, len(own), rows):
            queries = np.arange(begin, min(begin + rows, len(own)))
            mask, ignored = relevance.mask(queries), self._mask(queries)
            itself = own[queries]
            there = np.flatnonzero(itself >= 0)
            ignored[there, column[itself[there]]] = False  # `count` excludes it already.
            already = relevance.ignored(queries)
            if already is not None:
                ignored &= ~already
            self.count[queries] -= (mask & ignored).sum(axis=1)
            self.pairs += int(ignored.sum())
        self.query_order = (
            relevance.query_order
            if isinstance(relevance, ClassRelevance)
            else np.argsort(self.count, kind="stable")
        )

    @property
    def graded(self) -> bool:
        return self._relevance.graded

    def _mask(self, queries: np.ndarray) -> np.ndarray:
        ignored = self._ignore(queries)[:, self.order]
        return ignored & self._relevance.mask(queries) if self._same_class else ignored

    def mark(self, keys: np.ndarray, queries: np.ndarray) -> None:
        self._relevance.mark(keys, queries)

    def mask(self, queries: np.ndarray) -> np.ndarray:
        return self._relevance.mask(queries)

    def gains(self, queries: np.ndarray) -> np.ndarray:
        return self._relevance.gains(queries)

    def ignored(self, queries: np.ndarray) -> np.ndarray | None:
        ignored, already = self._mask(queries), self._relevance.ignored(queries)
        return ignored if already is None else ignored | already
