"""Behavior shared by training metrics, which compare each batch with itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from tensorflow_similarity import _checks as checks
from tensorflow_similarity._class_numbers import number_of_id
from tensorflow_similarity._types import Tensor
from tensorflow_similarity.losses.base import checked_weights, wide_float
from tensorflow_similarity.losses.labels import class_ids, invalid_numbers, relevance_labels
from tensorflow_similarity.losses.replicas import current_replicas
from tensorflow_similarity.mining.pairs import (
    get_relevance,
    pairs_by_class,
    pairs_by_relevance,
    relevance_config,
)

__all__ = ["BatchMean", "BatchMetric"]


class BatchMetric(keras.metrics.Metric):
    """Base of metrics on the embeddings and labels of a batch.

    A subclass writes `update`. Class ids stay integers; computation and state are float32
    at least, whatever the dtype policy. Under a distribution strategy, the batch is that of
    all replicas.

    Args:
        name: Name of the metric.
        dtype: Accepted as in Keras, but computation is in float32.
        ignore_class: A class id for examples of unknown class, which are ignored, as for
            losses. Defaults to `None`: every id is a class.
        relevance: How labels other than class ids determine which pairs are positive, as for
            losses: see `mining.get_relevance`. Defaults to `None`.
    """

    #: Whether the result depends on embeddings, rather than on labels alone.
    of_embeddings: bool = True

    def __init__(
        self,
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        relevance: str | Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self.ignore_class = checks.class_id(ignore_class, "ignore_class")
        self.relevance = get_relevance(relevance)
        if self.relevance is not None and self.ignore_class is not None:
            raise ValueError(
                "`ignore_class` is a class id, and with `relevance` labels are none. Received: "
                f"ignore_class={ignore_class!r} with relevance={relevance!r}."
            )

    def get_config(self) -> dict[str, Any]:
        """The constructor arguments."""
        config = {**super().get_config(), "ignore_class": self.ignore_class}
        if self.relevance is not None:
            config["relevance"] = relevance_config(self.relevance)
        return config

    def __reduce__(self) -> tuple[Any, ...]:
        # Keras' own pickles of a metric lack what it has seen.
        values = [ops.convert_to_numpy(variable) for variable in self.variables]
        return _metric_with, (type(self), self.get_config(), values)

    def _take_values(self, values: list[Any]) -> None:
        """Sets the variables, in their order; they may not all be there yet."""
        for variable, value in zip(self.variables, values, strict=True):
            variable.assign(value)

    def update(
        self, positives: Tensor, negatives: Tensor, embeddings: Tensor, weights: Tensor
    ) -> None:
        """Adds a batch.

        Args:
            positives: Bool `[batch, batch]`, the positive pairs; none with itself.
            negatives: Bool `[batch, batch]`, the negative pairs.
            embeddings: `[batch, dim]`, float32 (float64 if given so).
            weights: `[batch]`, of that dtype, the weights of the queries. NaN for all, if an
                embedding is not finite or a label none: so must be the result.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement `update`.")

    def update_state(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None
    ) -> None:
        """Adds a batch.

        Args:
            y_true: Integer class ids `[batch]` or `[batch, 1]`; with `relevance`, the labels
                that it takes.
            y_pred: Embeddings `[batch, dim]`.
            sample_weight: Weights of the queries `[batch]`. Defaults to `None`: all 1.
        """
        embeddings = wide_float(y_pred)
        if len(embeddings.shape) != 2:
            raise ValueError(
                f"`y_pred` must be embeddings of shape [batch, dim] for {type(self).__name__}. "
                f"Received: shape {tuple(embeddings.shape)}."
            )
        weights = ops.ones_like(embeddings[:, 0])
        if sample_weight is not None:
            sample_weight = checked_weights(sample_weight, embeddings.shape[0])
            weights = weights * ops.cast(sample_weight, weights.dtype)
        invalid = None
        ignored = None if self.ignore_class is None else number_of_id(self.ignore_class)
        if self.relevance is None:
            labels = class_ids(y_true, embeddings.shape[0], self)
            invalid = invalid_numbers(y_true)
            if ignored is not None:
                weights = ops.where(ops.equal(labels, ignored), 0, weights)
        else:
            labels = relevance_labels(y_true, embeddings.shape[0], self.relevance)
        # Distances that are NaN are no one's nearest or farthest: weights show them in the result.
        finite = ops.all(ops.isfinite(embeddings), axis=1)
        if not self.of_embeddings:
            finite = ops.ones_like(finite)
        if invalid is not None:
            finite = ops.logical_and(finite, ops.logical_not(invalid))
        if ignored is not None:
            finite = ops.logical_or(finite, ops.equal(labels, ignored))
        replicas = current_replicas()
        if embeddings.shape[0] == 0 and replicas.count == 1:
            return
        embeddings, labels, weights = (replicas.gather(x) for x in (embeddings, labels, weights))
        weights = ops.where(ops.all(replicas.gather(finite)), weights, float("nan"))
        positions = ops.arange(ops.shape(embeddings)[0], dtype="int32")
        if self.relevance is not None:
            relevance = self.relevance(labels, labels)
            positives, negatives = pairs_by_relevance(relevance, positions)
        else:
            known = None if ignored is None else ops.not_equal(labels, ignored)
            positives, negatives = pairs_by_class(labels, labels, positions, known, known)
        self.update(positives, negatives, embeddings, weights)

    def add_number(
        self, name: str, shape: tuple[int, ...] = (), value: float = 0.0
    ) -> keras.Variable:
        """Adds a float32 variable, which `reset_state` sets back to `value`."""
        start = keras.initializers.Constant(value)
        return self.add_variable(
            shape=shape,
            initializer=start,
            dtype="float32",
            # Each replica has the values of the whole batch.
            aggregation="only_first_replica",
            name=name,
        )

    def reset_state(self) -> None:
        """Resets the metric."""
        for variable in self.variables:
            variable.assign(ops.zeros(variable.shape, dtype=variable.dtype))


