"""Distances between embeddings: smaller is more similar.

One object names the distance of a loss, of a metric and of an index.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras

from tensorflow_similarity import _old_names
from tensorflow_similarity.distances.base import (
    CallableDistance,
    Distance,
    DistanceLike,
    product_of,
)
from tensorflow_similarity.distances.cosine import CosineDistance
from tensorflow_similarity.distances.euclidean import EuclideanDistance, SquaredEuclideanDistance
from tensorflow_similarity.distances.inner_product import InnerProductDistance
from tensorflow_similarity.distances.manhattan import ManhattanDistance
from tensorflow_similarity.distances.product import SPACES, Product
from tensorflow_similarity.distances.snr import SNRDistance

__all__ = [
    "SPACES",
    "CallableDistance",
    "CosineDistance",
    "Distance",
    "EuclideanDistance",
    "InnerProductDistance",
    "ManhattanDistance",
    "Product",
    "SNRDistance",
    "SquaredEuclideanDistance",
    "get",
    "names",
    "product_of",
]

_BY_NAME: dict[str, type[Distance]] = {
    "cosine": CosineDistance,
    "euclidean": EuclideanDistance,
    "l2": EuclideanDistance,
    "squared_euclidean": SquaredEuclideanDistance,
    "sql2": SquaredEuclideanDistance,
    "squared_l2": SquaredEuclideanDistance,
    "manhattan": ManhattanDistance,
    "l1": ManhattanDistance,
    "inner_product": InnerProductDistance,
    "ip": InnerProductDistance,
    "snr": SNRDistance,
    "signal_to_noise_ratio": SNRDistance,
}


def names() -> list[str]:
    """All names that `get` knows, aliases included."""
    return sorted(_BY_NAME)


def get(distance: DistanceLike) -> Distance:
    """Resolves a distance.

    Args:
        distance: A name (any of `names()`; case and `-` do not matter), a
            `Distance` object or class, its serialised config, or a function
            `(queries, keys) -> [n, m]`.

    Returns:
        A `Distance`.

    Raises:
        ValueError: If no distance has that name.
        TypeError: If `distance` is none of the above.

    Example:

    ```python
    from tensorflow_similarity import distances

    distances.get("l2")  # EuclideanDistance()
    ```
    """
    if isinstance(distance, Distance):
        return distance
    if isinstance(distance, str):
        key = distance.lower().replace("-", "_").replace(" ", "_")
        if key not in _BY_NAME:
            raise ValueError(
                f"Unknown `distance`. Expected one of {names()}, a Distance object or a function "
                f"(queries, keys) -> [n, m]. Received: {distance!r}."
            )
        return _BY_NAME[key]()
    if isinstance(distance, dict):
        made = keras.saving.deserialize_keras_object(distance) if "class_name" in distance else None
        if made is None or isinstance(made, dict):  # which Keras gives back as it is
            raise TypeError(
                "`distance` as a dict must be the config of a Distance, as "
                f"keras.saving.serialize_keras_object gives it. Received: {distance!r}."
            )
        return get(made)
    if isinstance(distance, type) and issubclass(distance, Distance):
        return distance()
    if callable(distance):
        return CallableDistance(distance)
    raise TypeError(
        f"`distance` must be one of {names()}, a Distance object or a function "
        f"(queries, keys) -> [n, m]. Received: {distance!r}."
    )


def __dir__() -> list[str]:
    return sorted(__all__)


if not TYPE_CHECKING:  # A type checker is to know the names of today only.
    __getattr__ = _old_names.of(__name__)
