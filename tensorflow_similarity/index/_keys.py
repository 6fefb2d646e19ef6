"""Keys: the strings by which users know their records, beside the ids of the index."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from json.encoder import encode_basestring_ascii
from typing import Any

import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity.index._payload import JsonPayload

__all__ = ["hashes_of", "keys_in", "packed", "read_keys", "texts_of", "with_ids"]


_POSITIVE = 2**63 - 1
# Texts are read together where no more than so many times their bytes are read.
_DENSE = 4


def read_keys(ids: Any, name: str = "ids", distinct: bool = False) -> list[str] | None:
    """The keys that a user passes as ids; None where they are no strings.

    Args:
        ids: A string, or a list, array, or pandas column of them.
        name: The argument's name, for errors.
        distinct: Whether none may be there twice.

    Raises:
        TypeError: If some are strings and others not, or they are bytes.
        ValueError: If one is empty, or there twice, or the shape is wrong.
    """
    if isinstance(ids, str):
        ids = [ids]
    if isinstance(ids, list | tuple):
        # NumPy writes numbers beside strings as text.
        array: np.ndarray = np.empty(len(ids), object)
        array[:] = ids
        texts = any(isinstance(each, str | bytes) for each in ids)
    else:
        checks.refuse_partial(ids, name)
        array = checks.host_array(ids, name)
        texts = array.dtype.kind in "UST" and array.size > 0
        if array.dtype.kind == "O":
            texts = any(isinstance(each, str | bytes) for each in array.reshape(-1).tolist())
    if not texts:
        return None
    if array.ndim != 1:
        raise ValueError(f"`{name}` must have the shape [n]. Received: shape {array.shape}.")
    keys = array.tolist()
    if all(type(key) is str and key for key in keys):  # what is right, quickly
        places = []
    else:
        places = list(enumerate(keys))
    for place, key in places:
        if isinstance(key, bytes):
            raise TypeError(
                f"`{name}` must be strings, or integers. Received at {place}: bytes, {key!r}. "
                "Write key.decode()."
            )
        if not isinstance(key, str):
            raise TypeError(
                f"`{name}` must be all strings, or all integers. Received at {place}: {key!r}, "
                "and strings besides. Write str(key) for each."
            )
        if not key:
            raise ValueError(f"`{name}` must not be empty. Received at {place}: ''.")
    if distinct and len(set(keys)) < len(keys):
        more = [key for key, count in Counter(keys).items() if count > 1]
        raise ValueError(f"`{name}` must be distinct. Received more than once: {more[:5]}.")
    return [str(key) for key in keys] if places else keys


def packed(keys: list[str]) -> JsonPayload:
    """Keys as a column."""
    texts = [encode_basestring_ascii(key).encode("ascii") for key in keys]
    ends = np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)))
    return JsonPayload(np.frombuffer(b"".join(texts), np.uint8), ends)


def texts_of(keys: JsonPayload, rows: np.ndarray) -> list[bytes]:
    """The keys of some rows as they are stored."""
    if not len(rows):
        return []
    ends, text = keys.ends[rows], keys.text
    begins = np.where(rows > 0, keys.ends[np.maximum(rows - 1, 0)], 0)
    first, last = int(begins.min()), int(ends.max())
    if last - first <= _DENSE * int((ends - begins).sum()):  # read at once, as bytes
        whole = text[first:last].tobytes()
        pairs = zip((begins - first).tolist(), (ends - first).tolist(), strict=True)
        return [whole[a:b] for a, b in pairs]
    return [text[a:b].tobytes() for a, b in zip(begins.tolist(), ends.tolist(), strict=True)]


def keys_in(keys: JsonPayload, rows: np.ndarray) -> np.ndarray:
    """The keys of some rows: strings `[n]` in an array of objects; None for row -1."""
    result = np.full(rows.shape, None, object)
    there = rows >= 0
    texts = texts_of(keys, rows[there])
    # Together, which is several times as fast as one by one.
    result[there] = json.loads(b"[" + b",".join(texts) + b"]")
    return result


def hashes_of(texts: list[bytes]) -> np.ndarray:
    """A number for each text, int64; hardly ever the same for two."""
    # Not negative, as differences of ids then fit into 64 bits.
    return np.fromiter((hash(text) & _POSITIVE for text in texts), np.int64, len(texts))


def with_ids(filter: Any, find: Callable[[list[str]], np.ndarray]) -> Any:
    """A filter with ids in place of keys; one that no record has stands for none.

    Args:
        filter: As `Index.lookup` takes it.
        find: Gives the ids of keys, -1 where there is none.
    """
    if not isinstance(filter, Mapping):
        return filter

    def ids_of(value: Any) -> Any:
        keys = read_keys(value, "filter['ids']") if _may_be_keys(value) else None
        return value if keys is None else find(keys)

    result: dict[Any, Any] = {}
    for name, value in filter.items():
        if name == "not":
            value = with_ids(value, find)
        elif name in ("and", "or") and isinstance(value, list | tuple):
            value = [with_ids(each, find) for each in value]
        elif name in ("id", "ids"):
            if isinstance(value, Mapping):
                value = _of_operators(value, ids_of)
            else:
                value = ids_of(value)
        result[name] = value
    return result


def _may_be_keys(value: Any) -> bool:
    return not isinstance(value, bool | int | float | None)


def _of_operators(conditions: Mapping[str, Any], ids_of: Callable[[Any], Any]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for operator, value in conditions.items():
        found = ids_of(value)
        if found is value:
            result[operator] = value
        elif operator in ("eq", "in", "ne", "not_in"):
            result["in" if operator in ("eq", "in") else "not_in"] = found.tolist()
        else:
            raise TypeError(
                "`filter['ids']` must be integers for an order: keys have none here. "
                f"Received: {operator!r} with {value!r}. Use 'in' or 'not_in'."
            )
    return result
