"""Balanced batches of a `tf.data.Dataset`, as a `tf.data.Dataset`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity._old_names import explains_arguments
from tensorflow_similarity._types import ArrayLike
from tensorflow_similarity.samplers._labels import read_labels
from tensorflow_similarity.samplers.augmentation import unpacked
from tensorflow_similarity.samplers.balanced import BalancedDraws
from tensorflow_similarity.samplers.class_choice import ClassChoice
from tensorflow_similarity.samplers.padding import Padding, checked_padding

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
    class_list: ArrayLike | None = None,
    total_examples_per_class: int | None = None,
    augmenter: Callable[..., Any] | None = None,
    load_fn: Callable[..., Any] | None = None,
    label_output: int | str | None = None,
    seed: int | None = None,
    class_choice: ClassChoice | None = None,
    *,
    targets: Callable[[Any], Any] | None = None,
    ignore_class: object = None,
    padding: Padding | None = None,
    first_batch: int = 0,
) -> tf.data.Dataset:
    """Balanced batches of the examples of a dataset, as an endless dataset.

    The elements of `ds` are read once and kept in memory, so let them be small: paths,
    encoded images or rows of features. `load_fn` turns them into examples, in parallel
    within `tf.data`. For larger data see `balanced_stream`.

    Batch i depends only on the seed and i. The dataset is endless: pass
    `steps_per_epoch` to `fit`.

    Args:
        ds: Yields examples `(x, y)` or `(x, y, sample_weight)`, one at a time: not batched,
            with an end. x and y may be structures. x may be text, and sequences of different
            lengths. y is class ids or class names, as for `MultiShotMemorySampler`.
        classes_per_batch: Number of classes in a batch. Defaults to 2.
        examples_per_class_per_batch: Examples of each class in a batch. Defaults to 2.
            Classes with fewer examples repeat them, with one warning.
        class_list: Ids or names of classes to draw from. Defaults to `None`: all.
        total_examples_per_class: Use at most so many examples of each class.
            Defaults to `None`: all.
        augmenter: A Keras layer or model, called on the x of a batch with
            `training=True`, or a function of a batch, in TensorFlow: `(x, y) -> (x, y)`, or
            `(x, y, sample_weight)` where there are weights; it may return either, or a dict
            `{"x": x, "y": y}`. Defaults to `None`.
        load_fn: A TensorFlow function `(x, y) -> (x, y)` of one example; it gets the weight
            too if there is one, and may return one. Defaults to `None`.
        label_output: Where y is a dict or tuple, the key or position of the classes.
            Defaults to `None`: the only entry that can be them.
        seed: Integer. Defaults to `None`: a new one.
        class_choice: How the classes of a batch are chosen, such as `HierarchicalClasses`.
            Defaults to `None`: uniformly at random.
        targets: For labels that are neither ids nor names, a constructor such as
            `Targets.multi_hot`, called on the labels of all examples. Defaults to `None`.
        ignore_class: A class id or name that stands for an unknown class. Defaults to `None`.
        padding: How to pad sequences of different lengths, see `Padding`.
            Defaults to `None`: `Padding()`; what `load_fn` returns must have one shape.
        first_batch: The first batch, to resume a run: the number of finished epochs times
            `steps_per_epoch`. Defaults to 0.

    Returns:
        An endless, prefetched `tf.data.Dataset` of batches `(x, y)` or
        `(x, y, sample_weight)`. Its attribute `class_names` has the names of classes 0, 1, 2,
        … if labels are names, else None.

    Raises:
        TypeError: If the labels are neither ids nor names, or `ds` is not a dataset.
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

    checks.count(first_batch, "first_batch", minimum=0)
    checked_padding(padding)
    x, y, *weight = _read(ds)
    labels = keras.tree.map_structure(lambda leaf: leaf.numpy(), y)
    if targets is not None:
        labels = _converted(labels, targets, label_output)
    known = read_labels(labels, "y", None, label_output, ignore_class)
    draws = BalancedDraws(
        known,
        classes_per_batch,
        examples_per_class_per_batch,
        class_list,
        total_examples_per_class,
        seed,
        class_choice,
    )
    with tf.device("CPU"):
        y = keras.tree.map_structure(tf.convert_to_tensor, known.values)

    def drawn(step: Any) -> Any:
        positions = tf.numpy_function(
            lambda step: draws.draw(0, int(step)), [step], tf.int64, stateful=False
        )
        return tf.ensure_shape(positions, [draws.batch_size])

    def take(positions: Any) -> Any:
        return keras.tree.map_structure(lambda leaf: tf.gather(leaf, positions), (x, y, *weight))

    batches = tf.data.Dataset.counter(start=first_batch).map(drawn, num_parallel_calls=2)
    if load_fn is None:
        batches = batches.map(take, num_parallel_calls=tf.data.AUTOTUNE)
    else:
        batches = batches.unbatch().map(
            lambda position: load_fn(*take(position)), num_parallel_calls=tf.data.AUTOTUNE
        )
        batch = batches.batch if padding is None else batches.ragged_batch
        batches = batch(draws.batch_size, drop_remainder=True)
    if any(isinstance(leaf, tf.RaggedTensorSpec) for leaf in _leaves(batches.element_spec[0])):
        fill = _padded(Padding() if padding is None else padding)
        batches = batches.map(
            lambda x, *others: (fill(x), *others), num_parallel_calls=tf.data.AUTOTUNE
        )
    if augmenter is not None:
        batches = batches.map(augmented(augmenter), num_parallel_calls=tf.data.AUTOTUNE)
    batches = batches.prefetch(tf.data.AUTOTUNE)
    batches.class_names = draws.class_names
    return batches


