"""Filters that are data: conditions on ids, labels and keys of the payload, and/or/not."""

from __future__ import annotations

import dataclasses
import json
import operator
import warnings
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity._caller import levels_to_the_caller
from tensorflow_similarity.index._class_names import ClassNames

__all__ = [
    "OPERATORS",
    "ORDER",
    "Combined",
    "Condition",
    "Filter",
    "Predicate",
    "Tested",
    "identity",
    "kind_of",
    "kinds_compared",
    "named",
    "narrow",
    "parse",
    "tests_of_keys",
]

#: Conditions by what they are on, or a predicate on the payload.
Filter = Mapping[str, Any] | Callable[[Any], bool]
#: What a condition may say of a value.
OPERATORS = ("eq", "ne", "lt", "le", "gt", "ge", "in", "not_in", "exists")
#: The operators that compare by order.
ORDER: dict[str, Callable[[Any, Any], Any]] = {
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
}
_COMBINED = ("and", "or", "not")
_FIELDS = {"id": "id", "ids": "id", "label": "label", "labels": "label"}


@dataclasses.dataclass(frozen=True)
class Tested:
    """One operator on one value of a record.

    Attributes:
        field: `"id"`, `"label"`, or `"data"` for the payload.
        key: The key of the payload.
        operator: One of `OPERATORS`.
        value: What it is compared with.
    """

    field: str
    key: str
    operator: str
    value: Any


@dataclasses.dataclass(frozen=True)
class Combined:
    """Conditions of which all (`"and"`) or any (`"or"`) must hold, or the one not (`"not"`)."""

    how: str
    parts: tuple[Any, ...]


@dataclasses.dataclass(frozen=True)
class Predicate:
    """A function of the payload, or an expression of a database."""

    function: Any


Condition = Tested | Combined | Predicate


def parse(filter: Any, classes: ClassNames, name: str = "filter") -> Condition:
    """Reads a filter.

    Args:
        filter: See `Index.lookup`.
        classes: The class names of the index.
        name: The argument's name, for errors.

    Raises:
        TypeError: If a part has the wrong type.
        ValueError: If it is empty, or an operator is unknown.
    """
    if callable(filter):
        return Predicate(filter)
    if not isinstance(filter, Mapping):
        raise TypeError(
            f"`{name}` must be a mapping such as {{'labels': [1, 2]}} or "
            "{'price': {'lt': 20}}, or a predicate on the payload. "
            f"Received: {filter!r}."
        )
    if not filter:
        raise ValueError(f"`{name}` must have at least one condition. Received: {{}}.")
    parts = [_part(key, value, classes, f"{name}[{key!r}]") for key, value in filter.items()]
    return parts[0] if len(parts) == 1 else Combined("and", tuple(parts))


def _part(key: Any, value: Any, classes: ClassNames, name: str) -> Condition:
    if not isinstance(key, str):
        raise TypeError(f"`{name}` must have a string as its key. Received: {key!r}.")
    if key == "not":
        return Combined("not", (parse(value, classes, name),))
    if key in _COMBINED:
        if not isinstance(value, list | tuple) or not value:
            raise TypeError(f"`{name}` must be a list of at least one filter. Received: {value!r}.")
        return Combined(
            key, tuple(parse(each, classes, f"{name}[{i}]") for i, each in enumerate(value))
        )
    if key == "data" and not isinstance(value, Mapping):
        return Predicate(value)
    if key == "data":
        if not value:
            raise ValueError(f"`{name}` must have at least one condition. Received: {{}}.")
        own = [_of_field("data", str(k), v, f"{name}[{k!r}]") for k, v in value.items()]
        return own[0] if len(own) == 1 else Combined("and", tuple(own))
    if key in _FIELDS:
        if not isinstance(value, Mapping):  # an id or several
            if _FIELDS[key] == "label":
                _warn_of_no_label(value, name)
                value = classes.wanted(value)
            found = np.atleast_1d(checks.host_array(value, name))
            if _FIELDS[key] == "id" and found.size and found.dtype.kind not in "iu":
                raise TypeError(
                    f"`{name}` must be integer ids, below 2**63, or keys, all strings. Received: "
                    f"{value!r}."
                )
            ids = checks.class_ids(found, name)
            return Tested(_FIELDS[key], key, "in", ids.tolist())
        if _FIELDS[key] == "label":
            value = _with_ids(value, classes, name)
        return _of_field(_FIELDS[key], key, value, name)
    return _of_field("data", key, value, name)


def narrow(conditions: dict[str, Any], operator_: str, ids: list[Any]) -> None:
    """Adds `eq`, `ne`, `in` or `not_in` with ids to conditions that must all hold.

    Each becomes `in` or `not_in`, which may be there already.
    """
    if operator_ in ("ne", "not_in"):
        conditions["not_in"] = [*conditions.get("not_in", ()), *ids]
    elif "in" in conditions:
        conditions["in"] = [each for each in conditions["in"] if each in ids]
    else:
        conditions["in"] = ids


