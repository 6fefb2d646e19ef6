"""Filters: which records a lookup may return."""

from __future__ import annotations

import difflib
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tensorflow_similarity._caller import levels_to_the_caller
from tensorflow_similarity.index._conditions import (
    Combined,
    Condition,
    Predicate,
    Tested,
    kinds_compared,
    named,
)
from tensorflow_similarity.index._payload_keys import PayloadKeys
from tensorflow_similarity.index._records import Rows
from tensorflow_similarity.index._search import State

__all__ = ["allowed_rows", "unknown_key", "warn_of_kinds", "which_keys"]


def allowed_rows(condition: Condition, state: State, keys: PayloadKeys) -> np.ndarray:
    """The rows for which a condition holds, of those that are alive: bool `[n]`.

    Args:
        condition: See `Index.lookup`.
        state: The records.
        keys: What is known of their payload.

    Raises:
        TypeError: If a predicate is no function.
        ValueError: If a key of the payload is unknown.
    """
    name = named(condition)

    def make() -> np.ndarray:
        return state.rows.live & _rows(condition, state, keys, state.rows.live)

    return make() if name is None else keys.mask(name, state, make)


def _rows(
    condition: Condition, state: State, keys: PayloadKeys, candidates: np.ndarray
) -> np.ndarray:
    """The rows for which a condition holds; functions are called only for candidates."""
    if isinstance(condition, Predicate):
        return _where(condition.function, state.rows, candidates)
    if isinstance(condition, Combined):
        if condition.how == "not":
            return ~_rows(condition.parts[0], state, keys, candidates)
        # Functions last, on what the others leave.
        parts = sorted(condition.parts, key=lambda part: named(part) is None)
        result = _rows(parts[0], state, keys, candidates)
        for part in parts[1:]:
            if condition.how == "and":
                result = result & _rows(part, state, keys, candidates & result)
            else:
                result = result | _rows(part, state, keys, candidates & ~result)
        return result
    if condition.field == "data":
        return _by_key(condition, state, keys)
    return _by_column(condition, state.rows)


def _by_column(test: Tested, rows: Rows) -> np.ndarray:
    """Conditions on ids and labels."""
    there = np.ones(len(rows), bool)
    if test.field == "label":
        there = rows.has_label & (rows.labels != -1)
    if test.operator == "exists":
        return there if test.value else ~there
    negated = {"ne": "in", "not_in": "in"}.get(test.operator)
    how = negated or test.operator
    values = np.atleast_1d(np.array(test.value, object))
    if test.field == "id":
        result = _of_ids(how, values, rows)
    elif rows.table is None:
        result = _compared(how, values, rows.labels)
    else:  # of which any may be it
        sets = rows.table.sets
        own = np.append(sets.any(_compared(how, values, sets.values)), False)
        # Rows from when records had one label each hold no numbers; none of them is alive.
        result = own[np.minimum(rows.labels, len(sets))]
    return there & (~result if negated else result)


def _of_ids(how: str, values: np.ndarray, rows: Rows) -> np.ndarray:
    if how not in ("eq", "in"):
        return _compared(how, values, rows.ids)
    found = rows.find(np.array([each for each in values if _fits(each)], np.int64))
    result = np.zeros(len(rows), bool)
    result[found[found >= 0]] = True
    return result


