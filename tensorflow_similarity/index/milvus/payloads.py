"""Payloads as Milvus holds them: a JSON object for each record, or nothing."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np

from tensorflow_similarity.index._payload import ArrayPayload, JsonPayload, Payload, PayloadRows

__all__ = ["column", "decoded", "encoded", "kind_of", "of_kind"]

# The maximal size of a JSON field.
_LARGEST = 65_536
_ARRAY, _VALUE = "$array", "$value"


def kind_of(data: PayloadRows) -> dict[str, Any]:
    """The common form of all payloads of an index, as JSON."""
    if isinstance(data, JsonPayload):
        return {"kind": "json"}
    values = np.asarray(data.values[:0])
    return {"kind": "array", "dtype": values.dtype.str, "shape": list(values.shape[1:])}


def of_kind(data: PayloadRows, kind: dict[str, Any]) -> PayloadRows:
    """A payload in the dtype of its index: bytes are stored, which do not tell their own.

    Raises:
        TypeError: If it is of the other kind.
        ValueError: If its shape differs, or its numbers do not fit.
    """
    Payload(decoded([], kind)).check(data)
    if isinstance(data, JsonPayload):
        return data
    values = np.asarray(data.values[:]).astype(np.dtype(kind["dtype"]), copy=False)
    return ArrayPayload(values, data.present)


def encoded(data: PayloadRows | None, count: int) -> list[dict[str, Any] | None]:
    """The JSON object of each record: dicts as they are, all else wrapped in one.

    Raises:
        ValueError: If one is larger than Milvus takes.
    """
    if data is None:
        return [None] * count
    values = data.get(np.arange(count))
    objects = [None if value is None else _wrapped(value) for value in values]
    for place, item in enumerate(objects):
        size = 0 if item is None else len(json.dumps(item))
        if size > _LARGEST:
            raise ValueError(
                f"`data` must take at most {_LARGEST:,} bytes a record in Milvus, as JSON. "
                f"Received at {place}: {size:,} bytes. Keep it elsewhere, and its key here."
            )
    return objects


def decoded(objects: list[dict[str, Any] | None], kind: dict[str, Any] | None) -> Any:
    """The payload of some records, from their JSON objects; None if there is none at all."""
    if kind is None:
        return None
    if kind["kind"] == "json":
        return column([json.dumps(None if item is None else _unwrapped(item)) for item in objects])
    values = np.zeros((len(objects), *kind["shape"]), np.dtype(kind["dtype"]))
    present = np.array([item is not None for item in objects], bool)
    for place in np.flatnonzero(present):
        item: Any = objects[place]
        row = np.frombuffer(base64.b64decode(item[_ARRAY]), values.dtype)
        values[place] = row.reshape(kind["shape"])
    return ArrayPayload(values, present)


def column(texts: list[str]) -> JsonPayload:
    """Texts of JSON, in ASCII, as a column."""
    ends = np.cumsum([len(text) for text in texts], dtype=np.int64)
    return JsonPayload(np.frombuffer("".join(texts).encode(), np.uint8), ends)


def _wrapped(value: Any) -> dict[str, Any]:
    if isinstance(value, np.ndarray | np.generic):
        return {_ARRAY: base64.b64encode(np.ascontiguousarray(value).tobytes()).decode()}
    if isinstance(value, dict) and _VALUE not in value:
        return value
    return {_VALUE: value}


def _unwrapped(item: dict[str, Any]) -> Any:
    return item.get(_VALUE, item)
