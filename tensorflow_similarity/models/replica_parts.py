"""The parts of a batch on the replicas of a `tf.distribute` strategy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras

__all__ = ["with_first_parts"]


def with_first_parts(model: Any, iterator: Any) -> Iterator[tuple[Any, ...]] | None:
    """The batches of an epoch, as the first replica has them.

    Args:
        model: The model that they are for, made under the strategy.
        iterator: As Keras iterates over an epoch of TensorFlow: yields the number of a step,
            that of the last, and an iterator of batches; or None.
    """
    return None if iterator is None else _first_parts(model.distribute_strategy, iterator)


def _first_parts(strategy: Any, iterator: Any) -> Iterator[tuple[Any, ...]]:
    import tensorflow as tf

    def first(values: Any) -> Any:
        if isinstance(values, tf.distribute.DistributedValues):
            return strategy.experimental_local_results(values)[0]
        return values

    for begin, end, batches in iterator:
        yield begin, end, (keras.tree.map_structure(first, batch) for batch in batches)
