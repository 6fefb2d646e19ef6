"""What a loss accepts as `y_true`: checked, and kept as integers.

Keras casts `y_true` to the loss's float type, in which 2**24 and 2**24 + 1 are one class.
Here class ids stay integers.
"""

from __future__ import annotations

import warnings
from typing import Any

import keras
import numpy as np
from keras import ops

from tensorflow_similarity._checks import host_array, refuse_partial
from tensorflow_similarity._class_numbers import id_dtype, ids_of, numbers_of
from tensorflow_similarity.mining.pairs import hierarchy, jaccard, matrix, multi_hot

__all__ = [
    "binary_labels",
    "check_class_range",
    "class_ids",
    "invalid_numbers",
    "multi_hot_labels",
    "refuse_in_graph",
    "relevance_labels",
    "to_tensor",
]

# Whole numbers up to here are exact in the float type; float64 as float32, since data that
# have been through float32 do not show it.
_EXACT = {"float64": 2**24, "float32": 2**24, "float16": 2**11, "bfloat16": 2**8}


def to_tensor(y_true: Any, name: str = "y_true") -> Any:
    """Converts labels to a tensor without changing their type.

    Raises:
        TypeError: If they are strings, objects or masked.
        ValueError: If there are none.
    """
    if y_true is None:
        raise ValueError(
            f"`{name}` must be integer class ids of shape [batch] or [batch, 1]. Received: None: "
            "`fit` or `evaluate` was called without `y`, or with data that yields no labels. Pass "
            "them, fit(x, y), or data that yields (x, y). To train without labels, use "
            "ContrastiveModel; on pairs without classes, DualEncoder."
        )
    if isinstance(y_true, np.ma.MaskedArray):
        refuse_partial(y_true, name)
    if not hasattr(y_true, "dtype") or _is_of_another_library(y_true):
        y_true = host_array(y_true, name)
    if isinstance(y_true, np.ndarray) and y_true.dtype.kind not in "iubf":
        raise TypeError(
            f"`{name}` must be integer class ids of shape [batch] or [batch, 1]. Received: array "
            f"of dtype {y_true.dtype}. Map each class name to an integer, e.g. "
            "np.unique(names, return_inverse=True)[1]."
        )
    if isinstance(y_true, np.ndarray | np.generic):
        y_true = np.asarray(y_true)
        # PyTorch has no such type; ids from 2**63 on wrap around, as elsewhere.
        y_true = numbers_of(y_true.astype(np.int64) if y_true.dtype == np.uint64 else y_true)
    return ops.convert_to_tensor(y_true, sparse=False)


def _is_of_another_library(x: Any) -> bool:
    """Whether labels are an array that is neither NumPy's nor the backend's."""
    known = (np.ndarray, np.generic, keras.KerasTensor, keras.Variable)
    return not isinstance(x, known) and not ops.is_tensor(x) and hasattr(x, "__array__")


def values_of(x: Any) -> np.ndarray | None:
    """The values of an array or an eager tensor; None inside a graph, where there are none."""
    if keras.backend.backend() == "torch" and ops.is_tensor(x):
        import torch

        if torch.compiler.is_compiling():
            return None
        return ops.convert_to_numpy(x)  # from other devices, too
    try:
        return np.asarray(x)
    except Exception:  # Each backend has its own error for tensors of a graph.
        return None


def _kind(x: Any) -> str:
    dtype = keras.backend.standardize_dtype(x.dtype)
    if dtype == "bool":
        return "bool"
    return "int" if "int" in dtype else "float" if "float" in dtype else dtype


def _received(y_true: Any) -> str:
    dtype = keras.backend.standardize_dtype(y_true.dtype)
    return f"Received: shape {tuple(y_true.shape)} and dtype {dtype}."


def _check_rows(y_true: Any, batch: Any) -> None:
    rows = y_true.shape[0]
    if batch is not None and rows is not None and rows != batch:
        raise ValueError(
            f"`y_true` and `y_pred` must have one row per example. Received: {rows} labels and "
            f"{batch} rows of `y_pred`."
        )


def class_ids(y_true: Any, batch: Any, owner: Any = None) -> Any:
    """Returns class ids, int64 `[batch]`; with JAX int32, numbers for those that do not fit.

    Args:
        y_true: Integer class ids `[batch]` or `[batch, 1]`, of any integer type. Whole
            numbers in a float type, smaller than 2**24, are taken for class ids with a
            warning: data loaders return them.
        batch: The static batch size of the embeddings, or None.
        owner: The loss or metric that asks, which warns once.

    Raises:
        TypeError: If they are other floats or strings.
        ValueError: If the shape is another, such as that of one-hot labels.
    """
    y_true = to_tensor(y_true)
    shape = tuple(y_true.shape)
    if len(shape) == 2 and shape[1] != 1:
        raise ValueError(
            "`y_true` must be integer class ids of shape [batch] or [batch, 1]. "
            f"{_received(y_true)} For one-hot labels pass np.argmax(y, axis=1). For several labels "
            'an example make the loss with relevance="multi_hot"; for class ids [batch, levels] '
            'from coarse to fine, with relevance="hierarchy"; for a matrix [batch, batch] that '
            'says which pairs are positive, with relevance="matrix".'
        )
    if len(shape) not in (1, 2):
        raise ValueError(
            "`y_true` must be integer class ids of shape [batch] or [batch, 1]. "
            f"{_received(y_true)}"
        )
    _check_rows(y_true, batch)
    if _kind(y_true) == "float":
        _check_whole(y_true, owner)
        # What cannot be converted is refused or shows as NaN, see `invalid_numbers`.
        y_true = ops.where(_whole(y_true), y_true, ops.zeros_like(y_true))
    elif _kind(y_true) not in ("int", "bool"):
        raise TypeError(f"`y_true` must be integer class ids. {_received(y_true)}")
    return ops.reshape(ops.cast(y_true, id_dtype()), (-1,))


