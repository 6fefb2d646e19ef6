"""Keys: the strings by which users know their records, beside the ids of the index.

A key is stored as JSON in ASCII. Keys are compared and numbered in columns: eight bytes of all of
them at a time, as a Python object for each would cost several times as much.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity.index._conditions import narrow
from tensorflow_similarity.index._payload import JsonPayload

__all__ = [
    "equal",
    "hashes_of",
    "keys_in",
    "packed",
    "read_keys",
    "refuse_mixture",
    "with_ids",
]


_POSITIVE = np.uint64(2**63 - 1)
# Between keys that are written at once; within one it is escaped.
_BREAK = ord("\n")
# Rows taken at a time: their bytes stay in the cache.
_ROWS = 1 << 15
# Longer texts are taken one by one.
_LONG = 512
# Where numbers of keys begin: nobody can choose keys that have the same.
_SEED = np.uint64(int.from_bytes(os.urandom(8), "little"))
_FACTORS = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def read_keys(ids: Any, name: str = "ids", distinct: bool = False) -> list[str] | None:
    """The keys passed as ids; None if they are not strings.

    Args:
        ids: A string, or a list, array, or pandas column of them.
        name: The argument's name, for errors.
        distinct: Whether none may be there twice.

    Raises:
        TypeError: If some are strings and others not, or they are bytes.
        ValueError: If one is empty, or there twice, or the shape is wrong.
    """
    if isinstance(ids, str | bytes):
        ids = [ids]
    if isinstance(ids, list | tuple):
        # NumPy writes numbers beside strings as text.
        keys, shape = list(ids), (len(ids),)
    else:
        checks.refuse_partial(ids, name)
        array = checks.host_array(ids, name)
        if array.dtype.kind not in "USTO" or not array.size:
            return None
        keys, shape = array.ravel().tolist(), array.shape
    kinds = set(map(type, keys))
    if not any(issubclass(kind, str | bytes) for kind in kinds):
        return None
    if len(shape) != 1:
        raise ValueError(f"`{name}` must have the shape [n]. Received: shape {shape}.")
    if kinds != {str} or not all(keys):
        keys = [_checked(key, place, name) for place, key in enumerate(keys)]
    if not "".join(keys).isascii():
        keys = _normal(keys)
    if distinct and len(set(keys)) < len(keys):
        more = [key for key, count in Counter(keys).items() if count > 1]
        raise ValueError(f"`{name}` must be distinct. Received more than once: {more[:5]}.")
    return keys


def refuse_mixture(keyed: bool) -> NoReturn:
    """Raises for records without keys where those of the index have keys, or likewise."""
    if keyed:
        raise TypeError(
            "`ids` must be strings, as the records of this index have keys of their own. "
            "Received: integers, or none. Pass a string for each record."
        )
    raise TypeError(
        "`ids` must be integers, or left out, as the records of this index have no keys. "
        "Received: strings. Keep them in `data`, or index the records again by their keys."
    )


def _checked(key: Any, place: int, name: str) -> str:
    if isinstance(key, bytes):
        raise TypeError(
            f"`{name}` must be strings, or integers. Received at {place}: bytes, {key!r}. "
            "Write [key.decode() for key in np.asarray(ids).tolist()]."
        )
    if not isinstance(key, str):
        raise TypeError(
            f"`{name}` must be all strings, or all integers. Received at {place}: {key!r}, "
            "and strings besides. Write str(key) for each."
        )
    if not key:
        raise ValueError(f"`{name}` must not be empty. Received at {place}: ''.")
    return str(key)


def _normal(keys: list[str]) -> list[str]:
    """Keys where two surrogates are the character that they stand for, as JSON takes them."""
    try:
        "".join(keys).encode()
    except UnicodeEncodeError:
        return [
            key.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass") for key in keys
        ]
    return keys


def packed(keys: list[str]) -> JsonPayload:
    """Keys as a column."""
    if not keys:
        return JsonPayload(np.empty(0, np.uint8), np.empty(0, np.int64))
    whole = json.dumps(keys, separators=("\n", ":"))
    text = np.frombuffer(whole.encode("ascii"), np.uint8)[1:-1]
    breaks = np.flatnonzero(text == _BREAK)
    ends = np.append(breaks, len(text)) - np.arange(len(keys))
    return JsonPayload(np.delete(text, breaks), ends)


def _blocks(
    keys: JsonPayload, rows: np.ndarray
) -> Iterator[tuple[slice, np.ndarray, np.ndarray, np.ndarray]]:
    """Some rows at a time: which, the bytes that hold them, where each begins, its length."""
    for start in range(0, len(rows), _ROWS):
        own = rows[start : start + _ROWS]
        yield slice(start, start + len(own)), *keys.texts(own)


def _words(
    text: np.ndarray, begins: np.ndarray, lengths: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Eight bytes of each text after the other: whose they are, and the bytes as numbers."""
    room = np.zeros(len(text) + 8, np.uint8)
    room[: len(text)] = text
    # A number of eight bytes from every byte on.
    numbers = np.ndarray((len(text) + 1,), np.dtype("<u8"), room, strides=(1,))
    whose = np.arange(len(begins))
    for at in range(0, int(lengths.max(initial=0)), 8):
        left = lengths[whose] - at
        if left.min() <= 0:
            whose, left = whose[left > 0], left[left > 0]
        # What lies behind a text is not of it.
        beyond = 8 * np.maximum(8 - left, 0).astype(np.uint64)
        full = np.uint64(2**64 - 1) >> beyond
        yield whose, numbers[begins[whose] + at].astype(np.uint64) & full


