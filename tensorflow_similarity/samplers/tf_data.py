"""Balanced batches of a `tf.data.Dataset`, as a `tf.data.Dataset`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from tensorflow_similarity._old_names import explains_arguments
from tensorflow_similarity.samplers.balanced import BalancedDraws
from tensorflow_similarity.samplers.class_choice import ClassChoice

if TYPE_CHECKING:
    import tensorflow as tf

__all__ = ["TFDataSampler"]

# Elements read at a time, and seeds of the batches' own.
_READ = 1024


@explains_arguments("TFDataSampler")
def TFDataSampler(  # noqa: N802 (TensorFlow Similarity's name)
    ds: tf.data.Dataset,
    classes_per_batch: int = 2,
    examples_per_class_per_batch: int = 2,
    class_list: Any = None,
    total_examples_per_class: int | None = None,
    augmenter: Callable[..., Any] | None = None,
    load_fn: Callable[..., Any] | None = None,
    label_output: int | str | None = None,
    seed: int | None = None,
    class_choice: ClassChoice | None = None,
) -> tf.data.Dataset:
    """Balanced batches of the examples of a dataset, as an endless dataset.

    The elements of `ds` are read once and kept in memory; what they are loaded into is
    not. Let them be paths, encoded images or rows of features, and give `load_fn`,
    which runs in parallel within `tf.data`. For what is too large even so see
    `balanced_stream`.

    Batch i is a function of the seed and i. Give `steps_per_epoch` to `fit`, as the
    dataset has no end; epochs then follow one another in it.

    Args:
        ds: Yields examples `(x, y)`, one at a time: not batched, with an end. x and y
            may be structures.
        classes_per_batch: Classes in a batch. Defaults to 2.
        examples_per_class_per_batch: Examples of each class in a batch. Defaults to 2.
            Classes that have fewer repeat them, and a warning says so once.
        class_list: Class ids to draw from. Defaults to `None`: all.
        total_examples_per_class: Use at most so many examples of each class.
            Defaults to `None`: all.
        augmenter: A Keras layer or model, called on the x of a batch with
            `training=True`, or a function `(x, y) -> (x, y)` of a batch, in TensorFlow.
            Defaults to `None`.
        load_fn: A function `(x, y) -> (x, y)` of one example, in TensorFlow.
            Defaults to `None`.
        label_output: Where y is a dict or tuple, the key or place of the class id.
            Defaults to `None`.
        seed: Integer. Defaults to `None`: a new one.
        class_choice: Which classes make up a batch, such as `HierarchicalClasses`.
            Defaults to `None`: any.

    Returns:
        A `tf.data.Dataset` of batches `(x, y)`, without an end, prefetched.

    Raises:
        TypeError: If the labels are not integers, or `ds` is no dataset.
        ValueError: If `ds` is endless, empty or has examples of different shapes, or
            there are fewer classes than `classes_per_batch`.

    Example:

    ```python
    import numpy as np
    import tensorflow as tf
    from tensorflow_similarity.samplers import TFDataSampler

    ds = tf.data.Dataset.from_tensor_slices((np.random.rand(60, 4), np.arange(60) % 6))
    batches = TFDataSampler(ds, classes_per_batch=3, examples_per_class_per_batch=2, seed=0)
    x, y = next(iter(batches))  # 6 examples: 3 classes, twice each
    ```
    """
    import tensorflow as tf

    x, y = _read(ds)
    labels = y if label_output is None else y[label_output]
    draws = BalancedDraws(
        np.asarray(labels),
        classes_per_batch,
        examples_per_class_per_batch,
        class_list,
        total_examples_per_class,
        seed,
        class_choice,
    )

    def drawn(step: Any) -> Any:
        positions = tf.numpy_function(
            lambda step: draws.draw(0, int(step)), [step], tf.int64, stateful=False
        )
        return tf.ensure_shape(positions, [draws.batch_size])

    def take(positions: Any) -> Any:
        return keras.tree.map_structure(lambda leaf: tf.gather(leaf, positions), (x, y))

    batches = tf.data.Dataset.counter().map(drawn, num_parallel_calls=2)
    if load_fn is None:
        batches = batches.map(take, num_parallel_calls=tf.data.AUTOTUNE)
    else:
        batches = batches.unbatch().map(
            lambda position: load_fn(*take(position)), num_parallel_calls=tf.data.AUTOTUNE
        )
        batches = batches.batch(draws.batch_size, drop_remainder=True)
    if augmenter is not None:
        batches = batches.map(augmented(augmenter), num_parallel_calls=tf.data.AUTOTUNE)
    return batches.prefetch(tf.data.AUTOTUNE)


def augmented(augmenter: Callable[..., Any]) -> Callable[[Any, Any], tuple[Any, Any]]:
    """An augmenter as a function `(x, y) -> (x, y)`.

    Raises:
        TypeError: If it cannot be called.
    """
    if not callable(augmenter):
        raise TypeError(
            "`augmenter` must be a Keras layer or a function (x, y) -> (x, y). "
            f"Received: {augmenter!r}."
        )
    if isinstance(augmenter, keras.layers.Layer):
        return lambda x, y: (augmenter(x, training=True), y)
    return augmenter


def _read(ds: Any) -> tuple[Any, Any]:
    """All elements of a dataset, as tensors `(x, y)` on the host."""
    import tensorflow as tf

    if not isinstance(ds, tf.data.Dataset):
        raise TypeError(f"`ds` must be a tf.data.Dataset. Received: {type(ds).__name__}.")
    if ds.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise ValueError(
            "`ds` must have an end, as it is read into memory. Received: an endless dataset; "
            "use .take(n), or balanced_stream(ds, ...)."
        )
    if not isinstance(ds.element_spec, tuple) or len(ds.element_spec) != 2:
        raise ValueError(
            f"`ds` must yield (x, y). Received: elements of the form {ds.element_spec}."
        )
    try:
        parts = list(ds.batch(_READ))
    except tf.errors.InvalidArgumentError as error:
        raise ValueError(
            "`ds` must yield examples of one shape. Received: different ones. Let it yield what "
            f"they are loaded from, and give `load_fn`. ({error.message})"
        ) from error
    if not parts:
        raise ValueError("`ds` must yield at least one example. Received: none.")
    with tf.device("CPU"):
        return keras.tree.map_structure(lambda *leaves: tf.concat(leaves, axis=0), *parts)
