"""What a loss accepts as `y_true`, checked and kept as integers.

Keras casts `y_true` to the loss's float type, in which 2**24 and 2**24 + 1 are
one class. Here class ids become int64 and stay integers.
"""

from __future__ import annotations

import operator
from typing import Any

import keras
import numpy as np
from keras import ops

__all__ = [
    "binary_labels",
    "checked_class_id",
    "class_ids_or_relevance",
    "multi_hot",
    "rows_of_labels",
    "to_tensor",
]


def to_tensor(y_true: Any, name: str = "y_true") -> Any:
    """Converts labels to a tensor without changing their type.

    Raises:
        TypeError: If they are strings or objects.
    """
    if not hasattr(y_true, "dtype"):
        y_true = np.asarray(y_true)
    if isinstance(y_true, np.ndarray) and y_true.dtype.kind not in "iubf":
        raise TypeError(
            f"`{name}` must be integer class ids of shape [batch] or [batch, 1]. Received: array "
            f"of dtype {y_true.dtype}. Map each class name to an integer, e.g. "
            "np.unique(names, return_inverse=True)[1]."
        )
    return ops.convert_to_tensor(y_true, sparse=False)


def _kind(x: Any) -> str:
    dtype = keras.backend.standardize_dtype(x.dtype)
    if dtype == "bool":
        return "bool"
    return "int" if "int" in dtype else "float" if "float" in dtype else dtype


def class_ids_or_relevance(y_true: Any, batch: Any) -> Any:
    """Returns class ids, int64 `[batch]`, or relevance, `[batch, batch]`.

    Args:
        y_true: Integer class ids `[batch]` or `[batch, 1]`, of any integer type;
            or a bool or float matrix `[batch, batch]` that says which pairs are
            alike.
        batch: The static batch size of the embeddings, or None.

    Raises:
        TypeError: If they are floats (and no matrix) or strings.
        ValueError: If the shape is another, such as that of one-hot labels.
    """
    y_true = to_tensor(y_true)
    shape, kind = tuple(y_true.shape), _kind(y_true)
    received = f"Received: shape {shape} and dtype {keras.backend.standardize_dtype(y_true.dtype)}."
    # A single example's relevance is a column too: a ragged last batch may be that.
    matrix = len(shape) == 2 and (shape[1] != 1 or (shape[0] == 1 and kind == "float"))
    if matrix and kind in ("bool", "float") and shape[0] == shape[1]:
        if batch is not None and shape[0] is not None and shape[0] != batch:
            raise ValueError(
                f"`y_true` must be a relevance matrix [batch, batch] with batch={batch}, as "
                f"`y_pred`. {received}"
            )
        return y_true
    if len(shape) == 2 and shape[1] != 1:
        raise ValueError(
            "`y_true` must be integer class ids of shape [batch] or [batch, 1] (or a bool or "
            f"float matrix [batch, batch] of relevance). {received} One-hot labels are not class "
            "ids: pass np.argmax(y, axis=1)."
        )
    if len(shape) not in (1, 2):
        raise ValueError(
            f"`y_true` must be integer class ids of shape [batch] or [batch, 1]. {received}"
        )
    if kind not in ("int", "bool"):
        raise TypeError(
            f"`y_true` must be integer class ids. {received} Class ids are compared as integers: "
            "cast them, e.g. y.astype('int64')."
        )
    if batch is not None and shape[0] is not None and shape[0] != batch:
        raise ValueError(
            f"`y_true` and `y_pred` must have one row per example. Received: {shape[0]} labels and "
            f"{batch} rows of `y_pred`."
        )
    return ops.reshape(ops.cast(y_true, "int64"), (-1,))


def checked_class_id(value: Any, name: str) -> int | None:
    """Returns a class id as int, or None, or raises an error that names the argument."""
    if value is None:
        return None
    if isinstance(value, (bool, np.bool_)) or not hasattr(value, "__index__"):
        raise TypeError(f"`{name}` must be an integer class id or None. Received: {value!r}.")
    number = operator.index(value)
    if not -(2**63) <= number < 2**63:
        raise ValueError(f"`{name}` must be a class id of 64 bits. Received: {value!r}.")
    return number


def rows_of_labels(y_true: Any, batch: Any) -> Any:
    """Returns labels of any meaning, `[batch, ...]`, one for each row of embeddings.

    Raises:
        ValueError: If their number is not that of the embeddings.
    """
    y_true = to_tensor(y_true)
    shape = tuple(y_true.shape)
    if not shape or (batch is not None and shape[0] not in (None, batch)):
        raise ValueError(
            "`y_true` must have one row per row of `y_pred`. Received: shape "
            f"{shape}, for batch={batch}."
        )
    return y_true


def multi_hot(y_true: Any, batch: Any) -> Any:
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
            f"`y_pred`. Received: shape {shape} and dtype "
            f"{keras.backend.standardize_dtype(y_true.dtype)}, for batch={batch}."
        )
    return ops.cast(y_true, "float32")


def binary_labels(y_true: Any, batch: Any) -> Any:
    """Returns which pairs are alike, `[batch]`: bool, integer or float, 1 where they are.

    Raises:
        ValueError: If the shape is neither `[batch]` nor `[batch, 1]`.
    """
    y_true = to_tensor(y_true)
    shape = tuple(y_true.shape)
    column = len(shape) == 2 and shape[1] == 1
    fits = len(shape) == 1 or column
    if not fits or (batch is not None and shape[0] not in (None, batch)):
        raise ValueError(
            "`y_true` must be binary labels of shape [batch] or [batch, 1], 1 where the pair is "
            f"alike, one for each distance. Received: shape {shape}, for {batch} distances. If "
            "these are class ids of embeddings, pass a distance to the loss, e.g. "
            'distance="cosine".'
        )
    return y_true[:, 0] if column else y_true
