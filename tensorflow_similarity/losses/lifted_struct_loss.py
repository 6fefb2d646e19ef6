"""Lifted structured loss."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tensorflow_similarity._blocks import map_row_blocks
from tensorflow_similarity.losses.masked import masked_logsumexp, masked_sum, mean_over_pairs
from tensorflow_similarity.losses.metric_loss import MetricLoss, checked_number, query_places
from tensorflow_similarity.losses.triplet_loss import strategy_config
from tensorflow_similarity.mining.rows import Rows
from tensorflow_similarity.mining.strategies import get_positive

__all__ = ["LiftedStructLoss"]


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class LiftedStructLoss(MetricLoss):
    """Lifted structured loss: each positive pair against all negatives of both its ends.

    For a positive pair (i, j), with N(i) the negatives of i,

    `J = log(sum over n in N(i) of exp(margin - d(i, n))
    + sum over n in N(j) of exp(margin - d(j, n))) + d(i, j)`,

    and `loss = sum over unordered pairs of max(0, J)^2 / (2 pairs)`. Per query,
    the sum over its pairs is scaled so that the mean over the batch is this
    value. A batch without a positive pair, or without a negative, has loss 0.

    Args:
        margin: The margin, in units of the distance.
        distance: Distance between embeddings, by name or object.
        positive_mining_strategy: Which of a query's positive pairs count:
            `"all"` (the default, the paper's), `"hard"`, `"easy"` or a
            `MiningStrategy`.
        name: Name of the loss.
        **kwargs: `block_size`, `reduction` and `dtype`, see `MetricLoss`.

    Inputs: `y_true` integer class ids `[batch]`, `y_pred` embeddings
    `[batch, dim]`. If keys other than the queries are given, a key's negatives
    are sought among the queries.

    Example:

    ```python
    from tensorflow_similarity.losses import LiftedStructLoss

    LiftedStructLoss()([0, 0, 1], [[0.0], [1.0], [1.0]])  # see below
    ```

    Reference:
        Oh Song et al., *Deep Metric Learning via Lifted Structured Feature
        Embedding*, CVPR 2016, https://arxiv.org/abs/1511.06452
    """

    def __init__(
        self,
        margin: float = 1.0,
        distance: Any = "euclidean",
        positive_mining_strategy: Any = "all",
        name: str | None = "lifted_struct_loss",
        **kwargs: Any,
    ) -> None:
        super().__init__(distance=distance, name=name or "lifted_struct_loss", **kwargs)
        self.margin = checked_number(margin, "margin")
        self.positive_mining_strategy = get_positive(positive_mining_strategy)

    def _pushes(
        self, query_labels: Any, queries: Any, key_labels: Any, keys: Any, queries_are_keys: bool
    ) -> Any:
        """`log sum over n of exp(margin - d(i, n))` over the negatives of each query."""

        def pushes(rows: Rows) -> Any:
            return masked_logsumexp(self.margin - rows.distances, rows.negatives)

        return self.map_rows(pushes, query_labels, queries, key_labels, keys, queries_are_keys)

    def query_losses(
        self,
        query_labels: Any,
        queries: Any,
        key_labels: Any,
        keys: Any,
        queries_are_keys: bool = False,
    ) -> Any:
        pushes = self._pushes(query_labels, queries, key_labels, keys, queries_are_keys)
        key_pushes = pushes
        if keys is not queries:
            relevance = self.are_matrix(query_labels)
            key_pushes = self._pushes(
                ops.transpose(query_labels) if relevance else key_labels,
                keys,
                query_labels,
                queries,
                queries_are_keys,
            )

        def sums(
            labels: Any, q: Any, place: Any, push: Any, k_labels: Any, k: Any, k_push: Any
        ) -> tuple[Any, Any]:
            rows = self.rows(labels, q, place, k_labels, k)
            constant = ops.stop_gradient(rows.distances)
            pairs = self.positive_mining_strategy.keep(
                constant, rows.positives, ops.zeros_like(constant[:, 0])
            )
            cost = ops.logaddexp(push[:, None], k_push[None, :]) + rows.distances
            cost = ops.square(ops.relu(ops.where(pairs, cost, 0)))
            return masked_sum(cost, pairs), ops.sum(ops.cast(pairs, cost.dtype), axis=1)

        places = query_places(queries, queries_are_keys)
        cost, pairs = map_row_blocks(
            sums,
            (query_labels, queries, places, pushes),
            (key_labels, keys, key_pushes),
            self.block_size,
        )
        return mean_over_pairs(cost, pairs, self.counted(query_labels)) / 2

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "margin": self.margin,
            "positive_mining_strategy": strategy_config(self.positive_mining_strategy, "positive"),
        }