def _whole(x: Any) -> Any:
    limit = _EXACT[keras.backend.standardize_dtype(x.dtype)]
    return ops.logical_and(ops.abs(x) < limit, ops.equal(x, ops.floor(x)))


def _check_whole(y_true: Any, owner: Any) -> None:
    values = values_of(y_true)
    if values is not None:
        valid = np.asarray(_whole(y_true))
        if not valid.all():
            raise TypeError(
                f"`y_true` must be integer class ids. {_received(y_true)} Among them is "
                f"{values[~valid][0]}, which is no whole number below 2**24. Class ids are "
                "compared as integers: cast them before they become floats, e.g. "
                "y.astype('int64')."
            )
    if not _stands_for_other_data() and not getattr(owner, "_warned_of_floats", False):
        if owner is not None:
            owner._warned_of_floats = True
        warnings.warn(
            f"`y_true` has dtype {keras.backend.standardize_dtype(y_true.dtype)}: its whole "
            "numbers are taken for class ids. Make them integers, e.g. y.astype('int64').",
            stacklevel=2,
        )


def _stands_for_other_data() -> bool:
    """Whether this is Keras' symbolic build under a `tf.distribute` strategy.

    Keras averages a batch over the replicas there, so that integers become floats. No value
    is looked at.
    """
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return tf.distribute.has_strategy() and tf.distribute.in_cross_replica_context()


def invalid_numbers(y_true: Any) -> Any:
    """Which class ids in a float type are none, bool `[batch]`, inside a graph; else None.

    Eagerly, `class_ids` raises an error. In a graph of TensorFlow this raises one when the
    graph runs; where that is not possible, as in XLA, the caller makes the loss NaN.
    """
    if not hasattr(y_true, "dtype") or _kind(y_true) != "float" or len(y_true.shape) > 2:
        return None
    if values_of(y_true) is not None or _stands_for_other_data():
        return None
    valid = ops.reshape(_whole(y_true), (-1,))
    refuse_in_graph(
        valid, y_true, "`y_true` must be integer class ids, or whole numbers below 2**24."
    )
    return ops.logical_not(valid)


def relevance_labels(y_true: Any, batch: Any, relevance: Any) -> Any:
    """Returns labels for a relevance, `[batch, ...]`, one for each row of embeddings.

    Args:
        y_true: The labels.
        batch: The static batch size of the embeddings, or None.
        relevance: What `get_relevance` returned.

    Raises:
        ValueError: If their number is not that of the embeddings, or their shape is not what
            the relevance takes.
    """
    if relevance in (multi_hot, jaccard):
        return multi_hot_labels(y_true, batch)
    y_true = to_tensor(y_true)
    if relevance is hierarchy:
        return _paths(y_true, batch)
    shape = tuple(y_true.shape)
    rows_fit = bool(shape) and (batch is None or shape[0] in (None, batch))
    if relevance is matrix and (len(shape) != 2 or not rows_fit):
        raise ValueError(
            "`y_true` must be a relevance matrix [batch, batch], bool or float, for "
            f'relevance="matrix", with batch={batch}. {_received(y_true)} For class ids leave '
            "`relevance` out."
        )
    if not rows_fit:
        raise ValueError(
            "`y_true` must have one row per row of `y_pred`. Received: shape "
            f"{shape}, for batch={batch}."
        )
    return y_true


def _paths(y_true: Any, batch: Any) -> Any:
    """Class ids of each level, `[batch, levels]`, of the integer type of class ids."""
    shape = tuple(y_true.shape)
    rows_fit = len(shape) == 2 and (batch is None or shape[0] in (None, batch))
    if not rows_fit or _kind(y_true) != "int":
        raise ValueError(
            "`y_true` must be integer class ids [batch, levels], coarse to fine, -1 where a level "
            f'is unknown, for relevance="hierarchy", with batch={batch}. {_received(y_true)} '
            "Targets.hierarchy(paths) makes them of names."
        )
    return ops.cast(y_true, id_dtype())


