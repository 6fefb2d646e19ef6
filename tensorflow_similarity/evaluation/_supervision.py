"""Resolves what users say about relevance into the form that ranking needs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity import targets
from tensorflow_similarity.evaluation.ranks import block_rows
from tensorflow_similarity.evaluation.relevance import (
    ClassRelevance,
    MatrixRelevance,
    Relevance,
    WithIgnored,
)
from tensorflow_similarity.targets import Targets, TargetsLike

__all__ = ["SameGroup", "Supervision", "supervise"]

_KINDS = ("classes", "multi_hot", "soft", "hierarchy", "relevance")
_NAMED = ("jaccard", "multi_hot")


class SameGroup:
    """Leaves pairs of one group, such as one camera or session, out of `evaluate(ignore=…)`.

    In person re-identification, images of the query's person from the query's own camera are
    left out of its ranking, since they are nearly copies of it; other persons from that camera
    stay. With `same_class=False`, all keys of the query's group are left out, whatever their
    class, for example all images of one hospital patient.

    Args:
        queries: The group of each query `[queries]`: ids or names; None for a query
            that is of no group.
        gallery: The group of each key `[keys]`. Defaults to `None`: the groups of the
            queries, which then search each other.
        same_class: Whether only keys relevant to the query (of its class) are left out.
            Defaults to `True`.

    Example:

    ```python
    from tensorflow_similarity.evaluation import SameGroup, evaluate

    persons, cameras = [7, 7, 7, 8, 8], ["a", "a", "b", "a", "b"]
    x = [[0.0], [0.1], [1.0], [0.2], [1.1]]
    evaluate(x, persons, distance="l2", metrics="precision@1", ignore=SameGroup(cameras))
    ```
    """

    def __init__(
        self, queries: TargetsLike, gallery: TargetsLike | None = None, same_class: bool = True
    ) -> None:
        self.queries = targets.get(queries, "queries")
        self.gallery = None if gallery is None else targets.get(gallery, "gallery")
        self.same_class = checks.flag(same_class, "same_class")

    def __repr__(self) -> str:
        return f"SameGroup({len(self.queries)} queries, same_class={self.same_class})"

    def of_records(self, places: np.ndarray) -> SameGroup:
        """The same for some of the keys, by their positions."""
        if self.gallery is None:
            return self
        return SameGroup(self.queries, self.gallery.take(places), self.same_class)

    def check(self, queries: int, keys: int | None) -> None:
        """Checks the lengths; `keys` is None where each query searches the others.

        Raises:
            ValueError: If they differ, or the gallery's groups are missing.
        """
        if len(self.queries) != queries:
            raise ValueError(
                f"`ignore` must hold the group of each query: expected {queries}. Received: "
                f"{len(self.queries)}."
            )
        if self.gallery is None and keys is not None:
            raise ValueError(
                "`ignore` must hold the groups of the gallery where there is one: "
                "SameGroup(queries, gallery). Received: those of the queries."
            )
        if self.gallery is not None and len(self.gallery) != (queries if keys is None else keys):
            raise ValueError(
                "`ignore` must hold the group of each key of the gallery: expected "
                f"{queries if keys is None else keys}. Received: {len(self.gallery)}."
            )


@dataclasses.dataclass(frozen=True)
class Supervision:
    """Resolved labels and relevance.

    Attributes:
        relevant: Which keys are relevant to which queries, and which pairs are left out.
        labels: The labels of the queries as results show them, an array of `queries` rows.
        unknown: bool `[queries]`, True if the class is unknown.
    """

    relevant: Relevance
    labels: np.ndarray
    unknown: np.ndarray


def supervise(
    labels: TargetsLike,
    gallery_labels: TargetsLike | None,
    own: np.ndarray,
    keys: int,
    relevance: object,
    ignore: object,
    ignore_class: object,
) -> Supervision:
    """Resolves the arguments of `evaluate` that define relevance.

    Args:
        labels: Labels of the queries.
        gallery_labels: Labels of the gallery; None if the queries search each other.
        own: int64 `[queries]`, the gallery row that is the query itself, or -1.
        keys: The size of the gallery.
        relevance: See `evaluate`.
        ignore: See `evaluate`.
        ignore_class: See `evaluate`.
    """
    alone, queries = gallery_labels is None, len(own)
    rows = block_rows(keys)
    relevant: Relevance
    unknown = np.zeros(queries, bool)
    if relevance is not None and not (isinstance(relevance, str) and relevance in _NAMED):
        if ignore_class is not None:
            raise ValueError(
                "`ignore_class` is for labels whose relevance is their class. Received: "
                f"{ignore_class!r} beside `relevance`. Make the relevance of its pairs 0, or NaN "
                "to leave them out."
            )
        shown = _any_labels(labels, "labels", queries)
        theirs = shown if alone else _any_labels(gallery_labels, "gallery_labels", keys)
        values = _values(relevance, shown, theirs, (queries, keys))
        relevant = MatrixRelevance(values, keys, own, rows)
    else:
        if relevance is not None:
            labels = _several(labels, "labels")
            gallery_labels = labels if alone else _several(gallery_labels, "gallery_labels")
        mine = targets.get(labels, "labels", queries, ignore_class, _KINDS)
        others = mine
        if not alone and not _is_matrix(mine):
            others = targets.get(gallery_labels, "gallery_labels", keys, ignore_class, _KINDS)
            mine, others = targets.align(mine, others, ("labels", "gallery_labels"))
        shown, unknown = targets.shown_labels(mine, labels), ~mine.known
        if mine.kind == "classes":
            relevant = ClassRelevance(mine.ids, mine.known, others.ids, others.known, own)
        else:
            relevant = MatrixRelevance(_compared(mine, others, relevance), keys, own, rows)
    if ignore is not None:
        skipped, same_class = _ignored(ignore, queries, keys, alone)
        relevant = WithIgnored(relevant, skipped, own, rows, same_class)
    return Supervision(relevant, shown, unknown)


def _compared(
    mine: Targets, others: Targets, relevance: str | None
) -> Callable[[np.ndarray], np.ndarray]:
    """The relevance given by `Targets`, as a function of query positions."""
    if _is_matrix(mine):
        matrix = mine.matrix  # type: ignore[attr-defined]
        return lambda which: np.asarray(matrix[which])
    compare = _jaccard if relevance == "jaccard" else Targets.relevance_to
    return lambda which: compare(mine.take(which), others)


def _is_matrix(found: Targets) -> bool:
    return found.kind == "relevance" and hasattr(found, "matrix")


def _several(labels: TargetsLike | None, name: str) -> Targets:
    found = labels if isinstance(labels, Targets) else Targets.multi_hot(labels, name=name)
    if found.kind != "multi_hot":
        raise TypeError(
            f"`{name}` must hold several labels per example, as Targets.multi_hot or "
            f"Targets.label_sets, with this `relevance`. Received: {found!r}."
        )
    return found


def _jaccard(mine: Targets, others: Targets) -> np.ndarray:
    """Shared labels divided by all labels of either; 0 if neither has any."""
    ours = mine.matrix.astype(np.float64)  # type: ignore[attr-defined]
    theirs = others.matrix.astype(np.float64)  # type: ignore[attr-defined]
    common = ours @ theirs.T
    either = ours.sum(axis=1)[:, None] + theirs.sum(axis=1)[None, :] - common
    return common / np.maximum(either, 1)


def _values(
    relevance: object, labels: np.ndarray, gallery_labels: np.ndarray, shape: tuple[int, int]
) -> Callable[[np.ndarray], np.ndarray]:
    """A matrix, or a function of labels, as a function of query positions."""
    if isinstance(relevance, str):
        raise ValueError(
            f"`relevance` must be one of {list(_NAMED)}, a matrix or a function. Received: "
            f"{relevance!r}."
        )
    if isinstance(relevance, Targets):
        raise TypeError(
            "`relevance` must be a matrix or a function of labels. Received: "
            f"{relevance!r}. Pass it as `labels`."
        )
    if callable(relevance):
        return lambda which: relevance(labels[which], gallery_labels)
    matrix = checks.host_array(relevance, "relevance")
    if matrix.shape != shape:
        raise ValueError(
            "`relevance` must be a matrix [queries, keys] of bool or grades, here "
            f"{shape}. Received: array of shape {matrix.shape}."
        )
    return lambda which: matrix[which]


def _ignored(
    ignore: object, queries: int, keys: int, alone: bool
) -> tuple[Callable[[np.ndarray], np.ndarray], bool]:
    """Pairs to leave out, as a function of query positions; and whether only relevant ones."""
    if isinstance(ignore, SameGroup):
        ignore.check(queries, None if alone else keys)
        mine = ignore.queries
        others = mine if ignore.gallery is None else ignore.gallery
        mine, others = targets.align(mine, others, ("queries", "gallery"))
        return lambda which: mine.take(which).relevance_to(others), ignore.same_class

    def checked(values: object, expected: tuple[int, int]) -> np.ndarray:
        matrix = checks.host_array(values, "ignore")
        if matrix.dtype != bool or matrix.shape != expected:
            raise ValueError(
                "`ignore` must give a bool matrix [queries, keys], True where the pair is left "
                f"out, here {expected}. Received: array of shape {matrix.shape} and dtype "
                f"{matrix.dtype}. For ids of groups pass SameGroup(query_groups, gallery_groups)."
            )
        return matrix

    if callable(ignore):
        return lambda which: checked(ignore(which), (len(which), keys)), False
    matrix = checked(ignore, (queries, keys))
    return lambda which: matrix[which], False


def _any_labels(labels: TargetsLike | None, name: str, length: int) -> np.ndarray:
    if isinstance(labels, Targets):
        labels = targets.shown_labels(labels)
    array = checks.host_array(labels, name)
    if array.ndim == 0 or len(array) != length:
        raise ValueError(
            f"`{name}` must hold one label per example: expected {length}. "
            f"Received: array of shape {array.shape}."
        )
    return array
