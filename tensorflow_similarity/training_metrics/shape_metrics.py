"""Metrics of collapse: embeddings at a point, or in few directions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from tensorflow_similarity._types import Tensor
from tensorflow_similarity.training_metrics.batch_metric import BatchMean, BatchMetric

__all__ = ["EffectiveRank", "MeanCosine"]


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class MeanCosine(BatchMean):
    """The mean cosine between the embeddings of different examples.

    Near 1, all embeddings point in one direction: they have collapsed. The mean is over all
    pairs within batches, whatever their classes; a row of zeros has cosine 0 with all.

    Args:
        name: Name of the metric. Defaults to `"mean_cosine"`.
        dtype: Accepted as in Keras, but computation is in float32.
        ignore_class: A class id for examples of unknown class, which are ignored, as for
            losses. Defaults to `None`: every id is a class.
        relevance: How labels other than class ids determine which pairs are positive, as for
            losses: see `mining.get_relevance`. Defaults to `None`.

    Example:

    ```python
    from tensorflow_similarity.training_metrics import MeanCosine

    metric = MeanCosine()
    metric.update_state([0, 1, 2], [[1.0, 0.0], [3.0, 0.0], [0.0, 2.0]])
    float(metric.result())  # (1 + 0 + 0) / 3
    ```
    """

    def __init__(
        self,
        name: str | None = "mean_cosine",
        dtype: Any = None,
        ignore_class: int | None = None,
        relevance: str | Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__(
            name=name or "mean_cosine", dtype=dtype, ignore_class=ignore_class, relevance=relevance
        )

    def sums(
        self, positives: Tensor, negatives: Tensor, embeddings: Tensor, weights: Tensor
    ) -> tuple[Any, Any]:
        # Scaled by the largest entry first, whose square neither vanishes nor overflows.
        largest = ops.max(ops.abs(embeddings), axis=1, keepdims=True)
        rows = embeddings / ops.where(largest > 0, largest, 1)
        lengths = ops.sqrt(ops.sum(ops.square(rows), axis=1, keepdims=True))
        rows = rows / ops.where(lengths > 0, lengths, 1)
        # An example of `ignore_class` is in no pair.
        paired = ops.any(ops.logical_or(positives, negatives), axis=1)
        rows = ops.where(paired[:, None], rows, 0)
        weights = ops.where(paired, weights, 0)
        # Cosines of a query with all, less that with itself.
        cosines = ops.sum(rows * ops.sum(rows, axis=0, keepdims=True), axis=1)
        cosines = cosines - ops.sum(ops.square(rows), axis=1)
        others = ops.sum(ops.cast(paired, weights.dtype)) - 1
        return ops.sum(cosines * weights), ops.sum(weights) * others


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class EffectiveRank(BatchMetric):
    """The number of directions that the embeddings use.

    `(sum of l)^2 / (sum of l^2)` for the eigenvalues l of the covariance of all
    embeddings since `reset_state`: the number of directions if all are used equally,
    1 if they lie on a line, 0 if all are equal. It is the exponential of the Rényi
    entropy of order 2, a lower bound of the effective rank of Roy and Vetterli, which
    uses Shannon entropy; it needs no decomposition, so a step is cheap. It stores one matrix
    `[dim, dim]`.

    Embeddings collapsed to a point with some noise may still use all directions: look at
    `MeanCosine` too.

    Args:
        name: Name of the metric. Defaults to `"effective_rank"`.
        dtype: Accepted as in Keras, but computation is in float32.
        ignore_class: A class id for examples of unknown class, which are ignored, as for
            losses. Defaults to `None`: every id is a class.
        relevance: How labels other than class ids determine which pairs are positive, as for
            losses: see `mining.get_relevance`. Defaults to `None`.

    `sample_weight` excludes examples of weight 0, and weights the others equally.

    Raises:
        ValueError: If the embedding size is unknown.

    Example:

    ```python
    from tensorflow_similarity.training_metrics import EffectiveRank

    metric = EffectiveRank()
    metric.update_state([0, 1, 2, 3], [[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    float(metric.result())  # 2.0
    ```

    Reference:
        Roy and Vetterli, *The effective rank: A measure of effective
        dimensionality*, EUSIPCO 2007.
    """

    def __init__(
        self,
        name: str | None = "effective_rank",
        dtype: Any = None,
        ignore_class: int | None = None,
        relevance: str | Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__(
            name=name or "effective_rank",
            dtype=dtype,
            ignore_class=ignore_class,
            relevance=relevance,
        )
        self._size: int | None = None

    def _build(self, size: int | None) -> None:
        if size is None or self._size not in (None, size):
            raise ValueError(
                "`y_pred` must have a known embedding size, the same in all batches, for "
                f"EffectiveRank. Received: {size}" + (f" after {self._size}." if size else ".")
            )
        if self._size is None:
            self._size = size
            # Here, where a strategy is in charge whose replicas update them, and not before.
            self._count = self.add_number("count")
            self._mean = self.add_number("mean", (size,))
            self._scatter = self.add_number("scatter", (size, size))

    def _take_values(self, values: list[Any]) -> None:
        if len(values) > 1:
            self._build(len(values[1]))
        super()._take_values(values)

    def update(
        self, positives: Tensor, negatives: Tensor, embeddings: Tensor, weights: Tensor
    ) -> None:
        self._build(embeddings.shape[1])
        # Batches are merged about their means (Chan et al.), which a common offset of
        # the embeddings does not disturb.
        # Weights that are NaN count, and show.
        counted = ops.where(ops.isnan(weights), weights, ops.cast(weights > 0, weights.dtype))
        counted = counted[:, None]
        number = ops.sum(counted)
        mean = ops.sum(embeddings * counted, axis=0) / ops.maximum(number, 1)
        centred = (embeddings - mean) * counted
        scatter = ops.cast(ops.matmul(ops.transpose(centred), centred), "float32")
        number, mean = ops.cast(number, "float32"), ops.cast(mean, "float32")
        total = self._count + number
        share = number / ops.maximum(total, 1.0)
        shift = mean - self._mean
        between = ops.reshape(shift, (-1, 1)) * ops.reshape(shift, (1, -1))
        self._scatter.assign_add(scatter + between * (self._count * share))
        self._mean.assign_add(shift * share)
        self._count.assign_add(number)

    def result(self) -> Tensor:
        """The effective rank of all embeddings since the last `reset_state`, a scalar."""
        if self._size is None:
            return ops.convert_to_tensor(float("nan"), dtype="float32")
        trace = ops.trace(ops.convert_to_tensor(self._scatter))
        varies = trace > 0
        shares = self._scatter / ops.where(varies, trace, 1.0)
        rank = 1.0 / ops.where(varies, ops.sum(ops.square(shares)), 1.0)
        rank = ops.where(ops.isnan(trace), trace, ops.where(varies, rank, 0.0))
        return ops.where(self._count > 0, rank, float("nan"))