def _warn_of_no_label(value: Any, name: str) -> None:
    """Warns if a label is sought that stands for none, which no record has."""
    values = np.ravel(np.array(value, object)).tolist()
    if values and all(each is None or each == -1 for each in values):
        warnings.warn(
            f"`{name}` asks for {values[0]!r}, which stands for no label and is that of no record: "
            "nothing is found. Records without a label are those with "
            "{'labels': {'exists': False}}.",
            stacklevel=levels_to_the_caller(),
        )


def _with_ids(conditions: Mapping[str, Any], classes: ClassNames, name: str) -> dict[str, Any]:
    """Replaces class names in conditions by ids; unknown names match no record."""
    result: dict[str, Any] = {}
    for own, value in conditions.items():
        if own in ("eq", "ne", "in", "not_in") and not isinstance(value, bool):
            if own in ("eq", "in"):
                _warn_of_no_label(value, f"{name}[{own!r}]")
            ids = np.atleast_1d(checks.host_array(classes.wanted(value), "filter"))
            narrow(result, own, ids.tolist())
        elif own in ORDER and classes.names is not None:
            raise TypeError(
                "`filter['labels']` must be class names, which have no order. "
                f"Received: {own!r}. Use 'in' or 'not_in'."
            )
        else:
            result[own] = value
    return result


def _of_field(field: str, key: str, value: Any, name: str) -> Condition:
    if not isinstance(value, Mapping):
        if isinstance(value, list | tuple | np.ndarray):
            raise TypeError(
                f"`{name}` must be a value, or a mapping of operators. For several values write "
                f"{{'in': [...]}}. Received: {value!r}."
            )
        value = {"eq": value}
    if not value:
        raise ValueError(f"`{name}` must have at least one of {list(OPERATORS)}. Received: {{}}.")
    parts: list[Condition] = []
    for own, operand in value.items():
        if own not in OPERATORS:
            raise ValueError(
                f"`{name}` must use the operators {list(OPERATORS)}. Received: {own!r}."
            )
        parts.append(Tested(field, key, own, _operand(own, operand, field, f"{name}[{own!r}]")))
    return parts[0] if len(parts) == 1 else Combined("and", tuple(parts))


def _operand(operator_: str, value: Any, field: str, name: str) -> Any:
    if operator_ == "exists":
        if not isinstance(value, bool):
            raise TypeError(f"`{name}` must be True or False. Received: {value!r}.")
        return value
    checks.refuse_partial(value, name)
    if operator_ in ("in", "not_in"):
        if isinstance(value, np.ndarray):
            value = value.reshape(-1).tolist()
        if isinstance(value, set | frozenset | range):
            value = list(value)
        if not isinstance(value, list | tuple):
            value = [value]
        return [_scalar(each, field, name) for each in value]
    value = _scalar(value, field, name)
    if operator_ in ORDER and (value is None or isinstance(value, bool)):
        raise TypeError(f"`{name}` must be a number or a string. Received: {value!r}.")
    return value


def _scalar(value: Any, field: str, name: str) -> Any:
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, np.generic):
        value = value.item()
    if field != "data":
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"`{name}` must be integers. Received: {value!r}.")
        return value
    if value is not None and not isinstance(value, bool | int | float | str):
        raise TypeError(
            f"`{name}` must be None, a bool, a number or a string. Received: {value!r}."
        )
    if isinstance(value, float) and value != value:
        raise ValueError(f"`{name}` must not be NaN. Received: nan.")
    return value


def tests_of_keys(condition: Condition) -> list[Tested]:
    """The comparisons with values under keys of the payload."""
    if isinstance(condition, Combined):
        return [test for part in condition.parts for test in tests_of_keys(part)]
    if isinstance(condition, Predicate) or condition.field != "data":
        return []
    return [] if condition.operator == "exists" else [condition]


def kind_of(value: Any) -> str:
    """The kind of a JSON value: only values of the same kind can be equal."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bools"
    if isinstance(value, int | float):
        return "numbers"
    if isinstance(value, str):
        return "strings"
    return "objects" if isinstance(value, Mapping) else "lists"


def kinds_compared(test: Tested) -> dict[str, Any]:
    """The kinds of values in a comparison, and the first value of each."""
    if test.operator == "exists":
        return {}
    values = test.value if isinstance(test.value, list) else [test.value]
    found: dict[str, Any] = {}
    for value in values:
        found.setdefault(kind_of(value), value)
    if len(found) > 1:
        found.pop("null", None)  # beside others it may well be there in case
    return found


def named(condition: Condition) -> str | None:
    """Identifies a condition; None for functions, whose results may change."""
    if isinstance(condition, Predicate):
        return None
    if isinstance(condition, Tested):
        own = [condition.field, condition.key, condition.operator, condition.value]
        return json.dumps(own)
    parts = [named(part) for part in condition.parts]
    return None if None in parts else json.dumps([condition.how, *parts])


def identity(condition: Condition) -> Hashable:
    """Equal for conditions that select the same records."""
    if isinstance(condition, Predicate):
        own = condition.function
        return own if isinstance(own, Hashable) else id(own)
    if isinstance(condition, Tested):
        return named(condition)
    return (condition.how, *map(identity, condition.parts))
