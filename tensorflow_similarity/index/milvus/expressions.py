"""Filters as Milvus expressions."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from tensorflow_similarity.index._conditions import (
    Combined,
    Condition,
    Predicate,
    Tested,
)

__all__ = ["at_key", "expression", "of_kind", "one_of"]

_SIGNS = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}


def one_of(field: str, ids: np.ndarray | list[int]) -> str:
    """The expression that a field has one of some values; without values, it matches nothing."""
    return f"{field} in {[int(each) for each in ids]}" if len(ids) else "id < 0"


def expression(condition: Condition | None) -> str:
    """The expression for a filter; empty for None.

    Args:
        condition: A filter, with a Milvus expression in place of a function.

    Raises:
        TypeError: If there is a function in it.
        ValueError: If it compares with None.
    """
    if condition is None:
        return ""
    if isinstance(condition, Combined) and condition.how == "and":
        # Expressions of the user's last.
        parts = sorted(condition.parts, key=lambda part: isinstance(part, Predicate))
        return " and ".join(_text(part, True) for part in parts)
    return _text(condition, True)


def at_key(key: str) -> str:
    """Where a key of the payload is."""
    return "data" + "".join(f"[{json.dumps(name)}]" for name in key.split("."))


def of_kind(key: str, kind: str) -> str:
    """Where a key of the payload has a value of a kind, see `kind_of`; no null is told apart."""
    at = at_key(key)
    compared = {
        "numbers": f"{at} >= 0 or {at} < 0",
        "strings": f'{at} >= ""',
        "bools": f"{at} == true or {at} == false",
    }
    return f"(exists {at} and ({compared[kind]}))"


def _text(condition: Condition, wanted: bool) -> str:
    """Where a condition holds, or where it does not."""
    if isinstance(condition, Predicate):
        own = _of_data(condition.function)
        return own if wanted else f"not {own}"
    if isinstance(condition, Combined):
        if condition.how == "not":
            return _text(condition.parts[0], not wanted)
        how = condition.how if wanted else {"and": "or", "or": "and"}[condition.how]
        return f"({f' {how} '.join(_text(part, wanted) for part in condition.parts)})"
    # What Milvus has no value for is null there, and so is the opposite of a comparison with it.
    if condition.field == "data":
        own = _of_key(condition)
        return own if wanted else f"(data is null or not {own})"
    own = _of_field(condition)
    if wanted:
        return own
    return f"not ({own})" if condition.field == "id" else f"(label is null or not ({own}))"


def _of_field(test: Tested) -> str:
    if test.operator == "exists":
        if test.field == "id":
            return "id >= 0" if test.value else "id < 0"
        return "label is not null" if test.value else "label is null"
    if test.operator in ("in", "not_in"):
        own = one_of(test.field, test.value)
        if test.operator == "in":
            return own
        return f"not ({own})" if test.field == "id" else f"(label is not null and not ({own}))"
    own = f"{test.field} {_SIGNS[test.operator]} {test.value}"
    return own if test.field == "id" else f"(label is not null and {own})"


def _of_key(test: Tested) -> str:
    at = at_key(test.key)
    there = f"exists {at}"
    if test.operator == "exists":
        return f"({there})" if test.value else f"(data is null or not ({there}))"
    values = test.value if isinstance(test.value, list) else [test.value]
    if any(value is None for value in values):
        raise ValueError(
            f"`filter` cannot compare with None in Milvus. Received for {test.key!r}: "
            f"{test.value!r}. Ask with {{'exists': False}} for what is not there."
        )
    if test.operator in ("in", "not_in"):
        # Files have no "in" for JSON.
        own = " or ".join(f"{at} == {json.dumps(value)}" for value in values) or "id < 0"
        return f"({there} and {'' if test.operator == 'in' else 'not '}({own}))"
    return f"({there} and {at} {_SIGNS[test.operator]} {json.dumps(test.value)})"


def _of_data(wanted: Any) -> str:
    if not isinstance(wanted, str):
        raise TypeError(
            "`filter['data']` must be a mapping of conditions, or an expression of Milvus here, "
            "which evaluates it on its own side: a string such as 'data[\"year\"] > 2000'. Python "
            f"functions are for indexes in memory. Received: {wanted!r}."
        )
    return f"({wanted})"
