"""What samplers accept as `x`: arrays, text, sequences of different lengths, and dicts of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity._types import Tensor
from tensorflow_similarity.samplers.padding import Padding

__all__ = [
    "as_arrays",
    "as_batch",
    "holds_64_bits",
    "is_text",
    "number_of_examples",
    "padded",
    "take",
    "text_tensor",
    "to_host",
]


def as_arrays(x: Any, name: str = "x", any_objects: bool = False) -> Any:
    """Returns `x` with NumPy arrays `[n, ...]` as leaves: views where possible.

    Sequences of different lengths become an object array of arrays.

    Args:
        x: An array, tensor, list of examples or data frame; or a dict or tuple of these.
        name: Name of the argument, for errors.
        any_objects: Whether elements may be anything, because a function loads the examples.

    Raises:
        TypeError: If elements are neither numbers, text nor sequences.
        ValueError: If examples differ in more than their length.
    """
    if hasattr(x, "iloc") and hasattr(x, "columns"):  # A table of pandas.
        table = {str(column): x[column] for column in x.columns}
        numbers = all(np.asarray(values).dtype.kind in "iubf" for values in table.values())
        x = x.to_numpy() if numbers else table
    if isinstance(x, tuple) and any(np.isscalar(entry) for entry in x):
        x = list(x)  # A list of examples, not one array per input.
    if isinstance(x, Mapping):
        return {key: as_arrays(value, f"{name}[{key!r}]", any_objects) for key, value in x.items()}
    if isinstance(x, tuple):
        return tuple(as_arrays(value, f"{name}[{i}]", any_objects) for i, value in enumerate(x))
    return _leaf(x, name, any_objects)


def _leaf(value: Any, name: str, any_objects: bool) -> np.ndarray:
    if type(value) is np.ndarray and value.dtype.kind not in "OT":
        return value
    if not hasattr(value, "row_splits"):
        checks.refuse_partial(value, name)
    if hasattr(value, "detach"):  # A torch tensor, on any device.
        value = value.detach().cpu()
    if hasattr(value, "row_splits"):  # A ragged tensor.
        value = value.numpy()
    if isinstance(value, (list, tuple)) and any(isinstance(row, bytes) for row in value):
        return _objects(value)  # NumPy's bytes dtype drops trailing NULs.
    try:
        array = np.asarray(value)
    except ValueError:
        array = _objects(value)
    if array.dtype.kind == "T":
        array = array.astype(object)
    if array.dtype.kind != "O" or any_objects or array.ndim != 1 or not len(array):
        return array
    return _of_objects(array, name)


def _objects(rows: Any) -> np.ndarray:
    array = np.empty(len(rows), object)
    array[:] = list(rows)
    return array


def _of_objects(array: np.ndarray, name: str) -> np.ndarray:
    elements = array.tolist()
    if all(isinstance(element, (str, bytes)) for element in elements):
        return array
    missing = [i for i, element in enumerate(elements) if element is None]
    if missing:
        raise ValueError(
            f"`{name}` must have an example at each position. Received: None at position "
            f"{missing[0]} (and {len(missing) - 1} more). Leave these examples out, or write what "
            'stands for them, such as "" in text.'
        )
    if all(isinstance(e, (int, float, np.number, np.bool_)) for e in elements):
        return np.array(elements)
    if not all(hasattr(e, "__array__") or isinstance(e, (list, tuple)) for e in elements):
        odd = next(
            e
            for e in elements
            if isinstance(e, (str, bytes)) or not isinstance(e, (list, tuple, np.ndarray))
        )
        raise TypeError(
            f"`{name}` must hold numbers, text or sequences, one for each example. Received: an "
            f"element of type {type(odd).__name__}, in an array of dtype object. For examples "
            "that are made of other objects give `load_example_fn`."
        )
    rows = [_row(element) for element in elements]
    steps = {row.shape[1:] if row.ndim else None for row in rows if row.size or row.ndim != 1}
    if None in steps or len(steps) > 1 or any(row.dtype.kind == "O" for row in rows):
        shapes = sorted({row.shape for row in rows})[:3]
        raise ValueError(
            f"`{name}` must hold examples of one shape, or sequences [length, ...] that differ in "
            f"their length only. Received: shapes {shapes}. Bring them to one size first, or as "
            "they are loaded, by `load_example_fn`."
        )
    if len({row.shape for row in rows}) == 1:
        return np.stack(rows)
    # [] is an array of floats: it takes the dtype of the others.
    dtype = np.result_type(*{row.dtype for row in rows if row.size} or {np.dtype(float)})
    return _objects([row.astype(dtype, copy=False) for row in rows])


def _row(element: object) -> np.ndarray:
    try:
        return np.asarray(element)
    except ValueError:  # Nested sequences of different lengths.
        return _objects(element)


def number_of_examples(x: object, name: str = "x", labels: int | None = None) -> int:
    """The number of examples of arrays.

    Raises:
        ValueError: If there are none, or arrays have different numbers of them.
    """
    for array in keras.tree.flatten(x):
        if labels is not None and (array.ndim == 0 or len(array) != labels):
            raise ValueError(
                f"`{name}` and `y` must hold the same number of examples. Received: an array of "
                f"shape {array.shape} in {name}, and {labels} labels in y."
            )
    sizes = {len(array) if array.ndim else -1 for array in keras.tree.flatten(x)}
    if len(sizes) != 1 or min(sizes) < 1:
        raise ValueError(
            f"`{name}` must hold arrays of the same number of examples, and at least one. "
            f"Received: lengths {sorted(sizes)}."
        )
    return int(sizes.pop())


def take(arrays: Any, positions: Any) -> Any:
    """Selects examples of an array, or of each array in a structure."""
    # Spares the usual cases the walk through a structure.
    if isinstance(arrays, np.ndarray):
        return arrays[positions]
    if type(arrays) is tuple:
        return tuple(take(array, positions) for array in arrays)
    return keras.tree.map_structure(lambda array: array[positions], arrays)


def is_text(array: Any) -> bool:
    """Whether an array holds text."""
    kind = getattr(getattr(array, "dtype", None), "kind", "")
    if kind in ("U", "S"):
        return True
    return kind == "O" and array.size > 0 and isinstance(array.flat[0], (str, bytes))


def padded(x: object, padding: Padding) -> Any:
    """Pads the sequences of different lengths in a batch."""
    if isinstance(x, np.ndarray) and x.dtype.kind != "O":
        return x

    def is_ragged(leaf: object) -> bool:
        if not isinstance(leaf, np.ndarray) or leaf.dtype.kind != "O" or leaf.ndim != 1:
            return False
        return len(leaf) > 0 and isinstance(leaf[0], np.ndarray)

    if not padding.mask:
        return keras.tree.map_structure(lambda leaf: padding(leaf) if is_ragged(leaf) else leaf, x)
    if isinstance(x, dict):
        made = {}
        for key, leaf in x.items():
            if is_ragged(leaf):
                made[key], made[f"{key}_mask"] = padding(leaf)
            else:
                made[key] = leaf
        return made
    if isinstance(x, tuple):
        return tuple(padding(leaf) if is_ragged(leaf) else leaf for leaf in x)
    return padding(x) if is_ragged(x) else x


def as_batch(x: object) -> Any:
    """A batch as Keras takes it, with text as a tensor where the backend supports it."""
    if isinstance(x, np.ndarray) and not is_text(x):
        return x
    return keras.tree.map_structure(lambda leaf: text_tensor(leaf) if is_text(leaf) else leaf, x)


def text_tensor(array: np.ndarray) -> Tensor:
    """Text as TensorFlow's tensor, on that backend; else as an object array.

    Keras refuses NumPy's text, whose dtype has a length.
    """
    array = array.astype(object)
    if keras.backend.backend() != "tensorflow":
        return array
    import tensorflow as tf

    with tf.device("CPU"):
        return tf.constant(array, tf.string)


def holds_64_bits() -> bool:
    """Whether the backend has 64-bit integers; JAX truncates them unless configured otherwise."""
    if keras.backend.backend() != "jax":
        return True
    import jax

    return bool(jax.config.jax_enable_x64)


def to_host(leaf: object) -> Any:
    """Converts what an augmenter returned to a NumPy array."""
    if isinstance(leaf, np.ndarray):
        return leaf
    if getattr(leaf, "dtype", None) is not None and hasattr(leaf, "numpy"):
        return np.asarray(leaf.detach().cpu() if hasattr(leaf, "detach") else leaf.numpy())
    return np.asarray(keras.ops.convert_to_numpy(leaf) if keras.ops.is_tensor(leaf) else leaf)
