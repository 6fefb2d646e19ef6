"""What all metrics of training do alike: a batch compared with itself, and added up."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tensorflow_similarity.losses.labels import checked_class_id, class_ids_or_relevance
from tensorflow_similarity.losses.per_example_loss import wide_float
from tensorflow_similarity.mining.rows import is_relevance, relevant_pairs

__all__ = ["BatchMean", "BatchMetric"]


class BatchMetric(keras.metrics.Metric):
    """Base of the metrics that see the embeddings of a batch and its labels.

    A subclass writes `update`. Class ids stay integers, and embeddings of half
    precision are computed in float32, whatever the dtype policy: the state is
    float32 too.

    Args:
        name: Name of the metric.
        dtype: Accepted as in Keras; computed in float32 all the same.
        ignore_class: A class id for examples of which nothing is known, as for losses:
            they are in no pair and do not count. Defaults to `None`: every id is a class.
    """

    def __init__(
        self, name: str | None = None, dtype: Any = None, ignore_class: int | None = None
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self.ignore_class = checked_class_id(ignore_class, "ignore_class")

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal metric."""
        return {**super().get_config(), "ignore_class": self.ignore_class}

    def update(self, positives: Any, negatives: Any, embeddings: Any, weights: Any) -> None:
        """Adds a batch.

        Args:
            positives: Bool `[batch, batch]`, pairs that are alike; none with itself.
            negatives: Bool `[batch, batch]`, pairs that are not.
            embeddings: `[batch, dim]`, float32 (float64 if given so).
            weights: `[batch]`, of that dtype, the weights of the queries.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement `update`.")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch.

        Args:
            y_true: Integer class ids `[batch]` or `[batch, 1]`, or a bool or float
                matrix `[batch, batch]`, above 0 where two examples are alike.
            y_pred: Embeddings `[batch, dim]`.
            sample_weight: Weights of the queries `[batch]`. Defaults to `None`: all 1.
        """
        embeddings = wide_float(y_pred)
        if len(embeddings.shape) != 2:
            raise ValueError(
                f"`y_pred` must be embeddings of shape [batch, dim] for {type(self).__name__}. "
                f"Received: shape {tuple(embeddings.shape)}."
            )
        labels = class_ids_or_relevance(y_true, embeddings.shape[0])
        places = ops.arange(ops.shape(embeddings)[0], dtype="int32")
        positives, negatives = relevant_pairs(labels, labels, places, places, self.ignore_class)
        weights = ops.ones_like(embeddings[:, 0])
        if sample_weight is not None:
            sample_weight = ops.cast(ops.convert_to_tensor(sample_weight), weights.dtype)
            if len(sample_weight.shape):
                sample_weight = ops.reshape(sample_weight, (-1,))
            weights = weights * sample_weight
        if self.ignore_class is not None and not is_relevance(labels):
            weights = ops.where(ops.equal(labels, self.ignore_class), 0, weights)
        self.update(positives, negatives, embeddings, weights)

    def add_number(self, name: str, shape: tuple[int, ...] = (), value: float = 0.0) -> Any:
        """Adds a float32 variable, which `reset_state` sets back to `value`."""
        start = keras.initializers.Constant(value)
        return self.add_variable(shape=shape, initializer=start, dtype="float32", name=name)

    def reset_state(self) -> None:
        """Forgets all batches."""
        for variable in self.variables:
            variable.assign(ops.zeros(variable.shape, dtype=variable.dtype))


class BatchMean(BatchMetric):
    """Base of the metrics that are a mean over queries or over pairs of all batches.

    A subclass writes `sums`. Where there was nothing to take the mean of, the
    result is NaN.

    Args:
        name: Name of the metric.
        dtype: As for `BatchMetric`.
        ignore_class: As for `BatchMetric`.
    """

    def __init__(
        self, name: str | None = None, dtype: Any = None, ignore_class: int | None = None
    ) -> None:
        super().__init__(name=name, dtype=dtype, ignore_class=ignore_class)
        self._total = self.add_number("total")
        self._count = self.add_number("count")

    def sums(
        self, positives: Any, negatives: Any, embeddings: Any, weights: Any
    ) -> tuple[Any, Any]:
        """The sum of a batch, and the weight of all that it is the sum of: scalars."""
        raise NotImplementedError(f"{type(self).__name__} must implement `sums`.")

    def update(self, positives: Any, negatives: Any, embeddings: Any, weights: Any) -> None:
        total, count = self.sums(positives, negatives, embeddings, weights)
        self._total.assign_add(ops.cast(total, "float32"))
        self._count.assign_add(ops.cast(count, "float32"))

    def result(self) -> Any:
        """The mean over all batches since the last `reset_state`, a float32 scalar."""
        some = self._count > 0
        mean = self._total / ops.where(some, self._count, 1.0)
        return ops.where(some, mean, float("nan"))
