"""Checks of the arguments of losses, with errors that say what to write."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from tensorflow_similarity import distances

__all__ = [
    "addons_distance",
    "checked_class_id",
    "checked_cosine",
    "checked_flag",
    "checked_number",
    "checked_positive",
]


def checked_number(value: Any, name: str) -> float:
    """Returns a finite number as float, or raises an error that names the argument."""
    if hasattr(value, "item"):
        value = value.item()  # NumPy scalars.
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"`{name}` must be a number. Received: {value!r}.")
    if not math.isfinite(value):
        raise ValueError(f"`{name}` must be finite. Received: {value!r}.")
    return float(value)


def checked_positive(value: Any, name: str) -> float:
    """Returns a finite number above 0 as float, or raises an error that names the argument."""
    number = checked_number(value, name)
    if number <= 0:
        raise ValueError(f"`{name}` must be above 0. Received: {value!r}.")
    return number


def checked_flag(value: Any, name: str, advice: str = "") -> bool:
    """Returns a bool, or raises an error that names the argument.

    A number is refused: given by position it was meant for another argument.
    """
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"`{name}` must be True or False. Received: {value!r}. {advice}".rstrip())
    return bool(value)


def checked_cosine(distance: Any, loss: type) -> distances.Distance:
    """Returns the cosine distance, or raises an error: for losses of angles."""
    found = distances.get(distance)
    product = distances.product_of(found)
    if product is None or product.space != "cosine" or not product.plain:
        raise ValueError(
            f'`distance` must be "cosine" for {loss.__name__}, which is a function of angles. '
            f"Received: {distance!r}."
        )
    return found


def checked_class_id(value: Any, name: str) -> int | None:
    """Returns a class id as int, or None, or raises an error that names the argument."""
    if value is None:
        return None
    if isinstance(value, (bool, np.bool_)) or not hasattr(value, "__index__"):
        raise TypeError(f"`{name}` must be an integer class id or None. Received: {value!r}.")
    number = operator.index(value)
    if not -(2**63) <= number < 2**63:
        raise ValueError(f"`{name}` must be a class id of 64 bits. Received: {value!r}.")
    return number


def addons_distance(distance_metric: Any) -> Any:
    """The `distance_metric` of later TensorFlow Addons as a distance.

    There `"angular"` is the cosine distance.
    """
    if isinstance(distance_metric, str) and distance_metric.lower() == "angular":
        return "cosine"
    return distance_metric
