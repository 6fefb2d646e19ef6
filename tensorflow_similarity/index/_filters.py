"""Filters: which records a lookup may return."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity.index import _class_names
from tensorflow_similarity.index._records import Rows

__all__ = ["Filter", "allowed_rows", "filter_ids", "parse_filter"]

#: `{"labels": …, "ids": …, "data": …}`, any of them, or the predicate alone.
Filter = Mapping[str, Any] | Callable[[Any], bool]

_KEYS = ("data", "ids", "labels")


def parse_filter(filter: Filter) -> Mapping[str, Any]:
    """A filter as a mapping, whose values are not checked yet.

    Raises:
        TypeError: If it is neither a mapping nor a predicate.
        ValueError: If a key is unknown, or there is none.
    """
    wanted: Any = {"data": filter} if callable(filter) else filter
    if not isinstance(wanted, Mapping):
        raise TypeError(
            "`filter` must be a mapping with any of the keys 'labels', 'ids' and 'data', or a "
            f"predicate on the payload. Received: {filter!r}."
        )
    unknown = [key for key in wanted if key not in _KEYS]
    if unknown or not wanted:
        raise ValueError(
            f"`filter` must have at least one of the keys {list(_KEYS)}, and no other. "
            f"Received: {list(wanted)}."
        )
    return wanted


def allowed_rows(filter: Filter, rows: Rows, notes: Mapping[str, Any]) -> np.ndarray:
    """Which rows a filter lets through, and are alive: bool `[n]`.

    Args:
        filter: A mapping with any of `"labels"` (an id or a name, or several), `"ids"`
            (likewise) and `"data"` (a predicate on the payload of one record),
            all of which must hold; or the predicate alone.
        rows: The snapshot.
        notes: Those of the index, which hold its class names.

    Raises:
        TypeError: If it is none of these.
        ValueError: If a key is unknown.
    """
    wanted = parse_filter(filter)
    allowed = rows.live
    if "ids" in wanted:
        ids = filter_ids(wanted["ids"], "filter['ids']")
        found = rows.find(ids)
        allowed = np.zeros(len(rows), bool)
        allowed[found[found >= 0]] = True
    if "labels" in wanted:
        given = _class_names.wanted(wanted["labels"], notes)
        labels = filter_ids(given, "filter['labels']")
        allowed = allowed & rows.has_label & np.isin(rows.labels, labels)
    if "data" in wanted:
        allowed = _where(wanted["data"], rows, allowed)
    return allowed


def filter_ids(values: Any, name: str) -> np.ndarray:
    """One id or several."""
    return checks.class_ids(np.atleast_1d(checks.host_array(values, name)), name)


def _where(predicate: Any, rows: Rows, allowed: np.ndarray) -> np.ndarray:
    if not callable(predicate):
        raise TypeError(
            "`filter['data']` must be a function that takes the payload of one record and tells "
            f"whether it may be returned. Received: {predicate!r}."
        )
    if rows.data is None:
        raise ValueError("`filter['data']` needs records with `data`; this index has none.")
    candidates = np.flatnonzero(allowed)
    passed = np.fromiter(
        (bool(predicate(value)) for value in rows.data.get(candidates)), bool, len(candidates)
    )
    result = np.zeros(len(rows), bool)
    result[candidates[passed]] = True
    return result
