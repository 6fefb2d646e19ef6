"""Filters as expressions that Milvus evaluates."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from tensorflow_similarity.index import _class_names
from tensorflow_similarity.index._filters import Filter, filter_ids, parse_filter

__all__ = ["expression", "one_of"]


def one_of(field: str, ids: np.ndarray) -> str:
    """Where a field has one of some values; no record is where there are none."""
    return f"{field} in {ids.tolist()}" if len(ids) else "id < 0"


def expression(filter: Filter | None, notes: Mapping[str, Any] = MappingProxyType({})) -> str:
    """What must hold for a record to be returned.

    Args:
        filter: As `Index.lookup` takes it, with a Milvus expression for `"data"`.
        notes: Those of the index, which hold its class names.

    Raises:
        TypeError: If it is none of what a filter may be.
        ValueError: If a key is unknown.
    """
    if filter is None:
        return ""
    wanted = dict(parse_filter(filter))
    if "labels" in wanted:
        wanted["labels"] = _class_names.wanted(wanted["labels"], notes)
    parts = [
        one_of(field, filter_ids(wanted[key], f"filter[{key!r}]"))
        for key, field in (("ids", "id"), ("labels", "label"))
        if key in wanted
    ]
    if "data" in wanted:
        parts.append(f"({_of_data(wanted['data'])})")
    return " and ".join(parts)


def _of_data(wanted: Any) -> str:
    if not isinstance(wanted, str):
        raise TypeError(
            "`filter['data']` must be an expression of Milvus here, which evaluates it on its own "
            "side: a string such as 'data[\"year\"] > 2000'. Python functions are for indexes in "
            f"memory. Received: {wanted!r}."
        )
    return wanted
