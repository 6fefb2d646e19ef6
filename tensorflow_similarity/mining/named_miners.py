"""Miners by name."""

from __future__ import annotations

from typing import Any

import keras

from tensorflow_similarity.mining.distance_weighted import DistanceWeightedMiner
from tensorflow_similarity.mining.miners import (
    CallableMiner,
    Miner,
    MultiSimilarityMiner,
    PairMarginMiner,
    TripletMarginMiner,
)

__all__ = ["get_miner"]

_BY_NAME: dict[str, type[Miner]] = {
    "multi_similarity": MultiSimilarityMiner,
    "pair_margin": PairMarginMiner,
    "triplet_margin": TripletMarginMiner,
    "distance_weighted": DistanceWeightedMiner,
}


def get_miner(mining: Any) -> Miner | None:
    """Resolves a miner.

    Args:
        mining: `"multi_similarity"`, `"pair_margin"`, `"triplet_margin"`,
            `"distance_weighted"`, a `Miner`, its serialised config, a function of
            `Rows` (see `CallableMiner`), or None for no mining.

    Raises:
        ValueError: If no miner has that name.
        TypeError: If it is none of the above.

    Example:

    ```python
    from tensorflow_similarity import mining

    mining.get_miner("pair_margin")  # PairMarginMiner(positive_margin=0.2, negative_margin=0.8)
    ```
    """
    if isinstance(mining, dict):
        mining = keras.saving.deserialize_keras_object(mining)
    if mining is None or isinstance(mining, Miner):
        return mining
    if isinstance(mining, str):
        key = mining.lower().replace("-", "_")
        if key in _BY_NAME:
            return _BY_NAME[key]()
        raise ValueError(
            f"`mining` must be one of {list(_BY_NAME)}, a Miner object or a function of Rows. "
            f"Received: {mining!r}."
        )
    if isinstance(mining, type) and issubclass(mining, Miner):
        return mining()
    if callable(mining):
        return CallableMiner(mining)
    raise TypeError(
        f"`mining` must be one of {list(_BY_NAME)}, a Miner object or a function of Rows. "
        f"Received: {mining!r}."
    )