def _metric_with(cls: type[BatchMetric], config: dict[str, Any], values: list[Any]) -> BatchMetric:
    """A metric with the values of another one's variables, which pickling and copying make."""
    metric = cls.from_config(config)
    metric._take_values(values)
    return metric


class BatchMean(BatchMetric):
    """Base of metrics that are a mean over queries or over pairs of all batches.

    A subclass writes `sums`. A mean over nothing is NaN.

    Args:
        name: Name of the metric.
        dtype: As for `BatchMetric`.
        ignore_class: As for `BatchMetric`.
        relevance: As for `BatchMetric`.
    """

    def __init__(
        self,
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        relevance: str | Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype, ignore_class=ignore_class, relevance=relevance)
        self._total = self.add_number("total")
        self._count = self.add_number("count")

    def sums(
        self, positives: Tensor, negatives: Tensor, embeddings: Tensor, weights: Tensor
    ) -> tuple[Any, Any]:
        """The sum over a batch and its total weight, both scalars."""
        raise NotImplementedError(f"{type(self).__name__} must implement `sums`.")

    def update(
        self, positives: Tensor, negatives: Tensor, embeddings: Tensor, weights: Tensor
    ) -> None:
        total, count = self.sums(positives, negatives, embeddings, weights)
        self._total.assign_add(ops.cast(total, "float32"))
        self._count.assign_add(ops.cast(count, "float32"))

    def result(self) -> Tensor:
        """The mean over all batches since the last `reset_state`, a float32 scalar."""
        # Tensors: JAX's functions take no variables.
        total, count = ops.convert_to_tensor(self._total), ops.convert_to_tensor(self._count)
        some = count > 0
        return ops.where(some, total / ops.where(some, count, 1.0), float("nan"))
