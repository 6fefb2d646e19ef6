"""Turns anything that `keras.Model.predict` takes into a stream of labelled batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity import targets
from tensorflow_similarity.targets import Targets

__all__ = ["Batches", "batches_of", "is_dataset", "one_class_batches"]


@dataclass(frozen=True)
class Batches:
    """A stream of `(x, y)` batches; `y` is None where there are no labels.

    Labels of arrays are `Targets`, those of a dataset come as it yields them.

    Attributes:
        iterate: Starts the stream.
        count: The number of batches, or None if unknown.
        examples: The number of examples, or None if unknown.
        arrays: `(x, y)` where the batches are slices of arrays, else None; `y` is
            `Targets`, or None.
        wrap: Makes `Targets` of all labels of a dataset; None where they are classes.
        kinds: The kinds of `Targets` that the caller can work with.
    """

    iterate: Callable[[], Iterator[tuple[Any, Any]]]
    count: int | None
    examples: int | None
    arrays: tuple[Any, Any] | None = None
    wrap: Callable[[Any], Targets] | None = None
    kinds: Sequence[str] = ("classes",)

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        return self.iterate()

    def labels(self, parts: Sequence[Any]) -> Targets | None:
        """What is known of all examples, of the labels of all batches; None for none.

        Raises:
            TypeError: If they are neither ids nor names, and no one says what they are.
            ValueError: If only some batches have labels.
        """
        if self.arrays is not None:
            known: Targets | None = self.arrays[1]
            return known
        found = [part for part in parts if part is not None]
        if not found:
            return None
        if len(found) != len(parts):
            raise ValueError(
                "`x` must yield labels with every batch or with none. Received: labels with "
                f"{len(found)} of {len(parts)} batches."
            )
        # Checked together, so that a warning comes only once.
        together: Any = np.concatenate(found)
        if self.wrap is not None:
            together = self.wrap(together)
        return targets.get(together, "y", kinds=self.kinds)

    def take(self, positions: np.ndarray) -> tuple[Any, Any]:
        """Returns some examples of arrays, by their ascending positions, and their labels.

        Raises:
            ValueError: If the batches are those of a dataset.
        """
        if self.arrays is None:
            raise ValueError("Only examples of arrays can be taken by their positions.")
        x, y = self.arrays

        def rows(leaf: Any) -> Any:
            # Tensors are not indexed by arrays; HDF5 is, by ascending ones.
            if keras.ops.is_tensor(leaf):
                return keras.ops.take(leaf, positions, axis=0)
            # Tensors from a library other than the backend.
            return (np.asarray(leaf) if hasattr(leaf, "numpy") else leaf)[positions]

        return keras.tree.map_structure(rows, x), None if y is None else y.take(positions)


def batches_of(
    x: Any,
    y: Any = None,
    batch_size: int = 128,
    input_ranks: list[int] | None = None,
    kinds: Sequence[str] = ("classes",),
) -> Batches:
    """Streams `x`, in order.

    Args:
        x: An array or tensor `[n, ...]`, a tuple, list or dict of them for models
            with several inputs, or something that yields batches `x`, `(x, y)`
            or `(x, y, sample_weight)`: a `tf.data.Dataset`, a
            `keras.utils.PyDataset` (its `workers` are used, as threads), a
            generator or another iterable. A list of examples is one array.
        y: Class ids or names `[n]` or `[n, 1]`, or `Targets`, for arrays. Datasets
            bring their own; for them a function that makes `Targets` of their labels,
            such as `Targets.multi_hot`, where these are neither ids nor names.
        batch_size: Examples in a batch, for arrays.
        input_ranks: The rank of each input of the model, the batch axis counted,
            or None if unknown. They settle what a list is.
        kinds: The kinds of `Targets` that the caller can work with.

    Raises:
        TypeError: If `y` is none of these.
        ValueError: If `y` comes with a dataset, lengths differ, or there are no
            examples.
    """
    batch_size = checks.count(batch_size, "batch_size")
    if is_dataset(x):
        if y is not None and not callable(y):
            raise ValueError(
                "`y` must be None where `x` yields batches: they bring their own labels, as "
                f"(x, y). Received: x of type {type(x).__name__}, and y."
            )
        if isinstance(x, keras.utils.PyDataset):
            return Batches(lambda: map(_unpack, _in_order(x)), x.num_batches, None, None, y, kinds)
        return Batches(lambda: map(_unpack, iter(x)), _length(x), None, None, y, kinds)
    return _of_arrays(_arrays(x, input_ranks), y, batch_size, kinds)


def is_dataset(x: object) -> bool:
    """Whether `x` yields batches, rather than being an array or a structure of arrays."""
    if isinstance(x, keras.utils.PyDataset):
        return True
    if isinstance(x, (list, tuple, dict, str)) or hasattr(x, "__array__") or hasattr(x, "shape"):
        return False
    return isinstance(x, Iterable)


def _length(dataset: Any) -> int | None:
    if hasattr(dataset, "cardinality") and int(dataset.cardinality()) == -1:
        raise ValueError("`x` must have an end. Received: an infinite dataset; use .take(n).")
    try:
        return len(dataset)
    except TypeError:  # a generator, or a dataset of unknown length
        return None


def _unpack(batch: object) -> tuple[Any, Any]:
    # A list is a tuple here, as in Keras: PyDatasets and torch's DataLoader yield lists.
    if not isinstance(batch, (list, tuple)):
        return _native(batch), None
    x, y, _ = keras.utils.unpack_x_y_sample_weight(tuple(batch))
    return _native(x), _native(y)


def _native(batch: object) -> Any:
    """A batch whose tensors are those of the backend, or arrays.

    Datasets of TensorFlow yield its tensors, and data loaders of torch theirs, whatever
    the backend.
    """
    return keras.tree.map_structure(
        lambda leaf: (
            leaf
            if isinstance(leaf, np.ndarray)
            or keras.ops.is_tensor(leaf)
            or not hasattr(leaf, "__array__")
            else np.asarray(leaf)
        ),
        batch,
    )


def _in_order(dataset: keras.utils.PyDataset) -> Iterator[Any]:
    """The batches of a PyDataset in order, prepared ahead by its workers."""
    count = dataset.num_batches
    if count is None:
        raise ValueError(
            "`x` must have an end. Received: a PyDataset whose length is None or infinite."
        )
    if dataset.workers <= 1:
        yield from (dataset[i] for i in range(count))
        return
    ahead = max(dataset.max_queue_size, dataset.workers)
    with ThreadPoolExecutor(dataset.workers) as pool:
        waiting = [pool.submit(dataset.__getitem__, i) for i in range(min(ahead, count))]
        for i in range(count):
            batch = waiting[i % ahead].result()
            if i + ahead < count:
                waiting[i % ahead] = pool.submit(dataset.__getitem__, i + ahead)
            yield batch


def _arrays(x: object, input_ranks: list[int] | None) -> Any:
    """`x` with every leaf converted to something that has a length and can be sliced."""
    if isinstance(x, list) and not _is_list_of_inputs(x, input_ranks):
        x = checks.host_array(x, "x")
    elif isinstance(x, dict):
        # A list under a name is one column, unless it holds arrays: one for each input.
        x = {
            name: checks.host_array(column, f"x[{name!r}]")
            if isinstance(column, list) and not any(hasattr(item, "shape") for item in column)
            else column
            for name, column in x.items()
        }
    return keras.tree.map_structure(_array, x)


def _is_list_of_inputs(x: list[Any], input_ranks: list[int] | None) -> bool:
    # To Keras a list is one array per input. Where the model has a single input it is the
    # examples, unless it is just that one array.
    if not x or not all(hasattr(item, "shape") and len(item.shape) for item in x):
        return False
    if input_ranks is None:
        return len({int(item.shape[0]) for item in x}) == 1
    if len(input_ranks) == 1:
        return len(x) == 1 and len(x[0].shape) == input_ranks[0]
    return len(x) == len(input_ranks)


def _array(leaf: object) -> Any:
    if np.ma.isMaskedArray(leaf):
        checks.refuse_partial(leaf, "x")
    # Not pandas, which has both but takes examples by their labels.
    if hasattr(leaf, "shape") and hasattr(leaf, "dtype") and not hasattr(leaf, "iloc"):
        return leaf  # NumPy, a tensor of any library (ragged too), HDF5: sliced as it is
    return checks.host_array(leaf, "x")


def _of_arrays(x: object, y: object, batch_size: int, kinds: Sequence[str]) -> Batches:
    lengths = {int(leaf.shape[0]) if len(leaf.shape) else -1 for leaf in keras.tree.flatten(x)}
    if len(lengths) != 1 or -1 in lengths:
        shapes = [tuple(leaf.shape) for leaf in keras.tree.flatten(x)]
        raise ValueError(
            "`x` must hold arrays with the same number of examples on their first axis. "
            f"Received: shapes {shapes}."
        )
    (n,) = lengths
    if n == 0:
        raise ValueError("`x` must hold at least one example. Received: none.")
    if y is not None:
        y = targets.get(y, "y", n, kinds=kinds)

    def iterate() -> Iterator[tuple[Any, Any]]:
        for begin in range(0, n, batch_size):
            part = slice(begin, begin + batch_size)
            yield (
                _native(keras.tree.map_structure(lambda leaf, part=part: leaf[part], x)),
                None if y is None else y.take(part),
            )

    return Batches(iterate, math.ceil(n / batch_size), n, (x, y))


def one_class_batches(ids: np.ndarray, batch_size: int) -> float:
    """The share of batches that hold one class, if there are several classes; else 0."""
    if len(np.unique(ids)) < 2 or len(ids) < 2:
        return 0.0
    starts = np.arange(0, len(ids), batch_size)
    return float(np.mean(np.maximum.reduceat(ids, starts) == np.minimum.reduceat(ids, starts)))
