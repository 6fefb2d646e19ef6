"""Balanced batches of a dataset that is read from beginning to end, and never kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras

from tensorflow_similarity import _checks as checks

if TYPE_CHECKING:
    import tensorflow as tf

__all__ = ["balanced_stream"]

# Slots for classes. Two classes in one slot are never in one batch, which is rare and does no
# harm.
_SLOTS = 8192
# So many groups that fit nowhere, one after the other, mean that there are too few classes.
_PATIENCE = 50_000


def balanced_stream(
    ds: tf.data.Dataset,
    classes_per_batch: int = 2,
    examples_per_class_per_batch: int = 2,
    label_output: int | str | None = None,
) -> tf.data.Dataset:
    """Balanced batches of a stream of examples, in memory that does not grow with it.

    For data that only comes in order, such as records in compressed or remote files.
    Examples are gathered class by class, and as soon as there are
    `examples_per_class_per_batch` of a class, they go into the batch that is being
    filled, unless it has the class already: they are left out then. So a batch has
    `classes_per_batch` different classes, and frequent classes do not get the upper
    hand. Less than a group of each class waits in memory.

    Shuffle `ds`, or interleave its files, so that classes come mixed:
    `ds.shuffle(10_000, seed=0)`. The batches depend on the order of `ds` only. Let
    `ds` have many more classes than a batch: of 10 classes a batch of 8 leaves out
    nearly every second example.

    Args:
        ds: Yields examples `(x, y)`, one at a time: not batched. Without an end, by
            `.repeat()`, batches follow without an end.
        classes_per_batch: Classes in a batch. Defaults to 2.
        examples_per_class_per_batch: Examples of each class in a batch. Defaults to 2.
        label_output: Where y is a dict or tuple, the key or place of the class id.
            Defaults to `None`.

    Returns:
        A `tf.data.Dataset` of batches `(x, y)`. Iterating over it fails where an endless
        stream has fewer than `classes_per_batch` classes.

    Raises:
        TypeError: If `ds` is no dataset, or its labels are not integers.
        ValueError: If `ds` does not yield `(x, y)` with a class id for each example.

    Example:

    ```python
    import numpy as np
    import tensorflow as tf
    from tensorflow_similarity.samplers import balanced_stream

    labels = np.random.default_rng(0).integers(9, size=500)
    ds = tf.data.Dataset.from_tensor_slices((np.random.rand(500, 4), labels)).repeat()
    batches = balanced_stream(ds, classes_per_batch=4, examples_per_class_per_batch=3)
    x, y = next(iter(batches))  # 12 examples: 4 classes, 3 times each
    ```
    """
    # All of it in operations of tf.data. A Python generator that reads one dataset to feed
    # another waits for itself where TensorFlow has a single thread.
    import tensorflow as tf

    count = checks.count(classes_per_batch, "classes_per_batch")
    each = checks.count(examples_per_class_per_batch, "examples_per_class_per_batch")
    _check(ds, label_output)
    if count > _SLOTS:
        raise ValueError(f"`classes_per_batch` must be at most {_SLOTS}. Received: {count}.")

    def label(y: Any) -> Any:
        return tf.reshape(tf.cast(_label(y, label_output), tf.int64), [-1])[0]

    def choose(state: Any, group: Any) -> Any:
        """Whether the batch that is being filled takes a group."""
        batch, size, last, refused = state
        slot = tf.math.floormod(label(group[1]), _SLOTS)
        taken = tf.not_equal(last[slot], batch)
        refused = tf.where(taken, tf.zeros_like(refused), refused + 1)
        tf.debugging.Assert(
            refused < _PATIENCE, [f"`ds` must have at least {count} classes, well mixed."]
        )
        last = tf.tensor_scatter_nd_update(last, [[slot]], [batch])
        size += tf.cast(taken, tf.int64)
        batch += size // count
        return (batch, size % count, last, refused), (taken, group)

    zero = tf.constant(0, tf.int64)
    groups = ds.group_by_window(
        key_func=lambda x, y: label(y),
        reduce_func=lambda _, group: group.batch(each, drop_remainder=True),
        window_size=each,
    )
    chosen = groups.scan((zero, zero, tf.fill([_SLOTS], zero - 1), zero), choose)
    batches = chosen.filter(lambda taken, _: taken).batch(count, drop_remainder=True)

    def joined(leaf: Any) -> Any:
        shape = tf.concat([[count * each], tf.shape(leaf)[2:]], 0)
        return tf.ensure_shape(tf.reshape(leaf, shape), [count * each, *leaf.shape[2:]])

    return batches.map(lambda _, group: keras.tree.map_structure(joined, group)).prefetch(
        tf.data.AUTOTUNE
    )


def _label(y: Any, label_output: int | str | None) -> Any:
    return y if label_output is None else y[label_output]


def _check(ds: Any, label_output: int | str | None) -> None:
    import tensorflow as tf

    if not isinstance(ds, tf.data.Dataset):
        raise TypeError(f"`ds` must be a tf.data.Dataset. Received: {type(ds).__name__}.")
    spec = ds.element_spec
    if not isinstance(spec, tuple) or len(spec) != 2:
        raise ValueError(f"`ds` must yield (x, y). Received: elements of the form {spec}.")
    label = _label(spec[1], label_output)
    if not label.dtype.is_integer:
        raise TypeError(
            "`ds` must yield integer class ids. Received: labels of dtype "
            f"{label.dtype.name}. Cast them, e.g. ds.map(lambda x, y: (x, tf.cast(y, 'int64')))."
        )
    if label.shape.rank is None or label.shape.num_elements() != 1:
        raise ValueError(
            "`ds` must yield one class id for each example, and no batches. Received: labels of "
            f"shape {label.shape}. Use ds.unbatch(), or drop the one-hot encoding."
        )