def hashes_of(keys: JsonPayload) -> np.ndarray:
    """A number for each key, int64; hardly ever the same for two."""
    result = np.full(len(keys), _SEED)
    for own, text, begins, lengths in _blocks(keys, np.arange(len(keys))):
        numbers = result[own]
        long = np.flatnonzero(lengths > _LONG)
        for whose, words in _words(text, begins, np.where(lengths > _LONG, 0, lengths)):
            # SplitMix64's: different for different words.
            mixed = (numbers[whose] ^ words) * _FACTORS[0]
            mixed = (mixed ^ (mixed >> np.uint64(31))) * _FACTORS[1]
            numbers[whose] = mixed ^ (mixed >> np.uint64(29))
        for place in long.tolist():
            begin = int(begins[place])
            numbers[place] = hash(text[begin : begin + int(lengths[place])].tobytes()) % 2**64
    # Not negative, as differences of ids then fit into 64 bits.
    return (result & _POSITIVE).astype(np.int64)


def equal(
    keys: JsonPayload, rows: np.ndarray, others: JsonPayload, other_rows: np.ndarray
) -> np.ndarray:
    """Whether keys are the same as others, pair by pair: bool `[n]`."""
    result = np.ones(len(rows), bool)
    pairs = zip(_blocks(keys, rows), _blocks(others, other_rows), strict=True)
    for (own, text, begins, lengths), (_, other_text, other_begins, other_lengths) in pairs:
        same = result[own]
        same[lengths != other_lengths] = False
        whole = np.where(same & (lengths <= _LONG), lengths, 0)
        both = zip(
            _words(text, begins, whole), _words(other_text, other_begins, whole), strict=True
        )
        for (whose, words), (_, other_words) in both:
            same[whose] &= words == other_words
        for place in np.flatnonzero(same & (lengths > _LONG)).tolist():
            a, b, length = int(begins[place]), int(other_begins[place]), int(lengths[place])
            same[place] = bool((text[a : a + length] == other_text[b : b + length]).all())
    return result


def keys_in(keys: JsonPayload, rows: np.ndarray) -> np.ndarray:
    """The keys of some rows: strings `[n]` in an array of objects; None for row -1."""
    result = np.full(rows.shape, None, object)
    there = rows >= 0
    found: list[Any] = []
    wanted = rows[there]
    for start in range(0, len(wanted), _ROWS):
        found += _decoded(keys, wanted[start : start + _ROWS])
    result[there] = found
    return result


def _decoded(keys: JsonPayload, rows: np.ndarray) -> list[Any]:
    if rows[-1] - rows[0] == len(rows) - 1 and (np.diff(rows) == 1).all():
        first = int(keys.ends[rows[0] - 1]) if rows[0] else 0
        ends = keys.ends[rows] - first
        text = keys.text[first : first + int(ends[-1])]
    else:
        chosen = keys.take(rows)
        text, ends = chosen.text[:], chosen.ends
    # Read together, which is several times as fast as one by one.
    whole = np.full(len(text) + len(rows), ord(","), np.uint8)
    of_text = np.ones(len(whole), bool)
    of_text[ends + np.arange(len(rows))] = False
    whole[of_text] = text
    whole[-1] = ord("]")
    found: list[Any] = json.loads(b"[" + whole.tobytes())
    return found


def with_ids(filter: Any, find: Callable[[list[str]], np.ndarray]) -> Any:
    """A filter with ids in place of keys; unknown keys match no record.

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
    of_ids: dict[str, Any] = {}
    for operator, value in conditions.items():
        found = ids_of(value)
        if found is value:
            of_ids[operator] = value
        elif operator in ("eq", "in", "ne", "not_in"):
            narrow(result, operator, found.tolist())
        else:
            raise TypeError(
                "`filter['ids']` must be integers for an order: keys have none here. "
                f"Received: {operator!r} with {value!r}. Use 'in' or 'not_in'."
            )
    for operator, value in of_ids.items():
        if operator in result:
            narrow(result, operator, np.ravel(value).tolist())
        else:
            result[operator] = value
    return result