def multi_hot_labels(y_true: Any, batch: Any) -> Any:
    """Returns multi-hot labels as float32 `[batch, classes]`.

    Raises:
        ValueError: If they are not a matrix with one row per example.
    """
    y_true = to_tensor(y_true)
    shape = tuple(y_true.shape)
    fits = len(shape) == 2 and (batch is None or shape[0] is None or shape[0] == batch)
    if not fits or _kind(y_true) not in ("int", "bool", "float"):
        raise ValueError(
            "`y_true` must be multi-hot labels of shape [batch, classes], one row per row of "
            f"`y_pred`. {_received(y_true)} There are batch={batch} rows."
        )
    return ops.cast(y_true, "float32")


def binary_labels(y_true: Any, batch: Any) -> Any:
    """Returns which pairs are positive, `[batch]`: bool, integer or float, 1 or 0.

    Raises:
        ValueError: If the shape is neither `[batch]` nor `[batch, 1]`, or a value is neither 0
            nor 1. In a graph of TensorFlow values are looked at when it runs; see
            `invalid_binary` for where nothing can be raised.
    """
    y_true = to_tensor(y_true)
    shape = tuple(y_true.shape)
    column = len(shape) == 2 and shape[1] == 1
    fits = len(shape) == 1 or column
    advice = (
        'If these are class ids of embeddings, pass a distance to the loss, e.g. distance="cosine".'
    )
    if not fits or (batch is not None and shape[0] not in (None, batch)):
        raise ValueError(
            "`y_true` must be binary labels of shape [batch] or [batch, 1], 1 for a positive "
            f"pair, one for each distance. Received: shape {shape}, for {batch} distances. "
            f"{advice}"
        )
    y_true = y_true[:, 0] if column else y_true
    values = values_of(y_true)
    if values is not None and values.dtype != bool:
        other = values[(values != 0) & (values != 1)]
        if other.size:
            signs = set(np.unique(values).tolist()) <= {-1, 1}
            raise ValueError(
                "`y_true` must be binary labels, 1 for a positive pair and 0 for a negative one. "
                f"Received: {other[0]}. "
                + ("For labels of -1 and 1 pass y > 0." if signs else advice)
            )
    return y_true


def invalid_binary(y_true: Any) -> Any:
    """Which binary labels are neither 0 nor 1, bool `[batch]`, inside a graph; else None."""
    if not hasattr(y_true, "dtype") or _kind(y_true) == "bool":
        return None
    if values_of(y_true) is not None or _stands_for_other_data():
        return None
    valid = ops.reshape(ops.logical_or(ops.equal(y_true, 0), ops.equal(y_true, 1)), (-1,))
    refuse_in_graph(
        valid, y_true, "`y_true` must be binary labels, 1 for a positive pair and 0 for others."
    )
    return ops.logical_not(valid)


def refuse_in_graph(valid: Any, labels: Any, message: str) -> None:
    """Raises TensorFlow's error when a graph runs on invalid labels; XLA leaves it out.

    With JAX a warning is given: an error within a compiled step would cost the model its weights.

    Args:
        valid: Bool `[batch]`.
        labels: `[batch]` or `[batch, 1]`.
        message: What labels must be.
    """
    if keras.backend.backend() == "jax":
        _warn_in_jit(valid, labels, message)
    if keras.backend.backend() != "tensorflow":
        return
    import tensorflow as tf

    if not tf.executing_eagerly():
        labels = tf.reshape(labels, (-1,))
        # One of them: to collect all takes a dozen steps more.
        lowest = tf.constant(labels.dtype.min, labels.dtype)
        one = tf.reduce_max(tf.where(valid, lowest, labels))
        tf.debugging.Assert(tf.reduce_all(valid), [message, "Received:", one])


def _warn_in_jit(valid: Any, labels: Any, message: str) -> None:
    import jax

    if not isinstance(valid, jax.core.Tracer):
        return

    def warn(valid: Any, labels: Any) -> None:
        wrong = np.asarray(labels).reshape(-1)[~np.asarray(valid).reshape(-1)]
        wrong = wrong if wrong.dtype.kind == "f" else ids_of(wrong)
        warnings.warn(
            f"{message} Received: {wrong[:1].tolist()[0]}. Losses of such examples are NaN.",
            stacklevel=2,
        )

    jax.lax.cond(ops.all(valid), lambda: None, lambda: jax.debug.callback(warn, valid, labels))


def check_class_range(y_true: Any, classes: int | None, ignore_class: int | None = None) -> None:
    """Raises a ValueError if class ids are at hand and not those of a head's classes."""
    labels = values_of(y_true)
    if classes is None or labels is None or labels.dtype.kind not in "iubf":
        return
    wrong = labels[(labels < 0) | (labels >= classes)]
    wrong = wrong if ignore_class is None else wrong[wrong != ignore_class]
    if wrong.size:
        raise ValueError(
            f"`y_true` must be class ids from 0 to {classes - 1}, as `y_pred` has {classes} "
            f"classes. Received: {ids_of(wrong[:1])[0]}. Number the classes, e.g. by np.unique(y, "
            "return_inverse=True)[1], or give the head more of them."
        )
