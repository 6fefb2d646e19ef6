"""What all losses of the package do alike around their mathematics."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

__all__ = ["PerExampleLoss", "wide_float"]


class _Reduction(keras.losses.Loss):
    """Keras' own reduction and weighting, for values that are computed already."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return y_pred


class PerExampleLoss(keras.losses.Loss):
    """Base of losses that keep labels as integers and compute in float32 at least.

    `keras.losses.Loss` casts both arguments to one float type. Here the
    subclass checks and converts each, and then writes `call`, which returns one
    loss for each example; `sample_weight` and `reduction` are Keras' own.
    """

    #: A class id for examples that are not to be looked at; None: every id is a class.
    ignore_class: int | None = None

    def checked_predictions(self, y_pred: Any) -> Any:
        """Predictions as a tensor of float32, or float64 if they are that."""
        raise NotImplementedError(f"{type(self).__name__} must implement `checked_predictions`.")

    def checked_labels(self, y_true: Any, batch: Any) -> Any:
        """Labels as a tensor, of the type that `call` takes."""
        raise NotImplementedError(f"{type(self).__name__} must implement `checked_labels`.")

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        with keras.name_scope(self.name):
            y_pred = self.checked_predictions(y_pred)
            y_true = self.checked_labels(y_true, y_pred.shape[0])
            losses = self.call(y_true, y_pred)
            return self.reduced(losses, sample_weight, self.counted(y_true))

    def counted(self, labels: Any) -> Any:
        """Which examples count, bool `[batch]`; None for all."""
        if self.ignore_class is None or len(labels.shape) != 1:
            return None
        return ops.not_equal(labels, self.ignore_class)

    def reduced(self, losses: Any, sample_weight: Any = None, counted: Any = None) -> Any:
        """Losses `[batch]`, weighted and reduced as Keras does, over those that count."""
        if sample_weight is not None:
            sample_weight = _checked_weights(sample_weight, losses.shape[0])
        if counted is not None:
            counted = ops.cast(counted, losses.dtype)
            if self.reduction in ("sum_over_batch_size", "mean"):
                counted = counted / ops.maximum(ops.mean(counted), 1e-30)
            weights = 1.0 if sample_weight is None else ops.cast(sample_weight, losses.dtype)
            sample_weight = weights * counted
        dtype = keras.backend.standardize_dtype(losses.dtype)
        reduce = _Reduction(reduction=self.reduction, dtype=dtype)
        return reduce(losses, losses, sample_weight=sample_weight)

    def __repr__(self) -> str:
        arguments = ", ".join(f"{key}={value!r}" for key, value in self.get_config().items())
        return f"{type(self).__name__}({arguments})"


def wide_float(x: Any) -> Any:
    """A tensor of float64 if `x` is that, else of float32."""
    x = ops.convert_to_tensor(x)
    if keras.backend.standardize_dtype(x.dtype) == "float64":
        return x
    return ops.cast(x, "float32")


def _checked_weights(sample_weight: Any, batch: Any) -> Any:
    weights = ops.convert_to_tensor(sample_weight)
    shape = tuple(weights.shape)
    scalar_like = all(size == 1 for size in shape)
    per_query = len(shape) in (1, 2) and (batch is None or shape[0] in (None, batch))
    if not scalar_like and not (per_query and (len(shape) == 1 or shape[1] in (None, 1))):
        raise ValueError(
            "`sample_weight` must be a scalar, or hold one weight per example: shape [batch] or "
            f"[batch, 1] with batch={batch}. Received: shape {shape}."
        )
    # Weights in a column would make Keras return a column of losses.
    return ops.reshape(weights, (-1,)) if len(shape) > 1 else weights