def augmented(augmenter: Callable[..., Any]) -> Callable[..., tuple[Any, ...]]:
    """An augmenter as a function of a batch.

    Raises:
        TypeError: If it cannot be called.
    """
    if not callable(augmenter):
        raise TypeError(
            "`augmenter` must be a Keras layer or a function (x, y) -> (x, y). "
            f"Received: {augmenter!r}."
        )
    if isinstance(augmenter, keras.layers.Layer):
        return lambda x, *others: (augmenter(x, training=True), *others)
    return lambda *batch: unpacked(augmenter(*batch))


def _leaves(spec: Any) -> list[Any]:
    import tensorflow as tf

    return tf.nest.flatten(spec)


def _converted(labels: ArrayLike, targets: object, label_output: Any) -> Any:
    """Applies `targets` to the labels, or to the entry that holds them."""
    if not callable(targets):
        raise TypeError(
            "`targets` must be a function of all labels, such as Targets.multi_hot. Received: "
            f"{targets!r}."
        )
    if not isinstance(labels, (dict, tuple)):
        return targets(labels)
    entries = labels if isinstance(labels, dict) else dict(enumerate(labels))
    if label_output not in entries:
        raise KeyError(
            "`label_output` must say which entry of y `targets` is for, one of "
            f"{list(entries)}. Received: {label_output!r}."
        )
    made = {**entries, label_output: targets(entries[label_output])}
    return made if isinstance(labels, dict) else tuple(made.values())


def _padded(padding: Padding) -> Callable[[Any], Any]:
    """A function that pads the ragged tensors of a batch."""
    import tensorflow as tf

    def fill(leaf: object) -> Any:
        if not isinstance(leaf, tf.RaggedTensor):
            return leaf

        def on_host(values: np.ndarray, splits: np.ndarray) -> Any:
            made = padding(np.split(values, splits[1:-1]))
            rows, mask = made if padding.mask else (made, np.ones(1, bool))
            return rows, mask

        rows, mask = tf.numpy_function(
            on_host, [leaf.values, leaf.row_splits], [leaf.dtype, tf.bool], stateful=False
        )
        number = leaf.shape[0]
        rows = tf.ensure_shape(rows, [number, None, *leaf.shape[2:]])
        return (rows, tf.ensure_shape(mask, [number, None])) if padding.mask else rows

    def fill_all(x: object) -> Any:
        if not isinstance(x, dict):
            return tuple(fill(leaf) for leaf in x) if isinstance(x, tuple) else fill(x)
        made = {}
        for key, leaf in x.items():
            filled = fill(leaf)
            if isinstance(filled, tuple):
                made[key], made[f"{key}_mask"] = filled
            else:
                made[key] = filled
        return made

    return fill_all


def _read(ds: Any) -> tuple[Any, ...]:
    """All elements of a dataset, as tensors `(x, y)` or `(x, y, weight)` on the host."""
    import tensorflow as tf

    if not isinstance(ds, tf.data.Dataset):
        raise TypeError(f"`ds` must be a tf.data.Dataset. Received: {type(ds).__name__}.")
    if ds.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise ValueError(
            "`ds` must have an end, as it is read into memory. Received: an endless dataset; "
            "use .take(n), or balanced_stream(ds, ...)."
        )
    if not isinstance(ds.element_spec, tuple) or len(ds.element_spec) not in (2, 3):
        raise ValueError(
            "`ds` must yield (x, y) or (x, y, sample_weight). Received: elements of the form "
            f"{ds.element_spec}."
        )
    # Sequences [length, ...] may differ in length only.
    sequences = any(
        isinstance(spec, tf.TensorSpec)
        and spec.shape.rank
        and spec.shape[0] is None
        and spec.shape[1:].is_fully_defined()
        for spec in _leaves(ds.element_spec[0])
    )
    try:
        parts = list(ds.ragged_batch(_READ) if sequences else ds.batch(_READ))
    except tf.errors.InvalidArgumentError as error:
        raise ValueError(
            "`ds` must yield examples of one shape. Received: different ones. Let it yield what "
            f"they are loaded from, and give `load_fn`. ({error.message})"
        ) from error
    if not parts:
        raise ValueError("`ds` must yield at least one example. Received: none.")
    with tf.device("CPU"):
        return tf.nest.map_structure(lambda *leaves: tf.concat(leaves, axis=0), *parts)
