"""Checks of the arguments that several losses take."""

from __future__ import annotations

from typing import Any

from tensorflow_similarity import distances
from tensorflow_similarity.losses.metric_loss import checked_number

__all__ = ["checked_cosine", "checked_positive"]


def checked_positive(value: Any, name: str) -> float:
    """Returns a finite number above 0 as float, or raises an error that names the argument."""
    number = checked_number(value, name)
    if number <= 0:
        raise ValueError(f"`{name}` must be above 0. Received: {value!r}.")
    return number


def checked_cosine(distance: Any, loss: type) -> distances.Distance:
    """Returns the cosine distance, or raises an error: for losses of angles."""
    found = distances.get(distance)
    if not isinstance(found, distances.CosineDistance):
        raise ValueError(
            f'`distance` must be "cosine" for {loss.__name__}, which is a function of angles. '
            f"Received: {distance!r}."
        )
    return found
