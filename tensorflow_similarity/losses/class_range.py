"""Class ids that number what a layer holds, from 0 to classes - 1."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

__all__ = ["assert_in_graph", "check_range"]


def assert_in_graph(known: Any, labels: Any, classes: Any) -> None:
    """Raises TensorFlow's error when a graph meets an unknown class; XLA leaves it out.

    Args:
        known: Bool `[batch]`.
        labels: Class ids `[batch]`.
        classes: The number of classes, for the message.
    """
    if keras.backend.backend() != "tensorflow":
        return
    import tensorflow as tf

    if not tf.executing_eagerly():
        message = "`y_true` must be class ids from 0 to classes - 1, those of the head."
        received = ["Received:", tf.boolean_mask(labels, tf.logical_not(known))]
        tf.debugging.Assert(tf.reduce_all(known), [message, "Classes:", classes, *received])


def _values(x: Any) -> np.ndarray | None:
    """The values of an array or an eager tensor; None where there are none yet."""
    try:
        return np.asarray(x)
    except Exception:  # Each backend has its own error for tensors of a graph.
        return None


def check_range(y_true: Any, classes: int | None, ignore_class: int | None = None) -> None:
    """Raises a ValueError if class ids are at hand and not those of the head's classes."""
    labels = _values(y_true)
    if classes is None or labels is None or labels.dtype.kind not in "iub":
        return
    wrong = labels[(labels < 0) | (labels >= classes)]
    wrong = wrong if ignore_class is None else wrong[wrong != ignore_class]
    if wrong.size:
        raise ValueError(
            f"`y_true` must be class ids from 0 to {classes - 1}, as `y_pred` has {classes} "
            f"classes. Received: {wrong[0]}. Number the classes, e.g. by np.unique(y, "
            "return_inverse=True)[1], or give the head more of them."
        )
