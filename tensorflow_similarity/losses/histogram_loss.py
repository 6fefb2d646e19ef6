"""Histogram loss."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tensorflow_similarity._checks import count
from tensorflow_similarity.losses.arguments import checked_cosine
from tensorflow_similarity.losses.histograms import soft_histogram
from tensorflow_similarity.losses.masked import mean_over_pairs, number_of
from tensorflow_similarity.losses.metric_loss import MetricLoss
from tensorflow_similarity.mining.rows import Rows

__all__ = ["HistogramLoss"]


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class HistogramLoss(MetricLoss):
    """Histogram loss: how likely a random negative pair is nearer than a random positive one.

    `loss = sum over nodes r of h-(r) * sum over q >= r of h+(q)`,

    with the soft histograms h+ and h-, each of sum 1, of the distances of all
    positive and of all negative pairs of the batch. It has no margin and hardly
    a parameter. Per query, the sum over its negatives is scaled so that the mean
    over the batch is this value. A batch without a positive pair, or without a
    negative, has loss 0.

    Args:
        distance: The cosine distance, whose values are bounded.
        num_bins: Intervals of the histograms over distances from 0 to 2.
        name: Name of the loss.
        **kwargs: `block_size`, `reduction` and `dtype`, see `MetricLoss`.

    Inputs: `y_true` integer class ids `[batch]`, `y_pred` embeddings
    `[batch, dim]`.

    Requirements: large batches, from whose pairs two distributions can be told:
    256 examples in the paper.

    Recommended: 100 bins; the result hardly depends on them.

    Relations: other losses compare pairs of one query; this compares any two
    pairs, and so asks for one threshold that serves all queries.

    Raises:
        ValueError: If the distance is another.

    Example:

    ```python
    from tensorflow_similarity.losses import HistogramLoss

    loss = HistogramLoss(num_bins=2)
    loss([0, 0, 1], [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])  # 1.0
    ```

    Reference:
        Ustinova and Lempitsky, *Learning Deep Embeddings with Histogram Loss*,
        NIPS 2016, https://arxiv.org/abs/1611.00822
    """

    def __init__(
        self,
        distance: Any = "cosine",
        num_bins: int = 100,
        name: str = "histogram_loss",
        **kwargs: Any,
    ) -> None:
        super().__init__(distance=checked_cosine(distance, type(self)), name=name, **kwargs)
        self.num_bins = count(num_bins, "num_bins")

    def _histograms(self, rows: Rows) -> tuple[Any, Any, Any]:
        """Of each query: histograms of its positives and negatives, number of negatives."""
        return (
            soft_histogram(rows.distances, rows.positives, self.num_bins, 2.0),
            soft_histogram(rows.distances, rows.negatives, self.num_bins, 2.0),
            number_of(rows.negatives, rows.distances.dtype),
        )

    def query_losses(
        self,
        query_labels: Any,
        queries: Any,
        key_labels: Any,
        keys: Any,
        queries_are_keys: bool = False,
    ) -> Any:
        alike, other, pairs = self.map_rows(
            self._histograms, query_labels, queries, key_labels, keys, queries_are_keys
        )
        # The part of the positive pairs that is at a node or beyond it.
        nodes = ops.sum(alike, axis=0)
        beyond = ops.flip(ops.cumsum(ops.flip(nodes, axis=0), axis=0), axis=0)
        total = ops.sum(nodes)
        beyond = beyond / ops.where(total > 0, total, 1)
        counted = self.counted(query_labels)
        return mean_over_pairs(ops.sum(other * beyond[None, :], axis=1), pairs, counted)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_bins": self.num_bins}
