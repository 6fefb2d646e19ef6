"""Balanced batches of a dataset that is read sequentially and not kept in memory."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from tensorflow_similarity import _checks as checks
from tensorflow_similarity import targets
from tensorflow_similarity._caller import levels_to_the_caller
from tensorflow_similarity._types import ArrayLike, Tensor
from tensorflow_similarity.samplers._regrouping import Regrouping, regrouped, rows_at_a_time

if TYPE_CHECKING:
    import tensorflow as tf

__all__ = ["balanced_stream"]

# This many consecutive groups without a place mean that there are too few classes.
_PATIENCE = 50_000


def balanced_stream(
    ds: tf.data.Dataset,
    classes_per_batch: int = 2,
    examples_per_class_per_batch: int = 2,
    label_output: int | str | None = None,
    *,
    class_names: Sequence[str] | None = None,
    ignore_class: object = None,
) -> tf.data.Dataset:
    """Balanced batches of a stream of examples, in constant memory.

    For data that can only be read in order, such as compressed or remote files. Examples
    are collected by class. Once there are `examples_per_class_per_batch` of a class, they
    join the current batch, or are dropped if it has that class already. So each batch has
    `classes_per_batch` different classes, and frequent classes do not dominate. Less than
    one group per class is held in memory.

    Shuffle `ds`, or interleave its files, so that classes are mixed:
    `ds.shuffle(10_000, seed=0)`. The batches depend only on the order of `ds`. `ds` should
    have many more classes than a batch: with 10 classes, batches of 8 drop nearly every
    second example.

    Args:
        ds: Yields examples `(x, y)` or `(x, y, sample_weight)`, one at a time: not batched.
            y is a class id, or a class name with `class_names`. With `.repeat()`,
            batches are endless, too.
        classes_per_batch: Number of classes in a batch. Defaults to 2.
        examples_per_class_per_batch: Examples of each class in a batch. Defaults to 2.
        label_output: Where y is a dict or tuple, the key or position of the class id.
            Defaults to `None`.
        class_names: The names of classes 0, 1, 2, …; required if labels are names, since the
            stream is not read in advance. Defaults to `None`.
        ignore_class: A class id or name that stands for an unknown class: such examples are
            left out. Defaults to `None`.

    Returns:
        A `tf.data.Dataset` of batches in the structure of the examples, with class ids in place
        of names. Iteration fails if an endless stream has fewer than `classes_per_batch`
        classes, and at a label that is not a whole number or not among the names.

    Raises:
        TypeError: If `ds` is not a dataset, its labels are neither ids nor names, or they are
            names without `class_names`.
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
    count = checks.count(classes_per_batch, "classes_per_batch")
    each = checks.count(examples_per_class_per_batch, "examples_per_class_per_batch")
    _check(ds, label_output, class_names)
    rows = rows_at_a_time(ds.element_spec, count * each)
    return of_chunks(ds.batch(rows), rows, count, each, label_output, class_names, ignore_class)


def of_chunks(
    chunks: tf.data.Dataset,
    rows: int,
    count: int,
    each: int,
    label_output: int | str | None = None,
    class_names: Sequence[str] | None = None,
    ignore_class: object = None,
) -> tf.data.Dataset:
    """`balanced_stream` of examples that come some rows at a time."""
    import tensorflow as tf

    chunks, ignored = _with_ids(chunks, label_output, class_names, ignore_class)

    def labels_of(x: object, y: object, *weight: object) -> Any:
        return tf.reshape(tf.cast(_label(y, label_output), tf.int64), [-1])

    # A Python generator that reads one dataset to feed another would deadlock if TensorFlow has a
    # single thread; a function of what was read does not.
    regrouping = Regrouping(count, each, rows, ignored, _PATIENCE)
    return regrouped(chunks, labels_of, regrouping).prefetch(tf.data.AUTOTUNE)


def _label(y: Any, label_output: int | str | None) -> Any:
    return y if label_output is None else y[label_output]


