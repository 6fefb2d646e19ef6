"""Checks and configs of arguments shared by several metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from tensorflow_similarity.distances import Distance

__all__ = ["distance_config", "one_of"]


def one_of(value: object, name: str, known: Sequence[str]) -> None:
    """Raises `ValueError`, naming the argument, unless `value` is one of the known ones."""
    if value not in known:
        raise ValueError(f"`{name}` must be one of {list(known)}. Received: {value!r}.")


def distance_config(distance: Distance) -> Any:
    """The config of a distance, which `distances.get` turns back into an equal one."""
    return keras.saving.serialize_keras_object(distance)
