"""Batches on their way to JAX: class ids it can hold, and rows that its devices need not divide.

Keras hands a batch to a compiled step as it is. JAX cuts integers to 32 bits there without a
word, and refuses a batch that does not fall into equal parts for the devices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from tensorflow_similarity._class_numbers import numbers_of

__all__ = ["devices_of_batch", "numbered", "prepare_iterator", "synced"]


def synced(model: keras.Model) -> None:
    """Writes the state of an unfinished JAX step back into the variables of a model.

    While `fit` runs, JAX holds the weights, and the variables are empty.
    """
    sync = getattr(model, "jax_state_sync", None)
    if sync is not None:
        sync()


def numbered(targets: object) -> Any:
    """Targets whose integers are class ids as JAX can hold them, see `numbers_of`."""

    def leaf(x: object) -> Any:
        if not isinstance(x, np.ndarray) and (hasattr(x, "numpy") or isinstance(x, list)):
            x = np.asarray(x)  # a tensor of another library
        return numbers_of(x) if isinstance(x, np.ndarray) else x

    return keras.tree.map_structure(leaf, targets)


def prepare_iterator(epoch_iterator: Any, targets: Callable[[Any, Any], Any]) -> list[Any]:
    """Makes an epoch iterator of Keras yield batches that JAX computes as they are meant.

    Args:
        epoch_iterator: Keras' iterator, of which no batch was taken yet.
        targets: Maps inputs and targets of a batch to the targets that JAX is to have.

    Returns:
        A list for variables and their values, to which an error in the first batch puts them
        back: Keras has emptied them by then, and would lose them.
    """
    if hasattr(epoch_iterator, "_to_restore"):
        return epoch_iterator._to_restore
    held: list[Any] = []
    epoch_iterator._to_restore = held

    def batches() -> Iterator[Any]:
        together = keras.distribution.distribution() is not None
        source = iter(epoch_iterator.data_adapter.get_jax_iterator())
        while True:
            try:
                batch = next(source, None)
                if batch is None:
                    return
                if isinstance(batch, (tuple, list)) and len(batch) > 1:
                    batch = (batch[0], targets(batch[0], batch[1]), *batch[2:])
                if together:
                    batch = keras.tree.map_structure(_placed, batch)
            except BaseException:
                _restore(held)
                raise
            yield batch
            held.clear()

    epoch_iterator._get_iterator = batches
    return held


def _restore(held: list[Any]) -> None:
    for variable, value in held:
        if variable._value is None:
            variable.assign(value)


def devices_of_batch() -> int:
    """The number of devices over which Keras' distribution splits a batch; 1 without one."""
    distribution = keras.distribution.distribution()
    if distribution is None:
        return 1
    mesh = distribution.device_mesh
    name = getattr(distribution, "batch_dim_name", None) or mesh.axis_names[0]
    return int(mesh.shape[list(mesh.axis_names).index(name)])


def _placed(x: Any) -> Any:
    """An array of a batch on the devices: a part on each, or all of it where they do not divide."""
    import jax

    if x is None:
        return None
    distribution = keras.distribution.distribution()
    if len(x) % devices_of_batch() == 0 or jax.process_count() > 1:
        layout = distribution.get_data_layout(x.shape).backend_layout
        return jax.make_array_from_process_local_data(layout, x)
    mesh = distribution.device_mesh.backend_mesh
    return jax.device_put(x, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec()))