def _compared(how: str, values: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Where whole numbers are among some, or in an order to one: bool `[n]`."""
    inside = np.array([each for each in values if _fits(each)], np.int64)
    if how in ("eq", "in"):
        return np.isin(column, inside)
    if not len(inside):  # beyond what there may be
        return np.full(len(column), bool((values[0] > 0) == (how in ("lt", "le"))))
    compare = {"lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal}[how]
    result: np.ndarray = compare(column, inside[0])
    return result


def _fits(value: int) -> bool:
    return -(2**63) <= value < 2**63


def _by_key(test: Tested, state: State, keys: PayloadKeys) -> np.ndarray:
    if not state.rows.live_count:
        return np.zeros(len(state.rows), bool)
    column = keys.column(test.key, state)
    if column is None:
        if test.operator == "exists":
            return np.full(len(state.rows), test.value is False)
        raise unknown_key(test.key, keys.known(state))
    warn_of_kinds(test, column.kinds, keys.told)
    return column.holds(test)[column.codes[: len(state.rows)]]


def unknown_key(key: str, known: Sequence[str] = ()) -> ValueError:
    """The error for a key that no record has, which may be misspelt."""
    return ValueError(
        f"`filter` names the key {key!r}, which no record has in its `data`. "
        f"{which_keys(key, known)}"
        "Conditions on ids and labels have the keys 'ids' and 'labels'; others are keys of the "
        "payload."
    )


def which_keys(key: str, known: Sequence[str]) -> str:
    """A sentence that lists the existing keys, the most similar one first."""
    if not known:
        return ""
    near = difflib.get_close_matches(key, known, 1)
    if near:
        return f"Did you mean {near[0]!r}? "
    shown = ", ".join(map(repr, known[:5])) + (", …" if len(known) > 5 else "")
    return f"Records have {shown}. "


def warn_of_kinds(test: Tested, held: Mapping[str, Any], told: set[Any]) -> None:
    """Warns once if a key is compared with a kind of value that no record has there.

    Args:
        test: The comparison.
        held: The kinds of values that there are, and an example of each.
        told: What was warned of already.
    """
    for kind, value in kinds_compared(test).items():
        if kind in held or (test.key, kind) in told:
            continue
        told.add((test.key, kind))
        there = ", ".join(
            "null" if known == "null" else f"{known} such as {example!r}"
            for known, example in held.items()
        )
        warnings.warn(
            f"`filter` compares {test.key!r} with {value!r}, and records have no {kind} there, but "
            f"{there or 'lists or objects'}. Only values of one kind are ever equal, or smaller. "
            f"{_advice(test.key, value, held)}",
            stacklevel=levels_to_the_caller(),
        )


def _advice(key: str, value: Any, held: Mapping[str, Any]) -> str:
    """What to write instead of a value of the wrong kind."""
    if value is None:
        return f"Records without the key are those with {{{key!r}: {{'exists': False}}}}."
    if "numbers" in held and isinstance(value, bool | str):
        try:
            number = float(value)
        except ValueError:
            number = math.inf
        if math.isfinite(number):
            return f"Write {int(number) if number.is_integer() else number}."
    elif "strings" in held:
        return f"Write {str(value)!r}."
    elif "bools" in held and value in (0, 1):
        return f"Write {bool(value)}."
    elif isinstance(inner := held.get("objects"), Mapping) and inner:
        return f"Name a key within, such as {key + '.' + next(iter(inner))!r}."
    return "Write a value of such a kind."


def _where(predicate: Any, rows: Rows, allowed: np.ndarray) -> np.ndarray:
    if not callable(predicate):
        raise TypeError(
            "`filter['data']` must be a function that takes the payload of one record and tells "
            "whether it may be returned, or a mapping of conditions on its keys. "
            f"Received: {predicate!r}."
        )
    if rows.data is None:
        raise ValueError("`filter['data']` needs records with `data`; this index has none.")
    candidates = np.flatnonzero(allowed)
    answers = [_answer(predicate(value)) for value in rows.data.each(candidates)]
    if answers and not any(answer is not None for answer in answers):
        raise TypeError(
            "`filter['data']` must be a function that returns whether the record may be returned: "
            f"True or False. Received: {predicate!r}, which returned None for all "
            f"{len(candidates):,} records. Has it no `return`? If None is meant, write bool(…)."
        )
    result = np.zeros(len(rows), bool)
    result[candidates] = np.array(answers, bool)  # None is False
    return result


def _answer(value: Any) -> bool | None:
    return None if value is None else bool(value)
