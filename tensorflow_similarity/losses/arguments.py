"""Checks of the arguments of losses, with errors that say what to write."""

from __future__ import annotations

from typing import Any

from tensorflow_similarity import distances
from tensorflow_similarity._checks import class_id as checked_class_id
from tensorflow_similarity._checks import flag as checked_flag
from tensorflow_similarity._checks import number as checked_number
from tensorflow_similarity._checks import positive as checked_positive
from tensorflow_similarity._checks import text as checked_text

__all__ = [
    "addons_distance",
    "checked_class_id",
    "checked_cosine",
    "checked_flag",
    "checked_number",
    "checked_positive",
    "checked_text",
]


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


def addons_distance(distance_metric: Any) -> Any:
    """The `distance_metric` of later TensorFlow Addons as a distance.

    There `"angular"` is the cosine distance.
    """
    if isinstance(distance_metric, str) and distance_metric.lower() == "angular":
        return "cosine"
    return distance_metric
