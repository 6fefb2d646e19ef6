"""The values that records have under a key of their payload, in columns.

Read once from the JSON of each record, when a key is first asked for, and then only of
records that are new. Each distinct value has a number, so that a condition is decided
once for each value, and looked up for each record.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np

from tensorflow_similarity.index._columns import Column
from tensorflow_similarity.index._conditions import ORDER, Tested, kind_of
from tensorflow_similarity.index._payload import JsonPayload
from tensorflow_similarity.index._records import Rows
from tensorflow_similarity.index._search import State

__all__ = ["MISSING", "KeyColumn", "PayloadKeys", "keys_in"]

#: The number that stands for a missing value.
MISSING = 0
_ROWS = 1 << 14
# Above this, float64 does not hold all whole numbers.
_EXACT = 2**53
# The number of records examined to list the existing keys.
_LOOKED_AT = 100
# The number of masks cached for repeated filters.
_MASKS = 32


class KeyColumn:
    """The values under one key: a number for each row, and the value of each number."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._codes = Column.empty((), np.int32)
        self._numbers: dict[Hashable, int] = {_NOTHING: MISSING}
        self._floats = Column.empty((), np.float64)
        self._exact = True
        #: The distinct values by number; the first stands for none at all.
        self.values: list[Any] = [None]
        #: The kinds of values, and the first of each; also of records that are deleted by now.
        self.kinds: dict[str, Any] = {}

    def __len__(self) -> int:
        return len(self._codes)

    @property
    def codes(self) -> np.ndarray:
        """The number of each row's value; `MISSING` where there is none."""
        result: np.ndarray = self._codes.view()
        return result

    def append(self, found: list[Any]) -> None:
        """Adds the values of the next rows; `_NOTHING` where there is none."""
        told = [value if type(value) in _PLAIN else _told(value) for value in found]
        with self._lock:
            codes = list(map(self._numbers.get, told))
            for place in [place for place, code in enumerate(codes) if code is None]:
                codes[place] = self._number(told[place], found[place])
            self._codes.append(np.array(codes, np.int32))

    def _number(self, told: Hashable, value: object) -> int:
        number = self._numbers.get(told)
        if number is None:
            number = self._numbers[told] = len(self.values)
            self.values.append(value)
            self.kinds.setdefault(kind_of(value), value)
        return number

    def holds(self, test: Tested) -> np.ndarray:
        """For which of the values a condition holds: bool, by their number.

        Numbers are compared with numbers and strings with strings; no comparison of
        others holds. None is equal to None only, and True to True only.
        """
        with self._lock:
            return self._holds(test.operator, test.value)

    def _holds(self, how: str, wanted: Any) -> np.ndarray:
        result = np.zeros(len(self.values), bool)
        if how == "exists":
            result[:] = wanted
            result[MISSING] = not wanted
            return result
        if how in ORDER:
            result = self._ordered(how, wanted)
        else:
            equal = [self._numbers.get(_told(v)) for v in (wanted if "in" in how else [wanted])]
            result[[number for number in equal if number is not None]] = True
            result = ~result if how in ("ne", "not_in") else result
        result[MISSING] = False  # neither equal nor unequal
        return result

    def _ordered(self, how: str, wanted: Any) -> np.ndarray:
        compare = ORDER[how]
        known, count = len(self._floats), len(self.values)
        if isinstance(wanted, str):
            own = (isinstance(value, str) and compare(value, wanted) for value in self.values)
            return np.fromiter(own, bool, count)
        if known < count:
            new = [_float(value) for value in self.values[known:]]
            self._exact &= not any(_large(value) for value in self.values[known:])
            self._floats.append(np.array(new, np.float64))
        if self._exact and not _large(wanted):
            inside: np.ndarray = compare(self._floats.view(), wanted)  # NaN never compares true
            return inside
        own = (_float(value) == _float(value) and compare(value, wanted) for value in self.values)
        return np.fromiter(own, bool, count)


def _float(value: object) -> float:
    """A number as a float; NaN for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return np.nan
    try:
        return float(value)
    except OverflowError:
        return np.inf if value > 0 else -np.inf


def _large(value: object) -> bool:
    return isinstance(value, int) and abs(value) > _EXACT


_NOTHING = object()
# Equal where JSON's values are.
_PLAIN = {int, float, str, type(None), type(_NOTHING)}


def _told(value: object) -> Hashable:
    """What is equal for equal values of JSON only."""
    if isinstance(value, bool):
        return "bool", value  # True is not 1 here, unlike in Python
    if isinstance(value, list):
        return ("list", *map(_told, value))
    if isinstance(value, dict):
        return ("dict", *sorted((key, _told(each)) for key, each in value.items()))
    return value


def _at(value: object, path: list[str]) -> Any:
    for name in path:
        if not isinstance(value, dict) or name not in value:
            return _NOTHING
        value = value[name]
    return value


def keys_in(payloads: Any) -> list[str]:
    """The keys of some payloads, as filters name them: `"price"`, `"shop.city"`."""
    found: dict[str, None] = {}

    def look(value: Any, before: str) -> None:
        for key, below in value.items():
            found[before + key] = None
            if isinstance(below, dict):
                look(below, f"{before}{key}.")

    for value in payloads:
        if isinstance(value, dict):
            look(value, "")
    return list(found)


class PayloadKeys:
    """Columns of the payload of an index, and masks of the filters on them."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._of: Any = None  # identifies the rows: those of the same scan only ever grow
        self._columns: dict[str, KeyColumn] = {}
        self._rows: Rows | None = None
        self._masks: dict[str, np.ndarray] = {}
        #: Warnings given already.
        self.told: set[Hashable] = set()

    def known(self, state: State) -> list[str]:
        """Keys in the payload of some records, including nested ones, for error messages."""
        data = state.rows.data
        rows = state.rows.live_rows[:_LOOKED_AT]
        return [] if data is None else keys_in(data.get(rows))

    def column(self, key: str, state: State) -> KeyColumn | None:
        """The values under a key, of all rows and perhaps more; None where no row has one.

        Raises:
            ValueError: If the index has no payload, or one without keys.
        """
        data = state.rows.data
        if not isinstance(data, JsonPayload):
            kind = "none" if data is None else "rows of an array"
            raise ValueError(
                f"A key of the payload needs records whose `data` are JSON objects, and the index "
                f"has {kind}. Received: {key!r}."
            )
        with self._lock:
            self._follow(state)
            column = self._columns.setdefault(key, KeyColumn())
            path = key.split(".")
            for start in range(len(column), len(data), _ROWS):
                rows = np.arange(start, min(start + _ROWS, len(data)))
                column.append(
                    [
                        value[key] if isinstance(value, dict) and key in value else _at(value, path)
                        for value in data.each(rows)
                    ]
                )
            return column if len(column.values) > 1 else None

    def mask(self, name: str, state: State, make: Callable[[], np.ndarray]) -> np.ndarray:
        """The mask of a filter, computed once for the same rows."""
        with self._lock:
            self._follow(state)
            if self._rows is not state.rows:
                self._rows, self._masks = state.rows, {}
            if name in self._masks:
                return self._masks[name]
            made = make()
            if len(self._masks) >= _MASKS:
                self._masks.pop(next(iter(self._masks)))
            self._masks[name] = made
            return made

    def _follow(self, state: State) -> None:
        if self._of is not state.scan:
            self._of, self._columns, self._masks = state.scan, {}, {}
