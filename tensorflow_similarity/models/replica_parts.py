"""The parts of a batch on the replicas of a `tf.distribute` strategy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras

__all__ = [
    "check_strategy",
    "is_built",
    "over_replicas",
    "parts_of_batch",
    "replicas_of",
    "with_first_parts",
]


def replicas_of(model: Any) -> int:
    """On how many replicas Keras computes the batches of a model by `tf.distribute`."""
    if keras.backend.backend() != "tensorflow":
        return 1
    count: int = model.distribute_strategy.num_replicas_in_sync
    return count


def check_strategy(model: Any, more: list[Any]) -> None:
    """Checks that variables of a model are where a strategy can train them.

    Args:
        model: The model.
        more: Variables that a step of training changes beside the model's own.

    Raises:
        ValueError: If some were made outside the scope of the model's strategy, or of that which
            compiles or trains it now.
    """
    if keras.backend.backend() != "tensorflow":
        return
    import tensorflow as tf

    current = tf.distribute.get_strategy() if tf.distribute.has_strategy() else None
    for strategy in (model._distribute_strategy, current):
        if strategy is None:
            continue
        made = strategy.extended.variable_created_in_scope
        elsewhere = [v.path for v in [*model.variables, *more] if not made(v.value)]
        if elsewhere:
            raise ValueError(
                "A model, and the memory of its loss, must be made in the scope of the strategy "
                f"that trains them, a {type(strategy).__name__} of "
                f"{strategy.num_replicas_in_sync} replicas. Received: {len(elsewhere)} variables "
                f"made outside of it, such as {elsewhere[0]!r}. Make or load the model in `with "
                "strategy.scope():`, and compile it there, with a new loss."
            )


def is_built(model: Any) -> bool:
    """Whether Keras has made all that a step of training or evaluation needs."""
    made = [*model._flatten_layers(), model._compile_metrics, model._compile_loss, model.optimizer]
    return all(each is None or each.built for each in made)


def parts_of_batch(model: Any, batch: Any) -> Any:
    """A batch in parts, one for each replica, as `fit` divides those of a dataset.

    Where several processes train together, each gives a batch to its own replicas.

    Args:
        model: The model that it is for.
        batch: A structure of arrays of n rows; None stays.
    """
    import tensorflow as tf

    strategy = model.distribute_strategy
    distribute = strategy.experimental_distribute_values_from_function
    numbers = strategy.experimental_local_results(
        distribute(lambda context: context.replica_id_in_sync_group)
    )

    def divided(values: Any) -> Any:
        if values is None or isinstance(values, tf.distribute.DistributedValues):
            return values
        rows = tf.convert_to_tensor(values)
        size = -(-len(rows) // len(numbers))

        def part(context: Any) -> Any:
            begin = size * numbers.index(context.replica_id_in_sync_group)
            return rows[begin : begin + size]

        return distribute(part)

    return keras.tree.map_structure(divided, batch)


def over_replicas(model: Any, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """What Keras calls for a step, so that each replica has its part of a batch that is given.

    Batches of datasets come in parts. That of `train_on_batch` would be on every replica as a
    whole, and a loss that looks at all of them would find each example several times.

    Args:
        model: The model.
        function: Takes an iterator of batches.
    """
    if replicas_of(model) == 1:
        return function
    import tensorflow as tf

    def step(iterator: Any) -> Any:
        if isinstance(iterator, (tf.data.Iterator, tf.distribute.DistributedIterator)):
            return function(iterator)
        return function(parts_of_batch(model, batch) for batch in iterator)

    return step


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