def _with_ids(
    ds: Any, label_output: int | str | None, class_names: Sequence[str] | None, ignore_class: object
) -> tuple[Any, int | None]:
    """Replaces names and floats by class ids. Also returns the id of an unknown class, or None."""
    import tensorflow as tf

    dtype = _label(ds.element_spec[1], label_output).dtype
    ignored: Any = ignore_class
    number: Callable[[Any], Any] | None = None
    if dtype == tf.string:
        names = list(targets.Targets.classes([], names=class_names).class_names or ())
        if isinstance(ignore_class, str):
            ignored = names.index(ignore_class) if ignore_class in names else len(names)
            names += [ignore_class] if ignored == len(names) else []
        table = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(names, tf.range(len(names), dtype=tf.int64)), -1
        )

        def by_name(label: ArrayLike) -> Tensor:
            found = table.lookup(label)
            known = tf.debugging.Assert(
                tf.reduce_all(found >= 0), ["`class_names` must hold", label]
            )
            with tf.control_dependencies([known]):
                return tf.identity(found)

        number = by_name
    elif dtype.is_floating:
        below = 2**11 if dtype == tf.float16 else 2**8 if dtype == tf.bfloat16 else 2**24
        warnings.warn(
            f"`ds` yields labels of dtype {dtype.name}: its whole numbers are read as class ids. "
            "Cast them to silence this: ds.map(lambda x, y: (x, tf.cast(y, 'int64'))).",
            stacklevel=levels_to_the_caller(),
        )

        def whole_number(label: ArrayLike) -> Tensor:
            whole = tf.reduce_all((label == tf.floor(label)) & (tf.abs(label) < below))
            known = tf.debugging.Assert(whole, ["`ds` must yield whole numbers", label])
            with tf.control_dependencies([known]):
                return tf.cast(label, tf.int64)

        number = whole_number
    if number is not None:
        convert = number

        def numbered(x: object, y: Any, *weight: Any) -> Any:
            if label_output is None:
                return x, convert(y), *weight
            if isinstance(y, dict):
                return x, {**y, label_output: convert(y[label_output])}, *weight
            made = [convert(one) if i == label_output else one for i, one in enumerate(y)]
            return x, tuple(made), *weight

        ds = ds.map(numbered, num_parallel_calls=tf.data.AUTOTUNE)
    return ds, ignored


def _check(ds: Any, label_output: int | str | None, class_names: Sequence[str] | None) -> None:
    import tensorflow as tf

    if not isinstance(ds, tf.data.Dataset):
        raise TypeError(f"`ds` must be a tf.data.Dataset. Received: {type(ds).__name__}.")
    spec = ds.element_spec
    if not isinstance(spec, tuple) or len(spec) not in (2, 3):
        raise ValueError(
            "`ds` must yield (x, y) or (x, y, sample_weight). Received: elements of the form "
            f"{spec}."
        )
    if label_output is None and isinstance(spec[1], (dict, tuple)):
        raise ValueError(
            "`label_output` must say which entry of y is the class. Received: None, with y of the "
            f"form {spec[1]}."
        )
    entries: dict[Any, Any] = {}
    if isinstance(spec[1], (dict, tuple)):
        entries = spec[1] if isinstance(spec[1], dict) else dict(enumerate(spec[1]))
    if label_output is not None and label_output not in entries:
        raise KeyError(
            f"`label_output` must be one of {list(entries)}, the entries of y. Received: "
            f"{label_output!r}."
        )
    odd = [leaf for leaf in tf.nest.flatten(spec) if not isinstance(leaf, tf.TensorSpec)]
    if odd:
        raise TypeError(
            "`ds` must yield tensors of one shape. Received: elements with "
            f"{type(odd[0]).__name__}. Pad them first, e.g. "
            "ds.map(lambda x, y: (x.to_tensor(), y)), or see TFDataSampler."
        )
    label = _label(spec[1], label_output)
    if label.shape.rank is None or label.shape.num_elements() != 1:
        raise ValueError(
            "`ds` must yield one class id for each example, and no batches. Received: labels of "
            f"shape {label.shape}. Use ds.unbatch(), or drop the one-hot encoding."
        )
    if label.dtype == tf.string and class_names is None:
        raise TypeError(
            "`class_names` must be given where labels are names: balanced_stream(ds, ..., "
            "class_names=['ant', 'bee', …]). Received: None. TFDataSampler finds them by itself."
        )
    if label.dtype != tf.string and class_names is not None:
        raise TypeError(
            "`class_names` are for labels that are names. Received: labels of dtype "
            f"{label.dtype.name}."
        )
    if not (label.dtype.is_integer or label.dtype.is_floating or label.dtype == tf.string):
        raise TypeError(
            "`ds` must yield integer class ids. Received: labels of dtype "
            f"{label.dtype.name}. Cast them, e.g. ds.map(lambda x, y: (x, tf.cast(y, 'int64')))."
        )
